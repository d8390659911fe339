"""Photographs with masks of what stands in them, for co-segmentation: read, scaled down, and split.

Two photographs have an object in common where both show a thing of one identity: a class ("cow"), a sequence of DAVIS
("davis/camel"), or a picture of ECSSD, whose objects have no name and so are only like themselves ("ecssd/0001").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from learning.readers import existing_folder, read_annotations, read_image, shrink

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

CLASS_FOLDERS = "classes"  # the source of photographs without masks, a folder a class
SMALLEST = 0.015  # share of the photograph: what is smaller is a speck at the network's resolution

# Which classes a sequence of DAVIS shows. Its mask is of one object, or of a rider and what he rides together, and its
# identity is its own; the classes only say with which photographs it must not be paired as if they were unrelated.
DAVIS_CLASSES = {
    "bear": ("bear",),
    "blackswan": ("bird",),
    "bmx-trees": ("person", "bicycle"),
    "breakdance": ("person",),
    "camel": ("camel",),
    "car-roundabout": ("car",),
    "car-shadow": ("car",),
    "cows": ("cow",),
    "dance-twirl": ("person",),
    "dog": ("dog",),
    "drift-chicane": ("car",),
    "drift-straight": ("car",),
    "goat": ("goat", "sheep"),
    "horsejump-high": ("person", "horse"),
    "kite-surf": ("person",),
    "libby": ("dog",),
    "motocross-jump": ("person", "motorcycle"),
    "paragliding-launch": ("person",),
    "parkour": ("person",),
    "scooter-black": ("person", "motorcycle"),
    "soapbox": ("person",),
    "tennis": ("person",),
}

# What else a folder of Caltech-101 shows, by the names that COCO has for it, and the folders that are left out: they
# show what is kept for the test (`TEST_CLASSES`), something so near to it that it would not be a new thing, or people.
CALTECH_CLASSES = {
    **dict.fromkeys(("emu", "flamingo", "ibis", "pigeon", "rooster"), ("bird",)),
    **dict.fromkeys(("ferry", "ketch", "schooner"), ("boat",)),
    "car_side": ("car",),
    "cellphone": ("cell phone",),
    "crocodile_head": ("crocodile",),
    "flamingo_head": ("bird", "flamingo"),
    "Motorbikes": ("motorcycle",),
    "soccer_ball": ("sports ball",),
    "watch": ("clock",),
    "wheelchair": ("chair",),
    "windsor_chair": ("chair",),
    "inline_skate": ("skateboard",),
}
CALTECH_LEFT_OUT = (
    *(
        "Faces",
        "Faces_easy",
        "Leopards",
        "airplanes",
        "cougar_body",
        "cougar_face",
        "dalmatian",
        "elephant",
        "garfield",
    ),
    *("gerenuk", "llama", "okapi", "panda", "pizza", "snoopy", "stop_sign", "wild_cat"),
)

# Kept out of training, by sequence, by class (with every photograph that shows it) and by picture.
TEST_SEQUENCES = ("blackswan", "camel", "car-roundabout", "dance-twirl", "dog", "kite-surf")
VALIDATION_SEQUENCES = ("goat", "drift-chicane", "motocross-jump")
TEST_CLASSES = (
    *("dog", "elephant", "bus", "giraffe", "airplane", "bear", "zebra", "train", "pizza", "cat", "cow", "sheep"),
    *("teddy bear", "stop sign", "broccoli", "toilet"),
)
TEST_SHARE = 10  # of ECSSD and Penn-Fudan every tenth picture is for the test, and the one before it for validation


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph and what is masked in it.

    Attributes:
        name: of the file below the folder of the data.
        source: which data it is from: ecssd, davis, coco256, pennfudan, msrc_cow or `CLASS_FOLDERS`.
        image: uint8 (H, W, 3) BGR.
        masks: identity → (H, W) bool, all things of that identity together.
        classes: every class that is known to be in it, masked or not.
    """

    name: str
    source: str
    image: Image
    masks: dict[str, Mask]
    classes: frozenset[str]

    def common(self, other: Photo) -> list[str]:
        """The identities that both show, in a fixed order."""
        return sorted(self.masks.keys() & other.masks.keys())

    def comparable(self, other: Photo) -> bool:
        """Whether it is known what both have in common: no class is in both without a mask of it in both."""
        return (self.classes & other.classes) <= shown_by(self.common(other))


@dataclass(frozen=True)
class Split:
    """Photographs to train on, to choose by, and to report on. No sequence, held-out class or picture is in two."""

    train: list[Photo]
    validation: list[Photo]
    test: list[Photo]


def read_split(root: str | Path, longest_side: int) -> Split:
    """Read ECSSD, DAVIS, COCO, Penn-Fudan and the cows of MSRC (test only) below `root`, and split them.

    Args:
        root: a folder with ``ecssd``, ``davis``, ``coco256``, ``pennfudan`` and ``coseg/msrc_cow``; those that are
            missing are left out.
        longest_side: of the images in pixels; longer ones are scaled down.

    Raises:
        FileNotFoundError: no such folder, or an image or mask that the annotations name is missing.
        ValueError: nothing usable in it, or an annotation, image or mask that cannot be read.
    """
    root = existing_folder(root, "ecssd, davis, coco256, pennfudan or coseg/msrc_cow")
    parts: dict[str, list[Photo]] = {"train": [], "validation": [], "test": []}
    for folder in ("ecssd", "davis", "coco256", "pennfudan"):
        if (root / folder).is_dir():
            for number, photo in enumerate(read_annotated_photos(root / folder, longest_side)):
                parts[_part(photo, number)].append(photo)
    if (root / "coseg" / "msrc_cow").is_dir():
        parts["test"] += read_mask_folder(root / "coseg" / "msrc_cow", "cow", longest_side)
    if not parts["train"] and not parts["test"]:
        raise ValueError(f"no photographs with masks under {root} (ecssd, davis, coco256, pennfudan, coseg/msrc_cow)")
    return Split(**parts)


def _part(photo: Photo, number: int) -> str:
    """Which part of the split a photograph belongs to; `number` counts those of its source."""
    if photo.source == "davis":
        sequence = next(iter(photo.masks)).removeprefix("davis/")
        return "test" if sequence in TEST_SEQUENCES else "validation" if sequence in VALIDATION_SEQUENCES else "train"
    if photo.source == "coco256" and photo.classes & set(TEST_CLASSES):
        return "test"
    # COCO's classes in training are also tested on, by picture, as are Penn-Fudan's people.
    return {0: "test", TEST_SHARE - 1: "validation"}.get(number % TEST_SHARE, "train")


def read_annotated_photos(folder: str | Path, longest_side: int) -> list[Photo]:
    """The photographs of a folder with ``annotations.json`` whose entries name a ``mask`` or a ``polygon``.

    Raises:
        FileNotFoundError: no annotations, or a file that they name is missing.
        ValueError: another layout, or a file that cannot be decoded.
    """
    folder = Path(folder)
    entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in read_annotations(folder):
        entries[entry["image"]].append(entry)
    photos = (_photo(folder, name, entries[name], longest_side) for name in sorted(entries))
    return [photo for photo in photos if photo.masks]


def _photo(folder: Path, name: str, entries: Sequence[dict[str, Any]], longest_side: int) -> Photo:
    full = read_image(folder / name)
    image, _ = shrink(full, longest_side)
    by_class: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        by_class[str(entry.get("cat", "object"))].append(entry)
    masks: dict[str, Mask] = {}
    classes: set[str] = set()
    for category, things in by_class.items():
        identity, shown = _identity(folder.name, category, str(things[0].get("seq", name)))
        classes |= shown
        if all("mask" in thing or thing.get("polygon") for thing in things):
            mask = _fit(_union(folder, things, full.shape[:2]), image)
            if mask.mean() >= SMALLEST:
                masks[identity] = mask
    return Photo(f"{folder.name}/{name}", folder.name, image, masks, frozenset(classes))


def _identity(source: str, category: str, sequence: str) -> tuple[str, set[str]]:
    """What a thing is, and the classes that are then in the photograph."""
    if source == "davis":
        return f"davis/{sequence}", set(DAVIS_CLASSES.get(sequence, ()))
    if category == "salient":
        return f"{source}/{sequence}", set()
    return category, {category}


def _union(folder: Path, things: Iterable[dict[str, Any]], shape: tuple[int, ...]) -> Image:
    """The masks and polygons of several things as one picture of 0 and 1."""
    canvas = np.zeros(shape, np.uint8)
    for thing in things:
        if "mask" in thing:
            canvas |= (read_mask(folder / thing["mask"], shape)).astype(np.uint8)
        else:
            corners = np.rint(np.reshape(thing["polygon"], (-1, 2))).astype(np.int32)
            cv2.fillPoly(canvas, [corners], 1)
    return canvas


def read_mask(path: str | Path, shape: tuple[int, ...]) -> Mask:
    """A mask file as (H, W) bool: whatever is not 0.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, or not of `shape`, that of its photograph.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such mask: {path}")
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError(f"{path} is not an image that OpenCV can decode")
    if mask.shape != tuple(shape):
        raise ValueError(f"{path} has {mask.shape[1]}×{mask.shape[0]} pixels, its image {shape[1]}×{shape[0]}")
    return np.asarray(mask > 0)


def _fit(mask: Image, image: Image) -> Mask:
    """A mask at the size of the image that was scaled down."""
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(mask * 255, (width, height), interpolation=cv2.INTER_AREA) > 127)


def read_mask_folder(folder: str | Path, identity: str, longest_side: int) -> list[Photo]:
    """A folder of ``images/NAME.jpg`` and ``masks/NAME.png``, all of one thing.

    Raises:
        FileNotFoundError: no ``images``, or a mask is missing.
        ValueError: a file that cannot be decoded.
    """
    folder = Path(folder)
    photos = []
    for path in sorted(existing_folder(folder / "images", "images beside masks").iterdir()):
        full = read_image(path)
        image, _ = shrink(full, longest_side)
        mask = read_mask(folder / "masks" / f"{path.stem}.png", full.shape[:2]).astype(np.uint8)
        name = f"{folder.name}/{path.name}"
        photos.append(Photo(name, folder.name, image, {identity: _fit(mask, image)}, frozenset({identity})))
    return photos


def read_class_folders(root: str | Path, longest_side: int) -> Iterator[tuple[str, str, Image]]:
    """Photographs without masks, a folder a class, as Caltech-101 has them: class, name and image of each.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: there is no photograph in it, or one that cannot be decoded.
    """
    root = existing_folder(root, "a folder of photographs for each class")
    found = 0
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name not in CALTECH_LEFT_OUT):
        for path in _pictures(folder):
            found += 1
            yield folder.name, f"{root.name}/{folder.name}/{path.name}", shrink(read_image(path), longest_side)[0]
    if not found:
        raise ValueError(f"no photographs in folders below {root}; a folder for each class is wanted")


def shown_by(identities: Iterable[str]) -> set[str]:
    """The classes that things of these identities show."""
    shown: set[str] = set()
    for identity in identities:
        if "/" in identity:
            shown |= set(DAVIS_CLASSES.get(identity.removeprefix("davis/"), ()))
        else:
            shown |= {identity, *CALTECH_CLASSES.get(identity, ())}
    return shown


def by_identity(photos: Iterable[Photo]) -> dict[str, list[Photo]]:
    """Identity → the photographs that show it."""
    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        for identity in photo.masks:
            groups[identity].append(photo)
    return dict(groups)


def read_backgrounds(root: str | Path, longest_side: int) -> list[Image]:
    """Natural scenes without masks (``images/bsds``) to compose pictures on; none where there is no such folder."""
    return [shrink(read_image(path), longest_side)[0] for path in _pictures(Path(root) / "images" / "bsds")]


def _pictures(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
