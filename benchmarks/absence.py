"""Clips in which the target is away for seconds and comes back elsewhere, composed from real footage.

    python -m benchmarks.absence --data ../shared/data/video --tracker compact plain=compact,redetect_every=0
    python -m benchmarks.absence --data ../shared/data/video --tracker compact --minutes 10 --sequences TLD/car VOT/book

A clip is one sequence seen through a still window: it plays, its target is away for 3 to 10 seconds, and it plays on
through another window, mirrored or not, chosen so that the target comes back as far as possible from where it left. All
pixels are the video's own. While the target is away, the clip shows one of three things:

- elsewhere: a part of the same scene that does not show the target, as if the camera looked there;
- erased: the same window with the target painted over by what lies beside it, as if it had gone behind something;
- foreign: another sequence, as after a cut.

Ground truth is exact: the sequence's own boxes seen through the windows, NaN while the target is away.

With ``--minutes`` each sequence becomes one long video with ``--absences``, each of a kind drawn by lot. Between them a
part of the sequence plays forwards and backwards, each time another part through another window.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from collections.abc import Sequence as ListOf
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import read_sequence
from benchmarks.frames import Frames
from benchmarks.holdout import HOLDOUT
from benchmarks.metrics import success_auc
from benchmarks.one_pass import one_pass
from benchmarks.results import Run
from benchmarks.sequence import Sequence
from benchmarks.trackers import TrackerSpec, check_names
from tracker.arguments import positive, setting
from tracker.box import overlap
from tracker.result import TrackState

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

KINDS = ("elsewhere", "erased", "foreign")
AWAY = (75, 250)  # frames: 3 to 10 s at 25 a second
SHOWN = (25, 75)  # frames before and after the absence
SOON = 25  # frames: one second
FPS = 25  # at which all of it plays
LONG_PART = 150  # frames of the sequence at most that play to and fro in a long video
SHARE = 0.7  # of the frame's width and height in the window, where the target stays in so small a one
MARGIN = 0.2  # shares of the target's box that must be out of sight with it


# ---------------------------------------------------------------- composing


@dataclass(frozen=True)
class Window:
    """A rectangle of a frame, shown mirrored or not.

    Attributes:
        left, top, width, height: in pixels of the frame.
        mirror: left and right are exchanged.
    """

    left: int
    top: int
    width: int
    height: int
    mirror: bool = False

    def boxes(self, boxes: Floats) -> Floats:
        """(N, 4) boxes of the frame as they are seen."""
        x, y, w, h = boxes.T
        across = self.left + self.width - x - w if self.mirror else x - self.left
        return np.column_stack([across, y - self.top, w, h])

    def contains(self, boxes: Floats) -> bool:
        """Whether all boxes lie in it."""
        x, y, w, h = self.boxes(boxes).T
        return bool(((x >= 0) & (y >= 0) & (x + w <= self.width) & (y + h <= self.height)).all())

    def free_of(self, boxes: Floats) -> Bools:
        """(N,) whether nothing of a box, with `MARGIN` around it, lies in it; true where there is no box."""
        x, y, w, h = boxes.T
        apart_x = (x - MARGIN * w >= self.left + self.width) | (x + (1 + MARGIN) * w <= self.left)
        apart_y = (y - MARGIN * h >= self.top + self.height) | (y + (1 + MARGIN) * h <= self.top)
        return np.asarray(apart_x | apart_y | ~np.isfinite(boxes).all(1))

    def see(self, image: Image, size: tuple[int, int]) -> Image:
        """What it shows of a frame, at (width, height) of `size`."""
        seen = image[self.top : self.top + self.height, self.left : self.left + self.width]
        seen = seen[:, ::-1] if self.mirror else seen
        if size != (self.width, self.height):
            seen = np.asarray(cv2.resize(np.ascontiguousarray(seen), size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return np.ascontiguousarray(seen)


@dataclass(frozen=True)
class Shot:
    """So many frames of a sequence; where they are more than it has, from its beginning again, or to and fro.

    Attributes:
        frames: of the sequence.
        window: what is seen of them.
        size: (width, height) that it is shown at.
        count: number of frames.
        hidden: rows of ``(x, y, w, h)``, one a frame, of what is painted over; none: nothing is.
        swing: it plays backwards and forwards again from its end on.
    """

    frames: Frames
    window: Window
    size: tuple[int, int]
    count: int
    hidden: tuple[tuple[float, ...], ...] = ()
    swing: bool = False

    def __iter__(self) -> Iterator[Image]:
        return islice(self._forever(), self.count)

    def _forever(self) -> Iterator[Image]:
        if self.swing:
            seen = [self.window.see(frame, self.size) for frame in self.frames]
            yield from (seen[index] for index in _to_and_fro(len(seen)))
        while True:
            painted = None
            for index, frame in enumerate(self.frames):
                box = np.array(self.hidden[index]) if self.hidden else np.full(4, np.nan)
                covered = without_target(frame, box) if np.isfinite(box).all() else frame
                painted = covered if covered is not None else painted  # no room beside it: the picture stands still
                if painted is not None:
                    yield self.window.see(painted, self.size)


def _to_and_fro(count: int) -> Iterator[int]:
    """0, 1, …, count − 1, count − 2, …, 1, 0, 1, … for ever."""
    return cycle([*range(count), *range(count - 2, 0, -1)])


@dataclass(frozen=True)
class Shots:
    """Shots one after another, as a sequence's frames."""

    shots: tuple[Shot, ...]
    start: int = 0
    stop: int = sys.maxsize

    def __len__(self) -> int:
        return min(self.stop, sum(shot.count for shot in self.shots)) - self.start

    def __iter__(self) -> Iterator[Image]:
        every = (frame for shot in self.shots for frame in shot)
        return islice(every, self.start, self.start + len(self))

    def at(self, index: int) -> Image:
        return next(iter(self.part(index, index + 1)))

    def part(self, start: int, stop: int) -> Shots:
        return Shots(self.shots, self.start + start, min(self.start + stop, self.start + len(self)))


def compose(sequence: Sequence, foreign: Sequence, kind: str, seed: int = 0) -> Sequence:
    """A clip of one sequence with one long absence.

    Args:
        sequence: whose target it is.
        foreign: what is shown meanwhile, if `kind` says so.
        kind: of `KINDS`; a target that never leaves room for "elsewhere" is erased instead.
        seed: of all that is drawn by lot: which part of the sequence, how long the target is away, which windows.

    Returns:
        A sequence whose name says what it is: ``<sequence>-<kind>-<seed>``.

    Raises:
        ValueError: an unknown kind, a target that is nowhere in sight for 2 × 25 frames, or one that is to be erased
            and leaves no room beside it in any frame.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of absence {kind!r}; there are {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    start, half = _shown(sequence, rng)
    boxes = sequence.boxes
    before, after = boxes[start : start + half], boxes[start + half : start + 2 * half]
    first, second = _windows(_size(sequence), before, after, rng)
    size, count = (first.width, first.height), int(rng.integers(AWAY[0], AWAY[1] + 1))
    away = _away(sequence, foreign, kind, first, count)
    shots = (
        Shot(sequence.frames.part(start, start + half), first, size, half),
        away,
        Shot(sequence.frames.part(start + half, start + 2 * half), second, size, half),
    )
    truth = np.vstack([first.boxes(before), np.full((count, 4), np.nan), second.boxes(after)])
    return Sequence(f"{sequence.name}-{kind}-{seed}", truth, Shots(shots), fps=sequence.fps)


def compose_long(
    sequence: Sequence,
    foreign: Sequence,
    minutes: float,
    absences: int,
    kinds: ListOf[str] = KINDS,
    seed: int = 0,
) -> Sequence:
    """A long video of one sequence with many absences; the target comes back as far as can be from where it left.

    Args:
        sequence, foreign, seed: as for `compose`.
        minutes: how long, at `FPS`.
        absences: how often the target is away.
        kinds: of absences, of `KINDS`.

    Returns:
        A sequence with the name ``<sequence>-long-<seed>``.

    Raises:
        ValueError: so many absences leave no second for the target in between, or as in `compose`.
    """
    rng = np.random.default_rng([seed, len(KINDS)])
    lengths = rng.integers(AWAY[0], AWAY[1] + 1, absences)
    frames = round(minutes * 60 * FPS)
    edges = np.linspace(0, frames - lengths.sum(), absences + 2).round().astype(int)
    if np.diff(edges).min() < SHOWN[0]:
        raise ValueError(f"{absences} absences of {AWAY[0]} to {AWAY[1]} frames do not fit into {minutes:g} minutes")
    parts = [_shown(sequence, rng, LONG_PART // 2) for _ in range(absences + 1)]
    boxes = [sequence.boxes[start : start + 2 * half] for start, half in parts]
    choices = _all_windows(_size(sequence), boxes)
    shots: list[Shot] = []
    truth: list[Floats] = []
    for (start, half), own, windows, count in zip(parts, boxes, choices, np.diff(edges), strict=True):
        if shots:
            kind, away = kinds[int(rng.integers(len(kinds)))], int(lengths[len(shots) // 2])
            shots.append(_away(sequence, foreign, kind, shots[-1].window, away))
            left = _centre(truth[-1][-1:])
            truth.append(np.full((away, 4), np.nan))
            distances = np.array([np.hypot(*(_centre(window.boxes(own[:1])) - left)) for window in windows])
            windows = [windows[index] for index in np.flatnonzero(distances >= 0.9 * distances.max())]
        window = windows[int(rng.integers(len(windows)))]
        size = (window.width, window.height)
        shots.append(Shot(sequence.frames.part(start, start + 2 * half), window, size, int(count), swing=True))
        truth.append(window.boxes(own)[list(islice(_to_and_fro(len(own)), int(count)))])
    return Sequence(f"{sequence.name}-long-{seed}", np.vstack(truth), Shots(tuple(shots)), fps=sequence.fps)


def _away(sequence: Sequence, foreign: Sequence, kind: str, window: Window, count: int) -> Shot:
    """What is shown for `count` frames while the target is away, at the size of `window`, where it left."""
    size = (window.width, window.height)
    if kind == "foreign":
        return Shot(foreign.frames, _fitting(_size(foreign), size), size, count)
    whole = _size(sequence)
    elsewhere = _elsewhere(sequence, whole, size, count) if kind == "elsewhere" else None
    if elsewhere is None and not any(_can_be_erased(whole, box) for box in sequence.boxes):
        raise ValueError(f"{sequence.name}: its target leaves no room beside it to cover it with, in any frame")
    hidden = tuple(tuple(row) for row in sequence.boxes.tolist())
    return elsewhere or Shot(sequence.frames, window, size, count, hidden)


def _can_be_erased(size: tuple[int, int], box: Floats) -> bool:
    """Whether `without_target` has an answer for a (width, height), or there is no target."""
    return not np.isfinite(box).all() or _beside(size, box) is not None


def _size(sequence: Sequence) -> tuple[int, int]:
    """(width, height) of its frames."""
    height, width = sequence.frames.at(0).shape[:2]
    return width, height


def _shown(sequence: Sequence, rng: np.random.Generator, most: int = SHOWN[1]) -> tuple[int, int]:
    """First frame and half the length of the part that is shown, all of which shows the target."""
    visible = np.isfinite(sequence.boxes).all(1)
    edges = np.flatnonzero(np.diff(visible.astype(int), prepend=0, append=0))
    runs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= 2 * SHOWN[0]]
    if not runs:
        raise ValueError(f"{sequence.name}: its target is nowhere in sight for {2 * SHOWN[0]} frames together")
    begin, end = runs[int(rng.choice(len(runs), p=np.array([b - a for a, b in runs]) / sum(b - a for a, b in runs)))]
    half = min((end - begin) // 2, most)
    return begin + int(rng.integers(end - begin - 2 * half + 1)), half


def _windows(size: tuple[int, int], before: Floats, after: Floats, rng: np.random.Generator) -> tuple[Window, Window]:
    """Two windows of one size that hold the target, in which it leaves and comes back (nearly) as far apart as can be.

    They are as small as the target's path allows, at least `SHARE` of the frame.
    """
    firsts, seconds = _all_windows(size, [before, after])
    leaves = np.array([_centre(window.boxes(before[-1:])) for window in firsts])
    returns = np.array([_centre(window.boxes(after[:1])) for window in seconds])
    distance = np.hypot(*np.moveaxis(leaves[:, None] - returns[None], -1, 0))
    far = np.argwhere(distance >= 0.9 * distance.max())
    one, two = far[int(rng.integers(len(far)))]
    return firsts[one], seconds[two]


def _all_windows(size: tuple[int, int], parts: ListOf[Floats]) -> list[list[Window]]:
    """For each part's boxes the windows that hold them, all of one size: as small as can be, at least `SHARE`."""
    for share in np.arange(SHARE, 1.0, 0.1):
        every = _grid(size, (int(size[0] * share), int(size[1] * share)))
        found = [[window for window in every if window.contains(boxes)] for boxes in parts]
        if all(found):
            return found
    return [_grid(size, size) for _ in parts]


def _grid(size: tuple[int, int], window: tuple[int, int], steps: int = 9) -> list[Window]:
    """Windows of a size all over a frame, each plain and mirrored."""
    lefts, tops = (np.unique(np.linspace(0, size[axis] - window[axis], steps).astype(int)) for axis in (0, 1))
    return [Window(int(left), int(top), *window, mirror) for left in lefts for top in tops for mirror in (False, True)]


def _centre(boxes: Floats) -> Floats:
    return np.asarray(boxes[0, :2] + boxes[0, 2:] / 2)


def _elsewhere(sequence: Sequence, size: tuple[int, int], shown: tuple[int, int], count: int) -> Shot | None:
    """The largest part of the scene that does not show the target for `SHOWN[0]` frames together; None: there is none.

    Args:
        sequence: the sequence.
        size: (width, height) of its frames.
        shown: (width, height) that a clip's frames have.
        count: how many frames.
    """
    for share in np.arange(SHARE, 0.2, -0.1):
        scale = share * min(size[0] / shown[0], size[1] / shown[1])
        found: list[tuple[int, int, Window]] = []
        for window in _grid(size, (int(shown[0] * scale), int(shown[1] * scale))):
            edges = np.flatnonzero(np.diff(window.free_of(sequence.boxes).astype(int), prepend=0, append=0))
            found += [(int(b - a), int(a), window) for a, b in edges.reshape(-1, 2)]
        length, start, window = max(found, key=lambda each: each[:2], default=(0, 0, Window(0, 0, 1, 1)))
        if length >= SHOWN[0]:
            return Shot(sequence.frames.part(start, start + length), window, shown, count)
    return None


def _fitting(size: tuple[int, int], shown: tuple[int, int]) -> Window:
    """The middle of a frame in the proportions of another."""
    scale = min(size[0] / shown[0], size[1] / shown[1])
    width, height = max(int(shown[0] * scale), 1), max(int(shown[1] * scale), 1)
    return Window((size[0] - width) // 2, (size[1] - height) // 2, width, height)


def without_target(image: Image, box: Floats, margin: float = MARGIN) -> Image | None:
    """A copy in which what lies beside the target covers it, with soft edges; None where nothing fits beside it.

    Args:
        image: (H, W, 3).
        box: ``(x, y, w, h)`` of the target.
        margin: on each side, in shares of the box.
    """
    height, width = image.shape[:2]
    found = _beside((width, height), box, margin)
    if found is None:
        return None
    (left, top, right, bottom), (dx, dy) = found
    beside = np.roll(image, (-dy, -dx), (0, 1)).astype(np.float32)
    mask = np.zeros((height, width), np.float32)
    mask[top:bottom, left:right] = 1
    cover = cv2.GaussianBlur(mask, (0, 0), max(margin * min(box[2:]) / 3, 0.5))[:, :, None]
    return np.asarray((image + cover * (beside - image)).round(), np.uint8)


def _beside(
    size: tuple[int, int], box: Floats, margin: float = MARGIN
) -> tuple[tuple[int, int, int, int], tuple[int, int]] | None:
    """(left, top, right, bottom) of what must be covered, and how far away (x, y) lies what can cover it, if anything.

    Args:
        size: (width, height) of the image.
        box, margin: see `without_target`.
    """
    width, height = size
    x, y, w, h = box
    left, top = max(int(x - margin * w), 0), max(int(y - margin * h), 0)
    right, bottom = min(int(x + (1 + margin) * w) + 1, width), min(int(y + (1 + margin) * h) + 1, height)
    wide, high = right - left, bottom - top
    rooms = {(-wide, 0): left, (wide, 0): width - right, (0, -high): top, (0, high): height - bottom}
    fitting = [way for way, room in rooms.items() if room >= abs(way[0]) + abs(way[1])]
    if wide <= 0 or high <= 0 or not fitting:
        return None
    return (left, top, right, bottom), fitting[0]


def clips(sequences: ListOf[Sequence], kinds: ListOf[str] = KINDS, seed: int = 0) -> Iterator[Sequence]:
    """A clip of every kind of each sequence; foreign footage is that of the next sequence.

    Raises:
        ValueError: see `compose`; or foreign footage is asked for, and there is one sequence only.
    """
    for sequence, foreign in _with_foreign(sequences, kinds):
        for kind in kinds:
            yield compose(sequence, foreign, kind, seed)


def _with_foreign(sequences: ListOf[Sequence], kinds: ListOf[str]) -> list[tuple[Sequence, Sequence]]:
    """Each sequence with the next one.

    Raises:
        ValueError: foreign footage is asked for, and there is one sequence only.
    """
    if "foreign" in kinds and len(sequences) < 2:
        raise ValueError("foreign footage needs two sequences or more")
    return list(zip(sequences, [*sequences[1:], *sequences[:1]], strict=True))


# ---------------------------------------------------------------- measuring


@dataclass
class Tally:
    """What a tracker did on clips; each list has an entry a clip, or a frame where it says so.

    Attributes:
        auc: success AUC of the frames that show the target, the first one left out.
        auc_after: that of the frames after its return.
        lost_soon: whether it was LOST within `SOON` frames of the absence; of clips where it was on the target when
            that left.
        found_soon: whether it was on the target within `SOON` frames of the return: overlap above one half.
        followed_soon: whether it was so and knew it, that is was not LOST.
        right_lost: whether it was LOST, of frames with an overlap above one half.
        astray: the number of times that it was TRACKING for more than `SOON` frames together without touching the
            target, from its departure on.
        frames: in all.
    """

    auc: list[float] = field(default_factory=list)
    auc_after: list[float] = field(default_factory=list)
    lost_soon: list[bool] = field(default_factory=list)
    found_soon: list[bool] = field(default_factory=list)
    followed_soon: list[bool] = field(default_factory=list)
    right_lost: list[bool] = field(default_factory=list)
    astray: list[int] = field(default_factory=list)
    frames: int = 0

    def add(self, truth: Floats, run: Run) -> None:
        """Take in what a tracker did on a clip whose target is away, once or more often.

        Args:
            truth: (N, 4), NaN where the target is away.
            run: with states.
        """
        present: Bools = np.asarray(np.isfinite(truth).all(1))
        shared = np.where(present, overlap(run.boxes, np.nan_to_num(truth)), 0.0)
        states = np.array(run.states)
        lost, tracking = states == TrackState.LOST.value, states == TrackState.TRACKING.value
        changes = np.diff(present.astype(int))
        departures, returns = np.flatnonzero(changes < 0) + 1, np.flatnonzero(changes > 0) + 1
        self.frames += len(truth)
        self.auc.append(success_auc(shared[present][1:]))
        self.auc_after.append(success_auc(shared[returns[0] :][present[returns[0] :]]))
        for gone, back in zip(departures, returns, strict=True):
            if shared[gone - 1] > 0.5:
                self.lost_soon.append(bool(lost[gone : gone + SOON].any()))
            on_it = shared[back : back + SOON] > 0.5
            self.found_soon.append(bool(on_it.any()))
            self.followed_soon.append(bool((on_it & ~lost[back : back + SOON]).any()))
        self.right_lost += lost[shared > 0.5].tolist()
        wrong = np.diff((tracking & (shared == 0))[departures[0] :].astype(int), prepend=0, append=0)
        lengths = np.flatnonzero(wrong < 0) - np.flatnonzero(wrong > 0)
        self.astray.append(int((lengths > SOON).sum()))

    def summary(self) -> dict[str, float]:
        """Means over the clips, or over frames for "right, but lost"; "astray" is a number of times a clip."""
        return {
            "auc": _mean(self.auc),
            "auc after return": _mean(self.auc_after),
            "lost soon": _mean(self.lost_soon),
            "found soon": _mean(self.found_soon),
            "right, but lost": _mean(self.right_lost),
            "astray": _mean(self.astray),
        }

    def long_term(self) -> dict[str, float]:
        """What a robot's user asks of long videos: how many returns were noticed within a second, and how often an hour
        something else was followed for more than a second.
        """
        return {
            "auc": _mean(self.auc),
            "right, but lost": _mean(self.right_lost),
            "followed again in 1 s": _mean(self.followed_soon),
            "wrong, times/h": round(sum(self.astray) / (self.frames / FPS / 3600), 2),
        }


def _mean(values: ListOf[float]) -> float:
    return round(float(np.mean(values)), 4) if values else float("nan")


def measure(specs: ListOf[TrackerSpec], sequences: ListOf[Sequence], long: bool = False) -> dict[str, dict[str, float]]:
    """Run trackers on clips.

    Returns:
        tracker → the `Tally.summary`, or `Tally.long_term` if `long`, and its frames a second.

    Raises:
        ValueError, ImportError, OSError, RuntimeError: a tracker cannot be had.
        RuntimeError: a tracker failed.
    """
    check_names(specs)
    trackers = {spec.name: spec.load() for spec in specs}
    tallies = {name: Tally() for name in trackers}
    seconds: dict[str, list[float]] = {name: [] for name in trackers}
    for clip in sequences:
        runs, failures = one_pass(trackers, clip, {spec.name: spec.threads for spec in specs})
        if failures:
            raise RuntimeError(str(failures[0]))
        for name, run in runs.items():
            assert run.seconds is not None
            tallies[name].add(clip.boxes, run)
            seconds[name] += run.seconds[1:].tolist()
    return {
        name: {
            **(tally.long_term() if long else tally.summary()),
            "frames/s": round(len(seconds[name]) / sum(seconds[name]), 1),
        }
        for name, tally in tallies.items()
    }


# ---------------------------------------------------------------- command line


def main(argv: ListOf[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.absence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder of sequences, e.g. ../shared/data/video")
    add("--sequences", nargs="+", default=HOLDOUT, metavar="NAME", help="in it (default: %(default)s)")
    add("--tracker", nargs="+", action="extend", required=True, metavar="[NAME=]TRACKER", help="as for `evaluate.py`")
    add("--kinds", nargs="+", default=KINDS, choices=KINDS, help="of absences (default: all)")
    add("--seeds", nargs="+", type=int, default=[0], metavar="N", help="a clip of each kind a seed (default: 0)")
    add("--minutes", type=float, metavar="N", help="one video of so many minutes a sequence and seed instead of clips")
    add("--absences", type=positive, default=20, metavar="N", help="of each such video (default: %(default)s)")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads of each tracker (default: 1)")
    add("--device", default="cpu", help="where our networks run (default: cpu)")
    add("--set", type=setting, action="append", default=[], metavar="KEY=VALUE", help="override our configuration")
    add("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(argv)
    try:
        overrides = dict(options.set)
        specs = [
            TrackerSpec.parse(text, device=options.device, threads=options.threads, overrides=overrides)
            for text in options.tracker
        ]
        footage = [read_sequence(options.data / name) for name in options.sequences]
        every = [clip for seed in options.seeds for clip in _composed(footage, options, seed)]
        rows = measure(specs, every, long=options.minutes is not None)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        print(f"absence: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(rows) if options.json else table(rows, every))
    return 0


def _composed(footage: ListOf[Sequence], options: argparse.Namespace, seed: int) -> Iterator[Sequence]:
    if options.minutes is None:
        yield from clips(footage, options.kinds, seed)
        return
    for sequence, foreign in _with_foreign(footage, options.kinds):
        yield compose_long(sequence, foreign, options.minutes, options.absences, options.kinds, seed)


def table(rows: dict[str, dict[str, float]], every: ListOf[Sequence]) -> str:
    """The result as Markdown."""
    names = list(next(iter(rows.values())))
    lines = [
        f"{len(every)} clips, {sum(map(len, every)):,} frames",
        "",
        f"| tracker | {' | '.join(names)} |",
        f"| :-- | {' | '.join('--:' for _ in names)} |",
    ]
    for tracker, row in rows.items():
        lines.append(
            f"| {tracker} | {' | '.join(f'{row[name]:.1f}' if '/' in name else f'{row[name]:.3f}' for name in names)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
