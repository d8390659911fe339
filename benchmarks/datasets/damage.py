"""Look for damaged frames before anything runs, without decoding them unless asked to.

`Benchmark.find` has compared names and counts by then. Here every image is looked at: whether it is there, and whether
its end is that of a whole image (JPEG, PNG). That reads the last few kilobytes of a file, so that OTB-100's 59 thousand
take seconds.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.datasets.benchmark import Found, Problem
from benchmarks.frames import JPEG_END, JPEG_TAIL, Frames, ImageFrames, decode_image

SHOWN = 3  # damaged frames named of a sequence
ENDS = {".jpg": JPEG_END, ".jpeg": JPEG_END, ".png": b"IEND"}


def check(found: Found, decode: bool = False) -> Found:
    """The same with sequences that have damaged frames moved to the problems, in the benchmark's order.

    Args:
        found: what is there by name and count.
        decode: decode every frame, which finds all damage and takes as long as it takes; a video is looked into only
            then.
    """
    whole, problems = [], list(found.problems)
    for sequence in found.sequences:
        damage = list(damaged_frames(sequence.frames, decode))
        if not damage:
            whole.append(sequence)
            continue
        more = f" and {len(damage) - SHOWN} more" if len(damage) > SHOWN else ""
        problems.append(Problem(sequence.name, f"{len(sequence)} whole frames", "; ".join(damage[:SHOWN]) + more))
    order = {name: number for number, name in enumerate(found.benchmark.names or ())}
    problems.sort(key=lambda problem: order.get(problem.sequence, 0))
    return dataclasses.replace(found, sequences=whole, problems=problems)


def damaged_frames(frames: Frames, decode: bool = False) -> Iterator[str]:
    """What is wrong with each frame that is not whole, in words."""
    if isinstance(frames, ImageFrames):
        for file in frames.files:
            if fault := _fault(file) or (_undecodable(file) if decode else ""):
                yield f"{file}: {fault}"
    elif decode:
        try:
            for _ in frames:
                pass
        except ValueError as error:
            yield str(error)


def _fault(file: Path) -> str:
    """What the size and the end of a file say against it."""
    try:
        with open(file, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if not size:
                return "empty"
            end = ENDS.get(file.suffix.lower())
            stream.seek(max(size - JPEG_TAIL, 0))
            return f"truncated ({size} bytes)" if end is not None and end not in stream.read() else ""
    except OSError as error:
        return error.strerror or str(error)


def _undecodable(file: Path) -> str:
    try:
        decode_image(file)
    except ValueError as error:
        return str(error).removeprefix(f"{file}: ")
    return ""
