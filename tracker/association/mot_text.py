"""MOTChallenge text: detections read, tracks written, and the frame rate of a `seqinfo.ini`.

A line is ``frame, id, x, y, w, h, score, class, …`` with commas, semicolons, tabs or spaces between. Frames and pixels
count from 1 in the files and from 0 in everything that comes out of here. Of detections the id is not read, whatever it
is; of the class, which many detectors' files leave at −1, whole numbers are.
"""

from __future__ import annotations

import configparser
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tracker.association.detections import LARGEST_FRAME, UNKNOWN_CLASS, Detections, Floats, repair
from tracker.association.track import Track
from tracker.box import from_mot, to_mot

NEEDED = 6  # frame, id, x, y, w, h
READ = 8  # and score, class
SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")


def read_detections(path: str | os.PathLike[str], notes: list[str] | None = None) -> dict[int, Detections]:
    """Read a file of detections.

    Lines may stand in any order, frames may be missing, an empty file has no detections. What `repair` leaves out is
    left out; files of a long video would say so for many frames, so the messages are joined.

    Args:
        path: the file.
        notes: what was repaired is appended to it.

    Returns:
        Frame number, 0-based → its detections, by rising frame; frames without any are not in it.

    Raises:
        OSError: the file cannot be read.
        ValueError: fewer than six columns, what is not a number, a frame that is not a whole number from 1, a class
            that is not a whole number; the message names file and line.
    """
    path = Path(path)
    table = _table(path)
    frames = table[:, 0]
    found: dict[int, Detections] = {}
    repaired: list[str] = []
    order = np.argsort(frames, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(frames[order]) > 0]) if len(order) else np.empty(0, np.intp)
    for rows in np.split(order, starts[1:]):
        if len(rows):
            frame = int(frames[rows[0]]) - 1
            detections, messages = repair(frame, from_mot(table[rows, 2:6]), table[rows, 6], table[rows, 7])
            repaired += messages
            if len(detections):
                found[frame] = detections
    if notes is not None:
        notes += [f"{path}: {message}" for message in _joined(repaired)]
    return found


def read_frame_rate(path: str | os.PathLike[str]) -> float:
    """Frames per second by a ``seqinfo.ini``.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not say it, or not as a positive number.
    """
    parser = configparser.ConfigParser()
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8-sig", errors="replace"))
        rate = parser.getfloat("Sequence", "frameRate")
    except (configparser.Error, ValueError) as error:
        raise ValueError(f"{path}: expected frameRate=<frames per second> below [Sequence] ({error})") from error
    if not 0 < rate < math.inf:
        raise ValueError(f"{path}: frameRate is {rate:g}, expected a positive number")
    return rate


def write_tracks(path: str | os.PathLike[str], tracks: Iterable[Track], overwrite: bool = False) -> None:
    """Write tracks as MOTChallenge text, with −1 for what the format has and tracks do not.

    The format has no place for `Track.interpolated`.

    Raises:
        FileExistsError: the file exists and `overwrite` is not set.
        OSError: it cannot be written.
    """
    lines = []
    for track in tracks:
        boxes, frames = to_mot(track.xywh), (track.frames + 1).tolist()
        for frame, (x, y, w, h), score in zip(frames, boxes.tolist(), track.score.tolist(), strict=True):
            text = f"{frame},{track.id},{x:.3f},{y:.3f},{w:.3f},{h:.3f},{score:.6g},-1,-1,-1\n"
            lines.append((frame, track.id, text))
    lines.sort(key=lambda line: line[:2])
    with open(path, "w" if overwrite else "x", encoding="utf-8", newline="\n") as file:
        file.writelines(text for *_, text in lines)


def _table(path: Path) -> Floats:
    """(N, 8) numbers, checked where `repair` does not."""
    content = path.read_text(encoding="utf-8-sig", errors="replace")
    rows, lines = [], []
    for number, line in enumerate(content.split("\n"), 1):
        trimmed = line.strip(" \t\r,;")
        if trimmed:
            rows.append(_row(trimmed, path, number))
            lines.append(number)
    table = np.array(rows, np.float64).reshape(-1, READ)
    frames, classes = table[:, 0], table[:, 7]
    for column, wrong, expected in (
        (0, ~((frames >= 1) & (frames <= LARGEST_FRAME) & (frames == np.floor(frames))), "frames are whole, from 1"),
        (7, ~((np.abs(classes) <= LARGEST_FRAME) & (classes == np.floor(classes))), "classes are whole numbers"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{path}: line {lines[row]}: {expected}, got {table[row, column]:g}")
    return table


def _row(line: str, path: Path, number: int) -> list[float]:
    fields = SEPARATOR.split(line)[:READ]
    if len(fields) < NEEDED:
        raise ValueError(
            f"{path}: line {number} has {len(fields)} columns, expected frame,id,x,y,w,h and perhaps score,class"
        )
    try:
        values = [float(fields[0]), 0.0, *map(float, fields[2:])]  # the id may be anything
    except ValueError as error:
        raise ValueError(f"{path}: line {number} is not numbers: {error}") from error
    return values + [1.0, float(UNKNOWN_CLASS)][len(values) - NEEDED :]


def _joined(messages: list[str]) -> list[str]:
    """One message for each kind of repair, with the first frame and how many more."""
    kinds: dict[str, list[str]] = {}
    for message in messages:
        kinds.setdefault(message.split(", ")[1].split(" (")[0], []).append(message)
    return [
        found[0] + (f"; likewise in {len(found) - 1} other frames" if len(found) > 1 else "")
        for found in kinds.values()
    ]
