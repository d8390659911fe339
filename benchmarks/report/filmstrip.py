"""Filmstrips: the frames of a sequence where a tracker was best and worst, with everybody's boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.frames import Frames, Image, VideoFrames
from benchmarks.report.style import INK, Style
from benchmarks.results import Run
from benchmarks.sequence import Sequence
from tracker.box import overlap
from tracker.result import TrackState

Floats = NDArray[np.float64]
Colour = tuple[int, int, int]
Point = tuple[float, float]

BEST, WORST = 2, 3  # frames of each in a strip
WIDTH = 400  # pixels of a still
MARGIN = 1.6  # of what a still shows around the boxes of the truth and the main tracker
SMALLEST = 0.3  # share of the image's width that a still shows at least
QUALITY = 72  # of its JPEG
NUMBERED = 6  # more trackers than this share colours, and their boxes get numbers

MAIN = "#f0e442"  # Okabe and Ito's yellow, lost on paper but not on pictures
DARK: Colour = (24, 24, 24)
LIGHT: Colour = (255, 255, 255)
SUBPIXEL_BITS = 4


class DecodeError(ValueError):
    """A frame that a filmstrip needs cannot be decoded."""


@dataclass(frozen=True)
class Still:
    """One frame of a filmstrip: its index, "best" or "worst", the overlap there, and the picture as JPEG."""

    frame: int
    kind: str
    overlap: float
    jpeg: bytes
    size: tuple[int, int]


def filmstrip(sequence: Sequence, runs: Mapping[str, Run], main: str, styles: Mapping[str, Style]) -> list[Still]:
    """The frames where `main` was best, then those where it was worst; see `draw_still` for the other arguments.

    Raises:
        DecodeError: a frame cannot be decoded.
    """
    overlaps = frame_overlaps(runs[main], sequence)
    chosen = choose(overlaps)
    pictures = decode(sequence.frames, (frame for frame, _ in chosen))
    return [
        Still(
            frame,
            kind,
            float(overlaps[frame]),
            *draw_still(pictures[frame], frame, sequence.boxes[frame], runs, styles),
        )
        for frame, kind in chosen
    ]


def frame_overlaps(run: Run, sequence: Sequence) -> Floats:
    """(N,) overlap in each frame; NaN where the target is absent or there is no answer."""
    rows = min(len(run.boxes), len(sequence))
    overlaps = np.full(len(sequence), math.nan)
    overlaps[:rows] = overlap(run.boxes[:rows], sequence.boxes[:rows])
    overlaps[np.isnan(sequence.boxes).any(1)] = math.nan
    return overlaps


def choose(overlaps: Floats, best: int = BEST, worst: int = WORST) -> list[tuple[int, str]]:
    """Frames with the highest and with the lowest overlap, a twentieth of the sequence or more apart.

    The first frame, which is given, is left out. Of equals the first counts: of a lost target, the frame that lost it.
    """
    left = overlaps.copy()
    left[0] = math.nan
    apart = max(1, len(left) // 20)
    chosen: list[tuple[int, str]] = []
    for kind in ["best"] * best + ["worst"] * worst:
        if np.isnan(left).all():
            break
        frame = int(np.nanargmax(left) if kind == "best" else np.nanargmin(left))
        chosen.append((frame, kind))
        left[max(0, frame - apart + 1) : frame + apart] = math.nan
    return chosen


def decode(frames: Frames, wanted: Iterable[int]) -> dict[int, Image]:
    """The wanted frames: one pass over a video, only the files asked for otherwise.

    Raises:
        DecodeError: a frame cannot be decoded.
    """
    wanted = set(wanted)
    try:
        if not isinstance(frames, VideoFrames):
            return {index: frames.at(index) for index in sorted(wanted)}
        part = frames.part(0, max(wanted, default=-1) + 1)
        return {index: image for index, image in enumerate(part) if index in wanted}
    except ValueError as error:
        raise DecodeError(str(error)) from error


def draw_still(
    image: Image,
    frame: int,
    truth: Floats,
    runs: Mapping[str, Run],
    styles: Mapping[str, Style],
) -> tuple[bytes, tuple[int, int]]:
    """Draw all boxes of one frame onto a picture of the part around the target: the truth below, `main` on top.

    Args:
        image: the whole frame.
        frame: its index.
        truth: (4,) ground truth in it.
        runs: tracker → what it said of the sequence.
        styles: tracker → how its box is drawn; their order numbers the trackers from 1.

    Returns:
        JPEG, and its width and height.
    """
    answers = {tracker: run.boxes[frame] for tracker, run in runs.items() if frame < len(run.boxes)}
    main = [answers[tracker] for tracker in answers if styles[tracker].main]
    canvas, scale, corner = view(image, [truth, *main])
    draw(canvas, (truth - corner) * scale, LIGHT, 3, rim=True)
    for number, (tracker, style) in sorted(enumerate(styles.items(), 1), key=lambda item: item[1][1].main):
        if tracker not in answers:
            continue
        states = runs[tracker].states
        draw(
            canvas,
            (answers[tracker] - corner) * scale,
            bgr(on_pictures(style)),
            width=3 if style.main else 2,
            rim=style.main,
            dashed=states is not None and states[frame : frame + 1] == [TrackState.LOST.value],
            label=str(number) if len(styles) > NUMBERED else "",
        )
    _, jpeg = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes(), (canvas.shape[1], canvas.shape[0])


def view(image: Image, boxes: list[Floats]) -> tuple[Image, float, Floats]:
    """The part of an image around some boxes, of the image's own proportions and `WIDTH` pixels wide.

    Returns:
        The picture; its pixels for one of the image; (x, y, 0, 0) of its upper left corner in the image.
    """
    height, width = image.shape[:2]
    known = np.array([box for box in boxes if np.isfinite(box).all()])
    low, high = np.zeros(2), np.array([width, height], np.float64)
    if len(known):
        low = np.clip(known[:, :2].min(0), 0, high)
        high = np.clip((known[:, :2] + known[:, 2:]).max(0), 0, high)
    share = float(max((high - low) / (width, height)) * MARGIN)  # of the image
    extent = np.ceil(np.clip(share, SMALLEST, 1) * np.array([width, height]))
    corner = np.clip(np.round((low + high - extent) / 2), 0, (width, height) - extent)
    (x, y), (w, h) = corner.astype(int), extent.astype(int)
    scale = WIDTH / w
    size = (WIDTH, max(1, round(h * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return (
        np.asarray(cv2.resize(image[y : y + h, x : x + w], size, interpolation=method), np.uint8),
        scale,
        np.array([x, y, 0.0, 0.0]),
    )


def on_pictures(style: Style) -> str:
    """A tracker's colour on pictures, where ink would often not be seen."""
    return MAIN if style.colour == INK else style.colour


def bgr(colour: str) -> Colour:
    """``#rrggbb`` in OpenCV's order."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return blue, green, red


def draw(
    canvas: Image, box: Floats, colour: Colour, width: int, rim: bool, dashed: bool = False, label: str = ""
) -> None:
    """Draw a box, with a dark rim that sets it off from any background if wanted; nothing for an absent one."""
    if not np.isfinite(box).all():
        return
    segments = list(outline(box, 8.0 if dashed else math.inf))
    for shade, thickness in ((DARK, width + 2), (colour, width))[0 if rim else 1 :]:
        for start, end in segments:
            cv2.line(canvas, _fixed(start), _fixed(end), shade, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    if label:
        corner = (round(box[0]) + 2, round(box[1]) + 10)
        for shade, thickness in ((DARK, 3), (colour, 1)):
            cv2.putText(canvas, label, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.35, shade, thickness, cv2.LINE_AA)


def outline(box: Floats, dash: float) -> Iterator[tuple[Point, Point]]:
    """The four sides of a box, or strokes of about the length `dash` with gaps as long along them."""
    x, y, w, h = (float(np.clip(value, -1e5, 1e5)) for value in box)
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        strokes = min(200, max(1, round((math.hypot(x2 - x1, y2 - y1) / dash + 1) / 2)))
        for stroke in range(0, 2 * strokes - 1, 2):
            a, b = stroke / (2 * strokes - 1), (stroke + 1) / (2 * strokes - 1)
            yield (x1 + a * (x2 - x1), y1 + a * (y2 - y1)), (x1 + b * (x2 - x1), y1 + b * (y2 - y1))


def _fixed(point: Point) -> tuple[int, int]:
    """A point in continuous pixels as OpenCV's fixed-point pixel index (the index is 0.5 less)."""
    return round((point[0] - 0.5) * 2**SUBPIXEL_BITS), round((point[1] - 0.5) * 2**SUBPIXEL_BITS)
