"""Results drawn onto a frame, legible at any resolution and without colour vision."""

from __future__ import annotations

from collections.abc import Mapping

import cv2

from tracker.frame import Image
from tracker.result import TrackResult, TrackState

# BGR of Okabe and Ito's palette, which stays distinct in the common kinds of colour blindness.
COLOURS = {
    TrackState.TRACKING: (115, 158, 0),
    TrackState.UNCERTAIN: (0, 159, 230),
    TrackState.LOST: (170, 170, 170),
}


def draw(image: Image, results: Mapping[int, TrackResult]) -> Image:
    """A copy of `image` with the targets drawn.

    Args:
        image: uint8 HxWx3 BGR; not changed.
        results: target id → its result in this frame.
    """
    canvas = image.copy()
    for id, result in results.items():
        x, y, w, h = result.box
        colour = COLOURS[result.state]
        if result.state is not TrackState.LOST:
            cv2.rectangle(canvas, (round(x), round(y)), (round(x + w), round(y + h)), colour, 2, cv2.LINE_AA)
        label = f"{id} {result.score:.2f} {result.state.value}"
        cv2.putText(canvas, label, (round(x), round(y) - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return canvas
