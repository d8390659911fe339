"""UAV123: 123 low aerial videos, and UAV20L, 20 long ones of them.

``<root>/data_seq/UAV123/<folder>/000001.jpg …`` and ``<root>/anno/UAV123/<sequence>.txt`` (``anno/UAV20L/``), a line
``x,y,w,h`` a frame, counted from 1 as in the toolkit, OTB's; ``NaN,NaN,NaN,NaN`` where the target is out of view.
Several sequences are stretches of one folder (`SEQUENCES`).

Sources: Mueller, Smith, Ghanem, "A Benchmark and Simulator for UAV Tracking", ECCV 2016; stretches as in the got10k
package (uav123.json), which has them from the toolkit's configSeqs.m. Together 112,578 and 58,670 frames, as published.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.datasets.benchmark import Benchmark, Damaged
from benchmarks.datasets.reading import frames, numbers, require_frames, require_start
from benchmarks.frames import Frames, ImageFrames
from benchmarks.sequence import Sequence
from tracker.box import from_otb

FPS = 30.0  # the videos were recorded at 30 to 96 frames a second and annotated at 30

ATTRIBUTES = {  # in the order of the columns of anno/UAV123/att/<sequence>.txt
    "SV": "scale variation",
    "ARC": "aspect ratio change",
    "LR": "low resolution",
    "FM": "fast motion",
    "FOC": "full occlusion",
    "POC": "partial occlusion",
    "OV": "out of view",
    "BC": "background clutter",
    "IV": "illumination variation",
    "VC": "viewpoint change",
    "CM": "camera motion",
    "SOB": "similar object",
}


class Stretch(NamedTuple):
    """Part of a folder: its images `first` … `last`, as they are numbered."""

    folder: str
    first: int
    last: int


def _stretches(table: str) -> dict[str, Stretch]:
    """``bike1 3085, bird1 1-253 775-1477``: bike1 is 1-3085 of its folder, bird1_1 and bird1_2 are parts of bird1."""
    found = {}
    for entry in table.split(","):
        folder, *parts = entry.split()
        for number, part in enumerate(parts, 1):
            first, _, last = part.rpartition("-")
            name = f"{folder}_{number}" if first else folder
            found[name] = Stretch(folder, int(first or 1), int(last))
    return found


SEQUENCES = {
    "UAV123": _stretches("""
bike1 3085, bike2 553, bike3 433, bird1 1-253 775-1477 1573-2437, boat1 901, boat2 799, boat3 901, boat4 553,
boat5 505, boat6 805, boat7 535, boat8 685, boat9 1399, building1 469, building2 577, building3 829, building4 787,
building5 481, car1 1-751 751-1627 1627-2629, car1_s 1475, car2 1321, car2_s 320, car3 1717, car3_s 1300, car4 1345,
car4_s 830, car5 745, car6 1-487 487-1807 1807-2953 2953-3925 3925-4861, car7 1033, car8 1-1357 1357-2575, car9 1879,
car10 1405, car11 337, car12 499, car13 415, car14 1327, car15 469, car16 1-415 415-1993, car17 1057, car18 1207,
group1 1-1333 1333-2515 2515-3925 3925-4873, group2 1-907 907-1771 1771-2683,
group3 1-1567 1567-2827 2827-4369 4369-5527, person1 799, person1_s 1600, person2 1-1189 1189-2623, person2_s 250,
person3 643, person3_s 505, person4 1-1501 1501-2743, person5 1-877 877-2101, person6 901, person7 1-1249 1249-2065,
person8 1-1075 1075-1525, person9 661, person10 1021, person11 721, person12 1-601 601-1621, person13 883,
person14 1-847 847-1813 1813-2923, person15 1339, person16 1147, person17 1-1501 1501-2347, person18 1393,
person19 1-1243 1243-2791 2791-4357, person20 1783, person21 487, person22 199, person23 397, truck1 463, truck2 385,
truck3 535, truck4 1-577 577-1261, uav1 1-1555 1555-2377 2473-3469, uav2 133, uav3 265, uav4 157, uav5 139, uav6 109,
uav7 373, uav8 301, wakeboard1 421, wakeboard2 733, wakeboard3 823, wakeboard4 697, wakeboard5 1675, wakeboard6 1165,
wakeboard7 199, wakeboard8 1543, wakeboard9 355, wakeboard10 469
"""),
    "UAV20L": _stretches("""
bike1 3085, bird1 2437, car1 2629, car3 1717, car6 4861, car8 2575, car9 1879, car16 1993, group1 4873, group2 2683,
group3 5527, person2 2623, person4 2743, person5 2101, person7 2065, person14 2923, person17 2347, person19 4357,
person20 1783, uav1 3469
"""),
}


def read(root: Path, name: str, version: str) -> Sequence:
    """One sequence; see `Benchmark.read`.

    Raises:
        Damaged: something is missing, or ground truth and frames differ in length.
    """
    stretch = SEQUENCES[version][name]
    folder, truth = root / "data_seq" / "UAV123" / stretch.folder, root / "anno" / version / f"{name}.txt"
    if not os.path.isdir(folder):
        raise Damaged(name, f"folder {folder}", "none")
    boxes = numbers(truth, name)
    require_start(boxes, name, truth)
    found = _part(frames(folder, name, images=".", numbered=False), stretch, name)
    require_frames(found, len(boxes), name, f", one for each line of {truth}")
    return Sequence(name, from_otb(boxes), found, attributes=_attributes(root, name, version), fps=FPS)


def _part(found: Frames, stretch: Stretch, name: str) -> Frames:
    if not isinstance(found, ImageFrames):
        if len(found) < stretch.last:
            raise Damaged(name, f"{stretch.last} frames in {stretch.folder}", str(len(found)))
        return found.part(stretch.first - 1, stretch.last)
    numbered = {file.stem: file for file in found.files}
    wanted = [f"{number:06d}" for number in range(stretch.first, stretch.last + 1)]
    if missing := [stem for stem in wanted if stem not in numbered]:
        expected = f"{wanted[0]}.jpg to {wanted[-1]}.jpg in {found.files[0].parent}"
        raise Damaged(name, expected, f"{len(missing)} missing, {missing[0]}.jpg first")
    return ImageFrames(tuple(numbered[stem] for stem in wanted))


def _attributes(root: Path, name: str, version: str) -> frozenset[str]:
    path = root / "anno" / version / "att" / f"{name}.txt"
    if not os.path.isfile(path):
        return frozenset()
    flags = numbers(path, name, columns=len(ATTRIBUTES))[0]
    return frozenset(attribute for attribute, flag in zip(ATTRIBUTES, flags, strict=True) if flag)


def _benchmark(version: str) -> Benchmark:
    names = tuple(SEQUENCES[version])
    reader = partial(read, version=version)
    return Benchmark(version.lower(), version, version, "UAV123_ROOT", reader, names, attributes=ATTRIBUTES)


UAV123 = _benchmark("UAV123")
UAV20L = _benchmark("UAV20L")
