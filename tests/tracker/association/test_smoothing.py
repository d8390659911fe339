"""Steady boxes: against weighted least squares, and on tracks whose true boxes are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.association import smoothing
from tracker.association.detections import Detections
from tracker.association.flow import FlowAssociator
from tracker.association.gaps import fill_gaps
from tracker.association.model import AssociationModel
from tracker.association.smoothing import smooth
from tracker.association.track import Track


def track(frames: np.ndarray, xywh: np.ndarray, number: int = 1) -> Track:
    n = len(frames)
    return Track(number, frames.astype(np.int64), xywh, np.linspace(0.1, 0.9, n), np.zeros(n, bool), 3)


def walking(noise: float, seed: int, length: int = 120) -> tuple[Track, np.ndarray]:
    """Somebody who walks along a bend and comes nearer; with the true boxes."""
    t = np.arange(length) / 25
    height = 60 + 6 * t
    true = np.column_stack([300 + 40 * t - 0.4 * height / 2, 200 + 30 * np.sin(0.7 * t), 0.4 * height, height])
    trembling = true + np.random.default_rng(seed).normal(0, noise, true.shape)
    return track(np.arange(length) + 7, trembling), true


def error(found: Track, true: np.ndarray) -> float:
    return float(np.sqrt(((found.xywh - true) ** 2).mean()))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=30), st.floats(0.35, 6), st.booleans(), st.booleans())
def test_estimates_are_those_of_weighted_least_squares(steps: list[int], width: float, straight: bool, itself: bool):
    frames = np.cumsum([3, *steps])
    rng = np.random.default_rng(len(steps))
    boxes = np.column_stack([rng.normal(100, 5, (len(frames), 2)), rng.uniform(20, 30, (len(frames), 2))])
    other = track(np.arange(4), np.full((4, 4), 1e3), 2)
    line = smoothing._Timeline.of([track(frames, boxes), other])
    found, weight = line.estimates(line.sides, width, straight, itself)
    for row, frame in enumerate(frames):
        offset = (frames - frame).astype(float)
        kernel = np.exp(-0.5 * (offset / width) ** 2) * (np.abs(offset) <= np.ceil(smoothing.REACH * width))
        kernel[row] *= itself
        assert weight[row] == pytest.approx(kernel.sum(), abs=1e-9)
        if kernel.sum() < 1e-3:
            continue
        design = np.column_stack([np.ones_like(offset), offset]) if straight else np.ones((len(offset), 1))
        root = np.sqrt(kernel)[:, None]
        for axis in range(2):
            solution, *_, values = np.linalg.lstsq(root * design, root[:, 0] * line.sides[axis, : len(frames)])
            if values[-1] > 1e-2:  # else no line is determined by what is near
                assert found[axis, row] == pytest.approx(solution[0], abs=1e-6)


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_trembling_boxes_come_nearer_to_the_truth(noise: float):
    shaky, true = walking(noise, 0)
    steady = smooth([shaky])[0]
    assert error(steady, true) < 0.6 * error(shaky, true)
    assert steady.frames is shaky.frames
    assert steady.score is shaky.score
    assert (steady.id, steady.class_id) == (1, 3)


def test_steady_boxes_stay_where_they_are():
    """A kernel that is too wide would cut the corners of the bend."""
    exact, true = walking(0.0, 0)
    assert error(smooth([exact])[0], true) < 0.05


def test_a_zigzag_is_no_tremor_of_single_frames():
    """What the neighbours cannot predict, they must not change: the narrowest kernel is left."""
    frames = np.arange(40)
    boxes = np.column_stack([100 + 20.0 * (frames % 4 < 2), np.full(40, 50.0), np.full(40, 20.0), np.full(40, 40.0)])
    assert np.abs(smooth([track(frames, boxes)])[0].xywh - boxes).max() < 2


def test_tracks_do_not_mix_and_their_order_does_not_matter():
    one, _ = walking(2.0, 1)
    other = track(np.arange(50), np.random.default_rng(2).normal(0, 2, (50, 4)) + [900, 900, 40, 90], 2)
    together = smooth([one, other])
    turned = smooth([other, one])
    for first, second in zip(together, reversed(turned), strict=True):
        np.testing.assert_allclose(first.xywh, second.xywh)
    assert np.abs(together[1].xywh - [900, 900, 40, 90]).max() < 8


def test_filled_gaps_follow_the_steady_boxes():
    """What lies between is no evidence, and is interpolated anew."""
    whole, _ = walking(2.0, 3)
    seen = np.ones(len(whole), bool)
    seen[40:52] = seen[70:75] = False
    gappy = whole.select(seen)
    filled = smooth([fill_gaps(gappy, 20)])[0]
    assert filled.interpolated.sum() == 17
    np.testing.assert_allclose(filled.xywh, fill_gaps(smooth([gappy])[0], 20).xywh, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(1, 40), max_size=6), max_size=4), st.integers(0, 99))
def test_every_track_gets_boxes_with_sides(tracks: list[list[int]], seed: int):
    rng = np.random.default_rng(seed)
    given = [
        track(np.cumsum([0, *steps]), np.exp(rng.uniform(-3, 6, (len(steps) + 1, 4))), number + 1)
        for number, steps in enumerate(tracks)
    ]
    for before, after in zip(given, smooth(given), strict=True):
        assert after.xywh.shape == before.xywh.shape
        assert np.isfinite(after.xywh).all()
        assert (after.xywh[:, 2:] > 0).all()
        if len(before) == 1:
            np.testing.assert_allclose(after.xywh, before.xywh)


def test_flow_smooths_unless_it_is_told_not_to(model: AssociationModel):
    shaky, true = walking(3.0, 4)
    detections = {
        int(frame): Detections(int(frame), box[None], np.array([0.9]))
        for frame, box in zip(shaky.frames, shaky.xywh, strict=True)
    }
    plain, steady = (FlowAssociator(model, 25.0, smooth=smooth).run(detections)[0] for smooth in (False, True))
    np.testing.assert_array_equal(plain.xywh, shaky.xywh[np.isin(shaky.frames, plain.frames)])
    rows = np.isin(shaky.frames, steady.frames)
    assert error(steady, true[rows]) < 0.6 * error(plain, true[rows])
