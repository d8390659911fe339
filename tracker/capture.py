"""The newest frame for a control loop, whatever happens to the camera.

    with CaptureThread("rtsp://robot/front") as frames:
        for frame in frames:
            ...

A tracker slower than the camera must skip frames, not queue them: a robot that reacts to the past oscillates. So a
thread reads every frame as it comes and keeps the newest. When a camera or a stream fails, it is opened again.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from types import TracebackType

from tracker.frame import Frame
from tracker.sources import Source, SourceError, SourceWarning, open_source

WAITS = (0.1, 5.0)  # seconds before the first attempt to open a stream again, doubled up to the second number


class CaptureThread(Iterator[Frame]):
    """Hands out the newest frame of a source; frames nobody asked for in time are dropped and counted.

    A context manager and an iterator: each step waits for a frame newer than the last one; iteration ends with a file,
    and never with a camera or a stream. A file is played at its own rate, as if it were a camera.

    Args:
        source: what `tracker.sources.open_source` takes, or frames of the caller's own, taken as fast as they come.
            Another connection's frames go on counting, in index and time, where those before it stopped.
        timeout: seconds of silence after which a camera or a stream is given up and opened again.
        patience: seconds for which that is tried until it counts as an error; `None`: for ever.
        paced: deliver each frame when its timestamp is due; `None`: for files.

    Raises:
        SourceError: on entering: the source cannot be opened. In iteration and `read`: a stream did not come back in
            time, or the caller's frames failed.

    Attributes:
        reconnects: how often the source was opened again.
        connected: whether frames are being delivered now.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | int | Iterable[Frame],
        *,
        timeout: float = 10.0,
        patience: float | None = None,
        paced: bool | None = None,
    ) -> None:
        self.reconnects = 0
        self.connected = False
        self._what, self._timeout, self._patience, self._paced = source, timeout, patience, paced
        self._source: Iterable[Frame] = ()
        self._replaced = 0
        self._dropped_before = 0  # by sources that are closed by now
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._last: Frame | None = None
        self._error: Exception | None = None
        self._ended = False
        self._stop = threading.Event()
        self._clock: float | None = None  # of time.monotonic(), when the frames' time was 0
        self._thread = threading.Thread(target=self._capture, name="capture", daemon=True)

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before anybody took them."""
        return self._replaced + self._dropped_before + getattr(self._source, "dropped", 0)

    def __enter__(self) -> CaptureThread:
        self._source = self._open()
        self.connected = True
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(self._timeout)  # a thread stuck in a dead driver is left behind

    def __next__(self) -> Frame:
        frame = self.read()
        if frame is None:
            raise StopIteration
        return frame

    def read(self, timeout: float | None = None) -> Frame | None:
        """The newest frame that was not handed out yet.

        Args:
            timeout: seconds to wait for one; `None`: until there is one.

        Returns:
            The frame; None when there was none in time, or the source has ended.

        Raises:
            SourceError: see above.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended, timeout)
            newest, self._newest = self._newest, None
        if newest is None and self._error is not None:
            raise self._error
        return newest

    def _open(self) -> Iterable[Frame]:
        if isinstance(self._what, (str, os.PathLike, int)):
            return open_source(self._what, timeout=self._timeout)
        return self._what

    def _capture(self) -> None:
        try:
            while self._play() and self._reopen():
                pass
        except Exception as error:  # belongs to the thread that reads
            self._error = error
        finally:
            self._close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _play(self) -> bool:
        """Hand out the source's frames; returns whether there should have been more."""
        live = isinstance(self._source, Source) and self._source.live
        paced = isinstance(self._source, Source) and not live if self._paced is None else self._paced
        reason, offset = "it ended", None
        try:
            for frame in self._source:
                if self._stop.is_set():
                    break
                if self._clock is None:
                    self._clock = time.monotonic() - frame.timestamp
                if offset is None:
                    offset = self._offset(frame)
                if offset != (0, 0.0):
                    frame = Frame(frame.index + offset[0], frame.timestamp + offset[1], frame.image)
                if paced:
                    self._stop.wait(self._clock + frame.timestamp - time.monotonic())
                self._put(frame)
        except SourceError as error:
            if not live:
                raise
            reason = str(error)
        if self._stop.is_set() or not (isinstance(self._source, Source) and live):
            return False
        warnings.warn(f"{self._source.name} is opened again: {reason}", SourceWarning, stacklevel=2)
        return True

    def _offset(self, first: Frame) -> tuple[int, float]:
        """What to add to index and time of a connection's frames, so that both go on from those of the last one."""
        if self._last is None or self._clock is None:
            return 0, 0.0
        now = max(time.monotonic() - self._clock, self._last.timestamp)
        return self._last.index + 1 - first.index, now - first.timestamp

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self._replaced += self._newest is not None
            self._newest = self._last = frame
            self._changed.notify()

    def _reopen(self) -> bool:
        """Open the source again, however often that takes; False if the caller has left."""
        self._close()
        since, wait = time.monotonic(), WAITS[0]
        while not self._stop.wait(wait):
            try:
                self._source = self._open()
            except SourceError:
                if self._patience is not None and time.monotonic() - since > self._patience:
                    raise
                wait = min(2 * wait, WAITS[1])
                continue
            self.reconnects += 1
            self.connected = True
            return True
        return False

    def _close(self) -> None:
        self.connected = False
        source, self._source = self._source, ()
        if isinstance(source, Source):
            self._dropped_before += source.dropped
            source.close()
