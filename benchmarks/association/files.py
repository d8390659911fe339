"""Files of a comparison: detections and tracks as MOTChallenge text, and beside each tracker's what made them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mot import Rows, parse_rows
from benchmarks.mot.text import read_length
from tracker.box import to_mot

RECORD = "run.json"


def read_detections(path: Path) -> Rows:
    """Detections of one sequence; each gets an identity of its own, by its line.

    Boxes that are not finite, or without a positive width and height, are left out, as the peers cannot take them.

    Raises:
        OSError: the file cannot be read.
        ValueError: something in it is wrong; the message names file and line.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    numbered = []
    for number, line in enumerate(filter(str.strip, lines)):
        frame, _, *others = line.split(",")
        numbered.append(",".join([frame, str(number), *others]))
    rows = parse_rows("\n".join(numbered).encode(), str(path))
    good = (rows.box[:, 2:] > 0).all(1)
    parts = (getattr(rows, name)[good] for name in ("frame", "id", "box", "score", "category", "line"))
    return Rows(rows.source, *parts)


def write_rows(path: Path, rows: Rows) -> None:
    """MOTChallenge text, complete or not at all."""
    table = np.column_stack([to_mot(rows.box), rows.score])
    write_text(
        path,
        "".join(
            f"{frame},{id},{x:.3f},{y:.3f},{w:.3f},{h:.3f},{score:.6f},-1,-1,-1\n"
            for frame, id, (x, y, w, h, score) in zip((rows.frame + 1).tolist(), rows.id.tolist(), table, strict=True)
        ),
    )


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole, so that no reader and no interruption ever leaves half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def read_record(folder: Path) -> dict[str, Any]:
    """What made the files of a tracker's folder; empty if nothing is stored.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); remove {folder} and run again") from error
    return record


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Replace it."""
    write_text(folder / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")


def length(root: Path, sequence: str) -> int:
    """Frames of a sequence, by its ``seqinfo.ini``.

    Raises:
        ValueError: there is none.
    """
    path = root / sequence / "seqinfo.ini"
    frames = read_length(path)
    if frames is None:
        raise ValueError(f"{path}: no such file; it says how many frames the sequence has")
    return frames


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of a folder of results.

    Raises:
        ValueError: another one is in it.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another run is writing there") from None
        yield
