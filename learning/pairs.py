"""Pairs of an exemplar and a search region, drawn from footage.

A pair is described by indices and affine maps only; `learning.crops` turns a batch of descriptions into pixels on the
device that trains.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from learning.footage import Footage, Track, scenes
from tracker.crop import crop_matrix, exemplar_side, mean_colour


@dataclass(frozen=True)
class PairConfig:
    """How pairs are drawn.

    Attributes:
        mix: share of the pairs by the kind of their source; kinds that the footage lacks give theirs to the others.
        max_gap: largest distance, in stored frames, between the two frames of one track.
        shift: the target's centre is uniform within ± this many pixels of the search crop's centre, so that no
            place is favoured (SiamDW's centre bias).
        zoom: the search region's side is changed by up to exp(± this).
        exemplar_jitter: relative error of the exemplar's box, in place and size, as a careless user's.
        clutter: share of the search regions beyond whose image's border another image lies instead of one colour, so
            that small images do not teach the network an empty world.
    """

    mix: dict[str, float] = field(
        default_factory=lambda: {"video": 0.35, "synthetic": 0.25, "still": 0.2, "unlabelled": 0.2}
    )
    max_gap: int = 60
    shift: float = 60.0
    zoom: float = 0.3
    exemplar_jitter: float = 0.06
    clutter: float = 0.7


class PairBatch(NamedTuple):
    """n pairs: where each crop comes from, and where the target is in the search crop.

    Attributes:
        exemplar_images, search_images: (n,) int64 into the footage's images.
        exemplar_maps, search_maps: (n, 2, 3) float64, crop pixel → image pixel.
        exemplar_borders, behind_borders: (n, 3) float32 colours beyond the images.
        behind_images, behind_maps: the crop beyond the search image's border; itself all border where that is a colour.
        boxes: (n, 4) float32 targets ``(x, y, w, h)`` in pixels of the search crop.
        scenes: (n,) int64; pairs of one scene may show the same object.
    """

    exemplar_images: Tensor
    exemplar_maps: Tensor
    exemplar_borders: Tensor
    search_images: Tensor
    search_maps: Tensor
    behind_images: Tensor
    behind_maps: Tensor
    behind_borders: Tensor
    boxes: Tensor
    scenes: Tensor


@dataclass(frozen=True)
class _Pair:
    exemplar: tuple[int, NDArray[np.floating]]  # image and box
    search: tuple[int, NDArray[np.floating]]
    scene: int
    kind: tuple[str, str]  # neighbours of one kind in a batch are hard negatives of each other


class PairBatches(IterableDataset[PairBatch]):
    """An epoch of batches of pairs.

    The pairs of a batch are ordered by kind and category, so that neighbours look alike: the loss takes each search
    region with the next exemplar as a negative pair.

    Args:
        footage: images and tracks.
        batch_size: pairs in a batch.
        batches: in this epoch.
        seed: repeats the epoch.
        exemplar_size: side of the exemplar crop in pixels.
        search_size: side of the search crop in pixels.
        config: how pairs are drawn.
    """

    def __init__(
        self,
        footage: Footage,
        batch_size: int,
        batches: int,
        seed: int | tuple[int, ...],
        exemplar_size: int = 127,
        search_size: int = 255,
        config: PairConfig | None = None,
    ) -> None:
        self.footage, self.batch_size, self.batches, self.seed = footage, batch_size, batches, seed
        self.exemplar_size, self.search_size = exemplar_size, search_size
        self.config = config or PairConfig()
        self.tracks: dict[str, list[tuple[int, Track]]] = {}
        for scene, track in zip(scenes(footage.tracks), footage.tracks, strict=True):
            self.tracks.setdefault(track.group, []).append((scene, track))
        known = self.tracks.keys() | ({"unlabelled"} if footage.unlabelled else set())
        kinds = [kind for kind in self.config.mix if kind in known]
        if not kinds:
            raise ValueError(f"the footage has none of the kinds asked for: {', '.join(self.config.mix)}")
        shares = np.array([self.config.mix[kind] for kind in kinds])
        self.kinds, self.shares = kinds, shares / shares.sum()
        self._borders: dict[int, tuple[float, ...]] = {}

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[PairBatch]:
        rng = np.random.default_rng(self.seed)
        for _ in range(self.batches):
            kinds = rng.choice(self.kinds, size=self.batch_size, p=self.shares)
            pairs = [self._unlabelled(rng) if kind == "unlabelled" else self._tracked(kind, rng) for kind in kinds]
            yield self._describe(sorted(pairs, key=lambda pair: pair.kind), rng)

    def _tracked(self, kind: str, rng: np.random.Generator) -> _Pair:
        scene, track = self.tracks[kind][rng.integers(len(self.tracks[kind]))]
        first = int(rng.integers(len(track.images)))
        low, high = max(0, first - self.config.max_gap), min(len(track.images), first + self.config.max_gap + 1)
        second = int(rng.integers(low, high))
        exemplar = int(track.images[first]), track.boxes[first]
        search = int(track.images[second]), track.boxes[second]
        return _Pair(exemplar, search, scene, (kind, track.category))

    def _unlabelled(self, rng: np.random.Generator) -> _Pair:
        index = self.footage.unlabelled[rng.integers(len(self.footage.unlabelled))]
        looked_at = index, _textured_box(self.footage.images[index], rng)
        return _Pair(looked_at, looked_at, index, ("unlabelled", ""))

    def _describe(self, pairs: list[_Pair], rng: np.random.Generator) -> PairBatch:
        """Jitter the regions and write down their maps."""
        config, n = self.config, len(pairs)
        exemplar_maps, search_maps, boxes = np.empty((n, 2, 3)), np.empty((n, 2, 3)), np.empty((n, 4), np.float32)
        for row, pair in enumerate(pairs):
            mirror = bool(rng.random() < 0.5)
            x, y, w, h = (float(value) for value in pair.exemplar[1])
            error = 1 + rng.uniform(-config.exemplar_jitter, config.exemplar_jitter, 4)
            w, h, x, y = w * error[0], h * error[1], x + w * (error[2] - 1), y + h * (error[3] - 1)
            side = exemplar_side(w, h)
            exemplar_maps[row] = crop_matrix((x + w / 2, y + h / 2), side, self.exemplar_size, mirror)

            x, y, w, h = (float(value) for value in pair.search[1])
            zoom = math.exp(rng.uniform(-config.zoom, config.zoom))
            side = exemplar_side(w, h) * self.search_size / self.exemplar_size * zoom
            step = side / self.search_size
            shift = rng.uniform(-config.shift, config.shift, 2)  # of the target, in pixels of the crop
            sign = -1 if mirror else 1
            centre = x + w / 2 - sign * shift[0] * step, y + h / 2 - shift[1] * step
            search_maps[row] = crop_matrix(centre, side, self.search_size, mirror)
            middle = self.search_size / 2 + shift
            boxes[row] = (*(middle - np.array([w, h]) / step / 2), w / step, h / step)
        behind, behind_maps = self._behind(n, rng)
        return PairBatch(
            torch.tensor([pair.exemplar[0] for pair in pairs]),
            torch.from_numpy(exemplar_maps),
            self._border_colours([pair.exemplar[0] for pair in pairs]),
            torch.tensor([pair.search[0] for pair in pairs]),
            torch.from_numpy(search_maps),
            torch.from_numpy(behind),
            torch.from_numpy(behind_maps),
            self._border_colours([pair.search[0] for pair in pairs]),
            torch.from_numpy(boxes),
            torch.tensor([pair.scene for pair in pairs]),
        )

    def _behind(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Images to lie behind n search regions, and their maps; a map to nowhere gives the border's colour."""
        images = rng.integers(len(self.footage.images), size=n)
        maps = np.empty((n, 2, 3))
        for row, index in enumerate(images):
            height, width = self.footage.images[index].shape[:2]
            maps[row] = crop_matrix((width / 2, height / 2), min(width, height), self.search_size)
        maps[rng.random(n) >= self.config.clutter, :, 2] = -1e6
        return images, maps

    def _border_colours(self, images: list[int]) -> Tensor:
        for index in set(images) - self._borders.keys():
            self._borders[index] = mean_colour(self.footage.images[index])
        return torch.tensor([self._borders[index] for index in images], dtype=torch.float32)


def _textured_box(image: NDArray[np.uint8], rng: np.random.Generator, tries: int = 4) -> NDArray[np.float64]:
    """A random box with something in it: of a few, the one with the largest spread of grey levels."""
    height, width = image.shape[:2]
    best, best_spread = np.zeros(4), -1.0
    for _ in range(tries):
        area = math.exp(rng.uniform(math.log(0.01), math.log(0.2))) * height * width
        aspect = math.exp(rng.uniform(-0.8, 0.8))
        w, h = min(math.sqrt(area * aspect), width * 0.9), min(math.sqrt(area / aspect), height * 0.9)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        spread = float(image[int(y) : int(y + h) + 1 : 3, int(x) : int(x + w) + 1 : 3, 1].std())
        if spread > best_spread:
            best, best_spread = np.array([x, y, w, h]), spread
    return best
