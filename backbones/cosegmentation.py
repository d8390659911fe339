"""Deep object co-segmentation: which object do two images have in common, and where is it in each?

W. Li, O. Hosseini Jafari and C. Rother, Deep Object Co-Segmentation, ACCV 2018 (arXiv 1804.06423): a Siamese encoder, a
mutual correlation layer that compares every place of one image with every place of the other, and a Siamese decoder
that turns each image's features and correlations into a mask.

The paper's encoder is ImageNet's VGG-16. This one is ImageNet's EfficientNet-Lite0, which is small enough for a CPU, or
one that is smaller still and knows nothing beforehand.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import efficientnet_lite
from backbones.efficientnet_lite import EfficientNetLite0

ENCODERS = ("efficientnet_lite0", "plain")
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


class PlainEncoder(nn.Module):
    """Features at strides 2, 4, 8 and 16, all of them learned.

    Args:
        widths: their channels.
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, second, third, fourth = self.widths = widths
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


class ImageNetEncoder(nn.Module):
    """EfficientNet-Lite0's features at strides 2, 4 and 8; those at 16 with those at 32 beside them."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth, fifth = efficientnet_lite.WIDTHS
        self.widths = first, second, third, fourth + fifth
        self.trunk = EfficientNetLite0()

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) → four (N, C, H / s, W / s) for s = 2, 4, 8, 16."""
        # A few images at a time stay in a processor's cache; a network in training needs the batch for its statistics.
        parts = [x] if self.training else x.split(4)
        *finer, fourth, fifth = (torch.cat(level) for level in zip(*(self.trunk(part) for part in parts), strict=True))
        deepest = F.interpolate(fifth, fourth.shape[2:], mode="bilinear", align_corners=False)
        return [*finer, torch.cat([fourth, deepest], dim=1)]


class Features(NamedTuple):
    """What the encoder makes of images: (N, C, H / s, W / s) each.

    Attributes:
        finest, finer, coarse: at strides 2, 4 and 16.
        context: those at strides 8 and 16 together, at stride 8.
        salient: (N, H, W) logits of what stands out in each image by itself.
    """

    finest: Tensor
    finer: Tensor
    coarse: Tensor
    context: Tensor
    salient: Tensor

    def rolled(self, images: int) -> Features:
        """The features of the images that stand so many places further on: of half of a batch, the other half's."""
        return Features(*(level.roll(images, 0) for level in self))


class MutualEvidence(nn.Module):
    """What the other image says of each place of this one, from the correlations of their normalised features.

    Between places at stride 16 it is the paper's layer, by displacement. For places at stride 8, where the volume would
    be sixteen times as large, it is what does not depend on where the other image has the object, by the encoder's
    features as they are, which know more things than the pairs can teach, and again by learned ones:

    - the two strongest correlations, the strongest with a place that stands out in the other image, and how much rather
      than the other image's background this place resembles what stands out there (`_cues`);
    - how much this place resembles the mean of what stands out in the other image, how much rather than the mean of
      what does not, and how alike what stands out in both is as a whole (`_means`);
    - the other image's features where they correlate.

    Features are centred before they are normalised, or everything would correlate with everything.

    Args:
        context, coarse: channels of the features at strides 8 and 16.
        embedding: channels in which places are compared.
        cells: side of the features at stride 16.
        summary: channels that the correlations by displacement are reduced to.
    """

    def __init__(self, context: int, coarse: int, embedding: int, cells: int, summary: int = 32) -> None:
        super().__init__()
        self.centre = nn.BatchNorm2d(coarse, affine=False)
        self.embed_coarse = conv_bn(coarse, embedding, 1, relu=False)
        self.embed_context = conv_bn(context, embedding, 1, relu=False)
        self.value = nn.Conv2d(context, embedding, 1)
        self.by_displacement = nn.Conv2d(displacements(cells, cells) ** 2, summary, 1)
        self.sharpness = nn.Parameter(torch.full((2,), 10.0))
        self.out_channels = summary + 2 * 7 + embedding

    def forward(self, a: Features, b: Features) -> Tensor:
        """Features of A and of B → (N, `out_channels`, h, w) for the places of A at stride 8."""
        volume = correlate(unit(self.embed_coarse(a.coarse)), unit(self.embed_coarse(b.coarse)))
        salient_a = F.avg_pool2d(a.salient.detach()[:, None], 8)
        salient_b = F.avg_pool2d(b.salient.detach()[:, None], 16)
        context_b = F.avg_pool2d(b.context, 2)
        as_they_are = unit(double(self.centre(a.coarse))), unit(self.centre(b.coarse))
        learned = unit(self.embed_context(a.context)), unit(self.embed_context(context_b))
        evidence = [double(self.by_displacement(volume))]
        for (f_a, f_b), sharpness in zip((as_they_are, learned), self.sharpness, strict=True):
            places = torch.einsum("ncji,nck->njik", f_a, f_b.flatten(2))  # k: every place in B
            evidence += [_cues(places, salient_b.flatten(1)[:, None, None], sharpness)]
            evidence += [_means(f_a, f_b, salient_a.sigmoid(), salient_b.sigmoid())]
        attention = (places * sharpness).softmax(dim=-1)
        seen = torch.einsum("njik,nck->ncji", attention, self.value(context_b).flatten(2))
        return torch.cat([*evidence, seen], dim=1)


def _cues(places: Tensor, salient: Tensor, sharpness: Tensor) -> Tensor:
    """(N, h, w, K) correlations with the places of B and (N, 1, 1, K) logits of their standing out → (N, 4, h, w).

    The last cue is the logarithm of the odds that the place of B which this one resembles stands out, if a place is
    chosen in proportion to exp(sharpness · correlation).
    """
    strongest = places.topk(2, dim=-1).values
    with_salient = (places * salient.sigmoid()).amax(-1, keepdim=True)
    sharp = places.float() * sharpness
    odds = (sharp + F.logsigmoid(salient)).logsumexp(-1) - (sharp + F.logsigmoid(-salient)).logsumexp(-1)
    return torch.cat([strongest, with_salient, odds[..., None].clamp(-8, 8) / 4], dim=-1).permute(0, 3, 1, 2)


def _means(f_a: Tensor, f_b: Tensor, salient_a: Tensor, salient_b: Tensor) -> Tensor:
    """(N, C, h, w) features of length 1, and (N, 1, h, w) probabilities of standing out, of each image → (N, 3, h, w).

    The correlation with the mean of what stands out in B, by how much it exceeds that with the mean of what does not,
    and the correlation of the means of what stands out in A and in B, the same everywhere.
    """
    thing_a, thing_b, rest_b = (
        unit((features * weight).sum((2, 3), keepdim=True))
        for features, weight in ((f_a, salient_a), (f_b, salient_b), (f_b, 1 - salient_b))
    )
    with_thing, with_rest, both = (
        (one * other).sum(1, keepdim=True) for one, other in ((f_a, thing_b), (f_a, rest_b), (thing_a, thing_b))
    )
    return torch.cat([with_thing, with_thing - with_rest, both.expand_as(with_thing)], dim=1)


def unit(x: Tensor) -> Tensor:
    """(N, C, H, W) scaled to length 1 along the channels."""
    return F.normalize(x, dim=1)


class Decoder(nn.Module):
    """Features and evidence at stride 8 → logits at the size of the image, by way of the encoder's finer features.

    Args:
        inputs: channels at stride 8.
        widths: of the decoder at strides 2, 4 and 8.
        finest, finer: channels of the encoder's features at strides 2 and 4.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int], finest: int, finer: int) -> None:
        super().__init__()
        first, second, third = widths
        self.merge = nn.Sequential(conv_bn(inputs, third, 1), Residual(third))
        self.narrow = nn.Conv2d(third, second, 1)
        self.beside = nn.Conv2d(finer, second, 1)
        self.finer = Residual(second)
        self.narrower = nn.Conv2d(second, first, 1)
        self.besides = nn.Conv2d(finest, first, 1)
        self.finest = conv_bn(first, first)
        self.mask = nn.Conv2d(first, 1, 3, padding=1)

    def forward(self, x: Tensor, finest: Tensor, finer: Tensor) -> Tensor:
        """(N, C, H / 8, W / 8), and the encoder's features at strides 2 and 4 → (N, H, W) logits."""
        x = self.merge(x)
        x = self.finer(double(self.narrow(x)) + self.beside(finer))
        x = self.finest(double(self.narrower(x)) + self.besides(finest))
        return double(self.mask(x))[:, 0]


def double(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, 2H, 2W), bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class CosegmentationNetwork(nn.Module):
    """Siamese encoder, mutual correlation, Siamese decoder; and a second decoder that sees each image alone.

    With its encoder the second one is a single-image network of the same size. It is trained to mask whatever stands
    out, which teaches the encoder what an object is, and is what co-segmentation has to be better than.

    Args:
        size: side of the square images in pixels, a multiple of 16.
        widths: channels of the decoders at strides 2, 4 and 8.
        embedding: channels in which places are compared.
        encoder: one of `ENCODERS`.

    Raises:
        ValueError: another size or encoder.
    """

    def __init__(
        self,
        size: int = 160,
        widths: tuple[int, int, int] = (16, 32, 64),
        embedding: int = 64,
        encoder: str = "efficientnet_lite0",
    ) -> None:
        super().__init__()
        if size % STRIDE or size < STRIDE:
            raise ValueError(f"the size of the images must be a multiple of {STRIDE}, got {size}")
        if encoder not in ENCODERS:
            raise ValueError(f"no encoder {encoder!r}; there are {', '.join(ENCODERS)}")
        self.size = size
        *_, third = widths
        self.encoder = ImageNetEncoder() if encoder == "efficientnet_lite0" else PlainEncoder((*widths, 3 * third // 2))
        finest, finer, fine, coarse = self.encoder.widths
        self.beside = nn.Conv2d(fine, third, 1)
        self.below = nn.Conv2d(coarse, third, 1)
        self.context = Residual(third)
        self.evidence = MutualEvidence(third, coarse, embedding, size // STRIDE)
        self.decoder = Decoder(third + self.evidence.out_channels, widths, finest, finer)
        self.single = Decoder(third, widths, finest, finer)

    def encode(self, images: Tensor) -> Features:
        """(N, 3, S, S) normalised images → their features, and what stands out in each by itself."""
        finest, finer, fine, coarse = self.encoder(images)
        context = self.context(self.beside(fine) + double(self.below(coarse)))
        return Features(finest, finer, coarse, context, self.single(context, finest, finer))

    def common(self, a: Features, b: Features, trust: float = 1.0) -> Tensor:
        """Features of A and B → (N, S, S) logits of the mask, in A, of what both show.

        The decoder says how much more, or less, a pixel belongs to it than to what stands out in A by itself; `trust`
        is the share of that which is believed.
        """
        evidence = torch.cat([a.context, self.evidence(a, b)], dim=1)
        return a.salient.detach() + trust * self.decoder(evidence, a.finest, a.finer)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) normalised images → (N, S, S) logits of the common object's mask in each."""
        both = self.encode(torch.cat([a, b]))
        first, second = self.common(both, both.rolled(len(a))).split(len(a))
        return first, second
