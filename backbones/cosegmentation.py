"""Deep object co-segmentation: which object do two images have in common, and where is it in each?

W. Li, O. Hosseini Jafari and C. Rother, Deep Object Co-Segmentation, ACCV 2018 (arXiv 1804.06423): a Siamese encoder, a
mutual correlation layer that compares every place of one image with every place of the other, and a Siamese decoder
that turns each image's features and correlations into a mask.

The paper's encoder is VGG-16. This one is small enough for a CPU; its layers down to stride 8 are those of
`backbones.compact`, padded, so that a mask has the size of the image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 16  # of the deepest features; sides of an input are multiples of it


def displacements(height: int, width: int) -> int:
    """D = 2·max(w, h) + 1 (section 3.2): how many displacements along each axis a correlation of features holds."""
    return 2 * max(width, height) + 1


def correlate(f_a: Tensor, f_b: Tensor) -> Tensor:
    """One direction of the mutual correlation layer (section 3.2): c(i, j, k) = ⟨f_A(i, j), f_B(m, n)⟩.

    i and m count columns, j and n rows; k = (n − j + R)·D + (m − i + R) with D = 2R + 1 and R = max(w, h), so that
    every place of B is compared with every place of A. Where B has no place (m, n) the correlation is 0. The other
    direction is ``correlate(f_b, f_a)``.

    Args:
        f_a: (N, C, h, w) features of the images whose places are described.
        f_b: (N, C, h, w) features of the other images.

    Returns:
        (N, D², h, w).
    """
    radius = displacements(*f_a.shape[2:]) // 2
    products = torch.einsum("ncji,ncyx->njyix", f_a, f_b)
    across = _by_displacement(products, radius)  # (N, j, y, i, m − i)
    down = _by_displacement(across.permute(0, 3, 4, 1, 2), radius)  # (N, i, m − i, j, n − j)
    return down.permute(0, 4, 2, 3, 1).flatten(1, 2)


def _by_displacement(x: Tensor, radius: int) -> Tensor:
    """(…, s, t) entries of place × place → (…, s, 2·radius + 1) of place × displacement, zero where there is no place.

    Row i begins i entries further right: pad the rows, and read them as rows that are one entry longer.
    """
    places, others = x.shape[-2:]
    side = 2 * radius + 1
    length = side + places
    rows = F.pad(x, (radius, length - radius - others)).flatten(-2)
    return F.pad(rows, (0, places)).unflatten(-1, (places, length + 1))[..., :side]


class Residual(nn.Module):
    """Two padded 3×3 convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn(channels, channels)
        self.second = conv_bn(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape."""
        return F.relu(self.second(self.first(x)) + x)


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Padded convolution → batch normalisation (→ ReLU)."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Encoder(nn.Module):
    """Features at strides 2, 4, 8 and 16.

    Args:
        widths: their channels.
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.stages = nn.ModuleList(
            [
                conv_bn(3, first, stride=2),
                nn.Sequential(conv_bn(first, second, stride=2), Residual(second)),
                nn.Sequential(conv_bn(second, third, stride=2), Residual(third), Residual(third)),
                nn.Sequential(conv_bn(third, fourth, stride=2), Residual(fourth), Residual(fourth)),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) → four (N, C, H / s, W / s) for s = 2, 4, 8, 16."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class MutualEvidence(nn.Module):
    """What the other image says of each place of this one, from the correlations of their normalised features.

    At stride 16 it is the paper's layer, by displacement. At stride 8, where the volume would be sixteen times as
    large, it is what does not depend on where the other image has the object: the strongest correlations in order, and
    the other image's features where they correlate.

    Args:
        fine, coarse: channels of the features at strides 8 and 16.
        embedding: channels in which they are compared.
        cells: side of the features at stride 16.
        summary: channels that the correlations by displacement are reduced to.
        strongest: how many of the strongest correlations are kept.
    """

    def __init__(
        self, fine: int, coarse: int, embedding: int, cells: int, summary: int = 32, strongest: int = 4
    ) -> None:
        super().__init__()
        self.strongest = strongest
        self.embed_coarse = nn.Conv2d(coarse, embedding, 1)
        self.embed_fine = nn.Conv2d(fine, embedding, 1)
        self.value = nn.Conv2d(fine, embedding, 1)
        self.by_displacement = nn.Conv2d(displacements(cells, cells) ** 2, summary, 1)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.out_channels = summary + strongest + embedding

    def forward(self, features_a: list[Tensor], features_b: list[Tensor]) -> Tensor:
        """Features at strides 8 and 16 of A and of B → (N, `out_channels`, h, w) for the places of A at stride 8."""
        (fine_a, coarse_a), (fine_b, coarse_b) = features_a, features_b
        volume = correlate(unit(self.embed_coarse(coarse_a)), unit(self.embed_coarse(coarse_b)))
        a, b = unit(self.embed_fine(fine_a)), unit(self.embed_fine(fine_b))
        places = torch.einsum("ncji,nck->njik", a, b.flatten(2))  # k: every place in B
        strongest = places.topk(self.strongest, dim=-1).values.permute(0, 3, 1, 2)
        attention = (places * self.sharpness).softmax(dim=-1)
        seen = torch.einsum("njik,nck->ncji", attention, self.value(fine_b).flatten(2))
        return torch.cat([double(self.by_displacement(volume)), strongest, seen], dim=1)


def unit(x: Tensor) -> Tensor:
    """(N, C, H, W) scaled to length 1 along the channels."""
    return F.normalize(x, dim=1)


class Decoder(nn.Module):
    """Features and evidence at stride 8 → logits at the size of the image, by way of the encoder's finer features."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, second, third, _ = widths
        self.merge = nn.Sequential(conv_bn(inputs, third, 1), Residual(third))
        self.narrow = nn.Conv2d(third, second, 1)
        self.finer = Residual(second)
        self.narrower = nn.Conv2d(second, first, 1)
        self.finest = conv_bn(first, first)
        self.mask = nn.Conv2d(first, 1, 3, padding=1)

    def forward(self, x: Tensor, features: list[Tensor]) -> Tensor:
        """(N, C, H / 8, W / 8) and the encoder's features → (N, H, W) logits."""
        x = self.merge(x)
        x = self.finer(double(self.narrow(x)) + features[1])
        x = self.finest(double(self.narrower(x)) + features[0])
        return double(self.mask(x))[:, 0]


def double(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, 2H, 2W), bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class CosegmentationNetwork(nn.Module):
    """Siamese encoder, mutual correlation, Siamese decoder.

    An image paired with itself makes a single-image network of the same size: it can say what stands out, and nothing
    else (`saliency`).

    Args:
        size: side of the square images in pixels, a multiple of 16.
        widths: channels at strides 2, 4, 8 and 16.
        embedding: channels in which places are compared.
    """

    def __init__(
        self, size: int = 96, widths: tuple[int, int, int, int] = (24, 32, 96, 128), embedding: int = 64
    ) -> None:
        super().__init__()
        if size % STRIDE or size < STRIDE:
            raise ValueError(f"the size of the images must be a multiple of {STRIDE}, got {size}")
        self.size = size
        _, _, third, fourth = widths
        self.encoder = Encoder(widths)
        self.context = nn.Conv2d(fourth, third, 1)
        self.evidence = MutualEvidence(third, fourth, embedding, size // STRIDE)
        self.decoder = Decoder(third + self.evidence.out_channels, widths)

    def encode(self, images: Tensor) -> list[Tensor]:
        """(N, 3, S, S) normalised images → features at strides 2, 4, 8 and 16, those of 16 also added to those of 8."""
        *finer, fine, coarse = self.encoder(images)
        return [*finer, fine + double(self.context(coarse)), coarse]

    def decode(self, features_a: list[Tensor], features_b: list[Tensor]) -> Tensor:
        """Features of A and B → (N, S, S) logits of A's mask."""
        evidence = self.evidence(features_a[2:], features_b[2:])
        return self.decoder(torch.cat([features_a[2], evidence], dim=1), features_a)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) normalised images → (N, S, S) logits of the common object's mask in each."""
        n = len(a)
        both = self.encode(torch.cat([a, b]))
        swapped = [torch.cat([level[n:], level[:n]]) for level in both]
        logits = self.decode(both, swapped)
        return logits[:n], logits[n:]

    def saliency(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised images → (N, S, S) logits of each image with itself."""
        features = self.encode(images)
        return self.decode(features, features)
