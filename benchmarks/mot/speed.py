"""How long scoring takes, beside TrackEval on the same files in the same run: ratios only, and the largest difference.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install trackeval
    PYTHONPATH=. /tmp/peers/bin/python -m benchmarks.mot.speed --groundtruth train --results tracks --rules mot17

TrackEval needs an environment of its own, and everything that this needs of the project runs there. Both sides go from
text files to CLEAR, identity and HOTA of all sequences, pooled; they take turns, in one process and one thread, and
processor time is what counts, so that other work on the machine does not. TrackEval prints nothing and writes no files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks.mot.evaluation import Evaluation, evaluate
from benchmarks.mot.rules import RULES

Scores = dict[str, Any]  # name of a metric → number or curve

QUIET = ("PRINT_RESULTS", "PRINT_CONFIG", "TIME_PROGRESS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES")
PEER_RULES = [name for name in RULES if name != "any"]
CLOSE = 1e-6


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mot.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--groundtruth", type=Path, required=True, metavar="DIR", help="<sequence>/gt/gt.txt")
    parser.add_argument("--results", type=Path, required=True, metavar="DIR", help="<sequence>.txt")
    parser.add_argument("--rules", choices=PEER_RULES, default="mot17", help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        figures = measure(options.groundtruth, options.results, options.rules, options.runs)
    except (ImportError, OSError, ValueError) as error:
        print(f"speed: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(figures))
    return 0


def measure(groundtruth: Path, results: Path, rules: str, runs: int) -> dict[str, float]:
    """Time both, and check that they come to the same numbers.

    Raises:
        ImportError: TrackEval is missing.
        ValueError: the numbers differ.
    """
    ours: Callable[[], Evaluation] = lambda: evaluate(groundtruth, results, RULES[rules])  # noqa: E731
    evaluation = ours()
    theirs: Callable[[], Scores] = lambda: peer(groundtruth, results, rules, list(evaluation.sequences))  # noqa: E731
    found, expected = evaluation.combined, theirs()
    numbers = found.scores() | found.hota.curves()
    largest = max(float(abs(np.subtract(numbers[name], value)).max()) for name, value in expected.items())
    if largest > CLOSE:
        raise ValueError(f"ours and TrackEval's numbers differ by up to {largest:g}")
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    ratios = sorted(peer_seconds / our_seconds for our_seconds, peer_seconds in pairs)
    return {
        "sequences": len(evaluation.sequences),
        "boxes": found.counts["Dets"] + found.counts["GT_Dets"],
        "ratio": round(statistics.median(ratios), 2),
        "lowest": round(ratios[0], 2),
        "highest": round(ratios[-1], 2),
        "largest_difference": largest,
    }


def peer(groundtruth: Path, results: Path, rules: str, names: Sequence[str]) -> Scores:
    """TrackEval's numbers of all sequences together.

    Raises:
        ImportError: it is missing.
    """
    try:
        import trackeval  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError(f"TrackEval is missing, and wants an environment of its own ({error})") from error
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.MotChallenge2DBox(
            {
                "GT_FOLDER": str(groundtruth),
                "TRACKERS_FOLDER": str(results.parent),
                "TRACKERS_TO_EVAL": [results.name],
                "TRACKER_SUB_FOLDER": "data" if (results / "data").is_dir() else "",
                "BENCHMARK": rules.upper(),
                "SEQ_INFO": dict.fromkeys(names),
                "SKIP_SPLIT_FOL": True,
                "PRINT_CONFIG": False,
            }
        )
        quiet = {"PRINT_CONFIG": False}
        metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet)]
        evaluator = trackeval.Evaluator(dict.fromkeys(QUIET, False))
        found = evaluator.evaluate([dataset], metrics)[0]["MotChallenge2DBox"][results.name]["COMBINED_SEQ"]
    scores = found["pedestrian"]
    return {name: value for metric in ("HOTA", "CLEAR", "Identity") for name, value in scores[metric].items()}


def seconds(work: Callable[[], object]) -> float:
    """Processor time that it takes."""
    begin = process_time()
    work()
    return process_time() - begin


if __name__ == "__main__":
    sys.exit(main())
