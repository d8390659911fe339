"""The online associator: who keeps an id, when a track has one, and what it does with odd input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tracker.association.costs import Costs
from tracker.association.detections import Detections, repair
from tracker.association.model import AssociationModel
from tracker.association.online import OnlineAssociator, TrackStatus, assign


def walk(associator: OnlineAssociator, detections: dict[int, Detections]) -> dict[int, list[int]]:
    return {frame: associator.update(part).tolist() for frame, part in detections.items()}


def one(frame: int, x: float, score: float = 0.9) -> Detections:
    return Detections(frame, [(x, 50, 40, 100)], [score])


def test_walkers_keep_their_ids_through_gaps(model: AssociationModel, crowd) -> None:
    detections, owners = crowd(missing={0: range(15, 30), 2: range(20, 24)})
    ids = walk(OnlineAssociator(model, 20.0), detections)
    of: dict[int, set[int]] = {}
    for frame, found in ids.items():
        for owner, number in zip(owners[frame], found, strict=True):
            of.setdefault(owner, set()).add(number)
    assert all(len(numbers) == 1 for numbers in of.values())
    assert sorted(number for numbers in of.values() for number in numbers) == [1, 2, 3, 4]


def test_the_life_of_a_track(model: AssociationModel) -> None:
    associator = OnlineAssociator(model, 10.0, longest_gap=1.0)
    assert associator.update(one(0, 0, score=0.4)).tolist() == [-1]  # tentative
    assert associator.tracks() == {}
    assert associator.update(one(1, 1)).tolist() == [1]  # confirmed
    assert associator.tracks() == {1: TrackStatus.CONFIRMED}
    assert associator.update(Detections(2, [])).tolist() == []
    assert associator.tracks() == {1: TrackStatus.LOST}
    assert associator.update(one(11, 11)).tolist() == [1]  # back after the longest gap
    assert associator.tracks() == {1: TrackStatus.CONFIRMED}
    assert associator.update(one(22, 22)).tolist() == [2]  # a frame longer: ended
    assert associator.tracks() == {2: TrackStatus.CONFIRMED}


def test_a_tentative_track_ends_after_two_tenths_of_a_second(model: AssociationModel) -> None:
    for later, expected in ((2, 1), (3, 1)):
        associator = OnlineAssociator(model, 10.0)
        associator.update(one(0, 0, score=0.4))
        associator.update(one(later, 0.1, score=0.9))
        assert associator.tracks() == {expected: TrackStatus.CONFIRMED}
        assert len(associator._id) == 1
        assert associator._known[0, 0] == (2 if later == 2 else 1)  # carried on, or begun anew


def test_reset_begins_anew(model: AssociationModel) -> None:
    associator = OnlineAssociator(model, 10.0)
    assert associator.update(one(5, 0)).tolist() == [1]
    with pytest.raises(ValueError, match="frames must rise, got 5 after 5"):
        associator.update(one(5, 0))
    associator.reset()
    assert associator.update(one(0, 0)).tolist() == [1]


def test_classes_are_never_joined(model: AssociationModel) -> None:
    associator = OnlineAssociator(model, 10.0)
    ids = [associator.update(Detections(k, [(0, 0, 40, 100)], class_id=[k % 2])).tolist() for k in range(4)]
    assert ids == [[1], [2], [1], [2]]


def test_shifting_and_scaling_the_image_changes_nothing(model: AssociationModel, crowd) -> None:
    detections, _ = crowd(missing={1: range(9, 14)})
    moved = {
        frame: Detections(frame, part.xywh * 2.5 + (300, -70, 0, 0), part.score) for frame, part in detections.items()
    }
    assert walk(OnlineAssociator(model, 20.0), moved) == walk(OnlineAssociator(model, 20.0), detections)


def test_twice_the_frame_rate_with_every_other_frame_empty_changes_nothing(model: AssociationModel, crowd) -> None:
    detections, _ = crowd(walkers=3)
    sparse = {2 * frame: Detections(2 * frame, part.xywh, part.score) for frame, part in detections.items()}
    found = walk(OnlineAssociator(model, 40.0, skip=0.0), sparse)
    assert list(found.values()) == list(walk(OnlineAssociator(model, 20.0, skip=0.0), detections).values())


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_any_repaired_input_gets_ids_that_occur_once(data: st.DataObject) -> None:
    associator = OnlineAssociator(AssociationModel.read(), data.draw(st.sampled_from([5.0, 25.0, 60.0])))
    number = st.floats(-50, 50) | st.sampled_from([0.0, np.nan, np.inf, 1e9, -1e9, 1e-300])
    frame = -1
    for _ in range(data.draw(st.integers(1, 6))):
        frame += data.draw(st.integers(1, 80))
        boxes = data.draw(st.lists(st.tuples(number, number, number, number), max_size=6))
        detections, _ = repair(frame, boxes)
        ids = associator.update(detections)
        assert ids.shape == (len(detections),)
        assert ((ids == -1) | (ids > 0)).all()
        named = ids[ids > 0]
        assert len(np.unique(named)) == len(named)
        assert set(named) == {k for k, state in associator.tracks().items() if state is TrackStatus.CONFIRMED}


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_the_assignment_is_the_best_whether_cut_into_parts_or_not(seed: int, tracks: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    table = np.where(rng.random((tracks, rows)) < 0.3, rng.uniform(0.1, 5, (tracks, rows)), 0)
    track, row = np.nonzero(table)
    if not len(track):
        return
    best = table[linear_sum_assignment(table, maximize=True)].sum()
    for wide in (1, 10_000):  # how many there are decides whether it is cut
        a, b = assign(track, row, table[track, row], tracks * wide, rows * wide)
        assert len(set(a)) == len(a)
        assert len(set(b)) == len(b)
        assert table[a, b].sum() == pytest.approx(best)


def test_ten_thousand_detections_in_a_frame(model: AssociationModel) -> None:
    grid = np.stack(np.meshgrid(np.arange(100) * 60.0, np.arange(100) * 120.0), -1).reshape(-1, 2)
    boxes = np.column_stack([grid, np.full((10_000, 2), (40.0, 100.0))])
    associator = OnlineAssociator(model, 20.0)
    first = associator.update(Detections(0, boxes))
    order = np.random.default_rng(0).permutation(10_000)
    assert (associator.update(Detections(1, boxes[order] + (2, 0, 0, 0))) == first[order]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame_rate": 0}, "frame_rate"),
        ({"speed": 1}, "no cost speed"),
        ({"skip": -1}, "skip"),
        ({"confirm": 2}, "confirm"),
    ],
)
def test_wrong_settings_are_refused(model: AssociationModel, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnlineAssociator(model, **arguments)


def test_the_model_is_read_by_name() -> None:
    associator = OnlineAssociator.from_pretrained(frame_rate=30, longest_gap=1.5)
    assert isinstance(associator.costs, Costs)
    assert associator.costs.longest_gap == 1.5
