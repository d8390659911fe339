from __future__ import annotations

import numpy as np
import pytest

from benchmarks.association.crowd import FALSE, HEIGHT, MISSED, WIDTH, Crowd


def test_the_same_seed_is_the_same_crowd_and_frames_do_not_depend_on_the_length():
    short, long = list(Crowd(5, 20, seed=3)), list(Crowd(5, 40, seed=3))
    for (a, who_a), (b, who_b) in zip(short, long, strict=False):
        np.testing.assert_array_equal(a.xywh, b.xywh)
        np.testing.assert_array_equal(who_a, who_b)
    other = next(iter(Crowd(5, 1, seed=4)))[0]
    assert len(other) != len(short[0][0]) or (other.xywh != short[0][0].xywh).all()


def test_numbers_are_as_promised():
    frames = list(Crowd(40, 400))
    found = np.mean([len(detections) for detections, _ in frames])
    assert found == pytest.approx(40 * (1 - MISSED + FALSE), rel=0.03)
    who = np.concatenate([ids for _, ids in frames])
    assert np.mean(who < 0) == pytest.approx(FALSE / (1 - MISSED + FALSE), rel=0.1)
    assert all(len(set(ids[ids >= 0].tolist())) == np.count_nonzero(ids >= 0) for _, ids in frames)


def test_people_walk_and_stay_in_the_image():
    places: dict[int, list[np.ndarray]] = {}
    for detections, ids in Crowd(30, 300):
        feet = detections.xywh[:, :2] + detections.xywh[:, 2:] * [0.5, 1.0]
        for who, place in zip(ids.tolist(), feet, strict=True):
            places.setdefault(who, []).append(place)
    for who, path in places.items():
        if who >= 0 and len(path) > 1:
            steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
            assert np.median(steps) < 50
    feet = np.concatenate([np.array(path) for path in places.values()])
    assert (feet > -60).all()
    assert (feet < [WIDTH + 60, HEIGHT + 60]).all()


def test_nobody_is_refused():
    with pytest.raises(ValueError, match="people"):
        Crowd(0, 10)
