"""Bytes added to a file as a whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from io import FileIO


def append(file: FileIO, data: bytes) -> None:
    """Add `data` at the end of an unbuffered file, where its position is: all of it reaches the operating system, or
    what did is taken back.

    Raises:
        OSError: it cannot be written.
    """
    size = file.tell()
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        with suppress(OSError):  # a device cannot be cut, and has nothing to keep whole
            file.truncate(size)
            file.seek(size)
        raise
