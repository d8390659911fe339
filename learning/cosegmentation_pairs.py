"""Pairs of pictures to learn co-segmentation from: photographs as they are, and composed ones.

A picture is a photograph turned, cropped and scaled, or an object cut out of its photograph and set before another
scene; others may be pasted beside it. What two pictures have in common is known exactly, so a pair teaches what is
meant by "common": not what stands out (an unrelated object does too, and alone it must be left out), and not the
background, which a photograph shares with itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset

from learning.augment import apply_colour, blur, coarsen, colour_maps, grey_maps, noise, uniform
from learning.cosegmentation_data import Image, Mask, Photo, by_identity, shown_by

T = TypeVar("T")
LEAST_VISIBLE = 0.5  # of an object that another is pasted before
LEAST_KEPT = 0.4  # of an object's mask when its photograph is cropped
ATTEMPTS = 8


@dataclass(frozen=True)
class PairConfig:
    """How pairs are drawn. Shares are probabilities.

    Attributes:
        size: side of the pictures in pixels.
        nameless: share of common objects from ECSSD: one photograph twice.
        video: share from two frames of a sequence; the rest are two photographs of one class.
        composed: share of pictures that are composed.
        unrelated: share of pairs without a common object.
        distractors: shares of pictures with 0, 1, 2 objects pasted beside what is there.
        mirrored: share of pairs one of whose pictures is mirrored and the other is not.
        second: share of pairs into which the same further object is pasted on both sides.
    """

    size: int = 96
    nameless: float = 0.3
    video: float = 0.3
    composed: float = 0.4
    unrelated: float = 0.2
    distractors: tuple[float, ...] = (0.6, 0.34, 0.06)
    mirrored: float = 0.1
    second: float = 0.05


class Scene:
    """A picture that is being composed: the pixels, and what of each thing can be seen.

    Attributes:
        image: uint8 (S, S, 3) BGR.
        masks: identity → (S, S) bool.
        classes: every class known to be in it.
    """

    def __init__(self, image: Image, masks: dict[str, Mask], classes: frozenset[str]) -> None:
        self.image, self.masks, self.classes = image, masks, classes

    def paste(self, layer: Layer) -> None:
        """Blend a cut-out over the picture."""
        alpha = layer.alpha[..., None]
        self.image = np.rint(self.image + (layer.image - self.image) * alpha).astype(np.uint8)
        covered = layer.alpha > 0.5
        self.masks = {identity: mask & ~covered for identity, mask in self.masks.items()}
        self.masks[layer.identity] = self.masks.get(layer.identity, False) | covered
        self.classes |= layer.classes

    def hides(self, layer: Layer, identities: Sequence[str]) -> bool:
        """Whether a cut-out would cover too much of one of these."""
        covered = layer.alpha > 0.5
        for identity in identities:
            mask = self.masks[identity]
            if (mask & ~covered).sum() < LEAST_VISIBLE * mask.sum():
                return True
        return False

    @property
    def salient(self) -> Mask:
        """(S, S) bool: every thing that is masked, common or not."""
        return np.logical_or.reduce([np.zeros(self.image.shape[:2], bool), *self.masks.values()])

    def common(self, other: Scene) -> Mask:
        """(S, S) bool: what this picture and `other` both show, here."""
        shared = [mask for identity, mask in self.masks.items() if identity in other.masks]
        return np.logical_or.reduce([np.zeros(self.image.shape[:2], bool), *shared])

    def comparable(self, other: Scene) -> bool:
        """See `Photo.comparable`."""
        return (self.classes & other.classes) <= shown_by(self.masks.keys() & other.masks.keys())


@dataclass(frozen=True, eq=False)
class Layer:
    """A cut-out in its place: `image` float (S, S, 3), `alpha` float (S, S) in [0, 1], what it is and shows."""

    image: NDArray[np.float32]
    alpha: NDArray[np.float32]
    identity: str
    classes: frozenset[str]


def warp(source: NDArray, matrix: NDArray, size: int, border: int) -> NDArray:
    """(H, W, …) through a 2×3 map of continuous pixel coordinates (0 is the first pixel's edge) → (size, size, …)."""
    shifted = matrix.astype(np.float64).copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(source, shifted, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def _around(centre: ArrayLike, scale: tuple[float, float], angle: float, mirrored: bool, target: ArrayLike) -> NDArray:
    """The 2×3 map that scales and turns about `centre`, mirrors it, and puts it on `target`."""
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([scale[0] * (-1 if mirrored else 1), scale[1]])
    return np.column_stack([linear, np.asarray(target) - linear @ np.asarray(centre)])


def plain_scene(photo: Photo, size: int) -> Scene:
    """A photograph squeezed into a square, as it is when a mask is predicted."""
    image = cv2.resize(photo.image, (size, size), interpolation=cv2.INTER_AREA)
    masks = {identity: squeeze(mask, size) for identity, mask in photo.masks.items()}
    return Scene(np.asarray(image, np.uint8), masks, photo.classes)


def squeeze(mask: Mask, size: int) -> Mask:
    """(H, W) bool → (size, size) bool."""
    return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, (size, size), interpolation=cv2.INTER_AREA) > 127)


def photo_scene(photo: Photo, size: int, rng: np.random.Generator, mirrored: bool = False) -> Scene:
    """A photograph as another camera might have taken it: part of it, scaled, turned a little, mirrored.

    The border mirrors the picture and its masks. Where too little of a thing is left, the photograph is taken whole.
    """
    height, width = photo.image.shape[:2]
    zoom = np.exp(rng.uniform(-0.1, 0.35))
    aspect = np.exp(rng.uniform(-0.15, 0.15))
    scale = zoom * aspect * size / width, zoom / aspect * size / height
    slack = np.maximum(0.0, 1 - 1 / zoom) / 2
    centre = (0.5 + rng.uniform(-slack, slack, 2)) * (width, height)
    turn = rng.normal(0, np.radians(4))
    matrix = _around(centre, scale, turn, mirrored, (size / 2, size / 2))
    area = abs(np.linalg.det(matrix[:, :2]))
    masks = {}
    for identity, mask in photo.masks.items():
        moved = warp(mask.astype(np.uint8) * 255, matrix, size, cv2.BORDER_REFLECT_101) > 127
        if moved.sum() < LEAST_KEPT * mask.sum() * min(area, size * size / mask.size):
            return plain_scene(photo, size)
        masks[identity] = np.asarray(moved)
    image = warp(photo.image, matrix, size, cv2.BORDER_REFLECT_101)
    return Scene(np.asarray(image, np.uint8), masks, photo.classes)


def cut_out(
    photo: Photo,
    identity: str,
    size: int,
    rng: np.random.Generator,
    mirrored: bool = False,
    longest: tuple[float, float] = (0.4, 0.8),
) -> Layer:
    """A thing of a photograph, scaled, turned, mirrored and set somewhere in an empty picture.

    Args:
        photo: where it is.
        identity: which of its things.
        size: side of the picture.
        rng: decides everything else.
        mirrored: left and right change places.
        longest: range of the thing's longer side, as a share of the picture.
    """
    mask = photo.masks[identity]
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, right, top, bottom = xs[0], xs[-1] + 1, ys[0], ys[-1] + 1
    side = size * np.exp(rng.uniform(np.log(longest[0]), np.log(longest[1])))
    aspect = np.exp(rng.uniform(-0.15, 0.15))
    factor = side / max(right - left, bottom - top)
    scale = factor * aspect, factor / aspect
    # Half of it stays inside, whatever it is.
    extent = np.array([(right - left) * scale[0], (bottom - top) * scale[1]])
    margin = np.minimum(extent * 0.35, size / 2)
    target = rng.uniform(margin, size - margin)
    centre = (left + right) / 2, (top + bottom) / 2
    matrix = _around(centre, scale, rng.normal(0, np.radians(6)), mirrored, target)
    alpha = warp(mask.astype(np.float32), matrix, size, cv2.BORDER_CONSTANT)
    alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
    image = warp(photo.image, matrix, size, cv2.BORDER_REPLICATE).astype(np.float32)
    light = np.exp(rng.uniform(-0.25, 0.2)) * np.exp(rng.normal(0, 0.05, 3))
    classes = photo.classes & shown_by([identity])
    return Layer(np.clip(image * light, 0, 255).astype(np.float32), alpha.astype(np.float32), identity, classes)


class PairSampler:
    """Draws pairs of pictures.

    Args:
        photos: to draw from.
        backgrounds: scenes without masked things, to compose on beside the photographs.
        config: how.

    Raises:
        ValueError: fewer than two photographs.
    """

    def __init__(self, photos: Sequence[Photo], backgrounds: Sequence[Image] = (), config: PairConfig | None = None):
        if len(photos) < 2:
            raise ValueError(f"pairs need at least two photographs with masks, got {len(photos)}")
        self.photos, self.backgrounds, self.config = list(photos), list(backgrounds), config or PairConfig()
        groups = by_identity(photos)
        nameless = [name for name in groups if "/" in name and len(groups[name]) == 1]
        videos = [name for name in groups if "/" in name and len(groups[name]) > 1]
        named = [name for name in groups if "/" not in name]
        shares = (self.config.nameless, self.config.video, 1 - self.config.nameless - self.config.video)
        kinds = [(kind, share) for kind, share in zip((nameless, videos, named), shares, strict=True) if kind]
        self.groups = groups
        self.kinds = [kind for kind, _ in kinds]
        self.shares = np.array([share for _, share in kinds]) / sum(share for _, share in kinds)
        # A class with more photographs teaches more: drawn by the square root of their number.
        roots = np.sqrt([len(groups[name]) for name in named])
        self.named_shares = roots / roots.sum() if named else roots

    def pair(self, rng: np.random.Generator) -> tuple[Scene, Scene]:
        """Two pictures; what they have in common is what their masks have in common."""
        for _ in range(100):
            a, b = self._objects(rng)
            mirrored = bool(rng.random() < 0.5)
            other_mirrored = mirrored ^ bool(rng.random() < self.config.mirrored)
            scenes = self._scene(*a, mirrored, rng), self._scene(*b, other_mirrored, rng)
            shared = [identity for identity in (a[1],) if identity == b[1]]
            if rng.random() < self.config.second:
                shared += self._second(scenes, shared, rng)
            for scene in scenes:
                self._distract(scene, shared, rng)
            if scenes[0].comparable(scenes[1]):
                return scenes
        raise ValueError("no two photographs can be compared: every pair shares a class that is not masked in both")

    def _objects(self, rng: np.random.Generator) -> tuple[tuple[Photo, str], tuple[Photo, str]]:
        """Photograph and identity of what each picture is about: the same identity, or two unrelated ones."""
        identity = self._identity(rng)
        group = self.groups[identity]
        first = group[int(rng.integers(len(group)))]
        if rng.random() < self.config.unrelated:
            for _ in range(ATTEMPTS):
                other_identity = self._identity(rng)
                other = _pick(self.groups[other_identity], rng)
                if not first.common(other) and first.comparable(other):
                    return (first, identity), (other, other_identity)
        return (first, identity), (group[int(rng.integers(len(group)))], identity)

    def _identity(self, rng: np.random.Generator) -> str:
        kind = self.kinds[int(rng.choice(len(self.kinds), p=self.shares))]
        if "/" in kind[0]:
            return _pick(kind, rng)
        return kind[int(rng.choice(len(kind), p=self.named_shares))]

    def _scene(self, photo: Photo, identity: str, mirrored: bool, rng: np.random.Generator) -> Scene:
        """The photograph, or its thing before another scene."""
        size = self.config.size
        if rng.random() >= self.config.composed:
            return photo_scene(photo, size, rng, mirrored)
        if self.backgrounds and rng.random() < 0.5:
            image = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
            scene = photo_scene(Photo("", "", image, {}, frozenset()), size, rng)
        else:
            scene = photo_scene(_pick(self.photos, rng), size, rng)
        scene.paste(cut_out(photo, identity, size, rng, mirrored))
        return scene

    def _second(self, scenes: tuple[Scene, Scene], shared: Sequence[str], rng: np.random.Generator) -> list[str]:
        """Paste one further object into both pictures; its identity, if it found a place in both."""
        identity = self._identity(rng)
        layers = [self._layer(scene, identity, shared, rng) for scene in scenes]
        if layers[0] is None or layers[1] is None:
            return []
        scenes[0].paste(layers[0])
        scenes[1].paste(layers[1])
        return [identity]

    def _distract(self, scene: Scene, shared: Sequence[str], rng: np.random.Generator) -> None:
        """Paste objects beside what is there, hiding not too much of what is shared."""
        for _ in range(int(rng.choice(len(self.config.distractors), p=self.config.distractors))):
            layer = self._layer(scene, self._identity(rng), shared, rng)
            if layer is not None:
                scene.paste(layer)

    def _layer(self, scene: Scene, identity: str, shared: Sequence[str], rng: np.random.Generator) -> Layer | None:
        """A cut-out in a place where it leaves enough of `shared` to be seen, or None."""
        photo = _pick(self.groups[identity], rng)
        for _ in range(ATTEMPTS):
            layer = cut_out(photo, identity, self.config.size, rng, bool(rng.random() < 0.5), (0.25, 0.6))
            if not scene.hides(layer, shared):
                return layer
        return None


def _pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


@dataclass(frozen=True, eq=False)
class PairBatch:
    """n pairs.

    Attributes:
        images: uint8 (2n, 3, S, S) BGR, the first pictures of all pairs and then the second ones.
        common: uint8 (2n, S, S), 1 where the common object is.
        salient: uint8 (2n, S, S), 1 where any masked thing is.
    """

    images: Tensor
    common: Tensor
    salient: Tensor


class PairBatches(Dataset[PairBatch]):
    """Batch i depends on `seed` and i only, so that a run that is resumed goes on to the pairs it would have seen."""

    def __init__(self, sampler: PairSampler, batch_size: int, batches: int, seed: int = 0) -> None:
        self.sampler, self.batch_size, self.batches, self.seed = sampler, batch_size, batches, seed

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[PairBatch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> PairBatch:
        rng = np.random.default_rng([self.seed, index])
        pairs = [self.sampler.pair(rng) for _ in range(self.batch_size)]
        firsts, seconds = zip(*pairs, strict=True)
        scenes = [*firsts, *seconds]
        others = [*seconds, *firsts]
        images = np.stack([scene.image.transpose(2, 0, 1) for scene in scenes])
        common = np.stack([scene.common(other) for scene, other in zip(scenes, others, strict=True)])
        salient = np.stack([scene.salient for scene in scenes])
        return PairBatch(*(torch.from_numpy(array.astype(np.uint8)) for array in (images, common, salient)))


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 3, S, S) pictures in [0, 255] as other cameras and other light show them, each on its own: overwritten."""
    n = len(images)
    matrices, offsets = colour_maps(n, 0.3, generator)
    grey = grey_maps(uniform(n, 0, 1, generator) < 0.05)
    images = coarsen(images, 0.05, generator)
    images = blur(images, 0.05, generator)
    images = apply_colour(images, grey @ matrices, torch.einsum("nij,nj->ni", grey, offsets))
    return noise(images, 0.1, generator)
