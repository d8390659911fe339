"""A sequence: the frames of a video and the ground truth of one target in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.frames import Frames
from tracker.result import Box

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sequence:
    """N frames and one target.

    Attributes:
        name: as results files are called.
        boxes: (N, 4) ground truth ``(x, y, w, h)``, 0-based pixels; NaN in a row: the target is absent (or, if
            `hidden`, the box is not published).
        frames: N frames.
        start: box that a tracker is started with, where it is not the first ground truth (SRE).
        polygons: (N, 8) corners x1, y1 … x4, y4 of rotated ground truth; `boxes` are the boxes around them.
        attributes: what makes it hard, in the benchmark's own abbreviations.
        fps: frames a second, where known.
        hidden: the ground truth beyond the first frame is kept by a server.
        size: width and height of the frames, where the scoring needs them (GOT-10k).
    """

    name: str
    boxes: Floats
    frames: Frames
    start: Box | None = None
    polygons: Floats | None = None
    attributes: frozenset[str] = frozenset()
    fps: float | None = None
    hidden: bool = False
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or len(self.boxes) != len(self.frames):
            raise ValueError(
                f"{self.name}: expected a box for each of {len(self.frames)} frames, found ground truth of shape "
                f"{self.boxes.shape}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def first_box(self) -> Box:
        """The box a tracker is started with."""
        x, y, w, h = (float(value) for value in (self.boxes[0] if self.start is None else self.start))
        return x, y, w, h

    def part(self, start: int, stop: int | None = None) -> Sequence:
        """Frames `start` … `stop` − 1 (to the end if ``None``) as a sequence of the same name."""
        stop = len(self) if stop is None else min(stop, len(self))
        polygons = None if self.polygons is None else self.polygons[start:stop]
        return replace(self, boxes=self.boxes[start:stop], frames=self.frames.part(start, stop), polygons=polygons)


def read_rows(path: Path, columns: int) -> Floats:
    """Numbers of a text file, (N, columns), separated by commas, tabs, semicolons or spaces; ``nan`` is a number.

    Blank lines at the end are ignored.

    Raises:
        ValueError: the file is missing, empty, or has a line that is not so many numbers; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ValueError(f"{path.parent.name}: cannot read {path}: {reason}") from error
    if not lines:
        raise ValueError(f"{path.parent.name}: {path} is empty")
    return parse_lines(lines, columns, f"{path.parent.name}: {path}")


def parse_lines(lines: list[str], columns: int, source: str) -> Floats:
    """Numbers of lines of text, (N, columns), separated as in `read_rows`.

    Raises:
        ValueError: a line is not so many numbers; the message names `source` and the line.
    """
    rows = np.empty((len(lines), columns))
    for number, line in enumerate(lines):
        try:
            values = [float(value) for value in re.split(r"[,;\s]+", line.strip(" ,;\t\r"))]
            if len(values) != columns:
                raise ValueError
        except ValueError:
            message = f"{source}: expected {columns} numbers in line {number + 1}, found {line[:80]!r}"
            raise ValueError(message) from None
        rows[number] = values
    return rows
