"""Re-detection: the whole frame is searched at a bounded cost, and a target that returns elsewhere is found again."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker import LONG_TERM, MultiTracker, SiamTracker, TrackState
from tracker.box import overlap
from tracker.crop import centre_of
from tracker.decode import search_factors
from tracker.network import ModelCard
from tracker.redetection import (
    FRESH,
    HILLS,
    MOST,
    REST,
    ROUND,
    WORK,
    ZOOMS,
    Place,
    Redetection,
    Sighting,
    hills,
    tiles,
    zoom_for,
)
from tracker.siam import TrackerConfig

# ---------------------------------------------------------------- the plan

LENGTHS = st.integers(1, 2000)
LOOKS = 3  # in a row that a place has to pass


@settings(deadline=None)
@given(LENGTHS, LENGTHS, st.floats(20, 3000), st.tuples(st.floats(0, 2000), st.floats(0, 2000)))
def test_squares_cover_the_whole_image_those_nearby_first(width, height, side, start):
    centres = tiles((width, height), side, start)
    for x in np.linspace(0, width, 7):
        for y in np.linspace(0, height, 7):
            assert min(max(abs(x - cx), abs(y - cy)) for cx, cy in centres) <= side / 2 + 1e-6
    assert len(centres) <= (width / side + 1) * (height / side + 1)
    distances = [math.dist(centre, start) for centre in centres]
    assert distances == sorted(distances)


def test_a_round_without_end_is_not_begun():
    assert tiles((4000, 3000), 1.0, (5.0, 6.0)) == [(5.0, 6.0)]
    assert len(tiles((1000, 1000), 10.0, (0.0, 0.0))) == MOST


@given(LENGTHS, LENGTHS, st.floats(1, 500), st.floats(1, 500))
def test_the_zoom_makes_rounds_of_some_length_within_its_limits(width, height, w, h):
    zoom = zoom_for((width, height), (w, h), 1.0)
    assert ZOOMS[0] <= zoom <= ZOOMS[1]
    side = math.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))  # of the exemplar's region
    regions = max(width / side, 1) * max(height / side, 1)
    if ZOOMS[0] ** 2 * ROUND < regions < ZOOMS[1] ** 2 * ROUND:
        assert regions / zoom**2 == pytest.approx(ROUND)


# ---------------------------------------------------------------- reading a coarse look


def slow_hills(logits: np.ndarray) -> list[tuple[int, int]]:
    found = []
    for row in range(len(logits)):
        for column in range(len(logits)):
            near = logits[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            if logits[row, column] == near.max():
                found.append((row, column))
    return sorted(found, key=lambda at: -logits[at])[:HILLS]


@pytest.mark.parametrize("seed", range(5))
def test_the_highest_hills_of_a_response(seed):
    response = np.random.default_rng(seed).normal(0, 3, (1, 9, 9)).astype(np.float32)
    found = hills(response, (100.0, 50.0), 0.5, 8)
    places = slow_hills(response[0])
    assert [logit for logit, _ in found] == pytest.approx([response[0][at] for at in places])
    for (_, centre), (row, column) in zip(found, places, strict=True):
        assert centre == pytest.approx((100 + (column - 4) * 4, 50 + (row - 4) * 4))


def test_a_box_says_where_its_middle_is():
    response = np.full((5, 9, 9), 10.0, np.float32)
    response[0] = -5
    response[:, 4, 6] = 3.0, 10, 20, 30, 28  # logit; left, top, right, bottom
    (best, *_) = hills(response, (0.0, 0.0), 2.0, 8)
    assert best == (3.0, (2.0 * (16 + 10), 2.0 * 4))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("channels", [1, 5])
def test_what_is_not_finite_is_no_place(channels):
    response = np.full((channels, 9, 9), np.nan, np.float32)
    assert hills(response, (0.0, 0.0), 1.0, 8) == []
    response[:, 4, 4] = 1.0
    response[0, 2, 2] = np.inf
    assert hills(response, (3.0, 4.0), 1.0, 8) == [(1.0, (3.0, 4.0))]


# ---------------------------------------------------------------- the search, in a world of known places


class World:
    """A row of regions around x = 0, 10, 20 …; things at a place have a coarse logit and an ordinary score."""

    def __init__(self, regions: int = 20) -> None:
        self.regions, self.things = regions, {}  # x → (logit, score)
        self.scanned, self.sighted = [], []
        self.redetection = Redetection(TrackerConfig(passing=0.6, looks=LOOKS), np.zeros((1, 1, 1, 1), np.float32), 2.0)

    def scan(self, centre):
        self.scanned.append(centre[0])
        logit, _ = self.things.get(centre[0], (-9.0, 0.0))
        return [(logit, centre)]

    def sight(self, centre, size):
        self.sighted.append(centre[0])
        return Sighting(centre, size, self.things.get(centre[0], (-9.0, 0.0))[1])

    def look(self, held: Sighting | None = None):
        work = len(self.scanned) + len(self.sighted)
        found = self.redetection.look(
            (12.0, 8.0), lambda: [(10.0 * i, 0.0) for i in range(self.regions)], self.scan, self.sight, held
        )
        assert len(self.scanned) + len(self.sighted) - work <= WORK
        return found


def test_a_target_is_found_within_a_round_and_its_looks():
    for x in (0.0, 90.0, 190.0):
        world = World()
        world.things = {50.0: (-1.0, 0.2), x: (2.0, 0.9)}
        found = [world.look() for _ in range(20 + 2 + LOOKS)]
        (first, *_) = filter(None, found)
        assert first.centre == (x, 0.0)
        assert first.size == (12.0, 8.0)


def test_the_target_is_found_among_better_looking_things_that_fail_the_ordinary_look():
    world = World()
    world.things = {10.0 * i: (3.0 + i % 4, 0.3) for i in range(0, 20, 3)} | {70.0: (2.0, 0.9)}
    found = next(filter(None, (world.look() for _ in range(120))))
    assert found.centre == (70.0, 0.0)


def test_what_failed_is_left_alone_for_a_while():
    world = World(5)
    world.things = {10.0: (4.0, 0.1), 20.0: (3.0, 0.1)}
    for _ in range(100):
        assert world.look() is None
    assert 3 <= world.sighted.count(10.0) <= 100 // REST + 1
    assert 3 <= world.sighted.count(20.0) <= 100 // REST + 1


def test_what_was_seen_long_ago_is_not_looked_at():
    world = World(40)
    world.things = {0.0: (4.0, 0.9)}
    world.look()
    world.redetection.frames += FRESH + 1
    world.look()
    world.look()
    assert 0.0 not in world.sighted


def test_a_place_must_pass_several_times_in_a_row():
    world = World(1)
    world.things = {0.0: (1.0, 0.9)}
    passes = []
    for frame in range(30):
        world.things = {0.0: (1.0, 0.1 if frame % 3 == 0 else 0.9)}  # never three good looks in a row
        passes.append(world.look())
    assert passes == [None] * 30
    assert len(world.sighted) > 10


def test_a_search_begins_anew():
    world = World()
    world.things = {0.0: (9.0, 0.9)}
    assert not any(world.look() for _ in range(4))
    assert world.redetection.followed is not None
    world.redetection.start()
    assert world.redetection == World().redetection
    world.things = {190.0: (-2.0, 0.9)}
    (found, *_) = filter(None, [world.look() for _ in range(20)])
    assert found.centre == (190.0, 0.0)


@pytest.mark.parametrize(("score", "believed"), [(0.9, True), (0.65, False)])
def test_what_is_held_must_be_outdone_elsewhere(score, believed):
    """It has 0.7 and looks best by far, but is not looked at: `passing`, which is less, does not do."""
    world = World()
    world.things = {50.0: (9.0, 0.7), 120.0: (1.0, score)}
    held = Sighting((51.0, 0.0), (12.0, 8.0), 0.7)
    found = [place for _ in range(60) if (place := world.look(held))]
    assert all(place.centre == (120.0, 0.0) for place in found)
    assert bool(found) == believed
    assert 50.0 not in world.sighted
    assert 120.0 in world.sighted


def test_what_leads_back_to_what_is_held_is_not_believed():
    world = World(1)
    world.redetection.followed = Sighting((4.0, 0.0), (12.0, 8.0), 0.9)
    world.things = {4.0: (9.0, 0.9)}
    assert not any(world.look(Sighting((0.0, 0.0), (12.0, 8.0), 0.5)) for _ in range(10))


@pytest.mark.parametrize("after", [0, 5])
def test_it_is_wanted_when_lost_or_after_so_many_frames_of_doubt(after):
    search = Redetection(TrackerConfig(redetect_after=after), np.zeros((1, 1, 1, 1), np.float32), 2.0)
    tracking, uncertain, lost = TrackState.TRACKING, TrackState.UNCERTAIN, TrackState.LOST
    assert not search.wanted(tracking)
    assert [search.wanted(uncertain) for _ in range(6)] == [False] * 4 + [after > 0] * 2
    search.places = [Place(1.0, 1, (0.0, 0.0))]
    assert search.wanted(lost)
    assert bool(search.places) == (after > 0)  # what was seen in doubt is known when it is lost
    assert not search.wanted(tracking)
    assert [search.wanted(uncertain) for _ in range(4)] == [False] * 4
    assert search.wanted(lost)
    assert search.places == []


@pytest.mark.parametrize("every", [1, 2, 5])
def test_looks_are_as_frequent_as_asked_for(every):
    world = World()
    world.redetection.config = TrackerConfig(passing=0.6, looks=LOOKS, redetect_every=every)
    for _ in range(20):
        world.look()
    assert len(world.scanned) + len(world.sighted) == WORK * (20 // every)


@pytest.mark.parametrize(
    "config",
    [
        {"redetect_every": -1},
        {"redetect_every": 0.5},
        {"redetect_after": -1},
        {"passing": 1.5},
        {"looks": 0},
        {"looks": 2.5},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(config):
    (key,) = config
    with pytest.raises(ValueError, match=key):
        TrackerConfig.of(ModelCard("compact", "box"), **config)


def test_the_settings_for_long_runs_are_settings():
    assert vars(TrackerConfig.of(ModelCard("compact", "box"), **LONG_TERM)).items() >= LONG_TERM.items()


# ---------------------------------------------------------------- in a tracker

SIZE = (500, 380)
HERE, FAR = (60.0, 50.0, 40.0, 30.0), (400.0, 300.0, 40.0, 30.0)


def leave_and_return(tracker: SiamTracker, draw: Callable[..., np.ndarray], back: int = 30) -> list:
    """Results from the first empty frame on."""
    tracker.init(draw(SIZE, HERE), HERE)
    for _ in range(3):
        tracker.update(draw(SIZE, HERE))
    return [tracker.update(draw(SIZE)) for _ in range(40)] + [tracker.update(draw(SIZE, FAR)) for _ in range(back)]


def test_a_target_that_returns_elsewhere_is_found_within_a_second(seeing, draw):
    results = leave_and_return(SiamTracker(seeing), draw)
    assert results[39].state is TrackState.LOST
    assert math.dist(centre_of(results[39].box), centre_of(HERE)) < 10  # the last estimate
    found = next(i for i, result in enumerate(results) if overlap(result.box, FAR) > 0.5)
    assert found < 40 + 25
    assert results[found].state is TrackState.TRACKING
    assert results[found].score > 0.5
    assert all(result.state is TrackState.TRACKING for result in results[found:])
    assert overlap(results[-1].box, FAR) > 0.9


@pytest.mark.parametrize("after", [25, 0])
def test_a_tracker_in_doubt_goes_to_what_looks_more_like_the_target(seeing, draw, after):
    """A dim thing takes the target's place, and the target comes back elsewhere."""
    search = seeing.runtime.search

    def by_brightness(crops, kernels):
        """The brightest thing in a crop, should there be one; if it is dim, its logit of 6 is .2."""
        top = crops.max(axis=(1, 2, 3), keepdims=True)
        shown = np.where(top > 100, np.where(crops > 0.8 * top, 220, 40), crops).astype(np.uint8)
        response, features = search(shown, kernels)
        response[:, 0] -= np.where((top > 100) & (top < 180), 5.8, 0.0)[:, 0]
        return response, features

    seeing.runtime.search = by_brightness
    tracker = SiamTracker(seeing, redetect_after=after, colour_gate=0, certain=0.9, doubtful=0.8)
    tracker.init(draw(SIZE, HERE), HERE)
    dim = np.minimum(draw(SIZE, HERE), 150)
    for _ in range(15):
        result = tracker.update(dim)
    assert result.state is TrackState.UNCERTAIN
    back = np.maximum(dim, draw(SIZE, FAR))
    results = [tracker.update(back) for _ in range(60)]
    assert TrackState.LOST not in {result.state for result in results}
    assert (overlap(results[-1].box, FAR) > 0.5) == (after > 0)
    assert (results[-1].state is TrackState.TRACKING) == (after > 0)


def test_without_redetection_it_stays_lost(seeing, draw):
    results = leave_and_return(SiamTracker(seeing, redetect_every=0), draw)
    assert all(result.state is TrackState.LOST for result in results[40:])
    assert overlap(results[-1].box, FAR) == 0


@pytest.mark.parametrize("gate", [3.0, 0.0])
def test_a_look_alike_of_another_colour_is_not_taken_for_it(seeing, draw, gate):
    """The network sees blue alone; the target is white, and what comes instead is cyan."""

    def cyan(size: tuple[int, int], *boxes) -> np.ndarray:
        image = draw(size, *boxes)
        if FAR in boxes:
            image[:, :, 2] = draw(size)[:, :, 2]
        return image

    results = leave_and_return(SiamTracker(seeing, colour_gate=gate), cyan)
    found = any(result.state is TrackState.TRACKING for result in results[40:])
    assert found == (gate == 0)
    followed = leave_and_return(SiamTracker(seeing, colour_gate=gate), draw)
    assert followed[-1].state is TrackState.TRACKING


@pytest.mark.parametrize("gate", [3.0, 0.0])
def test_a_target_that_takes_another_colour_in_place_is_lost(seeing, draw, gate):
    """As above; the network is as sure of it as before."""
    tracker, cyan = SiamTracker(seeing, colour_gate=gate), draw(SIZE, HERE)
    cyan[:, :, 2] = draw(SIZE)[:, :, 2]
    tracker.init(draw(SIZE, HERE), HERE)
    for _ in range(60):
        assert tracker.update(draw(SIZE, HERE)).state is TrackState.TRACKING
    states = [tracker.update(cyan).state for _ in range(25)]
    assert (states[-1] is TrackState.LOST) == (gate > 0)


def test_a_frame_in_which_it_is_lost_costs_two_more_search_regions(seeing, draw):
    tracker, counts = SiamTracker(seeing), []
    search = seeing.runtime.search
    seeing.runtime.search = lambda crops, kernels: counts.append(len(crops)) or search(crops, kernels)
    leave_and_return(tracker, draw)
    counts.clear()
    tracker.update(draw(SIZE))
    regions = len(search_factors(tracker.config))
    assert counts == [regions]  # tracking
    for _ in range(30):
        tracker.update(draw(SIZE))
    counts.clear()
    for _ in range(10):
        assert tracker.update(draw(SIZE)).state is TrackState.LOST
    assert sum(counts) <= 10 * regions * (1 + WORK)
    assert len(counts) <= 10 * (1 + WORK)


def test_each_of_several_targets_has_a_search_of_its_own(seeing, draw):
    multi, other = MultiTracker(seeing), (250.0, 20.0, 40.0, 30.0)
    ids = multi.add(draw(SIZE, HERE), HERE), multi.add(draw(SIZE, other), other)
    alone = SiamTracker(seeing), SiamTracker(seeing)
    for tracker, box in zip(alone, (HERE, other), strict=True):
        tracker.init(draw(SIZE, box), box)
    for frame in range(60):
        image = draw(SIZE, FAR) if frame >= 35 else draw(SIZE)
        together = multi.update(image)
        for number, tracker in zip(ids, alone, strict=True):
            expected = tracker.update(image)
            assert together[number].box == pytest.approx(expected.box)
            assert together[number].state is expected.state
    assert all(result.state is TrackState.TRACKING for result in together.values())


def test_pickling_keeps_the_search(weights):
    frames = [np.random.default_rng(seed).integers(0, 256, (300, 400, 3)).astype(np.uint8) for seed in range(16)]
    config = {"hopeless": 1.0, "patience": 1, "certain": 1.0, "doubtful": 1.0, "scale_rate": 0.02}
    tracker = SiamTracker.from_pretrained(weights["compact"], **config)
    tracker.init(frames[0], HERE)
    for frame in frames[1:8]:
        assert tracker.update(frame).state is TrackState.LOST
    again = pickle.loads(pickle.dumps(tracker))
    for frame in frames[8:]:
        expected, result = tracker.update(frame), again.update(frame)
        assert (result.box, result.score, result.state) == (expected.box, expected.score, expected.state)
    assert again.target.redetection.places == tracker.target.redetection.places
    assert len(tracker.target.redetection.places) > 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("box", [(60.0, 40.0, 1e-3, 1e-3), (0.0, 0.0, 1e9, 1e-9), (-1e300, 0.0, 1.5e300, 1e300)])
def test_odd_targets_are_looked_for_whatever_the_response(fake_model, box):
    class Noise:
        name = "noise"
        draw = np.random.default_rng(0)

        def template(self, crops):
            return np.zeros((len(crops), 1, 1, 1), np.float32)

        def search(self, crops, kernels):
            response = self.draw.normal(0, self.draw.choice([0, 1, 1e3, np.nan]), (len(crops), 5, 17, 17))
            response[:, 1:] = np.exp(self.draw.uniform(-1, 6.5, response[:, 1:].shape))
            return response.astype(np.float32), self.draw.normal(0, 1, (len(crops), 4, 21, 21)).astype(np.float32)

    config = {"certain": 1.0, "doubtful": 1.0, "hopeless": 1.0, "patience": 1, "passing": 0.3}
    tracker = SiamTracker(fake_model(ModelCard("compact", "box"), Noise()), **config)
    tracker.init(np.zeros((150, 200, 3), np.uint8), box)
    states = set()
    for step in range(60):
        result = tracker.update(np.zeros((150 - step, 200 + step, 3), np.uint8))
        states.add(result.state)
        assert all(map(math.isfinite, result.box))
        assert 0 <= result.score <= 1
    assert TrackState.LOST in states
