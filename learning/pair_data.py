"""Detections of a video as patches with identities, and batches of pairs of them: what pair networks learn from.

A batch is cut from one stretch of the video: some people, some detections of each, and false alarms. Its pairs are
those of one person and those of two; who walks beside whom at the same time is the hardest negative there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from backbones.pair import NEUTRAL, PATCH_SIZE
from benchmarks.mot import read_rows
from tracker.association.appearance import pair_patches
from tracker.association.flow_field import FlowField
from tracker.association.mot_text import read_detections
from tracker.box import overlap
from tracker.sources import open_source

Integers = NDArray[np.int64]

FALSE_ALARM = -1  # identity of a detection that is of nobody
MARGIN = 0.08  # of the patch's size, on each side: room to shift in
WINDOWS = (30, 30, 30, 150)  # lengths of the stretches in frames, each as likely
PEOPLE, LOOKS = 6, 8  # of a batch
_GREY = np.array(NEUTRAL[:3], np.float32)[:, None, None]


@dataclass(frozen=True, eq=False)
class PairFootage:
    """Patches of one video, M of them.

    Attributes:
        patches: (M, 5, h, w) uint8 (see `pair_patches`), of the boxes with a margin of `MARGIN` on each side.
        frame: (M,) 0-based.
        identity: (M,) from 0; `FALSE_ALARM` for a detection that overlaps nobody by half.
        detected: (M,) whether a detector found the box; else it is the ground truth's.
        size: (height, width) of the boxes within the patches.
    """

    patches: NDArray[np.uint8]
    frame: Integers
    identity: Integers
    detected: NDArray[np.bool_]
    size: tuple[int, int] = PATCH_SIZE

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, kept: NDArray[np.bool_]) -> PairFootage:
        """Those that a mask picks."""
        return PairFootage(self.patches[kept], self.frame[kept], self.identity[kept], self.detected[kept], self.size)

    def between(self, first: int, last: int) -> PairFootage:
        """Those of the frames from `first` to `last`, both included, 0-based."""
        return self.select((self.frame >= first) & (self.frame <= last))

    @property
    def middle(self) -> NDArray[np.uint8]:
        """(M, 5, height, width) patches without their margin."""
        height, width = self.size
        top, left = _margin(self.size)
        return self.patches[:, :, top : top + height, left : left + width]


def read_pair_footage(folder: Path, size: tuple[int, int] = PATCH_SIZE, subtract_camera: bool = True) -> PairFootage:
    """Decode a video in MOTChallenge layout with ``frames.mp4`` (or a folder ``img1``), ``gt/gt.txt``, ``det/det.txt``.

    Patches are cut of all detections and, to have more and better ones, of all boxes of the ground truth that count.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: something in it is wrong.
    """
    video = folder / "frames.mp4"
    truth, found = read_rows(folder / "gt" / "gt.txt"), read_detections(folder / "det" / "det.txt")
    flow_field, previous = FlowField(subtract_camera), None
    top, left = _margin(size)
    parts: list[tuple[NDArray[np.uint8], Integers, Integers, NDArray[np.bool_]]] = []
    with open_source(video if video.is_file() else folder / "img1") as source:
        for frame in source:
            ours = (truth.frame == frame.index) & (truth.score > 0)
            real, real_ids = truth.box[ours], truth.id[ours]
            boxes = found[frame.index].xywh if frame.index in found else np.empty((0, 4))
            ids = np.concatenate([identities(boxes, real, real_ids), real_ids])
            detected = np.arange(len(ids)) < len(boxes)
            wide = _widened(np.concatenate([boxes, real]), top / size[0], left / size[1])
            flow = flow_field(previous, frame.image)
            patches = pair_patches(frame.image, flow, wide, (size[0] + 2 * top, size[1] + 2 * left))
            patches[:, 3:] = _rescaled(patches[:, 3:], 1 + 2 * top / size[0])
            parts.append((patches, np.full(len(ids), frame.index), ids, detected))
            previous = frame.image
    patches, frames, identity, found_by = (np.concatenate(part) for part in zip(*parts, strict=True))
    return PairFootage(patches, frames, identity, found_by, size)


def identities(boxes: NDArray[np.float64], real: NDArray[np.float64], ids: Integers, least: float = 0.5) -> Integers:
    """Whose box each detection of a frame is, one for one, by the most overlap in all.

    Args:
        boxes: (N, 4) detections.
        real: (M, 4) boxes of the ground truth.
        ids: (M,) their identities.
        least: overlap (IoU) of a detection with the person that it is of.

    Returns:
        (N,) ids, or `FALSE_ALARM`.
    """
    shared = overlap(boxes[:, None], real[None]).reshape(len(boxes), len(real))
    shared[shared < least] = 0
    rows, columns = linear_sum_assignment(shared, maximize=True)
    matched = shared[rows, columns] > 0
    found = np.full(len(boxes), FALSE_ALARM, np.int64)
    found[rows[matched]] = ids[columns[matched]]
    return found


def _margin(size: tuple[int, int]) -> tuple[int, int]:
    return round(MARGIN * size[0]), round(MARGIN * size[1])


def _widened(boxes: NDArray[np.float64], share_y: float, share_x: float) -> NDArray[np.float64]:
    x, y, w, h = boxes.T
    return np.column_stack([x - share_x * w, y - share_y * h, w * (1 + 2 * share_x), h * (1 + 2 * share_y)])


def _rescaled(flow: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Motion in heights of the widened box → in heights of the box itself."""
    return np.clip(np.rint((flow.astype(np.float32) - 128) * factor + 128), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- batches


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Patches, and pairs of them.

    Attributes:
        patches: (B, 5, height, width) float32 in [0, 255], augmented.
        first, second: (P,) the pairs, as rows of `patches`.
        same: (P,) whether both are of one person.
    """

    patches: Tensor
    first: Tensor
    second: Tensor
    same: Tensor


class PairSampler:
    """Draws batches.

    Args:
        footage: to draw from.
        pairs: of one batch: half of them of one person, as far as there are so many.

    Raises:
        ValueError: nobody in the footage is seen twice, or nobody but one.
    """

    def __init__(self, footage: PairFootage, pairs: int = 256) -> None:
        ids, counts = np.unique(footage.identity[footage.identity != FALSE_ALARM], return_counts=True)
        if len(ids) < 2 or counts.max(initial=0) < 2:
            raise ValueError(
                f"pairs need two people or more, and one seen twice; the footage has {len(ids)} people, seen "
                f"{counts.max(initial=0)} times at most"
            )
        self.footage, self.pairs = footage, pairs

    def draw(self, random: np.random.Generator) -> PairBatch:
        """One batch."""
        chosen, first, second = np.empty(0, np.int64), *np.empty((2, 0), np.int64)
        same = np.empty(0, bool)
        while not (same.any() and not same.all()):  # a stretch with nobody seen twice, or nobody but one, is no use
            chosen = self._choose(random)
            first, second = np.triu_indices(len(chosen), 1)
            ids = self.footage.identity[chosen]
            judged = (ids[first] != FALSE_ALARM) | (ids[second] != FALSE_ALARM)  # two false alarms may be of one thing
            first, second = first[judged], second[judged]
            same = ids[first] == ids[second]
        kept = np.concatenate([random.permutation(np.flatnonzero(kind))[: self.pairs // 2] for kind in (same, ~same)])
        swapped = random.random(len(kept)) < 0.5
        a, b = np.where(swapped, second[kept], first[kept]), np.where(swapped, first[kept], second[kept])
        disguised = disguise(self.footage.patches[chosen], self.footage.identity[chosen], random)
        patches = augment(disguised, self.footage.size, random)
        return PairBatch(*map(torch.from_numpy, (patches, a, b, same[kept])))

    def _choose(self, random: np.random.Generator) -> Integers:
        """Rows of a batch's patches."""
        frame, identity = self.footage.frame, self.footage.identity
        length = int(random.choice(WINDOWS))
        start = int(random.integers(frame.min(), max(frame.min(), frame.max() - length) + 1))
        rows = np.flatnonzero((frame >= start) & (frame <= start + length))
        people = np.unique(identity[rows])
        people = random.permutation(people[people != FALSE_ALARM])[:PEOPLE]
        chosen = [random.permutation(rows[identity[rows] == person])[:LOOKS] for person in people]
        false = random.permutation(rows[identity[rows] == FALSE_ALARM])[: LOOKS // 2]
        return np.concatenate([*chosen, false]).astype(np.int64)


def disguise(patches: NDArray[np.uint8], identity: Integers, random: np.random.Generator) -> NDArray[np.uint8]:
    """People in other clothes: all patches of one identity recoloured alike, upper and lower body each its own way.

    A video has few people, and a network soon knows them by heart. Strangers it can only tell apart by comparing.

    Args:
        patches: (B, 5, h, w).
        identity: (B,).

    Returns:
        The same with the colours of the middle changed, where the body is; the background stays what it was.
    """
    height, width = patches.shape[2:]
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    body = np.exp(-((across / 0.45) ** 4) - (down / 0.85) ** 8)
    lower = 1 / (1 + np.exp(-12 * down))  # from the waist down
    dressed = patches.copy()
    for person in np.unique(identity):
        rows = np.flatnonzero(identity == person)
        if random.random() < 0.2:
            continue
        colours = patches[rows, :3].astype(np.float32) - _GREY
        clothes = [_recoloured(colours, random) for _ in range(2)]
        worn = clothes[0] * (1 - lower) + clothes[1] * lower
        mixed = colours * (1 - body) + worn * body + _GREY
        dressed[rows, :3] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return dressed


def _recoloured(colours: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """(n, 3, h, w) L, u, v around grey: the hue turned, the chroma and the contrast changed, shifted."""
    angle, chroma = random.uniform(-np.pi, np.pi), random.lognormal(0, 0.4)
    turn = chroma * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mixing = np.zeros((3, 3))
    mixing[0, 0], mixing[1:, 1:] = random.lognormal(0, 0.25), turn
    shift = random.normal(0, (20, 6, 6))
    return (np.einsum("ij,njhw->nihw", mixing, colours) + shift[:, None, None]).astype(np.float32)


def augment(patches: NDArray[np.uint8], size: tuple[int, int], random: np.random.Generator) -> NDArray[np.float32]:
    """Each patch shifted, brightened, recoloured and noised on its own; mirrored or not all alike.

    Args:
        patches: (B, 5, h, w) with a margin.
        size: (height, width) to cut out of them.

    Returns:
        (B, 5, height, width) float32 in [0, 255].
    """
    height, width = size
    cut = np.empty((len(patches), patches.shape[1], height, width), np.float32)
    tops = random.integers(0, patches.shape[2] - height + 1, len(patches))
    lefts = random.integers(0, patches.shape[3] - width + 1, len(patches))
    for out, patch, top, left in zip(cut, patches, tops, lefts, strict=True):
        out[:] = patch[:, top : top + height, left : left + width]
    if random.random() < 0.5:  # pairs are mirrored both or not at all: someone's left and right do differ
        cut = np.ascontiguousarray(cut[..., ::-1])
        cut[:, 3] = 256 - cut[:, 3]  # 128 + v → 128 − v
    gain = random.normal(1, 0.1, (len(cut), 1, 1)).astype(np.float32)
    shift = random.normal(0, 8, (len(cut), 1, 1)).astype(np.float32)
    cut[:, 0] = (cut[:, 0] - 128) * gain + 128 + shift
    cut[:, 1:3] += random.normal(0, 1.5, (len(cut), 2, 1, 1)).astype(np.float32)
    cut += random.standard_normal(cut.shape, np.float32) * np.float32(2)
    return np.clip(cut, 0, 255)
