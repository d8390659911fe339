"""Co-segmentation of two images or a group: the trained network, its files, and what it says.

>>> segmenter = Cosegmenter.from_pretrained("cosegment")
>>> masks = segmenter.masks([first, second])
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbones.cosegmentation import CosegmentationNetwork, Features
from backbones.efficientnet_lite import MEAN, SCALE
from learning.pictures import read_picture
from tracker.frame import Image, to_bgr8
from tracker.network import ModelCard, WeightsError, find_weights, load_tensors, save_tensors

BACKBONE, HEAD = "cosegmentation", "masks"  # what the card of such a network says
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
SETTINGS = {"threshold": 0.5, "saliency_threshold": 0.5, "trust": 1.0}  # of a card's config, where it has others
PARTNERS = 8  # of a group, each image is compared with at most so many others


def new_card(size: int = 160, encoder: str = "efficientnet_lite0", **changes: Any) -> ModelCard:
    """The card of an untrained network for images of `size` × `size` pixels; `changes` are to its config."""
    config = {"encoder": encoder, "widths": [16, 32, 64], "embedding": 64, "threshold": 0.5, "saliency_threshold": 0.5}
    return ModelCard(
        *(BACKBONE, HEAD, size, size),
        stride=8,
        mean=MEAN,
        scale=SCALE,
        config={**config, **changes},
        licence="research use only",
    )


def build(card: ModelCard) -> CosegmentationNetwork:
    """The network that a card describes, untrained.

    Raises:
        WeightsError: the card is of another kind of network, or lacks what this kind needs.
    """
    if (card.backbone, card.head) != (BACKBONE, HEAD):
        raise WeightsError(f"the card is of {card.backbone!r} + {card.head!r}, not of a network for co-segmentation")
    try:
        first, second, third = (int(width) for width in card.config["widths"])
        embedding, encoder = int(card.config["embedding"]), str(card.config["encoder"])
        return CosegmentationNetwork(card.search_size, (first, second, third), embedding, encoder)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"the card's size and config describe no network for co-segmentation: {error!r}") from error


def settings(card: ModelCard) -> dict[str, float]:
    """`SETTINGS` as the card has them.

    Raises:
        WeightsError: one of them is no number in [0, 1].
    """
    found = {name: card.config.get(name, usual) for name, usual in SETTINGS.items()}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise WeightsError(f"`{name}` in the card's config must be a number from 0 to 1, got {value!r}")
    return found


def save(network: CosegmentationNetwork, card: ModelCard, path: str | Path, **changes: Any) -> ModelCard:
    """Write `path` (.safetensors, kernels as fp16) and its card, with `changes` and the tensors' hash in it.

    Raises:
        ValueError: `path` does not end in .safetensors, or a tensor is not finite.
    """
    written = dataclasses.replace(card, **changes)
    written = dataclasses.replace(written, sha256=save_tensors(network, path, half=True))
    written.write(Path(path).with_suffix(".json"))
    return written


def find_shipped(name_or_path: str | Path) -> Path:
    """The .safetensors file of a name below ``weights/cosegment/``, or of a path.

    Raises:
        WeightsError: neither of them.
    """
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        return find_weights(path)
    folder = Path(str(resources.files("weights"))) / "cosegment"
    shipped = sorted(file.stem for file in folder.glob("*.safetensors")) if folder.is_dir() else []
    if str(name_or_path) not in shipped:
        raise WeightsError(
            f"{name_or_path!s}: neither a network for co-segmentation that ships with the package "
            f"({', '.join(shipped) or 'none'}) nor a path to a .safetensors file"
        )
    return folder / f"{name_or_path}.safetensors"


def load(name_or_path: str | Path) -> tuple[CosegmentationNetwork, ModelCard]:
    """A network, in evaluation mode, and its card, by name or path: no unpickling, hash checked.

    Raises:
        WeightsError: the file is missing, truncated, foreign, or not what its card says.
    """
    path = find_shipped(name_or_path)
    card = ModelCard.read(path.with_suffix(".json"))
    tensors = load_tensors(path, card.sha256)
    try:
        network = build(card)
        network.load_state_dict(tensors)
        settings(card)
    except (WeightsError, RuntimeError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return network.eval(), card


class Cosegmenter:
    """Finds the object that images have in common, and where it is in each.

    Args:
        network: trained.
        card: its card: preprocessing, thresholds, and trust in what other images say (see `CosegmentationNetwork`).
        device: to compute on.

    Raises:
        WeightsError: see `settings`.
    """

    def __init__(self, network: CosegmentationNetwork, card: ModelCard, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.network = network.eval().to(self.device)
        self.card = card
        self.threshold, self.saliency_threshold, self.trust = settings(card).values()

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = "cosegment", device: str | torch.device = "cpu") -> Cosegmenter:
        """By a name in ``weights/`` or the path of a .safetensors file with its card beside it.

        Raises:
            WeightsError: see `load`.
        """
        return cls(*load(name_or_path), device)

    def probabilities(self, images: Sequence[object], partners: int = PARTNERS) -> list[NDArray[np.float32]]:
        """How likely each pixel belongs to an object that the image shares with the others.

        Of more than two images each is compared with the others, at most `partners` of them, evenly spread over the
        group; what the pairs say is averaged.

        Args:
            images: two or more, each as `tracker.to_bgr8` takes them; sizes may differ.
            partners: most comparisons an image.

        Returns:
            For each image (H, W) float32 in [0, 1].

        Raises:
            ValueError: fewer than two images, or one that is none; the message says which.
        """
        if len(images) < 2:
            raise ValueError(f"co-segmentation compares images: it needs at least two, got {len(images)}")
        if partners < 1:
            raise ValueError(f"partners must be at least 1, got {partners}")
        pictures = [_picture(image, number) for number, image in enumerate(images, 1)]
        with torch.inference_mode():
            features = [self.network.encode(self._input(picture)) for picture in pictures]
            return [
                self._averaged(features, index, chosen_partners(index, len(pictures), partners), picture.shape[:2])
                for index, picture in enumerate(pictures)
            ]

    def masks(self, images: Sequence[object], threshold: float | None = None) -> list[NDArray[np.bool_]]:
        """`probabilities` above a threshold (default: the card's): (H, W) bool for each image.

        Raises:
            ValueError: see `probabilities`; or a threshold outside (0, 1).
        """
        threshold = self.threshold if threshold is None else threshold
        if not 0 < threshold < 1:
            raise ValueError(f"the threshold must lie between 0 and 1, got {threshold}")
        return [probability > threshold for probability in self.probabilities(images)]

    def saliency(self, image: object) -> NDArray[np.float32]:
        """How likely each pixel belongs to something that stands out in the image by itself: (H, W) float32 in [0, 1].

        Raises:
            ValueError: not an image.
        """
        picture = _picture(image, 1)
        with torch.inference_mode():
            logits = self.network.encode(self._input(picture)).salient
        return _enlarged(logits.sigmoid(), picture.shape[:2])

    def _input(self, picture: Image) -> Tensor:
        size = self.card.search_size
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(small).to(self.device).permute(2, 0, 1)[None].float()
        return (pixels - self.card.mean) * self.card.scale

    def _averaged(
        self, features: Sequence[Features], index: int, others: Sequence[int], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        own = Features(*(level.expand(len(others), *level.shape[1:]) for level in features[index]))
        theirs = Features(*(torch.cat(levels) for levels in zip(*(features[other] for other in others), strict=True)))
        return _enlarged(self.network.common(own, theirs, self.trust).sigmoid().mean(0, keepdim=True), shape)


def chosen_partners(index: int, images: int, limit: int) -> list[int]:
    """Which of the other images number `index` is compared with: all, or `limit` of them evenly spread."""
    others = [other for other in range(images) if other != index]
    if len(others) <= limit:
        return others
    return [others[number * len(others) // limit] for number in range(limit)]


def _picture(image: object, number: int) -> Image:
    try:
        return to_bgr8(image)
    except ValueError as error:
        raise ValueError(f"image {number}: {error}") from None


def _enlarged(probabilities: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(1, S, S) → (H, W)."""
    height, width = shape[:2]
    small = probabilities[0].float().cpu().numpy()
    return np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1).astype(np.float32)


def gather(paths: Sequence[Path]) -> list[Path]:
    """The image files, those of a folder in its place, sorted.

    Raises:
        FileNotFoundError: a path that is not there.
        ValueError: a folder without images.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise ValueError(f"no images in {path} ({', '.join(sorted(SUFFIXES))})")
        files += inside
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no such image: {file}")
    return files


@dataclass(frozen=True)
class Predicted:
    """What was written: the threshold, and of each image its path, "share" in common, "mask" and "overlay"."""

    threshold: float
    images: list[dict[str, Any]]


def predict_files(
    paths: Sequence[Path],
    output: Path,
    weights: str | Path = "cosegment",
    threshold: float | None = None,
    partners: int = PARTNERS,
    device: str = "cpu",
    overwrite: bool = False,
) -> Predicted:
    """Write ``NAME_mask.png`` and ``NAME_overlay.png`` of each image into the folder `output`.

    Nothing is written unless all images can be read.

    Raises:
        FileNotFoundError: an image that is not there.
        FileExistsError: a result that is there already, and not `overwrite`.
        ValueError: fewer than two images, one that cannot be decoded, or a folder that cannot be made.
        WeightsError: see `load`.
    """
    if len(paths) < 2:
        raise ValueError(f"co-segmentation compares images: it needs at least two, got {len(paths)}")
    names = output_names(paths)
    files = [(output / f"{name}_mask.png", output / f"{name}_overlay.png") for name in names]
    existing = [str(file) for pair in files for file in pair if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{existing[0]} exists; give another --output or --overwrite")
    images = [read_picture(path) for path in paths]
    segmenter = Cosegmenter.from_pretrained(weights, device)
    threshold = segmenter.threshold if threshold is None else threshold
    masks = [probability > threshold for probability in segmenter.probabilities(images, partners)]
    output.mkdir(parents=True, exist_ok=True)
    entries = []
    for path, image, mask, (mask_file, overlay_file) in zip(paths, images, masks, files, strict=True):
        write_picture(mask_file, mask.astype(np.uint8) * 255)
        write_picture(overlay_file, overlay(image, mask))
        share = round(float(mask.mean()), 4)
        entries.append({"image": str(path), "share": share, "mask": str(mask_file), "overlay": str(overlay_file)})
    return Predicted(threshold, entries)


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image in the format of the path's suffix.

    Raises:
        ValueError: there is no such format.
        OSError: it cannot be written.
    """
    try:
        encoded, content = cv2.imencode(path.suffix, image)
    except cv2.error:
        encoded = False
    if not encoded:
        raise ValueError(f"{path}: OpenCV writes no images of the kind {path.suffix!r}")
    path.write_bytes(content.tobytes())


def output_names(paths: Sequence[str | Path]) -> list[str]:
    """A name for what is written of each image: its own without suffix, numbered where two would be the same."""
    stems = [Path(path).stem for path in paths]
    if len({stem.casefold() for stem in stems}) == len(stems):
        return stems
    return [f"{number}_{stem}" for number, stem in zip(itertools.count(1), stems, strict=False)]


def overlay(image: Image, mask: NDArray[np.bool_]) -> Image:
    """The image with all but the mask dimmed and greyed, and the mask outlined: (H, W, 3) uint8."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    shown = np.where(mask[..., None], image, (0.45 * grey + 20).astype(np.uint8))
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(max(image.shape[:2]) / 250))
    shown = np.ascontiguousarray(shown)
    cv2.drawContours(shown, outlines, -1, (0, 159, 230), thickness, cv2.LINE_AA)  # amber of Okabe and Ito
    return np.asarray(shown, np.uint8)
