"""What the layouts have in common: frames and numbers of a sequence, or what is wrong with them (`Damaged`)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.benchmark import Damaged
from benchmarks.frames import Frames, ImageFrames, image_files, open_frames
from benchmarks.sequence import read_rows

Floats = NDArray[np.float64]


def numbers(path: Path, sequence: str, columns: int = 4) -> Floats:
    """(N, columns) numbers of a text file; a row is finite or, where the target is absent, NaN all over.

    Raises:
        Damaged: the file is missing or empty, or a line is not so many numbers.
    """
    expected = f"{columns} numbers a line in {path}"
    try:
        rows = read_rows(path, columns)
    except ValueError as error:
        raise Damaged(sequence, expected, _in_words(error)) from error
    partial = ~np.isfinite(rows).all(1) & ~np.isnan(rows).all(1)
    if partial.any():
        row = int(np.argmax(partial))
        raise Damaged(sequence, expected, f"{', '.join(map(str, rows[row]))} in line {row + 1}")
    return rows


def frames(folder: Path, sequence: str, images: str = "img", numbered: bool = True) -> Frames:
    """The frames of a sequence: images in a folder, or ``frames.mp4`` beside it.

    Args:
        folder: of the sequence.
        sequence: its name.
        images: folder of the images within it; "." if they lie in it.
        numbered: whether the images must be numbered without a gap.

    Raises:
        Damaged: there are none, or a number is missing.
    """
    try:
        if images == ".":
            files = tuple(image_files(folder))
            found: Frames = ImageFrames(files) if files else open_frames(folder)
        else:
            found = open_frames(folder, images)
    except (OSError, ValueError) as error:
        raise Damaged(sequence, f"images in {folder / images}/ or {folder / 'frames.mp4'}", _reason(error)) from error
    if not len(found):
        raise Damaged(sequence, f"images in {folder / images}/", "none")
    if numbered and isinstance(found, ImageFrames) and (gap := missing_numbers(found)):
        raise Damaged(sequence, f"images numbered without a gap in {folder / images}/", gap)
    return found


def missing_numbers(found: ImageFrames) -> str:
    """Which files are missing in between, in words; empty if none is, or if the names are no numbers."""
    stems = [file.stem for file in found.files]
    if not all(stem.isdecimal() for stem in stems):
        return ""
    present = {int(stem) for stem in stems}
    missing = sorted(set(range(min(present), max(present))) - present)
    if not missing:
        return ""
    first = f"{missing[0]:0{len(stems[0])}d}{found.files[0].suffix}"
    return f"{first} is missing" if len(missing) == 1 else f"{len(missing)} are missing, {first} first"


def require_start(boxes: Floats, sequence: str, path: Path) -> None:
    """Refuse ground truth that a tracker cannot be started with.

    Raises:
        Damaged: the first row is no box with an area.
    """
    if not (boxes[0, 2:] > 0).all():
        raise Damaged(sequence, f"a target in the first line of {path}", ", ".join(map(str, boxes[0])))


def require_frames(found: Frames, wanted: int, sequence: str, what: str) -> None:
    """Refuse another number of frames than there are rows, or than the benchmark has.

    Raises:
        Damaged: with both counts.
    """
    if len(found) != wanted:
        gap = missing_numbers(found) if isinstance(found, ImageFrames) else ""
        raise Damaged(sequence, f"{wanted} frames{what}", f"{len(found)}{gap and ', '}{gap}")


def _in_words(error: ValueError) -> str:
    """What `read_rows` found instead of numbers."""
    if isinstance(error.__cause__, OSError):
        return f"none ({error.__cause__.strerror})"
    if line := re.search(r"in line (\d+), found (.*)", str(error)):
        return f"{line[2]} in line {line[1]}"
    return "an empty file" if str(error).endswith("is empty") else str(error)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "neither"
