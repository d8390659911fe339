"""Frames in memory to measure speed on: what comes before the tracker is over by then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.box import validate_box
from tracker.result import Box
from tracker.sources import open_source

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """A short clip and the target in its first frame.

    Attributes:
        frames: two or more, (H, W, 3) uint8 BGR, all of one size.
        box: ``(x, y, w, h)`` in pixels of the first frame.
        decode_ms: median time to read and decode a frame, before it was resized.
    """

    frames: list[Image]
    box: Box
    decode_ms: float = 0.0

    def onwards(self) -> Iterator[Image]:
        """The second frame, the third, … the last, then back to the first, and so on for ever: no target jumps."""
        return cycle([*self.frames[1:], *self.frames[-2::-1]])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        height, width = self.frames[0].shape[:2]
        return width, height


def read_clip(video: Path | str, box: str, count: int, size: tuple[int, int] | None = None) -> Clip:
    """Read the first frames of a source.

    Args:
        video: what `tracker.open_source` takes.
        box: ``X,Y,W,H`` in its own pixels, or a JSON file whose first box counts.
        count: frames, at most.
        size: (width, height) to resize them to.

    Raises:
        SourceError: the source cannot be read.
        ValueError: less than two frames, or no such box.
    """
    frames: list[Image] = []
    seconds: list[float] = []
    with open_source(video, max_frames=count) as source:
        original, since = source.size, perf_counter()
        for frame in source:
            seconds.append(perf_counter() - since)
            frames.append(frame.image if size is None else _resized(frame.image, size))
            since = perf_counter()
    if len(frames) < 2:
        raise ValueError(f"{video}: measuring takes two frames or more, found {len(frames)}")
    x, y, w, h = validate_box(_first_box(box), *original)
    right, down = (new / old for new, old in zip(size or original, original, strict=True))
    decode = float(np.median(seconds[1:]))  # the first was decoded when the source was opened
    return Clip(frames, (x * right, y * down, w * right, h * down), 1e3 * decode)


def _resized(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _first_box(text: str) -> list[float]:
    try:
        return json.loads(Path(text).read_text())[0] if text.endswith(".json") else [float(x) for x in text.split(",")]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"box {text!r}: expected X,Y,W,H or a JSON file of [[x, y, w, h]]: {error}") from error
