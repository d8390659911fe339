"""Pairs: the target is where the box says, places are uniform, and kinds, scenes and seeds are as asked for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from scipy import stats

from learning.crops import Cropper
from learning.footage import Footage
from learning.pairs import PairBatch, PairBatches, PairConfig
from tracker.crop import exemplar_side

ALL = {"video": 0.4, "synthetic": 0.1, "still": 0.3, "unlabelled": 0.2}


def _image(box: tuple[float, ...] | None, seed: int, width: int = 240, height: int = 180) -> np.ndarray:
    """Dim noise with the left half of the box red and the right half green."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (height, width, 3), dtype=np.uint8)
    if box is not None:
        x, y, w, h = (int(value) for value in box)
        image[y : y + h, x : x + w // 2] = (0, 0, 255)
        image[y : y + h, x + w // 2 : x + w] = (0, 255, 0)
    return image


@pytest.fixture(scope="module")
def footage() -> Footage:
    """Two videos, four stills (two in one image), a synthetic clip of two objects, two unlabelled images."""
    footage = Footage()
    for video in range(2):
        boxes = [(60.0 + 10 * t, 50.0 + 5 * t, 40.0, 30.0) for t in range(8)]
        images = [footage.add_image(_image(box, 10 * video + t)) for t, box in enumerate(boxes)]
        footage.add_track(f"video/{video}", "video", images, boxes)
    for still, category in enumerate(("cat", "dog", "cat")):
        box = (80.0, 60.0, 24.0, 40.0)
        footage.add_track(f"still/{still}", "still", footage.add_image(_image(box, 30 + still)), box, category)
    footage.add_track("still/again", "still", footage.tracks[-1].images[0], (90.0, 70.0, 20.0, 20.0), "dog")
    clip = [footage.add_image(_image((100.0, 80.0, 20.0, 20.0), 40 + t)) for t in range(3)]
    footage.add_track("clip/0", "synthetic", clip, [(100.0, 80.0, 20.0, 20.0)] * 3)
    footage.add_track("clip/1", "synthetic", clip[1:], [(20.0, 20.0, 20.0, 20.0)] * 2)
    footage.unlabelled += [footage.add_image(_image((50.0, 50.0, 90.0, 70.0), 50 + t)) for t in range(2)]
    return footage


def _batch(footage: Footage, n: int = 64, seed: int = 0, **config: object) -> PairBatch:
    config = {"mix": ALL, **config}
    return next(iter(PairBatches(footage, n, 1, seed, config=PairConfig(**config))))  # type: ignore[arg-type]


def _halves(crop: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x1, y1, x2, y2) of what is red and of what is green in a (3, S, S) crop."""
    pixels = crop.permute(1, 2, 0).numpy()
    corners = []
    for channel in (2, 1):
        mask = (pixels[..., channel] > 128).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(mask)
        corners.append(np.array([x, y, x + w, y + h]))
    return corners[0], corners[1]


@pytest.mark.parametrize("kind", ["video", "still"])
def test_the_target_is_where_the_box_says(footage: Footage, kind: str) -> None:
    marked = Footage(footage.images, [track for track in footage.tracks if track.name != "still/again"])
    batch = _batch(marked, 24, mix={kind: 1.0}, shift=30.0, clutter=0.0)
    crops = Cropper(marked.images)(batch.search_images, batch.search_maps, batch.behind_borders, 255)
    mirrored = 0
    for crop, box, matrix in zip(crops, batch.boxes.numpy(), batch.search_maps, strict=True):
        red, green = _halves(crop)
        found = np.array([*np.minimum(red[:2], green[:2]), *np.maximum(red[2:], green[2:])])
        expected = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])
        assert np.abs(found - expected).max() <= 2, "more than a pixel and the blur of the interpolation"
        flipped = bool(matrix[0, 0] < 0)
        assert (green[0] < red[0]) == flipped
        mirrored += flipped
    assert 0 < mirrored < 24


def test_exemplar_and_search_region_are_mirrored_together(footage: Footage) -> None:
    batch = _batch(footage)
    assert torch.equal(batch.exemplar_maps[:, 0, 0] < 0, batch.search_maps[:, 0, 0] < 0)


def test_the_exemplar_shows_the_target_in_the_middle_at_the_trackers_scale(footage: Footage) -> None:
    batch = _batch(footage, mix={"still": 1.0}, exemplar_jitter=0.0)
    stills = {int(track.images[0]): track.boxes[0] for track in footage.tracks if track.name != "still/again"}
    again = footage.tracks[-3].boxes[0]
    for index, matrix in zip(batch.exemplar_images.tolist(), batch.exemplar_maps.numpy(), strict=True):
        middle = matrix @ (63.0, 63.0, 1.0) + 0.5  # pixel 63 of 127 is the middle one
        boxes = [box for box in (stills[index], again) if np.allclose(box[:2] + box[2:] / 2, middle)]
        assert boxes
        assert abs(matrix[0, 0]) * 127 == pytest.approx(exemplar_side(*boxes[0][2:].tolist()))


def test_the_exemplars_jitter_stays_within_its_bounds(footage: Footage) -> None:
    still = Footage(footage.images, [footage.tracks[2]])
    x, y, w, h = (float(value) for value in still.tracks[0].boxes[0])
    maps = _batch(still, 500, mix={"still": 1.0}, exemplar_jitter=0.1).exemplar_maps.numpy()
    middle = np.array([matrix @ (63.0, 63.0, 1.0) + 0.5 for matrix in maps])
    offset = (middle - (x + w / 2, y + h / 2)) / (w, h)
    assert np.abs(offset).max() <= 0.15 + 1e-9  # a tenth of the place and half a tenth of the size
    assert np.abs(offset).max() > 0.1
    sides = np.abs(maps[:, 0, 0]) * 127 / exemplar_side(w, h)
    assert 0.9 <= sides.min() < 0.95
    assert 1.05 < sides.max() <= 1.1


def test_places_in_the_search_region_are_uniform(footage: Footage) -> None:
    boxes = _batch(footage, 2000, shift=60.0).boxes.numpy()
    shifts = boxes[:, :2] + boxes[:, 2:] / 2 - 127.5
    assert np.abs(shifts).max() <= 60 + 1e-3
    for axis in (0, 1):
        assert stats.kstest(shifts[:, axis], stats.uniform(-60, 120).cdf).pvalue > 1e-3


def test_the_zoom_is_uniform_in_its_logarithm(footage: Footage) -> None:
    still = Footage(footage.images, [footage.tracks[2]])
    boxes = _batch(still, 2000, mix={"still": 1.0}, zoom=0.3).boxes.numpy()
    w, h = (float(value) for value in still.tracks[0].boxes[0][2:])
    zooms = np.log(w * 127 / exemplar_side(w, h) / boxes[:, 2])
    assert stats.kstest(zooms, stats.uniform(-0.3, 0.6).cdf).pvalue > 1e-3
    assert np.allclose(boxes[:, 2] / boxes[:, 3], w / h)


def _kinds(footage: Footage, batch: PairBatch) -> list[str]:
    kinds = {int(image): track.group for track in footage.tracks for image in track.images}
    kinds |= dict.fromkeys(footage.unlabelled, "unlabelled")
    return [kinds[image] for image in batch.search_images.tolist()]


def test_the_mix_is_as_asked_for(footage: Footage) -> None:
    counts = Counter(_kinds(footage, _batch(footage, 4000)))
    for kind, share in ALL.items():
        assert counts[kind] / 4000 == pytest.approx(share, abs=0.04)


def test_kinds_that_are_missing_give_their_share_to_the_others(footage: Footage) -> None:
    stills = Footage(footage.images, [track for track in footage.tracks if track.group == "still"])
    stills.unlabelled = footage.unlabelled
    counts = Counter(_kinds(stills, _batch(stills, 2000)))
    assert counts.keys() == {"still", "unlabelled"}
    assert counts["still"] / 2000 == pytest.approx(0.6, abs=0.04)


def test_footage_without_any_of_the_kinds_is_refused(footage: Footage) -> None:
    with pytest.raises(ValueError, match="none of the kinds asked for: lidar"):
        _batch(footage, mix={"lidar": 1.0})


def test_the_two_frames_are_of_one_track_and_not_too_far_apart(footage: Footage) -> None:
    batch = _batch(footage, 400, mix={"video": 1.0}, max_gap=2)
    place = {int(image): (track.name, t) for track in footage.tracks[:2] for t, image in enumerate(track.images)}
    gaps = set()
    for first, second in zip(batch.exemplar_images.tolist(), batch.search_images.tolist(), strict=True):
        assert place[first][0] == place[second][0]
        gaps.add(place[second][1] - place[first][1])
    assert gaps == {-2, -1, 0, 1, 2}


def test_neighbours_are_of_one_kind(footage: Footage) -> None:
    kinds = _kinds(footage, _batch(footage, 200))
    changes = sum(a != b for a, b in pairwise(kinds))
    assert changes == len(set(kinds)) - 1


def test_objects_that_share_an_image_share_a_scene_and_others_do_not(footage: Footage) -> None:
    batch = _batch(footage, 600)
    stories = {int(image): track.name for track in reversed(footage.tracks) for image in track.images}
    stories |= {index: f"unlabelled/{index}" for index in footage.unlabelled}
    told = {
        (stories[image], scene)
        for image, scene in zip(batch.search_images.tolist(), batch.scenes.tolist(), strict=True)
    }
    assert len(told) == len({story for story, _ in told}) == len({scene for _, scene in told}) == 8


def test_scenes_are_joined_through_a_third_track() -> None:
    footage = Footage()
    images = [footage.add_image(_image(None, t)) for t in range(4)]
    for name, seen in (("a", images[:2]), ("b", images[2:]), ("c", images[1:3])):
        footage.add_track(name, "video", seen, [(20.0, 20.0, 30.0, 30.0)] * 2)
    assert len(set(_batch(footage, 50, mix={"video": 1.0}).scenes.tolist())) == 1


def test_unlabelled_images_are_compared_with_themselves(footage: Footage) -> None:
    batch = _batch(footage, 50, mix={"unlabelled": 1.0})
    assert torch.equal(batch.exemplar_images, batch.search_images)
    assert set(batch.search_images.tolist()) <= set(footage.unlabelled)
    assert torch.equal(batch.scenes, batch.search_images)
    assert (batch.boxes[:, 2:] > 0).all()


def test_clutter_lies_behind_the_asked_share(footage: Footage) -> None:
    for share in (0.0, 0.5, 1.0):
        nowhere = _batch(footage, 1000, clutter=share).behind_maps[:, 0, 2] < -1e5
        assert 1 - float(nowhere.float().mean()) == pytest.approx(share, abs=0.06)


def test_border_colours_are_the_images_means(footage: Footage) -> None:
    batch = _batch(footage, 20)
    for index, colour in zip(batch.exemplar_images.tolist(), batch.exemplar_borders.numpy(), strict=True):
        assert colour == pytest.approx(footage.images[index].reshape(-1, 3).mean(0), abs=1e-3)


def test_a_seed_repeats_an_epoch_and_another_one_does_not(footage: Footage) -> None:
    first, again, other = (list(PairBatches(footage, 8, 3, seed)) for seed in ((1, 2), (1, 2), (1, 3)))
    assert len(first) == len(PairBatches(footage, 8, 3, 0)) == 3
    for a, b in zip(first, again, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not torch.equal(first[0].boxes, other[0].boxes)
    assert not torch.equal(first[0].boxes, first[1].boxes)
