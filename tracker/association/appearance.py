"""Detections compared by their pixels and their optical flow: the pair networks behind the protocol of appearance.

    cue = PairAppearance.from_pretrained("towers")
    patches = cue.patches(image, previous_image, xywh)      # once a detection
    cue.compare(patches[[0, 0]], patches[[1, 2]])            # once a pair

What a patch is, is defined here for training and use alike: the box's pixels in CIE Luv and the optical flow in them.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backbones.checkpoint import load_exactly
from backbones.pair import EMBEDDING, NEUTRAL, PATCH_CHANNELS, PATCH_SIZE, PairNetwork, build_pair_network
from tracker.association.flow_field import FlowField
from tracker.frame import Image
from tracker.network import WeightsError, load_tensors, save_tensors

CARD_FORMAT = 1
FOLDER = "pair"  # below weights/
FLOW_UNIT = 256.0  # steps of a patch's value in a motion of one box height a frame
MIDDLE = 128.0  # a patch's value where nothing moves
BINS, BIN_WIDTHS = 8, (32, 8, 8)  # of the colour histograms in L, u, v, around grey
BODY = 0.6  # half the width that they look at, as a share of half the patch's
BATCH = 256  # patches or pairs through the network at once: enough to be fast, and little memory


def pair_patches(
    image: Image, flow: NDArray[np.float32], xywh: NDArray[np.float64], size: tuple[int, int] = PATCH_SIZE
) -> NDArray[np.uint8]:
    """Cut boxes out of a frame and its optical flow, stretched to one size.

    Args:
        image: (H, W, 3) uint8 BGR.
        flow: (h, w, 2) of `FlowField` on it, in image pixels a frame.
        xywh: (N, 4) boxes in 0-based pixels; what lies beyond the image repeats its border.
        size: (height, width) of the patches.

    Returns:
        (N, 5, height, width) uint8: L, u, v as OpenCV's 8-bit Luv has them; the flow in x and y in box heights a frame,
        times 256, plus 128 where nothing moves, so that ±1/2 of a box height fills the range.
    """
    height, width = size
    patches = np.empty((len(xywh), PATCH_CHANNELS, height, width), np.uint8)
    shrink = flow.shape[1] / image.shape[1]
    for patch, box in zip(patches, np.asarray(xywh, np.float64), strict=True):
        colours = _cut(image, box, height, width)
        patch[:3] = cv2.cvtColor(colours, cv2.COLOR_BGR2Luv).transpose(2, 0, 1)
        motion = _cut(flow, box * shrink, height, width) * (FLOW_UNIT / box[3]) + MIDDLE
        patch[3:] = np.clip(np.rint(motion), 0, 255).transpose(2, 0, 1)
    return patches


def _cut(image: NDArray[Any], box: NDArray[np.float64], height: int, width: int) -> NDArray[Any]:
    """The box of an image, (height, width, channels), resampled bilinearly; see `tracker.crop.crop_matrix`."""
    step_x, step_y = box[2] / width, box[3] / height
    inverse = np.array([[step_x, 0.0, box[0] + step_x / 2 - 0.5], [0.0, step_y, box[1] + step_y / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, inverse, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def colour_histograms(patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How often each colour occurs in the middle of patches, in their upper and in their lower half.

    Args:
        patches: (N, 5, height, width) of `pair_patches`.

    Returns:
        (N, 2, 512) square roots of shares that sum to 1: the scalar product of two is their Bhattacharyya coefficient,
        in [0, 1], 1 for the same colours.
    """
    number = np.zeros((len(patches), *patches.shape[2:]), np.intp)
    for channel, (step, middle) in enumerate(zip(BIN_WIDTHS, NEUTRAL, strict=False)):
        place = np.floor((patches[:, channel] - np.float32(middle)) / step).astype(np.intp) + BINS // 2
        number = number * BINS + np.clip(place, 0, BINS - 1)
    weight = np.exp(-((np.linspace(-1, 1, patches.shape[3]) / BODY) ** 4))
    shares = np.zeros((len(patches), 2, BINS**3), np.float32)
    for half, rows in enumerate(np.array_split(np.arange(patches.shape[2]), 2)):
        weights = np.broadcast_to(weight, (len(rows), len(weight))).ravel()
        for found, image in zip(shares, number[:, rows], strict=True):
            found[half] = np.bincount(image.ravel(), weights, BINS**3) / weights.sum()
    return np.sqrt(shares)


@dataclass(frozen=True)
class PairCard:
    """What a pair network's weights are; JSON beside the tensors.

    Attributes:
        topology: name for `backbones.pair.build_pair_network`.
        height, width: of the patches in pixels.
        subtract_camera: whether the median is taken off the optical flow.
        sha256: of the tensors (see `tracker.network.tensor_hash`).
        training: data, their length, command and duration.
        results: what was measured, each with the data it was measured on.
        licence: of the weights.
        date: of the training, ISO 8601.
        format: of the card itself.
    """

    topology: str
    height: int = PATCH_SIZE[0]
    width: int = PATCH_SIZE[1]
    subtract_camera: bool = True
    sha256: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    licence: str = ""
    date: str = ""
    format: int = CARD_FORMAT

    @classmethod
    def read(cls, path: Path) -> PairCard:
        """Read and check a card.

        Raises:
            WeightsError: no such file, not JSON, of a newer format, or with unknown, missing or wrong entries.
        """
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(entries, dict):
                raise ValueError("not a JSON object")
            if entries.get("format", 0) > CARD_FORMAT:
                raise ValueError(f"its format {entries['format']} is newer than {CARD_FORMAT}: upgrade the package")
            card = cls(**entries)
            for entry in dataclasses.fields(cls):
                value, kind = getattr(card, entry.name), type(getattr(cls(""), entry.name))
                if type(value) is not kind:
                    raise ValueError(f"`{entry.name}` must be of type {kind.__name__}, got {value!r}")
        except FileNotFoundError:
            raise WeightsError(f"{path}: no such card; a weights file needs its card beside it") from None
        except (OSError, TypeError, ValueError) as error:
            raise WeightsError(f"{path}: not the card of a pair network: {error}") from error
        return card


def save_pair_network(network: PairNetwork, path: str | Path, card: PairCard) -> PairCard:
    """Write `path` (.safetensors, kernels as fp16) and the card beside it, with the tensors' hash.

    Raises:
        ValueError: `path` does not end in .safetensors, or a tensor has values that are not finite in fp16.
    """
    height, width = network.size
    digest = save_tensors(network, path, half=True)
    written = dataclasses.replace(card, height=height, width=width, sha256=digest)
    text = json.dumps(dataclasses.asdict(written), indent=2)
    Path(path).with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return written


def find_pair_weights(name_or_path: str | Path) -> Path:
    """The `.safetensors` file of a shipped pair network's name (``towers``, …) or of a path.

    Raises:
        WeightsError: neither of both.
    """
    path = Path(name_or_path)
    if path.suffix != ".safetensors":
        folder = Path(str(resources.files("weights"))) / FOLDER
        path = folder / f"{path.name}.safetensors"
        if str(name_or_path) != path.stem or not path.is_file():
            shipped = ", ".join(sorted(file.stem for file in folder.glob("*.safetensors")))
            raise WeightsError(
                f"{name_or_path}: neither a pair network that ships with the package ({shipped or 'none'}) nor a path "
                "to a .safetensors file"
            )
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    return path


def load_pair_network(name_or_path: str | Path) -> tuple[PairNetwork, PairCard]:
    """Load a pair network by name or path: no unpickling, hash checked, every tensor in its place.

    Raises:
        WeightsError: the file is missing, damaged, foreign, or not what its card says.
    """
    path = find_pair_weights(name_or_path)
    card = PairCard.read(path.with_suffix(".json"))
    tensors = load_tensors(path, card.sha256)
    try:
        network = build_pair_network(card.topology, (card.height, card.width))
        load_exactly(network, {name: tensor.float() for name, tensor in tensors.items()}, f"a {card.topology} network")
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    return network.eval().requires_grad_(False), card


class PairAppearance:
    """Compares detections by a pair network; an `AppearanceCue`.

    Args:
        network: as trained; it is put into evaluation mode.
        subtract_camera: whether the median is taken off the optical flow.
        device: of the network.

    Attributes:
        names: of towers ``pair_distance`` (0 alike … 2) and ``colour_likeness`` (see `colour_histograms`; 1 alike … 0),
            of the other topologies ``pair_log_odds``.
    """

    def __init__(self, network: PairNetwork, subtract_camera: bool = True, device: str | torch.device = "cpu") -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        self.names: tuple[str, ...] = ("pair_distance", "colour_likeness") if network.distance else ("pair_log_odds",)
        self._flow = FlowField(subtract_camera)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = "towers", device: str | torch.device = "cpu") -> PairAppearance:
        """Load a network that ships with the package (``towers``, ``in_network``, ``joint``), or a file.

        Raises:
            WeightsError: the weights cannot be used.
        """
        network, card = load_pair_network(name_or_path)
        return cls(network, card.subtract_camera, device)

    def patches(self, image: Image, previous_image: Image | None, xywh: NDArray[np.float64]) -> NDArray[Any]:
        """What is kept of each detection: see `AppearanceCue.patches`.

        Returns:
            (N, 64 + 1024) float32 embeddings and colour histograms of ``towers``; (N, 24, h, w) float16 feature maps of
            ``in_network``;
            (N, 5, H, W) uint8 patches of ``joint``.
        """
        cut = pair_patches(image, self._flow(previous_image, image), xywh, self.network.size)
        return self.embed(cut)

    def embed(self, cut: NDArray[np.uint8]) -> NDArray[Any]:
        """(N, 5, H, W) uint8 of `pair_patches` → see `patches`."""
        empty = np.zeros((1, *cut.shape[1:]), np.uint8)  # so that no detection gives an array of the right shape, too
        parts = [self.network.embed(self._tensor(part)) for part in _batches(cut if len(cut) else empty)]
        embedded = torch.cat(parts)[: len(cut)].cpu()
        if self.network.distance:
            return np.concatenate([embedded.numpy(), colour_histograms(cut).reshape(len(cut), 2 * BINS**3)], axis=1)
        return (embedded.half() if embedded.is_floating_point() else embedded).numpy()

    def compare(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
        """(P, …) and (P, …) of `patches` → (P, 1 or 2): see `AppearanceCue.compare` and `names`."""
        compared = np.empty((len(a), len(self.names)), np.float32)
        for start in range(0, len(a), BATCH):
            part = slice(start, start + BATCH)
            first, second = a[part], b[part]
            if self.network.distance:
                compared[part, 1] = (first[:, EMBEDDING:] * second[:, EMBEDDING:]).sum(1) / 2  # the mean of both halves
                first, second = first[:, :EMBEDDING], second[:, :EMBEDDING]
            compared[part, 0] = self.network.compare(self._tensor(first), self._tensor(second)).cpu().numpy()
        return compared

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.array(array, order="C")).to(self.device)
        return tensor.float() if tensor.dtype == torch.float16 else tensor


def _batches(array: NDArray[Any]) -> list[NDArray[Any]]:
    return [array[start : start + BATCH] for start in range(0, len(array), BATCH)]
