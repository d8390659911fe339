"""What is measured where the detector works only now and then."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import bridging
from benchmarks.bridging import METHODS, main, measure, score_tracks, table, thinned
from benchmarks.mot import parse_rows
from tracker.association.costs import Costs
from tracker.association.detections import Detections
from tracker.association.features import NAMES
from tracker.association.model import DETECTION_NAMES, AssociationModel
from tracker.association.track import Track
from tracker.association.trees import Trees
from tracker.box import to_mot

FRAMES = 17


def stump(names: tuple[str, ...], feature: str, threshold: float, low: float, high: float) -> Trees:
    branch = (np.array([0]), np.array([names.index(feature)]), np.array([threshold]), np.array([2 << 2]))
    return Trees(names, *branch, np.array([-1]), np.array([-2]), np.array([low, high]))


@pytest.fixture
def sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One walker whom the detector sees in every frame."""
    model = AssociationModel(
        stump(NAMES, "shift_x", 1.0, 4.0, -4.0), stump(DETECTION_NAMES, "score", 0.5, -3.0, 3.0), costs=Costs(link=0.0)
    )
    monkeypatch.setattr(AssociationModel, "read", classmethod(lambda cls, name: model))
    random = np.random.default_rng(0)
    background = cv2.resize(random.integers(60, 120, (12, 24, 3)).astype(np.uint8), (240, 120))
    coat = cv2.resize(random.integers(0, 256, (12, 6, 3)).astype(np.uint8), (24, 50))
    writer = cv2.VideoWriter(
        str(tmp_path / "frames.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (240, 120)
    )
    rows = []
    for index in range(FRAMES):
        image, x = background.copy(), 40 + 5 * index
        image[30:80, x : x + 24] = coat
        writer.write(image)
        rows.append(f"{index + 1},1,{','.join(f'{value:g}' for value in to_mot([x, 30, 24, 50]))},1,1,1")
    writer.release()
    for name in ("gt", "det"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text("\n".join(rows))
    (tmp_path / "seqinfo.ini").write_text(f"[Sequence]\nframeRate=10\nseqLength={FRAMES}\n")
    return tmp_path


def test_the_tracker_fills_what_the_detector_left(sequence: Path) -> None:
    rows = {row["method"]: row for row in measure(sequence, "any", [4], threads=1)}
    assert tuple(rows) == METHODS
    kept = len(range(0, FRAMES, 4))
    assert rows["online"]["CLR_FN"] == FRAMES - kept  # it speaks of the frames only that it was given
    assert rows["online, lines"]["CLR_FN"] == 0
    assert rows["online + tracker"]["CLR_FN"] <= 1
    assert rows["online + tracker"]["IDSW"] == 0
    assert rows["online + tracker"]["fps"] > 0
    assert rows["flow + tracker"]["MOTA"] >= 0.9
    assert len(table(list(rows.values())).splitlines()) == 2 + len(METHODS)


def test_only_what_was_not_learned_from_counts(sequence: Path) -> None:
    rows = {row["method"]: row for row in measure(sequence, "any", [2], first=10, threads=1)}
    assert rows["online"]["CLR_FN"] == 3  # of the seven frames from the eleventh on


def test_every_kth_frame_is_kept() -> None:
    found = {frame: Detections(frame, [[0, 0, 1, 1]]) for frame in (0, 1, 3, 4, 8)}
    assert list(thinned(found, 4)) == [0, 4, 8]
    assert thinned(found, 1) == found


def test_tracks_are_scored_as_their_file_would_be() -> None:
    truth = parse_rows(b"1,1,1,1,10,10,1\n2,1,1,1,10,10,1\n3,1,1,1,10,10,1\n", "truth")
    box, frames = np.zeros((2, 4)) + (0, 0, 10, 10), np.array([0, 2])
    track = Track(5, frames, box, np.ones(2), np.zeros(2, bool))
    assert score_tracks([track], truth, 3)["CLR_FN"] == 1
    assert score_tracks([], truth, 3)["MOTA"] == 0
    late = dataclasses.replace(track, frames=np.array([0, 7]))
    assert score_tracks([late], truth, 3)["CLR_FP"] == 0


def test_the_command_prints_a_table_or_refuses(
    sequence: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"every": 2, "method": "online", **dict.fromkeys(bridging.SCORES, 0.5)}
    monkeypatch.setattr(bridging, "measure", lambda *_: [row])
    assert main([str(sequence)]) == 0
    assert "| 2 | online | 50.0 | 50.0 | 50.0 |" in capsys.readouterr().out
    assert main([str(sequence), "--every", "0"]) == 2
    assert "count from 1" in capsys.readouterr().err
