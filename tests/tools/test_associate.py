"""The command line of association: what it takes, writes, prints and refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker.association.__main__ import main
from tracker.association.costs import Costs
from tracker.association.features import NAMES
from tracker.association.model import DETECTION_NAMES, AssociationModel
from tracker.association.online import OnlineAssociator
from tracker.association.trees import Trees
from tracker.sinks import read_results

SCRIPT = Path(__file__).parents[2] / "tools" / "associate.py"
FRAMES, FPS = 24, 12


def stump(names: tuple[str, ...], feature: str, threshold: float, low: float, high: float) -> Trees:
    """One tree of one branch: `low` up to the threshold, `high` above it and where the feature is missing."""
    branch = (np.array([0]), np.array([names.index(feature)]), np.array([threshold]), np.array([2 << 2]))
    return Trees(names, *branch, np.array([-1]), np.array([-2]), np.array([low, high]))


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AssociationModel:
    """Detections are one target where the earlier one's line leads to; every score is believed."""
    pair = stump(NAMES, "forward_error", 0.3, 4.0, -4.0)
    found = AssociationModel(pair, stump(DETECTION_NAMES, "score", -9.0, -3.0, 3.0), (1.0, 0.0), Costs(link=0.0))
    monkeypatch.setattr(AssociationModel, "read", classmethod(lambda cls, name: found))
    monkeypatch.chdir(tmp_path)
    return found


def walkers(index: int) -> list[tuple[float, float, float, float]]:
    return [(10.0 + 3 * index, 20.0, 20.0, 50.0), (130.0 - 2 * index, 60.0, 20.0, 50.0)]


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    """Two walkers, from the second of whom three frames are missing; the file is not sorted."""
    rows = []
    for index in range(FRAMES):
        for number, (x, y, w, h) in enumerate(walkers(index)):
            if number == 0 or index not in (9, 10, 11):
                rows.append(f"{index + 1},-1,{x + 1},{y + 1},{w},{h},{3.5 - number},-1,-1,-1")
    path = tmp_path / "walk.txt"
    path.write_text("\n".join(reversed(rows)))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    background = cv2.resize(random.integers(60, 120, (12, 16, 3)).astype(np.uint8), (160, 120))
    coats = [random.integers(0, 256, (50, 20, 3)).astype(np.uint8) for _ in range(2)]
    path = tmp_path / "walk.mp4"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), FPS, (160, 120))
    for index in range(FRAMES):
        image = background.copy()
        for coat, (x, y, w, h) in zip(coats, walkers(index), strict=True):
            image[int(y) : int(y + h), int(x) : int(x + w)] = coat
        writer.write(image)
    writer.release()
    return path


def lines(path: Path) -> list[list[float]]:
    return [[float(value) for value in line.split(",")] for line in path.read_text().splitlines()]


def run(*arguments: Any) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_motchallenge_text_goes_in_and_comes_out(detections: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--detections", detections, "--fps", FPS, "--save", "out.txt") == 0
    rows = lines(Path("out.txt"))
    assert len(rows) == 2 * FRAMES - 3
    ids: dict[float, set[float]] = {}
    for frame, id, x, y, w, h, score, *rest in rows:
        expected = walkers(int(frame) - 1)[int(score == 2.5)]
        assert (x - 1, y - 1, w, h) == pytest.approx(expected)
        assert rest == [-1, -1, -1]
        ids.setdefault(score, set()).add(id)
    assert sorted(map(sorted, ids.values())) == [[1], [2]]  # one identity each, across the gap
    assert capsys.readouterr().out.startswith(f"2 tracks from {2 * FRAMES - 3} detections in {FRAMES} frames, ")


def test_flow_fills_gaps_and_says_so(detections: Path) -> None:
    assert run("--detections", detections, "--fps", FPS, "--tracker", "flow", "--save", "out.csv") == 0
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert len(rows) == 2 * FRAMES
    filled = [row for row in rows if row["state"] == "interpolated"]
    assert [int(row["frame"]) for row in filled] == [9, 10, 11]
    assert [float(row["x"]) for row in filled] == pytest.approx([130 - 2 * index for index in (9, 10, 11)])
    assert float(rows[-1]["time"]) == pytest.approx((FRAMES - 1) / FPS, abs=1e-5)


def test_the_frame_rate_is_that_of_a_seqinfo_beside_or_above(detections: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sequence" / "det"
    folder.mkdir(parents=True)
    (folder.parent / "seqinfo.ini").write_text("[Sequence]\nframeRate=7\n")
    moved = detections.rename(folder / "det.txt")
    assert run("--detections", moved, "--save", "out.jsonl") == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert rows[-1]["time"] == pytest.approx((FRAMES - 1) / 7, abs=1e-5)


def test_a_video_is_annotated(detections: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for tracker in ("online", "flow"):
        output = Path(f"{tracker}.mp4")
        arguments = ["--detections", detections, "--video", video, "--tracker", tracker, "--output", output, "--json"]
        assert run(*arguments) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["frames"] == FRAMES
        assert summary["tracks"] == 2
        assert summary["fps"] > 0
        assert summary["frame_rate"] == FPS
        capture = cv2.VideoCapture(str(output))
        images = []
        while (read := capture.read())[0]:
            images.append(read[1])
        assert len(images) == FRAMES
        plain = cv2.VideoCapture(str(video)).read()[1]
        assert plain is not None
        assert np.abs(images[0].astype(int) - plain).max() > 60


def test_a_detector_finds_who_is_to_be_tracked(video: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="detectors are ONNX files")
    pytest.importorskip("onnxruntime", reason="detectors are run by onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    answer = np.zeros((1, 6, 84), np.float32)  # YOLOv8 for 64x64 with two classes; a box that stands still
    answer[0, :, 0] = 32, 32, 8, 20, 0.9, 0
    answer[0, :, 1] = 12, 32, 8, 20, 0, 0.8
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["out"], value=numpy_helper.from_array(answer, "out"))],
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    net = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), net)
    assert run("--video", video, "--detector", net, "--classes", "all", "--save", "all.txt") == 0
    assert len(lines(Path("all.txt"))) == 2 * FRAMES
    assert run("--video", video, "--detector", net, "--classes", "1", "--save", "one.txt", "--max-frames", 5) == 0
    assert [row[2:6] for row in lines(Path("one.txt"))] == [pytest.approx([21, 36, 20, 50])] * 5
    assert run("--video", video, "--detector", net, "--save", "out.txt") == 2  # it has no class "person"
    assert run("--video", video, "--detector", net, "--layout", "yolox", "--save", "out.txt") == 2
    assert not Path("out.txt").exists()


def test_doubt_says_how_many_detections_are_believed(detections: Path) -> None:
    for doubt, rows in ((9, 0), (-9, 2 * FRAMES - 3)):
        name = f"out{doubt}.txt"
        assert run("--detections", detections, "--fps", FPS, "--doubt", doubt, "--save", name) == 0
        assert len(Path(name).read_text().splitlines()) == rows


def test_the_bridge_follows_whom_the_detector_missed(detections: Path, video: Path) -> None:
    arguments = ["--detections", detections, "--video", video, "--bridge", "compact", "--threads", "1"]
    assert run(*arguments, "--save", "out.csv") == 0
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    followed = [row for row in rows if row["state"] == "interpolated"]
    assert {int(row["frame"]) for row in followed} <= {9, 10, 11}
    assert len(followed) >= 1


def test_an_interrupt_leaves_what_was_written(
    detections: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    update = OnlineAssociator.update

    def interrupted(self: OnlineAssociator, detections: Any, image: Any = None) -> Any:
        if detections.frame == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, detections, image)

    monkeypatch.setattr(OnlineAssociator, "update", interrupted)
    assert run("--detections", detections, "--fps", FPS, "--save", "out.txt", "--json") == 130
    assert max(row.frame for row in read_results("out.txt")) == 9
    assert json.loads(capsys.readouterr().out)["stopped"] == "interrupted"


def test_results_have_a_name_by_default_and_are_not_replaced_unasked(detections: Path, video: Path) -> None:
    assert run("--detections", detections, "--fps", FPS) == 0
    assert Path("walk_tracks.txt").is_file()
    assert run("--detections", detections, "--fps", FPS) == 2
    assert run("--detections", detections, "--fps", FPS, "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to associate: give --detections DET.txt, or --video V with --detector NET.onnx"),
        (["--video", "walk.mp4"], "nothing to associate"),
        (["--detections", "walk.txt", "--detector", "net.onnx", "--video", "walk.mp4"], "exclude each other"),
        (["--detector", "net.onnx"], "--detector needs --video"),
        (["--detections", "walk.txt", "--output", "a.mp4"], "--output needs --video"),
        (["--detections", "walk.txt", "--bridge", "compact"], "--bridge needs --video"),
        (["--detections", "walk.txt", "--save", "a.xml"], "must end in one of"),
        (["--detections", "walk.txt", "--save", "no/a.txt"], "there is no folder"),
        (["--detections", "walk.txt", "--save", "walk.txt", "--overwrite"], "is the"),
        (["--detections", "walk.txt"], "the frame rate is not known: give --fps"),
        (["--detections", "gone.txt", "--fps", "5"], "gone.txt"),
        (["--detections", "walk.txt", "--fps", "0"], "frames per second, above 0"),
        (["--detections", "walk.txt", "--fps", "5", "--appearance", "towers"], "--appearance needs --video"),
        (["--video", "gone.mp4", "--detections", "walk.txt"], "no such file or folder: gone.mp4"),
        (["--video", "walk.mp4", "--detector", "gone.onnx"], "gone.onnx: no such file"),
    ],
)
@pytest.mark.usefixtures("detections", "video")
def test_what_cannot_be_done_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path.cwd().iterdir())
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("associate: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(Path.cwd().iterdir()) == before


def test_lines_that_are_no_detections_are_named(detections: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detections.write_text("1,-1,5,5,10,20,0.9\n1,-1,5,5,0,20,0.9\n2,-1,nan,5,9,9,1\n")
    assert run("--detections", detections, "--fps", "5", "--save", "out.txt") == 0
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert all(line.startswith("associate: warning: ") for line in warnings)
    detections.write_text("1,-1,5,5,10,twenty,0.9\n")
    assert run("--detections", detections, "--fps", "5", "--save", "new.txt") == 2
    assert "line 1" in capsys.readouterr().err


def test_help_needs_nothing_heavy(run_without: Any) -> None:
    for arguments in (["--help"], []):
        found = run_without(arguments, {"torch", "cv2", "scipy", "numba", "onnxruntime"})
        assert found.returncode == (0 if arguments else 2)
        assert "examples" in found.stdout + found.stderr
