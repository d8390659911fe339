"""MOTChallenge text: ground truth and results of multi-object tracking, read, checked and converted at this edge.

A line is ``frame, id, x, y, w, h, score, class, …`` with commas, semicolons, tabs or spaces between; what is behind the
class is not read. In ground truth the score is a flag: 0 marks a box that does not count. Frames and pixels count from
1 in the files and from 0 in everything returned here.

What is wrong in a file is refused or repaired, never guessed:

- Refused, with file and line: fewer than six columns, what is not a finite number, frames below 1 or behind the end of
  the sequence, ids below 0 or beyond 64 bits, frames and ids that are not whole, one id twice in a frame.
- Repaired, with a note: a row that repeats another one counts once; a box without a positive width and height stays,
  and overlaps with nothing: it is a miss, or a false alarm.
- Nothing special: lines in any order, frames without boxes, gaps in numbering, blank lines, lines of more or fewer
  columns, a byte order mark, an empty file.
"""

from __future__ import annotations

import configparser
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.plain_numbers import parse_plain
from tracker.box import from_mot

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NEEDED = 6  # frame, id, x, y, w, h
DEFAULTS = (1.0, -1.0)  # score, class
READ = NEEDED + len(DEFAULTS)
EXACT = 2**53  # whole numbers below are exact in a float
LARGEST = 1e9  # pixels; far beyond any image, and areas are finite
SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")


@dataclass(frozen=True, eq=False)
class Rows:
    """Boxes of one sequence, N of them, by rising frame and within a frame in the order of the file.

    Attributes:
        source: the file, for messages.
        frame: (N,) from 0.
        id: (N,) from 0; one occurs at most once in a frame.
        box: (N, 4) ``(x, y, w, h)`` in 0-based pixels.
        score: (N,) confidence; in ground truth 0 marks what does not count.
        category: (N,) class; below 1 where the file has none.
        line: (N,) line in the file, from 1.
        notes: what was repaired.
    """

    source: str
    frame: Integers
    id: Integers
    box: Floats
    score: Floats
    category: Integers
    line: Integers
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)


def read_rows(path: Path, frames: int | None = None) -> Rows:
    """Read a file of ground truth or results.

    Args:
        path: the file.
        frames: how many the sequence has, where that is known.

    Raises:
        OSError: the file cannot be read.
        ValueError: something in it is wrong; the message names file and line.
    """
    return parse_rows(path.read_bytes(), str(path), frames)


def read_length(path: Path) -> int | None:
    """Number of frames by a ``seqinfo.ini``; ``None`` where there is no such file.

    Raises:
        ValueError: the file does not say it.
    """
    if not path.is_file():
        return None
    parser = configparser.ConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig", errors="replace"))
        frames = parser.getint("Sequence", "seqLength")
    except (configparser.Error, ValueError) as error:
        raise ValueError(f"{path}: expected seqLength=<frames> below [Sequence] ({error})") from error
    if frames < 0:
        raise ValueError(f"{path}: seqLength is {frames}")
    return frames


def parse_rows(content: bytes, source: str, frames: int | None = None) -> Rows:
    """Rows of a file's content; see `read_rows`."""
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    table, line = _numbers(content, source)
    frame = _whole(table[:, 0], line, source, "frame")
    _refuse(frame < 1, line, source, "frames count from 1", frame)
    if frames is not None:
        _refuse(frame > frames, line, source, f"the sequence has {frames} frames", frame, "frame")
    ids = _identities(table[:, 1], line, source, content)
    if not (frame[1:] >= frame[:-1]).all():
        order = np.argsort(frame, kind="stable")
        table, line, frame, ids = table[order], line[order], frame[order], ids[order]
    notes = []
    kept, repeated = _without_repetitions(table, line, frame, ids, source)
    if repeated:
        notes.append(f"{source}: {repeated}")
        table, line, frame, ids = table[kept], line[kept], frame[kept], ids[kept]
    flat = (table[:, 4:6] <= 0).any(1)
    if flat.any():
        count, first = np.count_nonzero(flat), line[flat].min()
        notes.append(f"{source}: {count} boxes without a positive width and height match nothing (first: line {first})")
    return Rows(
        source,
        frame - 1,
        ids,
        from_mot(table[:, 2:6]),
        table[:, 6],
        table[:, 7].astype(np.int64),
        line,
        tuple(notes),
    )


def _numbers(content: bytes, source: str) -> tuple[Floats, Integers]:
    """(N, 8) numbers with defaults where columns are missing, and their lines: fast where the text is plain."""
    if not content.strip():
        return np.empty((0, READ)), np.empty(0, np.int64)
    first = content[: content.find(b"\n")] if b"\n" in content else content
    columns = len(SEPARATOR.split(_trimmed(first.decode("utf-8", "replace"))))
    table = parse_plain(content.rstrip(b"\n"), columns) if columns >= NEEDED else None
    if table is None and b"\n\n" not in content:  # numpy passes over blank lines, and lines would be counted wrong
        try:
            table = np.loadtxt(io.BytesIO(content), delimiter=",", comments=None, ndmin=2)
        except ValueError:
            table = None
    if table is None or table.shape[1] < NEEDED:
        table, line = _line_by_line(content.decode("utf-8", "replace"), source)
    else:
        line = np.arange(1, len(table) + 1)
    missing = READ - table.shape[1]
    if missing > 0:
        table = np.concatenate([table, np.tile(DEFAULTS[-missing:], (len(table), 1))], axis=1)
    table = table[:, :READ]
    _refuse(~np.isfinite(table).all(axis=1), line, source, "expected finite numbers")
    _refuse((abs(table[:, 2:6]) > LARGEST).any(1), line, source, "the box is not in pixels")
    _refuse((abs(table[:, 6:]) > EXACT).any(1), line, source, "score or class is too large")
    return table, line


def _line_by_line(text: str, source: str) -> tuple[Floats, Integers]:
    """The same slowly, with what is wrong said; (N, 8)."""
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not (trimmed := _trimmed(line)):
            continue
        fields = SEPARATOR.split(trimmed)[:READ]
        if len(fields) < NEEDED:
            raise ValueError(
                f"{source}: line {number} has {len(fields)} columns, expected frame,id,x,y,w,h and perhaps score,class"
            )
        try:
            values = [float(field) for field in fields]
        except ValueError as error:
            raise ValueError(f"{source}: line {number} is not numbers: {error}") from error
        rows.append([*values, *DEFAULTS[len(DEFAULTS) - READ + len(values) :]] if len(values) < READ else values)
        lines.append(number)
    return np.array(rows).reshape(-1, READ), np.array(lines, np.int64)


def _trimmed(line: str) -> str:
    return line.strip(" \t\r,;")


def _identities(values: Floats, line: Integers, source: str, content: bytes) -> Integers:
    """Ids, read again digit by digit where a float does not hold them."""
    negative = values < 0
    if negative.any():
        hint = "; -1 stands in files of detections, which have no identities" if (values[negative] == -1).any() else ""
        _refuse(negative, line, source, f"ids count from 0{hint}", values, "id")
    if not (values >= EXACT).any():
        return _whole(values, line, source, "id")
    texts = content.decode("utf-8", "replace").split("\n")
    ids = np.empty(len(line), np.int64)
    for row, number in enumerate(line):
        field = SEPARATOR.split(_trimmed(texts[number - 1]))[1]
        try:
            ids[row] = int(field) if field.isdecimal() else int(float(field))
        except OverflowError as error:
            raise ValueError(f"{source}: line {number}: id {field} is beyond 64 bits") from error
    return ids


def _without_repetitions(
    table: Floats, line: Integers, frame: Integers, ids: Integers, source: str
) -> tuple[NDArray[np.bool_], str]:
    """Which rows to keep where an id occurs twice in a frame, and what to say of it.

    Raises:
        ValueError: rows of one frame and id differ.
    """
    order = np.lexsort((ids, frame))
    again = (np.diff(frame[order]) == 0) & (np.diff(ids[order]) == 0)
    kept = np.ones(len(table), np.bool_)
    if not again.any():
        return kept, ""
    first, second = order[:-1][again], order[1:][again]
    differ = (table[first] != table[second]).any(1)
    if differ.any():
        a, b = first[differ][0], second[differ][0]
        raise ValueError(
            f"{source}: lines {line[a]} and {line[b]} both have id {ids[a]} in frame {frame[a]}, with other values; "
            "an object has one box in a frame"
        )
    kept[second] = False
    return kept, f"{len(second)} rows repeat another one and count once (first: line {line[second].min()})"


def _whole(values: Floats, line: Integers, source: str, what: str) -> Integers:
    _refuse((values != np.floor(values)) | (abs(values) > EXACT), line, source, "expected a whole number", values, what)
    return values.astype(np.int64)


def _refuse(
    wrong: ArrayLike,
    line: Integers,
    source: str,
    reason: str,
    values: Floats | Integers | None = None,
    what: str = "frame",
) -> None:
    """Raise for the first row that is wrong, if there is one."""
    if np.any(wrong):
        row = int(np.argmax(wrong))
        value = "" if values is None else f": {what} {values[row]:g}"
        raise ValueError(f"{source}: line {line[row]}{value}: {reason}")
