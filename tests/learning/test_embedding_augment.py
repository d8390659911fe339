"""Distortions: that they are what they say, on images whose distortion can be told."""

from __future__ import annotations

import math

import pytest
import torch

from learning.embedding_augment import DISTORTIONS, Distortion, distort

SIZE = 41


def _blob(x: float, y: float, count: int = 64) -> torch.Tensor:
    """Images with a Gaussian at (x, y), continuous pixels."""
    grid = torch.arange(SIZE) + 0.5
    image = torch.exp(-((grid[None, :] - x) ** 2 + (grid[:, None] - y) ** 2) / 8)
    return image.expand(count, 1, SIZE, SIZE).contiguous()


def _centres(images: torch.Tensor) -> torch.Tensor:
    """(n, 2) centres of mass relative to the middle of the image."""
    grid = torch.arange(SIZE) + 0.5 - SIZE / 2
    mass = images.sum((1, 2, 3))
    return torch.stack([(images.sum((1, 2)) * grid).sum(1) / mass, (images.sum((1, 3)) * grid).sum(1) / mass], 1)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_without_bounds_nothing_changes() -> None:
    images = torch.rand(3, 1, 9, 9)
    assert distort(images, Distortion(), _seeded()) is images
    torch.testing.assert_close(distort(images, Distortion(shift=1e-9), _seeded()), images, atol=1e-4, rtol=1e-4)


def test_rotation_keeps_the_distance_from_the_middle_and_its_bounds() -> None:
    found = _centres(distort(_blob(SIZE / 2 + 10, SIZE / 2), Distortion(rotation=30), _seeded()))
    assert found.norm(dim=1).tolist() == pytest.approx([10] * 64, abs=0.1)
    angles = torch.atan2(found[:, 1], found[:, 0]) * 180 / math.pi
    assert angles.abs().max() < 30.5
    assert angles.min() < -15
    assert angles.max() > 15


def test_shift_moves_by_a_share_of_the_side_at_most() -> None:
    found = _centres(distort(_blob(SIZE / 2, SIZE / 2), Distortion(shift=0.1), _seeded()))
    assert found.abs().max() < 0.1 * SIZE + 0.1
    assert (found.abs().max(0).values > 0.07 * SIZE).all(), "along both axes"


def test_bending_moves_places_far_apart_each_on_its_own_and_neighbours_alike() -> None:
    """On images whose values are their columns, a pixel then says where it came from."""
    columns = torch.arange(40.0).expand(1000, 1, 40, 40)
    moved = distort(columns, Distortion(bend=0.03), _seeded())[:, 0] - columns[:, 0]
    corner, beside, next_corner = moved[:, 14, 14], moved[:, 15, 15], moved[:, 14, 24]  # near corners of the grid
    assert float(corner.std()) == pytest.approx(0.03 * 40, rel=0.1)
    assert float(torch.corrcoef(torch.stack([corner, beside]))[0, 1]) > 0.95
    assert abs(float(torch.corrcoef(torch.stack([corner, next_corner]))[0, 1])) < 0.2


def test_scale_is_within_its_factor() -> None:
    found = _centres(distort(_blob(SIZE / 2 + 8, SIZE / 2), Distortion(scale=0.25), _seeded()))[:, 0] / 8
    assert found.min() > math.exp(-0.25) - 0.02
    assert found.max() < math.exp(0.25) + 0.02
    assert found.max() / found.min() > 1.3


def test_a_share_of_the_images_is_left_alone() -> None:
    images = _blob(SIZE / 2 + 10, SIZE / 2, 400)
    still = (distort(images, Distortion(rotation=30, share=0.25), _seeded()) - images).abs().amax((1, 2, 3)) < 1e-3
    assert 0.65 < still.float().mean() < 0.85


def test_half_of_the_images_are_mirrored() -> None:
    found = _centres(distort(_blob(SIZE / 2 + 10, SIZE / 2), Distortion(mirror=True), _seeded()))
    assert found[:, 0].abs().tolist() == pytest.approx([10] * 64, abs=0.1)
    assert 16 < (found[:, 0] < 0).sum() < 48


@pytest.mark.parametrize("name", sorted(DISTORTIONS))
def test_the_seed_decides_and_images_differ(name: str) -> None:
    images = torch.rand(1, 1, 20, 20).expand(4, 1, 20, 20).contiguous()
    first, again = (distort(images, DISTORTIONS[name], _seeded()) for _ in range(2))
    assert torch.equal(first, again)
    if name not in ("none", "affine"):  # of which some are left alone
        assert all(not torch.equal(first[0], other) for other in first[1:])
