"""Photometric augmentation of crops, in batches, on whatever device they lie.

Everything random comes from one generator on the crops' device, so that a seed repeats a run. How many crops are
touched is a fixed share of the batch: the shapes are then known, and nothing here waits for the device.
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


def choose(n: int, share: float, generator: torch.Generator) -> Tensor:
    """Distinct random indices below n, int64: `share` of them, rounded."""
    return uniform(n, 0, 1, generator).argsort()[: round(share * n)]


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
    blend = torch.lerp(_grey(device), torch.eye(3, device=device), saturation[:, None, None])
    matrices = (gain * contrast)[:, None, None] * cast[:, :, None] * blend
    offsets = (128 * gain * (1 - contrast))[:, None] * cast
    return matrices, offsets


def grey_maps(chosen: Tensor) -> Tensor:
    """(n, 3, 3) maps that turn the chosen crops grey and leave the others: `chosen` is (n,) bool."""
    return torch.where(chosen[:, None, None], _grey(chosen.device), torch.eye(3, device=chosen.device))


def _grey(device: torch.device) -> Tensor:
    """(3, 3) map of B, G, R to three times the luma, made on the device: a copy from the host would wait for it."""
    return torch.stack([torch.full((3,), weight, device=device) for weight in LUMA], dim=1)


def apply_colour(crops: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """(n, 3, H, W) crops through one affine map of the channels each, clipped to [0, 255]."""
    pixels = crops.permute(0, 2, 3, 1).flatten(1, 2)
    mapped = torch.baddbmm(offsets[:, None, :], pixels, matrices.transpose(1, 2)).clamp_(0, 255)
    return mapped.unflatten(1, crops.shape[2:]).permute(0, 3, 1, 2)


def blur(crops: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Blur a random share of the crops, along one direction (motion) or all (focus), up to 9 pixels wide, in place."""
    chosen = choose(len(crops), share, generator)
    m = len(chosen)
    if m == 0:
        return crops
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
    crops[chosen] = blurred.reshape(m, 3, *crops.shape[2:])
    return crops


def coarsen(crops: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Give a random share of the crops the detail of a target 2 to 4 times smaller, in place."""
    chosen = choose(len(crops), share, generator)
    if not len(chosen):
        return crops
    # Between two levels of a pyramid, as a mipmap: so each crop has a factor of its own and all have one shape.
    size = crops.shape[-1]
    halved = _resize(crops[chosen], size // 2)
    quartered = _resize(_resize(halved, size // 4), size // 2)
    weight = uniform(len(chosen), 0, 1, generator)[:, None, None, None]
    crops[chosen] = _resize(halved.lerp(quartered, weight), size)
    return crops


def _resize(crops: Tensor, size: int) -> Tensor:
    """Square crops of another size whose content stays in its place."""
    return F.interpolate(crops, size=(size, size), mode="bilinear", antialias=size < crops.shape[-1])


def occlude(crops: Tensor, boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Lay the top left corner of another crop of the batch over a part (at most a half) of the target, in place.

    Args:
        crops: (n, 3, S, S).
        boxes: (n, 4) the targets ``(x, y, w, h)`` in pixels of the crops.
        share: of the crops that are touched.
        generator: source of randomness.
    """
    n, size = len(crops), crops.shape[-1]
    chosen = choose(n, share if n > 1 else 0, generator)
    if not len(chosen):
        return crops
    x, y, w, h = boxes[chosen].unbind(1)
    part, across, down, step, upright = torch.rand(5, len(chosen), generator=generator, device=crops.device)
    part = 0.2 + 0.3 * part
    width = torch.where(upright < 0.5, w * part, w)
    height = torch.where(upright < 0.5, h, h * part)
    pixel = torch.arange(size, device=crops.device)
    columns = pixel - (x + across * (w - width)).floor().long()[:, None]  # of the patch, counted from its left
    rows = pixel - (y + down * (h - height)).floor().long()[:, None]
    inside_columns = (columns >= 0) & (columns < width.floor()[:, None])
    inside_rows = (rows >= 0) & (rows < height.floor()[:, None])
    covered = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    source = (chosen + 1 + (step * (n - 1)).long()) % n
    patch = crops.permute(0, 2, 3, 1)[
        source[:, None, None], rows.clamp(0, size - 1)[:, :, None], columns.clamp(0, size - 1)[:, None, :]
    ]
    crops[chosen] = torch.where(covered, patch.permute(0, 3, 1, 2), crops[chosen])
    return crops


def augment_pairs(
    exemplars: Tensor, searches: Tensor, boxes: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What the camera, the light and the world do between two looks at one target.

    Args:
        exemplars: (n, 3, 127, 127) in [0, 255]; overwritten.
        searches: (n, 3, 255, 255) in [0, 255]; overwritten.
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
    """Sensor noise of a standard deviation of 2 to 12 grey levels in a random share of the crops, in place."""
    chosen = choose(len(crops), share, generator)
    picked = crops[chosen]
    sigma = uniform(len(chosen), 2, 12, generator)[:, None, None, None]
    grain = torch.randn(picked.shape, generator=generator, device=crops.device)
    crops[chosen] = (picked + sigma * grain).clamp_(0, 255)
    return crops
