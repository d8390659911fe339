"""GOT-10k: 180 sequences for validation and 180 for the test, whose ground truth a server keeps.

``<root>/val/GOT-10k_Val_000001/00000001.jpg …`` with ``groundtruth.txt`` (``x,y,w,h`` a frame, counted from 1),
``absence.label`` and ``cover.label`` (a whole number a frame) and ``meta_info.ini``; in ``<root>/test/`` the ground
truth is one line. A frame counts if the target is there and, by the label, visible at all (`cover` from 0 to 8); the
first frame does not; boxes are cut to the image before they are compared.

Source: Huang, Zhao, Huang, "GOT-10k: A Large High-Diversity Benchmark for Generic Object Tracking in the Wild", TPAMI
2019, and the got10k package of its authors.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.datasets.benchmark import Benchmark, Damaged
from benchmarks.datasets.reading import frames, numbers, require_frames, require_start
from benchmarks.frames import Frames
from benchmarks.metrics import GOT10K_RULES
from benchmarks.results import load
from benchmarks.sequence import Sequence
from tracker.box import from_got10k, to_got10k

FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of zip files; the same results make the same file


def read(root: Path, name: str, subset: str) -> Sequence:
    """One sequence; see `Benchmark.read`. `root` is the dataset's folder, or that of the subset.

    Raises:
        Damaged: something is missing, or frames, ground truth and labels differ in length.
    """
    folder = (root / subset if os.path.isdir(root / subset) else root) / name
    if not os.path.isdir(folder):
        raise Damaged(name, f"folder {folder}", "none")
    found = frames(folder, name, images=".")
    truth = folder / "groundtruth.txt"
    boxes = numbers(truth, name)
    require_start(boxes, name, truth)
    hidden = subset == "test" and len(boxes) == 1
    if hidden:
        boxes = np.vstack([boxes, np.full((len(found) - 1, 4), np.nan)])
    require_frames(found, len(boxes), name, f", one for each line of {truth}")
    rate, size = _meta(folder / "meta_info.ini")
    if not hidden:
        boxes[~_visible(folder, name, len(boxes))] = np.nan
        size = size or _size(found, name)
    return Sequence(name, from_got10k(boxes), found, fps=rate, hidden=hidden, size=size)


def _visible(folder: Path, name: str, count: int) -> np.ndarray:
    """(N,) whether the target can be seen, by both labels."""
    visible = np.ones(count, bool)
    for file, of in (("absence.label", lambda values: values == 0), ("cover.label", lambda values: values > 0)):
        values = numbers(folder / file, name, columns=1)[:, 0]
        if len(values) != count:
            raise Damaged(name, f"{count} lines in {folder / file}", str(len(values)))
        visible &= of(values)
    return visible


def _meta(path: Path) -> tuple[float | None, tuple[int, int] | None]:
    """Frames a second and (width, height) as the file has them: ``anno_fps: 10Hz``, ``resolution: (1920, 1080)``."""
    text = path.read_text(encoding="utf-8", errors="replace") if os.path.isfile(path) else ""
    rate = re.search(r"^anno_fps:\s*([\d.]+)", text, re.MULTILINE)
    size = re.search(r"^resolution:\s*\((\d+),\s*(\d+)\)", text, re.MULTILINE)
    return float(rate[1]) if rate else None, (int(size[1]), int(size[2])) if size else None


def _size(found: Frames, name: str) -> tuple[int, int]:
    try:
        height, width = found.at(0).shape[:2]
    except ValueError as error:
        raise Damaged(name, "a first frame that can be decoded", str(error)) from error
    return width, height


def write_submission(results: Path, names: Iterable[str], path: Path) -> None:
    """Pack a tracker's results as GOT-10k's server takes them: the got10k package's layout of results, zipped.

    ``<sequence>/<sequence>_001.txt`` has the boxes, ``<sequence>/<sequence>_time.txt`` the seconds of each frame.

    Args:
        results: the tracker's folder, see `benchmarks.results`.
        names: the sequences; the server wants all 180 of the test.
        path: of the zip file, written in one step.

    Raises:
        FileNotFoundError: a sequence has no results.
        ValueError: stored results are damaged, or lack the times.
    """
    partial_path = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial_path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                run = load(results, name)
                if run.seconds is None:
                    raise ValueError(f"{results}: no times of {name}, which the server wants: run it again")
                boxes = "".join(",".join(f"{value:.3f}" for value in box) + "\n" for box in to_got10k(run.boxes))
                times = "".join(f"{seconds:.8f}\n" for seconds in run.seconds)
                archive.writestr(zipfile.ZipInfo(f"{name}/{name}_001.txt", FIRST_DAY), boxes)
                archive.writestr(zipfile.ZipInfo(f"{name}/{name}_time.txt", FIRST_DAY), times)
        os.replace(partial_path, path)
    finally:
        partial_path.unlink(missing_ok=True)


def _benchmark(subset: str) -> Benchmark:
    names = tuple(f"GOT-10k_{subset.title()}_{number:06d}" for number in range(1, 181))
    return Benchmark(
        f"got10k-{subset}",
        f"GOT-10k ({subset})",
        "GOT-10k",
        "GOT10K_ROOT",
        partial(read, subset=subset),
        names,
        rules=GOT10K_RULES,
    )


GOT10K_VAL = _benchmark("val")
GOT10K_TEST = _benchmark("test")
