"""Results drawn onto a frame, legible at any resolution and without colour vision.

A state is told by form and word as well as by colour: TRACKING is a solid box, UNCERTAIN a dashed one, and LOST is no
box at all, only dashed corners where the target was last believed to be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from tracker.frame import Image, to_bgr8
from tracker.result import Box, TrackResult, TrackState

Point = tuple[float, float]
Colour = tuple[int, int, int]

# BGR. A bluish green and an amber as in the palette of Okabe and Ito, which colour-blind viewers can tell apart.
COLOURS: dict[TrackState, Colour] = {
    TrackState.TRACKING: (130, 200, 0),
    TrackState.UNCERTAIN: (0, 159, 230),
    TrackState.LOST: (215, 215, 215),
}
_DARK: Colour = (24, 24, 24)
_LIGHT: Colour = (245, 245, 245)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SUBPIXEL_BITS = 4


def draw(image: Image, results: Mapping[int, TrackResult]) -> Image:
    """A copy of `image` with the targets drawn on it.

    Args:
        image: HxWx3 uint8 BGR (or what `to_bgr8` accepts); it is not changed.
        results: target id → its result in this frame.

    Returns:
        uint8 HxWx3 BGR, of the size of `image`.
    """
    canvas = to_bgr8(image).copy()
    thickness = max(2, round(min(canvas.shape[:2]) / 360))
    lost_first = sorted(results.items(), key=lambda item: item[1].state is not TrackState.LOST)
    boxes = {id: _within(result.box, canvas, margin=4.0 * thickness) for id, result in lost_first}
    for id, result in lost_first:
        segments = list(_outline(boxes[id], result.state, dash=6.0 * thickness))
        for colour, width in ((_DARK, thickness + 2), (COLOURS[result.state], thickness)):
            for start, end in segments:
                cv2.line(canvas, _fixed(start), _fixed(end), colour, width, cv2.LINE_AA, _SUBPIXEL_BITS)
    for id, result in lost_first:  # labels last, so that no box crosses one
        _draw_label(canvas, boxes[id], id, result)
    return canvas


def _within(box: Box, canvas: Image, margin: float) -> Box:
    """The box cut to the image and a margin around it, which hides the sides that lie outside."""
    height, width = canvas.shape[:2]
    x, y, w, h = box
    left, right = (min(max(edge, -margin), width + margin) for edge in (x, x + w))
    top, bottom = (min(max(edge, -margin), height + margin) for edge in (y, y + h))
    return left, top, right - left, bottom - top


def _outline(box: Box, state: TrackState, dash: float) -> Iterator[tuple[Point, Point]]:
    """The line segments that show a box in this state."""
    x, y, w, h = box
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        if state is TrackState.TRACKING:
            yield start, end
        elif state is TrackState.UNCERTAIN:
            yield from _dashes(start, end, dash)
        else:
            reach = min(0.2, 1.5 * dash / max(math.dist(start, end), 1e-6))
            yield from _dashes(start, _between(start, end, reach), dash / 2)
            yield from _dashes(end, _between(end, start, reach), dash / 2)


def _dashes(start: Point, end: Point, dash: float) -> Iterator[tuple[Point, Point]]:
    """Strokes of about the length `dash` with gaps as long; a stroke at each end."""
    strokes = max(1, round((math.dist(start, end) / dash + 1) / 2))
    parts = 2 * strokes - 1
    for stroke in range(0, parts, 2):
        yield _between(start, end, stroke / parts), _between(start, end, (stroke + 1) / parts)


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _fixed(point: Point) -> tuple[int, int]:
    """A point in continuous pixels as OpenCV's fixed-point pixel index (the index is 0.5 less)."""
    return round((point[0] - 0.5) * 2**_SUBPIXEL_BITS), round((point[1] - 0.5) * 2**_SUBPIXEL_BITS)


def _draw_label(canvas: Image, box: Box, id: int, result: TrackResult) -> None:
    """A dark plate above the box (below or inside where there is no room) with id, score and state."""
    height, width = canvas.shape[:2]
    size = max(9, round(min(height, width) / 45))  # of a capital letter, in pixels
    stroke = max(1, round(size / 9))
    scale = cv2.getFontScaleFromHeight(_FONT, size, stroke)
    pad = max(3, round(0.5 * size))
    plate_height = size + 2 * pad
    for text in _wordings(id, result):
        plate_width = cv2.getTextSize(text, _FONT, scale, stroke)[0][0] + 3 * pad
        if plate_width <= width and plate_height <= height:
            break
    else:
        return  # not even the id fits into the image

    x, y, _, h = box
    above, below = y - plate_height - pad / 2, y + h + pad / 2
    top = above if above >= 0 else below if below + plate_height <= height else y + pad / 2
    left = round(min(max(x, 0), width - plate_width))
    top = round(min(max(top, 0), height - plate_height))
    plate = canvas[top : top + plate_height, left : left + plate_width]
    plate[:] = cv2.addWeighted(plate, 0.2, np.full_like(plate, _DARK), 0.8, 0)
    plate[:, : max(2, pad // 2)] = COLOURS[result.state]
    baseline = (left + round(1.75 * pad), top + pad + size)
    cv2.putText(canvas, text, baseline, _FONT, scale, _LIGHT, stroke, cv2.LINE_AA)


def _wordings(id: int, result: TrackResult) -> list[str]:
    """What a label says, from full to shortest. A lost target has no score worth showing."""
    word = result.state.value.upper()
    if result.state is TrackState.LOST:
        return [f"{id}  {word}", word, f"{id}"]
    return [f"{id}  {result.score:.2f}  {word}", f"{id}  {result.score:.2f}", f"{id}"]
