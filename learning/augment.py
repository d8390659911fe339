"""Photometric augmentation of crops, in batches, on whatever device they lie.

Everything random comes from one generator, so that a seed repeats a run.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.114, 0.587, 0.299)  # of B, G, R (ITU-R BT.601)


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(n,) uniform random numbers on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


def colour_maps(n: int, strength: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random gain, contrast, saturation and colour cast as one affine map of B, G, R a crop.

    Args:
        n: number of crops.
        strength: 0 = identity; 1 = strong (gain 0.4…1.7, contrast 0.5…1.5).
        generator: source of randomness.

    Returns:
        (n, 3, 3) matrices and (n, 3) offsets for values in [0, 255].
    """
    device = generator.device
    gain = torch.exp2(uniform(n, -1.2, 0.8, generator) * strength)
    contrast = 1 + uniform(n, -0.5, 0.5, generator) * strength
    saturation = 1 + uniform(n, -0.6, 0.6, generator) * strength
    cast = 1 + (torch.rand(n, 3, generator=generator, device=device) - 0.5) * 0.3 * strength
    luma = torch.tensor(LUMA, device=device).expand(3, 3)
    blend = saturation[:, None, None] * torch.eye(3, device=device) + (1 - saturation)[:, None, None] * luma
    matrices = (gain * contrast)[:, None, None] * cast[:, :, None] * blend
    offsets = (128 * gain * (1 - contrast))[:, None] * cast
    return matrices, offsets


def grey_maps(chosen: Tensor) -> Tensor:
    """(n, 3, 3) maps that turn the chosen crops grey and leave the others: `chosen` is (n,) bool."""
    luma = torch.tensor(LUMA, device=chosen.device).expand(3, 3)
    return torch.where(chosen[:, None, None], luma, torch.eye(3, device=chosen.device))


def apply_colour(crops: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """(n, 3, H, W) crops through one affine map of the channels each, clipped to [0, 255]."""
    pixels = crops.permute(0, 2, 3, 1).flatten(1, 2)
    mapped = torch.baddbmm(offsets[:, None, :], pixels, matrices.transpose(1, 2)).clamp_(0, 255)
    return mapped.unflatten(1, crops.shape[2:]).permute(0, 3, 1, 2)


def blur(crops: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Blur a random share of the crops along a random direction (motion) or in all (focus), up to 9 pixels wide."""
    n = len(crops)
    chosen = (uniform(n, 0, 1, generator) < share).nonzero()[:, 0]
    if not len(chosen):
        return crops
    m = len(chosen)
    angle = uniform(m, 0, math.pi, generator)
    along = uniform(m, 0.6, 3.0, generator)
    across = torch.where(uniform(m, 0, 1, generator) < 0.5, along, torch.full_like(along, 0.3))
    grid = torch.arange(-4.0, 5.0, device=crops.device)
    x, y = grid[None, None, :], grid[None, :, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    exponent = ((x * cos + y * sin) / along[:, None, None]) ** 2 + ((y * cos - x * sin) / across[:, None, None]) ** 2
    kernels = torch.exp(-exponent / 2)
    kernels = (kernels / kernels.sum((1, 2), keepdim=True)).repeat_interleave(3, 0)[:, None]
    picked = F.pad(crops[chosen], (4, 4, 4, 4), mode="replicate").contiguous()
    blurred = F.conv2d(picked.reshape(1, 3 * m, *picked.shape[2:]), kernels, groups=3 * m)
    out = crops.clone()
    out[chosen] = blurred.reshape(m, 3, *crops.shape[2:])
    return out


def coarsen(crops: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Give a random share of the crops the detail of a target 2 to 4 times smaller."""
    chosen = (uniform(len(crops), 0, 1, generator) < share).nonzero()[:, 0]
    if not len(chosen):
        return crops
    factor = float(uniform(1, 2, 4, generator))
    small = F.interpolate(crops[chosen], scale_factor=1 / factor, mode="bilinear", antialias=True)
    out = crops.clone()
    out[chosen] = F.interpolate(small, size=crops.shape[2:], mode="bilinear")
    return out


def occlude(crops: Tensor, boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Lay a patch of another crop of the batch over a part (at most a half) of the target, in place.

    Args:
        crops: (n, 3, H, W).
        boxes: (n, 4) the targets ``(x, y, w, h)`` in pixels of the crops.
        share: of the crops that are touched.
        generator: source of randomness.
    """
    size = crops.shape[-1]
    chosen = (uniform(len(crops), 0, 1, generator) < share).nonzero()[:, 0].tolist()
    draws = torch.rand(len(chosen), 5, generator=generator, device=generator.device).tolist()
    targets = boxes.tolist()
    for index, (a, b, c, d, e) in zip(chosen, draws, strict=True):
        x, y, w, h = targets[index]
        width, height = (w * (0.2 + 0.3 * a), h) if e < 0.5 else (w, h * (0.2 + 0.3 * a))
        left, top = int(x + b * (w - width)), int(y + c * (h - height))
        right, bottom = min(left + int(width), size), min(top + int(height), size)
        left, top = max(left, 0), max(top, 0)
        if right - left > 1 and bottom - top > 1:
            source = crops[(index + 1 + int(d * (len(crops) - 1))) % len(crops)]
            crops[index, :, top:bottom, left:right] = source[:, : bottom - top, : right - left]
    return crops


def augment_pairs(
    exemplars: Tensor, searches: Tensor, boxes: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What the camera, the light and the world do between two looks at one target.

    Args:
        exemplars: (n, 3, 127, 127) in [0, 255].
        searches: (n, 3, 255, 255) in [0, 255].
        boxes: (n, 4) the targets in the search crops.
        generator: source of randomness.

    Returns:
        The augmented crops: a shared strong and a separate mild change of colour, grey in both, blur, coarse detail,
        sensor noise in each, occlusion of the search crop.
    """
    n = len(exemplars)
    grey = grey_maps(uniform(n, 0, 1, generator) < 0.2)
    shared, shared_offset = colour_maps(n, 0.6, generator)
    searches = occlude(searches, boxes, 0.15, generator)
    out = []
    for crops in (exemplars, searches):
        own, own_offset = colour_maps(n, 0.45, generator)
        matrices = grey @ own @ shared
        offsets = torch.einsum("nij,nj->ni", grey @ own, shared_offset) + torch.einsum("nij,nj->ni", grey, own_offset)
        crops = coarsen(crops, 0.15, generator)
        crops = blur(crops, 0.2, generator)
        crops = apply_colour(crops, matrices, offsets)
        out.append(noise(crops, 0.15, generator))
    return out[0], out[1]


def noise(crops: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Sensor noise of a standard deviation of up to 12 grey levels in a random share of the crops, in place."""
    chosen = (uniform(len(crops), 0, 1, generator) < share).nonzero()[:, 0]
    for index in chosen.tolist():
        sigma = float(uniform(1, 2, 12, generator))
        grain = torch.randn(crops[index].shape, generator=generator, device=crops.device)
        crops[index] = (crops[index] + sigma * grain).clamp_(0, 255)
    return crops
