"""Results out as a topic of `vision_msgs/Detection2D`, in a log that Foxglove and `ros2 bag` read.

    with open_log_sink("run.mcap") as sink:
        sink.write(frame, {1: result})

A message is one target in one frame, with the header of the image that it was found in (`tracker.bags.LogFrame`), so
that results and images can be joined by their stamps. Logs are written so that a process which is killed loses no more
than the last second.
"""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tracker.bags import INSTALL, LogFrame
from tracker.frame import Frame
from tracker.result import TrackResult, TrackState
from tracker.sinks import Sink, SinkError

TOPIC = "/tracks"
DETECTION = "vision_msgs/msg/Detection2D"
PERIOD = 1.0  # seconds after which what was written is made safe
# vision_msgs 4 (ROS 2 Humble and later): message definitions, each with the types that it needs
DEFINITIONS = {
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y\n",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    DETECTION: (
        "std_msgs/Header header\n"
        "vision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\n"
        "string id\n"
    ),
}


class Detections:
    """`vision_msgs/Detection2D` by rosbags: its definition, and results in its binary form (CDR).

    Raises:
        SinkError: rosbags is not installed.
    """

    def __init__(self) -> None:
        try:
            from rosbags.typesys import Stores, get_types_from_msg, get_typestore
        except ImportError as error:
            raise SinkError(f"writing a robot log needs {error.name}: {INSTALL}") from error
        self.types = get_typestore(Stores.ROS2_HUMBLE)
        for name, text in DEFINITIONS.items():
            self.types.register(get_types_from_msg(text, name))
        self.definition: str = self.types.generate_msgdef(DETECTION, ros_version=2)[0]
        self.hash: str = self.types.hash_rihs01(DETECTION)

    def serialize(self, stamp: int, frame_id: str, id: int, result: TrackResult) -> bytes:
        """One target in one frame, see `LogSink`."""
        types = self.types.types
        x, y, w, h = (float(value) for value in result.box)
        lost = result.state is TrackState.LOST
        at = types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
        centre = types["vision_msgs/msg/Pose2D"](types["vision_msgs/msg/Point2D"](x + w / 2, y + h / 2), 0.0)
        hypothesis = types["vision_msgs/msg/ObjectHypothesis"](result.state.value, float(result.score))
        pose = types["geometry_msgs/msg/PoseWithCovariance"](
            types["geometry_msgs/msg/Pose"](
                types["geometry_msgs/msg/Point"](0.0, 0.0, 0.0),
                types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
            ),
            np.zeros(36),
        )
        message = types[DETECTION](
            types["std_msgs/msg/Header"](at, frame_id),
            [types["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis, pose)],
            types["vision_msgs/msg/BoundingBox2D"](centre, 0.0 if lost else w, 0.0 if lost else h),
            str(id),
        )
        return bytes(self.types.serialize_cdr(message, DETECTION))


class LogSink(Sink):
    """A log with one topic, `TOPIC`.

    ``id`` is the target's, ``results[0].hypothesis`` its state ("tracking", "uncertain", "lost") and score, ``bbox``
    centre and size in 0-based continuous pixels. The size of a LOST target is 0: its box is no observation, and no
    viewer shall draw it as one.

    Attributes:
        rows: messages written.
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        self.path = Path(path)
        if not (overwrite and _is_bag(self.path)):  # a bag is a folder, and may be replaced like a file
            super().__init__(path, overwrite)
        self.rows = 0
        self._detections = Detections()
        self._writer: Any = None
        self._saved = -math.inf  # when what was written was made safe

    def write(self, frame: Frame, results: Mapping[int, TrackResult]) -> None:
        stamp, frame_id = round(frame.timestamp * 1e9), ""
        if isinstance(frame, LogFrame):
            stamp, frame_id = frame.stamp, frame.frame_id
        messages = [self._detections.serialize(stamp, frame_id, id, result) for id, result in results.items()]
        if self._writer is None:
            raise SinkError(f"{self.path} is not open; use the sink in a with statement")
        with _as_sink_error(self.path, "written"):
            for message in messages:
                self._append(stamp, message)
            if time.monotonic() - self._saved >= PERIOD:
                self._save()
                self._saved = time.monotonic()
        self.rows += len(messages)

    @abstractmethod
    def _append(self, stamp: int, message: bytes) -> None:
        """Add a message, stamped in ns."""

    @abstractmethod
    def _save(self) -> None:
        """Let what was written survive the process."""


class McapSink(LogSink):
    """A single MCAP file of ROS 2's profile. What is in it is readable from the start, whether or not it was closed."""

    def __enter__(self) -> McapSink:
        try:
            from mcap.writer import CompressionType, Writer
        except ImportError as error:
            raise SinkError(f"writing an MCAP file needs {error.name}: {INSTALL}") from error
        with _as_sink_error(self.path, "written"):
            self._file: Any = self.path.open("wb")
        self._writer = Writer(self._file, compression=CompressionType.NONE)
        self._writer.start(profile="ros2")
        schema = self._writer.register_schema(DETECTION, "ros2msg", self._detections.definition.encode())
        metadata = {"offered_qos_profiles": "", "topic_type_hash": self._detections.hash}
        self._channel = self._writer.register_channel(TOPIC, "cdr", schema, metadata)
        return self

    def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with _as_sink_error(self.path, "completed"), self._file:
                writer.finish()

    def _append(self, stamp: int, message: bytes) -> None:
        self._writer.add_message(self._channel, log_time=stamp, data=message, publish_time=stamp, sequence=self.rows)

    def _save(self) -> None:
        self._writer.flush()


class BagSink(LogSink):
    """A ROS 2 bag of sqlite3: the folder `path`, in it a database and ``metadata.yaml``.

    Without the latter, of a process that was killed, this package still reads it; ``ros2 bag reindex`` mends it.
    """

    def __enter__(self) -> BagSink:
        from rosbags.rosbag2 import StoragePlugin, Writer

        with _as_sink_error(self.path, "written"):
            if _is_bag(self.path):
                shutil.rmtree(self.path)
            self._writer = Writer(self.path, version=8, storage_plugin=StoragePlugin.SQLITE3)
            self._writer.open()
            self._connection = self._writer.add_connection(TOPIC, DETECTION, typestore=self._detections.types)
            self._save()
        return self

    def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with _as_sink_error(self.path, "completed"):
                writer.close()

    def _append(self, stamp: int, message: bytes) -> None:
        self._writer.write(self._connection, stamp, message)

    def _save(self) -> None:
        self._writer.storage.conn.commit()  # rosbags itself commits only at the end


SUFFIXES: dict[str, type[LogSink]] = {".mcap": McapSink, ".db3": BagSink}


def open_log_sink(path: str | os.PathLike[str], overwrite: bool = False) -> LogSink:
    """The sink for `path` by its suffix: ``.mcap``, a file, or ``.db3``, a ROS 2 bag's folder. Enter it to open.

    Raises:
        SinkError: another suffix, a missing package, or as in `Sink`.
    """
    kind = SUFFIXES.get(Path(path).suffix.lower())
    if kind is None:
        raise SinkError(f"{path}: robot logs are written as .mcap or .db3 (ROS 2 bag)")
    return kind(path, overwrite)


def _is_bag(path: Path) -> bool:
    """Whether a folder holds a ROS 2 bag and nothing else."""
    entries = list(path.iterdir()) if path.is_dir() else []
    return bool(entries) and all(entry.suffix in (".db3", ".yaml", ".db3-journal") for entry in entries)


@contextmanager
def _as_sink_error(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SinkError(f"{path} cannot be {what}: {text}") from error
