"""Augmentation: what it leaves alone, what it keeps in bounds, and that a seed repeats it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch._subclasses.fake_tensor import FakeTensorMode

from learning import augment


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _crops(n: int = 8, size: int = 48, seed: int = 0) -> torch.Tensor:
    crops = torch.rand(n, 3, size, size, generator=_generator(seed)) * 255
    return crops.contiguous(memory_format=torch.channels_last)


def test_uniform_numbers_lie_in_their_range_and_fill_it() -> None:
    numbers = augment.uniform(2000, -2.0, 3.0, _generator())
    assert -2 <= float(numbers.min()) < -1.9
    assert 2.9 < float(numbers.max()) < 3
    assert float(numbers.mean()) == pytest.approx(0.5, abs=0.15)


def test_a_share_of_the_crops_is_chosen_and_every_crop_at_times() -> None:
    generator = _generator()
    draws = [augment.choose(10, 0.34, generator).tolist() for _ in range(200)]
    assert all(len(draw) == len(set(draw)) == 3 for draw in draws)
    counts = np.bincount(np.ravel(draws), minlength=10)
    assert counts.shape == (10,)
    assert 35 < counts.min() <= counts.max() < 90


def test_no_step_waits_for_the_device() -> None:
    with FakeTensorMode():  # tensors without values: reading one, or a shape that depends on one, raises
        crops = torch.zeros(16, 3, 33, 33), torch.zeros(16, 3, 65, 65)
        found = augment.augment_pairs(*crops, torch.full((16, 4), 20.0), torch.Generator())
    assert [tuple(a.shape) for a in found] == [(16, 3, 33, 33), (16, 3, 65, 65)]


def test_no_strength_is_no_change_of_colour() -> None:
    crops = _crops()
    matrices, offsets = augment.colour_maps(len(crops), 0.0, _generator())
    assert torch.allclose(augment.apply_colour(crops, matrices, offsets), crops, atol=1e-3)


def test_colour_maps_keep_their_bounds() -> None:
    matrices, offsets = augment.colour_maps(3000, 1.0, _generator())
    greys = matrices.sum(2) * 128 + offsets  # what becomes of a middle grey: its gain and its cast
    gains = greys / 128
    assert 0.85 * 2**-1.2 <= float(gains.min()) < 0.5
    assert 1.5 < float(gains.max()) <= 1.15 * 2**0.8
    assert float(gains.std(1).max()) > 0.05  # the cast


def test_colour_is_applied_as_a_matrix_to_each_pixel_and_clipped() -> None:
    crops = _crops(2, 5)
    matrices, offsets = augment.colour_maps(2, 1.0, _generator(3))
    found = augment.apply_colour(crops, matrices, offsets)
    for n, row, column in np.ndindex(2, 5, 5):
        expected = matrices[n].numpy() @ crops[n, :, row, column].numpy() + offsets[n].numpy()
        assert found[n, :, row, column].numpy() == pytest.approx(np.clip(expected, 0, 255), abs=1e-2)


def test_grey_is_grey_of_the_same_luma() -> None:
    crops = _crops(2)
    maps = augment.grey_maps(torch.tensor([True, False]))
    grey, kept = augment.apply_colour(crops, maps, torch.zeros(2, 3))
    blue, green, red = crops[0]
    assert torch.allclose(grey, (0.114 * blue + 0.587 * green + 0.299 * red).expand(3, -1, -1), atol=1e-2)
    assert torch.allclose(kept, crops[1], atol=1e-3)


@pytest.mark.parametrize("change", [augment.blur, augment.coarsen, augment.noise])
def test_a_share_of_none_changes_none_and_of_all_changes_all(change: Callable[..., torch.Tensor]) -> None:
    crops = _crops()
    assert torch.equal(change(crops.clone(), 0.0, _generator()), crops)
    changed = change(crops.clone(), 1.0, _generator())
    assert changed.shape == crops.shape
    assert ((changed - crops).abs().flatten(1).max(1).values > 1).all()


@pytest.mark.parametrize("change", [augment.blur, augment.coarsen])
def test_blur_and_coarse_detail_leave_flat_colour_alone(change: Callable[..., torch.Tensor]) -> None:
    flat = torch.tensor([10.0, 120.0, 250.0]).view(1, 3, 1, 1).expand(4, 3, 40, 40).contiguous()
    assert torch.allclose(change(flat.clone(), 1.0, _generator()), flat, atol=1e-2)


def test_coarse_crops_lose_the_fine_detail_each_to_a_degree_of_its_own() -> None:
    def kept(period: float) -> torch.Tensor:
        wave = 128 + 100 * torch.cos(torch.arange(255) * 2 * np.pi / period).expand(40, 3, 255, 255)
        return augment.coarsen(wave.clone(), 1.0, _generator()).std((1, 2, 3)) / wave.std((1, 2, 3))

    assert kept(3).max() < 0.2
    assert kept(50).min() > 0.9
    assert kept(8).min() < 0.25 < 0.6 < kept(8).max()


def test_coarse_crops_keep_everything_in_its_place() -> None:
    ramp = torch.arange(255.0).expand(4, 3, 255, 255)
    coarse = augment.coarsen(ramp.clone(), 1.0, _generator())
    assert torch.allclose(coarse[..., 8:-8], ramp[..., 8:-8], atol=0.1)


def test_the_blur_is_one_kernel_of_sum_one_for_the_three_channels() -> None:
    point = torch.zeros(16, 3, 31, 31)
    point[:, :, 15, 15] = 100.0
    spread = augment.blur(point.clone(), 1.0, _generator())
    assert torch.allclose(spread.sum((2, 3)), torch.full((16, 3), 100.0), atol=1e-2)
    assert torch.allclose(spread[:, 0], spread[:, 2], atol=1e-5)
    assert spread[:, :, :11].abs().max() == 0
    picture = _crops(16, 40)
    blurred = augment.blur(picture.clone(), 1.0, _generator())
    for n in range(16):
        expected = ndimage.correlate(picture[n, 1].numpy(), spread[n, 1, 11:20, 11:20].numpy() / 100, mode="nearest")
        assert np.abs(blurred[n, 1].numpy() - expected).max() < 0.05


def test_some_blur_is_of_motion_and_some_of_focus() -> None:
    point = torch.zeros(40, 3, 31, 31)
    point[:, :, 15, 15] = 1.0
    kernels = augment.blur(point, 1.0, _generator())[:, 0, 11:20, 11:20].double()
    grid = torch.arange(-4.0, 5.0).double()
    places = torch.cartesian_prod(grid, grid)
    moments = torch.einsum("nk,ki,kj->nij", kernels.flatten(1), places, places)
    widths = torch.linalg.eigvalsh(moments)
    assert 5 < int((widths[:, 1] > 2 * widths[:, 0]).sum()) < 35


def test_at_most_half_of_the_target_is_hidden() -> None:
    n, size = 200, 64
    crops = torch.arange(1.0, n + 1).view(n, 1, 1, 1).expand(n, 3, size, size).clone()
    rng = np.random.default_rng(0)
    wh = rng.uniform(10, 40, (n, 2))
    boxes = torch.tensor(np.concatenate([rng.uniform(-10, 50, (n, 2)), wh], 1))
    hidden = augment.occlude(crops.clone(), boxes, 1.0, _generator())
    touched = 0
    for index in range(n):
        foreign = hidden[index, 0] != index + 1
        x, y, w, h = boxes[index].tolist()
        rows, columns = (axis.numpy() for axis in foreign.nonzero(as_tuple=True))
        if not len(rows):
            continue
        touched += 1
        assert foreign.sum() <= 0.5 * w * h
        assert columns.min() >= np.floor(x) - 1e-6
        assert columns.max() < x + w
        assert rows.min() >= np.floor(y)
        assert rows.max() < y + h
    assert touched > 100
    assert torch.equal(augment.occlude(crops.clone(), boxes, 0.0, _generator()), crops)


def test_what_hides_the_target_is_the_corner_of_another_crop() -> None:
    n, size = 12, 40
    pixel = torch.arange(float(size))
    number = torch.arange(float(n)).view(n, 1, 1).expand(n, size, size)
    crops = torch.stack([number, pixel[:, None].expand_as(number), pixel.expand_as(number)], dim=1)
    hidden = augment.occlude(crops.clone(), torch.tensor([[10.0, 12.0, 16.0, 20.0]]).expand(n, 4), 0.5, _generator())
    touched = [index for index in range(n) if not torch.equal(hidden[index], crops[index])]
    assert len(touched) == 6
    for index in touched:
        rows, columns = (hidden[index, 0] != index).nonzero(as_tuple=True)
        patch = hidden[index, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        source = int(patch[0, 0, 0])
        assert torch.equal(patch, crops[source, :, : patch.shape[1], : patch.shape[2]])


def test_a_single_crop_has_no_other_to_be_hidden_by() -> None:
    crops = _crops(1)
    assert torch.equal(
        augment.occlude(crops.clone(), torch.tensor([[10.0, 10.0, 20.0, 20.0]]), 1.0, _generator()), crops
    )


def test_noise_is_not_above_its_deviation() -> None:
    flat = torch.full((64, 3, 48, 48), 128.0)
    deviations = (augment.noise(flat.clone(), 1.0, _generator()) - flat).flatten(1).std(1)
    assert 1.9 < float(deviations.min()) < 4
    assert 10 < float(deviations.max()) < 12.5


def test_augmented_pairs_stay_in_range_and_a_seed_repeats_them() -> None:
    exemplars, searches = _crops(16, 33), _crops(16, 65, seed=1)
    boxes = torch.tensor([[20.0, 20.0, 25.0, 25.0]]).expand(16, 4)
    runs = [augment.augment_pairs(exemplars.clone(), searches.clone(), boxes, _generator(seed)) for seed in (5, 5, 6)]
    for crops, original in zip(runs[0], (exemplars, searches), strict=True):
        assert crops.shape == original.shape
        assert float(crops.min()) >= 0
        assert float(crops.max()) <= 255
        assert not torch.equal(crops, original)
    assert all(torch.equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert not torch.equal(runs[0][0], runs[2][0])


def test_the_strong_change_of_colour_is_shared_by_both_crops() -> None:
    n = 400
    exemplars, searches = torch.full((n, 3, 8, 8), 100.0), torch.full((n, 3, 16, 16), 100.0)
    boxes = torch.tensor([[4.0, 4.0, 6.0, 6.0]]).expand(n, 4)
    a, b = augment.augment_pairs(exemplars, searches, boxes, _generator())
    first, second = (crops.mean((1, 2, 3)).log2() for crops in (a, b))
    correlation = float(torch.corrcoef(torch.stack([first, second]))[0, 1])
    assert 0.4 < correlation < 0.95
    grey = [(crops.amax(1) - crops.amin(1)).flatten(1).median(1).values < 1e-2 for crops in (a, b)]
    both = (grey[0] & grey[1]).float().mean()
    assert float(both) > 0.05
    assert float((grey[0] ^ grey[1]).float().mean()) < float(both)
