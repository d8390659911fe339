"""Results out: annotated video, CSV, JSON lines and MOTChallenge text, behind one shape.

    with open_results("run.csv") as sink:
        sink.write(frame, {1: result})

Making a sink checks what can be checked and touches nothing; entering it opens the file. Every frame's rows reach the
operating system as they are written, and a row that did not fit is taken back, so what is in the file is whole at any
moment.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from tracker.append import append
from tracker.box import from_mot, to_mot
from tracker.frame import NOMINAL_FPS, Frame, Image
from tracker.mp4 import Mp4Writer
from tracker.overlay import draw
from tracker.result import Box, TrackResult, TrackState

COLUMNS = ("frame", "time", "id", "x", "y", "w", "h", "score", "state")
VIDEO_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
DISK_RESERVE = 16 * 2**20  # bytes that a video leaves free: the encoder's buffer and the container's index


class SinkError(OSError):
    """Results cannot be written; the message is one line that names the path and what is safely there."""


class Sink(ABC):
    """One output file.

    Args:
        path: the file to write.
        overwrite: replace an existing file.

    Raises:
        SinkError: the file exists and `overwrite` is not set, its folder does not exist, or it is a folder.
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise SinkError(f"{self.path} is a folder; give the name of a file")
        if not self.path.parent.is_dir():
            raise SinkError(f"the folder of {self.path} does not exist; make it first")
        if self.path.exists() and not overwrite:
            raise SinkError(f"{self.path} exists; choose another name or allow overwriting")

    @abstractmethod
    def __enter__(self) -> Sink:
        """Open the file."""

    @abstractmethod
    def write(self, frame: Frame, results: Mapping[int, TrackResult]) -> None:
        """Add one frame.

        Args:
            frame: the frame that was tracked in.
            results: target id (from 1) → its result.

        Raises:
            SinkError: the file cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """Complete the file; a second call does nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TextSink(Sink):
    """Rows of text, one per target and frame. `rows` counts those that are safely in the file."""

    header = ""

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        self.rows = 0
        self._file: FileIO | None = None

    def __enter__(self) -> TextSink:
        try:
            self._file = open(self.path, "wb", buffering=0)  # unbuffered: a killed process loses nothing
        except OSError as error:
            raise SinkError(f"{self.path} cannot be written: {error.strerror}") from error
        try:
            self._append(self.header)
        except SinkError:
            self.close()
            raise
        return self

    def write(self, frame: Frame, results: Mapping[int, TrackResult]) -> None:
        rows = [row for id, result in results.items() if (row := self.row(frame, id, result)) is not None]
        self._append("".join(rows))
        self.rows += len(rows)

    @abstractmethod
    def row(self, frame: Frame, id: int, result: TrackResult) -> str | None:
        """One line with its end, or None where the format has no place for the result."""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, text: str) -> None:
        """Write all of `text` or nothing of it."""
        if self._file is None:
            raise SinkError(f"{self.path} is not open; use the sink in a with statement")
        try:
            append(self._file, text.encode())
        except OSError as error:
            raise SinkError(
                f"{self.path} cannot be written: {error.strerror}; {self.rows} rows are safely there"
            ) from error


class CsvSink(TextSink):
    """Comma-separated values with a header; frames and boxes 0-based."""

    header = ",".join(COLUMNS) + "\n"

    def row(self, frame: Frame, id: int, result: TrackResult) -> str:
        return ",".join(str(value) for value in _values(frame, id, result)) + "\n"


class JsonLinesSink(TextSink):
    """One JSON object per target and frame, with the columns of the CSV as keys."""

    def row(self, frame: Frame, id: int, result: TrackResult) -> str:
        return json.dumps(dict(zip(COLUMNS, _values(frame, id, result), strict=True))) + "\n"


class MotSink(TextSink):
    """MOTChallenge text: ``frame, id, x, y, w, h, score, -1, -1, -1``; frames and boxes 1-based.

    The format has no state, so a LOST target, whose box is not an observation, is left out.
    """

    def row(self, frame: Frame, id: int, result: TrackResult) -> str | None:
        if result.state is TrackState.LOST:
            return None
        x, y, w, h = (_rounded(value, 3) for value in to_mot(result.box))
        return f"{frame.index + 1},{id},{x},{y},{w},{h},{_rounded(result.score, 4)},-1,-1,-1\n"


def open_results(path: str | os.PathLike[str], overwrite: bool = False) -> Sink:
    """The sink for `path` by its suffix: ``.csv``, ``.jsonl``, ``.txt`` (MOTChallenge), or a robot log, ``.mcap`` or
    ``.db3`` (`tracker.bag_sink`). Enter it to open the file.

    Raises:
        SinkError: another suffix, or as in `Sink`.
    """
    if Path(path).suffix.lower() in (".mcap", ".db3"):
        from tracker.bag_sink import open_log_sink

        return open_log_sink(path, overwrite)
    kinds: dict[str, type[TextSink]] = {".csv": CsvSink, ".jsonl": JsonLinesSink, ".txt": MotSink}
    kind = kinds.get(Path(path).suffix.lower())
    if kind is None:
        raise SinkError(f"{path}: results are written as .csv, .jsonl or .txt (MOTChallenge), or as .mcap or .db3")
    return kind(path, overwrite)


class VideoSink(Sink):
    """A video with the results drawn in by `tracker.overlay.draw`. `frames` counts those written.

    Frames that change size are scaled to fit the size of the first and padded with black. The container's index is
    written last, so the sink stops while there is still room for it on the disk, and checks the file after closing. A
    process that is killed leaves an ``.mp4`` of all but the last half second (`tracker.mp4`), and an ``.avi`` or
    ``.mkv`` of all but the last 256 KiB.

    Args:
        path: ``.mp4`` or ``.mkv`` (MPEG-4), or ``.avi`` (Motion JPEG).
        fps: frames per second; ``None`` stands for 25.
        overwrite: replace an existing file.

    Raises:
        SinkError: another suffix, or as in `Sink`. On entering: the file cannot be written. On the first frame: no
            encoder. On any frame: the disk is nearly full. On leaving: no frame was written, or the file is incomplete.
        ValueError: `fps` is not a positive number.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float | None = None, overwrite: bool = False) -> None:
        super().__init__(path, overwrite)
        if self.path.suffix.lower() not in VIDEO_CODECS:
            raise SinkError(f"{self.path}: video is written as {', '.join(VIDEO_CODECS)}")
        if fps is not None and not 0 < fps < math.inf:
            raise ValueError(f"fps must be positive, or None for {NOMINAL_FPS:g}, got {fps}")
        self.fps = fps or NOMINAL_FPS
        self.frames = 0
        self._entered = False
        self._writer: cv2.VideoWriter | Mp4Writer | None = None
        self._size = (0, 0)

    def __enter__(self) -> VideoSink:
        try:
            self.path.open("wb").close()  # OpenCV would only say that it failed, not why
        except OSError as error:
            raise SinkError(f"{self.path} cannot be written: {error.strerror}") from error
        self._entered = True
        return self

    def write(self, frame: Frame, results: Mapping[int, TrackResult]) -> None:
        if not self._entered:
            raise SinkError(f"{self.path} is not open; use the sink in a with statement")
        if shutil.disk_usage(self.path.parent).free < DISK_RESERVE:
            self.close()
            raise SinkError(f"{self.path}: the disk is nearly full; {self.frames} frames are safely there")
        if self._writer is None:
            self._writer = self._open(frame.image)
        with self._explained(self._writer):
            self._writer.write(letterbox(draw(frame.image, results), *self._size))
        self.frames += 1

    def close(self) -> None:
        if not self._release():
            return
        readable = _count_frames(self.path)
        if readable < self.frames - 2:  # containers that estimate their length may be off by a frame or two
            raise SinkError(f"{self.path} is incomplete: {readable} of {self.frames} frames; is the disk full?")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:  # it comes before what goes wrong here: an interrupt stays an interrupt
            with suppress(SinkError):
                self._release()
        if self.frames == 0:
            self.path.unlink(missing_ok=True)  # an empty file is not a video
            if error is None:
                raise SinkError(f"{self.path}: no frame was written")

    def _release(self) -> bool:
        """Finish the file; False if there is none to finish."""
        self._entered = False
        if self._writer is None:
            return False
        writer, self._writer = self._writer, None
        with self._explained(writer):
            writer.release()
        return True

    @contextmanager
    def _explained(self, writer: cv2.VideoWriter | Mp4Writer) -> Iterator[None]:
        """Where OpenCV says nothing, an `Mp4Writer` does.

        Raises:
            SinkError: it failed.
        """
        try:
            yield
        except OSError as error:
            safe = f"{getattr(writer, 'frames', self.frames)} frames are safely there"
            raise SinkError(f"{self.path} cannot be written: {error.strerror or error}; {safe}") from error

    def _open(self, image: Image) -> cv2.VideoWriter | Mp4Writer:
        self._size = (image.shape[1], image.shape[0])
        codec = VIDEO_CODECS[self.path.suffix.lower()]
        writer: cv2.VideoWriter | Mp4Writer
        if self.path.suffix.lower() == ".mp4":
            writer = Mp4Writer(self.path, self.fps, self._size)
        else:
            fourcc = cv2.VideoWriter.fourcc(*codec)
            writer = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, fourcc, self.fps, self._size)
        if not writer.isOpened():
            writer.release()
            width, height = self._size
            raise SinkError(f"{self.path}: OpenCV cannot encode {width}x{height} {codec} at {self.fps:g} fps")
        return writer


def _count_frames(path: Path) -> int:
    """The frames that a video's header promises; 0 where it cannot be opened."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        capture.release()


def letterbox(image: Image, width: int, height: int) -> Image:
    """`image` scaled to fit into `width` x `height` with its shape kept, centred on black."""
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    w, h = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = (width - w) // 2, (height - h) // 2
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row of a results file, converted to the project's conventions (frame and box 0-based).

    `time` and `state` are None for MOTChallenge text, which has neither.
    """

    frame: int
    time: float | None
    id: int
    box: Box
    score: float
    state: TrackState | None


def read_results(path: str | os.PathLike[str]) -> list[ResultRow]:
    """Read back what a text sink wrote, the format chosen by the suffix.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another suffix, or a malformed row; the message names the file and the line.
    """
    path = Path(path)
    parse = {".csv": _from_csv, ".jsonl": _from_json, ".txt": _from_mot}.get(path.suffix.lower())
    if parse is None:
        raise ValueError(f"{path}: results are read from .csv, .jsonl or .txt (MOTChallenge)")
    lines = list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    if parse is _from_csv and (not lines or lines.pop(0)[1] + "\n" != CsvSink.header):
        raise ValueError(f"{path}: line 1 is not {','.join(COLUMNS)}")
    rows = []
    for number, line in lines:
        try:
            rows.append(parse(line))
        except KeyError as error:
            raise ValueError(f"{path}: line {number} has no {error}") from error
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: line {number} is not a result: {error}") from error
    return rows


def _values(frame: Frame, id: int, result: TrackResult) -> tuple[int | float | str, ...]:
    """What CSV and JSON lines hold, in the order of `COLUMNS`: pixels to 1/1000, seconds to 1e-6, scores to 1e-4."""
    box = (_rounded(value, 3) for value in result.box)
    return (
        int(frame.index),
        _rounded(frame.timestamp, 6),
        int(id),
        *box,
        _rounded(result.score, 4),
        result.state.value,
    )


def _rounded(value: float, digits: int) -> float:
    return (
        round(float(value), digits) + 0.0
    )  # float() because numpy's scalars print otherwise; + 0.0 turns -0.0 into 0.0


def _from_csv(line: str) -> ResultRow:
    return _from_columns(dict(zip(COLUMNS, line.split(","), strict=True)))


def _from_json(line: str) -> ResultRow:
    return _from_columns(json.loads(line))


def _from_columns(row: Mapping[str, str | float]) -> ResultRow:
    x, y, w, h = (float(row[key]) for key in "xywh")
    state = TrackState(row["state"])
    return ResultRow(int(row["frame"]), float(row["time"]), int(row["id"]), (x, y, w, h), float(row["score"]), state)


def _from_mot(line: str) -> ResultRow:
    frame, id, *numbers = line.split(",")
    *box, score = (float(number) for number in numbers[:5])
    x, y, w, h = (float(value) for value in from_mot(box))
    return ResultRow(int(frame) - 1, None, int(id), (x, y, w, h), score, None)
