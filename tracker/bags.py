"""Robot logs in: MCAP files, ROS 2 bags (sqlite3 and MCAP) and ROS 1 bags, as sources of frames.

Frames come from one topic of `sensor_msgs/Image` or `sensor_msgs/CompressedImage`, in the order in which they were
recorded, with the time at which they were taken (the header's stamp). No ROS is needed: rosbags reads bags, mcap
reads single MCAP files, which may have come from ROS 1 or 2, and whose end may be missing.
"""

from __future__ import annotations

import statistics
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

from tracker.frame import Frame
from tracker.ros_images import COMPRESSED, IMAGE, UnknownEncoding, decode_image
from tracker.sources import LOG_SUFFIXES, Source, SourceError, SourceWarning, natural_order

PEEK = 30  # messages by which a topic's rate is estimated
INSTALL = "pip install rosbags mcap"


@dataclass(frozen=True, slots=True, eq=False)
class LogFrame(Frame):
    """A frame of a robot log, with what its header says, to be written beside results.

    Attributes:
        stamp: nanoseconds, exactly as recorded; `timestamp` is the same in seconds, but never decreasing.
        frame_id: the camera's coordinate frame.
    """

    stamp: int
    frame_id: str


@dataclass(frozen=True)
class Topic:
    """What a log has under one name.

    Attributes:
        kind: of the messages: "sensor_msgs/msg/Image" (also where ROS 1 wrote it).
        count: of messages.
        readable: whether they are images in an encoding (CDR or ROS 1) that can be read.
    """

    kind: str
    count: int
    readable: bool


Entry = tuple[int, Callable[[], Any]]  # when a message was logged, in ns; decodes it to an object with its fields


class Log(ABC):
    """One file of a recording. Errors of the libraries that read it are of any type: damaged files surprise them.

    Attributes:
        topics: by name.
        whole: set to False where the file turns out to end before its time.
    """

    topics: dict[str, Topic]
    whole = True

    @abstractmethod
    def messages(self, topic: str) -> Iterator[Entry]:
        """The messages of a topic in the order of recording."""

    @abstractmethod
    def close(self) -> None:
        """Free the file."""


class Bag(Log):
    """A ROS 1 bag file, a ROS 2 bag's folder, or one of its .db3 files, read by rosbags.

    The messages' types are the standard's and not those in the bag, so that definitions which cannot be read, of other
    topics, do no harm.
    """

    def __init__(self, path: Path) -> None:
        from rosbags import rosbag1, rosbag2
        from rosbags.typesys import Stores, get_typestore

        self._reader: Any
        if path.suffix.lower() == ".bag":
            self._reader, types = rosbag1.Reader(path), get_typestore(Stores.ROS1_NOETIC)
            self._decode = types.deserialize_ros1
        else:
            self._reader, types = rosbag2.Reader(path), get_typestore(Stores.ROS2_HUMBLE)
            self._decode = types.deserialize_cdr
        self._reader.open()
        self.topics = {}
        for connection in self._reader.connections:
            known = self.topics.get(connection.topic)
            count = connection.msgcount + (known.count if known else 0)
            kind = connection.msgtype
            self.topics[connection.topic] = Topic(kind, count, kind in (IMAGE, COMPRESSED))

    def messages(self, topic: str) -> Iterator[Entry]:
        connections = [each for each in self._reader.connections if each.topic == topic]
        for connection, time, data in self._reader.messages(connections=connections):
            yield time, partial(self._decode, data, connection.msgtype)

    def close(self) -> None:
        self._reader.close()


class Mcap(Log):
    """A single MCAP file. By its index if it has one, otherwise from start to end: a recorder that was killed leaves
    none.
    """

    def __init__(self, path: Path) -> None:
        from mcap.exceptions import McapError
        from mcap.reader import make_reader
        from rosbags.typesys import Stores, get_typestore

        with ExitStack() as opened:
            self._file = opened.enter_context(path.open("rb"))
            self._reader = make_reader(self._file)
            opened.pop_all()
        self._decoders = {
            "cdr": get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr,
            "ros1": get_typestore(Stores.ROS1_NOETIC).deserialize_ros1,
        }
        try:
            summary = self._reader.get_summary()
        except (McapError, OSError, ValueError):
            summary = None
        self.topics = {}
        self._indexed = False
        if summary is not None and summary.chunk_indexes and summary.statistics:
            self._indexed = True
            counts = summary.statistics.channel_message_counts
            for channel in summary.channels.values():
                self._count(channel, summary.schemas.get(channel.schema_id), counts.get(channel.id, 0))
        else:
            for schema, channel, _ in self._whole():
                self._count(channel, schema, 1)

    def messages(self, topic: str) -> Iterator[Entry]:
        for schema, channel, message in self._reader.iter_messages([topic]) if self._indexed else self._whole():
            if channel.topic == topic:
                decode = self._decoders[channel.message_encoding]
                yield message.log_time, partial(decode, message.data, _kind(schema))

    def close(self) -> None:
        self._file.close()

    def _count(self, channel: Any, schema: Any, messages: int) -> None:
        known = self.topics.get(channel.topic)
        kind = _kind(schema)
        readable = kind in (IMAGE, COMPRESSED) and channel.message_encoding in self._decoders
        self.topics[channel.topic] = Topic(kind, messages + (known.count if known else 0), readable)

    def _whole(self) -> Iterator[tuple[Any, Any, Any]]:
        """(schema, channel, message), as far as they are whole."""
        from mcap.reader import NonSeekingReader

        self._file.seek(0)
        try:
            yield from NonSeekingReader(self._file).iter_messages(log_time_order=False)
        except Exception:  # see `Log`
            self.whole = False


class LogSource(Source):
    """The frames of one topic of a recording, which may be split into several files.

    Args:
        name: of the recording, for messages.
        logs: its files in order; the source closes them.
        topic: to read; `None`: the only one that has images.
        start, max_frames: see `open_source`.

    Raises:
        SourceError: no such topic, none with images, or several without a choice.
    """

    def __init__(self, name: str, logs: list[Log], topic: str | None, start: int, max_frames: int | None) -> None:
        self.topic = _choose(name, logs, topic)
        self._logs = [log for log in logs if self.topic in log.topics]
        self._promised = sum(log.topics[self.topic].count for log in self._logs)
        super().__init__(name, start, max_frames, fps=self._rate(), count=self._promised, live=False)

    def close(self) -> None:
        super().close()
        for log in self._logs:
            log.close()
        self._logs = []

    def _messages(self) -> Iterator[Entry]:
        return chain.from_iterable(log.messages(self.topic) for log in self._logs)

    def _rate(self) -> float | None:
        """Frames per second by the median of the first periods: dropped frames and pauses do not count."""
        times = [time for time, _ in islice(iter(partial(_attempt, self._messages()), None), PEEK)]
        periods = [after - before for before, after in pairwise(times)]
        period = statistics.median(periods) if periods else 0
        return 1e9 / period if period > 0 else None

    def _read(self, start: int) -> Generator[Frame]:
        clock, previous, failure = "", 0, ""
        for index, (time, decode) in enumerate(self._intact()):
            if index < start:
                continue
            try:
                message = decode()
                image = decode_image(message)
            except UnknownEncoding as error:
                raise SourceError(f"{self.name} {self.topic}: {error}") from error
            except Exception as error:  # see `Log`
                failure = f": {error}"
                self._warn(f"frame {index} is left out{failure}")
                continue
            stamp = _stamp(message)
            clock = clock or ("header" if stamp else "log")  # chosen by the first: the two may be years apart
            previous = max(previous, stamp if clock == "header" else time)
            yield LogFrame(index, previous / 1e9, image, stamp or time, message.header.frame_id)
        if failure and not clock:
            raise SourceError(f"no frame can be read from {self.name} {self.topic}{failure}")

    def _intact(self) -> Iterator[Entry]:
        """The messages up to where the recording is damaged, or ends before its time; a warning says so."""
        messages = self._messages()
        for got in range(self._promised):
            entry = _attempt(messages)
            if entry is None:
                self.truncated = True
                self._warn(f"damaged: {got} of its {self._promised} images could be read")
                return
            yield entry
        if not all(log.whole for log in self._logs):
            self.truncated = True
            self._warn(f"the recording breaks off: {self._promised} images could be read")

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self.name} {self.topic}: {text}", SourceWarning, stacklevel=4)


def open_bag(path: Path, topic: str | None, start: int, max_frames: int | None) -> LogSource:
    """Open a robot log for `tracker.sources.open_source`, which see.

    Raises:
        SourceError: it cannot be read, or rosbags and mcap are not installed.
    """
    with ExitStack() as opened:
        logs = []
        for log in _open(path):
            opened.callback(log.close)
            logs.append(log)
        source = LogSource(str(path), logs, topic, start, max_frames)
        opened.pop_all()
        return source


def _open(path: Path) -> Iterator[Log]:
    """The files of a recording. A bag's folder goes by its metadata, or by its files where these are not whole."""
    if path.is_file():
        yield _open_one(path)
        return
    files = _files(path)
    if (path / "metadata.yaml").is_file():
        try:
            yield _open_one(path)
            return
        except SourceError:
            if not files:
                raise
    for file in files:
        yield _open_one(file)


def _open_one(path: Path) -> Log:
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path} is empty")
    try:
        return Mcap(path) if path.suffix.lower() == ".mcap" and path.is_file() else Bag(path)
    except ImportError as error:
        raise SourceError(f"{path}: reading a robot log needs {error.name}: {INSTALL}") from error
    except Exception as error:  # see `Log`
        text = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"{path}: this robot log cannot be read: {text}") from error


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in LOG_SUFFIXES), key=natural_order)


def _choose(name: str, logs: list[Log], topic: str | None) -> str:
    """The topic to read."""
    there = [(name, each) for log in logs for name, each in log.topics.items()]
    images = sorted({name for name, each in there if each.readable and each.count})
    if topic is not None:
        if topic in images:
            return topic
        raise SourceError(f"{name} has no images on {topic}; it has them on {', '.join(images) or 'no topic'}")
    if not images:
        listed = ", ".join(sorted({f"{name} ({each.kind})" for name, each in there})) or "none"
        raise SourceError(f"{name} has no topic of sensor_msgs/Image or CompressedImage; its topics: {listed}")
    if len(images) > 1:
        raise SourceError(f"{name} has several image topics; choose one (--topic): {', '.join(images)}")
    return images[0]


def _kind(schema: Any) -> str:
    """The type as ROS 2 writes it: ROS 1 leaves out the "msg"."""
    package, _, name = (schema.name if schema else "").rpartition("/")
    return f"{package.removesuffix('/msg')}/msg/{name}"


def _stamp(message: Any) -> int:
    """The header's stamp in ns; 0 where nobody set it."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _attempt(messages: Iterator[Entry]) -> Entry | None:
    """The next message, or None at the end and where the recording is damaged."""
    try:
        return next(messages, None)
    except Exception:  # see `Log`
        return None
