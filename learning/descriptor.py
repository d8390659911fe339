"""Images to vectors, whatever the network: what a gallery and a search are built of.

An embedding that was trained to compare (`tools/embed.py train`) is used as it is. Any tracker's network serves too:
its backbone's features, averaged over the whole image and over its four quarters (the first two levels of a spatial
pyramid, Lazebnik, Schmid, Ponce 2006), describe an image in general.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.embedding_network import KIND, ONE_VIEW, load_embedding
from tracker.frame import Image, to_bgr8
from tracker.network import SiameseNetwork, WeightsError, find_weights, load_network

Metric = Literal["cosine", "euclidean"]
Vectors = NDArray[np.float32]

PYRAMID_SIZE = 191  # pixels that an image is resized to; see docs/verification.md for others


class Descriptor:
    """Images to vectors.

    Attributes:
        name: as the user named it, to open it again.
        identity: which tensors it computes with: vectors of two identities must not be compared.
        dimensions: of the vectors.
        metric: how they are compared; with "cosine" they have length 1.

    Args:
        name, identity, dimensions, metric: see the attributes.
        prepare: BGR uint8 image → (C, S, S) uint8.
        embed: (n, C, S, S) uint8 → (n, dimensions) float32.
        batch: images at a time.
    """

    def __init__(
        self,
        name: str,
        identity: str,
        dimensions: int,
        metric: Metric,
        prepare: Callable[[Image], Tensor],
        embed: Callable[[Tensor], Tensor],
        batch: int = 64,
    ) -> None:
        self.name, self.identity, self.dimensions, self.metric = name, identity, dimensions, metric
        self._prepare, self._embed, self._batch = prepare, embed, batch

    def __call__(self, images: Sequence[object]) -> Vectors:
        """(n, dimensions) vectors of n images.

        Args:
            images: arrays as `tracker.to_bgr8` takes them, of any sizes.

        Raises:
            ValueError: an image that is none, by its number, or vectors that are not finite.
        """
        rows = [np.zeros((0, self.dimensions), np.float32)]
        for start in range(0, len(images), self._batch):
            prepared = [
                self._one(images[index], index) for index in range(start, min(start + self._batch, len(images)))
            ]
            rows.append(self._embed(torch.stack(prepared)).float().cpu().numpy())
        vectors = np.concatenate(rows)
        if not np.isfinite(vectors).all():
            raise ValueError(f"{self.name} maps an image to NaN or infinity: its weights are damaged")
        return vectors

    def _one(self, image: object, index: int) -> Tensor:
        try:
            return self._prepare(to_bgr8(image))
        except ValueError as error:
            raise ValueError(f"image {index} (0-based): {error}") from error


def open_descriptor(name_or_path: str | Path, device: torch.device | str = "cpu") -> Descriptor:
    """The descriptor of a shipped tracker's name, or of a ``.safetensors`` file of a tracker or of an embedding.

    Raises:
        WeightsError: no such weights, or damaged ones.
        ValueError: an embedding trained by Koch's learned comparison, which no vector alone carries.
    """
    path = find_weights(name_or_path)
    if _kind(path.with_suffix(".json")) == KIND:
        return trained_descriptor(path, device)
    return pooled_descriptor(load_network(path), str(name_or_path), device)


def trained_descriptor(path: str | Path, device: torch.device | str = "cpu") -> Descriptor:
    """A trained embedding as a descriptor: its vectors are compared as it was trained to.

    Raises: as `open_descriptor`.
    """
    network = load_embedding(path, device)
    card = network.card
    if card.loss == "bce":
        raise ValueError(
            f"{path}: trained by bce, it compares pairs by a learned distance and not by its vectors alone; "
            "train by triplet, contrastive or softmax"
        )
    metric: Metric = "cosine" if card.normalise else "euclidean"
    identity = card.sha256 if card.views == ONE_VIEW else f"{card.sha256} views {card.views}"
    return Descriptor(str(path), identity, card.length, metric, network.prepare, network.embed)


def pooled_descriptor(network: SiameseNetwork, name: str, device: torch.device | str = "cpu") -> Descriptor:
    """The features of a tracker's backbone, pooled, as a descriptor of length 1."""
    identity = f"{network.card.sha256} pyramid {PYRAMID_SIZE}"
    network = network.fused().to(device)
    channels: int = network.backbone.out_channels  # type: ignore[assignment]

    @torch.no_grad()
    def embed(crops: Tensor) -> Tensor:
        return pyramid(network.features(crops.to(device).float()))

    return Descriptor(name, identity, 5 * channels, "cosine", _square, embed, batch=8)


def pyramid(features: Tensor) -> Tensor:
    """(n, C, h, w) features → (n, 5 C): their mean over the image and over its quarters, scaled to length 1.

    Quarters overlap by one cell where a side is odd.
    """
    h, w = features.shape[2:]
    top, bottom = slice(0, (h + 1) // 2), slice(h // 2, h)
    left, right = slice(0, (w + 1) // 2), slice(w // 2, w)
    parts = [features] + [features[:, :, rows, columns] for rows in (top, bottom) for columns in (left, right)]
    return torch.nn.functional.normalize(torch.cat([part.mean((2, 3)) for part in parts], 1))


def _square(image: Image) -> Tensor:
    shrinks = max(image.shape[:2]) > PYRAMID_SIZE
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (PYRAMID_SIZE, PYRAMID_SIZE), interpolation=mode)
    return torch.from_numpy(resized).permute(2, 0, 1)


def _kind(card: Path) -> str | None:
    """What kind of model a card is of; the tracker's have no such entry."""
    try:
        entries = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{card}: not a readable model card: {error}") from error
    return entries.get("kind") if isinstance(entries, dict) else None
