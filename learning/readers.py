"""Readers: one function a layout of training data on disk → :class:`~learning.footage.Footage`.

Boxes are converted to ours (0-based, continuous) here and nowhere else. Images longer than `longest_side` are scaled
down, their boxes with them: the crops that a tracker sees are a few hundred pixels wide, and memory is what limits how
much footage a run can draw from.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.holdout import HOLDOUT as HOLDOUT  # also to be had from here
from learning.footage import Footage, Image
from tracker.box import from_corners, from_got10k, from_otb

log = logging.getLogger(__name__)
T = TypeVar("T")

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
LONGEST_SIDE = 512
GOT10K_STRIDE = 10  # one frame a second
SMALLEST_STILL = 12  # pixels of the longer side: annotated specks in the background of a photograph are left out
SMALLEST_MOVING = 8  # a target of a video may be smaller: it was chosen to be followed
LEAST_INSIDE = 0.3  # share of a box that must lie in the image

# The mask encloses person, lines and canopy together, of which a tight box is mostly sky.
DAVIS_LEFT_OUT = ("paragliding-launch",)


def read_image(path: str | Path) -> Image:
    """A colour image file as uint8 (H, W, 3) BGR, in the orientation its pixels are stored in (boxes refer to that).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image that can be decoded.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such image: {path}")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError(f"{path} is not an image that OpenCV can decode")
    return np.asarray(image, np.uint8)


def shrink(image: Image, longest_side: int) -> tuple[Image, NDArray[np.float64]]:
    """Scale `image` down to `longest_side`, never up.

    Returns:
        the image, and (4,) factors that take an ``(x, y, w, h)`` box along.
    """
    height, width = image.shape[:2]
    factor = min(1.0, longest_side / max(height, width))
    if factor == 1.0:
        return image, np.ones(4)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.uint8), np.array([size[0] / width, size[1] / height] * 2)


def usable(boxes: NDArray[np.float64], image: Image, smallest: float) -> NDArray[np.bool_]:
    """Which of (n, 4) boxes are finite, not (almost) outside of `image`, and have a longer side of at least `smallest`
    and a shorter one of at least half of it: (n,) bool.
    """
    height, width = image.shape[:2]
    finite = np.asarray(np.isfinite(boxes).all(axis=1))
    x, y, w, h = np.where(finite[:, None], boxes, 0).T
    inside = np.clip(np.minimum(x + w, width) - np.maximum(x, 0), 0, None)
    inside = inside * np.clip(np.minimum(y + h, height) - np.maximum(y, 0), 0, None)
    large = (np.maximum(w, h) >= smallest) & (np.minimum(w, h) >= smallest / 2)
    return finite & large & (inside >= LEAST_INSIDE * w * h)


def add_sequence(
    footage: Footage,
    name: str,
    frames: Iterable[Image],
    boxes: NDArray[np.float64],
    longest_side: int,
    category: str = "",
) -> None:
    """Append the frames with a usable box as one track; a sequence with none leaves a line in the log.

    Raises:
        ValueError: there are not as many boxes as frames.
    """
    kept: list[NDArray[np.float64]] = []
    indices: list[int] = []
    count = 0
    for count, frame in enumerate(frames, 1):
        if count > len(boxes):
            continue
        image, factors = shrink(frame, longest_side)
        box = boxes[count - 1] * factors
        if usable(box[None], image, SMALLEST_MOVING)[0]:
            kept.append(box)
            indices.append(footage.add_image(image))
    if count != len(boxes):
        raise ValueError(f"{name} has {count} frames but {len(boxes)} boxes; one row a frame is needed")
    if kept:
        footage.add_track(name, "video", indices, kept, category)
    else:
        log.warning("%s: no frame has a usable box; left out", name)


def check_sampling(stride: int, limit: int | None) -> None:
    """Refuse a stride over frames or a limit on sequences below 1 with a `ValueError`."""
    if stride < 1 or (limit is not None and limit < 1):
        raise ValueError(f"stride and limit must be at least 1, got {stride} and {limit}")


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` of `items`, evenly spread; None takes all."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def existing_folder(root: str | Path, hint: str) -> Path:
    """`root`, or a `FileNotFoundError` that says what it should hold."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root} (expected {hint})")
    return root


def not_empty(footage: Footage, root: Path, hint: str) -> Footage:
    """`footage`, or a `ValueError` that says what `root` should have held."""
    if not footage.images:
        raise ValueError(f"nothing found under {root} (expected {hint})")
    log.info("%s: %s", root, footage.summary())
    return footage


def _numbers(path: Path, columns: int) -> NDArray[np.float64]:
    """(n, columns) numbers of a text table whose columns are split by commas, tabs or spaces."""
    lines = [line.replace(",", " ").split() for line in path.read_text().splitlines() if line.strip()]
    try:
        return np.array(lines, np.float64).reshape(len(lines), columns)
    except ValueError as error:
        raise ValueError(f"{path} must hold rows of {columns} numbers ({error})") from error


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _decode_video(path: Path) -> Iterator[Image]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            read, frame = capture.read()
            if not read:
                return
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()


def read_sequences(
    root: str | Path,
    exclude: Iterable[str] = (),
    longest_side: int = LONGEST_SIDE,
    one_based: bool = False,
) -> Footage:
    """Sequences anywhere below `root`: folders with ``groundtruth_rect.txt`` and ``frames.mp4`` or ``img/``.

    Frames whose box is nan, empty, tiny or (almost) outside of the image are left out. A track's name is the
    sequence's path below `root`.

    Args:
        root: folder to search.
        exclude: names of sequences to leave out.
        longest_side: longer images are scaled down to it.
        one_based: the files count pixels from 1, as those of OTB do.

    Raises:
        FileNotFoundError: no such folder, or a sequence without frames.
        ValueError: no sequence, an unreadable table, or numbers of boxes and frames that differ.
    """
    hint = "<sequence>/groundtruth_rect.txt beside frames.mp4 or img/"
    root, left_out, footage = existing_folder(root, hint), set(exclude), Footage()
    for table in sorted(root.rglob("groundtruth_rect.txt")):
        name = table.parent.relative_to(root).as_posix()
        if name in left_out:
            continue
        boxes = _numbers(table, 4)
        boxes = from_otb(boxes) if one_based else boxes
        add_sequence(footage, name, _sequence_frames(table.parent), boxes, longest_side)
    return not_empty(footage, root, hint)


def _sequence_frames(folder: Path) -> Iterator[Image]:
    if (folder / "frames.mp4").is_file():
        return _decode_video(folder / "frames.mp4")
    if (folder / "img").is_dir():
        return (read_image(path) for path in _images_in(folder / "img"))
    raise FileNotFoundError(f"{folder} has neither frames.mp4 nor img/")


def read_annotations(root: str | Path) -> list[dict[str, Any]]:
    """The entries of `root`/annotations.json, each with ``image``, ``box`` (corners) and what else it has.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not the expected layout.
    """
    path = Path(root) / "annotations.json"
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    content = json.loads(path.read_text())
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not entries or not all("image" in entry and "box" in entry for entry in entries):
        raise ValueError(f"{path} must hold a list 'annotations' whose entries have 'image' and 'box'")
    return list(entries)


def read_annotated(root: str | Path, exclude: Iterable[str] = (), longest_side: int = LONGEST_SIDE) -> Footage:
    """A folder with ``annotations.json``: entries ``image``, ``box`` (x1, y1, x2, y2; x2, y2 exclusive), ``seq``,
    ``frame``, ``obj`` and ``cat``.

    Entries of one sequence and object become a track; one that has a single entry is a still object.

    Args:
        root: the folder that holds annotations.json.
        exclude: ``seq`` values to leave out.
        longest_side: longer images are scaled down to it.

    Raises:
        FileNotFoundError: no annotations, or an image that they name is missing.
        ValueError: another layout, or nothing usable in it.
    """
    root, left_out = Path(root), set(exclude)
    objects: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for entry in read_annotations(root):
        if entry.get("seq") not in left_out:
            objects[str(entry.get("seq", entry["image"])), int(entry.get("obj", 1))].append(entry)
    footage = Footage()
    seen: dict[str, SharedImage] = {}
    for (sequence, number), entries in objects.items():
        entries.sort(key=lambda entry: entry.get("frame", 0))
        indices: list[int] = []
        boxes: list[NDArray[np.float64]] = []
        for entry in entries:
            if entry["image"] not in seen:
                seen[entry["image"]] = SharedImage(read_image(root / entry["image"]), longest_side)
            index, box = seen[entry["image"]].place(footage, from_corners(entry["box"]))
            if index is not None:
                indices.append(index)
                boxes.append(box)
        if indices:
            still = len(entries) == 1
            name = f"{root.name}/{sequence}/{number}" if still else f"{root.name}/{sequence}"
            # Of a video the "category" is only its name, and "salient" says nothing of the kind.
            category = entries[0].get("cat", "") if still and entries[0].get("cat") != "salient" else ""
            footage.add_track(name, "still" if still else "video", indices, boxes, category)
    return not_empty(footage, root, "images with usable boxes")


class SharedImage:
    """An image of several objects, added to the footage once one of its boxes is usable."""

    def __init__(self, image: Image, longest_side: int, smallest: float = SMALLEST_STILL) -> None:
        self.image, self.factors = shrink(image, longest_side)
        self.smallest = smallest
        self.index: int | None = None

    def place(self, footage: Footage, box: NDArray[np.float64]) -> tuple[int | None, NDArray[np.float64]]:
        """Index of the image and the scaled box, or None where the box is not usable."""
        box = box * self.factors
        if not usable(box[None], self.image, self.smallest)[0]:
            return None, box
        if self.index is None:
            self.index = footage.add_image(self.image)
        return self.index, box


def read_images(root: str | Path, longest_side: int = LONGEST_SIDE) -> Footage:
    """Every image below `root`, without boxes.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no images in it, or one that cannot be decoded.
    """
    root, footage = existing_folder(root, "images"), Footage()
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES):
        footage.unlabelled.append(footage.add_image(shrink(read_image(path), longest_side)[0]))
    return not_empty(footage, root, "images")


def read_got10k(
    root: str | Path,
    longest_side: int = LONGEST_SIDE,
    stride: int = GOT10K_STRIDE,
    limit: int | None = None,
    exclude: Iterable[str] = (),
) -> Footage:
    """One split of GOT-10k as its authors pack it: ``<root>/GOT-10k_Train_000001/00000001.jpg …, groundtruth.txt,
    absence.label, cover.label``, with ``list.txt`` naming the sequences.

    The boxes count pixels from 1 as the got10k package takes them. Frames where the target is absent
    (``absence.label`` 1) or fully covered (``cover.label`` 0) are left out; a split without these files keeps all.

    Args:
        root: the split's folder, e.g. ``GOT-10k/train``.
        longest_side: longer images are scaled down to it.
        stride: decode every stride-th frame only: ten frames a second hold little that one does not.
        limit: at most so many sequences, evenly spread over the list; None takes all. At 512 pixels and stride 10 the
            whole training split takes about 60 GB, at 256 pixels about 15 GB.
        exclude: names of sequences to leave out.

    Raises:
        FileNotFoundError: no such folder, sequence or image.
        ValueError: no sequence, or numbers of frames, boxes and labels that differ.
    """
    hint = "GOT-10k_Train_000001/groundtruth.txt and so on"
    root, left_out, footage = existing_folder(root, hint), set(exclude), Footage()
    check_sampling(stride, limit)
    listed = root / "list.txt"
    if listed.is_file():
        names = listed.read_text().split()
    else:
        names = sorted(path.parent.name for path in root.glob("*/groundtruth.txt"))
    for name in spread([name for name in names if name not in left_out], limit):
        paths, boxes = _got10k_sequence(existing_folder(root / name, f"named in {listed}"))
        frames = (read_image(path) for path in paths[::stride])
        add_sequence(footage, f"GOT-10k/{name}", frames, boxes[::stride], longest_side)
    return not_empty(footage, root, hint)


def _got10k_sequence(folder: Path) -> tuple[list[Path], NDArray[np.float64]]:
    """The frames of one sequence and their boxes, nan where the target cannot be seen."""
    paths, boxes = _images_in(folder), from_got10k(_numbers(folder / "groundtruth.txt", 4))
    counts = {"frames": len(paths), "boxes": len(boxes)}
    for file, hidden in (("absence.label", 1), ("cover.label", 0)):
        if (folder / file).is_file():
            labels = _numbers(folder / file, 1)[:, 0]
            counts[file] = len(labels)
            if len(labels) == len(boxes):
                boxes[labels == hidden] = np.nan
    if len(set(counts.values())) != 1:
        raise ValueError(f"{folder}: the counts differ: {counts}")
    return paths, boxes


def read_coco(
    root: str | Path,
    split: str = "train2017",
    longest_side: int = LONGEST_SIDE,
    limit: int | None = None,
) -> Footage:
    """Objects of one split of the COCO layout, as still objects; crowds and specks are left out.

    Args:
        root: the folder with ``annotations/instances_<split>.json`` and the images in ``<split>/`` or
            ``images/<split>/``.
        split: e.g. ``train2017``.
        longest_side: longer images are scaled down to it.
        limit: at most so many images, evenly spread; None takes all. 100,000 at 256 pixels take about 15 GB.

    Raises:
        FileNotFoundError: no such file, folder or image.
        ValueError: another layout, or nothing usable in it.
    """
    root = existing_folder(root, f"annotations/instances_{split}.json")
    path = root / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    content = json.loads(path.read_text())
    missing = {"images", "annotations", "categories"} - set(content)
    if missing:
        raise ValueError(f"{path} is not a COCO instances file: it lacks {sorted(missing)}")
    kinds = {kind["id"]: kind["name"] for kind in content["categories"]}
    objects: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in content["annotations"]:
        if not entry.get("iscrowd"):
            objects[entry["image_id"]].append(entry)
    listed = spread([entry for entry in content["images"] if entry["id"] in objects], limit)
    images = root / split if (root / split).is_dir() else existing_folder(root / "images" / split, f"or {root / split}")
    footage = Footage()
    for entry in listed:
        image = SharedImage(read_image(images / entry["file_name"]), longest_side)
        for instance in objects[entry["id"]]:
            index, box = image.place(footage, np.asarray(instance["bbox"], np.float64))
            if index is not None:
                name, category = f"COCO/{split}/{instance['id']}", kinds.get(instance["category_id"], "")
                footage.add_track(name, "still", index, box, category)
    return not_empty(footage, images, "images with usable boxes")


def load_shared(
    root: str | Path = "../shared/data", holdout: Iterable[str] = HOLDOUT, longest_side: int = LONGEST_SIDE
) -> Footage:
    """All training footage of the research data: video, davis, still objects, unlabelled images.

    Nothing is read from ``otb``, ``tinytlp`` or ``mot``: they are for measuring.

    Args:
        root: the folder with ``video``, ``davis``, ``ecssd`` and so on.
        holdout: sequences of ``video`` that are left out, to choose hyper-parameters on.
        longest_side: longer images are scaled down to it.

    Raises:
        FileNotFoundError: a part of the data is missing.
        ValueError: a part of it is damaged.
    """
    root = existing_folder(root, "the research data")
    footage = read_sequences(root / "video", holdout, longest_side)
    footage.merge(read_annotated(root / "davis", DAVIS_LEFT_OUT, longest_side))
    for name in ("ecssd", "coco256", "pennfudan", "kangaroo"):
        footage.merge(read_annotated(root / name, (), longest_side))
    for name in ("bsds", "caltech101"):
        footage.merge(read_images(root / "images" / name, longest_side))
    return footage
