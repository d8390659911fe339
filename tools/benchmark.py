"""Measure speed: latency and frame rate of trackers, in turns, and what of the machine's own ceiling they reach.

examples:
  python tools/benchmark.py
      the shipped models with every runtime that is installed, and OpenCV's trackers beside them
  python tools/benchmark.py compact opencv:nano --runtime onnxruntime-int8 torch-fp32 --threads 2 --size 1280x720
  python tools/benchmark.py compact --video clip.mp4 --box 120,80,64,48 --profile --json speed.json --plot speed.png
  python tools/benchmark.py compact --runtime onnxruntime-int8 --threads 2 --soak 20000 --targets 16

A tracker is named as for tools/evaluate.py: a model in weights/, a .safetensors file, opencv:csrt, … All of them live
in this process and take turns over the same frames, which are in memory. What cannot run here is left out, with the
reason. --soak and --targets are about the first of our trackers that runs, with its first runtime and threads.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from tracker.arguments import positive, refuse_existing

EXAMPLES = Path(__file__).parents[1] / "examples"
SUFFIXES = {"json": (".json",), "markdown": (".md",), "plot": (".png", ".svg", ".pdf")}


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("trackers", nargs="*", metavar="TRACKER", help="default: the shipped models, and what OpenCV has")
    add("--runtime", nargs="+", metavar="NAME", help="of our models, such as onnxruntime-int8 (default: all installed)")
    add("--threads", nargs="+", type=positive, metavar="N", help="default: 1 2")
    add("--device", default="cpu", help="of our models (default: %(default)s)")
    add("--peers", type=Path, default=Path("../shared/peers"), metavar="DIR", help="weights of OpenCV's trackers")
    add("--video", metavar="VIDEO", help="default: the bundled clip")
    add("--box", metavar="X,Y,W,H|JSON", help="of the target in the first frame, in the video's own pixels")
    add("--size", type=size, metavar="WxH", help="resize the frames first, such as 1280x720")
    add("--frames", type=positive, default=150, metavar="N", help="of the video, kept in memory (default: %(default)s)")
    add("--rounds", type=positive, default=5, metavar="N", help="turns of each tracker (default: %(default)s)")
    add("--updates", type=positive, default=100, metavar="N", help="of a turn (default: %(default)s)")
    add("--seconds", type=float, default=3.0, help="after which a turn ends early (default: %(default)s)")
    add("--profile", action="store_true", help="show where the milliseconds of a frame go")
    add("--soak", type=positive, default=0, metavar="N", help="also N updates in a row: evenness, growth of memory")
    add("--targets", type=positive, default=0, metavar="N", help="also N targets at once, compared with one")
    add("--json", nargs="?", const="-", metavar="FILE", help="write everything as JSON; without FILE, print only that")
    add("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    add("--plot", type=Path, metavar="FILE", help="draw the latencies: .png, .svg or .pdf")
    add("--overwrite", action="store_true", help="replace files that are there")
    options = parser.parse_args(argv)
    if (options.video is None) != (options.box is None):
        parser.error("--video and --box go together")
    for name, suffixes in SUFFIXES.items():
        path = getattr(options, name)
        if path in (None, "-"):
            continue
        if Path(path).suffix not in suffixes:
            parser.error(f"--{name} {path}: the file's name must end in {' or '.join(suffixes)}")
        try:
            refuse_existing(Path(path), options.overwrite)
        except ValueError as error:
            parser.error(f"--{name} {error}")
        if not Path(path).parent.is_dir():
            parser.error(f"--{name} {path}: there is no such folder")
    return options


def size(text: str) -> tuple[int, int]:
    """``WxH``."""
    width, separator, height = text.partition("x")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected WxH, such as 1280x720, got {text!r}")
    return positive(width), positive(height)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    from benchmarks import latency, speed_report  # here, as it is slow and --help needs none of it
    from benchmarks.clip import read_clip
    from tracker import SiamTracker

    try:
        video, box = options.video or str(EXAMPLES / "demo.mp4"), options.box or str(EXAMPLES / "demo_box.json")
        clip = read_clip(video, box, options.frames, options.size)
        entries = latency.enter(
            options.trackers or [*SiamTracker.available(), *latency.PEERS],
            options.runtime or latency.default_runtimes(options.device),
            options.threads or latency.default_threads(),
            options.device,
            peers=options.peers,
        )
        if not any(entry.tracker for entry in entries):
            raise ValueError("; ".join(dict.fromkeys(entry.failure for entry in entries)))
        measures = (options.rounds, options.updates, options.seconds, options.soak, options.targets)
        speeds = latency.measure(entries, clip, *measures, say)
        if options.markdown:
            command = shlex.join(["python", "tools/benchmark.py", *(sys.argv[1:] if argv is None else argv)])
            options.markdown.write_text(speed_report.markdown(speeds, command), encoding="utf-8")
        if options.plot:
            speed_report.save_plot(speeds, options.plot)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmark: stopped; nothing was measured", file=sys.stderr)
        return 130
    text = json.dumps(speed_report.as_json(speeds), indent=2)
    if options.json not in (None, "-"):
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    print(text if options.json == "-" else speed_report.terminal(speeds, options.profile))
    return 0


def say(text: str) -> None:
    """What is going on, where somebody is looking."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
