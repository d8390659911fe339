"""LaSOT: the 280 test sequences, four of each of 70 kinds of target.

``<root>/airplane/airplane-1/`` or ``<root>/airplane-1/`` with ``img/00000001.jpg …``, ``groundtruth.txt`` (``x,y,w,h``
a frame, counted from 1) and one line of 0 and 1, a number a frame, in ``full_occlusion.txt`` and ``out_of_view.txt``:
where either is 1 the target is absent, and the frame does not count.

Sources: Fan et al., "LaSOT: A High-quality Benchmark for Large-scale Single Object Tracking", CVPR 2019; the list of
the test, testing_set.txt, as in the got10k package; that boxes count from 1 is the first author's word
(github.com/HengLan/LaSOT_Evaluation_Toolkit, issue 14). Known errors (issues 10 and 19): frame 118 of tiger-6 and frame
553 of lion-5 have boxes of negative size; such a frame counts as a miss, as in the toolkits.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from benchmarks.datasets.benchmark import Benchmark, Damaged
from benchmarks.datasets.reading import frames, numbers, require_frames, require_start
from benchmarks.sequence import Sequence
from tracker.box import from_otb

TEST = """
airplane 1 9 13 15, basketball 1 6 7 11, bear 2 4 6 17, bicycle 2 7 9 18, bird 2 3 15 17, boat 3 4 12 17,
book 3 10 11 19, bottle 1 12 14 18, bus 2 5 17 19, car 2 6 9 17, cat 1 3 18 20, cattle 2 7 12 13, chameleon 3 6 11 20,
coin 3 6 7 18, crab 3 6 12 18, crocodile 3 4 10 14, cup 1 4 7 17, deer 4 8 10 14, dog 1 7 15 19, drone 2 7 13 15,
electricfan 1 10 18 20, elephant 1 12 16 18, flag 2 3 5 9, fox 2 3 5 20, frog 3 4 9 20, gametarget 1 2 7 13,
gecko 1 5 16 19, giraffe 2 10 13 15, goldfish 3 7 8 10, gorilla 4 6 9 13, guitar 3 8 10 16, hand 2 3 9 16,
hat 1 2 5 18, helmet 5 11 13 19, hippo 1 7 9 20, horse 1 4 12 15, kangaroo 2 5 11 14, kite 4 6 10 15,
leopard 1 7 16 20, licenseplate 6 12 13 15, lion 1 5 12 20, lizard 1 3 6 13, microphone 2 6 14 16, monkey 3 4 9 17,
motorcycle 1 3 9 18, mouse 1 8 9 17, person 1 5 10 12, pig 2 10 13 18, pool 3 7 12 15, rabbit 10 13 17 19,
racing 10 15 16 20, robot 1 5 8 19, rubicCube 1 6 14 19, sepia 6 8 13 16, shark 2 3 5 6, sheep 3 5 7 9,
skateboard 3 8 16 19, spider 14 16 18 20, squirrel 8 11 13 19, surfboard 4 5 8 12, swing 10 14 17 20, tank 6 9 14 16,
tiger 4 6 12 18, train 1 7 11 20, truck 3 6 7 16, turtle 5 8 9 16, umbrella 2 9 17 19, volleyball 1 13 18 19,
yoyo 7 15 17 19, zebra 10 14 16 17
"""  # kind, and the numbers of its test sequences


def read(root: Path, name: str) -> Sequence:
    """One sequence; see `Benchmark.read`.

    Raises:
        Damaged: something is missing, or frames, ground truth and labels differ in length.
    """
    folder = folder_of(root, name)
    if not os.path.isdir(folder):
        raise Damaged(name, f"folder {folder}", "none")
    truth = folder / "groundtruth.txt"
    boxes = numbers(truth, name)
    require_start(boxes, name, truth)
    found = frames(folder, name)
    require_frames(found, len(boxes), name, f", one for each line of {truth}")
    for file in ("full_occlusion.txt", "out_of_view.txt"):
        boxes[_flags(folder / file, name, len(boxes))] = np.nan
    return Sequence(name, from_otb(boxes), found)


def folder_of(root: Path, name: str) -> Path:
    """Where a sequence lies: by itself, or in the folder of its kind."""
    kind = name.rpartition("-")[0]
    return root / kind / name if os.path.isdir(root / kind) else root / name


def _flags(path: Path, name: str, count: int) -> np.ndarray:
    """(N,) booleans of a file of zeros and ones."""
    expected = f"{count} zeros and ones in {path}"
    try:
        values = re.findall(r"[^,\s]+", path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(name, expected, f"cannot read it: {error}") from error
    if len(values) != count:
        raise Damaged(name, expected, str(len(values)))
    if odd := set(values) - {"0", "1"}:
        raise Damaged(name, expected, f"{min(odd)!r} among them")
    return np.array(values) == "1"


def _names() -> tuple[str, ...]:
    entries = (entry.split() for entry in TEST.split(","))
    return tuple(f"{kind}-{number}" for kind, *numbers_of in entries for number in numbers_of)


LASOT = Benchmark("lasot", "LaSOT", "LaSOT", "LASOT_ROOT", read, _names())
