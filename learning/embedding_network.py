"""The Siamese network that embeds images = tower + what its loss compares with, and the files it lives in.

A model is two files of one name: `NAME.safetensors` holds the tensors, `NAME.json` is its card.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from backbones.embedding import build_embedding
from learning.losses import distance, weighted_l1
from tracker.network import WeightsError, load_tensors, save_tensors

CARD_FORMAT = 1
KIND = "embedding"
ONE_VIEW = "one"
VIEWS = {ONE_VIEW: 1, "mirrored": 2, "turned": 4, "all": 8}  # of an image, and how many each way has
WHOLE, INK = "whole", "ink"
FRAMINGS = (WHOLE, INK)
MARGIN = 0.06  # around what is drawn, as a share of the frame within it
SMALLEST = 1 / 3  # of an image's side: drawings are not magnified more, so that a dot stays a dot


@dataclass(frozen=True)
class EmbeddingCard:
    """What an embedding's weights are. Preprocessing is read from here, nothing is assumed.

    Attributes:
        network: name for `backbones.embedding.build_embedding`.
        channels: 1: grey, 3: BGR.
        size: side in pixels that images are resized to.
        dimensions: of the embedding.
        normalise: the embedding has length 1.
        views: one of `VIEWS`: ways to look at an image, whose embeddings are joined.
        mean: subtracted from the pixels, which are in [0, 255].
        scale: multiplies them after that.
        invert: drawings in ink on paper are turned into light strokes on black, as Omniglot is read.
        framing: the "whole" image is looked at, or of a drawing the part with "ink" (`frame_ink`).
        loss: "softmax", "nca", "contrastive", "bce" or "triplet": what it was trained by.
        classes: that the linear head of "softmax" tells apart; 0: no head.
        sha256: of the tensors.
        training: data, recipe, command, seconds.
        results: what was measured, each with the data it was measured on.
        licence: of the weights.
        date: of the training, ISO 8601.
        kind: of the card; "embedding".
        format: of the card itself.
    """

    network: str
    channels: int = 1
    size: int = 28
    dimensions: int = 2
    normalise: bool = False
    views: str = ONE_VIEW
    mean: float = 0.0
    scale: float = 1 / 255
    invert: bool = False
    framing: str = WHOLE
    loss: str = "triplet"
    classes: int = 0
    sha256: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    licence: str = ""
    date: str = ""
    kind: str = KIND
    format: int = CARD_FORMAT

    @classmethod
    def read(cls, path: Path) -> EmbeddingCard:
        """Read and check a card.

        Raises:
            WeightsError: no such file, not JSON, not an embedding's, of a newer format, or with wrong entries.
        """
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such card; a weights file needs its card beside it") from None
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path}: not a readable card: {error}") from error
        if not isinstance(entries, dict) or entries.get("kind") != KIND:
            raise WeightsError(
                f"{path}: not the card of an embedding (no `kind`: {KIND!r}); train one by tools/embed.py"
            )
        if not isinstance(entries.get("format"), int) or entries["format"] > CARD_FORMAT:
            raise WeightsError(f"{path}: its format is {entries.get('format')!r}, this version reads {CARD_FORMAT}")
        expected = dataclasses.asdict(cls(""))
        if wrong := sorted(set(entries) - set(expected)):
            raise WeightsError(f"{path}: unknown entries in the card: {', '.join(wrong)}")
        for name, value in entries.items():
            kind = type(expected[name])
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise WeightsError(f"{path}: `{name}` in the card must be of type {kind.__name__}, got {value!r}")
        if "network" not in entries:
            raise WeightsError(f"{path}: the card does not name its network")
        if entries.get("views", ONE_VIEW) not in VIEWS:
            raise WeightsError(f"{path}: `views` in the card must be one of {', '.join(VIEWS)}")
        if entries.get("framing", WHOLE) not in FRAMINGS:
            raise WeightsError(f"{path}: `framing` in the card must be one of {', '.join(FRAMINGS)}")
        return cls(**entries)

    @property
    def length(self) -> int:
        """Numbers of what `EmbeddingNetwork.embed` gives of an image: `dimensions` of each view."""
        return self.dimensions * VIEWS[self.views]

    def write(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


class EmbeddingNetwork(nn.Module):
    """A tower, and beside it what the loss needs: α and bias of Koch's distance, or the linear head of the softmax."""

    def __init__(self, card: EmbeddingCard) -> None:
        super().__init__()
        if card.loss == "bce" and card.views != ONE_VIEW:
            raise ValueError("a network trained by bce compares by weights of one view; leave out --views")
        self.card = card
        self.tower = build_embedding(card.network, card.channels, card.dimensions, card.size)
        if card.loss == "bce":
            # alike where the distance is small: a positive bias and negative weights to begin with
            self.alpha = nn.Parameter(torch.full((card.dimensions,), -8 / card.dimensions))
            self.bias = nn.Parameter(torch.ones(()))
        if card.classes:
            self.head = nn.Linear(card.dimensions, card.classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, S, S) images with values in [0, 255], of any type → (N, D) embeddings of one view."""
        embeddings = self.tower((images.float() - self.card.mean) * self.card.scale)
        return F.normalize(embeddings) if self.card.normalise else embeddings

    @torch.no_grad()
    def embed(self, images: Tensor, batch: int = 500) -> Tensor:
        """(N, C, S, S) uint8 images → (N, D) float32 embeddings on the CPU, in evaluation mode.

        With V views D is V times the card's dimensions, and all is divided by √V, so that the squared distance of two
        images is the mean of those of their views.
        """
        training, device = self.training, next(self.parameters()).device
        self.eval()
        parts = [self._look(some.to(device)).cpu() for some in images.split(batch)]
        self.train(training)
        return torch.cat(parts) if parts else torch.zeros(0, self.card.length)

    def _look(self, images: Tensor) -> Tensor:
        seen = [self(view) for view in views(images, self.card.views)]
        return torch.cat(seen, 1) / len(seen) ** 0.5

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """(n,) how alike the pairs of (n, D) embeddings are: minus the distance, or the logit of Koch's probability.

        Only the order means something across losses.
        """
        if self.card.loss == "bce":
            return weighted_l1(first, second, self.alpha, self.bias)
        return -distance(first, second)

    def prepare(self, image: NDArray[np.uint8]) -> Tensor:
        """(H, W, 3) BGR or (H, W) grey uint8 image → (C, S, S) uint8, as the network was trained on.

        Raises:
            ValueError: another type or shape.
        """
        card = self.card
        light = 255 - image if card.invert and image.dtype == np.uint8 else image  # `resize` refuses other types
        return resize(light, card.size, card.channels, card.framing)


def views(images: Tensor, how: str) -> list[Tensor]:
    """(N, C, S, S) images as they are, and mirrored left to right, turned by 90, 180 and 270 degrees, or all of these.

    Args:
        images: of any type.
        how: one of `VIEWS`.
    """
    seen = [images, images.flip(3)] if how in ("mirrored", "all") else [images]
    return [view.rot90(turn, (2, 3)) for view in seen for turn in range(4)] if how in ("turned", "all") else seen


def frame_ink(drawing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) light strokes on black → (h, w) what is drawn, as people draw a character large or small, here or there.

    The frame is around the middle of the strokes' bounding box. Its sides are the geometric means of those of the box
    with the longer of them: made square, the drawing is stretched half as much as would fill the square.
    """
    strokes = drawing > drawing.max() // 2
    if not strokes.any():
        return drawing
    ends = np.array([np.flatnonzero(strokes.any(axis))[[0, -1]] for axis in (1, 0)])  # first and last row and column
    extents = ends[:, 1] + 1 - ends[:, 0]
    longest = max(extents.max(), SMALLEST * max(drawing.shape))
    sides = np.sqrt(np.maximum(extents, SMALLEST * longest) * longest) * (1 + 2 * MARGIN)
    starts = np.round((ends.sum(1) + 1 - sides) / 2).astype(int)
    stops = starts + np.round(sides).astype(int)
    beyond = max(0, -starts.min(), *(stops - drawing.shape))
    (top, left), (bottom, right) = starts + beyond, stops + beyond
    return np.pad(drawing, beyond)[top:bottom, left:right]


def resize(image: NDArray[np.uint8], size: int, channels: int, framing: str = WHOLE) -> Tensor:
    """(H, W, 3) BGR or (H, W) grey uint8 image → (C, size, size) uint8; the shape is not kept, as faces' datasets do.

    Args:
        image: with light strokes on black, if its ink is to be framed.
        size: side in pixels.
        channels: 1 or 3.
        framing: one of `FRAMINGS`; framed drawings are grey.

    Raises:
        ValueError: another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size or image.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(f"expected a uint8 image of H×W or H×W×3, got {image.dtype} {image.shape}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and (channels == 1 or framing == INK):
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[assignment]
    if framing == INK:
        image = frame_ink(image)
    if image.shape[:2] != (size, size):
        shrinks = size < max(image.shape[:2])
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[assignment]
    if image.ndim == 2:
        return torch.from_numpy(np.repeat(image[None], channels, axis=0))
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def save_embedding(network: EmbeddingNetwork, path: str | Path, half: bool = False, **card: Any) -> EmbeddingCard:
    """Write `path` (.safetensors) and its card.

    Args:
        network: what to save.
        path: where; parent folders are made.
        half: store kernels as fp16.
        card: entries of the card to replace.

    Raises:
        ValueError: `path` does not end in .safetensors, or a tensor has values that are not finite.
    """
    written = dataclasses.replace(network.card, **card)
    written = dataclasses.replace(written, sha256=save_tensors(network, path, half))
    written.write(Path(path).with_suffix(".json"))
    return written


def load_embedding(path: str | Path, device: torch.device | str = "cpu") -> EmbeddingNetwork:
    """Load a model: no unpickling, hash checked, every tensor in its place, in evaluation mode.

    Raises:
        WeightsError: the file is missing, truncated, foreign, or not what its card says.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    card = EmbeddingCard.read(path.with_suffix(".json"))
    tensors = load_tensors(path, card.sha256)
    try:
        network = EmbeddingNetwork(card)
        network.load_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: its tensors are not those of {card.network}: {error}") from error
    return network.to(device).eval()
