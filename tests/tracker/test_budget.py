"""Work that can wait yields to the limit: told by a clock that the test itself moves on, so nothing is timed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tracker import MultiTracker, SiamTracker, TrackState, budget, siam
from tracker import multi as multi_module
from tracker.budget import Budget
from tracker.network import ModelCard

SIZE = (640, 480)
START = (300.0, 200.0, 40.0, 40.0)
ELSEWHERE = (40.0, 60.0, 40.0, 40.0)
LOOK = 0.010  # seconds that a search takes


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is told."""
    fake = SimpleNamespace(now=100.0)
    fake.perf_counter = lambda: fake.now
    for module in (budget, siam, multi_module):
        monkeypatch.setattr(module, "time", fake)
    return fake


def slow(seeing, clock, fake_model, seconds=LOOK):
    """A model whose searches take `seconds` a crop."""

    class Slow:
        name, card = "slow", seeing.card
        looks = 0

        def template(self, crops):
            return seeing.runtime.template(crops)

        def search(self, crops, kernels):
            clock.now += seconds * len(crops)
            self.looks += len(crops)
            return seeing.runtime.search(crops, kernels)

    return fake_model(seeing.card, Slow())


@pytest.fixture
def model(seeing, clock, fake_model):
    if seeing.card.head != "box":
        pytest.skip("one head is enough")
    return slow(seeing, clock, fake_model)


def absence(draw, gone=25, back=40):
    """Frames in which the target is there, gone, and then elsewhere."""
    return [draw(SIZE, START)] * 5 + [draw(SIZE)] * gone + [draw(SIZE, ELSEWHERE)] * back


SETTINGS = {"weights": (0.5, 0.0, 0.0, 0.0), "redetect_every": 1}


def run(model, frames, **config):
    tracker = SiamTracker(model, **SETTINGS, **config)
    tracker.init(frames[0], START)
    return [tracker.update(frame) for frame in frames[1:]]


def test_without_a_limit_a_lost_target_costs_three_looks_a_frame(model, draw):
    results = run(model, absence(draw))
    assert max(result.elapsed for result in results) == pytest.approx(3 * LOOK)
    assert results[-1].state is TrackState.TRACKING
    assert results[-1].box == pytest.approx(ELSEWHERE, abs=2)


@pytest.mark.parametrize("looks", [1.0, 2.5, 3.5])
def test_no_frame_takes_longer_than_its_budget(model, draw, looks):
    results = run(model, absence(draw, back=90), budget_ms=1000 * looks * LOOK)
    assert max(result.elapsed for result in results) <= looks * LOOK + 1e-9
    assert any(result.state is TrackState.LOST for result in results)
    found = results[-1].state is TrackState.TRACKING and results[-1].box == pytest.approx(ELSEWHERE, abs=2)
    assert found == (looks > 2)  # one look beside the search is enough, in the end


def test_nothing_changes_where_there_is_time(model, draw):
    frames = absence(draw)
    unlimited, ample = run(model, frames), run(model, frames, budget_ms=1e6)
    assert [result.box for result in unlimited] == [result.box for result in ample]
    assert [result.state for result in unlimited] == [result.state for result in ample]


class Filter:
    """Counts what is learned; learning takes as long as it is told to."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.learned = clock, seconds, 0

    def respond(self, features, cells):
        return np.ones((cells, cells), np.float32)

    def learn(self, shift, size):
        self.clock.now += self.seconds
        self.learned += 1


@pytest.mark.parametrize(("limit", "expected"), [(0, 30), (20, 30), (12.7, 30), (12, 0), (10, 0)])
def test_learning_yields(model, draw, clock, limit, expected):
    tracker = SiamTracker(model, **SETTINGS, budget_ms=limit)
    tracker.init(draw(SIZE, START), START)
    for _ in range(5):  # it becomes known what learning costs: a fifth of a search
        tracker.target.filter = Filter(clock, LOOK / 5)
        tracker._budget._limit = float("inf")
        tracker.update(draw(SIZE, START))
    tracker._budget._limit = limit / 1000 if limit else float("inf")
    known = tracker.target.filter = Filter(clock, LOOK / 5)
    for _ in range(30):
        result = tracker.update(draw(SIZE, START))
        assert result.state is TrackState.TRACKING
        assert not limit or result.elapsed <= max(limit / 1000, LOOK) + 1e-9
    assert known.learned == expected


def test_what_learning_costs_is_known_from_the_first_frame(model, draw, monkeypatch):
    """Here it costs nothing, so that a budget without room for another search has room for it."""
    learned = []
    monkeypatch.setattr(siam.CorrelationFilter, "learn", lambda self, shift, size: learned.append(shift))
    monkeypatch.setattr(siam.CorrelationFilter, "respond", lambda self, features, cells: np.ones((cells, cells)))
    results = run(model, [draw(SIZE, START)] * 5, online_share=0.2, budget_ms=1000 * 1.5 * LOOK)
    assert {result.state for result in results} == {TrackState.TRACKING}
    assert len(learned) == 5


def test_an_interruption_is_not_taken_for_what_work_costs(clock):
    limited = Budget(30.0)

    def frame(cost):
        since = clock.now
        clock.now += 0.010
        limited.begin(since)
        allowed = limited.allows("learning")
        if allowed:
            with limited.measured("learning"):
                clock.now += cost
        return allowed

    assert [frame(0.002) for _ in range(5)] == [True] * 5
    assert frame(3.0)  # the process was suspended
    assert [frame(0.002) for _ in range(5)] == [True] * 5


def test_a_busy_machine_is_noticed_in_the_same_frame(clock):
    limited = Budget(30.0)
    for search, work, allowed in ((0.010, 0.005, True), (0.024, 0.012, False), (0.010, 0.005, True)):
        since = clock.now
        clock.now += search
        limited.begin(since)
        assert limited.allows("learning") == allowed
        if allowed:
            with limited.measured("learning"):
                clock.now += work


def test_targets_share_the_time_in_turns(model, draw):
    """Three lost targets, time for one to look around a frame: each gets its turn."""
    tracker = MultiTracker(model, **SETTINGS, budget_ms=1000 * LOOK * 4.5)
    image = draw(SIZE, START)
    for _ in range(3):
        tracker.add(image, START)
    for _ in range(60):
        results = tracker.update(draw(SIZE))
        assert max(result.elapsed for result in results.values()) <= 4.5 * LOOK + 1e-9
    looked = [each.target.redetection.frames for each in tracker._trackers.values()]
    assert list(results) == [1, 2, 3]
    assert min(looked) > 10
    assert max(looked) - min(looked) <= 3


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), "fast"])
def test_a_wrong_budget_is_refused(model, wrong):
    with pytest.raises(ValueError, match="budget_ms"):
        SiamTracker(model, budget_ms=wrong)


def test_the_card_type_knows_it():
    assert siam.TrackerConfig.of(ModelCard("compact", "box", config={"budget_ms": 30.0})).budget_ms == 30.0
