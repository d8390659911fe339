"""The script that runs in the peers' environment; here with a tracker that is made up."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.association import PEERS, worker
from benchmarks.mot import read_rows

LINES = [
    "3,-1,5,5,4,4,0.5,-1,-1,-1",
    "1,-1,1,2,3,4,0.9,-1,-1,-1",
    "1,-1,1,2,0,4,0.9,-1,-1,-1",
    "1,-1,1,2,nan,4,0.9,-1,-1,-1",
]


@pytest.fixture
def detections(tmp_path: Path) -> str:
    path = tmp_path / "det.txt"
    path.write_text("\n".join(LINES))
    return str(path)


def test_every_frame_is_handed_on_and_no_flat_box(detections: str):
    boxes, scores, dropped = worker.read_detections(detections, 4)
    assert [len(part) for part in boxes] == [1, 0, 1, 0]
    np.testing.assert_array_equal(boxes[0], [[1, 2, 4, 6]])
    assert scores[2].tolist() == [0.5]
    assert dropped == 2


def test_a_task_is_answered_and_written(detections: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def build(settings):
        frames = []

        def step(boxes, scores):
            frames.append(len(boxes))
            return boxes, np.arange(len(boxes)) + settings["first"] + len(frames), scores

        return step

    monkeypatch.setitem(worker.KINDS, "made-up", build)
    output = tmp_path / "out.txt"
    task = {"tracker": "made-up", "settings": {"first": 5}, "detections": detections, "frames": 4}
    answer = worker.run(task | {"output": str(output)})
    assert (answer["frames"], answer["boxes"], answer["dropped"]) == (4, 2, 2)
    assert answer["seconds"] > 0
    assert answer["versions"]["numpy"] == np.__version__
    rows = read_rows(output)
    assert rows.id.tolist() == [6, 8]
    np.testing.assert_array_equal(rows.box, [[0, 1, 3, 4], [4, 4, 4, 4]])


def test_an_error_is_an_answer(detections: str, monkeypatch: pytest.MonkeyPatch):
    task = {"tracker": "none", "settings": {}, "detections": detections, "frames": 4}
    reader, writer = os.pipe()
    monkeypatch.setattr(worker.sys, "stdin", io.StringIO(json.dumps(task) + "\n"))
    monkeypatch.setattr(worker.os, "dup", lambda _: writer)
    monkeypatch.setattr(worker.os, "dup2", lambda *_: None)
    worker.main()
    assert "KeyError" in json.loads(os.read(reader, 4096))["error"]
    os.close(reader)


def test_each_peer_has_one_who_calls_it():
    assert {peer.kind for peer in PEERS.values()} == set(worker.KINDS)
    assert all(peer.package in worker.DISTRIBUTIONS for peer in PEERS.values())
