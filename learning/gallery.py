"""Names, one template each, searched exactly: what is enrolled, and the file that it is kept in.

A name's template is the mean of its images' vectors, so that a later image refines it and the search costs the same
however many there were. A search compares with every template, in single precision, and again in double precision with
those that rounding could have kept from the first k: the answer is that of a sorted list of all. With 100,000 names of
128 dimensions this is one matrix product of 50 MB (`python -m learning.gallery_speed` measures it).

The file is one ``.safetensors``: the tensors, and in its header as JSON the names and the settings. Nothing in it can
run code, and it is replaced as a whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.clusters import distances
from learning.descriptor import Metric

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]

FORMAT = 1
KIND = "gallery"
LARGEST = 1e15  # value of a vector; its square has to fit single precision


class GalleryError(ValueError):
    """A gallery's file cannot be used; the message says which file, why, and what to do."""


class Match(NamedTuple):
    """A name and its score: cosine in [−1, 1], or negative Euclidean distance."""

    name: str
    score: float


class Gallery:
    """Enrolled names.

    Args:
        dimensions: of the vectors.
        metric: "cosine", or "euclidean", whose score is the negative distance.
        identity: of the descriptor that makes the vectors (`learning.descriptor.Descriptor.identity`).
        source: the descriptor's name, to open it again.

    Attributes:
        settings: whatever else is to be kept in the file; JSON values.

    Raises:
        ValueError: no dimensions, or an unknown metric.
    """

    def __init__(self, dimensions: int, metric: Metric = "cosine", identity: str = "", source: str = "") -> None:
        if dimensions < 1 or metric not in get_args(Metric):
            raise ValueError(f"a gallery has 1 or more dimensions and {get_args(Metric)}, got {dimensions}, {metric!r}")
        self.dimensions, self.metric, self.identity, self.source = dimensions, metric, identity, source
        self.settings: dict[str, Any] = {}
        self._index: dict[str, int] = {}
        self._names: list[str] = []  # of the index, as a list; made when a search needs it
        self._sums = np.zeros((16, dimensions))
        self._counts = np.zeros(16, np.int64)
        self._templates = np.zeros((16, dimensions), np.float32)
        self._squares = np.zeros(16, np.float32)  # of the templates' lengths

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        """Names in the order in which they were enrolled."""
        return iter(self._index)

    def count(self, name: str) -> int:
        """Images that were enrolled under a name.

        Raises:
            KeyError: nobody of that name.
        """
        return int(self._counts[self._row(name)])

    def template(self, name: str) -> Vectors:
        """(dimensions,) of one name; length 1 with "cosine". Raises as `count`."""
        return self._templates[self._row(name)].copy()

    def add(self, name: str, vectors: ArrayLike) -> None:
        """Enrol a name, or more images of one that is there.

        Args:
            name: any text but an empty one.
            vectors: (k, dimensions), of k images; with "cosine" each counts by its direction.

        Raises:
            ValueError: an empty name, no vector, another shape, values that are not finite, or a vector of zeros with
                "cosine". The gallery is then as it was.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"a name must be a text that is not empty, got {name!r}")
        rows = self._checked(vectors, f"vectors of {name!r}")
        row = self._index.get(name, len(self))
        earlier = self._sums[row] if row < len(self) else np.zeros(self.dimensions)
        total = earlier + rows.sum(0, dtype=np.float64)
        if self.metric == "cosine" and np.linalg.norm(total) < 1e-6:
            raise ValueError(f"the images of {name!r} point in opposite directions: their mean is no template")
        if row == len(self._sums):
            self._resize(2 * row)  # twice as many each time, so that n names cost n
        self._sums[row] = total
        self._counts[row] = len(rows) + (self._counts[row] if row < len(self) else 0)
        self._index[name] = row
        self._set_templates(slice(row, row + 1))

    def remove(self, *names: str) -> None:
        """Forget names; the others keep their order. Raises as `count`, and then forgets nobody."""
        kept = np.ones(len(self), bool)
        kept[[self._row(name) for name in names]] = False
        for array in (self._sums, self._counts, self._templates, self._squares):
            array[: kept.sum()] = array[: len(kept)][kept]
        self._index = {name: row for row, name in enumerate(name for name in self._index if kept[self._index[name]])}
        self._names = []

    def scores(self, vectors: ArrayLike) -> Scores:
        """(m, n) scores of (m, dimensions) vectors with every template, in the order of the names.

        Raises:
            ValueError: another shape, values that are not finite, or a vector of zeros with "cosine".
        """
        return self._exact(self._checked(vectors, "vectors"), self._templates[: len(self)])

    def score(self, vector: ArrayLike, name: str) -> float:
        """Score of one (dimensions,) vector with one name. Raises as `scores` and `count`."""
        row = self._row(name)
        return float(self._exact(self._checked(np.asarray(vector)[None], "vector"), self._templates[[row]])[0, 0])

    def search(self, vector: ArrayLike, k: int = 1) -> list[Match]:
        """The k names whose templates score highest, the best first; among equal scores, those enrolled first.

        Args:
            vector: (dimensions,).
            k: how many; fewer are returned where fewer are enrolled.

        Raises:
            ValueError: k below 1, or as `scores`.
        """
        if k < 1:
            raise ValueError(f"k must be 1 or more, got {k}")
        query = self._checked(np.asarray(vector)[None], "vector")
        if not len(self):
            return []
        rows = self._candidates(query[0], min(k, len(self)))
        scores = self._exact(query, self._templates[rows])[0]
        order = np.lexsort((rows, -scores))[:k]
        if not self._names:
            self._names = list(self._index)
        return [Match(self._names[rows[place]], float(scores[place])) for place in order]

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the gallery; the file is whole at any moment.

        Raises:
            FileExistsError: it exists and `overwrite` is not set.
            GalleryError: another suffix than .safetensors.
            OSError: it cannot be written.
        """
        from safetensors.numpy import save

        path, end = _checked_path(path), len(self)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; choose another name or allow overwriting")
        header = {
            "kind": KIND,
            "format": FORMAT,
            "dimensions": self.dimensions,
            "metric": self.metric,
            "identity": self.identity,
            "source": self.source,
            "names": list(self),
            "settings": self.settings,
        }
        tensors = {"sums": self._sums[:end], "counts": self._counts[:end]}
        content = save(tensors, {KIND: json.dumps(header, allow_nan=False)})
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Gallery:
        """Read a gallery. Nothing in the file is executed, and nothing is believed unchecked.

        Raises:
            FileNotFoundError: no such file.
            GalleryError: damaged, foreign, of a newer format, or with entries that do not fit together.
        """
        path = _checked_path(path)
        header, sums, counts = _read(path)
        try:
            names, dimensions = _entry(header, "names", list), _entry(header, "dimensions", int)
            if sums.dtype != np.float64 or sums.shape != (len(names), dimensions):  # before room is made for so many
                raise ValueError(
                    f"`sums` must be float64 {(len(names), dimensions)} by its names and dimensions, "
                    f"got {sums.dtype} {sums.shape}"
                )
            gallery = cls(dimensions, _entry(header, "metric", str))
            gallery.identity, gallery.source = (_entry(header, key, str) for key in ("identity", "source"))
            gallery.settings = _entry(header, "settings", dict)
            gallery._fill(names, sums, counts)
        except ValueError as error:
            raise GalleryError(f"{path}: not a usable gallery: {error}") from error
        return gallery

    def _fill(self, names: list[Any], sums: NDArray, counts: NDArray) -> None:
        if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
            raise ValueError("its names must be texts, none empty and none twice")
        if counts.dtype != np.int64 or counts.shape != (len(names),) or (counts < 1).any():
            raise ValueError("`counts` must be one int64 of 1 or more for each name")
        if not (np.abs(sums) < LARGEST * counts[:, None]).all():
            raise ValueError(f"`sums` has values that are not finite, or beyond ±{LARGEST:g} an image")
        if self.metric == "cosine" and (np.linalg.norm(sums, axis=1) < 1e-6).any():
            raise ValueError("`sums` has templates without a direction")
        self._resize(max(16, len(names)))
        self._sums[: len(names)], self._counts[: len(names)] = sums, counts
        self._index = {name: row for row, name in enumerate(names)}
        self._set_templates(slice(0, len(names)))

    def _row(self, name: str) -> int:
        if name not in self._index:
            raise KeyError(f"nobody is enrolled as {name!r}")
        return self._index[name]

    def _checked(self, vectors: ArrayLike, what: str) -> Vectors:
        try:
            rows = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{what} must be numbers: {error}") from error
        if rows.ndim != 2 or rows.shape[1] != self.dimensions or not len(rows):
            raise ValueError(f"{what} must be (k, {self.dimensions}) with k of 1 or more, got shape {rows.shape}")
        if not (np.abs(rows) < LARGEST).all():  # so written, NaN fails too
            raise ValueError(f"{what} have values that are not finite, or beyond ±{LARGEST:g}")
        if self.metric == "euclidean":
            return rows
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if (lengths < 1e-12).any():
            raise ValueError(f"{what}: one is all zeros, which has no direction")
        return rows / lengths

    def _exact(self, queries: Vectors, templates: Vectors) -> Scores:
        """(m, n) scores in double precision."""
        if self.metric == "euclidean":
            return -distances(queries, templates)
        return np.clip(queries.astype(np.float64) @ templates.astype(np.float64).T, -1, 1)

    def _candidates(self, query: Vectors, k: int) -> NDArray[np.intp]:
        """Rows of all templates that may be among the k best, whatever single precision has made of their products."""
        templates, squares = self._templates[: len(self)], self._squares[: len(self)]
        products = templates @ query
        longest = float(np.linalg.norm(query)) + float(np.sqrt(squares.max()))
        slack = self.dimensions * float(np.finfo(np.float32).eps) * longest**2  # bounds the rounding of both terms
        if self.metric == "euclidean":
            products = 2 * products - squares  # |query|² − distance²
        kth = np.partition(products, len(products) - k)[len(products) - k]
        return np.flatnonzero(products >= kth - 2 * slack)

    def _resize(self, rows: int) -> None:
        """Room for so many rows; those that are there are kept."""
        used = len(self)

        def resized(array: NDArray) -> NDArray:
            larger = np.zeros((rows, *array.shape[1:]), array.dtype)
            larger[:used] = array[:used]
            return larger

        self._sums, self._counts = resized(self._sums), resized(self._counts)
        self._templates, self._squares = resized(self._templates), resized(self._squares)

    def _set_templates(self, rows: slice) -> None:
        sums = self._sums[rows]
        scale = np.linalg.norm(sums, axis=1) if self.metric == "cosine" else self._counts[rows].astype(np.float64)
        self._templates[rows] = sums / scale[:, None]
        self._squares[rows] = (self._templates[rows] ** 2).sum(1)
        self._names = []


def _checked_path(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise GalleryError(f"{path}: a gallery is a .safetensors file")
    return path


def _read(path: Path) -> tuple[Mapping[str, Any], NDArray, NDArray]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such gallery")
    try:
        with safe_open(str(path), "numpy") as file:
            text = (file.metadata() or {}).get(KIND)
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise GalleryError(f"{path}: not a readable safetensors file (truncated or foreign?): {error}") from error
    if text is None or set(found) != {"sums", "counts"}:
        raise GalleryError(f"{path}: a safetensors file, but no gallery; make one by tools/embed.py verify enrol")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GalleryError(f"{path}: its header is not JSON: {error}") from error
    if not isinstance(header, dict) or header.get("kind") != KIND or not isinstance(header.get("format"), int):
        raise GalleryError(f"{path}: its header is not a gallery's")
    if header["format"] > FORMAT:
        raise GalleryError(
            f"{path}: gallery format {header['format']} is newer than {FORMAT}, the newest this version reads; "
            "upgrade the package"
        )
    return header, found["sums"], found["counts"]


def _entry(header: Mapping[str, Any], key: str, kind: type) -> Any:
    if type(header.get(key)) is not kind:
        raise ValueError(f"`{key}` in its header must be of type {kind.__name__}, got {header.get(key)!r:.80}")
    return header[key]
