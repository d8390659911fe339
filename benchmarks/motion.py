"""Whether the motion's stated uncertainty is true: how often the target is where `result.at` says that it will be.

    python -m benchmarks.motion --data ../shared/data/video                      # on the footage kept out of training
    python -m benchmarks.motion --data ../shared/data/video --weights compact    # from what a tracker sees
    python -m benchmarks.motion --data ../shared/data/video --training    # how `kinematics.HEDGE` was found

The filter of `tracker.kinematics` is shown the ground truth with noise, or what a tracker makes of the frames (those
where it is not LOST), and asked for the target's centre some time ahead. Columns: the share of true centres within the
stated 95 % ellipse, every sequence counting alike, and of the worst sequence; the median distance to the true centre in
sides of the target, and that of assuming that the target stays; and the `HEDGE` that would make the ellipse true.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import read_sequence
from benchmarks.datasets.folder import DESCRIPTION, GROUND_TRUTH
from benchmarks.holdout import HOLDOUT
from benchmarks.sequence import Sequence
from tracker.arguments import positive
from tracker.frame import NOMINAL_FPS
from tracker.kinematics import HEDGE, Motion, follow
from tracker.result import TrackState
from tracker.siam import SiamTracker

Floats = NDArray[np.float64]

AHEAD = (0.1, 0.2, 0.4)  # seconds
NOISE = 0.02  # of the boxes shown, in sides of the target
LEVEL, LIMIT = 0.95, 5.991  # of an ellipse, and the squared Mahalanobis distance of its edge (χ², 2 degrees of freedom)
UAV123_FPS = 10.0


@dataclass(frozen=True)
class Predictions:
    """How one sequence's centres were predicted.

    Attributes:
        squares: (n,) squared Mahalanobis distances of the true centres.
        errors: (n,) distances to them, in sides of the target.
        moves: (n,) how far they are from where the target was, in sides of the target.
    """

    squares: Floats
    errors: Floats
    moves: Floats

    @property
    def held(self) -> float:
        """Share of the true centres that lie in the ellipse."""
        return float(np.mean(self.squares < LIMIT))


def predictions(boxes: Floats, fps: float, motions: Iterable[Motion | None], ahead: float) -> Predictions:
    """Compare what motions predict with the truth, linear between frames.

    Args:
        boxes: (N, 4) ground truth, NaN where the target is absent.
        fps: frames a second; frame i is at i / fps seconds.
        motions: N, of the frames; None: nothing is known.
        ahead: seconds from each frame to the time that is predicted.
    """
    frames = np.arange(len(boxes))
    centres, sides = boxes[:, :2] + boxes[:, 2:] / 2, np.sqrt(boxes[:, 2] * boxes[:, 3])
    rows = []
    for frame, centre, side, motion in zip(frames, centres, sides, motions, strict=True):
        then = round(frame + ahead * fps, 6)  # so that a frame's own time is no time between two
        truth = np.array([np.interp(then, frames, centres[:, axis]) for axis in (0, 1)])
        if motion is None or then > frames[-1] or not np.isfinite([*truth, side]).all():
            continue
        later = motion.at(then / fps)
        error = truth - later.centre
        square = float((error**2 / np.square(later.deviation)).sum())
        rows.append((square, np.hypot(*error) / side, np.hypot(*(truth - centre)) / side))
    squares, errors, moves = np.array(rows, float).reshape(-1, 3).T
    return Predictions(squares, errors, moves)


def shown_the_truth(boxes: Floats, fps: float, noise: float, seed: int = 0) -> list[Motion | None]:
    """The motion after every frame, from the ground truth with noise.

    Args:
        boxes: (N, 4), NaN where the target is absent.
        fps: frames a second.
        noise: standard deviation of the centre in sides of the target, and of the logarithms of the sides.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    motions: list[Motion | None] = []
    last: Motion | None = None
    for index, (x, y, w, h) in enumerate(boxes):
        seen = bool(np.isfinite([x, y, w, h]).all())
        if seen:
            across, down, wider, higher = rng.normal(0, noise, 4)
            side, width, height = np.sqrt(w * h), w * np.exp(wider), h * np.exp(higher)
            left, top = x + across * side + (w - width) / 2, y + down * side + (h - height) / 2
            before = TrackState.TRACKING if motions and motions[-1] else TrackState.LOST
            last = follow(last, before, (left, top, width, height), 1.0, TrackState.TRACKING, index / fps)
        motions.append(last if seen else None)
    return motions


def shown_by_a_tracker(sequence: Sequence, fps: float, tracker: SiamTracker) -> list[Motion | None]:
    """The motion after every frame that a tracker tells, None where it is LOST."""
    motions: list[Motion | None] = []
    for index, image in enumerate(sequence.frames):
        time = index / fps
        result = tracker.update(image, time) if index else tracker.init(image, sequence.first_box, time)
        motions.append(None if result.state is TrackState.LOST else result.motion)
    return motions


def frame_rate(folder: Path) -> float:
    """Frames a second of a packed sequence, of which only every step-th frame may be there."""
    path = folder / DESCRIPTION
    description = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rate = UAV123_FPS if "UAV123" in description.get("benchmark", "") else NOMINAL_FPS
    return float(rate / description.get("step", 1))


def hedge_for(found: ListOf[Predictions]) -> float:
    """The `HEDGE` with which `LEVEL` of the true centres would have been held, every sequence counting alike."""
    squares = np.concatenate([each.squares for each in found])
    weights = np.concatenate([np.full(len(each.squares), 1 / len(each.squares)) for each in found])
    order = np.argsort(squares)
    reached = np.searchsorted(np.cumsum(weights[order]), LEVEL * weights.sum())
    return float(HEDGE * squares[order][min(reached, len(order) - 1)] / LIMIT)


def main(argv: ListOf[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.motion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder of sequences, e.g. ../shared/data/video")
    add("--sequences", nargs="+", default=HOLDOUT, metavar="NAME", help="in it (default: those kept out of training)")
    add("--training", action="store_true", help="all sequences in it but those kept out of training")
    add("--ahead", nargs="+", type=float, default=AHEAD, metavar="SECONDS", help="to predict (default: 0.1 0.2 0.4)")
    add("--noise", type=float, default=NOISE, metavar="SIDES", help="of the boxes shown (default: %(default)g)")
    add("--weights", metavar="NAME|PATH", help="show what this tracker sees instead of the ground truth with noise")
    add("--threads", type=positive, default=1, metavar="N", help="CPU threads of the tracker (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        names = training(options.data) if options.training else options.sequences
        tracker = SiamTracker.from_pretrained(options.weights, threads=options.threads) if options.weights else None
        found = measure(options.data, names, options.ahead, options.noise, tracker)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        print(f"motion: error: {error}", file=sys.stderr)
        return 2
    print(table(found, options.ahead))
    return 0


def table(found: dict[str, list[Predictions]], ahead: ListOf[float]) -> str:
    """The result as Markdown."""
    frames = sum(len(each[0].squares) for each in found.values())
    lines = [
        f"{len(found)} sequences, {frames:,} predictions of {ahead[0]:g} s",
        "",
        "| seconds ahead | held | worst sequence | error | if it stayed | HEDGE for 95 % |",
        "| --: | --: | :-- | --: | --: | --: |",
    ]
    for number, seconds in enumerate(ahead):
        column = {name: each[number] for name, each in found.items() if len(each[number].squares)}
        if not column:
            lines.append(f"| {seconds:g} | – | – | – | – | – |")
            continue
        held = {name: each.held for name, each in column.items()}
        worst = min(held, key=lambda name: held[name])
        error = np.median(np.concatenate([each.errors for each in column.values()]))
        move = np.median(np.concatenate([each.moves for each in column.values()]))
        lines.append(
            f"| {seconds:g} | {100 * np.mean(list(held.values())):.1f} % | {worst} {100 * held[worst]:.0f} % | "
            f"{error:.3f} | {move:.3f} | {hedge_for(list(column.values())):.2f} |"
        )
    return "\n".join(lines)


def training(root: Path) -> list[str]:
    """The sequences ``<set>/<sequence>`` below `root` that are not kept out of training.

    Raises:
        ValueError: there is none.
    """
    names = sorted(path.parent.relative_to(root).as_posix() for path in root.glob(f"*/*/{GROUND_TRUTH}"))
    if not set(names) - set(HOLDOUT):
        raise ValueError(f"no sequence to train on below {root}: expected {root}/<set>/<sequence>/{GROUND_TRUTH}")
    return [name for name in names if name not in HOLDOUT]


def measure(
    root: Path, names: ListOf[str], ahead: ListOf[float], noise: float, tracker: SiamTracker | None = None
) -> dict[str, list[Predictions]]:
    """Sequence → `Predictions` for each time ahead.

    Raises:
        OSError, ValueError: a sequence cannot be read.
    """
    found = {}
    for name in names:
        sequence, fps = read_sequence(root / name), frame_rate(root / name)
        motions = shown_by_a_tracker(sequence, fps, tracker) if tracker else shown_the_truth(sequence.boxes, fps, noise)
        found[name] = [predictions(sequence.boxes, fps, motions, seconds) for seconds in ahead]
    return found


if __name__ == "__main__":
    sys.exit(main())
