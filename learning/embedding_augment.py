"""Small distortions of images, a different one for each: what stays the same character, digit or face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Distortion:
    """How far an image may be distorted, each part drawn evenly from within its bounds.

    Attributes:
        rotation: degrees, either way.
        shear: tangent of the angle, either way, along both axes.
        scale: factor exp(± scale), for width and height each.
        shift: share of the side, either way.
        bend: standard deviation, as a share of the side, of how far the corners of a 4 × 4 grid are moved, the rest
            smoothly with them (elastic distortion; Simard, Steinkraus, Platt 2003).
        share: of the images that each part is applied to.
        mirror: flip left and right, every other image.
    """

    rotation: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    share: float = 1.0
    mirror: bool = False


DISTORTIONS = {
    "none": Distortion(),
    "shift": Distortion(rotation=8.0, scale=0.1, shift=0.07),
    # rotation, shear, scale and shift of Koch et al. (2015, section 3.2), each for half of the images
    "affine": Distortion(rotation=10.0, shear=0.3, scale=0.2, shift=2 / 105, share=0.5),
    "strong": Distortion(rotation=15.0, shear=0.3, scale=0.25, shift=0.06),
    "handwriting": Distortion(rotation=15.0, shear=0.3, scale=0.25, shift=0.06, bend=0.025),
    # of drawings framed by their ink, whose size and place vary less
    "framed": Distortion(rotation=15.0, shear=0.3, scale=0.12, shift=0.03, bend=0.02),
    "photo": Distortion(rotation=8.0, scale=0.1, shift=0.05, mirror=True),
}


def distort(images: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Distort each image of a batch on its own, bilinearly; beyond the border is what the border shows.

    Args:
        images: (N, C, H, W) float.
        how: the bounds.
        generator: of the random numbers, on the CPU.

    Returns:
        (N, C, H, W).
    """
    if how == Distortion():
        return images
    count = len(images)

    def drawn(bound: float, columns: int = 1) -> Tensor:
        values = (torch.rand(count, columns, generator=generator) * 2 - 1) * bound
        return values * (torch.rand(count, columns, generator=generator) < how.share)

    angle, shear, scale = drawn(math.radians(how.rotation))[:, 0], drawn(how.shear, 2), drawn(how.scale, 2).exp()
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
    shears = torch.eye(2).repeat(count, 1, 1)
    shears[:, 0, 1], shears[:, 1, 0] = shear[:, 0], shear[:, 1]
    linear = turn @ shears * scale[:, None, :]
    if how.mirror:
        linear[:, :, 0] *= (torch.rand(count, 1, generator=generator) < 0.5) * -2.0 + 1.0
    maps = torch.cat([linear, drawn(2 * how.shift, 2)[:, :, None]], 2)  # coordinates run from −1 to 1
    grid = F.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    if how.bend:
        moved = torch.randn(count, 2, 4, 4, generator=generator) * (2 * how.bend)
        moved = moved * (torch.rand(count, 1, 1, 1, generator=generator) < how.share)
        grid = grid + F.interpolate(moved.to(images), images.shape[2:], mode="bicubic").permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
