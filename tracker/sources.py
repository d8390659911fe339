"""Frames in: video files, cameras, network streams, images and robot logs, behind one iterator.

    with open_source("clip.mp4") as source:
        for frame in source:
            ...

Three kinds of source share the class `Source`. Files and images are read without dropping a frame. Cameras and live
streams are read by a thread that keeps only the newest frame, so that a slow caller sees the present, not the past.
"""

from __future__ import annotations

import glob
import math
import os
import re
import threading
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import cv2
import numpy as np

from tracker.frame import NOMINAL_FPS, Frame, Image, to_bgr8

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
LOG_SUFFIXES = frozenset([".mcap", ".bag", ".db3"])
T = TypeVar("T")


class SourceError(OSError):
    """A source cannot be opened or stopped delivering; the message is one line for the user."""


class SourceWarning(UserWarning):
    """A source went on without a part of what it should have delivered."""


def open_source(
    x: str | os.PathLike[str] | int,
    *,
    start: int = 0,
    max_frames: int | None = None,
    timeout: float = 10.0,
    topic: str | None = None,
) -> Source:
    """Open `x` and read its first frame.

    Args:
        x: a video file; a camera index (``0`` or ``"0"``) or device (``/dev/video0``); a URL (RTSP, HTTP, …); an image
            file; a folder or a glob pattern of images, taken in natural order (``2.png`` before ``10.png``); a robot
            log (see `tracker.bags`): an MCAP file, a ROS 2 bag's folder or .db3 file, a ROS 1 bag.
        start: index of the first frame to deliver. Frames before it are decoded and left out, which is exact in every
            container.
        max_frames: deliver at most so many frames; ``None`` for all.
        timeout: seconds that a camera or a stream may stay silent.
        topic: of a robot log, with images; may be left out where there is only one.

    Returns:
        The source: an iterator of frames and a context manager that closes it.

    Raises:
        SourceError: `x` does not exist, cannot be read, or has no frame `start`; a robot log has no such topic, or
            something else has none at all. While iterating: no frame for `timeout` seconds.
        ValueError: `start`, `max_frames` or `timeout` is out of range.
        TypeError: `x` is neither a path, a URL nor a camera index.
    """
    if start < 0:
        raise ValueError(f"start must be 0 or more, got {start}")
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames must be 1 or more, or None for all, got {max_frames}")
    if not timeout > 0:
        raise ValueError(f"timeout must be positive, got {timeout}")
    camera = _camera(x)
    if topic is not None and (camera is not None or not _is_log(Path(os.fspath(x)))):  # type: ignore[arg-type]
        raise SourceError(f"{x} is not a robot log, so it has no topic {topic}")
    if camera is not None:
        return _Stream(f"camera {camera}", _open_capture(camera, timeout), timeout, start, max_frames)
    text = os.fspath(x)  # type: ignore[arg-type]  # an integer was a camera
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        return _open_url(text, timeout, start, max_frames)
    return _open_path(text, timeout, start, max_frames, topic)


class Source(Iterator[Frame]):
    """An iterator of frames, made by `open_source`.

    Attributes:
        name: what is read, for messages: the path, URL (without password) or camera.
        fps: nominal frame rate, or ``None`` where the source does not tell (images, many cameras).
        length: frames that will be delivered in all, after `start` and `max_frames`, as far as the source knows
            beforehand; ``None`` where it does not. Containers may be wrong: an estimate for progress bars.
        size: (width, height) of the first frame; later frames may differ.
        live: frames come at their own time and the newest replaces those not taken.
        truncated: set at the end of a video that delivered fewer frames than its header promises; a `SourceWarning`
            says how many.
        dropped: frames of a live source that were replaced before they were taken.
    """

    def __init__(
        self, name: str, start: int, max_frames: int | None, *, fps: float | None, count: int | None, live: bool
    ) -> None:
        self.name, self.fps, self.live = name, fps, live
        self.length = max_frames if live else None  # a stream goes on for as long as it is asked
        if count is not None:
            left = max(count - start, 0)
            self.length = left if max_frames is None else min(left, max_frames)
        self.truncated = False
        self.dropped = 0
        self._reader = self._read(start)
        frames = islice(self._reader, max_frames)
        first = next(frames, None)
        if first is None:
            raise SourceError(f"{name} ends before frame {start}" if start else f"no frame can be read from {name}")
        self.size = (first.image.shape[1], first.image.shape[0])
        self._frames: Iterator[Frame] = chain([first], frames)

    @abstractmethod
    def _read(self, start: int) -> Generator[Frame]:
        """All frames from index `start` on; closing the generator frees what it holds."""

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Free the file or camera; iteration is over."""
        self._frames = iter(())
        self._reader.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Video(Source):
    """A file, or a file behind a URL: every frame, in order."""

    def __init__(
        self, name: str, capture: cv2.VideoCapture, timeout: float, start: int, max_frames: int | None
    ) -> None:
        self._capture, self._timeout = capture, timeout
        self._stalled = False
        self._expected = _frame_count(capture)
        super().__init__(name, start, max_frames, fps=_frame_rate(capture), count=self._expected, live=False)

    def _read(self, start: int) -> Generator[Frame]:
        period = 1 / (self.fps or NOMINAL_FPS)
        timestamp, index = -period, -1
        try:
            while self._grab():
                index += 1
                timestamp = _later(timestamp, self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, period)
                if index < start:
                    continue
                intact, image = self._capture.retrieve()
                if intact:
                    yield Frame(index, timestamp, to_bgr8(image))
            self._compare_with_header(index + 1)
        finally:
            self._capture.release()

    def _grab(self) -> bool:
        began = time.monotonic()
        grabbed = self._capture.grab()
        stalled = _took(began, self._timeout)
        if not grabbed and (stalled or self._stalled):  # OpenCV may first deliver the torn frame that it has
            raise SourceError(f"no frame for {self._timeout:g} s from {self.name}")
        self._stalled = stalled
        return grabbed

    def _compare_with_header(self, got: int) -> None:
        # Some containers estimate their length, and edit lists hide a frame or two: that little is no damage.
        if self._expected is not None and got and self._expected - got > max(2, 0.01 * self._expected):
            self.truncated = True
            warnings.warn(
                f"{self.name} is truncated: {got} of its {self._expected} frames could be read",
                SourceWarning,
                stacklevel=4,
            )


class _Images(Source):
    """Image files in a given order. They have no clock: `fps` is None and the time is index / 25.

    Read with all their bits, then `to_bgr8`. The orientation that a camera wrote into EXIF is not applied: a box counts
    the pixels as they are stored.
    """

    def __init__(self, name: str, paths: list[Path], start: int, max_frames: int | None) -> None:
        self._paths = paths
        super().__init__(name, start, max_frames, fps=None, count=len(paths), live=False)

    def _read(self, start: int) -> Generator[Frame]:
        for index in range(start, len(self._paths)):
            path = self._paths[index]
            try:
                image = _read_image(path)
            except (OSError, ValueError) as error:
                warnings.warn(f"frame {index} is left out: {path}: {error}", SourceWarning, stacklevel=3)
                continue
            yield Frame(index, index / NOMINAL_FPS, image)


class _Stream(Source):
    """A camera or a live stream. A thread reads; only the newest frame waits for the caller.

    Timestamps are seconds since opening, taken when the frame arrived.
    """

    def __init__(
        self, name: str, capture: cv2.VideoCapture, timeout: float, start: int, max_frames: int | None
    ) -> None:
        if not capture.isOpened():
            raise SourceError(f"{name} cannot be opened")
        self._capture, self._timeout = capture, timeout
        self._changed = threading.Condition()
        self._newest: tuple[int, float, object] | None = None
        self._ended = False
        self._stalled = False
        self._failure = ""
        self._closing = False
        super().__init__(name, start, max_frames, fps=_frame_rate(capture), count=None, live=True)

    def _read(self, start: int) -> Generator[Frame]:
        thread = threading.Thread(target=self._keep_newest, name=f"reading {self.name}", daemon=True)
        thread.start()
        try:
            while (newest := self._take()) is not None:
                index, timestamp, image = newest
                if index >= start:
                    yield Frame(index, timestamp, to_bgr8(image))
        finally:
            self._closing = True
            thread.join(timeout=1.0)  # a thread stuck in a dead driver is left behind: it frees the device if it wakes

    def _take(self) -> tuple[int, float, object] | None:
        """Wait for the newest frame; None when the stream has ended."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: self._newest is not None or self._ended, self._timeout)
            if not arrived or (self._stalled and self._newest is None):
                raise SourceError(f"no frame for {self._timeout:g} s from {self.name}")
            if self._failure and self._newest is None:
                raise SourceError(f"{self.name} failed: {self._failure}")
            newest, self._newest = self._newest, None
            return newest

    def _keep_newest(self) -> None:
        opened = time.monotonic()
        index = 0
        stalled = False
        try:
            while not self._closing:
                began = time.monotonic()
                intact, image = self._capture.read()
                stalled = _took(began, self._timeout) or (stalled and not intact)
                if not intact:
                    break
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest = (index, time.monotonic() - opened, image)
                    self._changed.notify()
                index += 1
        except cv2.error as error:
            self._failure = error.err
        finally:
            with self._changed:
                self._stalled = stalled
                self._ended = True
                self._changed.notify()
            self._capture.release()


def _camera(x: object) -> int | str | None:
    """The index or the device of a camera, or None where `x` is something else."""
    if isinstance(x, bool) or not isinstance(x, (int, str, os.PathLike)):
        raise TypeError(f"a source is a path, a URL or a camera index, got {x!r}")
    if isinstance(x, int):
        if x < 0:
            raise SourceError(f"a camera index is 0 or more, got {x}")
        return x
    text = os.fspath(x)
    if isinstance(text, str) and text.isascii() and text.isdigit():
        return int(text)
    return os.fsdecode(text) if Path(os.fsdecode(text)).is_char_device() else None


def _is_log(path: Path) -> bool:
    """Whether a path is a robot log: a file by its suffix, a folder by what lies in it, unless it is images."""
    if not path.is_dir():
        return path.suffix.lower() in LOG_SUFFIXES and path.is_file()
    suffixes = {entry.suffix.lower() for entry in path.iterdir()}
    return not suffixes & IMAGE_SUFFIXES and (bool(suffixes & LOG_SUFFIXES) or (path / "metadata.yaml").is_file())


def _open_url(url: str, timeout: float, start: int, max_frames: int | None) -> Source:
    name = re.sub(r"//[^/@]*@", "//", url)  # messages and logs do not repeat the password
    capture = _open_capture(url, timeout)
    if not capture.isOpened():
        raise SourceError(f"{name} cannot be opened: no such stream, or no answer within {timeout:g} s")
    is_file = url.lower().startswith(("http", "ftp", "file")) and _frame_count(capture) is not None
    return (_Video if is_file else _Stream)(name, capture, timeout, start, max_frames)


def _open_path(text: str, timeout: float, start: int, max_frames: int | None, topic: str | None) -> Source:
    path = Path(text)
    if _is_log(path):
        from tracker.bags import open_bag

        return open_bag(path, topic, start, max_frames)
    if path.is_dir():
        return _Images(text, _images_in(path), start, max_frames)
    if not path.exists():
        if not any(sign in text for sign in "*?["):
            raise SourceError(f"no such file or folder: {text}")
        return _Images(text, _images_matching(text), start, max_frames)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _Images(text, [path], start, max_frames)
    if not os.access(path, os.R_OK):
        raise SourceError(f"no permission to read {text}")
    capture = _open_capture(text, math.inf)
    if not capture.isOpened():
        raise SourceError(f"{text} is {'empty' if path.stat().st_size == 0 else 'not a video that can be read'}")
    return _Video(text, capture, math.inf, start, max_frames)


def _open_capture(target: int | str, timeout: float) -> cv2.VideoCapture:
    """OpenCV's reader of a camera (its own backend), a URL (FFmpeg with a limit of `timeout` s) or a file (FFmpeg)."""
    if isinstance(target, int) or target.startswith("/dev/"):
        return _interruptible(lambda: cv2.VideoCapture(target))
    if math.isinf(timeout):
        return cv2.VideoCapture(target, cv2.CAP_FFMPEG)
    limit = math.ceil(1000 * timeout)
    options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
    return _interruptible(lambda: cv2.VideoCapture(target, cv2.CAP_FFMPEG, options))


def _interruptible(work: Callable[[], T]) -> T:
    """`work()`, done by a thread: Python sees no signal while OpenCV waits, but while it waits for a thread it does.

    If a signal ends the wait, the thread is left behind, and what it makes is let go.
    """
    made: Future[T] = Future()

    def do() -> None:
        try:
            made.set_result(work())
        except BaseException as error:  # belongs to the thread that waits
            made.set_exception(error)

    threading.Thread(target=do, name="opening a source", daemon=True).start()
    while not made.done():
        wait([made], timeout=0.2)  # without a limit Windows would not see Ctrl-C
    return made.result()


def _took(began: float, timeout: float) -> bool:
    """Whether a call that began then used up its time. OpenCV's own limit ends it with no more than a "no frame"."""
    return time.monotonic() - began > 0.9 * timeout


def _frame_rate(capture: cv2.VideoCapture) -> float | None:
    """The nominal rate, or None for the 0, NaN and 90000 (an RTP clock) that stand for "unknown"."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if 0 < fps <= 1000 else None


def _frame_count(capture: cv2.VideoCapture) -> int | None:
    """The frames that the header promises, or None for the zero, negative and absurd numbers of streams."""
    count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return int(count) if 0 < count < 1e9 else None


def _later(previous: float, stamp: float, period: float) -> float:
    """The container's time stamp where it moves on (variable frame rates), else one period after the previous."""
    return stamp if math.isfinite(stamp) and stamp > previous else previous + period


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that counts numbers as numbers: 2.png before 10.png; any case of letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path).casefold())
    return [(0, int(part), part) if part[0].isascii() and part[0].isdigit() else (1, 0, part) for part in parts]


def _images_in(folder: Path) -> list[Path]:
    entries = list(folder.iterdir())
    images = sorted((path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_order)
    if images:
        return images
    raise SourceError(f"no images in {folder} (looked for {' '.join(sorted(IMAGE_SUFFIXES))})")


def _images_matching(pattern: str) -> list[Path]:
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    images = sorted((path for path in matches if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_order)
    if not images:
        found = f"{len(matches)} files match, none is an image" if matches else "nothing matches"
        raise SourceError(f"no images at {pattern}: {found}")
    return images


def _read_image(path: Path) -> Image:
    """One image file as BGR.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no image, or one that `to_bgr8` refuses.
    """
    data = np.fromfile(path, np.uint8)  # and not cv2.imread, which cannot open every file name on Windows
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise ValueError(f"not an image that can be read ({error.err})") from error
    if image is None:
        raise ValueError("the file is empty" if data.size == 0 else "not an image that can be read")
    return to_bgr8(image)
