from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.association.files import length, locked, read_detections, read_record, write_record, write_rows
from benchmarks.mot import read_rows


def test_detections_have_no_identities_and_unusable_boxes_are_left_out(tmp_path: Path):
    path = tmp_path / "det.txt"
    path.write_text("2,-1,11,21,30,40,0.5,-1,-1,-1\n\n1,-1,1,1,0,9,0.9,-1,-1,-1\n1,-1,1,1,5,9,-2,-1,-1,-1\n")
    rows = read_detections(path)
    assert rows.frame.tolist() == [0, 1]
    np.testing.assert_array_equal(rows.box, [[0, 0, 5, 9], [10, 20, 30, 40]])
    assert rows.score.tolist() == [-2.0, 0.5]
    assert len(set(rows.id.tolist())) == 2


def test_rows_survive_writing(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("1,3,1.25,2.5,3.125,4,0.5\n9,12345678901234,1,1,2,2,1\n")
    rows = read_rows(path)
    write_rows(tmp_path / "new" / "b.txt", rows)
    again = read_rows(tmp_path / "new" / "b.txt")
    for name in ("frame", "id", "box", "score"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.txt"]


def test_a_damaged_record_is_named(tmp_path: Path):
    assert read_record(tmp_path) == {}
    write_record(tmp_path, {"title": "a"})
    assert read_record(tmp_path) == {"title": "a"}
    (tmp_path / "run.json").write_text("[")
    with pytest.raises(ValueError, match=r"run\.json: damaged"):
        read_record(tmp_path)


def test_the_length_must_be_known(root: Path, tmp_path: Path):
    assert length(root, "PETS09-S2L1") == 4
    with pytest.raises(ValueError, match=r"seqinfo\.ini"):
        length(tmp_path, "none")


def test_two_runs_do_not_share_a_folder(tmp_path: Path):
    with locked(tmp_path), pytest.raises(ValueError, match="another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
