"""How well pair networks tell one person from two, over detections that they were not trained on.

    python -m learning.pair_score towers in_network joint --data ../shared/data/mot/PETS09-S2L1 --frames 451-795 \\
        --plot roc.svg

Positives are two detections of one person, negatives of two, or of one and a false alarm, up to 30 frames apart. Beside
the networks stands what needs no learning: the overlap of two colour histograms.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learning.pair_data import FALSE_ALARM, PairFootage, read_pair_footage
from learning.pair_train import parse_frames
from tracker.arguments import positive, refuse_existing
from tracker.association.appearance import PairAppearance, colour_histograms, load_pair_network

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GAPS = ((1, 1), (2, 5), (6, 15), (16, 30))  # frames from one detection to the other, both included
HISTOGRAM = "colour histogram"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#7F7F7F", "#CC79A7")  # Okabe and Ito: told apart without colour vision
DASHES = ("-", "--", "-.", ":", (0, (1, 3)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of rows of a footage: `first` the earlier one, `gap` frames before `second`; `same` person or not."""

    first: Integers
    second: Integers
    gap: Integers
    same: NDArray[np.bool_]


def draw_pairs(footage: PairFootage, count: int = 20_000, seed: int = 0) -> Pairs:
    """As many pairs of detections for each of `GAPS`, half of them of one person, as far as there are so many.

    Args:
        footage: of which only what a detector found is used.
        count: of all pairs.
        seed: of the choice.

    Raises:
        ValueError: there are no such pairs.
    """
    random = np.random.default_rng(seed)
    rows = np.flatnonzero(footage.detected)
    frame, identity = footage.frame[rows], footage.identity[rows]
    gap = frame[None] - frame[:, None]
    real = (identity[:, None] != FALSE_ALARM) | (identity[None] != FALSE_ALARM)
    same = (identity[:, None] == identity[None]) & real
    chosen: list[NDArray[np.int64]] = []
    for low, high in GAPS:
        near = (gap >= low) & (gap <= high) & real
        for kind in (near & same, near & ~same):
            found = np.argwhere(kind)
            chosen.append(random.permutation(found)[: count // (2 * len(GAPS))])
    pairs = np.concatenate(chosen)
    if not len(pairs):
        raise ValueError("no two detections are up to 30 frames apart, so there is nothing to judge")
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    ids = footage.identity
    return Pairs(first, second, footage.frame[second] - footage.frame[first], ids[first] == ids[second])


def likeness(cue: PairAppearance, footage: PairFootage, pairs: Pairs) -> tuple[Floats, dict[str, float]]:
    """(P,) how alike a network finds the pairs, larger for more; and milliseconds for a detection and for a pair."""
    middle = footage.middle
    used, places = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    began = time.perf_counter()
    embedded = cue.embed(np.ascontiguousarray(middle[used]))
    between = time.perf_counter()
    a, b = embedded[places[: len(pairs.first)]], embedded[places[len(pairs.first) :]]
    found = cue.compare(a, b)[:, 0].astype(np.float64)
    ended = time.perf_counter()
    cost = {
        "ms_per_detection": 1e3 * (between - began) / len(used),
        "ms_per_pair": 1e3 * (ended - between) / len(pairs.first),
    }
    return -found if cue.network.distance else found, cost


def histogram_likeness(footage: PairFootage, pairs: Pairs) -> Floats:
    """(P,) Bhattacharyya coefficient of `colour_histograms`, mean of both halves, in [0, 1]."""
    used, places = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    roots = colour_histograms(footage.middle[used])
    a, b = places[: len(pairs.first)], places[len(pairs.first) :]
    return np.array([(roots[i] * roots[j]).sum() / 2 for i, j in zip(a, b, strict=True)], np.float64)


def score_pairs(found: Floats, pairs: Pairs) -> dict[str, float]:
    """Area under the ROC curve over all pairs and by gap, and the equal error rate; NaN where a kind is missing."""
    from sklearn.metrics import roc_auc_score, roc_curve

    def auc(kept: NDArray[np.bool_]) -> float:
        both = len(np.unique(pairs.same[kept])) == 2
        return float(roc_auc_score(pairs.same[kept], found[kept])) if both else float("nan")

    everything = np.ones(len(found), bool)
    scores = {"auc": auc(everything)}
    for low, high in GAPS:
        scores[f"auc_gap_{low}-{high}"] = auc((pairs.gap >= low) & (pairs.gap <= high))
    false, true, _ = roc_curve(pairs.same, found)
    worst = int(np.argmin(np.abs(false - (1 - true))))
    return {**scores, "eer": float(false[worst] + 1 - true[worst]) / 2}


def plot_roc(found: Mapping[str, Floats], pairs: Pairs, path: Path) -> None:
    """The ROC curves of several judges of the same pairs in one figure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from sklearn.metrics import roc_auc_score, roc_curve

    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "roc", "svg.fonttype": "none"}):
        figure = Figure(figsize=(5.2, 4.4), layout="constrained")
        axes = figure.add_subplot()
        for (name, values), colour, dash in zip(found.items(), COLOURS, DASHES, strict=False):
            false, true, _ = roc_curve(pairs.same, values)
            area = roc_auc_score(pairs.same, values)
            axes.plot(false, true, color=colour, linestyle=dash, label=f"{name}, AUC {area:.3f}")
        axes.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=0.8)
        axes.set(xlabel="share of pairs of two people taken for one", ylabel="share of pairs of one person found")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        axes.legend(loc="lower right", frameon=False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m learning.pair_score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("networks", nargs="+", metavar="NAME|PATH", help="towers, in_network, joint, or .safetensors files")
    add("--data", type=Path, required=True, help="folder of one sequence: frames.mp4 or img1/, gt/gt.txt, det/det.txt")
    add("--frames", type=parse_frames, metavar="FIRST-LAST", help="to judge on, counted from 1 (default: all)")
    add("--pairs", type=positive, default=20_000, help="at most (default: %(default)s)")
    add("--plot", type=Path, metavar="FIGURE", help="write the ROC curves: .svg or .png")
    add("--json", action="store_true", help="print one JSON object")
    add("--overwrite", action="store_true", help="replace an existing figure")
    return parser.parse_args(argv)


def judge(networks: Sequence[str], footage: PairFootage, pairs: Pairs) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Scores and likeness of each network, and of the histogram beside them.

    Raises:
        WeightsError: weights that cannot be used.
        ValueError: networks of another patch size.
    """
    rows: dict[str, Any] = {}
    found: dict[str, Floats] = {}
    for name in networks:
        network, card = load_pair_network(name)
        if network.size != footage.size:
            raise ValueError(f"{name} takes patches of {network.size}, the footage's are {footage.size}")
        label = Path(name).stem
        found[label], cost = likeness(PairAppearance(network, card.subtract_camera), footage, pairs)
        rows[label] = score_pairs(found[label], pairs) | cost
    found[HISTOGRAM] = histogram_likeness(footage, pairs)
    rows[HISTOGRAM] = score_pairs(found[HISTOGRAM], pairs)
    return rows, found


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The scores in Markdown."""
    columns = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[column]:.3f}" if column in row else "–" for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = parse(argv)
    try:
        refuse_existing(options.plot, options.overwrite)
        size = load_pair_network(options.networks[0])[0].size
        footage = read_pair_footage(options.data, size)
        if options.frames:
            footage = footage.between(*options.frames)
        pairs = draw_pairs(footage, options.pairs)
        torch.set_num_threads(1)
        rows, found = judge(options.networks, footage, pairs)
        if options.plot:
            plot_roc(found, pairs, options.plot)
    except (OSError, ValueError) as error:
        print(f"pair_score: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"pairs": len(pairs.same), **rows}) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
