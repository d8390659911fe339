"""Label unlabelled video by a tracker, and keep what it follows there and back again.

examples:
  python tools/label.py holiday.mp4 street.mp4 --output mine --tracker opencv:nano
  python tools/label.py holiday.mp4 --box 120,80,60,90 --output mine
  python tools/train.py compact --data mine --layout sequences --output mine.safetensors
  python tools/label.py --check ../shared/data/video --tracker compact

Each piece of --length frames becomes up to --boxes sequences below --output; labels.jsonl there records every candidate
and why it was dropped. Pieces that are in it are left out, so that a run that was stopped goes on. --check labels
footage whose ground truth is known instead, and says how good the labels are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from tracker.arguments import box, positive


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("videos", nargs="*", metavar="VIDEO", type=Path, help="files, or folders of images")
    add("--output", type=Path, help="folder of the sequences and their record")
    add(
        "--tracker",
        default="compact",
        help="as tools/evaluate.py takes it: compact, opencv:nano (default: %(default)s)",
    )
    add(
        "--box", action="append", type=box, default=[], metavar="X,Y,W,H", help="what to follow from the first frame on"
    )
    add("--boxes", type=positive, default=3, help="to propose in each piece without --box (default: %(default)s)")
    add("--length", type=positive, default=60, help="frames of a piece (default: %(default)s)")
    add("--longest-side", type=positive, default=512, help="larger frames are scaled down to it (default: %(default)s)")
    add("--closing", type=float, help="overlap of the way back with the first box that keeps a track (default: 0.7)")
    add("--agreement", type=float, help="overlap of both ways that keeps a frame (default: 0.5)")
    add("--motion", type=float, help="sides that a box must move to be worth its frames (default: 0.25)")
    add("--check", type=Path, metavar="DIR", help="label its sequences instead and compare with their ground truth")
    add("--sequences", nargs="+", metavar="NAME", help="of --check (default: all)")
    add("--threads", type=positive, default=1, help="CPU threads (default: %(default)s)")
    add("--device", default="cpu", help="cpu or cuda, for our models (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(argv)
    if options.check is None and not (options.videos and options.output):
        parser.error("give videos and --output, or --check DIR")
    if options.box and len(options.videos) > 1:
        parser.error("--box goes with a single video")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    import cv2  # here, as what follows: --help and wrong arguments need none of it

    from benchmarks.trackers import TrackerSpec
    from learning.labels import LabelConfig

    cv2.setNumThreads(options.threads)
    changes = {name: getattr(options, name) for name in ("closing", "agreement", "motion")}
    config = LabelConfig(**{name: value for name, value in changes.items() if value is not None})
    try:
        spec = TrackerSpec.parse(options.tracker, device=options.device, threads=options.threads)
        job = check if options.check else label
        print(job(options, spec, config))
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        print(f"label: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("label: stopped; the same command goes on with the next piece", file=sys.stderr)
        return 130
    return 0


def label(options: argparse.Namespace, spec: Any, config: Any) -> str:
    """Label the videos; what is printed in the end."""
    from learning.labels import label_video, summary

    tracker, lines = spec.load(), []
    for video in options.videos:
        found = label_video(
            tracker,
            video,
            options.output,
            spec.name,
            options.box,
            options.boxes,
            options.length,
            config,
            options.longest_side,
        )
        for line in found:
            lines.append(line)
            said = line["dropped"] or f"{line['frames']} frames in {options.output / line['sequence']}"
            print(f"{video} from frame {line['start']}: {said}", file=sys.stderr)
    counts = summary(lines)
    if options.json:
        return json.dumps(counts)
    reasons = "".join(f"\n  dropped {count}: {reason}" for reason, count in counts["dropped"].items())
    kept = f"kept {counts['kept']} of {counts['candidates']} candidates, {counts['frames']} labelled frames"
    return f"{kept} in {options.output}{reasons}"


def check(options: argparse.Namespace, spec: Any, config: Any) -> str:
    """Label footage whose boxes are known; what is printed in the end."""
    from benchmarks.datasets.folder import read, sequences_in
    from learning.calibration import Video
    from learning.labels import check as compare

    names = options.sequences or sequences_in(options.check)
    sequences = (read(options.check, name) for name in names)  # one after another: their frames fill the memory
    videos = (Video(sequence.name, list(sequence.frames), sequence.boxes) for sequence in sequences)
    precision, tracks = compare(spec.load(), videos, options.length, config)
    if options.json:
        return json.dumps(
            {"boxes": {name: dataclasses.asdict(row) for name, row in precision.items()}, "tracks": tracks}
        )
    lines = [f"{'boxes':<10}{'number':>8}{'mean IoU':>10}{'IoU > 0.5':>11}"]
    lines += [f"{name:<10}{row.boxes:>8}{row.overlap:>10.3f}{row.right:>11.3f}" for name, row in precision.items()]
    lines += [f"tracks {'' if reason == 'kept' else 'dropped, '}{reason}: {count}" for reason, count in tracks.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
