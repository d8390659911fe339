"""MP4 video that can be read at any moment, though OpenCV's encoder writes a file's index last.

Half a second at a time is encoded by OpenCV into a file of its own, whose frames are then added to the video as one
fragment (ISO/IEC 14496-12, movie fragments): a process that is killed leaves a fragmented MP4. At the end an index of
all frames follows, and a header written in front hides the fragments' own: an ordinary MP4.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import cv2

from tracker.append import append
from tracker.frame import Image

FRAGMENT = 0.5  # seconds of video, and of time, that a fragment spans at most: what a killed process loses
CODEC = "mp4v"
BRANDS = b"isom" + struct.pack(">I", 512) + b"isomiso5iso6mp41"
KEY, DEPENDENT = 0x02000000, 0x01010000  # flags of a frame that needs no other, and of one that does
STEP = 1000  # a frame's duration, in units of 1 / (1000 fps) s
LONGEST = 2**32 - 1
IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
UNDETERMINED = 0x55C4  # the language


class Mp4Writer:
    """MPEG-4 video, with the methods of `cv2.VideoWriter`.

    Args:
        path: the file to write; replaced if it exists.
        fps: frames per second.
        size: (width, height) of the frames.

    Raises:
        OSError: the file, or a temporary one, cannot be written. What is in the file by then stays readable.

    Attributes:
        frames: how many are safely in the file.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float, size: tuple[int, int]) -> None:
        self.frames = 0
        self._fps, self._size, self._scale = fps, size, max(1, round(STEP * fps))
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  # unbuffered: a killed process loses nothing
        self._folder = tempfile.TemporaryDirectory(prefix="siamtrack-", ignore_cleanup_errors=True)
        self._fragments: list[Fragment] = []
        self._offsets: list[int] = []  # of the fragments' frames in the file
        self._pending = 0
        self._since = time.monotonic()
        self._encoder = self._open()

    def isOpened(self) -> bool:
        """Whether OpenCV can encode frames of this size and rate."""
        return self._encoder.isOpened()

    def write(self, image: Image) -> None:
        """Add a frame, (H, W, 3) uint8 BGR of the size given.

        Raises:
            OSError: the fragment that it completes cannot be written, and is lost.
        """
        if not self._pending:
            self._since = time.monotonic()
        self._encoder.write(image)
        self._pending += 1
        if self._pending >= FRAGMENT * self._fps or time.monotonic() - self._since >= FRAGMENT:
            self._flush()
            self._encoder = self._open()

    def release(self) -> None:
        """Complete the file; a second call does nothing.

        Raises:
            OSError: the last fragment or the index cannot be written; the fragments before are there.
        """
        if self._file.closed:
            return
        try:
            self._flush()
            self._complete()
        finally:
            self._encoder.release()
            self._file.close()
            self._folder.cleanup()

    def _open(self) -> cv2.VideoWriter:
        path = str(Path(self._folder.name, "fragment.mp4"))
        return cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODEC), self._fps, self._size)

    def _flush(self) -> None:
        """Add what was encoded since the last time."""
        pending, self._pending = self._pending, 0
        self._encoder.release()
        if not pending:
            return
        fragment = read_fragment(Path(self._folder.name, "fragment.mp4"), pending)
        head = b"" if self._fragments else _head(fragment.codec, self._size, self._scale)
        head += _moof(fragment, len(self._fragments) + 1, self.frames)
        offset = self._file.tell() + len(head) + 8
        append(self._file, head + _box(b"mdat", fragment.data))
        self._fragments.append(replace(fragment, data=b""))
        self._offsets.append(offset)
        self.frames += pending

    def _complete(self) -> None:
        """Write the index, and over the place kept at the beginning a header that makes one `mdat` of all before it."""
        if not self._fragments:
            return
        start, end = 8 + len(BRANDS), self._file.tell()
        append(self._file, _index(self._fragments[0].codec, self._fragments, self._offsets, self._size, self._scale))
        self._file.seek(start)
        self._file.write(struct.pack(">I4sQ", 1, b"mdat", end - start))


@dataclass(frozen=True)
class Fragment:
    """Half a second of encoded video.

    Attributes:
        codec: the `stsd` box, which says how to decode it.
        sizes: bytes of every frame.
        keys: whether a frame needs no other.
        data: the frames, one behind the other.
    """

    codec: bytes
    sizes: tuple[int, ...]
    keys: tuple[bool, ...]
    data: bytes


def read_fragment(path: Path, frames: int) -> Fragment:
    """What OpenCV encoded into a file of its own.

    Raises:
        OSError: the file does not hold so many frames.
    """
    boxes = dict(_boxes(path.read_bytes()))
    tables, data = boxes.get(b"moov", b""), boxes.get(b"mdat", b"")
    for kind in (b"trak", b"mdia", b"minf", b"stbl"):
        tables = dict(_boxes(tables)).get(kind, b"")
    table = dict(_boxes(tables))
    sizes = _sizes(table.get(b"stsz", b""))
    if len(sizes) != frames or sum(sizes) != len(data):
        raise OSError(f"{len(sizes)} of {frames} frames were encoded into {path}; is that disk full?")
    numbers = range(1, frames + 1)
    keys = _numbers(table[b"stss"])[2:] if b"stss" in table else numbers
    return Fragment(_box(b"stsd", table[b"stsd"]), sizes, tuple(number in keys for number in numbers), data)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of the boxes in `data`."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _numbers(data: bytes) -> tuple[int, ...]:
    """`data` as 32-bit numbers."""
    return struct.unpack(f">{len(data) // 4}I", data)


def _sizes(stsz: bytes) -> tuple[int, ...]:
    if not stsz:
        return ()
    _, common, count, *sizes = _numbers(stsz)
    return (common,) * count if common else tuple(sizes)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _table(kind: bytes, *numbers: int, head: int = 0) -> bytes:
    """A box of 32-bit numbers; `head` is its version and flags."""
    return _box(kind, struct.pack(f">{len(numbers) + 1}I", head, *numbers))


def _head(codec: bytes, size: tuple[int, int], scale: int) -> bytes:
    """The file's beginning: brands, the place for `Mp4Writer._complete`, and a header that announces fragments."""
    empty = _table(b"stts", 0) + _table(b"stsc", 0) + _table(b"stsz", 0, 0) + _table(b"stco", 0)
    defaults = _box(b"mvex", _table(b"trex", 1, 1, STEP, 0, 0))
    return _box(b"ftyp", BRANDS) + _box(b"free", bytes(8)) + _moov(codec + empty, size, scale, 0, defaults)


def _moof(fragment: Fragment, number: int, frames_before: int) -> bytes:
    """The header of a fragment's frames, which follow it."""
    pairs = zip(fragment.sizes, fragment.keys, strict=True)
    samples = [value for size, key in pairs for value in (size, KEY if key else DEPENDENT)]
    time = divmod(frames_before * STEP, 2**32)

    def moof(data_at: int) -> bytes:
        track = (
            _table(b"tfhd", 1, head=0x020000)  # offsets count from this moof
            + _table(b"tfdt", *time, head=1 << 24)  # version 1: 64 bits
            + _table(b"trun", len(fragment.sizes), data_at, *samples, head=0x000601)  # sizes and flags are given
        )
        return _box(b"moof", _table(b"mfhd", number), _box(b"traf", track))

    return moof(len(moof(0)) + 8)


def _index(codec: bytes, fragments: list[Fragment], offsets: list[int], size: tuple[int, int], scale: int) -> bytes:
    """The header of the whole video."""
    sizes = [length for fragment in fragments for length in fragment.sizes]
    keys = [number for number, key in enumerate((key for fragment in fragments for key in fragment.keys), 1) if key]
    lengths = enumerate((len(fragment.sizes) for fragment in fragments), 1)
    runs = [next(run) for _, run in groupby(lengths, key=lambda chunk: chunk[1])]  # (first fragment, frames in each)
    tables = (
        codec
        + _table(b"stts", 1, len(sizes), STEP)
        + _table(b"stss", len(keys), *keys)
        + _table(b"stsc", len(runs), *(value for first, frames in runs for value in (first, frames, 1)))
        + _table(b"stsz", 0, len(sizes), *sizes)
        + _table(b"co64", len(offsets), *(half for offset in offsets for half in divmod(offset, 2**32)))
    )
    return _moov(tables, size, scale, len(sizes) * STEP)


def _moov(tables: bytes, size: tuple[int, int], scale: int, duration: int, more: bytes = b"") -> bytes:
    """A movie of one track of pictures, `scale` units of time a second."""
    duration = min(duration, LONGEST)
    width, height = size
    movie = _table(b"mvhd", 0, 0, scale, duration, 1 << 16, 1 << 24, 0, 0, *IDENTITY, *[0] * 6, 2)
    track = _table(b"tkhd", 0, 0, 1, 0, duration, 0, 0, 0, 0, *IDENTITY, width << 16, height << 16, head=3)
    media = _table(b"mdhd", 0, 0, scale, duration, UNDETERMINED << 16)
    handler = _box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    here = _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1), _table(b"url ", head=1)))  # the data are in this file
    information = _box(b"minf", _table(b"vmhd", 0, 0, head=1), here, _box(b"stbl", tables))
    return _box(b"moov", movie, _box(b"trak", track, _box(b"mdia", media, handler, information)), more)
