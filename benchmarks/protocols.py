"""How often a tracker is started in a sequence, and where: one pass, spatial and temporal robustness.

- One-pass evaluation (OPE): once, in the first frame, on its ground truth.
- Spatial robustness evaluation (SRE): twelve times in the first frame, on a disturbed box. Four times the box is moved
  by 10 % of its size to a side, four times one of its corners is moved outward by as much while the opposite one stays,
  four times it is scaled about its centre, by 0.8, 0.9, 1.1 and 1.2. Boxes are rounded to whole pixels and kept inside
  the image as the benchmark's toolkit does, so that starts are those of published results.
- Temporal robustness evaluation (TRE): in 20 frames, on their ground truth, from each to the end. The frames are spread
  evenly over those in which the box is valid and at least 20 frames are left; the first one is among them. The
  toolkit's lists of frames with occluded targets, which it also leaves out, are not at hand.

Source: Wu, Lim, Yang, "Online Object Tracking: A Benchmark", CVPR 2013, section 4, and its toolkit's behaviour.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.sequence import Sequence
from tracker.result import Box

Floats = NDArray[np.float64]

PROTOCOLS = ("ope", "sre", "tre")
SIDES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
CORNERS = {"topLeft": (-1, -1), "topRight": (1, -1), "bottomLeft": (-1, 1), "bottomRight": (1, 1)}
SCALES = {"scale_8": 0.8, "scale_9": 0.9, "scale_11": 1.1, "scale_12": 1.2}
SHIFT = 0.1  # of the target's size
SEGMENTS = 20
SHORTEST = 20  # frames of a segment


def variants(sequence: Sequence, protocol: str = "ope") -> list[Sequence]:
    """The sequences that a protocol makes of one: itself, ``NAME@left`` … ``NAME@scale_12``, or ``NAME@1`` …

    A short sequence, or one whose ground truth is hidden, has fewer segments (at least one).

    Raises:
        ValueError: no such protocol, or the first frame, whose size limits the disturbed boxes, cannot be decoded.
    """
    if protocol == "ope":
        return [sequence]
    if protocol == "sre":
        height, width = sequence.frames.at(0).shape[:2]
        boxes = disturbed(sequence.first_box, width, height)
        return [replace(sequence, name=f"{sequence.name}@{name}", start=box) for name, box in boxes.items()]
    if protocol == "tre":
        starts = enumerate(segment_starts(sequence.boxes), start=1)
        return [replace(sequence.part(start), name=f"{sequence.name}@{number}") for number, start in starts]
    raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")


def base_name(name: str) -> str:
    """Name of the sequence that a variant was made of: "Basketball" of "Basketball@scale_8"."""
    return name.partition("@")[0]


def disturbed(box: Box, width: int, height: int) -> dict[str, Box]:
    """The twelve starts of SRE in an image of `width` × `height`; name → box."""
    x, y, w, h = box
    moved = {
        name: (x + dx * math.ceil(SHIFT * w), y + dy * math.ceil(SHIFT * h), w, h) for name, (dx, dy) in SIDES.items()
    }
    stretched = {name: _stretched(box, dx, dy) for name, (dx, dy) in CORNERS.items()}
    scaled = {name: _scaled(box, ratio) for name, ratio in SCALES.items()}
    return {name: _inside(each, width, height) for name, each in (moved | stretched | scaled).items()}


def segment_starts(boxes: Floats) -> list[int]:
    """(N, 4) ground truth → up to 20 frames to start in, in ascending order, the first usable one first."""
    low = np.array([-1, -1, 0, 0])  # the toolkit wants all four above 0, and counts pixels from 1
    usable: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(boxes) & (boxes > low), axis=1)
    usable[max(len(boxes) - SHORTEST + 1, 1) :] = False
    frames = np.flatnonzero(usable)
    if not len(frames):
        return [0]
    spread = np.floor(np.arange(SEGMENTS - 1) * len(frames) / (SEGMENTS - 1)).astype(int)
    return frames[np.unique([*spread, len(frames) - 1])].tolist()


def _stretched(box: Box, dx: int, dy: int) -> Box:
    """One corner moved outward by 10 % of the size; the opposite one stays."""
    x, y, w, h = box
    left = _whole(x - SHIFT * w) if dx < 0 else x
    top = _whole(y - SHIFT * h) if dy < 0 else y
    right = _whole(x + w + SHIFT * w) if dx > 0 else x + w
    bottom = _whole(y + h + SHIFT * h) if dy > 0 else y + h
    return left, top, right - left, bottom - top


def _scaled(box: Box, ratio: float) -> Box:
    x, y, w, h = box
    return (
        _whole(x + w / 2 - ratio * w / 2),
        _whole(y + h / 2 - ratio * h / 2),
        _whole(ratio * w),
        _whole(ratio * h),
    )


def _inside(box: Box, width: int, height: int) -> Box:
    """Moved right and down into the image, then cut at its right and bottom; one pixel at least."""
    x, y = min(max(box[0], 0.0), width - 1.0), min(max(box[1], 0.0), height - 1.0)
    return x, y, max(min(box[2], width - x), 1.0), max(min(box[3], height - y), 1.0)


def _whole(value: float) -> float:
    """Rounded to a whole number, halves upwards."""
    return float(math.floor(value + 0.5))
