"""OTB, the Online Tracking Benchmark: OTB-2013 (51 targets), OTB-50 (50) and OTB-100 (100).

``<root>/<Sequence>/img/0001.jpg …`` (or ``frames.mp4``) and ``groundtruth_rect.txt``, a line ``x,y,w,h`` a frame, with
pixels counted from 1 and commas, tabs or spaces in between. What deviates from that is written down in `CUTS` and
`SECOND_FILES`; after it every sequence has exactly its official length (`TARGETS`).

Folders are found whatever their case and whether they are called Jogging.1, Jogging-1, jogging_1 or, with both targets
in it, Jogging. Sequences that were cut to the official frames before work as the official folders do.

Sources: Wu, Lim, Yang, "Object Tracking Benchmark", TPAMI 2015; lists, attributes and frame ranges as in the toolkit of
its second author (github.com/jwlim/tracker_benchmark, matlab/util/MakeSequenceConfigVer10.m and …Ver11.m).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.datasets.benchmark import Benchmark, Damaged
from benchmarks.datasets.reading import frames, numbers, require_start
from benchmarks.sequence import Sequence
from tracker.box import from_otb

ATTRIBUTES = {
    "IV": "illumination variation",
    "SV": "scale variation",
    "OCC": "occlusion",
    "DEF": "deformation",
    "MB": "motion blur",
    "FM": "fast motion",
    "IPR": "in-plane rotation",
    "OPR": "out-of-plane rotation",
    "OV": "out of view",
    "BC": "background clutter",
    "LR": "low resolution",
}

CUTS = {  # official frames of a folder that holds more, counted from 1
    "David": (300, 770),  # the dataset's page; its ground truth begins at 300, too
    "Football1": (1, 74),  # the dataset's page
    "Freeman3": (1, 460),  # the dataset's page
    "Freeman4": (1, 283),  # the dataset's page
    "Diving": (1, 215),  # the toolkit
    "Tiger1": (6, 354),  # the toolkit leaves out five frames and five boxes; all published results begin at frame 6
}

SECOND_FILES = {  # several ground truths in one folder
    "Jogging.1": ("Jogging", "groundtruth_rect.1.txt"),
    "Jogging.2": ("Jogging", "groundtruth_rect.2.txt"),
    "Skating2.1": ("Skating2", "groundtruth_rect.1.txt"),
    "Skating2.2": ("Skating2", "groundtruth_rect.2.txt"),
    "Human4": ("Human4", "groundtruth_rect.2.txt"),  # .1 is empty
}
ALIASES = {"Human4": ("Human4-2",)}  # as the dataset's page calls it
GROUND_TRUTH = "groundtruth_rect.txt"


class Target(NamedTuple):
    """What OTB says of a target.

    Attributes:
        frames: official length.
        lists: "2013" and "50", of which it is part besides OTB-100.
        attributes: abbreviations.
    """

    frames: int
    lists: frozenset[str]
    attributes: frozenset[str]


def _targets(table: str) -> dict[str, Target]:
    found = {}
    for line in table.strip().splitlines():
        name, count, lists, *attributes = line.split()
        found[name] = Target(int(count), frozenset(lists.split("+")), frozenset(attributes))
    return found


TARGETS = _targets("""
Basketball     725  2013+50 IV OCC DEF OPR BC
Biker          142  50      SV OCC MB FM OPR OV LR
Bird1          408  50      DEF FM OV
Bird2           99  -       OCC DEF FM IPR OPR
BlurBody       334  50      SV DEF MB FM IPR
BlurCar1       742  -       MB FM
BlurCar2       585  50      SV MB FM
BlurCar3       357  -       MB FM
BlurCar4       380  -       MB FM
BlurFace       493  50      MB FM IPR
BlurOwl        631  50      SV MB FM IPR
Board          698  -       SV MB FM OPR OV BC
Bolt           350  2013+50 OCC DEF IPR OPR
Bolt2          293  -       DEF BC
Box           1161  50      IV SV OCC MB IPR OPR OV BC
Boy            602  2013    SV MB FM IPR OPR
Car1          1020  50      IV SV BC LR
Car2           913  -       IV BC
Car24         3059  -       IV SV BC
Car4           659  2013+50 IV SV
CarDark        393  2013+50 IV BC
CarScale       252  2013+50 SV OCC FM IPR OPR
ClifBar        472  50      SV OCC MB FM IPR OV BC
Coke           291  2013    IV OCC FM IPR OPR
Couple         140  2013+50 SV DEF FM OPR BC
Coupon         327  -       OCC BC
Crossing       120  2013    SV DEF BC
Crowds         347  50      IV DEF BC
Dancer         225  -       SV DEF IPR OPR
Dancer2        150  -       DEF
David          471  2013+50 IV SV OCC DEF MB IPR OPR
David2         537  2013    IPR OPR
David3         252  2013    OCC DEF OPR BC
Deer            71  2013+50 MB FM IPR BC
Diving         215  50      SV DEF IPR
Dog            127  -       SV DEF OPR
Dog1          1350  2013    SV IPR OPR
Doll          3872  2013    IV SV OCC IPR OPR
DragonBaby     113  50      SV OCC MB FM IPR OPR OV
Dudek         1145  2013+50 SV OCC DEF FM IPR OPR OV BC
FaceOcc1       892  2013    OCC
FaceOcc2       812  2013    IV OCC IPR OPR
Fish           476  2013    IV
FleetFace      707  2013    SV DEF MB FM IPR OPR
Football       362  2013+50 OCC IPR OPR BC
Football1       74  2013    IPR OPR BC
Freeman1       326  2013    SV IPR OPR
Freeman3       460  2013    SV IPR OPR LR
Freeman4       283  2013+50 SV OCC IPR OPR LR
Girl           500  2013+50 SV OCC IPR OPR
Girl2         1500  -       SV OCC DEF MB OPR
Gym            767  -       SV DEF IPR OPR
Human2        1128  -       IV SV MB OPR
Human3        1698  50      SV OCC DEF OPR BC
Human4         667  50      IV SV OCC DEF
Human5         713  -       SV OCC DEF
Human6         792  50      SV OCC DEF FM OPR OV
Human7         250  -       IV SV OCC DEF MB FM
Human8         128  -       IV SV DEF
Human9         305  50      IV SV DEF MB FM
Ironman        166  2013+50 IV SV OCC MB FM IPR OPR OV BC
Jogging.1      307  2013    OCC DEF OPR
Jogging.2      307  2013    OCC DEF OPR
Jump           122  50      SV OCC DEF MB IPR OPR
Jumping        313  2013+50 MB FM
KiteSurf        84  -       IV OCC IPR OPR
Lemming       1336  2013    IV SV OCC FM OPR OV
Liquor        1741  2013+50 IV SV OCC MB FM OPR OV BC
Man            134  -       IV
Matrix         100  2013+50 IV SV OCC FM IPR OPR BC
Mhyang        1490  2013    IV DEF OPR BC
MotorRolling   164  2013+50 IV SV MB FM IPR BC
MountainBike   228  2013    IPR OPR BC
Panda         1000  50      SV OCC DEF IPR OPR OV LR
RedTeam       1918  50      SV OCC IPR OPR LR
Rubik         1997  -       SV OCC IPR OPR
Shaking        365  2013+50 IV SV IPR OPR BC
Singer1        351  2013    IV SV OCC OPR
Singer2        366  2013+50 IV DEF IPR OPR BC
Skater         160  -       SV DEF IPR OPR
Skater2        435  -       SV DEF FM IPR OPR
Skating1       400  2013+50 IV SV OCC DEF OPR BC
Skating2.1     473  50      SV OCC DEF FM OPR
Skating2.2     473  50      SV OCC DEF FM OPR
Skiing          81  2013+50 IV SV DEF IPR OPR LR
Soccer         392  2013+50 IV SV OCC MB FM IPR OPR BC
Subway         175  2013    OCC DEF BC
Surfer         376  50      SV FM IPR OPR LR
Suv            945  2013    OCC IPR OV
Sylvester     1345  2013+50 IV IPR OPR
Tiger1         349  2013    IV OCC DEF MB FM IPR OPR
Tiger2         365  2013+50 IV OCC DEF MB FM IPR OPR OV
Toy            271  -       SV FM IPR OPR
Trans          124  -       IV SV OCC DEF
Trellis        569  2013+50 IV SV IPR OPR BC
Twinnings      472  -       SV OPR
Vase           271  -       SV FM IPR
Walking        412  2013+50 SV OCC DEF LR
Walking2       500  2013+50 SV OCC
Woman          597  2013+50 IV SV OCC DEF MB FM OPR
""")  # name, frames, lists, attributes


def read(root: Path, name: str) -> Sequence:
    """One target of OTB; see `Benchmark.read`.

    Raises:
        Damaged: something is missing, or has another length than the official one.
    """
    folder, truth = _find(root, name)
    found = frames(folder, name)
    first, last = _official(name, len(found), f"frames in {folder}")
    found = found.part(first, last)
    boxes = numbers(truth, name)
    first, last = _official(name, len(boxes), f"lines in {truth}")
    boxes = boxes[first:last]
    require_start(boxes, name, truth)
    if (absent := np.isnan(boxes).any(1)).any():
        raise Damaged(name, f"a box in every line of {truth}", f"nan in line {first + int(absent.argmax()) + 1}")
    return Sequence(name, from_otb(boxes), found, attributes=TARGETS[name].attributes)


def canonical(name: str) -> str | None:
    """The name used here of a target as others may write it: ``jogging_1`` → ``Jogging.1``; ``None``: not of OTB."""
    return _CANONICAL.get(_key(name))


def _official(name: str, found: int, what: str) -> tuple[int, int]:
    """Which of so many frames or rows count: 0-based, the last exclusive."""
    wanted = TARGETS[name].frames
    if found == wanted:
        return 0, found
    if name not in CUTS:
        raise Damaged(name, f"{wanted} {what}", str(found))
    first, last = CUTS[name]
    if found < last:
        raise Damaged(name, f"{wanted} {what}, or {last} and more, of which {first} to {last} count", str(found))
    return first - 1, last


def _find(root: Path, name: str) -> tuple[Path, Path]:
    """Folder and ground truth of a target."""
    folders = {_key(path.name): path for path in sorted(root.iterdir()) if os.path.isdir(path)}
    shared, second = SECOND_FILES.get(name, (name, GROUND_TRUTH))
    own = [folders[key] for key in map(_key, (name, *ALIASES.get(name, ()))) if key in folders]
    candidates = [folder / file for folder in own for file in (second, GROUND_TRUTH)]
    if _key(shared) in folders:
        candidates.append(folders[_key(shared)] / second)
    if not candidates:
        raise Damaged(name, f"folder {root / shared}", "none")
    truth = next((path for path in candidates if os.path.isfile(path)), candidates[-1])
    return truth.parent, truth


def _key(name: str) -> str:
    return name.lower().translate(str.maketrans("", "", "-_. "))


_CANONICAL = {_key(alias): name for name in TARGETS for alias in (name, *ALIASES.get(name, ()))}


def _benchmark(name: str, title: str, folder: str, part: str | None) -> Benchmark:
    names = tuple(target for target, said in TARGETS.items() if part is None or part in said.lists)
    return Benchmark(name, title, folder, "OTB_ROOT", read, names, attributes=ATTRIBUTES)


OTB_2013 = _benchmark("otb2013", "OTB-2013", "OTB2013", "2013")
OTB_50 = _benchmark("otb50", "OTB-50", "OTBtb50", "50")
OTB_100 = _benchmark("otb100", "OTB-100", "OTB2015", None)
