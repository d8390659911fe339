"""Tracks drawn onto frames: a box, an id and a trail each, in colours that stay.

A colour belongs to an id, in every frame and every run. There are seven that colour-blind viewers tell apart, in three
shades; the id stands beside each box, as no set of colours is enough for a crowd. A box that fills a gap between two
detections is thin, one that a detector found is thick.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from tracker.frame import Frame, Image, to_bgr8
from tracker.result import Box
from tracker.sinks import VideoSink

Colour = tuple[int, int, int]

# BGR, of Okabe and Ito without their black
PALETTE: tuple[Colour, ...] = (
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
    (167, 121, 204),
)
SHADES = (1.0, 0.65, 1.45)  # of the palette, one after another
TRAIL_SECONDS = 3.0
DARK: Colour = (24, 24, 24)
LIGHT: Colour = (245, 245, 245)
FONT = cv2.FONT_HERSHEY_SIMPLEX
BITS = 3  # of a pixel's fraction, in OpenCV's fixed-point coordinates


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """One identity in one frame.

    Attributes:
        id: from 1.
        box: ``(x, y, w, h)`` in 0-based pixels.
        score: of the detection.
        interpolated: the box is not a detection, but fills a gap between two.
    """

    id: int
    box: Box
    score: float = 1.0
    interpolated: bool = False


def colour_of(id: int) -> Colour:
    """BGR of an id: the same one always, another one for the next twenty."""
    blue, green, red = PALETTE[id % len(PALETTE)]
    shade = SHADES[id // len(PALETTE) % len(SHADES)]
    if shade <= 1:
        return round(blue * shade), round(green * shade), round(red * shade)
    white = 255 * (1 - 1 / shade)
    return round(blue / shade + white), round(green / shade + white), round(red / shade + white)


class Annotator:
    """Draws frame after frame, and remembers where everyone was.

    Args:
        fps: frames per second: how many frames a trail is long.
        trail: length of a trail in seconds; 0 for none.
    """

    def __init__(self, fps: float, trail: float = TRAIL_SECONDS) -> None:
        self._length = round(fps * trail)
        self._trails: dict[int, deque[tuple[int, float, float]]] = {}

    def draw(self, frame: Frame, boxes: Sequence[TrackedBox]) -> Image:
        """A copy of the frame's image with boxes, ids and trails; frames come in their order."""
        canvas = to_bgr8(frame.image).copy()
        thickness = max(1, round(min(canvas.shape[:2]) / 360))
        self._remember(frame.index, boxes)
        for id, trail in self._trails.items():
            self._draw_trail(canvas, frame.index, trail, colour_of(id), thickness)
        for entry in boxes:
            _draw_box(canvas, entry, thickness)
        for entry in boxes:  # labels last, so that no box crosses one
            _draw_label(canvas, entry)
        return canvas

    def _remember(self, index: int, boxes: Sequence[TrackedBox]) -> None:
        for entry in boxes:
            x, y, w, h = entry.box
            self._trails.setdefault(entry.id, deque()).append((index, x + w / 2, y + h))  # where the feet are
        for id, trail in list(self._trails.items()):
            while trail and trail[0][0] < index - self._length:
                trail.popleft()
            if not trail:
                del self._trails[id]

    def _draw_trail(
        self, canvas: Image, index: int, trail: deque[tuple[int, float, float]], colour: Colour, thickness: int
    ) -> None:
        points = list(trail)
        for (_, x1, y1), (seen, x2, y2) in itertools.pairwise(points):
            age = (index - seen) / max(1, self._length)
            strength = max(0.25, 1 - age)
            width = max(1, round(2 * thickness * strength))
            cv2.line(canvas, _fixed(x1, y1), _fixed(x2, y2), colour, width, cv2.LINE_AA, BITS)


def _draw_box(canvas: Image, entry: TrackedBox, thickness: int) -> None:
    x, y, w, h = entry.box
    colour = colour_of(entry.id)
    outer, inner = (thickness + 2, thickness) if entry.interpolated else (2 * thickness + 2, 2 * thickness)
    for tint, width in ((DARK, outer), (colour, inner)):
        cv2.rectangle(canvas, _fixed(x, y), _fixed(x + w, y + h), tint, width, cv2.LINE_AA, BITS)


def _draw_label(canvas: Image, entry: TrackedBox) -> None:
    """The id on a plate of its colour above the box, or in it at the image's upper border."""
    height, width = canvas.shape[:2]
    size = max(8, round(min(height, width) / 50))
    stroke = max(1, round(size / 9))
    scale = cv2.getFontScaleFromHeight(FONT, size, stroke)
    text, pad = str(entry.id), max(2, round(size / 4))
    w = cv2.getTextSize(text, FONT, scale, stroke)[0][0] + 2 * pad
    h = size + 2 * pad
    if w > width or h > height:
        return
    x, y = entry.box[:2]
    left = round(min(max(x, 0), width - w))
    top = round(min(max(y - h if y >= h else y, 0), height - h))
    colour = colour_of(entry.id)
    cv2.rectangle(canvas, (left, top), (left + w - 1, top + h - 1), colour, cv2.FILLED)
    luminance = 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]
    ink = DARK if luminance > 110 else LIGHT
    cv2.putText(canvas, text, (left + pad, top + pad + size), FONT, scale, ink, stroke, cv2.LINE_AA)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """Continuous pixels as OpenCV's fixed-point pixel index (the index is 0.5 less), far from its overflow."""
    x, y = (min(max(value, -30_000.0), 30_000.0) for value in (x, y))
    return round((x - 0.5) * 2**BITS), round((y - 0.5) * 2**BITS)


class AnnotatedVideo(VideoSink):
    """A video with the tracks drawn in.

    Args:
        path, fps, overwrite: see `VideoSink`.
        trail: length of a trail in seconds.

    Raises:
        SinkError, ValueError: see `VideoSink`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float | None = None,
        overwrite: bool = False,
        trail: float = TRAIL_SECONDS,
    ) -> None:
        super().__init__(path, fps, overwrite)
        self._annotator = Annotator(self.fps, trail)

    def add(self, frame: Frame, boxes: Sequence[TrackedBox]) -> None:
        """Draw one frame's tracks and add it.

        Raises:
            SinkError: see `VideoSink`.
        """
        self.write(Frame(frame.index, frame.timestamp, self._annotator.draw(frame, boxes)), {})
