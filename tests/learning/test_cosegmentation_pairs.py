"""Pairs to learn from: masks follow what is drawn, what is common is common, batches repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learning.cosegmentation_data import Mask, Photo
from learning.cosegmentation_pairs import (
    PairBatches,
    PairConfig,
    PairSampler,
    augment,
    cut_out,
    photo_scene,
    plain_scene,
    warp,
)

COLOURS = {"red": (0, 0, 250), "green": (0, 250, 0), "blue": (250, 0, 0), "pair/white": (250, 250, 250)}


def photo(identity: str, seed: int = 0, shown: tuple[str, ...] = ()) -> Photo:
    """A square of the identity's colour on dark noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (60, 80, 3), dtype=np.uint8)
    mask = np.zeros((60, 80), bool)
    top, left = rng.integers(5, 25), rng.integers(5, 45)
    mask[top : top + 28, left : left + 28] = True
    image[mask] = COLOURS[identity]
    return Photo(identity, "test", image, {identity: mask}, frozenset((identity, *shown)))


def coloured(image: np.ndarray, identity: str) -> Mask:
    """Where the picture has the identity's colour: high where it is high, low where it is low."""
    wanted = np.array(COLOURS[identity]) > 100
    return np.asarray(((image > 100) == wanted).all(-1))


@pytest.mark.parametrize("seed", range(8))
def test_a_photograph_s_mask_goes_where_its_pixels_go(seed: int) -> None:
    scene = photo_scene(photo("red", seed), 64, np.random.default_rng(seed))
    seen = coloured(scene.image, "red")
    assert (seen & scene.masks["red"]).sum() > 0.9 * (seen | scene.masks["red"]).sum()


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_out_hides_what_is_behind_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = plain_scene(photo("red", seed), 64)
    scene.paste(cut_out(photo("green", seed + 1), "green", 64, rng))
    assert not (scene.masks["red"] & scene.masks["green"]).any()
    for identity in ("red", "green"):
        seen = coloured(scene.image, identity)
        union = (seen | scene.masks[identity]).sum()
        assert (seen & scene.masks[identity]).sum() >= 0.8 * union, identity
    np.testing.assert_array_equal(scene.salient, scene.masks["red"] | scene.masks["green"])
    assert scene.classes == {"red", "green"}


def test_coordinates_are_continuous_when_a_picture_is_warped() -> None:
    """Twice as large about the corner: each pixel becomes two by two, without a shift."""
    source = np.zeros((4, 4), np.float32)
    source[1, 2] = 1
    twice = warp(source, np.array([[2.0, 0, 0], [0, 2.0, 0]]), 8, 0)
    rows, columns = np.mgrid[0:8, 0:8] + 0.5
    assert (twice * columns).sum() / twice.sum() == pytest.approx(2 * 2.5)
    assert (twice * rows).sum() / twice.sum() == pytest.approx(2 * 1.5)


def sampler(**changes: object) -> PairSampler:
    photos = [photo(identity, seed) for seed in range(3) for identity in ("red", "green", "blue")]
    photos.append(photo("pair/white"))
    return PairSampler(photos, config=PairConfig(size=48, video=0.0, **changes))  # type: ignore[arg-type]


def test_what_is_common_is_what_both_pictures_show() -> None:
    draw = sampler(unrelated=0.3)
    empty = 0
    for seed in range(60):
        a, b = draw.pair(np.random.default_rng(seed))
        shared = a.masks.keys() & b.masks.keys()
        expected = np.zeros((48, 48), bool)
        for identity in shared:
            expected |= a.masks[identity]
        np.testing.assert_array_equal(a.common(b), expected)
        assert a.comparable(b)
        empty += not shared
    assert 3 <= empty <= 30, "some of the pairs have nothing in common"


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
def test_the_share_of_unrelated_pairs_is_kept(share: float, expected: bool) -> None:
    draw = sampler(unrelated=share, composed=0.0, distractors=(1.0,), second=0.0)
    found = [not (a.masks.keys() & b.masks.keys()) for a, b in (draw.pair(np.random.default_rng(s)) for s in range(20))]
    assert np.mean(found) > 0.8 if expected else not any(found)  # the same identity may be drawn again and again


def test_a_second_common_object_is_in_both_pictures() -> None:
    draw = sampler(unrelated=0.0, composed=0.0, distractors=(1.0,), second=1.0)
    counts = [len(a.masks.keys() & b.masks.keys()) for a, b in (draw.pair(np.random.default_rng(s)) for s in range(30))]
    assert max(counts) == 2


def test_pictures_that_cannot_be_compared_are_not_paired() -> None:
    photos = [photo("red", 1, ("person",)), photo("green", 2, ("person",))]
    with pytest.raises(ValueError, match="no two photographs can be compared"):
        PairSampler(photos, config=PairConfig(composed=0.0, size=32)).pair(np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least two photographs"):
        PairSampler(photos[:1])


def test_a_batch_depends_on_its_number_and_the_seed_only() -> None:
    draw = sampler()
    first, again = PairBatches(draw, 3, 5, seed=1), PairBatches(draw, 3, 5, seed=1)
    list(first)
    for name in ("images", "common", "salient"):
        assert torch.equal(getattr(first[4], name), getattr(again[4], name))
    assert not torch.equal(first[4].images, first[3].images)
    assert not torch.equal(first[4].images, PairBatches(draw, 3, 5, seed=2)[4].images)
    batch = first[0]
    assert batch.images.shape == (6, 3, 48, 48)
    assert batch.common.shape == batch.salient.shape == (6, 48, 48)
    assert (batch.common <= batch.salient).all(), "what is common is among what is masked"


def test_augmented_pictures_stay_pictures() -> None:
    images = torch.rand(8, 3, 48, 48) * 255
    changed = augment(images.clone(), torch.Generator().manual_seed(0))
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert all((changed[i] - images[i]).abs().mean() > 1 for i in range(8))
