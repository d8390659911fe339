"""What the harness costs: the rate of a tracker that does nothing, relative to decoding the same frames in a bare loop.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --size 1920x1080 --frames 300 --json

Makes a sequence of noise and a moving square in a temporary folder, once as JPEG files and once as a video, decodes it
in a loop that does nothing else, and evaluates the tracker ``still`` over it, results stored; each in turn, several
times, of which the best counts, as other work on the machine can only slow them down. 1.0 is a harness that costs
nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from collections.abc import Sequence as ListOf
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.frames import Frames, ImageFrames, VideoFrames
from benchmarks.runner import evaluate
from benchmarks.sequence import Sequence
from benchmarks.trackers import TrackerSpec
from tracker.arguments import positive

Image = NDArray[np.uint8]


def main(argv: ListOf[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=_size, default=(1280, 720), metavar="WxH", help="of the frames (default: 1280x720)")
    add("--frames", type=positive, default=600, metavar="N", help="(default: %(default)s)")
    add("--runs", type=positive, default=5, metavar="N", help="(default: %(default)s)")
    add("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(argv)
    try:
        figures = measure(options.size, options.frames, options.runs)
    except (OSError, RuntimeError) as error:
        print(f"overhead: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(figures))
        return 0
    width, height = options.size
    print(f"{options.frames} frames of {width}x{height}, best of {options.runs} runs")
    for kind, row in figures.items():
        print(f"{kind:<6}  decode {row['decode']:7.1f}  evaluate {row['evaluate']:7.1f} frames/s  {row['share']:.3f}")
    return 0


def measure(size: tuple[int, int], frames: int, runs: int) -> dict[str, dict[str, float]]:
    """Frames a second of decoding and of evaluating, and their quotient, for JPEG files and for a video.

    Raises:
        RuntimeError: OpenCV cannot write the video, or the evaluation failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return {
            "jpeg": _compare(write_images(folder, size, frames), folder / "jpeg", runs),
            "video": _compare(write_video(folder, size, frames), folder / "video", runs),
        }


def _compare(frames: Frames, results: Path, runs: int) -> dict[str, float]:
    folders = [results / str(run) for run in range(runs)]
    pairs = [(_decode(frames), _evaluate(frames, folder)) for folder in folders]  # in turns: on the same machine
    decode, whole = (len(frames) / min(column) for column in zip(*pairs, strict=True))
    return {"decode": decode, "evaluate": whole, "share": whole / decode}


def write_images(folder: Path, size: tuple[int, int], frames: int) -> Frames:
    """The synthetic sequence as JPEG files."""
    (folder / "img").mkdir()
    files = tuple(folder / "img" / f"{index + 1:06d}.jpg" for index in range(frames))
    for file, frame in zip(files, synthetic(size, frames), strict=True):
        cv2.imwrite(str(file), frame)
    return ImageFrames(files)


def write_video(folder: Path, size: tuple[int, int], frames: int) -> Frames:
    """The synthetic sequence as a video.

    Raises:
        RuntimeError: OpenCV cannot write it here.
    """
    path = folder / "frames.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, size)
    if not writer.isOpened():
        raise RuntimeError("this OpenCV cannot write MPEG-4 video")
    for frame in synthetic(size, frames):
        writer.write(frame)
    writer.release()
    return VideoFrames(path, frames)


def synthetic(size: tuple[int, int], frames: int) -> Iterable[Image]:
    """A square on a blurred scene that moves to and fro: as hard to decode as footage is, roughly."""
    width, height = size
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (height + 64, width + 64, 3), dtype=np.uint8)
    scene = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
    side = min(size) // 4
    for index in range(frames):
        shift = abs(index % 128 - 64)
        frame = scene[shift : shift + height, shift : shift + width].copy()
        frame[side : 2 * side, side + shift : 2 * side + shift] = (40, 200, 120)
        yield frame


def _decode(frames: Frames) -> float:
    """Seconds of a loop that does nothing with the frames."""
    begin = perf_counter()
    for _ in frames:
        pass
    return perf_counter() - begin


def _evaluate(frames: Frames, results: Path) -> float:
    """Seconds of an evaluation, results stored.

    Raises:
        RuntimeError: it failed.
    """
    sequence = Sequence("Synthetic", np.tile([10.0, 10.0, 50.0, 50.0], (len(frames), 1)), frames)
    begin = perf_counter()
    failures = evaluate([TrackerSpec.parse("still")], [sequence], results)
    if failures:
        raise RuntimeError(str(failures[0]))
    return perf_counter() - begin


def _size(text: str) -> tuple[int, int]:
    width, separator, height = text.partition("x")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected WxH, such as 1280x720, got {text!r}")
    return positive(width), positive(height)


if __name__ == "__main__":
    sys.exit(main())
