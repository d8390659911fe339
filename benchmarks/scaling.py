"""How tracking scales: several trackers in as many processes, and several targets in one.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --weights ciresnet22 --processes 1 2 --targets 1 4 --json

Processes are started afresh, load the model with one thread each, wait for each other and then track for the same
seconds. Targets share one `MultiTracker`, whose network has as many threads as `--threads` says. Frames are in memory;
reading and decoding them is not counted. On a machine that others use at the same time rates mean little, so the load
is written beside them, and the processor's time for a frame, which depends on it less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from benchmarks.clip import Clip, read_clip
from benchmarks.provenance import machine
from tracker.arguments import positive

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.mp4"
WARM_UP = 5  # frames before anything is counted


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        processes: each with one thread.
        targets: in each.
        frames: per second, of all processes together.
        updates: frames × targets: what had to be found per second.
        speedup: `updates` over those of one process, or one target.
        cpu_ms: processor time for a frame, of all threads, mean over the processes.
    """

    processes: int
    targets: int
    frames: float
    updates: float
    speedup: float
    cpu_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--weights", default="compact", help="trained model (default: %(default)s)")
    add("--runtime", default="auto", help="what runs the network (default: %(default)s)")
    add("--processes", type=positive, nargs="+", default=[1, 2, 4], metavar="N", help="(default: 1 2 4)")
    add("--targets", type=positive, nargs="+", default=[1, 2, 4, 8, 16], metavar="N", help="(default: 1 2 4 8 16)")
    add("--threads", type=positive, default=1, help="of the one process with several targets (default: 1)")
    add("--seconds", type=float, default=5.0, help="of each measurement (default: %(default)s)")
    add("--video", default=str(DEMO), help="frames to track in (default: the bundled clip)")
    add("--box", default=str(DEMO.with_name("demo_box.json")), help="X,Y,W,H or a JSON file (default: the clip's)")
    add("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    try:
        clip = read_clip(options.video, options.box, 40)
        model = (options.weights, options.runtime)
        rows = by_processes(clip, model, options.processes, options.seconds)
        rows += by_targets(clip, model, options.targets, options.threads, options.seconds)
    except (OSError, ValueError) as error:
        parser.exit(2, f"scaling: error: {error}\n")
    where = {"machine": machine(), "cpus": os.cpu_count(), "load": [round(value, 2) for value in os.getloadavg()]}
    if options.json:
        print(json.dumps({**where, "rows": [asdict(row) for row in rows]}))
    else:
        print("\n".join(table(rows)))
        print(f"\n{where['machine']}, load afterwards {where['load']}")
    return 0


def by_processes(clip: Clip, model: tuple[str, str], counts: Sequence[int], seconds: float) -> list[Row]:
    """One target in each of so many processes, all at the same time."""
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch's threads hangs
    rows: list[Row] = []
    for count in counts:
        together, rates = context.Barrier(count), context.Queue()
        arguments = (clip, model, seconds, together, rates)
        workers = [context.Process(target=_worker, args=arguments, daemon=True) for _ in range(count)]
        for worker in workers:
            worker.start()
        found = _collect(workers, rates)
        for worker in workers:
            worker.join()
        if failures := [text for text in found if isinstance(text, str)]:
            raise ValueError(failures[0])
        frames, cpu = sum(each[0] for each in found), sum(each[1] for each in found) / count
        rows.append(Row(count, 1, frames, frames, frames / (rows[0].frames if rows else frames), 1000 * cpu))
    return rows


def by_targets(clip: Clip, model: tuple[str, str], counts: Sequence[int], threads: int, seconds: float) -> list[Row]:
    """So many targets in one process: the clip's, and others beside it."""
    rows: list[Row] = []
    for count in counts:
        frames, cpu = rate(clip, model, count, threads, seconds)
        updates = frames * count
        rows.append(Row(1, count, frames, updates, updates / (rows[0].updates if rows else updates), 1000 * cpu))
    return rows


def rate(
    clip: Clip, model: tuple[str, str], targets: int, threads: int, seconds: float, together: Any = None
) -> tuple[float, float]:
    """Frames per second, and processor seconds per frame.

    Args:
        clip: frames and box.
        model: weights and runtime.
        targets: in each frame; all but the first are boxes of its size, spread over the frame.
        threads: of the network.
        seconds: to track for.
        together: a barrier to pass before the clock starts.
    """
    from tracker.multi import MultiTracker

    # what is lost would be looked for over the whole frame: a cost of its own, which is not measured here
    tracker = MultiTracker.from_pretrained(model[0], runtime=model[1], threads=threads, redetect_every=0)
    width, height = clip.size
    _, _, w, h = clip.box
    tracker.add(clip.frames[0], clip.box)
    for index in range(1, targets):
        x, y = (width - w) * (index * 0.618 % 1), (height - h) * (index / targets)
        tracker.add(clip.frames[0], (x, y, w, h))
    frames = clip.onwards()
    for _ in range(WARM_UP):
        tracker.update(next(frames))
    if together is not None:
        together.wait()
    count, passed, began, used = 0, 0.0, perf_counter(), process_time()
    while passed < seconds:
        tracker.update(next(frames))
        count += 1
        passed = perf_counter() - began
    return count / passed, (process_time() - used) / count


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown."""
    lines = [
        "| processes | targets in each | frames/s, all | targets found/s | speed-up | CPU ms a frame |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        rates = f"{row.frames:.1f} | {row.updates:.1f} | {row.speedup:.2f} | {row.cpu_ms:.1f}"
        lines.append(f"| {row.processes} | {row.targets} | {rates} |")
    return lines


def _collect(workers: Sequence[Any], rates: Any) -> list[Any]:
    """What each process has put, however long loading takes it."""
    found: list[Any] = []
    while len(found) < len(workers):
        try:
            found.append(rates.get(timeout=1.0))
        except queue.Empty:
            if any(worker.exitcode for worker in workers):
                raise ValueError("a process died; is there memory for all of them?") from None
    return found


def _worker(clip: Clip, model: tuple[str, str], seconds: float, together: Any, rates: Any) -> None:
    try:
        rates.put(rate(clip, model, 1, 1, seconds, together))
    except Exception as error:  # whatever it was, the others must not wait for this one
        together.abort()
        rates.put(str(error) or type(error).__name__)


if __name__ == "__main__":
    sys.exit(main())
