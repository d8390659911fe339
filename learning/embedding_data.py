"""Labelled images to embed: digits, clothes, characters, faces, folders, and the targets of tracking benchmarks.

Every data set is read into memory as small uint8 images, in two parts that share no image. Where the classes of the
parts differ (Omniglot, faces) the second part judges what the network makes of classes that it has never seen.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.datasets import BENCHMARKS, open_benchmark
from benchmarks.datasets.crops import TargetCropDataset
from benchmarks.datasets.tlp import identity
from benchmarks.verification import KOCH_WAYS
from learning.embedding_network import WHOLE, resize, views
from learning.pictures import read_picture

Indices = NDArray[np.int64]
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
TEST_EVERY = 5  # of the images of a class, or of the classes, one in so many is for testing
HELD_OUT_ALPHABETS = 6  # of Omniglot's background, if asked for
TEST_SHARE = 0.3  # of a video, its end
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N images of C classes.

    Attributes:
        images: (N, channels, S, S) uint8.
        labels: (N,) classes, 0 … C−1.
        classes: their names.
        groups: (C,) group of each class, such as its alphabet, if there are any.
        makers: (N,) who made each image, such as Omniglot's drawers, if known.
    """

    images: Tensor
    labels: Indices
    classes: tuple[str, ...]
    groups: Indices | None = None
    makers: Indices | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """1: grey, 3: BGR."""
        return self.images.shape[1]

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.images.shape[-1]

    def subset(self, indices: Indices) -> LabelledImages:
        """Some of the images, of the same classes."""
        makers = None if self.makers is None else self.makers[indices]
        return replace(self, images=self.images[torch.from_numpy(indices)], labels=self.labels[indices], makers=makers)

    def of_classes(self, kept: Indices) -> LabelledImages:
        """The images of some of the classes, which are numbered anew in the order given."""
        number = np.full(len(self.classes), -1)
        number[kept] = np.arange(len(kept))
        part = self.subset(np.flatnonzero(number[self.labels] >= 0))
        groups = None if self.groups is None else self.groups[kept]
        return replace(part, labels=number[part.labels], classes=tuple(self.classes[k] for k in kept), groups=groups)

    def multiplied(self, how: str) -> LabelledImages:
        """Each class once for each of the `views` of its images, as classes of their own; "one" changes nothing."""
        seen, count = views(self.images, how), len(self.classes)
        if len(seen) == 1:
            return self
        numbers = range(len(seen))
        return LabelledImages(
            torch.cat(seen),
            np.concatenate([self.labels + number * count for number in numbers]),
            tuple(f"{name}, view {number}" if number else name for number in numbers for name in self.classes),
            None
            if self.groups is None
            else np.concatenate([self.groups + number * (self.groups.max() + 1) for number in numbers]),
            None if self.makers is None else np.tile(self.makers, len(seen)),
        )

    def summary(self) -> dict[str, int]:
        """How much of what, for a card."""
        return {"images": len(self), "classes": len(self.classes), "size": self.size, "channels": self.channels}


class Parts(NamedTuple):
    """What a network learns from, and what it is judged on."""

    train: LabelledImages
    test: LabelledImages


@dataclass(frozen=True)
class Reading:
    """How a data set is read.

    Attributes:
        size: side of the images in pixels; ``None``: the data set's own.
        channels: 1 or 3; ``None``: the data set's own.
        min_images: classes with fewer images are left out; ``None``: they are an error (for LFW: 2).
        held_out: of a folder's classes, "images" or whole "classes" are for testing; ``None``: images (LFW: classes).
            Of Omniglot "alphabets" leaves the evaluation alone, and tests on some of the background alphabets.
        every: of a video, take every so many-th frame.
        framing: one of `learning.embedding_network.FRAMINGS`; "ink" is for Omniglot's drawings.
    """

    size: int | None = None
    channels: int | None = None
    min_images: int | None = None
    held_out: str | None = None
    every: int = 15
    framing: str = WHOLE


def read_dataset(name: str, root: Path, reading: Reading | None = None) -> Parts:
    """A data set by its name.

    Args:
        name: one of `DATASETS`, or a tracking benchmark, each of whose targets is a class.
        root: its folder.
        reading: see there.

    Raises:
        ValueError: an unknown name, no such folder, or files that are missing or damaged, or classes that are empty or
            have a single image; the message names them. Or ink is to be framed in what are no drawings.
    """
    reading = reading or Reading()
    if name not in DATASETS:
        raise ValueError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    if reading.framing != WHOLE and name != "omniglot":
        raise ValueError(f"only the drawings of omniglot can be framed by their {reading.framing}, not {name}")
    if not root.is_dir():
        raise ValueError(f"no such folder: {root} (of {name})")
    return DATASETS[name](root, reading)


# --- MNIST and what has its format -----------------------------------------------------------------------------------


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes, packed by gzip or not.

    Raises:
        ValueError: it is missing, damaged, or holds something else.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise ValueError(f"{path} is not an IDX file of bytes")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", data[3], 4))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if len(values) != int(np.prod(shape)):
        raise ValueError(f"{path} is cut off: {len(values)} of {int(np.prod(shape))} values")
    return values.reshape(shape)


def _read_digits(classes: tuple[str, ...]) -> Callable[[Path, Reading], Parts]:
    def read(root: Path, reading: Reading) -> Parts:
        sprite = root / "fashion_sprite_900.npz"
        if classes is CLOTHES and sprite.is_file() and not list(root.glob("train-images*")):
            return _read_sprite(sprite, reading)
        parts = []
        for prefix in ("train", "t10k"):
            images, labels = (
                _idx_file(root, f"{prefix}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
            )
            pixels, numbers = read_idx(images), read_idx(labels)
            if pixels.ndim != 3 or numbers.shape != (len(pixels),) or numbers.max(initial=0) >= len(classes):
                raise ValueError(f"{images} and {labels} do not fit: {pixels.shape} images, {numbers.shape} labels")
            parts.append(LabelledImages(_resized(pixels, reading), numbers.astype(np.int64), classes))
        return Parts(*parts)

    return read


def _read_sprite(path: Path, reading: Reading) -> Parts:
    data = _npz(path, "images", "label")
    everything = LabelledImages(_resized(data["images"], reading), data["label"].astype(np.int64), CLOTHES)
    return _split_images(everything)


def _idx_file(root: Path, name: str) -> Path:
    """The file in a folder, packed or not, with a dot or a hyphen in its name, or where torchvision puts it."""
    places = [root, root / "raw", root / "MNIST" / "raw", root / "FashionMNIST" / "raw"]
    names = [name, name.replace("-idx", ".idx")]
    for path in (place / f"{each}{suffix}" for place in places for each in names for suffix in ("", ".gz")):
        if path.is_file():
            return path
    raise ValueError(f"{root} has no {name}.gz; fetch it with --download")


# --- Omniglot --------------------------------------------------------------------------------------------------------


def _read_omniglot(root: Path, reading: Reading) -> Parts:
    inner = reading.held_out == "alphabets"
    parts = []
    for name in ("images_background",) if inner else ("images_background", "images_evaluation"):
        if (root / f"{name}.npz").is_file():
            parts.append(_packed_characters(root / f"{name}.npz", reading))
        elif (root / name).is_dir():
            parts.append(_drawn_characters(root / name, reading))
        else:
            raise ValueError(f"{root} has neither {name}/ nor {name}.npz; fetch it with --download")
    return _split_alphabets(parts[0]) if inner else Parts(*parts)


def _split_alphabets(characters: LabelledImages) -> Parts:
    """Some alphabets, of those that have enough characters for Koch's protocol, are for testing.

    Raises:
        ValueError: too few alphabets.
    """
    assert characters.groups is not None
    large = np.flatnonzero(np.bincount(characters.groups) >= KOCH_WAYS)
    if len(large) <= HELD_OUT_ALPHABETS:
        raise ValueError(
            f"{HELD_OUT_ALPHABETS} alphabets of {KOCH_WAYS} characters or more are to be held out, "
            f"but there are only {len(large)}"
        )
    held_out = np.isin(characters.groups, np.random.default_rng(0).choice(large, HELD_OUT_ALPHABETS, replace=False))
    return Parts(*(characters.of_classes(np.flatnonzero(kept)) for kept in (~held_out, held_out)))


def _packed_characters(path: Path, reading: Reading) -> LabelledImages:
    data = _npz(path, "images_packed", "shape", "label", "drawer", "characters")
    side, pixels = int(data["shape"][1]), int(data["shape"][1] * data["shape"][2])
    rows = (np.unpackbits(row)[:pixels].reshape(side, -1) * np.uint8(255) for row in data["images_packed"])
    return _characters(rows, data["label"], data["drawer"], [str(name) for name in data["characters"]], reading)


def _drawn_characters(folder: Path, reading: Reading) -> LabelledImages:
    """``<alphabet>/<character>/<number>_<drawer>.png``, dark ink on white."""
    characters = sorted(path for path in folder.glob("*/*") if path.is_dir())
    files = [(label, path) for label, character in enumerate(characters) for path in sorted(character.glob("*.png"))]
    if not files:
        raise ValueError(f"{folder} has no <alphabet>/<character>/*.png")
    drawers = np.array([int(path.stem.rpartition("_")[2]) for _, path in files])
    images = (255 - read_image(path, grey=True) for _, path in files)
    names = [f"{character.parent.name}/{character.name}" for character in characters]
    return _characters(images, np.array([label for label, _ in files]), drawers, names, reading)


def _characters(
    images: Iterable[NDArray[np.uint8]], labels: NDArray, drawers: NDArray, names: list[str], reading: Reading
) -> LabelledImages:
    alphabets = [name.partition("/")[0] for name in names]
    number = {alphabet: index for index, alphabet in enumerate(dict.fromkeys(alphabets))}
    groups = np.array([number[alphabet] for alphabet in alphabets])
    size, channels = reading.size or 28, reading.channels or 1
    small = torch.stack([resize(image, size, channels, reading.framing) for image in images])
    return LabelledImages(small, labels.astype(np.int64), tuple(names), groups, drawers.astype(np.int64))


# --- faces and folders -----------------------------------------------------------------------------------------------


def _read_orl(root: Path, reading: Reading) -> Parts:
    """40 people of 10 images each; the last 10 people are never trained on."""
    if (root / "orl_faces.npz").is_file():
        data = _npz(root / "orl_faces.npz", "images", "subject")
        images = _resized(data["images"], replace(reading, size=reading.size or 64))
        people, labels = np.unique(data["subject"], return_inverse=True)
        faces = LabelledImages(images, labels.astype(np.int64), tuple(f"s{person}" for person in people))
    else:
        inner = [root, root / "att_faces", root / "orl_faces"]  # archives differ
        root = next((folder for folder in inner if (folder / "s1").is_dir()), root)
        faces = read_folder(root, replace(reading, size=reading.size or 64, channels=reading.channels or 1))
        order = np.array(sorted(range(len(faces.classes)), key=lambda k: (len(faces.classes[k]), faces.classes[k])))
        faces = faces.of_classes(order)  # s2 before s10
    count = len(faces.classes)
    return Parts(faces.of_classes(np.arange(count * 3 // 4)), faces.of_classes(np.arange(count * 3 // 4, count)))


def _read_lfw(root: Path, reading: Reading) -> Parts:
    """``<person>/<person>_0001.jpg``; people with one image only cannot teach. Nobody is in both parts."""
    faces = read_folder(root, replace(reading, min_images=reading.min_images or 2))
    lists = [root / f"peopleDev{part}.txt" for part in ("Train", "Test")]
    if all(path.is_file() for path in lists):
        parts = []
        for path in lists:
            people = {line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()[1:]}
            parts.append(faces.of_classes(np.flatnonzero([name in people for name in faces.classes])))
        return Parts(*parts)
    return _split(faces, reading.held_out or "classes")


def _read_folders(root: Path, reading: Reading) -> Parts:
    """``<class>/<image>``, or the same below ``train`` and ``test``."""
    if (root / "train").is_dir() and (root / "test").is_dir():
        return Parts(read_folder(root / "train", reading), read_folder(root / "test", replace(reading, min_images=1)))
    return _split(read_folder(root, reading), reading.held_out or "images")


def read_folder(root: Path, reading: Reading) -> LabelledImages:
    """One class a folder, its images at any depth.

    Raises:
        ValueError: no class, an empty one, one with a single image (unless `min_images` leaves it out), or an image
            that cannot be read.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {folder: sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES) for folder in folders}
    if not found:
        raise ValueError(f"{root} has no folders; expected {root}/<class>/<image>")
    if reading.min_images is None:
        if empty := [folder.name for folder, files in found.items() if not files]:
            raise ValueError(f"{root}: classes without an image: {_listing(empty)}; remove them, or give --min-images")
        if single := [folder.name for folder, files in found.items() if len(files) == 1]:
            raise ValueError(
                f"{root}: classes with one image, which have no pair: {_listing(single)}; add images, or leave such "
                "classes out with --min-images 2"
            )
    kept = {folder: files for folder, files in found.items() if len(files) >= (reading.min_images or 1)}
    if len(kept) < 2:
        raise ValueError(f"{root}: {len(kept)} classes with enough images; two are needed to tell apart")
    size, channels = reading.size or 64, reading.channels or 3
    images = [resize(read_image(path), size, channels) for files in kept.values() for path in files]
    labels = np.repeat(np.arange(len(kept)), [len(files) for files in kept.values()])
    return LabelledImages(torch.stack(images), labels, tuple(folder.name for folder in kept))


def read_image(path: Path, grey: bool = False) -> NDArray[np.uint8]:
    """An image file as BGR or grey.

    Raises:
        ValueError: it cannot be read.
    """
    image = read_picture(path)
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if grey else image  # type: ignore[return-value]


# --- targets of tracking benchmarks ----------------------------------------------------------------------------------


def _read_targets(name: str) -> Callable[[Path, Reading], Parts]:
    """Each target is a class; the end of each video is for testing, as neighbouring frames are nearly one image."""

    def read(root: Path, reading: Reading) -> Parts:
        sequences = open_benchmark(name).find(root).sequences
        if len(sequences) < 2:
            raise ValueError(f"{root} has {len(sequences)} whole sequences of {name}; two are needed to tell apart")
        crops = TargetCropDataset(sequences, reading.size or 64, reading.every, identity=identity)
        samples = [crops[index] for index in range(len(crops))]
        images = torch.stack([sample.image for sample in samples])
        if reading.channels == 1:
            images = torch.stack(
                [resize(np.ascontiguousarray(x.permute(1, 2, 0).numpy()), x.shape[-1], 1) for x in images]
            )
        videos = np.array([sample.sequence for sample in samples])
        everything = LabelledImages(
            images, np.array([sample.label for sample in samples]), tuple(crops.identities), makers=videos
        )
        place = np.concatenate([np.arange(1, count + 1) / count for count in np.bincount(videos) if count])
        late = place > 1 - TEST_SHARE + 1e-9
        few = np.bincount(everything.labels[~late], minlength=len(crops.identities)) < 2
        if few.any():
            short = [each for each, lacks in zip(crops.identities, few, strict=True) if lacks]
            raise ValueError(f"{root}: targets with fewer than two crops: {_listing(short)}; take a smaller --every")
        return Parts(everything.subset(np.flatnonzero(~late)), everything.subset(np.flatnonzero(late)))

    return read


# --- parts -----------------------------------------------------------------------------------------------------------


def _split(everything: LabelledImages, held_out: str) -> Parts:
    if held_out not in ("images", "classes"):
        raise ValueError(f"hold out 'images' or 'classes', not {held_out!r}")
    return _split_classes(everything) if held_out == "classes" else _split_images(everything)


def _split_images(everything: LabelledImages) -> Parts:
    """Of each class every fifth image is for testing; a class of two keeps both for training."""
    order = np.argsort(everything.labels, kind="stable")
    counts = np.bincount(everything.labels, minlength=len(everything.classes))
    place = np.concatenate([np.arange(count) for count in counts])
    late = place % TEST_EVERY == TEST_EVERY - 1
    if not late.any():
        raise ValueError(f"no class has {TEST_EVERY} images, so none is left to test on; hold out classes instead")
    return Parts(everything.subset(np.sort(order[~late])), everything.subset(np.sort(order[late])))


def _split_classes(everything: LabelledImages) -> Parts:
    """Every fifth class is for testing."""
    late = np.arange(len(everything.classes)) % TEST_EVERY == TEST_EVERY - 1
    if late.sum() < 2:
        raise ValueError(f"{len(everything.classes)} classes are too few to hold out every fifth: two are needed")
    return Parts(everything.of_classes(np.flatnonzero(~late)), everything.of_classes(np.flatnonzero(late)))


def _resized(images: NDArray[np.uint8], reading: Reading) -> Tensor:
    """(N, H, W) grey images as (N, C, S, S)."""
    size, channels = reading.size or images.shape[-1], reading.channels or 1
    if images.shape[1:] == (size, size):
        return torch.from_numpy(images.copy())[:, None].repeat(1, channels, 1, 1)
    return torch.stack([resize(image, size, channels) for image in images])


def _npz(path: Path, *names: str) -> dict[str, NDArray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in names}
    except (OSError, ValueError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _listing(names: list[str], limit: int = 5) -> str:
    more = f", … and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


DATASETS: dict[str, Callable[[Path, Reading], Parts]] = {
    "mnist": _read_digits(DIGITS),
    "fashion-mnist": _read_digits(CLOTHES),
    "omniglot": _read_omniglot,
    "orl": _read_orl,
    "lfw": _read_lfw,
    "folder": _read_folders,
    "sequences": _read_targets("folder"),
    **{name: _read_targets(name) for name in BENCHMARKS if name != "folder"},
}
