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
from collections.abc import Iterable, Iterator
from types import TracebackType

from tracker.frame import Frame
from tracker.reconnection import Reconnecting
from tracker.sources import Source, open_source


class CaptureThread(Iterator[Frame]):
    """Hands out the newest frame of a source; frames nobody asked for in time are dropped and counted.

    A context manager and an iterator: each step waits for a frame newer than the last one; iteration ends with a file,
    and never with a camera or a stream. A file is played at its own rate, as if it were a camera.

    Args:
        source: what `tracker.sources.open_source` takes, or frames of the caller's own, taken as fast as they come.
            Cameras and streams become `tracker.reconnection.Reconnecting`.
        timeout: seconds of silence after which a camera or a stream is given up and opened again.
        patience: seconds for which that is tried until it counts as an error; `None`: for ever.
        paced: deliver each frame when its timestamp is due; `None`: for files.

    Raises:
        SourceError: on entering: the source cannot be opened. In iteration and `read`: a stream did not come back in
            time, or the caller's frames failed.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | int | Iterable[Frame],
        *,
        timeout: float = 10.0,
        patience: float | None = None,
        paced: bool | None = None,
    ) -> None:
        self._what, self._timeout, self._patience, self._paced = source, timeout, patience, paced
        self._source: Iterable[Frame] = ()
        self._replaced = 0
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: Exception | None = None
        self._ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._capture, name="capture", daemon=True)

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before anybody took them."""
        return self._replaced + getattr(self._source, "dropped", 0)

    @property
    def reconnects(self) -> int:
        """How often the source was opened again."""
        return getattr(self._source, "reconnects", 0)

    @property
    def connected(self) -> bool:
        """Whether frames are being delivered now."""
        return self._thread.is_alive() and not self._ended and getattr(self._source, "connected", True)

    def __enter__(self) -> CaptureThread:
        self._source = self._open()
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
        if not isinstance(self._what, (str, os.PathLike, int)):
            return self._what
        source = self._connect()
        if not source.live:
            return source
        return Reconnecting(source, self._connect, patience=self._patience, stop=self._stop)

    def _connect(self) -> Source:
        return open_source(self._what, timeout=self._timeout)  # type: ignore[arg-type]  # it is no iterable

    def _capture(self) -> None:
        try:
            self._play()
        except Exception as error:  # belongs to the thread that reads
            self._error = error
        finally:
            if isinstance(self._source, Source):
                self._source.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _play(self) -> None:
        """Hand out the source's frames."""
        paced = isinstance(self._source, Source) and not self._source.live if self._paced is None else self._paced
        clock = None  # of time.monotonic(), when the frames' time was 0
        for frame in self._source:
            if self._stop.is_set():
                break
            if paced:
                clock = time.monotonic() - frame.timestamp if clock is None else clock
                self._stop.wait(clock + frame.timestamp - time.monotonic())
            self._put(frame)

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self._replaced += self._newest is not None
            self._newest = frame
            self._changed.notify()
