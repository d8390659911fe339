"""Tracks in text files, row by row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tracker.association.annotate import TrackedBox
from tracker.association.track_files import open_tracks
from tracker.frame import Frame
from tracker.result import TrackResult, TrackState
from tracker.sinks import SinkError, read_results

BOXES = [TrackedBox(2**40, (0.0, 9.5, 20.25, 30.0), 3.5), TrackedBox(7, (-4.0, 1.0, 2.0, 3.0), -0.25, True)]


def written(path: Path) -> str:
    with open_tracks(path) as sink:
        sink.add(4, 0.16, BOXES)
        sink.add(5, 0.2, [])
        assert sink.rows == 2
    return path.read_text()


def test_motchallenge_text_counts_from_one(tmp_path: Path) -> None:
    text = written(tmp_path / "out.txt")
    assert text == f"5,{2**40},1.0,10.5,20.25,30.0,3.5,-1,-1,-1\n5,7,-3.0,2.0,2.0,3.0,-0.25,-1,-1,-1\n"
    assert [row.box for row in read_results(tmp_path / "out.txt")] == [entry.box for entry in BOXES]


def test_csv_and_json_lines_say_what_is_interpolated(tmp_path: Path) -> None:
    expected = [
        {"frame": 4, "time": 0.16, "id": 2**40, "x": 0.0, "y": 9.5, "w": 20.25, "h": 30.0, "score": 3.5},
        {"frame": 4, "time": 0.16, "id": 7, "x": -4.0, "y": 1.0, "w": 2.0, "h": 3.0, "score": -0.25},
    ]
    states = ["tracking", "interpolated"]
    lines = [json.loads(line) for line in written(tmp_path / "out.jsonl").splitlines()]
    assert [line.pop("state") for line in lines] == states
    assert lines == expected
    rows = list(csv.DictReader(written(tmp_path / "out.csv").splitlines()))
    assert [row.pop("state") for row in rows] == states
    assert [{key: float(value) for key, value in row.items()} for row in rows] == expected


def test_a_single_targets_result_is_written_as_well(tmp_path: Path) -> None:
    import numpy as np

    frame = Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8))
    result = TrackResult((1.0, 2.0, 3.0, 4.0), 0.5, TrackState.TRACKING)
    with open_tracks(tmp_path / "out.csv") as sink:
        sink.write(frame, {1: result})
    assert read_results(tmp_path / "out.csv")[0].box == result.box


def test_rows_are_there_before_the_file_is_closed(tmp_path: Path) -> None:
    with open_tracks(tmp_path / "out.txt") as sink:
        sink.add(0, 0.0, BOXES)
        assert len((tmp_path / "out.txt").read_text().splitlines()) == 2


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"\.txt \(MOTChallenge\), \.csv or \.jsonl"):
        open_tracks(tmp_path / "out.xml")
    (tmp_path / "out.txt").touch()
    with pytest.raises(SinkError, match="exists"):
        open_tracks(tmp_path / "out.txt")
