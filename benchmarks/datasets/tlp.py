"""TLP, "Track Long and Prosper": 50 videos of minutes; TinyTLP, their first 600 frames; TLPattr, 90 short clips.

``<root>/<Sequence>/img/00001.jpg …`` (or ``frames.mp4``) and ``groundtruth_rect.txt``, six whole numbers a frame:
``frame,x,y,w,h,isLost``. Where a set was packed with four columns (``x,y,w,h``, nan where the target is absent) beside
the original ``groundtruth_tlp_raw.txt``, the original is read.

Source: Moudgil, Gandhi, "Long-term Visual Object Tracking Benchmark", ACCV 2018 (arXiv 1712.01358),
https://amoudgl.github.io/tlp/.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.benchmark import Benchmark, Damaged
from benchmarks.datasets.reading import frames, numbers, require_frames, require_start
from benchmarks.metrics import TLP_RULES
from benchmarks.sequence import Sequence

Floats = NDArray[np.float64]

TLP_FIRST_PIXEL = 0
"""Coordinate of the leftmost and topmost pixel in TLP's files. The authors do not say. Boxes that were cut at the
image's border have x = 0 or y = 0 in their files (ISS, Drone2, PolarBear2, Hideaway: clips ov_ISS_300, ov_Drone2_5043,
ov_PolarBear2_580, sv_Hideaway_3900 of TLPattr), which a count from 1 would not have. `read` takes another value, so
that the effect on the scores can be measured."""

TINY = 600  # frames

FRAMES = {
    "Alladin": 8_992,
    "Aquarium1": 7_337,
    "Aquarium2": 8_182,
    "Badminton1": 15_240,
    "Badminton2": 16_920,
    "Basketball": 17_970,
    "Bharatanatyam": 15_936,
    "Bike": 4_196,
    "Billiards1": 20_375,
    "Billiards2": 20_070,
    "Boat": 6_234,
    "Boxing1": 20_670,
    "Boxing2": 21_180,
    "Boxing3": 19_590,
    "BreakfastClub": 22_600,
    "CarChase1": 8_932,
    "CarChase2": 14_010,
    "CarChase3": 22_860,
    "Dashcam": 10_260,
    "DriftCar1": 10_130,
    "DriftCar2": 8_572,
    "Drone1": 4_320,
    "Drone2": 8_812,
    "Drone3": 6_594,
    "Elephants": 4_376,
    "Helicopter": 17_053,
    "Hideaway": 5_900,
    "IceSkating": 8_125,
    "ISS": 28_562,
    "Jet1": 7_403,
    "Jet2": 18_882,
    "Jet3": 17_953,
    "Jet4": 10_160,
    "Jet5": 13_675,
    "KinBall1": 20_230,
    "KinBall2": 13_575,
    "KinBall3": 14_940,
    "Lion": 6_570,
    "Mohiniyattam": 15_456,
    "MotorcycleChase": 5_550,
    "Parakeet": 21_609,
    "PolarBear1": 9_501,
    "PolarBear2": 27_153,
    "PolarBear3": 9_531,
    "Puppies1": 17_730,
    "Puppies2": 22_620,
    "Rope": 17_503,
    "Sam": 4_628,
    "Violinist": 6_844,
    "ZebraFish": 10_920,
}
"""Length of each video: counts of images by which others load the set (github.com/rvpagehhj/
VideoCube-VastTrack-UAV20L-TLP-dataset-for-pytracking). Together 676,431, as published: 676 k, 13,529 on average. The
frame rate is 24 or 30 a second; which, is not published by sequence."""

ATTRIBUTES = {
    "FM": "fast motion",
    "IV": "illumination variation",
    "SV": "scale variation",
    "OCC": "partial occlusion",
    "OV": "out of view",
    "BC": "background clutter",
}


def read(root: Path, name: str, length: int | None = None, first_pixel: float = TLP_FIRST_PIXEL) -> Sequence:
    """One sequence of TLP, or the beginning of one; see `Benchmark.read`.

    Args:
        root: folder of the sequences.
        name: of the sequence.
        length: keep so many frames, and refuse fewer; ``None``: all of them.
        first_pixel: coordinate of the leftmost and topmost pixel in the file.

    Raises:
        Damaged: something is missing, or frames and ground truth differ in length.
    """
    folder = root / name
    if not os.path.isdir(folder):
        raise Damaged(name, f"folder {folder}", "none")
    found = frames(folder, name)
    boxes, path = _boxes(folder, name)
    if length is not None and len(boxes) > length:
        boxes, found = boxes[:length], found.part(0, length) if len(found) > length else found
    elif length is not None and len(boxes) < length:
        raise Damaged(name, f"{length} lines in {path}", str(len(boxes)))
    require_frames(found, len(boxes), name, f", one for each line of {path}")
    require_start(boxes, name, path)
    attribute = name.partition("_")[0].upper()
    attributes = frozenset({attribute} & ATTRIBUTES.keys())
    return Sequence(name, boxes - (first_pixel, first_pixel, 0, 0), found, attributes=attributes)


def identity(name: str) -> str:
    """Whose target it is: clips of TLPattr are called ``<attribute>_<video of TLP>_<first frame>``."""
    attribute, _, rest = name.partition("_")
    return rest.rpartition("_")[0] if attribute.upper() in ATTRIBUTES and "_" in rest else name


def clips(root: Path) -> list[str]:
    """Names of TLPattr's clips, as they lie there."""
    return sorted(path.name for path in root.iterdir() if os.path.isdir(path) and path.name[0] != ".")


def _read_whole(root: Path, name: str) -> Sequence:
    sequence = read(root, name)
    require_frames(sequence.frames, FRAMES[name], name, " of TLP")
    return sequence


def _boxes(folder: Path, name: str) -> tuple[Floats, Path]:
    """(N, 4) boxes as they stand in the file, NaN where the target is absent, and the file."""
    raw, path = folder / "groundtruth_tlp_raw.txt", folder / "groundtruth_rect.txt"
    if os.path.isfile(raw):
        path = raw
    elif _columns(path) == 4:
        return numbers(path, name), path
    rows = numbers(path, name, columns=6)
    if (steps := np.diff(rows[:, 0]) != 1).any():
        row = int(steps.argmax()) + 1
        raise Damaged(name, f"frame {rows[row - 1, 0] + 1:g} in line {row + 1} of {path}", f"{rows[row, 0]:g}")
    boxes = rows[:, 1:5].copy()
    boxes[rows[:, 5] != 0] = np.nan
    return boxes, path


def _columns(path: Path) -> int:
    """How many numbers stand in the first line; 0 if it cannot be read."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return len(re.findall(r"[^,;\s]+", file.readline()))
    except (OSError, UnicodeDecodeError):
        return 0


TLP = Benchmark("tlp", "TLP", "TLP", "TLP_ROOT", _read_whole, tuple(FRAMES), rules=TLP_RULES)
TINY_TLP = Benchmark(
    "tinytlp", "TinyTLP", "TinyTLP", "TINYTLP_ROOT", partial(read, length=TINY), tuple(FRAMES), rules=TLP_RULES
)
TLP_ATTR = Benchmark(
    "tlpattr",
    "TLPattr",
    "TLPattr",
    "TLPATTR_ROOT",
    read,
    listing=clips,  # 90 clips, 15 an attribute, are published, but no list of them
    rules=TLP_RULES,
    attributes=ATTRIBUTES,
)
