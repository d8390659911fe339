"""Stored results: what a tracker said of each frame, in files that the tools of OTB and got10k read too.

    <results>/<benchmark>/<tracker>/<sequence>.txt              x,y,w,h a frame, 1-based; the first row is the start box
    <results>/<benchmark>/<tracker>/times/<sequence>_time.txt   seconds a frame without decoding; the first row is init
    <results>/<benchmark>/<tracker>/states/<sequence>.csv       frame,score,state
    <results>/<benchmark>/<tracker>/settings.json               what the numbers depend on

The boxes of a sequence are written last and in one step: where they are, the sequence is done.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.box import from_otb, to_otb

Floats = NDArray[np.float64]

FORMAT = 1  # of a results folder
RECORD = "record"  # what results do not depend on: written down, never compared
STALE = 60.0  # seconds


@dataclass(frozen=True, eq=False)
class Run:
    """What one tracker said on one sequence of N frames.

    Attributes:
        boxes: (N, 4) boxes, 0-based pixels; the first is the one it was started with.
        seconds: (N,) time for each frame; the first is `init`. ``None`` where nobody stored it.
        scores: (N,) the tracker's own confidence; ``None`` where nobody stored it.
        states: N names of `tracker.TrackState`; ``None`` where nobody stored them.
    """

    boxes: Floats
    seconds: Floats | None = None
    scores: Floats | None = None
    states: list[str] | None = None


def store(folder: Path, name: str, run: Run) -> None:
    """Write one run into a tracker's folder; the boxes come last, since they say that it is complete."""
    if run.scores is not None and run.states is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["frame", "score", "state"])
        for frame, (score, state) in enumerate(zip(run.scores, run.states, strict=True)):
            writer.writerow([frame, f"{score:.4f}", state])
        replace_text(folder / "states" / f"{name}.csv", text.getvalue())
    if run.seconds is not None:
        replace_text(folder / "times" / f"{name}_time.txt", "".join(f"{value:.8f}\n" for value in run.seconds))
    lines = (",".join(f"{value:.3f}" for value in box) for box in to_otb(run.boxes))
    replace_text(folder / f"{name}.txt", "".join(f"{line}\n" for line in lines))


def load(folder: Path, name: str) -> Run:
    """Read one run back.

    Raises:
        FileNotFoundError: it was not stored.
        ValueError: a file of it is damaged; the message names it.
    """
    path = folder / f"{name}.txt"
    if not path.is_file():
        raise FileNotFoundError(f"no results of {name}: {path} is missing")
    boxes = from_otb(_numbers(path, ","))
    times, states = folder / "times" / f"{name}_time.txt", folder / "states" / f"{name}.csv"
    seconds = _numbers(times, None)[:, 0] if times.is_file() else None
    if not states.is_file():
        return Run(boxes, seconds)
    with open(states, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return Run(boxes, seconds, np.array([float(row["score"]) for row in rows]), [row["state"] for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{states}: expected frame,score,state in each line: {error}") from error


def is_stored(folder: Path, name: str, frames: int) -> bool:
    """Whether a tracker's folder holds this sequence.

    Raises:
        ValueError: it holds a run of another length.
    """
    path = folder / f"{name}.txt"
    if not path.exists():
        return False
    rows = len(path.read_text().splitlines())
    if rows != frames:
        raise ValueError(f"{path} has {rows} rows for {frames} frames; remove it or choose another --results")
    return True


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write down what a tracker's results depend on, or check that the stored ones depend on the same.

    Raises:
        ValueError: the folder holds results of other settings or of another format; the message names them.
    """
    path = folder / "settings.json"
    wanted = json.loads(json.dumps({"format": FORMAT, **settings}))  # as it will be read back
    if not path.exists():
        if next(folder.glob("*.txt"), None):
            raise ValueError(f"{folder} holds results, but no {path.name} says of what; choose another --results")
        replace_text(path, json.dumps(wanted, indent=1) + "\n")
        return
    stored = read_settings(folder)
    other = sorted(key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key))
    if found := ", ".join(f"{key} = {stored.get(key)!r}, now {wanted.get(key)!r}" for key in other if key != RECORD):
        raise ValueError(f"{folder} holds results of other settings ({found}); choose another --results")


def note(folder: Path, **facts: str) -> None:
    """Add what results do not depend on, such as the machine, to the record in a claimed folder's settings.

    Several values of a fact stand beside each other, so that results made in two places say so.
    """
    settings = read_settings(folder)
    record: dict[str, list[str]] = settings.get(RECORD, {})
    new = {key: [*record.get(key, []), value] for key, value in facts.items() if value not in record.get(key, [])}
    if new:
        text = json.dumps(settings | {RECORD: record | new}, indent=1)
        replace_text(folder / "settings.json", text + "\n")


def read_settings(folder: Path) -> dict[str, Any]:
    """What a tracker's results depend on, as `claim` and `note` wrote it.

    Raises:
        FileNotFoundError: nobody claimed the folder.
        ValueError: the file is damaged.
    """
    path = folder / "settings.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(settings).__name__}")
    return settings


def clean(folder: Path) -> None:
    """Remove what interrupted writes left in a tracker's folder; a write that is going on lasts no minute."""
    for path in folder.rglob(".*.partial"):
        try:
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
        except FileNotFoundError:  # its writer has finished
            continue


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step: it is there in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _numbers(path: Path, delimiter: str | None) -> Floats:
    try:
        return np.loadtxt(path, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: damaged results: {error}") from error
