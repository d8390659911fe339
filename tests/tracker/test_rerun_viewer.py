"""What Rerun is told is read back from the file that it wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker import __main__ as cli
from tracker.frame import Frame
from tracker.multi import MultiTracker
from tracker.rerun_viewer import RerunViewer, is_address
from tracker.result import TrackResult, TrackState
from tracker.sinks import SinkError

rerun = pytest.importorskip("rerun", reason="pip install rerun-sdk")

SIZE = (160, 120)
BOXES = ((30.0, 40.0, 24.0, 20.0), (90.0, 50.0, 24.0, 20.0))


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every logged row of a recording: entity, frame, time in nanoseconds, and components by their columns' names."""
    from rerun.chunk import RrdReader

    for chunk in RrdReader(path).stream():
        if chunk.is_static:
            continue
        batch = chunk.to_record_batch().drop_columns(["log_time"])
        at = batch.schema.names.index("time")
        batch = batch.set_column(at, "time", batch.column(at).cast("int64"))
        yield from ({"entity": chunk.entity_path, **row} for row in batch.to_pylist())


def logged(path: Path, entity: str) -> list[dict[str, Any]]:
    return sorted((row for row in rows(path) if row["entity"] == entity), key=lambda row: row["frame"])


def scalars(path: Path, entity: str) -> list[float]:
    return [row["Scalars:scalars"][0] for row in logged(path, entity)]


def frame(index: int, image: np.ndarray | None = None) -> Frame:
    picture = np.full((SIZE[1], SIZE[0], 3), 10 * index, np.uint8) if image is None else image
    return Frame(index, index / 25, picture)


@pytest.fixture
def recorded(seeing, draw, tmp_path) -> tuple[Path, list[dict[int, TrackResult]]]:
    """Four frames with two moving targets, the second of which is removed before the last."""
    path, tracker, told = tmp_path / "run.rrd", MultiTracker(seeing), []
    with RerunViewer("two targets", path) as viewer:
        viewer.overhear(tracker)
        image = draw(SIZE, *BOXES)
        for box in BOXES:
            tracker.add(image, box)
        viewer.write(frame(0, image), dict(tracker.results))
        told.append(dict(tracker.results))
        for index in (1, 2, 3):
            image = draw(SIZE, *((x + index, y, w, h) for x, y, w, h in BOXES))
            if index == 3:
                tracker.remove(2)
            told.append(tracker.update(image, index / 25))
            viewer.write(frame(index, image), told[-1])
    return path, told


def test_every_frame_is_recorded_as_it_was(recorded, draw):
    pictures = logged(recorded[0], "/camera")
    assert [row["frame"] for row in pictures] == [0, 1, 2, 3]
    assert [row["time"] / 1e9 for row in pictures] == pytest.approx([0, 0.04, 0.08, 0.12])
    jpeg = np.frombuffer(bytes(pictures[0]["EncodedImage:blob"][0]), np.uint8)
    assert np.abs(cv2.imdecode(jpeg, cv2.IMREAD_COLOR).astype(int) - draw(SIZE, *BOXES)).mean() < 2


def test_scores_boxes_and_latency_are_those_of_the_results(recorded):
    path, told = recorded
    for id in (1, 2):
        results = [each[id] for each in told if id in each]
        assert scalars(path, f"/score/{id}") == pytest.approx([result.score for result in results])
        assert scalars(path, f"/latency/{id}") == pytest.approx([1000 * result.elapsed for result in results])
        rows = [row for row in logged(path, f"/camera/target/{id}/box") if row.get("Boxes2D:centers")]
        for row, result in zip(rows, results, strict=True):
            (centre,), (half,) = row["Boxes2D:centers"], row["Boxes2D:half_sizes"]
            x, y, w, h = result.box
            assert [*centre, *half] == pytest.approx([x + w / 2, y + h / 2, w / 2, h / 2], abs=1e-3)
    assert len(scalars(path, "/latency/loop")) == 3  # between four frames


def test_the_response_peaks_where_the_target_has_gone(recorded, seeing):
    """The fake network answers with a hill on the target, and each target moved one pixel to the right a frame."""
    tensors = logged(recorded[0], "/response/1")
    assert [row["frame"] for row in tensors] == [1, 2, 3]  # in the first frame nothing is searched for
    assert [row["frame"] for row in logged(recorded[0], "/response/2")] == [1, 2]
    data = tensors[0]["Tensor:data"][0]
    assert list(data["shape"]) == [17, 17]
    response = np.reshape(data["buffer"], (17, 17))
    row, column = np.unravel_index(response.argmax(), response.shape)
    assert (row, column) == (8, 8)
    assert response[8, 9] > response[8, 7]  # to the right of the middle, by less than a cell


def test_a_target_that_is_removed_is_cleared(recorded):
    (last,) = [row for row in logged(recorded[0], "/camera/target/2") if row["frame"] == 3]
    assert last["Clear:is_recursive"] == [True]


def test_a_lost_target_has_corners_and_no_box(tmp_path):
    path, box = tmp_path / "lost.rrd", (10.0, 20.0, 30.0, 40.0)
    with RerunViewer("lost", path) as viewer:
        for index, state in enumerate((TrackState.TRACKING, TrackState.LOST)):
            viewer.write(frame(index), {1: TrackResult(box, 0.5, state)})
    boxes, corners = (logged(path, f"/camera/target/1/{name}") for name in ("box", "corners"))
    assert boxes[0]["Boxes2D:centers"] == [[25.0, 40.0]]
    assert boxes[1]["Clear:is_recursive"] == [False]
    assert corners[1]["Points2D:positions"] == [[10.0, 20.0], [40.0, 20.0], [40.0, 60.0], [10.0, 60.0]]


def test_what_is_overheard_changes_no_box(seeing, draw, tmp_path):
    plain, heard = MultiTracker(seeing), MultiTracker(seeing)
    with RerunViewer("same", tmp_path / "same.rrd") as viewer:
        viewer.overhear(heard)
        for tracker in (plain, heard):
            tracker.add(draw(SIZE, BOXES[0]), BOXES[0])
        for step in range(1, 4):
            image = draw(SIZE, (BOXES[0][0] + 3 * step, *BOXES[0][1:]))
            one, other = plain.update(image), heard.update(image)
            assert one[1].box == other[1].box
            viewer.write(frame(step, image), other)


def test_somebody_who_watches_gets_each_result_and_some_pictures(monkeypatch):
    """A viewer at an address: Rerun's own server stands in, in this process."""
    server = rerun.RecordingStream("server")
    url = server.serve_grpc(grpc_port=19876)
    assert is_address(url)
    with RerunViewer("live", url) as viewer:
        for index in range(20):
            viewer.write(frame(index), {1: TrackResult((1, 2, 3, 4), 0.5, TrackState.TRACKING)})
        assert viewer._picture is not None
    server.disconnect()


@pytest.mark.parametrize(
    ("target", "message"),
    [("run.mp4", "ends in .rrd"), ("there/is/none.rrd", "folder"), ("taken.rrd", "exists"), ("", "display")],
)
def test_what_cannot_be_written_is_refused(target, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    Path("taken.rrd").write_text("precious")
    with pytest.raises(SinkError, match=message):
        RerunViewer("x", target)
    assert Path("taken.rrd").read_text() == "precious"


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with RerunViewer("full", tmp_path / "full.rrd") as viewer, pytest.raises(SinkError, match="nearly full"):
        viewer.write(frame(0), {})


def test_without_rerun_the_line_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ImportError, match="pip install 'rerun-sdk"):
        RerunViewer("x", tmp_path / "x.rrd")


def test_a_killed_process_leaves_what_it_recorded(tmp_path):
    path = tmp_path / "killed.rrd"
    script = """if True:
        import os, sys, time, numpy as np
        from tracker.frame import Frame
        from tracker.rerun_viewer import RerunViewer
        from tracker.result import TrackResult, TrackState
        viewer = RerunViewer("killed", sys.argv[1]).__enter__()
        for index in range(50):
            result = TrackResult((1, 2, 3, 4), 0.5, TrackState.TRACKING)
            viewer.write(Frame(index, index / 25, np.zeros((12, 16, 3), np.uint8)), {1: result})
        time.sleep(1.5)  # the file is to be readable up to the last second
        os.kill(os.getpid(), 9)"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -9
    assert len(scalars(path, "/score/1")) == 50


def test_the_command_line_records(tmp_path, capsys, seeing, draw, monkeypatch):
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), draw(SIZE, (BOXES[0][0] + index, *BOXES[0][1:])))
    box = ",".join(map(str, BOXES[0]))
    path = tmp_path / "run.rrd"
    words = ["--video", str(tmp_path / "*.png"), "--box", box, "--rerun", str(path)]
    assert cli.main(words, MultiTracker(seeing)) == cli.DONE
    assert len(scalars(path, "/score/1")) == 3
    assert [row["frame"] for row in logged(path, "/response/1")] == [1, 2]
    with pytest.raises(SystemExit) as stopped:
        cli.main(words, MultiTracker(seeing))
    assert stopped.value.code == cli.REFUSED
    assert "--overwrite" in capsys.readouterr().err
