"""The store that training draws from: decoded images and the boxes of objects that appear in them.

Images are decoded once. A saved store is one flat file of pixels and one small index, mapped into memory: it opens at
once whatever its size, several processes share its pages, and opening it runs no code from the file.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]

FORMAT = 1
PIXELS, INDEX = "pixels.npy", "index.npz"


@dataclass(frozen=True)
class Track:
    """One object in one or more images of a :class:`Footage`.

    Two tracks may show the same object or come from the same video: a pair of tracks is a sure negative only where
    their images or categories say so.

    Attributes:
        name: where it came from, e.g. ``"VOT/bag"``.
        group: kind of source: ``"video"``, ``"still"`` or ``"synthetic"``.
        images: (n,) int64 indices into ``Footage.images``, in time order, n >= 1; a still object has n = 1.
        boxes: (n, 4) float32 ``(x, y, w, h)`` in 0-based continuous pixels.
        category: the object's class, for negatives of the same kind; empty where unknown.
    """

    name: str
    group: str
    images: NDArray[np.int64]
    boxes: NDArray[np.float32]
    category: str = ""

    def __post_init__(self) -> None:
        if len(self.images) == 0 or self.boxes.shape != (len(self.images), 4):
            raise ValueError(
                f"track {self.name!r} needs n >= 1 images and (n, 4) boxes, "
                f"got {len(self.images)} images and boxes of shape {self.boxes.shape}"
            )
        if not (np.isfinite(self.boxes).all() and (self.boxes[:, 2:] > 0).all()):
            raise ValueError(f"track {self.name!r} has a box that is not finite or has no area")

    def __len__(self) -> int:
        return len(self.images)


@dataclass
class Footage:
    """Images, the tracks of the objects in them, and which images have no boxes.

    Attributes:
        images: uint8 (H, W, 3) BGR arrays of any size; read-only where they are mapped from a cache.
        tracks: objects with their boxes.
        unlabelled: indices of images without boxes.
    """

    images: list[Image] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    unlabelled: list[int] = field(default_factory=list)

    def add_image(self, image: Image) -> int:
        """Append a uint8 (H, W, 3) image and return its index.

        Raises:
            ValueError: another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"an image must be uint8 (H, W, 3), got {image.dtype} {image.shape}")
        self.images.append(image)
        return len(self.images) - 1

    def add_track(self, name: str, group: str, images: ArrayLike, boxes: ArrayLike, category: str = "") -> None:
        """Append a track; the images are indices that :meth:`add_image` returned.

        Raises:
            ValueError: no images, a wrong number of boxes, an empty box, or an index without an image.
        """
        indices = np.asarray(images, np.int64).reshape(-1)
        track = Track(name, group, indices, np.asarray(boxes, np.float32).reshape(-1, 4), category)
        if indices.min() < 0 or indices.max() >= len(self.images):
            raise ValueError(f"track {name!r} points at images {indices.min()}..{indices.max()} of {len(self.images)}")
        self.tracks.append(track)

    def merge(self, other: Footage) -> Footage:
        """Append everything of `other`, whose arrays are shared, not copied, and return self."""
        start = len(self.images)
        self.images.extend(other.images)
        self.tracks.extend(replace(track, images=track.images + start) for track in other.tracks)
        self.unlabelled.extend(index + start for index in other.unlabelled)
        return self

    def share(self, fraction: float, seed: int = 0) -> Footage:
        """A random share of the scenes of each group and of the images without boxes, for a learning curve.

        A scene is kept whole or not at all, so that a quarter of the footage is a quarter of what there is to see and
        not every fourth frame of it. With the same seed a smaller share lies within a larger one. Synthetic clips are
        scenes of their own: what they are composed of may come from any other scene.

        Args:
            fraction: of scenes and images, in (0, 1]; at least one of each kind that there is.
            seed: which ones.

        Returns:
            footage whose arrays are shared, not copied, without the images that nothing refers to.

        Raises:
            ValueError: a fraction outside (0, 1].
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"the share of the footage must lie in (0, 1], got {fraction}")
        rng = np.random.default_rng(seed)
        members: dict[str, dict[int, list[Track]]] = {}
        for scene, track in zip(scenes(self.tracks), self.tracks, strict=True):
            members.setdefault(track.group, {}).setdefault(scene, []).append(track)
        tracks = [
            track
            for group in sorted(members)
            for scene in _some(sorted(members[group]), fraction, rng)
            for track in members[group][scene]
        ]
        unlabelled = sorted(_some(self.unlabelled, fraction, rng))
        used = np.unique(np.concatenate([unlabelled, *(track.images for track in tracks)])).astype(np.int64)
        return Footage(
            [self.images[index] for index in used.tolist()],
            [replace(track, images=np.searchsorted(used, track.images)) for track in tracks],
            np.searchsorted(used, np.asarray(unlabelled, np.int64)).tolist(),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of pixels."""
        return sum(image.nbytes for image in self.images)

    def summary(self) -> dict[str, int]:
        """Counts for a log: images, unlabelled images, bytes, and the tracks and boxes of each group."""
        counts = {"images": len(self.images), "unlabelled": len(self.unlabelled), "bytes": self.nbytes}
        for group in sorted({track.group for track in self.tracks}):
            members = [track for track in self.tracks if track.group == group]
            counts[f"{group} tracks"] = len(members)
            counts[f"{group} boxes"] = sum(map(len, members))
        return counts

    def save(self, folder: str | Path) -> None:
        """Write `folder`/pixels.npy and `folder`/index.npz. The index is written last: without it there is no cache.

        Raises:
            OSError: the folder cannot be written or the disk is full.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
        # A new file, so that a run which has the old one mapped keeps its pages.
        fresh = folder / f"{PIXELS}.partial"
        with fresh.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (self.nbytes,)}
            np.lib.format.write_array_header_2_0(file, header)
            for image in self.images:
                file.write(np.ascontiguousarray(image).data)
        fresh.replace(folder / PIXELS)
        np.savez(folder / INDEX, **self._index())

    def _index(self) -> dict[str, Any]:
        tracks = self.tracks
        return {
            "format": np.array(FORMAT),
            "sizes": np.array([image.shape[:2] for image in self.images], np.int64).reshape(-1, 2),
            "unlabelled": np.array(self.unlabelled, np.int64),
            "names": np.array([track.name for track in tracks], np.str_),
            "groups": np.array([track.group for track in tracks], np.str_),
            "categories": np.array([track.category for track in tracks], np.str_),
            "lengths": np.array([len(track) for track in tracks], np.int64),
            "track_images": _joined([track.images for track in tracks], np.zeros(0, np.int64)),
            "track_boxes": _joined([track.boxes for track in tracks], np.zeros((0, 4), np.float32)),
        }

    @classmethod
    def load(cls, folder: str | Path) -> Footage:
        """Open a saved store; the images are read-only views of one array.

        Args:
            folder: where it was saved.

        Raises:
            FileNotFoundError: no complete cache in `folder`.
            ValueError: the files are damaged, disagree, or have another format.
        """
        folder = Path(folder)
        for part in (INDEX, PIXELS):
            if not (folder / part).is_file():
                raise FileNotFoundError(f"no training cache in {folder}: {part} is missing; build the cache again")
        try:
            with np.load(folder / INDEX, allow_pickle=False) as file:
                index = {name: file[name] for name in file.files}
            pixels = np.asarray(np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False))
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"the training cache in {folder} is damaged ({error}); build it again") from error
        if int(index.get("format", -1)) != FORMAT:
            raise ValueError(f"the training cache in {folder} has another format; build it again")
        ends = (index["sizes"].prod(1) * 3).cumsum()
        if len(pixels) != (ends[-1] if len(ends) else 0):
            raise ValueError(f"the training cache in {folder} is damaged: pixels and index do not fit; build it again")
        views = np.split(pixels, ends[:-1]) if len(ends) else []
        footage = cls([view.reshape(h, w, 3) for view, (h, w) in zip(views, index["sizes"].tolist(), strict=True)])
        footage.unlabelled = index["unlabelled"].tolist()
        stops = index["lengths"].cumsum()[:-1]
        columns = [index["names"].tolist(), index["groups"].tolist(), index["categories"].tolist()]
        parts = [np.split(index["track_images"], stops), np.split(index["track_boxes"], stops)]
        footage.tracks = [
            Track(name, group, images, boxes, category)
            for name, group, category, images, boxes in zip(*columns, *parts, strict=False)
        ]
        return footage


def scenes(tracks: Sequence[Track]) -> list[int]:
    """The scene of each track, named after one of its images: tracks that share an image share a scene, and so do
    those that a third one joins.
    """
    parents: dict[int, int] = {}

    def root(image: int) -> int:
        while parents.setdefault(image, image) != image:
            image = parents[image]
        return image

    for track in tracks:
        scene = root(int(track.images[0]))
        for image in track.images.tolist():
            parents[root(image)] = scene
    return [root(int(track.images[0])) for track in tracks]


def _some(items: Sequence[int], fraction: float, rng: np.random.Generator) -> list[int]:
    """The first `fraction` of the items in a random order, rounded up, so that a larger share holds a smaller one."""
    return [items[place] for place in rng.permutation(len(items))[: math.ceil(len(items) * fraction - 1e-9)]]


def _joined(arrays: Sequence[NDArray], empty: NDArray) -> NDArray:
    return np.concatenate([empty, *arrays])
