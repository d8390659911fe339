"""Context features against plain loops in numpy, and against what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.association.candidates import SIZES, SLACK, SPEED, candidate_pairs
from tracker.association.detections import Detections
from tracker.association.features import NAMES, pair_features
from tracker.association.scene import Scene
from tracker.association.trail import RIDGE, TAU, number_chains
from tracker.box import overlap


def tracklets(seed: int, rate: float = 10.0, frames: int = 12, people: int = 3) -> tuple[Scene, np.ndarray]:
    """Noisy walkers, and whose each detection is."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0, 500, (people, 2)), rng.normal(0, 30, (people, 2))
    size = rng.uniform(40, 120, people)
    parts, owner = [], []
    for frame in range(frames):
        seen = np.flatnonzero(rng.random(people) < 0.8)
        top = start[seen] + speed[seen] * frame / rate + rng.normal(0, 1, (len(seen), 2))
        h = size[seen] * rng.uniform(0.95, 1.05, len(seen))
        parts.append(Detections(frame, np.column_stack([top, h * 0.4, h]), rng.random(len(seen))))
        owner.append(seen)
    return Scene.of(parts, rate), np.concatenate(owner)


def line(scene: Scene, rows: np.ndarray) -> dict[str, np.ndarray | float]:
    """The discounted line through some detections at the last of them, by weighted sums as they are defined."""
    p = scene.points[rows]
    t = p[:, 0] - p[-1, 0]
    w = np.exp(-np.abs(t) / TAU)

    def fit(values: np.ndarray) -> tuple[float, float]:
        mean_t, mean = np.average(t, weights=w), np.average(values, weights=w)
        slope = (w * (t - mean_t) * values).sum() / ((w * (t - mean_t) ** 2).sum() + RIDGE)
        return mean - slope * mean_t, slope

    (x, vx), (y, vy), (h, vh) = fit(p[:, 1]), fit(p[:, 2]), fit(p[:, 4])
    return {
        "at": np.array([x, y]), "v": np.array([vx, vy]), "h": h, "vh": vh, "w": float(np.average(p[:, 3], weights=w)),
        "seen": len(rows), "seconds": abs(t[0]), "score": p[:, 5].mean(),
    }  # fmt: skip


def box(centre: np.ndarray, log_w: float, log_h: float) -> np.ndarray:
    size = np.exp([log_w, log_h])
    return np.r_[centre - size / 2, size]


def plainly(scene: Scene, past: dict, future: dict | None, i: int, j: int) -> dict[str, float]:
    """Each feature as its name says."""
    a, b = scene.points[i], scene.points[j]
    dt, body = b[0] - a[0], np.exp((a[4] + b[4]) / 2)
    shift = (b[1:3] - a[1:3]) / body
    ahead = past["at"] + past["v"] * dt
    f = (ahead - b[1:3]) / body
    later = box(b[1:3], b[3], b[4])
    earlier = box(a[1:3], a[3], a[4])
    nan = float("nan")
    out = {
        "gap_seconds": dt,
        "gap_frames": float(scene.frame[j] - scene.frame[i]),
        "shift_x": abs(shift[0]),
        "shift_y": shift[1],
        "shift_bottom": (b[2] + np.exp(b[4]) / 2 - a[2] - np.exp(a[4]) / 2) / body,
        "speed": np.linalg.norm(shift) / dt,
        "log_width_ratio": b[3] - a[3],
        "log_height_ratio": b[4] - a[4],
        "log_smooth_height_ratio": (b[4] if future is None else future["h"]) - past["h"],
        "overlap": overlap(earlier, later),
        "forward_error_x": abs(f[0]),
        "forward_error_y": f[1],
        "forward_error": np.linalg.norm(f),
        "forward_overlap": overlap(box(ahead, past["w"], past["h"]), later),
        "forward_height_error": b[4] - past["h"] - past["vh"] * dt,
        "past_speed": np.linalg.norm(past["v"]) / body,
        "past_seen": past["seen"],
        "past_seconds": past["seconds"],
        "score_earlier": a[5],
        "score_later": b[5],
        "past_score": past["score"],
    }
    unknown = dict.fromkeys(set(NAMES) - set(out), nan)
    if future is None:
        return out | unknown
    behind = future["at"] - future["v"] * dt
    g = (behind - a[1:3]) / body
    middle = (past["at"] + past["v"] * dt / 2 - future["at"] + future["v"] * dt / 2) / body
    return out | {
        "backward_error_x": abs(g[0]),
        "backward_error_y": g[1],
        "backward_error": np.linalg.norm(g),
        "backward_overlap": overlap(box(behind, future["w"], future["h"]), earlier),
        "both_error": np.linalg.norm(middle),
        "both_rate": np.linalg.norm(middle) / dt,
        "velocity_change": np.linalg.norm(past["v"] - future["v"]) / body,
        "future_speed": np.linalg.norm(future["v"]) / body,
        "future_seen": future["seen"],
        "future_seconds": future["seconds"],
        "future_score": future["score"],
    }


@given(st.integers(0, 500), st.booleans())
@settings(deadline=None, max_examples=20)
def test_features_are_those_of_a_plain_loop(seed: int, known: bool) -> None:
    scene, owner = tracklets(seed)
    chain = np.unique(owner, return_inverse=True)[1]
    past, future = scene.known(chain)
    earlier, later = np.nonzero(scene.frame[:, None] < scene.frame[None])
    if not known:
        future = scene.nothing()
    found = pair_features(scene.points, past, scene.points, future, earlier, later, scene.rate)
    for k in np.random.default_rng(seed).permutation(len(earlier))[:25]:
        i, j = int(earlier[k]), int(later[k])
        before = np.flatnonzero((chain == chain[i]) & (scene.frame <= scene.frame[i]))
        after = np.flatnonzero((chain == chain[j]) & (scene.frame >= scene.frame[j]))[::-1]
        expected = plainly(scene, line(scene, before), line(scene, after) if known else None, i, j)
        np.testing.assert_allclose(found[k], [expected[name] for name in NAMES], atol=1e-8, err_msg=str(NAMES))


def all_features(scene: Scene, owner: np.ndarray) -> np.ndarray:
    past, future = scene.known(np.unique(owner, return_inverse=True)[1])
    earlier, later = np.nonzero(scene.frame[:, None] < scene.frame[None])
    return pair_features(scene.points, past, scene.points, future, earlier, later, scene.rate)


def test_neither_place_nor_size_of_the_image_changes_them() -> None:
    scene, owner = tracklets(1)
    points = scene.points.copy()
    points[:, 1:3] = 3 * points[:, 1:3] + (1000, -40)
    points[:, 3:5] += np.log(3)
    other = Scene(scene.frame, points, scene.category, scene.rate)
    np.testing.assert_allclose(all_features(other, owner), all_features(scene, owner), atol=1e-8)


def test_the_frame_rate_changes_the_count_of_frames_alone() -> None:
    scene, owner = tracklets(2)
    faster = Scene(scene.frame * 3, scene.points, scene.category, scene.rate * 3)
    found, expected = all_features(faster, owner), all_features(scene, owner)
    frames = NAMES.index("gap_frames")
    np.testing.assert_allclose(found[:, frames], 3 * expected[:, frames])
    np.testing.assert_allclose(np.delete(found, frames, 1), np.delete(expected, frames, 1), atol=1e-8)


@given(st.integers(0, 500), st.integers(1, 6), st.integers(1, 4), st.integers(1, 12))
@settings(deadline=None, max_examples=20)
def test_candidates_are_the_nearest_of_those_within_reach(seed: int, longest: int, most: int, in_all: int) -> None:
    scene, owner = tracklets(seed, people=8)
    past, future = scene.known(np.unique(owner, return_inverse=True)[1])
    rows = np.arange(len(scene))
    earlier, later = candidate_pairs(
        scene.points, past, future, scene.frame, scene.category, rows, rows, longest, most, in_all
    )
    expected = set()
    for i in rows:
        of_all = []
        for frame in range(scene.frame[i] + 1, scene.frame[i] + longest + 1):
            reach = []
            for j in np.flatnonzero(scene.frame == frame):
                a, b = scene.points[i], scene.points[j]
                dt, body = b[0] - a[0], np.exp((a[4] + b[4]) / 2)
                ways = [b[1:3] - a[1:3]]
                if past[i, 0] > 1:
                    ways.append(past[i, 3:5] + past[i, 7:9] * dt - b[1:3])
                if future[j, 0] > 1:
                    ways.append(future[j, 3:5] - future[j, 7:9] * dt - a[1:3])
                d = min(np.linalg.norm(way) for way in ways) / body / (SLACK + SPEED * dt)
                if d <= 1 and abs(a[4] - b[4]) <= SIZES:
                    reach.append((d, int(j)))
            of_all += sorted(reach)[:most]
        expected |= {(int(i), j) for _, j in sorted(of_all)[:in_all]}
    assert set(zip(earlier.tolist(), later.tolist(), strict=True)) == expected


def test_other_classes_are_no_candidates() -> None:
    frames = [Detections(k, [(0, 0, 40, 100)], class_id=[k % 2]) for k in range(4)]
    scene = Scene.of(frames, 10.0)
    rows = np.arange(4)
    pairs = candidate_pairs(
        scene.points, scene.nothing(), scene.nothing(), scene.frame, scene.category, rows, rows, 9, 9, 9
    )
    assert set(zip(*map(np.ndarray.tolist, pairs), strict=True)) == {(0, 2), (1, 3)}


def test_chains_are_numbered_in_order() -> None:
    assert number_chains(np.array([2, 4, -1, -1, 5, -1])).tolist() == [0, 1, 0, 2, 1, 1]


@pytest.mark.parametrize("dy", [0.0, 3.0])
def test_a_standing_target_has_no_speed(dy: float) -> None:
    frames = [Detections(k, [(5, 7 + dy, 40, 100)]) for k in range(5)]
    scene = Scene.of(frames, 10.0)
    past, _ = scene.known(np.zeros(5, int))
    np.testing.assert_allclose(past[:, 7:], 0, atol=1e-9)
    np.testing.assert_allclose(past[-1, 3:5], (25, 57 + dy))
