from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks.association import PEERS, SETS
from benchmarks.association.files import read_record
from benchmarks.association.peers import WorkerError, worker
from benchmarks.association.run import fill_results, run_oracle, run_peers
from benchmarks.mot import read_rows

PETS = [SETS["pets"]]


def asked(root: Path) -> int:
    return len((root / "PETS09-S2L1" / "det" / "asked.txt").read_text().split())


def test_each_is_tracked_once(root: Path, stand_in: Path, tmp_path: Path):
    heard: list[str] = []
    run = partial(run_peers, root, tmp_path / "r", PETS, say=heard.append)
    start = partial(worker, Path(sys.executable), stand_in)
    assert run(["sort", "bytetrack"], start=start) == 2
    assert len(heard) == 2
    record = read_record(tmp_path / "r" / "bytetrack")
    assert record["settings"] == PEERS["bytetrack"].settings
    assert record["sequences"]["PETS09-S2L1"]["versions"] == {"peer": "1.0"}
    assert run(["sort", "bytetrack"], start=start) == 0
    assert asked(root) == 2

    (tmp_path / "r" / "sort" / "PETS09-S2L1.txt").unlink()
    assert run(["sort", "bytetrack"], start=start) == 1
    detections = root / "PETS09-S2L1" / "det" / "det.txt"
    detections.write_text(detections.read_text() + "4,-1,300,21,20,40,0.5,-1,-1,-1\n")
    assert run(["sort", "bytetrack"], start=start) == 2
    assert asked(root) == 5


def test_what_a_peer_says_when_it_fails_is_said(root: Path, stand_in: Path, tmp_path: Path):
    start = partial(worker, Path(sys.executable), stand_in)
    with pytest.raises(WorkerError, match="ValueError: no"):
        run_peers(root, tmp_path / "r", PETS, ["sort", "sort-30"], print, start)
    assert (tmp_path / "r" / "sort" / "PETS09-S2L1.txt").exists()
    with pytest.raises(WorkerError, match="make mot-peers"):
        run_peers(root, tmp_path / "r", PETS, ["sort-30"], print, partial(worker, tmp_path / "python"))
    stand_in.write_text("raise SystemExit(3)")
    with pytest.raises(WorkerError, match="ended with 3"):
        run_peers(root, tmp_path / "r", PETS, ["sort-30"], print, start)


def test_gaps_are_filled_under_another_name(root: Path, stand_in: Path, tmp_path: Path):
    run_peers(root, tmp_path / "r", PETS, ["sort"], print, partial(worker, Path(sys.executable), stand_in))
    before = read_rows(tmp_path / "r" / "sort" / "PETS09-S2L1.txt")
    fill_results(tmp_path / "r", "sort")
    after = read_rows(tmp_path / "r" / "sort+filled" / "PETS09-S2L1.txt")
    assert len(before) == 6
    assert len(after) > len(before)
    assert read_record(tmp_path / "r" / "sort+filled")["title"] == "SORT + gap filling"


def test_the_oracle_is_stored(root: Path, tmp_path: Path):
    run_oracle(root, tmp_path / "r", PETS)
    assert sorted(set(read_rows(tmp_path / "r" / "oracle" / "PETS09-S2L1.txt").id.tolist())) == [1, 2]
