"""The images of a folder that are most like one image: reverse image search.

examples:
  python tools/embed.py search ~/pictures --query dog.jpg
  python tools/embed.py search ~/pictures --query dog.jpg --top 20 --output alike.jpg --overwrite
  python tools/embed.py search ~/faces --query who.png --model faces.safetensors --json

Every image below FOLDER is described once by the network and kept in an index there; a later search describes only
what is new or was changed, and forgets what was removed. --model is a tracker that ships with the package, whose
features describe images in general, or any .safetensors of a tracker or of a trained embedding (`embed.py train`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from learning.descriptor import Descriptor, Vectors, open_descriptor
from learning.gallery import Gallery, GalleryError, Match
from learning.pictures import read_picture
from tracker.arguments import positive, refuse_existing
from tracker.frame import Image
from tracker.sinks import letterbox
from tracker.sources import IMAGE_SUFFIXES

log = logging.getLogger(__name__)
TILE = 160  # pixels of a picture on the sheet
CAPTION = 34
COLUMNS = 5
SAVE_EVERY = 60.0  # seconds that an interrupted indexing may lose
BATCH = 64


@dataclass(frozen=True)
class Refreshed:
    """What `ImageIndex.refresh` did: counts of images, and the files that could not be read."""

    added: int
    removed: int
    kept: int
    unreadable: tuple[str, ...]


class ImageIndex:
    """Descriptions of a folder's images, by their paths below it.

    Args:
        folder: searched at any depth; hidden files and folders are left out.
        descriptor: describes the images.
        path: the index's file; by default a hidden file in the folder, one for each network.

    Raises:
        NotADirectoryError: no such folder.
        GalleryError: the file at `path` is damaged, or the index of another network.
    """

    def __init__(self, folder: str | os.PathLike[str], descriptor: Descriptor, path: Path | None = None) -> None:
        self.folder, self.descriptor = Path(folder), descriptor
        if not self.folder.is_dir():
            raise NotADirectoryError(f"{folder}: no such folder")
        short = hashlib.sha256(descriptor.identity.encode()).hexdigest()[:12]
        self.path = path or self.folder / f".image-search-{short}.safetensors"
        self.gallery = Gallery(descriptor.dimensions, descriptor.metric, descriptor.identity, descriptor.name)
        self.gallery.settings = {"files": {}}
        if self.path.exists():
            self.gallery = self._load()

    @property
    def _files(self) -> dict[str, list[int]]:
        """Path → bytes and time of change in nanoseconds that it had when it was described, or found unreadable."""
        files: dict[str, list[int]] = self.gallery.settings["files"]
        return files

    def __len__(self) -> int:
        return len(self.gallery)

    def refresh(self, progress: bool = False) -> Refreshed:
        """Bring the index up to date with the folder, and write it.

        An image is described again if its size or its time of change is another. Files that cannot be read are left
        out, and tried again once they change. What was done is written every minute, so that little is lost.

        Args:
            progress: show a bar where there is a terminal.

        Raises:
            OSError: the index cannot be written.
        """
        there = dict(self._present())
        gone = [name for name in self._files if there.get(name) != self._files[name]]
        removed = sum(name not in there for name in gone)
        self.gallery.remove(*(name for name in gone if name in self.gallery))
        for name in gone:
            del self._files[name]
        fresh = [name for name in there if name not in self._files]
        saved, described = time.monotonic(), 0
        bar = tqdm(total=len(fresh), unit=" images", disable=not (progress and sys.stderr.isatty()), leave=False)
        with bar:
            for names, vectors in self._describe(fresh):
                for name, vector in zip(names, vectors, strict=True):
                    if vector is not None:
                        self.gallery.add(name, vector[None])
                        described += 1
                    self._files[name] = there[name]
                bar.update(len(names))
                if time.monotonic() - saved > SAVE_EVERY:
                    self._save()
                    saved = time.monotonic()
        if fresh or gone or not self.path.exists():
            self._save()
        unreadable = tuple(name for name in self._files if name not in self.gallery)
        return Refreshed(described, removed, len(self) - described, unreadable)

    def search(self, image: object, k: int = 10) -> list[Match]:
        """The k images of the folder most like an image, the most alike first.

        Args:
            image: as `tracker.to_bgr8` takes it.
            k: how many.

        Raises:
            ValueError: not an image, or k below 1.
        """
        return self.gallery.search(self.descriptor([image])[0], k)

    def _present(self) -> Iterator[tuple[str, list[int]]]:
        for root, folders, files in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(root, name)
                if path.suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                    try:
                        status = path.stat()
                    except OSError:  # removed meanwhile, or a link to nowhere
                        continue
                    yield path.relative_to(self.folder).as_posix(), [status.st_size, status.st_mtime_ns]

    def _describe(self, names: list[str]) -> Iterator[tuple[list[str], list[Vectors | None]]]:
        """Batches of names with their vectors; None for files that cannot be read."""
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            images = [read_image(self.folder / name) for name in some]
            vectors = iter(self.descriptor([image for image in images if image is not None]))
            yield some, [None if image is None else next(vectors) for image in images]

    def _load(self) -> Gallery:
        try:
            gallery = Gallery.load(self.path)
        except GalleryError as error:
            raise GalleryError(f"{error}; remove the file, and the index is made anew") from error
        files = gallery.settings.get("files")
        if not isinstance(files, dict) or not set(gallery) <= set(files):
            raise GalleryError(f"{self.path} is a gallery, but no index of images; give another --index, or remove it")
        if gallery.identity != self.descriptor.identity:
            raise GalleryError(
                f"{self.path} was made by {gallery.source} ({gallery.identity[:12]}…), not by {self.descriptor.name} "
                f"({self.descriptor.identity[:12]}…): give another --index, or remove it"
            )
        return gallery

    def _save(self) -> None:
        try:
            self.gallery.save(self.path, overwrite=True)
        except OSError as error:
            raise OSError(
                f"the index {self.path} cannot be written ({error.strerror}); give a place by --index"
            ) from error


def read_image(path: Path) -> Image | None:
    """The image of a file as uint8 BGR, or None where there is none."""
    try:
        return read_picture(path)
    except (OSError, ValueError):
        return None


def sheet(query: Image, folder: Path, matches: Iterable[Match], metric: str = "cosine") -> Image:
    """The query and what was found for it, as one picture: scores and names below, the most alike first.

    Args:
        query: BGR image.
        folder: that the matches' paths are below.
        matches: of `ImageIndex.search`.
        metric: of the scores; distances are shown positive.
    """
    tiles = [_tile(query, "query", "")]
    for match in matches:
        image = read_image(folder / match.name)
        shown = np.full((TILE, TILE, 3), 128, np.uint8) if image is None else image  # removed meanwhile
        score = f"{match.score:.3f}" if metric == "cosine" else f"distance {-match.score:.3g}"
        tiles.append(_tile(shown, score, match.name))
    columns = min(COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    canvas = np.full((rows * (TILE + CAPTION), columns * TILE, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        y, x = place // columns * (TILE + CAPTION), place % columns * TILE
        canvas[y : y + TILE + CAPTION, x : x + TILE] = tile
    return canvas


def _tile(image: Image, title: str, name: str) -> Image:
    tile = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
    picture = letterbox(image, TILE - 8, TILE - 8)
    tile[4 : TILE - 4, 4 : TILE - 4] = picture
    short = name if len(name) <= 24 else "..." + name[-21:]
    ascii_only = short.encode("ascii", "replace").decode()  # all that OpenCV's font has
    cv2.putText(tile, title, (6, TILE + 11), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(tile, ascii_only, (6, TILE + 26), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (90, 90, 90), 1, cv2.LINE_AA)
    return tile


# ---------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``embed.py search``."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of images, at any depth")
    parser.add_argument("--query", type=Path, required=True, metavar="IMAGE", help="the image to look for")
    parser.add_argument("--model", default="compact", metavar="NAME|PATH", help="(default: %(default)s)")
    parser.add_argument("--top", type=positive, default=14, metavar="K", help="how many (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="IMAGE", help="write a sheet of query and results")
    parser.add_argument("--index", type=Path, metavar="FILE", help="(default: a hidden file in FOLDER)")
    parser.add_argument("--device", default="cpu", help="for the network (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --output")


def run(options: argparse.Namespace) -> str:
    """Search; returns the text to print.

    Raises:
        ValueError, OSError: what was asked cannot be done; one line.
    """
    query = read_image(options.query)
    if query is None:
        raise ValueError(f"{options.query}: {'not a readable image' if options.query.exists() else 'no such file'}")
    output: Path | None = options.output
    if output is not None:
        _check_output(output, options.overwrite)
    index = ImageIndex(options.folder, open_descriptor(options.model, options.device), options.index)
    done = index.refresh(progress=True)
    if done.unreadable:
        log.warning("%d files cannot be read: %s", len(done.unreadable), _listing(done.unreadable))
    if not len(index):
        raise ValueError(f"{options.folder}: no readable image in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    matches = index.search(query, options.top)
    if output is not None and not cv2.imwrite(
        str(output), sheet(query, index.folder, matches, index.descriptor.metric)
    ):
        raise OSError(f"{output} cannot be written")
    if options.json:
        return json.dumps(
            {
                "query": str(options.query),
                "images": len(index),
                "added": done.added,
                "removed": done.removed,
                "unreadable": list(done.unreadable),
                "metric": index.descriptor.metric,
                "matches": [{"path": str(index.folder / m.name), "score": round(m.score, 6)} for m in matches],
                "sheet": None if output is None else str(output),
            }
        )
    lines = [f"{match.score:8.4f}  {index.folder / match.name}" for match in matches]
    counts = f"{len(index)} images, {done.added} described now, {done.removed} forgotten"
    return "\n".join([*lines, counts + ("" if output is None else f"; sheet: {output}")])


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{output}: the sheet is an image, such as {output.stem}.jpg")
    refuse_existing(output, overwrite)
    if not output.parent.is_dir():
        raise ValueError(f"the folder of {output} does not exist; make it first")


def _listing(names: tuple[str, ...], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f", … and {len(names) - limit} more" if len(names) > limit else "")
