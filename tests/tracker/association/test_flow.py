"""The flow associator: identities over gaps, windows against the whole, costs that leave nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.association.detections import Detections, repair
from tracker.association.flow import FlowAssociator
from tracker.association.min_cost_flow import EmptySolution
from tracker.association.model import AssociationModel, ModelError
from tracker.association.track import Track


def owners_of(tracks: list[Track], detections: dict[int, Detections], owners: dict[int, list[int]]) -> list[set[int]]:
    """Which walkers each track has detections of."""
    found = []
    for track in tracks:
        whose = set()
        for frame, box in zip(track.frames[~track.interpolated], track.xywh[~track.interpolated], strict=True):
            row = np.flatnonzero((detections[frame].xywh == box).all(1))
            whose |= {owners[frame][k] for k in row}
        found.append(whose)
    return found


@pytest.mark.parametrize("window", [None, 1.0])
def test_each_walker_is_one_track_through_gaps(model: AssociationModel, crowd, window: float | None) -> None:
    detections, owners = crowd(frames=80, missing={0: range(15, 23), 2: range(20, 24), 3: range(55, 63)})
    associator = FlowAssociator(model, 20.0, window=window, smooth=False, longest_gap=0.5)
    tracks = associator.run(detections)
    assert sorted(owners_of(tracks, detections, owners), key=min) == [{0}, {1}, {2}, {3}]
    assert [track.id for track in tracks] == [1, 2, 3, 4]


def test_gaps_are_filled_on_the_line_and_flagged(model: AssociationModel, crowd) -> None:
    detections, _ = crowd(walkers=1, missing={0: range(15, 23)})
    (track,) = FlowAssociator(model, 20.0, longest_gap=1.0, fill=1.0).run(detections)
    assert track.frames.tolist() == list(range(40))
    assert track.frames[track.interpolated].tolist() == list(range(15, 23))
    np.testing.assert_allclose(np.diff(track.xywh[:, 0], 2), 0, atol=1e-9)  # it walks at constant speed
    (short,) = FlowAssociator(model, 20.0, longest_gap=1.0, fill=0.2).run(detections)
    assert not short.interpolated.any()


def test_a_stream_is_as_late_as_it_says_and_says_what_run_says(model: AssociationModel, crowd) -> None:
    detections, _ = crowd(frames=90, missing={1: range(30, 36)})
    associator = FlowAssociator(model, 20.0, window=1.5, longest_gap=0.5, fill=0.0)
    taken = []

    def source():
        for part in detections.values():
            taken.append(part.frame)
            yield part

    found: dict[int, set[int]] = {}
    for part, ids in associator.stream(source()):
        if part.frame < 60:  # the rest comes when the source is over
            assert taken[-1] - part.frame <= associator.latency
        for number in ids:
            found.setdefault(int(number), set()).add(part.frame)
    expected = {track.id: set(track.frames.tolist()) for track in associator.run(detections)}
    found.pop(-1, None)
    assert found == expected


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=10)
def test_windows_and_the_whole_agree_on_a_clear_scene(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = {}
    for frame in range(60):
        boxes = [(30 * k * 5 + frame * (k - 1), 40 * k, 40, 100) for k in range(3) if rng.random() < 0.9]
        frames[frame] = Detections(frame, boxes)
    model = AssociationModel.read()
    costs = {"longest_gap": 0.5, "fill": 0.0}
    whole = FlowAssociator(model, 20.0, **costs).run(frames)
    parts = FlowAssociator(model, 20.0, window=1.2, **costs).run(frames)
    assert {tuple(track.frames.tolist()) for track in whole} == {tuple(track.frames.tolist()) for track in parts}


def test_costs_that_leave_nothing_are_an_error_that_names_the_cost(model: AssociationModel, crowd) -> None:
    detections, _ = crowd(walkers=2, frames=10)
    with pytest.raises(EmptySolution, match="entry"):
        FlowAssociator(model, 20.0, entry=1e6).run(detections)
    with pytest.raises(EmptySolution, match="detection"):
        FlowAssociator(model, 20.0, doubt=1e3).run(detections)


def test_nothing_worth_tracking_is_no_error(model: AssociationModel) -> None:
    assert FlowAssociator(model, 20.0).run({}) == []
    assert FlowAssociator(model, 20.0).run({3: Detections(3, [])}) == []
    assert FlowAssociator(model, 20.0).run({0: Detections(0, [(0, 0, 9, 9)], [0.1])}) == []  # an unsure one


@given(st.data())
@settings(deadline=None, max_examples=25)
def test_any_repaired_input_gives_tracks_of_its_detections(data: st.DataObject) -> None:
    number = st.floats(-50, 50) | st.sampled_from([0.0, np.nan, np.inf, 1e9, -1e9, 1e-300])
    detections, frame = {}, -1
    for _ in range(data.draw(st.integers(0, 6))):
        frame += data.draw(st.integers(1, 80))
        boxes = data.draw(st.lists(st.tuples(number, number, number, number), max_size=6))
        detections[frame], _ = repair(frame, boxes)
    rate = data.draw(st.sampled_from([5.0, 25.0, 60.0]))
    model = dataclasses.replace(AssociationModel.read())
    window = data.draw(st.sampled_from([None, 3 * model.costs.longest_gap]))
    seen = 0
    for track in FlowAssociator(model, rate, window=window).run(detections):
        for frame, box in zip(track.frames[~track.interpolated], track.xywh[~track.interpolated], strict=True):
            assert (detections[int(frame)].xywh == box).all(1).any()
            seen += 1
    assert seen <= sum(map(len, detections.values()))


class Colour:
    """A cue that tells a detection by the brightness in its middle."""

    names = ("brightness",)

    def __init__(self) -> None:
        self.calls = 0

    def patches(self, image, previous_image, xywh):
        self.calls += 1
        centre = (xywh[:, :2] + xywh[:, 2:] / 2).astype(int)
        return image[centre[:, 1], centre[:, 0], 0].astype(np.float32)[:, None]

    def compare(self, a, b):
        return np.abs(a - b)


def test_pixels_decide_where_the_model_knows_them(model: AssociationModel) -> None:
    names = (*model.pair.names, "brightness")
    like = dataclasses.replace(
        model.pair, names=names, feature=np.array([len(names) - 1]), threshold=np.array([10.0])
    )  # one branch: the same brightness, the same target
    model = dataclasses.replace(model, pair=like)
    boxes = np.array([[10.0, 10, 20, 60], [40.0, 10, 20, 60]])
    detections, images = {}, []
    for frame in range(10):
        image = np.zeros((90, 120, 3), np.uint8)
        swapped = boxes[:: -1 if frame >= 5 else 1]  # they change places, faster than anything predicts
        for k in (0, 1):
            x, y, w, h = swapped[k].astype(int)
            image[y : y + h, x : x + w] = 100 + 100 * k
        images.append(image)
        detections[frame] = Detections(frame, boxes)
    cue = Colour()
    tracks = FlowAssociator(model, 10.0, cue, smooth=False, longest_gap=0.5).run(detections, images)
    assert cue.calls == 10
    assert sorted(track.xywh[[0, -1], 0].tolist() for track in tracks) == [[10, 40], [40, 10]]


def test_a_cue_that_the_model_does_not_know_is_refused(model: AssociationModel) -> None:
    with pytest.raises(ModelError, match="brightness"):
        FlowAssociator(model, 10.0, Colour())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"frame_rate": -1}, "frame_rate"), ({"window": 0.1}, "window"), ({"age": 3}, "no cost age")],
)
def test_wrong_settings_are_refused(model: AssociationModel, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlowAssociator(model, **arguments)


def test_frames_must_rise(model: AssociationModel) -> None:
    with pytest.raises(ValueError, match="rise"):
        list(FlowAssociator(model, 10.0).stream([Detections(1, []), Detections(1, [])]))
