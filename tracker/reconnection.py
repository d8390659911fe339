"""A camera or a stream that is opened again when it ends, fails or falls silent."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Generator

from tracker.frame import Frame
from tracker.sources import Source, SourceError, SourceWarning

WAITS = (0.1, 5.0)  # seconds before the first attempt to open a stream again, doubled up to the second number


class Reconnecting(Source):
    """A live source that goes on after its connection broke; a `SourceWarning` says so, and another that it is back.

    Another connection's frames go on counting, in index and time, where those before it stopped, so that a tracker need
    not be told.

    Args:
        connection: the source as it was opened first; it is closed with this one.
        open_again: opens it once more.
        patience: seconds for which that is tried until it counts as an error; `None`: for ever.
        max_frames: deliver at most so many frames in all; ``None`` for all.
        stop: ends the waiting, and with it the iteration.

    Raises:
        SourceError: in iteration: the source did not come back in time.

    Attributes:
        reconnects: how often the source was opened again.
        connected: whether frames are being delivered now.
    """

    def __init__(
        self,
        connection: Source,
        open_again: Callable[[], Source],
        *,
        patience: float | None = None,
        max_frames: int | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.reconnects = 0
        self.connected = True
        self._connection, self._open_again = connection, open_again
        self._patience, self._stop = patience, stop or threading.Event()
        self._dropped_before = 0  # by connections that are closed by now
        self._clock = 0.0  # of time.monotonic(), when the frames' time was 0
        super().__init__(connection.name, 0, max_frames, fps=connection.fps, count=None, live=True)

    def _read(self, start: int) -> Generator[Frame]:
        last = None
        try:
            while True:
                steps, seconds, reason = 0, 0.0, "it ended"
                try:
                    for number, frame in enumerate(self._connection):
                        if last is None:
                            self._clock = time.monotonic() - frame.timestamp
                        elif number == 0:
                            steps = last.index + 1 - frame.index
                            seconds = max(time.monotonic() - self._clock, last.timestamp) - frame.timestamp
                        self.dropped = self._dropped_before + self._connection.dropped
                        last = Frame(frame.index + steps, frame.timestamp + seconds, frame.image)
                        yield last
                except SourceError as error:
                    reason = str(error)
                if not self._reconnect(reason):
                    return
        finally:
            self._disconnect()

    def _reconnect(self, reason: str) -> bool:
        """Open the source again, however often that takes; False if it is to stop."""
        self._disconnect()
        since, wait = time.monotonic(), WAITS[0]
        if self._stop.is_set():
            return False
        warnings.warn(f"{self.name} is opened again: {reason}", SourceWarning, stacklevel=2)
        while not self._stop.wait(wait):
            try:
                self._connection = self._open_again()
            except SourceError as error:
                away = time.monotonic() - since
                if self._patience is not None and away > self._patience:
                    raise SourceError(f"{self.name} did not come back within {self._patience:g} s: {error}") from error
                wait = min(2 * wait, WAITS[1])
                continue
            self.connected = True
            self.reconnects += 1
            away = time.monotonic() - since
            warnings.warn(f"{self.name} is back after {away:.1f} s", SourceWarning, stacklevel=2)
            return True
        return False

    def _disconnect(self) -> None:
        if self.connected:
            self.connected = False
            self._dropped_before += self._connection.dropped
            self._connection.close()
        self.dropped = self._dropped_before
