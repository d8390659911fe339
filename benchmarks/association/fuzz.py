"""Hostile input for everything that association reads: nothing may crash, hang, grow, or give what it promises not to.

Each input follows from its number alone, so that what is found can be made again: ``found`` names kind and number, and
`check` does it once more. A `ValueError` is a refusal, as documented; any other exception is a finding, and so is a
result that breaks what the docstrings promise.
"""

from __future__ import annotations

import contextlib
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.mot import parse_rows
from tracker.association import (
    Detections,
    FlowAssociator,
    OnlineAssociator,
    Track,
    read_detections,
    repair,
    write_tracks,
)
from tracker.association.costs import Costs
from tracker.association.features import NAMES
from tracker.association.model import DETECTION_NAMES, AssociationModel
from tracker.association.smoothing import smooth
from tracker.association.trees import Trees

Floats = NDArray[np.float64]
T = TypeVar("T")

NASTY = (0.0, -0.0, 1.0, -1.0, 1e-300, 5e-324, 1e-9, 1e9, -1e9, 1e10, 1e18, 1e300, 1.8e308, np.nan, np.inf, -np.inf)
FIELDS: tuple[str, ...] = (
    "",
    "-",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e-400",
    "0",
    "-0",
    "-1",
    "1",
    "1.5",
    "2147483648",
    "4294967296",
)
FIELDS += (
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1e19",
    "٣",
    "1_0",
    "0x1",
    "a",
    '"',
    "#",
)
SEPARATORS = (",", ",", ",", ", ", ";", "\t", " ", ",,")
ENDS = ("\n", "\n", "\n", "\r\n", "\r", "\n\n", "\x00", "")
READABLE = 1e8
SLOW = 2.0  # seconds, beyond which an input hangs


@dataclass
class Tally:
    """What came of one kind of input.

    Attributes:
        inputs: how many were tried.
        refused: of them, with a ValueError.
        found: kind, number and what happened, of what should not have.
        slowest: seconds, and the number of the input.
        grown_mib: memory that the process took more at the end than after a tenth of the inputs.
        seconds: of all.
    """

    inputs: int = 0
    refused: int = 0
    found: list[str] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    grown_mib: float = 0.0
    seconds: float = 0.0


def tally_rows(tallies: dict[str, Tally]) -> list[list[str]]:
    """A table for readers."""
    rows = [["kind", "inputs", "refused", "found", "slowest ms", "grown MiB", "seconds"]]
    for kind, tally in tallies.items():
        counts = [str(tally.inputs), str(tally.refused), str(len(tally.found))]
        rows.append([kind, *counts, f"{1e3 * tally.slowest[0]:.1f}", f"{tally.grown_mib:.1f}", f"{tally.seconds:.0f}"])
    return rows


class Broken(AssertionError):
    """A result that is not what was promised."""


def fuzz(kind: str, inputs: int, first: int = 0, most: int = 20, slow: float = SLOW) -> Tally:
    """Try inputs of one kind.

    Args:
        kind: key of `KINDS`.
        inputs: how many.
        first: number of the first one.
        most: stop after so many findings.
        slow: seconds of the processor's time beyond which an input is a finding.
    """
    with contextlib.suppress(Exception):
        check(kind, first)  # what is compiled at its first use takes seconds, which are not the input's
    tally, early, begin = Tally(), 0.0, time.monotonic()
    for number in range(first, first + inputs):
        if tally.inputs == inputs // 10:
            early = _peak()
        before = time.process_time()
        tally.inputs += 1
        try:
            check(kind, number)
        except ValueError:
            tally.refused += 1
        except Exception as error:  # whatever it is, it is what is looked for
            tally.found.append(f"{kind} {number}: {type(error).__name__}: {error}")
        spent = time.process_time() - before
        tally.slowest = max(tally.slowest, (spent, number))
        if spent > slow:
            tally.found.append(f"{kind} {number}: took {spent:.1f} s")
        if len(tally.found) >= most:
            break
    tally.grown_mib, tally.seconds = _peak() - early, time.monotonic() - begin
    return tally


def check(kind: str, number: int) -> None:
    """Do one input.

    Raises:
        ValueError: it is refused.
        Broken: a result is not what was promised.
    """
    KINDS[kind](np.random.default_rng([sorted(KINDS).index(kind), number]))


def reader(random: Generator) -> None:
    """A file of detections."""
    text = hostile_text(random)
    with tempfile.NamedTemporaryFile(prefix="fuzz-") as file:
        file.write(text)
        file.flush()
        found = read_detections(file.name, [])
    _require(list(found) == sorted(found), "frames do not rise")
    for frame, detections in found.items():
        _require(detections.frame == frame >= 0, "frame and key differ")
        _check_boxes(detections)


def results(random: Generator) -> None:
    """A file of results or ground truth."""
    rows = parse_rows(hostile_text(random), "fuzz")
    _require(bool((np.diff(rows.frame) >= 0).all()), "frames do not rise")
    _require(bool(np.isfinite(rows.box).all()), "a box is not finite")
    _require(len({*zip(rows.frame.tolist(), rows.id.tolist(), strict=True)}) == len(rows), "an id twice in a frame")


def arrays(random: Generator) -> None:
    """Boxes, scores and classes as they come out of a detector."""
    n = int(random.integers(0, 12))
    xywh = hostile_boxes(random, n)
    score = random.choice([*NASTY, 0.3, 0.9], n) if random.random() < 0.8 else None
    classes = random.choice([-1, 0, 2**31, 2**53, -(2**63)], n) if random.random() < 0.5 else None
    if random.random() < 0.1:
        xywh = xywh[:, : int(random.integers(1, 4))]
    found, notes = repair(int(random.integers(-1, 5)), xywh, score, classes)
    _check_boxes(found)
    _require((len(found) < n) == bool(notes), "repaired without a word, or words without a repair")
    again, more = repair(found.frame, found.xywh, found.score, found.class_id)
    _require(len(again) == len(found) and not more, "what was repaired is not right yet")


def online(random: Generator) -> None:
    """A short video, frame by frame."""
    associator = OnlineAssociator(MODEL, frame_rate=_pick(random, (0.1, 7.0, 30.0, 1000.0)))
    owners: dict[int, int] = {}
    for detections in hostile_video(random):
        ids = associator.update(detections)
        _require(ids.shape == (len(detections),), "ids are not aligned")
        real = ids[ids >= 0]
        _require(bool((ids >= -1).all()) and 0 not in ids, "an id that is none")
        _require(len(set(real.tolist())) == len(real), "an id twice in a frame")
        for number, category in zip(ids.tolist(), detections.class_id.tolist(), strict=True):
            _require(number < 0 or owners.setdefault(number, category) == category, "a track of two classes")


def flow(random: Generator) -> None:
    """A short video, at once or in windows."""
    video = {detections.frame: detections for detections in hostile_video(random)}
    window = 4.0 if random.random() < 0.3 else None
    rate = _pick(random, (0.1, 7.0, 30.0))
    tracks = FlowAssociator(MODEL, frame_rate=rate, window=window, smooth=False).run(video)
    for steady in smooth(tracks):
        _require(bool(np.isfinite(steady.xywh).all()), "a smoothed box that is not finite")
        _require(bool((steady.xywh[:, 2:] > 0).all()), "a smoothed box without a side")
    used = set()
    for track in tracks:
        _require(len(track) > 0, "a track without boxes")
        _require(bool(np.isfinite(track.xywh).all()), "a box that is not finite")
        for frame, box, added in zip(track.frames.tolist(), track.xywh, track.interpolated.tolist(), strict=True):
            if not added:
                of_frame = video[frame]
                places = np.flatnonzero((of_frame.xywh == box).all(1) & (of_frame.class_id == track.class_id))
                _require(len(places) == 1, "a box that was not detected")
                key = frame, int(places[0])
                _require(key not in used, "a detection of two tracks")
                used.add(key)
    _written(random, tracks)


def _written(random: Generator, tracks: list[Track]) -> None:
    """Tracks that are written are read as they were, where the format's readers take such numbers."""
    if any((abs(track.xywh) >= READABLE).any() or (abs(track.score) >= READABLE).any() for track in tracks):
        return
    with tempfile.NamedTemporaryFile(prefix="fuzz-") as file:
        write_tracks(file.name, tracks, overwrite=True)
        rows = parse_rows(Path(file.name).read_bytes(), "written")
    _require(len(rows) == sum(map(len, tracks)), "written and read differ")


KINDS: dict[str, Callable[[Generator], None]] = {
    "reader": reader,
    "results": results,
    "arrays": arrays,
    "online": online,
    "flow": flow,
}


def hostile_text(random: Generator) -> bytes:
    """Lines of numbers, some of them not; now and then bytes that are no text."""
    end = _pick(random, ENDS)
    lines = []
    for _ in range(int(random.integers(0, 8))):
        frame, id, x, y = random.integers(1, 6), random.integers(-1, 4), *random.integers(-50, 500, 2)
        fields = [str(value) for value in (frame, id, x, y, *random.integers(0, 90, 2), random.random(), -1, -1, -1)]
        for _ in range(int(random.integers(0, 3))):
            fields[int(random.integers(0, len(fields)))] = _pick(random, FIELDS)
        if random.random() < 0.1:
            fields = fields[: int(random.integers(0, 10))]
        lines.append(_pick(random, SEPARATORS).join(fields))
    if lines and random.random() < 0.2:
        lines.append(lines[0])
    text = bytearray(end.join(lines).encode())
    if random.random() < 0.1:
        text[:0] = b"\xef\xbb\xbf"
    for _ in range(int(random.integers(0, 3)) if random.random() < 0.2 else 0):
        text.insert(int(random.integers(0, len(text) + 1)), int(random.integers(0, 256)))
    return bytes(text)


def _pick(random: Generator, values: Sequence[T]) -> T:
    """One of them; an array's `choice` is slow for few."""
    return values[int(random.integers(len(values)))]


def hostile_boxes(random: Generator, n: int) -> Floats:
    """Boxes of people, among them such as no detector should give."""
    boxes = np.column_stack([random.uniform(0, 600, (n, 2)), random.uniform(10, 60, (n, 1)), random.uniform(30, 90, n)])
    if n and random.random() < 0.3:
        boxes[random.integers(0, n)] = boxes[random.integers(0, n)]
    strange = random.random((n, 4)) < _pick(random, (0.0, 0.02, 0.3, 1.0))
    boxes[strange] = random.choice(NASTY, np.count_nonzero(strange))
    return boxes


def hostile_video(random: Generator) -> Iterator[Detections]:
    """Frames with gaps of any length between, crowds that stand still, jump, vanish or are all the same."""
    frame, n = _pick(random, (0, 0, 0, 10**6, 2**40, 2**53 - 40)), int(random.integers(0, 8))
    still = random.random() < 0.3
    boxes = hostile_boxes(random, n)
    for _ in range(int(random.integers(1, 12))):
        if random.random() < 0.15:
            n = int(random.integers(0, 8))
            boxes = hostile_boxes(random, n)
        moved = boxes if still else boxes + np.column_stack([random.normal(0, 3, (n, 2)), np.zeros((n, 2))])
        score = random.choice([*NASTY[:12], 0.3, 0.9], n)
        classes = random.integers(-1, 2, n) if random.random() < 0.3 else None
        yield repair(frame, moved, score, classes)[0]
        frame += _pick(random, (1, 1, 1, 2, 30, 10**4, 2**33))


def _model() -> AssociationModel:
    """A model that needs no training: who is near where a track leads is the same, sure detections are real."""
    missing_left = 2 << 2 | 2
    pair = _stump(NAMES, "forward_error", 0.6, missing_left, 3.0, -3.0)
    detection = _stump(DETECTION_NAMES, "score", 0.5, missing_left, -0.5, 2.0)
    return AssociationModel(pair, detection, costs=Costs(entry=0.1, exit=0.1))


def _stump(names: tuple[str, ...], name: str, threshold: float, kind: int, low: float, high: float) -> Trees:
    whole = [np.array([value], np.int64) for value in (0, names.index(name), kind, -1, -2)]
    root, feature, decision, left, right = whole
    return Trees(names, root, feature, np.array([threshold]), decision, left, right, np.array([low, high]))


MODEL = _model()


def _check_boxes(detections: Detections) -> None:
    _require(bool(np.isfinite(detections.xywh).all()), "a box that is not finite")
    _require(bool((detections.xywh[:, 2:] > 0).all()), "a box without a size")
    _require(bool(np.isfinite(detections.score).all()), "a score that is not finite")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def _peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
