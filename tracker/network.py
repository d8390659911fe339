"""The Siamese network = backbone + head, and the files it lives in.

A model is two files of one name: `NAME.safetensors` holds the tensors, `NAME.json` is its card: what the network is,
how its input is prepared, how the tracker is configured, on what it was trained and what was measured.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import itertools
import json
import math
import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backbones import build_backbone
from tracker.correlation import BoxHead, PixelHead, SiamFCBoxHead, SiamFCHead

CARD_FORMAT = 1
LARGEST_CARD = 2**20  # bytes; ours have 2 to 6 thousand
LARGEST_CROP = 4096  # pixels a side: more is a mistake or an attack, as it would take gigabytes
PRECISIONS = ("fp32", "bf16")
HEADS: dict[str, type[SiamFCHead] | type[BoxHead]] = {
    "siamfc": SiamFCHead,
    "siamfc_box": SiamFCBoxHead,
    "box": BoxHead,
    "pixel": PixelHead,
}


class WeightsError(ValueError):
    """A weights file or its card cannot be used; the message says which file, why, and what to do."""


@dataclass(frozen=True)
class ModelCard:
    """What a weights file is. Everything that the tracker must know is read from here, nothing is assumed.

    Attributes:
        backbone: name for `backbones.build_backbone`.
        head: "siamfc" (response of one channel), "siamfc_box" (distances to the four sides beside it), "box"
            (classification by a tower, and the distances) or "pixel" (the same from pixel-wise correlation).
        exemplar_size: side of the exemplar crop in pixels.
        search_size: side of the search crop in pixels.
        stride: pixels of the crop between two cells of the response.
        mean: subtracted from the crop's values; crops are BGR in [0, 255].
        scale: multiplies the crop's values after the mean is subtracted.
        precision: "fp32", or "bf16" for a backbone that was found to lose nothing by it, where a processor has it.
        config: what the tracker of this model overrides of its defaults (see `tracker.siam.TrackerConfig`).
        sha256: of the tensors (see `tensor_hash`).
        training: data, their length, command, duration and place of the training.
        results: what was measured, each with the data it was measured on.
        licence: of the weights.
        date: of the training, ISO 8601.
        format: of the card itself.
    """

    backbone: str
    head: str
    exemplar_size: int = 127
    search_size: int = 255
    stride: int = 8
    mean: float = 0.0
    scale: float = 1.0
    precision: str = "fp32"
    config: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    licence: str = ""
    date: str = ""
    format: int = CARD_FORMAT

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read and check a card.

        Raises:
            WeightsError: no such file, not JSON, too large, a newer format, or unknown, missing or wrong entries.
        """
        try:
            if path.stat().st_size > LARGEST_CARD:
                raise ValueError(f"it is larger than {LARGEST_CARD} bytes")
            entries = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such model card; a weights file needs its card beside it") from None
        except (OSError, ValueError, RecursionError) as error:
            raise WeightsError(f"{path}: not a readable model card: {error}") from error
        if not isinstance(entries, dict) or not isinstance(entries.get("format"), int):
            raise WeightsError(f"{path}: not a model card (no integer `format`)")
        if entries["format"] > CARD_FORMAT:
            raise WeightsError(
                f"{path}: card format {entries['format']} is newer than {CARD_FORMAT}, the newest this version reads; "
                "upgrade the package"
            )
        known = {entry.name for entry in dataclasses.fields(cls)}
        if unknown := sorted(set(entries) - known):
            raise WeightsError(f"{path}: unknown entries in the model card: {', '.join(unknown)}")
        if missing := sorted({"backbone", "head"} - set(entries)):
            raise WeightsError(f"{path}: entries missing from the model card: {', '.join(missing)}")
        for name, value in entries.items():
            kind = type(getattr(cls("", ""), name))
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise WeightsError(f"{path}: `{name}` in the model card must be of type {kind.__name__}, got {value!r}")
        card = cls(**entries)
        if min(card.exemplar_size, card.search_size, card.stride) < 1:
            raise WeightsError(f"{path}: exemplar_size, search_size and stride in the model card must be positive")
        if max(card.exemplar_size, card.search_size, card.stride) > LARGEST_CROP:
            raise WeightsError(
                f"{path}: exemplar_size, search_size and stride in the model card must be at most {LARGEST_CROP} pixels"
            )
        if not (math.isfinite(card.mean) and math.isfinite(card.scale)):
            raise WeightsError(f"{path}: mean and scale in the model card must be finite")
        if card.precision not in PRECISIONS:
            raise WeightsError(f"{path}: `precision` in the model card must be one of {', '.join(PRECISIONS)}")
        return card

    @property
    def head_type(self) -> type[SiamFCHead] | type[BoxHead]:
        """The class of the head.

        Raises:
            WeightsError: an unknown head.
        """
        if self.head not in HEADS:
            raise WeightsError(f"unknown head {self.head!r} in the model card; known: {', '.join(HEADS)}")
        return HEADS[self.head]

    def write(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


class SiameseNetwork(nn.Module):
    """Backbone and head, split into what is computed once a target and once a frame.

    Crops are (N, 3, S, S) float, BGR, in [0, 255]; a batch of N pairs equals N single calls.
    """

    head: SiamFCHead | BoxHead

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        self.backbone = build_backbone(card.backbone)
        channels: Any = self.backbone.out_channels
        self.head = card.head_type(channels)

    def features(self, crops: Tensor) -> Tensor:
        """(N, 3, S, S) crops → (N, C, s, s) features."""
        if (self.card.mean, self.card.scale) != (0.0, 1.0):
            crops = (crops - self.card.mean) * self.card.scale
        return self.backbone(crops)

    def template(self, exemplar: Tensor) -> Tensor:
        """(N, 3, 127, 127) exemplar crops → (N, K, k, k) kernels."""
        return self.head.template(self.features(exemplar))

    def search(self, crops: Tensor, kernel: Tensor) -> Tensor:
        """(N, 3, 255, 255) search crops and (N, K, k, k) kernels → (N, 1 or 5, R, R) response (see the heads)."""
        return self.head.search(self.features(crops), kernel)

    def forward(self, exemplar: Tensor, search: Tensor) -> Tensor:
        """The response of each search crop to its exemplar."""
        return self.search(search, self.template(exemplar))

    def fused(self) -> SiameseNetwork:
        """A copy for tracking: evaluation mode, all normalisation folded into the convolutions."""
        network = copy.deepcopy(self).eval()
        for module in list(network.modules()):
            fold_batch_norm(module)
        _fold_normalisation(network)
        return channels_last(network).requires_grad_(False)


def channels_last(network: SiameseNetwork) -> SiameseNetwork:
    """The network with its kernels laid out for images stored pixel by pixel, as cameras and OpenCV store them."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def fold_batch_norm(module: nn.Module) -> None:
    """Fold each BatchNorm2d that follows a Conv2d among `module`'s children; both stand in the order they run."""
    children = list(module.named_children())
    for (name, child), (next_name, following) in itertools.pairwise(children):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            setattr(module, next_name, nn.Identity())


def _fold_normalisation(network: SiameseNetwork) -> None:
    """Fold the crops' mean and scale into the first convolution, which carries a bias after `fold_batch_norm`.

    It is exact because the first convolution pads nothing, or what saw its padding is cropped (SiamDW).
    """
    card = network.card
    first = next(module for module in network.backbone.modules() if isinstance(module, nn.Conv2d))
    assert first.bias is not None
    with torch.no_grad():
        first.weight.mul_(card.scale)
        first.bias.sub_(first.weight.sum((1, 2, 3)) * card.mean)
    network.card = dataclasses.replace(card, mean=0.0, scale=1.0)


def tensor_hash(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes: the same for the same weights whatever file holds them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_tensors(network: nn.Module, path: str | Path, half: bool = False) -> str:
    """Write the tensors of any network to `path` (.safetensors).

    Args:
        network: what to save.
        path: where; parent folders are made.
        half: store kernels as fp16 (loaded back as fp32); what has one dimension stays: it is small, and the variances
            of sums of products may be larger than fp16 can hold.

    Returns:
        The hash of the tensors as written, for the card beside them.

    Raises:
        ValueError: `path` does not end in .safetensors, or a tensor has values that are not finite (in fp16, if asked).
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: a weights file must end in .safetensors, or it could not be loaded by its path")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if half:
        tensors = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise ValueError(f"{path}: not finite{' in fp16' * half}, so not saved: {', '.join(broken)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path))
    return tensor_hash(tensors)


def load_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file: no unpickling.

    Args:
        path: the file.
        sha256: their hash (see `tensor_hash`), as the card beside the file has it.

    Raises:
        WeightsError: the file is missing, truncated or foreign, or its tensors are others.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file (truncated or foreign?): {error}") from error
    if (found := tensor_hash(tensors)) != sha256:
        raise WeightsError(
            f"{path}: the tensors' SHA-256 is {found[:16]}…, the card says {sha256[:16] or '(nothing)'}…; "
            "the file is damaged or belongs to another card: fetch both again"
        )
    return tensors


def save_network(network: SiameseNetwork, path: str | Path, half: bool = False, **card: Any) -> ModelCard:
    """Write `path` (.safetensors) and its card.

    Args:
        network: what to save.
        path: where; parent folders are made.
        half: store kernels as fp16; see `save_tensors`.
        card: entries of the card to replace.

    Returns:
        The card as written, with the hash of the tensors.

    Raises:
        ValueError: `path` does not end in .safetensors, or a tensor has values that are not finite (in fp16, if asked).
    """
    written = dataclasses.replace(network.card, **card)
    written = dataclasses.replace(written, sha256=save_tensors(network, path, half))
    written.write(Path(path).with_suffix(".json"))
    return written


def available() -> dict[str, ModelCard]:
    """The trackers that ship with the package: name → card."""
    files = (Path(str(entry)) for entry in resources.files("weights").iterdir())
    cards = {path.stem: path.with_suffix(".json") for path in sorted(files) if path.suffix == ".safetensors"}
    return {name: ModelCard.read(card) for name, card in cards.items() if _may_be_a_tracker(card)}


def _may_be_a_tracker(card: Path) -> bool:
    """Whether a card names a head of ours; also where it cannot be read, so that reading it says what is wrong."""
    try:
        entries = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(entries, dict) and entries.get("head") in HEADS


def find_weights(name_or_path: str | Path) -> Path:
    """The `.safetensors` file of a shipped model's name or of a path.

    Raises:
        WeightsError: neither a shipped model nor a file.
    """
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        if not os.path.isfile(path):  # unlike Path's own, says no to a name that the system cannot even look up
            raise WeightsError(f"{path}: no such weights file")
        return path
    shipped = Path(str(resources.files("weights"))) / f"{name_or_path}.safetensors"
    if path.name != str(name_or_path) or not os.path.isfile(shipped):
        raise WeightsError(
            f"{name_or_path!s}: neither a model that ships with the package ({', '.join(available()) or 'none'}) "
            "nor a path to a .safetensors file"
        )
    return shipped


def load_network(name_or_path: str | Path) -> SiameseNetwork:
    """Load a model by name or path: no unpickling, hash checked, every tensor in its place.

    Raises:
        WeightsError: the file is missing, truncated, foreign, or not what its card says.
    """
    path = find_weights(name_or_path)
    card = ModelCard.read(path.with_suffix(".json"))
    tensors = load_tensors(path, card.sha256)
    try:
        network = SiameseNetwork(card)
    except ValueError as error:
        raise WeightsError(f"{path}: its card names what this version does not have: {error}") from error
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path}: its tensors are not those of {card.backbone} + {card.head}: {error}") from error
    return network.eval()
