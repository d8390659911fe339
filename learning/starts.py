"""How well weights track from three starts in each sequence: a mean that hangs less on luck than one pass does.

    python -m learning.starts compact mine.safetensors --data ../shared/data/otb
    python -m learning.starts compact --data ../shared/data/video --sequences VOT/book TLD/car --states

Success AUC as `learning.tuning` has it: from the first frame, and from one and two thirds of the frames that show the
target, to the end. Footage of a benchmark may be measured here; what is chosen by that number is chosen on the test.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.datasets import folder
from learning.calibration import Video
from learning.tuning import judge_of
from tracker.arguments import positive
from tracker.model import Model


def measure(models: Sequence[Model], data: Path, names: Sequence[str], states: bool = False) -> dict[str, list[float]]:
    """Success AUC in [0, 1] of each model by sequence.

    Args:
        models: what tracks.
        data: folder of the sequences.
        names: of the sequences in it.
        states: let the trackers give up as they do in use; otherwise they never do.

    Raises:
        ValueError: there is no such sequence, it is damaged, or it shows its target in a single frame.
    """
    found = {}
    for name in names:  # one after another: decoded, all of them would fill the memory
        sequence = folder.read(data, name)
        video = Video(name, list(sequence.frames), sequence.boxes)
        found[name] = [judge_of(model, [video], states)({}, name) for model in models]
    return found


def table(titles: Sequence[str], found: dict[str, list[float]]) -> str:
    """A row a sequence, and the mean."""
    rows = {**found, "mean": np.mean(list(found.values()), axis=0).tolist()}
    lines = [f"| sequence | {' | '.join(titles)} |", "| :-- |" + " --: |" * len(titles)]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(f'{v:.3f}' for v in row)} |" for name, row in rows.items())])


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m learning.starts", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weights", nargs="+", help="shipped models' names or .safetensors files")
    parser.add_argument("--data", type=Path, required=True, help="folder of sequences, e.g. ../shared/data/otb")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="in it (default: all)")
    parser.add_argument("--states", action="store_true", help="give up as in use (default: never LOST)")
    parser.add_argument("--runtime", default="auto", help="of the networks (default: auto)")
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(argv)
    try:
        models = [Model(each, options.runtime, "cpu", options.threads) for each in options.weights]
        names = options.sequences or folder.sequences_in(options.data)
        found = measure(models, options.data, names, options.states)
    except (OSError, ValueError) as error:
        print(f"starts: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found) if options.json else table(options.weights, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
