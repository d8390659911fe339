"""Draw the reliability of match probabilities: ``python -m learning.association_plot loso.json reliability.png``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw_reliability(result: dict[str, Any], path: Path) -> None:
    """Share of true pairs against probability, and how many pairs there are.

    Args:
        result: of `python -m learning.association loso`: its ``loso.json``.
        path: picture to write.

    Raises:
        KeyError: it is something else.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    whole = result["together"]
    bins = whole["reliability"]
    figure, (curve, count) = pyplot.subplots(
        2, 1, figsize=(5, 5.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    curve.plot((0, 1), (0, 1), color="0.6", linestyle="--", label="calibrated")
    curve.plot(bins["mean"], bins["share"], marker="o", color="#0072b2", label=f"left out, ECE {whole['ece']:.3f}")
    curve.set_ylabel("share of pairs that are one target")
    curve.legend(loc="upper left")
    centres = [(number + 0.5) / len(bins["count"]) for number in range(len(bins["count"]))]
    count.bar(centres, bins["count"], width=0.9 / len(centres), color="#0072b2")
    count.set_yscale("log")
    count.set_ylabel("pairs")
    count.set_xlabel("match probability")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m learning.association_plot", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("result", type=Path, help="loso.json")
    parser.add_argument("output", type=Path, help="picture to write, .png or .svg")
    options = parser.parse_args(argv)
    try:
        draw_reliability(json.loads(options.result.read_text(encoding="utf-8")), options.output)
    except (OSError, ValueError, KeyError) as error:
        print(f"association_plot: error: {options.result}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
