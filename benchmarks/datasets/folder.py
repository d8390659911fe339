"""Any folder of sequences in OTB's layout, whatever they are.

``<root>/<sequence>/groundtruth_rect.txt`` holds a line ``x,y,w,h`` for every frame, separated by commas, tabs or
spaces; a row of ``nan`` says that the target is absent. The frames are the images in ``<sequence>/img/`` or the video
``<sequence>/frames.mp4``. Sequences may lie a level deeper, ``<root>/<set>/<sequence>/``, and `root` may be one itself.

Boxes count pixels from 1, as OTB's do. Packed sets carry a ``sequence.json`` that names the benchmark they are of;
where it is another one than OTB, boxes count from 0.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.datasets.benchmark import Benchmark, Damaged
from benchmarks.datasets.reading import frames, numbers, require_frames, require_start
from benchmarks.sequence import Sequence
from tracker.box import from_otb

GROUND_TRUTH = "groundtruth_rect.txt"
DESCRIPTION = "sequence.json"


def read_sequence(folder: Path, one_based: bool | None = None) -> Sequence:
    """One sequence by its folder, of which it has the name.

    Args:
        folder: of the sequence.
        one_based: whether the boxes in the file count pixels from 1; ``None``: they do, unless a ``sequence.json``
            names another benchmark than OTB.

    Raises:
        Damaged: no ground truth or no frames, a line that is not a box, no target in the first frame, or a number of
            boxes that is not the number of frames.
    """
    name, truth = folder.name, folder / GROUND_TRUTH
    boxes = numbers(truth, name)
    require_start(boxes, name, truth)
    found = frames(folder, name, numbered=False)
    require_frames(found, len(boxes), name, f", one for each line of {truth}")
    counts_from_1 = _is_otb(folder) if one_based is None else one_based
    return Sequence(name, from_otb(boxes) if counts_from_1 else boxes, found)


def read(root: Path, name: str) -> Sequence:
    """One sequence below `root` by its name; see `Benchmark.read`.

    Raises:
        Damaged: see `read_sequence`.
    """
    return read_sequence(_folders(root).get(name, root / name))


def sequences_in(root: Path) -> list[str]:
    """The names of the sequences below `root`.

    Raises:
        ValueError: there is none, or two have the same name.
    """
    return sorted(_folders(root))


def _folders(root: Path) -> dict[str, Path]:
    for pattern in (GROUND_TRUTH, f"*/{GROUND_TRUTH}", f"*/*/{GROUND_TRUTH}"):
        found: dict[str, Path] = {}
        for folder in sorted(path.parent for path in root.glob(pattern)):
            name = folder.resolve().name
            if found.setdefault(name, folder) != folder:
                raise ValueError(f"two sequences are called {name}: {found[name]} and {folder}")
        if found:
            return found
    raise ValueError(f"no sequence below {root}: expected {root}/<sequence>/{GROUND_TRUTH}")


def _is_otb(folder: Path) -> bool:
    path = folder / DESCRIPTION
    if not os.path.isfile(path):
        return True
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("benchmark", "OTB") == "OTB")
    except (OSError, ValueError, AttributeError) as error:
        raise Damaged(folder.name, f"a JSON object in {path}", str(error)) from error


FOLDER = Benchmark("folder", "a folder", "folder", "SEQUENCES_ROOT", read, listing=sequences_in)
