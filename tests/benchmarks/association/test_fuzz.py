"""The same hostile input in small, and inputs that were found to break something once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.association import fuzz
from benchmarks.association.__main__ import HOSTILE
from tracker.association import Detections, FlowAssociator, OnlineAssociator, repair


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_nothing_is_found(kind: str):
    tally = fuzz.fuzz(kind, 150, slow=np.inf)  # time is the command's business: here a first use may compile
    assert tally.found == []
    assert tally.inputs == 150
    assert tally.refused < 140


def test_an_input_follows_from_its_number(monkeypatch: pytest.MonkeyPatch):
    seen: list[bytes] = []
    monkeypatch.setitem(fuzz.KINDS, "results", lambda random: seen.append(fuzz.hostile_text(random)))
    for number in (3, 4, 3):
        fuzz.check("results", number)
    assert seen[0] == seen[2] != seen[1]


def test_what_takes_long_is_found(monkeypatch: pytest.MonkeyPatch):
    clock = iter(np.cumsum([0, 1, 0, 3, 0, 1]).tolist())
    monkeypatch.setattr(fuzz.time, "process_time", lambda: next(clock))
    monkeypatch.setitem(fuzz.KINDS, "arrays", lambda random: None)
    tally = fuzz.fuzz("arrays", 3, slow=2.0)
    assert tally.found == ["arrays 1: took 3.0 s"]
    assert tally.slowest == (3.0, 1)


def test_what_is_found_is_said(monkeypatch: pytest.MonkeyPatch):
    def broken(random: np.random.Generator) -> None:
        value = random.random()
        if value < 0.1:
            raise ZeroDivisionError("0")
        if value < 0.5:
            raise ValueError("refused")

    monkeypatch.setitem(fuzz.KINDS, "arrays", broken)
    tally = fuzz.fuzz("arrays", 1000, most=5)
    assert len(tally.found) == 5
    assert "ZeroDivisionError" in tally.found[0]
    number = int(tally.found[0].split()[1].rstrip(":"))
    with pytest.raises(ZeroDivisionError):
        fuzz.check("arrays", number)
    assert tally.refused > 0
    assert fuzz.tally_rows({"arrays": tally})[1][3] == "5"
    assert set(HOSTILE) == set(fuzz.KINDS)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[NUMBERS] * 5), max_size=6), st.integers(0, 2**40 - 50))
def test_any_numbers_go_through_both_trackers(rows: list[tuple[float, ...]], frame: int):
    table = np.array(rows).reshape(-1, 5)
    frames = [repair(frame + step, table[:, :4], table[:, 4])[0] for step in (0, 1, 2, 40)]
    online = OnlineAssociator(fuzz.MODEL, 30)
    for detections in frames:
        ids = online.update(detections)
        assert len(ids) == len(detections)
        assert len(set(ids[ids > 0].tolist())) == np.count_nonzero(ids > 0)
    tracks = FlowAssociator(fuzz.MODEL, 30, doubt=-50.0).run({part.frame: part for part in frames})
    kept = sum(int(np.count_nonzero(~track.interpolated)) for track in tracks)
    assert kept <= sum(map(len, frames))


@pytest.mark.parametrize("size", [5e-324, 1e-200, 1e-160, 1e-9, 1e9])
def test_boxes_whose_areas_are_no_floats(size: float):
    frames = [repair(frame, [[0, 0, size, size], [5, 5, size, 1]])[0] for frame in range(3)]
    online = OnlineAssociator(fuzz.MODEL, 30)
    for detections in frames:
        online.update(detections)
    FlowAssociator(fuzz.MODEL, 30, doubt=-50.0).run({part.frame: part for part in frames})


def test_frames_whose_times_are_the_same_float():
    """They are refused, or nothing comes of it."""
    online = OnlineAssociator(fuzz.MODEL, 7)
    for step in range(3):
        try:
            detections = Detections(2**53 - 5 + step, [[10, 10, 20, 40]])
        except ValueError:
            return
        online.update(detections)


def test_ten_thousand_in_one_frame():
    random = np.random.default_rng(0)
    most = 10_000
    boxes = np.column_stack([random.uniform(0, 1900, most), random.uniform(0, 1000, most)])
    boxes = np.column_stack([boxes, random.uniform(10, 40, most), random.uniform(30, 90, most)])
    frames = {frame: Detections(frame, boxes[:count] + [frame, 0, 0, 0]) for frame, count in enumerate((10, most, 10))}
    online = OnlineAssociator(fuzz.MODEL, 30)
    followed = [online.update(detections) for detections in frames.values()]
    assert len(set(followed[1].tolist())) == most
    assert (followed[1][:10] == followed[0]).all()
    assert (followed[2] == followed[0]).all()
    tracks = FlowAssociator(fuzz.MODEL, 30).run(frames)
    kept = sum(int(np.count_nonzero(~track.interpolated)) for track in tracks)
    assert kept == most + 20
