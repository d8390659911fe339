from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import results
from benchmarks.results import Run, claim, clean, is_stored, load, note, read_settings, store
from tracker.box import from_otb


def run(frames: int = 5) -> Run:
    boxes = np.array([(10 + index / 3, 20.0, 8.0, 6.0) for index in range(frames)])
    states = ["tracking", "uncertain", "lost", "tracking", "tracking"]
    return Run(boxes, np.linspace(0.01, 0.02, frames), np.linspace(1, 0.5, frames), (states * frames)[:frames])


def test_results_are_1_based_text_that_other_tools_read(tmp_path: Path):
    store(tmp_path, "Ball", run())
    lines = (tmp_path / "Ball.txt").read_text().splitlines()
    assert lines[0] == "11.000,21.000,8.000,6.000"
    assert lines[1] == "11.333,21.000,8.000,6.000"
    np.testing.assert_array_equal(from_otb(np.loadtxt(lines, delimiter=",")), load(tmp_path, "Ball").boxes)
    assert np.loadtxt(tmp_path / "times" / "Ball_time.txt").shape == (5,)
    with open(tmp_path / "states" / "Ball.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["frame", "score", "state"]
    assert rows[3] == ["2", "0.7500", "lost"]


def test_what_is_stored_is_what_was_said(tmp_path: Path):
    store(tmp_path, "Ball", run())
    loaded = load(tmp_path, "Ball")
    np.testing.assert_allclose(loaded.boxes, run().boxes, atol=0.0005001)
    np.testing.assert_allclose(loaded.seconds, run().seconds, atol=1e-8)
    np.testing.assert_allclose(loaded.scores, run().scores, atol=0.00005001)
    assert loaded.states == run().states


@settings(max_examples=30, deadline=None)
@given(boxes=st.lists(st.tuples(*[st.floats(-1e5, 1e5)] * 4), min_size=1, max_size=8))
def test_storing_what_was_loaded_changes_nothing(boxes: list, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("results")
    store(folder, "a", Run(np.array(boxes)))
    store(folder, "b", load(folder, "a"))
    np.testing.assert_array_equal(load(folder, "a").boxes, load(folder, "b").boxes)


def test_boxes_alone_are_a_result(tmp_path: Path):
    store(tmp_path, "Ball", Run(run().boxes))
    loaded = load(tmp_path, "Ball")
    assert loaded.seconds is loaded.scores is loaded.states is None
    assert [path.name for path in tmp_path.iterdir()] == ["Ball.txt"]


def test_a_run_is_stored_when_its_boxes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replace_file = os.replace

    def full_disk(source: Path, target: Path) -> None:
        if target.name == "Ball.txt":
            raise OSError(28, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(results.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        store(tmp_path, "Ball", run())
    monkeypatch.undo()
    assert (tmp_path / "times" / "Ball_time.txt").exists()
    assert not is_stored(tmp_path, "Ball", 5)
    store(tmp_path, "Ball", run())
    assert is_stored(tmp_path, "Ball", 5)


def test_a_run_of_another_length_is_refused(tmp_path: Path):
    store(tmp_path, "Ball", run(5))
    with pytest.raises(ValueError, match=r"Ball\.txt has 5 rows for 7 frames; remove it or choose another --results"):
        is_stored(tmp_path, "Ball", 7)


def test_a_missing_run_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no results of Ball: .*Ball\.txt is missing"):
        load(tmp_path, "Ball")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("Ball.txt", "1,2,3,4\n1,2,three,4\n"),
        ("Ball.txt", "1,2,3,4\n1,2\n"),
        ("times/Ball_time.txt", "0.1\nslow\n"),
        ("states/Ball.csv", "frame,score,state\n0,high,lost\n"),
        ("states/Ball.csv", "frame,value\n0,1\n"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, text: str):
    store(tmp_path, "Ball", run())
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=Path(file).name):
        load(tmp_path, "Ball")


def test_results_of_other_settings_are_refused(tmp_path: Path):
    claim(tmp_path, {"window": 0.4, "size": (1, 2)})
    claim(tmp_path, {"size": (1, 2), "window": 0.4})
    with pytest.raises(ValueError, match=r"other settings \(window = 0.4, now 0.3\); choose another --results"):
        claim(tmp_path, {"window": 0.3, "size": (1, 2)})


def test_results_of_another_format_are_refused(tmp_path: Path):
    (tmp_path / "settings.json").write_text(json.dumps({"format": 2, "window": 0.4}))
    with pytest.raises(ValueError, match=r"other settings \(format = 2, now 1\)"):
        claim(tmp_path, {"window": 0.4})


def test_results_of_unknown_settings_are_refused(tmp_path: Path):
    store(tmp_path, "Ball", run())
    with pytest.raises(ValueError, match=r"holds results, but no settings\.json says of what"):
        claim(tmp_path, {"window": 0.4})


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_damaged_settings_are_named(tmp_path: Path, text: str):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError, match=r"settings\.json: "):
        claim(tmp_path, {"window": 0.4})


def test_notes_are_kept_beside_each_other_and_never_compared(tmp_path: Path):
    claim(tmp_path, {"window": 0.4})
    note(tmp_path, machine="EPYC", commit="abc")
    note(tmp_path, machine="EPYC")
    note(tmp_path, machine="Ryzen")
    claim(tmp_path, {"window": 0.4})
    assert read_settings(tmp_path) == {
        "format": 1,
        "window": 0.4,
        "record": {"machine": ["EPYC", "Ryzen"], "commit": ["abc"]},
    }


def test_what_interrupted_writes_left_is_removed(tmp_path: Path):
    store(tmp_path, "Ball", run())
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    stale, fresh = tmp_path / "times" / ".Ball_time.txt.17.partial", tmp_path / ".Cup.txt.18.partial"
    for path in (stale, fresh):
        path.write_text("1,2")
    os.utime(stale, (0, 0))
    clean(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {*kept, fresh}
