"""What the single-object tracker gives where the detector works only now and then.

    python -m benchmarks.bridging ../shared/data/mot/PETS09-S2L1 --weights association --every 1 2 4 8

Of a sequence's detections, those of every k-th frame are kept, as if the detector had no time for more. The same
associators run without and with `TargetBridge`; all are scored on every frame. What is drawn between detections costs
an online tracker nothing: so the straight line between two detections, which needs the later one, stands beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.mot import Rows, compare, read_rows, score
from benchmarks.mot.rules import RULES
from benchmarks.mot.text import read_length
from tracker.association.detections import Detections
from tracker.association.flow import FlowAssociator, collect_tracks
from tracker.association.gaps import fill_gaps
from tracker.association.model import AssociationModel
from tracker.association.mot_text import read_detections, read_frame_rate
from tracker.association.motion_target import TargetBridge
from tracker.association.online import OnlineAssociator
from tracker.association.track import Track
from tracker.frame import Image
from tracker.multi import MultiTracker
from tracker.sources import open_source

METHODS = ("online", "online, lines", "online + tracker", "flow", "flow + tracker")
SCORES = ("MOTA", "IDF1", "HOTA", "IDSW", "CLR_FP", "CLR_FN")


def thinned(detections: Mapping[int, Detections], every: int) -> dict[int, Detections]:
    """The detections of every `every`-th frame, counted from 0."""
    return {frame: found for frame, found in detections.items() if frame % every == 0}


def slow_tracks(
    model: AssociationModel, rate: float, detections: Mapping[int, Detections], every: int
) -> tuple[list[Track], list[Track]]:
    """What both associators make of detections alone, online and flow; to them the video has every k-th frame only.

    Frames are numbered and timed as they are without the others, so that no frame counts as a miss in which nobody
    looked.
    """
    seen = {frame // every: replace(found, frame=frame // every) for frame, found in sorted(detections.items())}
    associator = OnlineAssociator(model, rate / every)
    online = collect_tracks((found, associator.update(found)) for found in seen.values())
    flow = FlowAssociator(model, rate / every).run(seen)
    stretched = [[replace(track, frames=track.frames * every) for track in tracks] for tracks in (online, flow)]
    return stretched[0], stretched[1]


def bridged_tracks(
    model: AssociationModel,
    rate: float,
    detections: Mapping[int, Detections],
    images: Iterable[Image],
    tracker: MultiTracker,
) -> tuple[list[Track], dict[int, Detections], float]:
    """The online associator with the tracker across missed detections.

    Returns:
        Its tracks, the detections with what the tracker added, and seconds spent a frame.
    """
    associator, bridge = OnlineAssociator(model, rate), TargetBridge(tracker, rate)
    rows: list[tuple[Detections, NDArray[np.int64]]] = []
    filled, seconds = {}, 0.0
    for frame, image in enumerate(images):
        since = time.perf_counter()
        more = bridge.fill(detections.get(frame, Detections(frame, np.empty((0, 4)))), image)
        ids = bridge.take(more, associator.update(more))
        seconds += time.perf_counter() - since
        alone = replace(more, image=None)  # a long video's images would not fit into memory
        rows.append((alone, ids))
        filled[frame] = alone.select((alone.followed < 0) | (ids > 0))
    return collect_tracks(rows), filled, seconds / max(1, len(rows))


def score_tracks(tracks: Sequence[Track], truth: Rows, length: int) -> dict[str, float]:
    """CLEAR, IDF1 and HOTA of a sequence of `length` frames."""
    frame = np.concatenate([np.empty(0, np.int64), *(track.frames for track in tracks)])
    ids = np.concatenate([np.empty(0, np.int64), *(np.full(len(track), track.id) for track in tracks)])
    box = np.concatenate([np.empty((0, 4)), *(track.xywh for track in tracks)])
    order = np.argsort(frame, kind="stable")
    order = order[frame[order] < length]
    ones, number = np.ones(len(order)), np.arange(len(order))
    found = Rows("tracks", frame[order], ids[order], box[order], ones, np.full(len(order), -1, np.int64), number)
    values = score(compare(truth, found, RULES["any"], length)).scores()
    return {name: float(values[name]) for name in SCORES}


def measure(
    folder: Path,
    weights: str,
    every: Sequence[int],
    bridge: str = "compact",
    first: int = 0,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """One row for each k and method.

    Args:
        folder: of the sequence: frames.mp4, det/det.txt, gt/gt.txt, seqinfo.ini.
        weights: of the match probability.
        every: k, of several trials.
        bridge: weights of the single-object tracker.
        first: frame from which on is tracked and scored, 0-based; what lies before was learned from.
        threads: of the tracker.

    Raises:
        OSError, ValueError: something is missing or wrong.
    """
    model = AssociationModel.read(weights)
    rate = read_frame_rate(folder / "seqinfo.ini")
    truth, everything = read_rows(folder / "gt" / "gt.txt"), read_detections(folder / "det" / "det.txt")
    length = (read_length(folder / "seqinfo.ini") or int(truth.frame.max()) + 1) - first
    kept = truth.frame >= first
    columns = {name: getattr(truth, name)[kept] for name in ("id", "box", "score", "category", "line")}
    truth = replace(truth, frame=truth.frame[kept] - first, **columns)
    everything = {n - first: replace(found, frame=n - first) for n, found in everything.items() if n >= first}
    rows = []
    for step in every:
        detections = thinned(everything, step)
        online, flow = slow_tracks(model, rate, detections, step)
        tracker = MultiTracker.from_pretrained(bridge, threads=threads)
        with open_source(folder / "frames.mp4", start=first) as source:
            images = (frame.image for frame in source)
            followed, filled, seconds = bridged_tracks(model, rate, detections, images, tracker)
        longest = max(step, round(model.costs.fill * rate))
        found = {
            "online": online,
            "online, lines": [fill_gaps(track, longest) for track in online],
            "online + tracker": followed,
            "flow": [fill_gaps(track, longest) for track in flow],
            "flow + tracker": FlowAssociator(model, rate).run({n: part for n, part in filled.items() if len(part)}),
        }
        for name in METHODS:
            speed = {"fps": 1 / seconds} if name == "online + tracker" and seconds else {}
            rows.append({"every": step, "method": name, **score_tracks(found[name], truth, length), **speed})
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown, MOTA, IDF1 and HOTA in per cent."""
    lines = ["| every | | MOTA | IDF1 | HOTA | switches | false | missed |", "|--:|---|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        shares = " | ".join(f"{100 * row[name]:.1f}" for name in SCORES[:3])
        counts = " | ".join(f"{row[name]:.0f}" for name in SCORES[3:])
        lines.append(f"| {row['every']} | {row['method']} | {shares} | {counts} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridging", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("sequence", type=Path, help="folder: frames.mp4, det/det.txt, gt/gt.txt, seqinfo.ini")
    add("--weights", default="association", help="of the match probability, name or path (default: %(default)s)")
    add("--bridge", default="compact", help="weights of the single-object tracker (default: %(default)s)")
    add("--every", type=int, nargs="+", default=[1, 2, 4, 8], metavar="K", help="frames (default: 1 2 4 8)")
    add("--first", type=int, default=1, help="frame from which on is scored, counted from 1 (default: %(default)s)")
    add("--threads", type=int, help="of the tracker")
    add("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(argv)
    try:
        if min(*options.every, options.first, 1) < 1:
            raise ValueError("--every and --first count from 1")
        rows = measure(
            options.sequence, options.weights, options.every, options.bridge, options.first - 1, options.threads
        )
    except (OSError, ValueError) as error:
        print(f"bridging: {error}", file=sys.stderr)
        return 2
    print(json.dumps(rows) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
