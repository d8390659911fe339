"""Frames of a sequence on disk: image files or a video. Both decode in order (`iter`) and one by one (`at`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
JPEG_END = b"\xff\xd9"
JPEG_TAIL = 4096  # bytes behind which no camera puts anything after the end marker


class Frames(Protocol):
    """N frames, each uint8 H×W×3 BGR.

    A frame that cannot be decoded raises `ValueError` that names the file and the frame.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Image]: ...

    def at(self, index: int) -> Image:
        """Frame `index`, 0-based."""

    def part(self, start: int, stop: int) -> Frames:
        """Frames `start` … `stop` − 1."""


@dataclass(frozen=True)
class ImageFrames:
    """One file a frame."""

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Image]:
        return (decode_image(file) for file in self.files)

    def at(self, index: int) -> Image:
        return decode_image(self.files[index])

    def part(self, start: int, stop: int) -> ImageFrames:
        return ImageFrames(self.files[start:stop])


@dataclass(frozen=True)
class VideoFrames:
    """`count` frames of a video file from frame `start` on."""

    path: Path
    count: int
    start: int = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image]:
        capture = cv2.VideoCapture(str(self.path))
        try:
            for index in range(self.start + self.count):
                if index < self.start:
                    decoded = capture.grab()
                    continue
                decoded, frame = capture.read()
                if not decoded:
                    raise ValueError(f"{self.path}: expected {self.start + self.count} frames, could decode {index}")
                yield frame  # type: ignore[misc]  # uint8 as cv2 decodes video
        finally:
            capture.release()

    def at(self, index: int) -> Image:
        """Frame `index`; decodes from the beginning, as seeking in H.264 files is not exact everywhere."""
        return next(iter(self.part(index, index + 1)))

    def part(self, start: int, stop: int) -> VideoFrames:
        return VideoFrames(self.path, min(stop, self.count) - start, self.start + start)


@dataclass(frozen=True)
class NoFrames:
    """So many frames that are not at hand: enough to score stored boxes."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image]:
        raise ValueError("the frames are not at hand, only their ground truth")

    def at(self, index: int) -> Image:
        raise ValueError(f"frame {index} is not at hand, only its ground truth")

    def part(self, start: int, stop: int) -> NoFrames:
        return NoFrames(min(stop, self.count) - start)


def open_frames(folder: Path, images: str = "img", video: str = "frames.mp4") -> Frames:
    """The frames of a sequence's folder: image files in ``img/``, or else ``frames.mp4``.

    Raises:
        ValueError: neither is there, or the video cannot be opened.
    """
    if (folder / images).is_dir():
        return ImageFrames(tuple(image_files(folder / images)))
    path = folder / video
    capture = cv2.VideoCapture(str(path)) if path.exists() else None
    if capture is None or not capture.isOpened():
        raise ValueError(f"{folder.name}: expected frames in {folder / images}/ or {path}, found neither readable")
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return VideoFrames(path, count)


def image_files(folder: Path) -> list[Path]:
    """Image files of a folder in the order of their numbers: 2.jpg before 10.jpg, 0002.jpg before 0010.jpg."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
    return sorted(files, key=lambda path: (len(path.stem), path.stem))


def decode_image(path: Path) -> Image:
    """An image file as uint8 H×W×3 BGR.

    OpenCV fills the missing part of a truncated JPEG with grey and says nothing; such a file is refused here, because a
    tracker would be scored on it.

    Raises:
        ValueError: the file is missing, truncated or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix.lower() in (".jpg", ".jpeg") and JPEG_END not in data[-JPEG_TAIL:]:
        raise ValueError(f"{path}: truncated JPEG ({len(data)} bytes, no end marker)")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise ValueError(f"{path}: not an image that OpenCV can decode")
    return np.asarray(image, np.uint8)
