"""How long scoring takes, beside the got10k package on the same files in the same run.

    python -m benchmarks.scoring_speed --results ../shared/results

The archives of raw boxes are unpacked first, under the names of the got10k package and with as many rows as there are
frames, so that both sides read the same text files and can score all of them. Then, for all trackers:

- ``report_seconds``: `score.score_files` for each tracker: boxes and ground truth from disk to numbers with intervals.
- ``ours_seconds``: boxes from disk and their success, precision and normalised precision, sequence by sequence.
- ``got10k_seconds``: boxes from disk and their success and precision as ``ExperimentOTB.report`` has them, by its own
  functions, without plots. Ground truth is read once on both sides, though got10k reads it again for each tracker.

The last two take turns; each figure is the median of its runs. One process, one thread.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import otb
from benchmarks.metrics import Track, score_tracks
from benchmarks.raw_results import match_names, read_groundtruth, read_results
from benchmarks.score import read_runs, score_files
from tracker.box import to_otb

Floats = NDArray[np.float64]
Means = dict[str, tuple[float, float]]  # tracker → success AUC and precision at 20 px


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=Path("../shared/results"), help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(options.results, Path(folder), options.runs)
    except (ImportError, OSError, ValueError) as error:
        print(f"scoring_speed: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(figures))
    return 0


def measure(results: Path, folder: Path, runs: int) -> dict[str, float]:
    """Unpack, time, and check that both sides come to the same numbers.

    Raises:
        ImportError: the got10k package is missing.
        ValueError: there are no results, or the numbers differ.
    """
    truth = unpack(results, folder)
    trackers = sorted(path for path in folder.iterdir() if path != truth)
    peer = Peer(truth)
    truths = read_groundtruth(truth)
    ours: Callable[[], Means] = lambda: {path.name: scored(path, truths) for path in trackers}  # noqa: E731
    theirs: Callable[[], Means] = lambda: {path.name: peer.scored(path) for path in trackers}  # noqa: E731
    differences = np.subtract([*ours().values()], [*theirs().values()])  # and everything is loaded by now
    if (largest := float(abs(differences).max())) > 0.0005:
        raise ValueError(f"ours and got10k's numbers differ by up to {largest:.4f}")
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    ours_seconds, peer_seconds = (statistics.median(times) for times in zip(*pairs, strict=True))
    report = seconds(lambda: [score_files(path, "otb100", truth) for path in trackers])
    return {
        "trackers": len(trackers),
        "report_seconds": round(report, 3),
        "ours_seconds": round(ours_seconds, 3),
        "got10k_seconds": round(peer_seconds, 3),
        "ratio": round(peer_seconds / ours_seconds, 2),
        "largest_difference": round(largest, 6),
    }


def unpack(results: Path, folder: Path) -> Path:
    """Write every tracker's boxes and the ground truth as text files; returns the folder of the ground truth.

    Raises:
        ValueError: a file is missing or cannot be read.
    """
    annotations = results / "otb100_annotations.json.gz"
    truths = read_groundtruth(annotations)
    names = match_names(truths, otb.TARGETS, {"Human4-2": "Human4"}).found
    for name, source in names.items():
        write(folder / "groundtruth" / name / "groundtruth_rect.txt", truths[source])
    archives = sorted(path for path in results.glob("*.zip") if not path.stem.startswith("groundtruth"))
    if not archives:
        raise ValueError(f"{results}: expected a zip of raw boxes for each tracker, found none")
    for archive in archives:
        for name, run in read_runs(archive, otb.OTB_100)[0].items():
            missing = len(truths[names[name]]) - len(run.boxes)
            write(folder / archive.stem / f"{name}.txt", np.concatenate([run.boxes, run.boxes[-1:].repeat(missing, 0)]))
    return folder / "groundtruth"


def write(path: Path, boxes: Floats) -> None:
    """Boxes as OTB's and got10k's tools write them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(f"{value:.10g}" for value in box) + "\n" for box in to_otb(boxes)))


def scored(folder: Path, truths: dict[str, Floats]) -> tuple[float, float]:
    """Our means over the sequences of a tracker's folder."""
    scores = score_tracks([Track(name, boxes, truths[name]) for name, boxes in read_results(folder).items()])
    return float(np.mean([score.auc for score in scores])), float(np.mean([score.precision_20 for score in scores]))


class Peer:
    """The got10k package's evaluation of OTB: what ``ExperimentOTB.report`` does between reading and plotting.

    Args:
        truth: folder of ground truth.

    Raises:
        ImportError: the package is missing.
    """

    def __init__(self, truth: Path) -> None:
        try:
            from got10k.experiments.otb import ExperimentOTB
        except ImportError as error:
            raise ImportError(f"the peer is missing: pip install 'siamtrack[benchmarks]' ({error})") from error
        self.experiment = object.__new__(ExperimentOTB)  # its constructor would look for the videos, and fetch them
        self.experiment.nbins_iou, self.experiment.nbins_ce = 21, 51
        self.truths = {
            path.parent.name: np.loadtxt(io.StringIO(path.read_text().replace(",", " "))) for path in truth.glob("*/*")
        }

    def scored(self, folder: Path) -> tuple[float, float]:
        """Its means over the sequences of a tracker's folder."""
        success, precision = [], []
        for path in folder.iterdir():
            truth = self.truths[path.stem]
            boxes = np.loadtxt(path, delimiter=",")
            boxes[0] = truth[0]
            curves = self.experiment._calc_curves(*self.experiment._calc_metrics(boxes, truth))
            success.append(np.mean(curves[0]))
            precision.append(curves[1][20])
        return float(np.mean(success)), float(np.mean(precision))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begin = perf_counter()
    work()
    return perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
