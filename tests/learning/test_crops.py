"""Crops by OpenCV, crops by gathering, and a plain loop agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learning.crops import Cropper
from tracker.crop import crop, crop_matrix

SIZE = 21


def _images(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((40, 60), (33, 9), (16, 50), (1, 1))]


def _jobs(images: list[np.ndarray], n: int = 32, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices and maps: regions of any size, in, partly out of and beyond the images, half of them mirrored."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(len(images), size=n)
    maps = []
    for row, index in enumerate(indices):
        height, width = images[index].shape[:2]
        centre = rng.uniform(-0.3, 1.3) * width, rng.uniform(-0.3, 1.3) * height
        maps.append(crop_matrix(centre, rng.uniform(5, 80), SIZE, bool(row % 2)))
    return torch.from_numpy(indices), torch.from_numpy(np.stack(maps))


def _borders(kind: str, n: int = 32) -> torch.Tensor:
    rng = np.random.default_rng(2)
    shape = (n, 3) if kind == "colours" else (n, 3, SIZE, SIZE)
    return torch.from_numpy(rng.integers(0, 256, shape).astype(np.float32))


def _plain(image: np.ndarray, matrix: np.ndarray, border: np.ndarray) -> np.ndarray:
    """One crop, pixel by pixel: (3, SIZE, SIZE)."""
    height, width = image.shape[:2]
    out = np.empty((3, SIZE, SIZE))
    for row, column in np.ndindex(SIZE, SIZE):
        beyond = border if border.ndim == 1 else border[:, row, column]
        x, y = matrix @ (column, row, 1.0)
        left, top = int(np.floor(x)), int(np.floor(y))
        value = np.zeros(3)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy))
            inside = 0 <= left + dx < width and 0 <= top + dy < height
            value += weight * (image[top + dy, left + dx] if inside else beyond)
        out[:, row, column] = value
    return out


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("kind", ["colours", "crops"])
def test_both_ways_agree_with_a_plain_loop(kind: str, gather: bool) -> None:
    images = _images()
    indices, maps = _jobs(images)
    borders = _borders(kind)
    crops = Cropper(images, gather=gather)(indices, maps, borders, SIZE)
    assert crops.shape == (32, 3, SIZE, SIZE)
    assert crops.dtype == torch.float32
    assert crops.is_contiguous(memory_format=torch.channels_last)
    for found, index, matrix, border in zip(crops, indices, maps.numpy(), borders.numpy(), strict=True):
        assert np.abs(found.numpy() - _plain(images[index], matrix, border)).max() <= 1


@pytest.mark.parametrize("gather", [False, True])
def test_training_sees_what_the_tracker_sees(gather: bool) -> None:
    image = _images()[0]
    centre, side, border = (31.7, 14.2), 44.0, (10.0, 200.0, 90.0)
    expected = crop(image, centre, side, SIZE, border)
    maps = torch.from_numpy(crop_matrix(centre, side, SIZE))[None]
    found = Cropper([image], gather=gather)(torch.tensor([0]), maps, torch.tensor([border]), SIZE)
    assert np.abs(found[0].permute(1, 2, 0).numpy() - expected).max() <= 1


@pytest.mark.parametrize("gather", [False, True])
def test_a_map_to_nowhere_gives_the_border(gather: bool) -> None:
    maps = torch.from_numpy(crop_matrix((0, 0), 30, SIZE))[None].clone()
    maps[:, :, 2] = -1e6
    crops = Cropper(_images(), gather=gather)(torch.tensor([1]), maps, torch.tensor([[1.0, 2.0, 3.0]]), SIZE)
    assert torch.equal(crops, torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE))


@pytest.mark.parametrize("gather", [False, True])
def test_cropping_changes_neither_images_nor_borders(gather: bool) -> None:
    images, borders = _images(), _borders("crops")
    indices, maps = _jobs(images)
    before = [image.copy() for image in images], borders.clone()
    for image in images:
        image.setflags(write=False)  # as those of a mapped cache
    Cropper(images, gather=gather)(indices, maps, borders, SIZE)
    assert all(np.array_equal(a, b) for a, b in zip(images, before[0], strict=True))
    assert torch.equal(borders, before[1])


def test_a_cpu_uses_opencv_unless_asked() -> None:
    assert not Cropper(_images()).gather
    assert Cropper(_images(), gather=True).gather
