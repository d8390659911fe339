"""Track in several videos at once, one process each: one line of JSON a result, as they come.

    python examples/multiprocess_tracking.py --video 0 --box 280,200,80,80 --video 1 --box 10,20,60,60
    python examples/multiprocess_tracking.py --video a.mp4 --box 1,2,30,40 --video b.mp4 --box 5,6,70,80 --threads 1

Processes are started afresh ("spawn"): a forked copy of a process that has used torch's threads hangs. The tracker
travels pickled, which takes the model's name and the target along, and loads its weights there. Frames are read where
they are tracked in; only results come back. One thread a process is best where there are as many processes as cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import signal
import sys
from collections.abc import Iterator
from typing import Any

from tracker import SiamTracker, open_source
from tracker.arguments import box
from tracker.endings import exit_code
from tracker.result import Box

Row = tuple[str, int, float, Box, float, str]  # video, frame, time, box, score, state


def follow(number: int, video: str, box: Box, tracker: SiamTracker, results: Any) -> None:
    """One process: put `(number, row)` for every frame, and `(number, None or what went wrong)` at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        with open_source(video) as source:
            for frame in source:
                if tracker.target is None:
                    result = tracker.init(frame.image, box, frame.timestamp)
                else:
                    result = tracker.update(frame.image, frame.timestamp)
                row: Row = (video, frame.index, frame.timestamp, result.box, result.score, result.state.value)
                results.put((number, row))
        results.put((number, None))
    except (OSError, ValueError) as error:
        results.put((number, str(error)))


def track_all(jobs: list[tuple[str, Box]], tracker: SiamTracker) -> Iterator[Row]:
    """Results of all videos as they come; processes end with the iteration.

    Args:
        jobs: videos with the box in their first frame.
        tracker: a copy of it goes to each process.

    Raises:
        RuntimeError: a video failed, or its process died; the others are stopped.
    """
    context = multiprocessing.get_context("spawn")
    results = context.Queue(maxsize=100 * len(jobs))  # a slow reader slows the trackers, and memory stays bounded
    workers = {
        number: context.Process(target=follow, args=(number, video, box, tracker, results), daemon=True)
        for number, (video, box) in enumerate(jobs)
    }
    for worker in workers.values():
        worker.start()
    try:
        running = set(workers)
        while running:
            try:
                number, row = results.get(timeout=1.0)
            except queue.Empty:
                for number in running:
                    if not workers[number].is_alive() and results.empty():
                        code = workers[number].exitcode
                        raise RuntimeError(f"{jobs[number][0]}: the process died, exit code {code}") from None
                continue
            if isinstance(row, str):
                raise RuntimeError(row)
            if row is None:
                running.remove(number)
            else:
                yield row
    finally:
        for worker in workers.values():
            worker.terminate()
            worker.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--video", action="append", required=True, help="file, camera index, URL or robot log; repeat")
    add("--box", action="append", type=box, required=True, metavar="X,Y,W,H", help="of each video's target")
    add("--weights", default="compact", help="trained model (default: %(default)s)")
    add("--threads", type=int, default=1, help="CPU threads of each process (default: 1)")
    options = parser.parse_args()
    if len(options.video) != len(options.box):
        parser.error(f"there are {len(options.video)} videos and {len(options.box)} boxes")

    def run() -> None:
        tracker = SiamTracker.from_pretrained(options.weights, threads=options.threads)
        for row in track_all(list(zip(options.video, options.box, strict=True)), tracker):
            names = ("video", "frame", "time", "box", "score", "state")
            print(json.dumps(dict(zip(names, row, strict=True))), flush=True)

    return exit_code("multiprocess_tracking", run)


if __name__ == "__main__":
    sys.exit(main())
