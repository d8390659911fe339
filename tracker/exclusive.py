"""One thread at a time."""

from __future__ import annotations

import threading
from typing import Any


class Exclusive:
    """A lock that refuses instead of waiting, and that comes back free from a pickle.

    Two threads that update one tracker would mix their frames: that is a mistake to be told, not to be queued.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("this tracker is in use by another thread; give each thread a tracker of its own")

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return Exclusive, ()
