"""VOT's layout, with rotated ground truth as polygons.

``<root>/list.txt`` has the names of the sequences; ``<root>/<sequence>/groundtruth.txt`` has a region a frame, numbers
separated by commas: four corners (``x1,y1, … x4,y4``), a rectangle (``x,y,w,h``), or, where the target is absent,
``nan,nan,nan,nan`` or a single number. The frames lie in ``<sequence>/color/`` or, before 2017, in ``<sequence>/``;
the file ``sequence`` may name the frame rate. Coordinates are taken to count from 0, as VOT's Python toolkit draws a
region into arrays just as it stands in the file. From 2020 on the short-term ground truth is masks, which are refused
here: they are for VOT's own toolkit.

This reads VOT's data for one-pass evaluation; VOT's own measures, with resets, are its toolkit's.

Sources: Kristan et al., VOT challenges, https://www.votchallenge.net; formats as its toolkit reads them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.benchmark import Benchmark, Damaged
from benchmarks.datasets.reading import frames, require_frames, require_start
from benchmarks.sequence import Sequence

Floats = NDArray[np.float64]

YEARS = range(2013, 2020)  # rectangles and polygons; masks after that


def read(root: Path, name: str) -> Sequence:
    """One sequence; see `Benchmark.read`.

    Raises:
        Damaged: something is missing, a region is neither rectangle nor four corners, or ground truth and frames
            differ in length.
    """
    folder = root / name
    if not os.path.isdir(folder):
        raise Damaged(name, f"folder {folder}", "none")
    truth = folder / "groundtruth.txt"
    corners, rotated = _regions(truth, name)
    low, high = corners.reshape(-1, 4, 2).min(1), corners.reshape(-1, 4, 2).max(1)
    boxes = np.hstack([low, high - low])
    require_start(boxes, name, truth)
    images = "color" if os.path.isdir(folder / "color") else "."
    found = frames(folder, name, images)
    require_frames(found, len(boxes), name, f", one for each line of {truth}")
    return Sequence(name, boxes, found, polygons=corners if rotated else None, fps=_rate(folder / "sequence"))


def names_in(root: Path) -> list[str]:
    """The sequences that ``list.txt`` names.

    Raises:
        ValueError: it cannot be read, or names none.
    """
    path = root / "list.txt"
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}, the list of VOT's sequences: {error}") from error
    if not names:
        raise ValueError(f"{path} names no sequence")
    return names


def _regions(path: Path, name: str) -> tuple[Floats, bool]:
    """(N, 8) corners, NaN where the target is absent, and whether any region was given by its corners."""
    expected = f"x,y,w,h or four corners a line in {path}"
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(name, expected, f"cannot read it: {error}") from error
    if not lines:
        raise Damaged(name, expected, "an empty file")
    corners, rotated = np.full((len(lines), 8), np.nan), False
    for row, line in enumerate(lines):
        if line.startswith("m"):
            raise Damaged(name, expected, f"a mask in line {row + 1}; masks are for VOT's own toolkit")
        try:
            values = [float(value) for value in line.split(",")]
        except ValueError:
            values = []
        if len(values) not in (1, 4, 8):
            raise Damaged(name, expected, f"{line!r} in line {row + 1}")
        rotated |= len(values) == 8
        corners[row] = _corners(values)
    return corners, rotated


def _corners(values: list[float]) -> list[float]:
    if len(values) == 8:
        return values
    if len(values) == 1:  # a code for a frame without region
        return [np.nan] * 8
    x, y, w, h = values
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def _rate(path: Path) -> float | None:
    """Frames a second: ``fps=30`` in the file of a sequence's properties."""
    text = path.read_text(encoding="utf-8", errors="replace") if os.path.isfile(path) else ""
    rate = re.search(r"^fps\s*=\s*([\d.]+)", text, re.MULTILINE)
    return float(rate[1]) if rate else None


def _benchmark(year: int) -> Benchmark:
    return Benchmark(f"vot{year}", f"VOT{year}", f"VOT{year}", f"VOT{year}_ROOT", read, listing=names_in)


VOT = Benchmark("vot", "VOT", "VOT", "VOT_ROOT", read, listing=names_in)
VOT_YEARS = tuple(_benchmark(year) for year in YEARS)
