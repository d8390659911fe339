from __future__ import annotations

import pytest

from benchmarks.association import PEERS
from benchmarks.association.speed import OURS, TITLES, Point, Timing, doublings, our_task, peer_task


def test_ratios_are_of_turns_side_by_side():
    ours, theirs = Timing("a", 100, [1.0, 2.0, 10.0]), Timing("b", 100, [2.0, 4.0, 1.0])
    assert ours.rate == 50
    assert theirs.rate == 50
    assert ours.ratio(theirs) == 2
    assert theirs.ratio(ours) == 0.5


def test_growth_is_a_factor_a_doubling():
    points = [Point("flow", 10, frames, 0.001 * frames**1.5, 1.0) for frames in (800, 100, 200)]
    points += [Point("flow", people, 100, 0.01 * people**2, 1.0) for people in (20, 40)]
    by_frames = doublings(points, "frames")["flow", 10]
    assert [(a, b) for a, b, _ in by_frames] == [(100, 200), (200, 800)]
    assert [factor for *_, factor in by_frames] == pytest.approx([2**1.5, 2**1.5])
    assert doublings([p for p in points if p.frames == 100 and p.people > 10], "people")["flow", 100] == [
        (20, 40, pytest.approx(4))
    ]


def test_tasks():
    assert set(OURS) == set(TITLES)
    assert our_task("window")["settings"]["window"] > 0
    assert peer_task(PEERS["sort-30"]) == {"tracker": "sort", "settings": {"max_age": 30}}
