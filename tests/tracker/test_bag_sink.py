"""What is written as a log is read back by others: mcap's own reader, rosbags, and sqlite itself."""

from __future__ import annotations

import json
import runpy
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tracker import TrackResult, TrackState
from tracker.frame import Frame
from tracker.sinks import SinkError, open_results

pytest.importorskip("rosbags")
pytest.importorskip("mcap")

from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tracker import __main__ as command
from tracker.bag_sink import DETECTION, TOPIC, McapSink
from tracker.bags import LogFrame

IMAGE = np.zeros((48, 64, 3), np.uint8)
STAMP = 1_700_000_000_123_456_789
RESULTS = {
    1: TrackResult((10.5, 20.25, 8, 4), 0.75, TrackState.TRACKING),
    7: TrackResult((-3, 1, 5, 6), 0.5, TrackState.UNCERTAIN),
    9: TrackResult((30, 30, 10, 20), 0.125, TrackState.LOST),
}
ROOT = Path(__file__).resolve().parents[2]


def frame(index: int = 0) -> LogFrame:
    stamp = STAMP + index * 40_000_000
    return LogFrame(index, stamp / 1e9, IMAGE, stamp, "camera_link")


def read(path: Path) -> list:
    """(stamp, frame_id, id, state, score, x, y, w, h) of every message, by a reader that is not ours.

    The types come from the log's own definitions, as Foxglove and ros2 take them.
    """
    if path.is_file():
        with path.open("rb") as file:
            entries = [
                (schema, message.log_time, message.data) for schema, _, message in make_reader(file).iter_messages()
            ]
        types = get_typestore(Stores.EMPTY)
        types.register(get_types_from_msg(entries[0][0].data.decode(), DETECTION))
        decoded = [(time, types.deserialize_cdr(data, schema.name)) for schema, time, data in entries]
    else:
        with AnyReader([path]) as reader:
            decoded = [(time, reader.deserialize(data, of.msgtype)) for of, time, data in reader.messages()]
    rows = []
    for time, message in decoded:
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert time == stamp
        (result,) = message.results
        centre, box = message.bbox.center.position, message.bbox
        hypothesis = result.hypothesis
        rows.append(
            (
                stamp,
                message.header.frame_id,
                message.id,
                hypothesis.class_id,
                hypothesis.score,
                centre.x,
                centre.y,
                box.size_x,
                box.size_y,
            )
        )
    return rows


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_results_come_back_by_another_reader(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with open_results(path) as sink:
        for index in range(3):
            sink.write(frame(index), RESULTS)
        assert sink.rows == 9
    rows = read(path)
    assert len(rows) == 9
    assert rows[3:6] == [
        (STAMP + 40_000_000, "camera_link", "1", "tracking", 0.75, 14.5, 22.25, 8, 4),
        (STAMP + 40_000_000, "camera_link", "7", "uncertain", 0.5, -0.5, 4, 5, 6),
        (STAMP + 40_000_000, "camera_link", "9", "lost", 0.125, 35, 40, 0, 0),  # no box to be drawn
    ]


def test_an_mcap_file_is_of_the_ros2_profile(tmp_path):
    with McapSink(tmp_path / "out.mcap") as sink:
        sink.write(frame(), RESULTS)
    with (tmp_path / "out.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
    (channel,), (schema,) = summary.channels.values(), summary.schemas.values()
    assert (channel.topic, channel.message_encoding) == (TOPIC, "cdr")
    assert (schema.name, schema.encoding) == (DETECTION, "ros2msg")
    assert summary.statistics.message_count == 3
    with Reader(tmp_path / "out.mcap") as bag:
        assert [(each.topic, each.msgtype, each.msgcount) for each in bag.connections] == [(TOPIC, DETECTION, 3)]


def test_the_definition_is_the_standard_one():
    """Field by field as in vision_msgs 4; the dependencies follow it, as ros2msg has them."""
    from tracker.bag_sink import Detections

    own, *others = Detections().definition.split("=" * 80 + "\n")
    assert own.splitlines() == [
        "std_msgs/Header header",
        "vision_msgs/ObjectHypothesisWithPose[] results",
        "vision_msgs/BoundingBox2D bbox",
        "string id",
    ]
    needed = {each.splitlines()[0] for each in others}
    assert needed == {
        f"MSG: {name}"
        for name in (
            "std_msgs/Header",
            "builtin_interfaces/Time",
            "vision_msgs/ObjectHypothesisWithPose",
            "vision_msgs/ObjectHypothesis",
            "geometry_msgs/PoseWithCovariance",
            "geometry_msgs/Pose",
            "geometry_msgs/Point",
            "geometry_msgs/Quaternion",
            "vision_msgs/BoundingBox2D",
            "vision_msgs/Pose2D",
            "vision_msgs/Point2D",
        )
    }


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_a_frame_of_a_video_has_its_time_in_nanoseconds(tmp_path, suffix):
    with open_results(tmp_path / f"out{suffix}") as sink:
        sink.write(Frame(3, 0.12, IMAGE), {1: RESULTS[1]})
    assert read(tmp_path / f"out{suffix}")[0][:2] == (120_000_000, "")


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_nothing_is_replaced_without_being_asked(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with open_results(path) as sink:
        sink.write(frame(), RESULTS)
    with pytest.raises(SinkError, match="out"):
        open_results(path)
    assert len(read(path)) == 3
    with open_results(path, overwrite=True) as sink:
        sink.write(frame(), {1: RESULTS[1]})
    assert len(read(path)) == 1


def test_a_folder_with_other_things_is_never_replaced(tmp_path):
    folder = tmp_path / "out.db3"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(SinkError, match="folder"):
        open_results(folder, overwrite=True)
    assert (folder / "thesis.tex").exists()


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_a_sink_is_used_in_a_with_statement(tmp_path, suffix):
    sink = open_results(tmp_path / f"out{suffix}")
    assert not sink.path.exists()
    with pytest.raises(SinkError, match="with statement"):
        sink.write(frame(), RESULTS)
    with sink:
        pass
    sink.close()  # a second time


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_a_killed_process_leaves_all_but_the_last_second(tmp_path, suffix):
    """As `kill -9` does it: neither the sink nor the interpreter closes anything."""
    path = tmp_path / f"out{suffix}"
    program = f"""
import os, runpy, signal, time
import tracker.bag_sink as bag_sink
test = runpy.run_path({__file__!r})
bag_sink.PERIOD = 0.05
with bag_sink.open_log_sink({str(path)!r}) as sink:
    for index in range(20):
        sink.write(test["frame"](index), test["RESULTS"])
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if suffix == ".db3":
        with Reader(path / "out.db3.db3") as bag:  # before sqlite mends anything
            seen = bag.message_count
        with sqlite3.connect(path / "out.db3.db3") as database:
            (count,) = database.execute("SELECT count(*) FROM messages").fetchone()
        assert seen == count
    else:
        from mcap.records import Message
        from mcap.stream_reader import StreamReader

        count = 0
        with path.open("rb") as file, pytest.raises(Exception):  # noqa: B017, PT011, PT012  # it has no end
            for record in StreamReader(file).records:
                count += isinstance(record, Message)
    assert 60 - 3 * 5 <= count <= 60


def test_a_full_disk_is_said_in_one_line(tmp_path):
    sink = McapSink(tmp_path / "out.mcap")
    sink.path = Path("/dev/full")
    if not sink.path.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(SinkError, match=r"/dev/full cannot be .*[Nn]o space"), sink:
        sink.write(frame(), RESULTS)


class Standing:
    """A MultiTracker whose targets stay where they were."""

    def __init__(self):
        self.results = {}

    def add(self, image, box, id=None, timestamp=None):
        self.results[len(self.results) + 1] = TrackResult(box, 1.0, TrackState.TRACKING)

    def update(self, image, timestamp=None):
        return dict(self.results)


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_the_command_line_reads_a_log_and_writes_a_log(tmp_path, suffix, capsys, monkeypatch):
    logs = runpy.run_path(str(Path(__file__).with_name("test_bags.py")))
    monkeypatch.chdir(tmp_path)
    video = logs["record"](tmp_path, "mcap", {"/left": "sensor_msgs/msg/Image", "/right": "sensor_msgs/msg/Image"})
    arguments = ["--video", str(video), "--box", "1,2,3,4", "--save", f"out{suffix}", "--json"]
    assert command.main(arguments, Standing()) == 2
    assert "choose one (--topic): /left, /right" in capsys.readouterr().err
    assert not Path(f"out{suffix}").exists()
    assert command.main([*arguments, "--topic", "/right"], Standing()) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == logs["COUNT"]
    rows = read(Path(f"out{suffix}"))
    assert [row[0] for row in rows] == [logs["BEGIN"] + number * logs["PERIOD"] for number in range(logs["COUNT"])]
    assert {row[1:4] for row in rows} == {("camera_link", "1", "tracking")}
    with pytest.raises(SystemExit):
        command.main([*arguments, "--topic", "/right"], Standing())
    assert "exists already" in capsys.readouterr().err
    assert command.main([*arguments, "--topic", "/right", "--overwrite"], Standing()) == 0
