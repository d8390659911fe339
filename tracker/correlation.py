"""Heads: what an exemplar's features and a search region's features say of each other.

Both heads split into `template(features) → kernel`, computed once a target, and `search(features, kernel) → response`,
computed every frame. Correlations are exact, one kernel a search region: a batch of N pairs equals N single calls.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cross_correlation(search: Tensor, kernel: Tensor) -> Tensor:
    """SiamFC's correlation over all channels (Bertinetto et al. 2016, equation 2).

    Args:
        search: (N, C, H, W) features.
        kernel: (N, C, h, w) features, one exemplar a search region.

    Returns:
        (N, 1, H−h+1, W−w+1) inner products.
    """
    n, c, h, w = search.shape
    return F.conv2d(search.reshape(1, n * c, h, w), kernel, groups=n).transpose(0, 1)


def depthwise_correlation(search: Tensor, kernel: Tensor) -> Tensor:
    """Channel by channel correlation (SiamRPN++, Li et al. 2019, section 3.3).

    Args:
        search: (N, C, H, W) features.
        kernel: (N, C, h, w) features, one exemplar a search region.

    Returns:
        (N, C, H−h+1, W−w+1).
    """
    n, c, h, w = search.shape
    out = F.conv2d(search.reshape(1, n * c, h, w), kernel.reshape(n * c, 1, *kernel.shape[2:]), groups=n * c)
    return out.reshape(n, c, *out.shape[2:])


def pixelwise_correlation(search: Tensor, kernel: Tensor) -> Tensor:
    """Each cell of the kernel is a 1×1 kernel of its own (Alpha-Refine, Yan et al. 2021, section 3.2).

    Args:
        search: (N, C, H, W) features.
        kernel: (N, C, h, w) features, one exemplar a search region.

    Returns:
        (N, h·w, H, W) inner products, divided by √C.
    """
    n, c, h, w = search.shape
    products = kernel.flatten(2).transpose(1, 2) @ search.flatten(2)
    return products.reshape(n, -1, h, w) * c**-0.5


UNIT = 32.0  # pixels of the search crop that a raw regression output of 0 means


def distances(raw: Tensor) -> Tensor:
    """(N, 4, R, R) output of a regression tower → distances to the four sides in pixels of the search crop."""
    return UNIT * raw.float().clamp(-4.0, 3.0).exp()


def conv_bn(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Unpadded convolution → batch normalisation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, bias=False), nn.BatchNorm2d(outputs))


class SiamFCHead(nn.Module):
    """Scaled cross-correlation: the logit of "the target's centre is here".

    The papers' codes multiply the inner product by a constant that fits their backbone (SiamFC 0.001, SiamDW 0.1 at
    test time). Here it is divided by the number of its terms, which puts the logits of every untrained backbone near
    one, and a gain and a bias are learned: the same in training and tracking, so that the response is a logit in both.

    Args:
        channels: of the backbone's features.
    """

    regresses_boxes = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.gain = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))

    def template(self, features: Tensor) -> Tensor:
        """The features are the kernel."""
        return features

    def search(self, features: Tensor, kernel: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C, h, w) → (N, 1, H−h+1, W−w+1) logits."""
        return self.logits(features, kernel)

    def logits(self, features: Tensor, kernel: Tensor) -> Tensor:
        """Channel 0 of `search` alone, for which training asks many foreign kernels."""
        kernel = kernel[:, : self.channels]
        return cross_correlation(features, kernel) * (self.gain / kernel[0].numel()) + self.bias


class SiamFCBoxHead(SiamFCHead):
    """SiamFC's correlation says where the target is, a depth-wise one how large.

    A correlation summed over all channels compares from the first step of training, while a tower has to learn to; so
    the decision stays with the former, and the tower only measures. Regression looks at 3×3 cells of necks that each
    saw 3×3 cells of features, so that it answers for the same cells as the classification.

    Args:
        channels: of the backbone's features.
        width: channels of the necks and of the tower.
    """

    regresses_boxes = True

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__(channels)
        self.exemplar_neck = conv_bn(channels, width, 3)
        self.search_neck = conv_bn(channels, width, 3)
        self.regress = nn.Sequential(*conv_bn(width, width, 1), nn.ReLU(inplace=True), nn.Conv2d(width, 4, 1))

    def template(self, features: Tensor) -> Tensor:
        """(N, C, h, w) features → (N, C + width, h, w): they, and the exemplar's neck within a border of zeros."""
        return torch.cat([features, F.pad(self.exemplar_neck(features), (1, 1, 1, 1))], dim=1)

    def search(self, features: Tensor, kernel: Tensor) -> Tensor:
        """(N, C, H, W) features and the kernel → (N, 5, H−h+1, W−w+1), the channels as `BoxHead` has them."""
        shape = depthwise_correlation(self.search_neck(features), kernel[:, self.channels :, 1:-1, 1:-1])
        return torch.cat([self.logits(features, kernel).float(), distances(self.regress(shape))], dim=1)


class BoxHead(nn.Module):
    """Depth-wise correlation with classification and anchor-free box regression.

    Two necks and two towers, as classification and regression look for different things (SiamRPN++; the distances to
    the four sides are FCOS's, Tian et al. 2019, equation 1). The towers are unpadded, so that a cell's answer does not
    depend on its place in the response.

    Args:
        channels: of the backbone's features.
        width: channels of each neck and tower.
    """

    regresses_boxes = True

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.exemplar_neck = conv_bn(channels, 2 * width, 1)
        self.search_neck = conv_bn(channels, 2 * width, 1)
        decision = nn.Conv2d(width, 1, 1)
        assert decision.bias is not None
        self.classify = nn.Sequential(*conv_bn(width, width, 3), nn.ReLU(inplace=True), decision)
        self.regress = nn.Sequential(*conv_bn(width, width, 3), nn.ReLU(inplace=True), nn.Conv2d(width, 4, 1))
        nn.init.constant_(decision.bias, -3.0)  # most cells are background: start by saying so

    def template(self, features: Tensor) -> Tensor:
        """(N, C, h, w) features → (N, 2·width, h, w) kernel."""
        return self.exemplar_neck(features)

    def search(self, features: Tensor, kernel: Tensor) -> Tensor:
        """(N, C, H, W) features and the kernel → (N, 5, H−h−1, W−w−1).

        Channel 0 is the logit of "the target is here", channels 1 to 4 are the distances in pixels of the search crop
        from the cell's centre to the left, top, right and bottom side of the target.
        """
        seen, shape = self.correlate(self.search_neck(features), kernel)
        return torch.cat([self.classify(seen).float(), distances(self.regress(shape))], dim=1)

    def logits(self, features: Tensor, kernel: Tensor) -> Tensor:
        """Channel 0 of `search` alone, for which training asks many foreign kernels."""
        seen, _ = self.correlate(self.search_neck(features), kernel)
        return self.classify(seen)

    def correlate(self, search: Tensor, kernel: Tensor) -> tuple[Tensor, ...]:
        """What the two towers look at: classification's and regression's half of the correlation."""
        return depthwise_correlation(search, kernel).chunk(2, dim=1)


class PixelHead(BoxHead):
    """`BoxHead` with pixel-wise correlation: what lies where in the exemplar is compared part by part.

    Each tower has one more unpadded 3×3 convolution, so that a cell sees as far around it as the exemplar reaches.

    Args:
        channels: of the backbone's features.
        width: channels of each neck and tower.
        cells: of an exemplar's features, 5×5 for one of 127 pixels.
    """

    def __init__(self, channels: int, width: int = 64, cells: int = 25) -> None:
        super().__init__(channels, width)
        first = [nn.Sequential(*conv_bn(cells, width, 3), nn.ReLU(inplace=True)) for _ in range(2)]
        self.classify, self.regress = (
            nn.Sequential(*entry, *tower) for entry, tower in zip(first, (self.classify, self.regress), strict=True)
        )

    def correlate(self, search: Tensor, kernel: Tensor) -> tuple[Tensor, ...]:
        """As in `BoxHead`; (N, cells, H, W) each."""
        halves = zip(search.chunk(2, dim=1), kernel.chunk(2, dim=1), strict=True)
        return tuple(pixelwise_correlation(*half) for half in halves)
