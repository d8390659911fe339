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
        return cross_correlation(features, kernel) * (self.gain / kernel[0].numel()) + self.bias


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
    UNIT = 32.0  # pixels of the search crop that a raw regression output of 0 means

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        self.exemplar_neck = self._conv_bn(channels, 2 * width, 1)
        self.search_neck = self._conv_bn(channels, 2 * width, 1)
        decision = nn.Conv2d(width, 1, 1)
        assert decision.bias is not None
        self.classify = nn.Sequential(*self._conv_bn(width, width, 3), nn.ReLU(inplace=True), decision)
        self.regress = nn.Sequential(*self._conv_bn(width, width, 3), nn.ReLU(inplace=True), nn.Conv2d(width, 4, 1))
        nn.init.constant_(decision.bias, -3.0)  # most cells are background: start by saying so

    @staticmethod
    def _conv_bn(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, bias=False), nn.BatchNorm2d(outputs))

    def template(self, features: Tensor) -> Tensor:
        """(N, C, h, w) features → (N, 2·width, h, w) kernel."""
        return self.exemplar_neck(features)

    def search(self, features: Tensor, kernel: Tensor) -> Tensor:
        """(N, C, H, W) features and the kernel → (N, 5, H−h−1, W−w−1).

        Channel 0 is the logit of "the target is here", channels 1 to 4 are the distances in pixels of the search crop
        from the cell's centre to the left, top, right and bottom side of the target.
        """
        seen, shape = self.correlate(self.search_neck(features), kernel)
        distances = self.UNIT * self.regress(shape).float().clamp(-4.0, 3.0).exp()
        return torch.cat([self.classify(seen).float(), distances], dim=1)

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
        first = [nn.Sequential(*self._conv_bn(cells, width, 3), nn.ReLU(inplace=True)) for _ in range(2)]
        self.classify, self.regress = (
            nn.Sequential(*entry, *tower) for entry, tower in zip(first, (self.classify, self.regress), strict=True)
        )

    def correlate(self, search: Tensor, kernel: Tensor) -> tuple[Tensor, ...]:
        """As in `BoxHead`; (N, cells, H, W) each."""
        halves = zip(search.chunk(2, dim=1), kernel.chunk(2, dim=1), strict=True)
        return tuple(pixelwise_correlation(*half) for half in halves)
