"""Learning curves: success on the sequences kept out of training, against pairs seen and against the share of footage.

    python -m learning.curve runs/*.safetensors --data ../shared/data/video --output runs/curve

runs every weights file over the sequences of `learning.readers.HOLDOUT`, three starts each, never giving up
(`learning.tuning.success`), and writes `curve.md`, `curve.json` and `curve.svg` into --output. What was measured there
already is not measured again. How a file was trained is read from its card: pairs, footage, and seed and share from the
command. `tools/train.py --share` and `learning.snapshot` make the files.

A power law is fitted to either curve (`learning.power_law`) and carried on to all of GOT-10k's training split and to a
day on one GPU. That is a projection, far beyond what was measured, not a result. Benchmarks are never looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.provenance import code_hash, settings_hash
from benchmarks.significance import bootstrap_interval, interval
from learning.calibration import STARTS, Video
from learning.power_law import LEAST, PowerLaw, fit
from learning.readers import HOLDOUT
from learning.tuning import judge_of, read_videos
from tracker.arguments import positive
from tracker.model import Model
from tracker.network import ModelCard, SiameseNetwork, find_weights

FALLEN = 0.05  # share of the peak learning rate below which a training counts as ended
GOT10K_TRACKS = 9335  # training sequences (Huang et al. 2019, table 2)
GOT10K_BOXES = 1_400_000  # in them
DAY = 86_400  # seconds
BACKWARD = 2  # times the forward pass's operations (Kaplan et al. 2020, section 2.1)


@dataclass(frozen=True)
class Point:
    """Weights, how they were trained, and how well they follow.

    Attributes:
        name: of the file.
        pairs: seen in training.
        share: of the footage that was there.
        seed: of the training.
        minutes: that it took; 0 where the card does not say.
        tracks, boxes: of video in the footage; 0 where the card does not say.
        ended: whether the learning rate had fallen, as at the end of every training.
        success: AUC by sequence.
    """

    name: str
    pairs: int
    share: float
    seed: int
    minutes: float
    tracks: int
    boxes: int
    ended: bool
    success: dict[str, float]

    @property
    def auc(self) -> float:
        """Mean over sequences."""
        return float(np.mean(list(self.success.values())))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean, over sequences."""
        return bootstrap_interval(list(self.success.values()))


def point(name: str, card: ModelCard, success: dict[str, float]) -> Point:
    """What a card says, with what was measured.

    Raises:
        ValueError: the card does not say how many pairs were seen.
    """
    training = card.training
    if not isinstance(training.get("pairs"), int):
        raise ValueError(f"{name}: its card does not say how many pairs it was trained on (training.pairs)")
    said, data = _command(str(training.get("command", ""))), training.get("data", {})
    return Point(
        name,
        training["pairs"],
        float(training.get("share", said.share)),
        int(training.get("seed", said.seed)),
        float(training.get("minutes", 0)),
        int(data.get("video tracks", 0)),
        int(data.get("video boxes", 0)),
        float(training.get("learning_rate_share", 0)) < FALLEN,
        success,
    )


def _command(command: str) -> argparse.Namespace:
    """The share of the footage and the seed that a training command asks for, or else what the command takes."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    try:
        return parser.parse_known_args(shlex.split(command))[0]
    except argparse.ArgumentError as error:
        raise ValueError(f"the command in a card, {command!r}, cannot be read: {error}") from error


# ---------------------------------------------------------------- measuring


def success_by_sequence(
    weights: str | Path, videos: Sequence[Video], device: str, threads: int | None
) -> dict[str, float]:
    """AUC of the weights on each video, as `learning.tuning` measures it."""
    judge = judge_of(Model(weights, device=device, threads=threads), videos)
    return {video.name: judge({}, video.name) for video in videos}


class Store:
    """What was measured, by weights, tracker's code and sequences, in a JSON file.

    Args:
        path: of the file; it need not exist.
        measure: weights → AUC by sequence.
        sequences: that it is measured on.

    Raises:
        ValueError: the file is something else.
    """

    def __init__(self, path: Path, measure: Callable[[Path], dict[str, float]], sequences: Sequence[str]) -> None:
        self.path, self.measure, self.sequences = path, measure, sequences
        try:
            self.known = json.loads(path.read_text(encoding="utf-8"))["measured"] if path.is_file() else {}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not from learning.curve ({error!r}); give another --output") from error

    def point(self, weights: str | Path) -> Point:
        """Measure, unless that was done."""
        path = find_weights(weights)
        card = ModelCard.read(path.with_suffix(".json"))
        asked = [card.sha256, card.config, sorted(self.sequences), STARTS, code_hash()]
        key = settings_hash({"asked": asked})
        found = point(path.stem, card, {})  # first, as it may say that the card lacks something
        if key not in self.known:
            self.known[key] = self.measure(path)
        return dataclasses.replace(found, success=self.known[key])


# ---------------------------------------------------------------- curves


@dataclass(frozen=True)
class Curve:
    """Points that differ in one respect, and the law they follow.

    Attributes:
        title: what differs.
        points: of the curve, by increasing abscissa.
        x: their abscissae.
        law: `None` where there are too few different abscissae.
    """

    title: str
    points: list[Point]
    x: list[float]
    law: PowerLaw | None


def _curve(title: str, points: Sequence[Point], abscissa: Callable[[Point], float]) -> Curve:
    chosen = sorted(points, key=abscissa)
    x = [abscissa(each) for each in chosen]
    success = [list(each.success.values()) for each in chosen]
    return Curve(title, chosen, x, fit(x, success) if len(set(x)) >= LEAST else None)


def over_pairs(points: Sequence[Point]) -> Curve:
    """Success against pairs seen, on the largest share of the footage.

    Ended trainings are taken, if there are enough of them, or else snapshots of those that went on: the two are not
    mixed, because the fall of the learning rate alone is worth a great deal.
    """
    largest = max(each.share for each in points)
    whole = [each for each in points if each.share == largest]
    ended = [each for each in whole if each.ended]
    under_way = [each for each in whole if not each.ended]
    if len({each.pairs for each in ended}) < LEAST <= len({each.pairs for each in under_way}):
        return _curve("pairs seen, learning rate at its peak", under_way, lambda each: each.pairs)
    return _curve("pairs seen", ended or under_way, lambda each: each.pairs)


def over_share(points: Sequence[Point]) -> Curve:
    """Success against the share of the footage, of ended trainings of the length of which there are most shares."""
    ended = [each for each in points if each.ended] or list(points)
    shares = Counter(pairs for pairs, _ in {(each.pairs, each.share) for each in ended})
    length = max(shares, key=lambda pairs: (shares[pairs], pairs))
    chosen = [each for each in ended if each.pairs == length]
    return _curve(f"share of the footage, {length:,} pairs", chosen, lambda each: each.share)


# ---------------------------------------------------------------- projection


@dataclass(frozen=True)
class Gpu:
    """How fast a GPU is taken to train.

    Attributes:
        pairs_per_second: the rate.
        reason: where it comes from.
    """

    pairs_per_second: float
    reason: str


def operations(card: ModelCard) -> int:
    """Floating-point operations (a multiply-accumulate is two) of a training step, for one pair.

    One exemplar and one search region of the card's size forward, and twice that backward.
    Foreign exemplars, crops and augmentation are not counted.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        sides = card.exemplar_size, card.search_size
        SiameseNetwork(card).eval()(*(torch.empty(1, 3, side, side) for side in sides))
    return int(counter.get_total_flops()) * (1 + BACKWARD)


def assumed_gpu(card: ModelCard, peak: float, share: float) -> Gpu:
    """A rate from the network's operations: an assumption, until it is measured.

    Args:
        card: of the network.
        peak: of the GPU, in 1e12 operations a second.
        share: of it that training such a network reaches.
    """
    each = operations(card)
    rate = peak * 1e12 * share / each
    return Gpu(
        rate,
        f"assumed: {each / 1e9:.2f} GFLOP a pair (forward, and twice that backward; search region of "
        f"{card.search_size} px), {share:.0%} of a peak of {peak:g} TFLOP/s",
    )


@dataclass(frozen=True)
class Projection:
    """What the laws give beyond the points they were fitted to.

    Attributes:
        what: is changed.
        pairs, tracks: seen, and of video in the footage.
        auc: that the laws give.
        interval: 95 % over resampled sequences; how wrong the laws themselves may be is not in it.
        reach: how many times as far as the farthest point of the curves that were used.
    """

    what: str
    pairs: float
    tracks: float
    auc: float
    interval: tuple[float, float]
    reach: str


def projections(time: Curve, data: Curve, gpu: Gpu) -> list[Projection]:
    """A day on one GPU, all of GOT-10k, and both, as far as there are laws for them.

    The size of footage is counted in tracks of video: frames of one track show the same thing again. For both, the
    gains are multiplied, as if neither more pairs nor more footage were in the other's way.
    """
    rows, far = [], gpu.pairs_per_second * DAY
    base = data.points[-1] if data.points else None
    ratio = GOT10K_TRACKS / base.tracks if base and base.tracks else None
    day = f"{far / time.law.high:,.0f} × the pairs" if time.law else ""
    if time.law:
        ends = interval(time.law.resampled_auc(far))
        tracks = time.points[-1].tracks
        rows.append(_projection("one GPU-day, same footage", far, tracks, time.law.auc(far), ends, day))
    if data.law and base and ratio:
        more = f"{ratio:,.0f} × the tracks"
        at = ratio * data.law.high
        ends = interval(data.law.resampled_auc(at))
        rows.append(_projection("GOT-10k, same pairs", base.pairs, GOT10K_TRACKS, data.law.auc(at), ends, more))
        if time.law:
            factor, factors = data.law.gain(ratio)
            auc = max(0.0, 1 - (1 - time.law.auc(far)) * factor)
            ends = interval(np.maximum(0.0, 1 - (1 - time.law.resampled_auc(far)) * factors))
            rows.append(_projection("GOT-10k and one GPU-day", far, GOT10K_TRACKS, auc, ends, f"{day}, {more}"))
    return rows


def _projection(what: str, pairs: float, tracks: float, auc: float, ends: Any, reach: str) -> Projection:
    return Projection(what, pairs, tracks, auc, (float(ends[0]), float(ends[1])), reach)


# ---------------------------------------------------------------- command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m learning.curve", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weights", nargs="+", help=".safetensors files with their cards, or shipped models' names")
    parser.add_argument("--data", type=Path, required=True, help="folder of sequences, e.g. ../shared/data/video")
    parser.add_argument("--sequences", nargs="+", default=HOLDOUT, help="in it (default: those kept out of training)")
    parser.add_argument("--output", type=Path, required=True, help="folder for curve.md, curve.json and curve.svg")
    parser.add_argument("--reference", help="weights that the others repeat: a name or a .safetensors file")
    parser.add_argument("--gpu-pairs-per-second", type=float, help="measured rate of a GPU (default: see below)")
    parser.add_argument("--gpu-peak", type=float, default=312, help="its peak in TFLOP/s (default: an A100's, bf16)")
    parser.add_argument("--gpu-share", type=float, default=0.02, help="of the peak that is reached: an assumption")
    parser.add_argument("--device", default="auto", help="cpu, cuda, auto")
    parser.add_argument("--threads", type=positive, help="CPU threads of torch")
    return parser


def _gpu(options: argparse.Namespace) -> Gpu:
    if options.gpu_pairs_per_second is None:
        card = ModelCard.read(find_weights(options.weights[0]).with_suffix(".json"))
        return assumed_gpu(card, options.gpu_peak, options.gpu_share)
    return Gpu(options.gpu_pairs_per_second, "as given")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        gpu = _gpu(options)
        if gpu.pairs_per_second <= 0:
            raise ValueError(f"a GPU trains more than {gpu.pairs_per_second:g} pairs a second")
        videos = read_videos(options.data, options.sequences)
        names = [video.name for video in videos]

        def measure(path: Path) -> dict[str, float]:
            return success_by_sequence(path, videos, options.device, options.threads)

        store = Store(options.output / "curve.json", measure, names)
        points = []
        for weights in options.weights:
            points.append(store.point(weights))
            print(f"{points[-1].name}: {points[-1].pairs:,} pairs, AUC {points[-1].auc:.3f}", flush=True)
            write(options.output, points, gpu, store)
        reference = store.point(options.reference) if options.reference else None
        write(options.output, points, gpu, store, reference)
    except (OSError, ValueError) as error:
        print(f"curve: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.output}/curve.md, curve.json and curve.svg")
    return 0


def write(folder: Path, points: Sequence[Point], gpu: Gpu, store: Store, reference: Point | None = None) -> None:
    """Write the three files, also of what is there so far."""
    from learning.curve_plot import draw  # here: matplotlib, and both import this module
    from learning.curve_report import report

    folder.mkdir(parents=True, exist_ok=True)
    time, data = over_pairs(points), over_share(points)
    content = {
        "points": [dataclasses.asdict(each) | {"auc": each.auc, "interval_95": each.interval} for each in points],
        "gpu": dataclasses.asdict(gpu),
        "laws": {each.title: _law_entries(each.law) for each in (time, data) if each.law},
        "projections": [dataclasses.asdict(each) for each in projections(time, data, gpu)],
        "measured": store.known,
    }
    (folder / "curve.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "curve.md").write_text(report(points, gpu, reference), encoding="utf-8")
    (folder / "curve.svg").write_bytes(draw([time, data]))


def _law_entries(law: PowerLaw) -> dict[str, Any]:
    fitted = {"scale": law.scale, "exponent": law.exponent, "exponent_interval_95": law.exponent_interval()}
    return fitted | {"from": law.low, "to": law.high}


if __name__ == "__main__":
    sys.exit(main())
