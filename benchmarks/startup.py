"""How soon the first tracked frame comes, and how much memory tracking takes.

    python -m benchmarks.startup --video examples/demo.mp4 --box examples/demo_box.json

Three figures, as JSON, each of fresh processes of this Python:

- ``first_frame_seconds``: from the start of a process to the result of its first `update`, by the Python interface;
- ``command_seconds``: a whole ``python -m tracker`` over two frames, from start to exit;
- ``peak_mib``: highest resident memory of ``python -m tracker`` over the whole clip, video and table written.

One run before the others warms the file cache. POSIX only: the peak comes from `wait4`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

FIRST_FRAME = """
import sys
from tracker import SiamTracker, open_source
video, box, weights = sys.argv[1:]
with open_source(video) as source:
    tracker = SiamTracker.from_pretrained(weights)
    tracker.init(next(source).image, [float(value) for value in box.split(",")])
    tracker.update(next(source).image)
print("tracked", flush=True)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", type=Path, default=Path("examples/demo.mp4"), help="(default: %(default)s)")
    parser.add_argument(
        "--box", default="examples/demo_box.json", metavar="X,Y,W,H|JSON", help="(default: %(default)s)"
    )
    parser.add_argument("--weights", default="compact", help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        box = first_box(options.box)
        figures = {
            "first_frame_seconds": median(lambda: first_frame(options.video, box, options.weights), options.runs),
            "command_seconds": median(lambda: command(options.video, box, options.weights, 2)[0], options.runs),
            "peak_mib": command(options.video, box, options.weights, None)[1],
        }
    except (OSError, ValueError, RuntimeError) as error:
        print(f"startup: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({key: round(value, 3) for key, value in figures.items()} | {"runs": options.runs}))
    return 0


def median(measure: Callable[[], float], runs: int) -> float:
    """Median of `runs` measurements after one that does not count."""
    measure()
    return statistics.median(measure() for _ in range(runs))


def first_frame(video: Path, box: str, weights: str) -> float:
    """Seconds from the start of a process to its first tracked frame.

    Raises:
        RuntimeError: the process failed.
    """
    begin = perf_counter()
    arguments = [sys.executable, "-c", FIRST_FRAME, str(video), box, weights]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # it was asked for
        line = process.stdout.readline()
        seconds = perf_counter() - begin
    if line != "tracked\n" or process.returncode:
        raise RuntimeError(f"tracking {video} failed with exit code {process.returncode}")
    return seconds


def command(video: Path, box: str, weights: str, frames: int | None) -> tuple[float, float]:
    """Seconds and peak resident MiB of one ``python -m tracker`` that writes a video and a table.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-m", "tracker", "--video", str(video), f"--box={box}", "--weights", weights]
        arguments += ["--output", f"{folder}/out.mp4", "--save", f"{folder}/out.csv"]
        return run(arguments + (["--max-frames", str(frames)] if frames else []))


def run(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak resident MiB of one process.

    This process stays small on purpose: Linux counts the memory of the process that forks into its child's peak.

    Raises:
        RuntimeError: it failed.
    """
    begin = perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: nothing is left for Popen to wait for
    if process.returncode:
        raise RuntimeError(f"`{' '.join(arguments)}` failed with exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return seconds, usage.ru_maxrss * unit / 2**20


def first_box(text: str) -> str:
    """``X,Y,W,H``, or the first box of a JSON file ``[[x, y, w, h], …]``, as ``X,Y,W,H``."""
    if not text.endswith(".json"):
        return text
    return ",".join(str(value) for value in json.loads(Path(text).read_text())[0])


if __name__ == "__main__":
    sys.exit(main())
