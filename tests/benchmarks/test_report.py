from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets import Sequence
from benchmarks.report import report, sequence_table, table
from benchmarks.runner import Run, store


def stored(folder: Path, name: str, shift: float, seconds: float = 0.01) -> Sequence:
    """Store a run that is `shift` pixels off from frame 1 on, and return its sequence."""
    truth = np.array([(10.0, 20.0, 20.0, 20.0)] * 11)
    boxes = truth + np.array([0] + [shift] * 10)[:, None] * (1, 0, 0, 0)
    states = ["tracking"] * 6 + ["lost"] * 5
    store(folder, name, Run(boxes, np.array([9.0] + [seconds] * 10), np.ones(11), states))
    return Sequence(name, truth, Path("nowhere"))


def test_a_report_scores_what_is_stored(tmp_path: Path):
    sequences = [stored(tmp_path / "ours", "Ball", 0), stored(tmp_path / "ours", "Cup", 300, seconds=0.03)]
    ours = report(tmp_path / "ours", sequences)
    perfect, one_of_eleven = 20 / 21, 20 / 21 / 11  # the first frame is the ground truth
    assert ours.tracker == "ours"
    assert ours.frames == 22
    assert [each.auc for each in ours.sequences] == pytest.approx([perfect, one_of_eleven])
    assert ours.auc == pytest.approx((perfect + one_of_eleven) / 2)
    assert ours.auc_interval == pytest.approx((one_of_eleven, perfect))  # of two sequences all is possible
    assert ours.precision_20 == pytest.approx((1 + 1 / 11) / 2)
    assert ours.speed.fps == pytest.approx(20 / 0.4)  # init, 9 seconds, is not among the updates
    assert [each.fps for each in ours.sequences] == pytest.approx([100, 100 / 3])
    assert ours.sequences[0].lost == pytest.approx(5 / 11)
    assert json.loads(json.dumps(ours.to_dict()))["sequences"][1]["name"] == "Cup"


def test_tables_rank_the_trackers_and_list_the_sequences(tmp_path: Path):
    sequences = [stored(tmp_path / "bad", "Ball", 300), stored(tmp_path / "good", "Ball", 0)][:1]
    reports = [report(tmp_path / name, sequences) for name in ("bad", "good")]
    lines = table(reports).splitlines()
    assert [line.split()[0] for line in lines] == ["tracker", "good", "bad"]
    assert "0.952 [0.952, 0.952]" in lines[1]
    assert "100.0" in lines[1]
    assert sequence_table(reports).splitlines()[1].split() == ["Ball", "11", "0.087/0.091", "0.952/1.000"]


def test_a_run_that_is_not_stored_is_not_left_out_silently(tmp_path: Path):
    sequence = stored(tmp_path / "ours", "Ball", 0)
    other = Sequence("Cup", sequence.boxes, Path("nowhere"))
    with pytest.raises(FileNotFoundError, match=r"Cup.txt"):
        report(tmp_path / "ours", [sequence, other])
