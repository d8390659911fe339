"""How long a benchmark takes on 1, 8 and 64 workers, from rates measured on footage of its kind.

    python -m benchmarks.hours --benchmark tlp --results results/TinyTLP

The rates are those of the times that `run` stored, plus the time to decode a frame, which a worker that has no second
core also spends. Workers are taken to be alike; what they share (disk, memory) is not in it. Prints Markdown.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Iterable
from collections.abc import Sequence as ListOf
from pathlib import Path

import numpy as np

from benchmarks.datasets import otb, tlp
from benchmarks.results import load

LENGTHS = {
    "tlp": list(tlp.FRAMES.values()),
    "otb100": [target.frames for target in otb.TARGETS.values()],
}
WORKERS = (1, 8, 64)
DECODE_MS = 3.5  # of a 1280×720 JPEG: 285 frames/s (`benchmarks.overhead`)


def main(argv: ListOf[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hours", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--benchmark", choices=LENGTHS, default="tlp", help="how long of it (default: %(default)s)")
    add("--results", type=Path, required=True, metavar="DIR", help="of a benchmark, a folder a tracker")
    add("--decode-ms", type=float, default=DECODE_MS, help="to decode a frame (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        print(table(LENGTHS[options.benchmark], rates(options.results), options.decode_ms))
    except (OSError, ValueError) as error:
        print(f"hours: error: {error}", file=sys.stderr)
        return 2
    return 0


def rates(results: Path) -> dict[str, float]:
    """Tracker → updates a second over all its stored runs, the fastest first.

    Raises:
        ValueError: no stored times.
    """
    found = {}
    for folder in sorted(path.parent for path in results.glob("*/settings.json")):
        runs = [load(folder, file.stem).seconds for file in sorted(folder.glob("*.txt"))]
        seconds = np.concatenate([np.empty(0), *(run[1:] for run in runs if run is not None)])
        if len(seconds):
            found[folder.name] = len(seconds) / float(seconds.sum())
    if not found:
        raise ValueError(f"{results}: no stored times; expected <tracker>/times/<sequence>_time.txt")
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def table(lengths: ListOf[int], fps: dict[str, float], decode_ms: float) -> str:
    """Trackers × workers as Markdown."""
    lines = [
        f"| {sum(lengths):,} frames | frames/s, decoding included | {' | '.join(f'on {n}' for n in WORKERS)} |",
        f"| :-- | --: | {' | '.join('--:' for _ in WORKERS)} |",
    ]
    for name, rate in fps.items():
        whole = 1 / (1 / rate + decode_ms / 1000)
        cells = " | ".join(f"{hours(lengths, whole, workers):.1f} h" for workers in WORKERS)
        lines.append(f"| {name} | {whole:.1f} | {cells} |")
    return "\n".join(lines)


def hours(frames: Iterable[int], fps: float, workers: int) -> float:
    """Hours that a benchmark takes, as the runner shares it out: the longest sequence first, to whoever is free.

    Args:
        frames: of each sequence.
        fps: frames a second of one worker, decoding included.
        workers: how many.

    Raises:
        ValueError: a rate or a number of workers that is not positive.
    """
    if fps <= 0 or workers < 1:
        raise ValueError(f"expected a positive rate and one worker or more, got {fps} frames/s and {workers} workers")
    free_at = [0.0] * workers
    for count in sorted(frames, reverse=True):
        heapq.heapreplace(free_at, free_at[0] + count / fps)
    return max(free_at) / 3600


if __name__ == "__main__":
    sys.exit(main())
