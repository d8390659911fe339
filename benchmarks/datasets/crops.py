"""Frames and target crops of any sequences for PyTorch, to learn from: embeddings from TLP's long videos, for one.

    sequences = open_benchmark("tlp").find(root).sequences
    loader = DataLoader(TargetCropDataset(sequences, every=30), batch_size=64, shuffle=True, num_workers=4)

Image files are read in any order; a video is decoded from its beginning whenever an earlier frame is asked for, so go
through videos in order (no `shuffle`). Never learn from footage that the result is to be measured on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Sequences
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.frames import Image, ImageFrames
from benchmarks.sequence import Sequence
from tracker.crop import centre_of, crop, exemplar_side, mean_colour

Transform = Callable[[Tensor], Tensor]


class FrameSample(NamedTuple):
    """One frame with its target.

    Attributes:
        image: (3, H, W) uint8 BGR, or what the transform makes of it.
        box: (4,) float32 ``(x, y, w, h)``, 0-based pixels; NaN where the target is absent.
        visible: whether it has a box.
        sequence: index in the dataset's `sequences`.
        frame: index in that sequence.
    """

    image: Tensor
    box: Tensor
    visible: bool
    sequence: int
    frame: int


class CropSample(NamedTuple):
    """The target in one frame.

    Attributes:
        image: (3, size, size) uint8 BGR, or what the transform makes of it.
        label: index in the dataset's `identities`.
        sequence: index in the dataset's `sequences`.
        frame: index in that sequence.
    """

    image: Tensor
    label: int
    sequence: int
    frame: int


class FrameDataset(Dataset[FrameSample]):
    """Every k-th frame of some sequences, in their order.

    Args:
        sequences: to take the frames from.
        every: k; 1 takes all frames.
        transform: applied to each image.
    """

    def __init__(self, sequences: Sequences[Sequence], every: int = 1, transform: Transform | None = None) -> None:
        self.sequences = list(sequences)
        self.transform = transform
        self.index = [(s, frame) for s, each in enumerate(self.sequences) for frame in _steps(len(each), every)]
        self._reader = _Reader(self.sequences)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> FrameSample:
        sequence, frame = self.index[item]
        box = self.sequences[sequence].boxes[frame]
        image = _tensor(self._reader.read(sequence, frame), self.transform)
        return FrameSample(image, torch.tensor(box, dtype=torch.float32), bool(np.isfinite(box).all()), sequence, frame)


class TargetCropDataset(Dataset[CropSample]):
    """The target of every k-th frame in which it is present, cropped with context around it as trackers do.

    Args:
        sequences: to take the targets from.
        size: of the crops in pixels.
        every: k; 1 takes all frames.
        region: side of the cropped square, in shares of SiamFC's exemplar region (`tracker.crop.exemplar_side`).
        identity: a sequence's name → whose target it is (`benchmarks.datasets.tlp.identity` for TLPattr's clips); each
            sequence has its own if ``None``.
        transform: applied to each crop.
    """

    def __init__(
        self,
        sequences: Sequences[Sequence],
        size: int = 127,
        every: int = 1,
        region: float = 1.0,
        identity: Callable[[str], str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.sequences = list(sequences)
        self.size, self.region, self.transform = size, region, transform
        names = [identity(each.name) if identity else each.name for each in self.sequences]
        self.identities = list(dict.fromkeys(names))
        self.labels = [self.identities.index(name) for name in names]
        self.index = [
            (s, frame)
            for s, each in enumerate(self.sequences)
            for frame in _steps(len(each), every)
            if (each.boxes[frame, 2:] > 0).all()
        ]
        self._reader = _Reader(self.sequences)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> CropSample:
        sequence, frame = self.index[item]
        x, y, w, h = (float(value) for value in self.sequences[sequence].boxes[frame])
        image = self._reader.read(sequence, frame)
        side = self.region * exemplar_side(w, h)
        cut = crop(image, centre_of((x, y, w, h)), side, self.size, mean_colour(image))
        return CropSample(_tensor(cut, self.transform), self.labels[sequence], sequence, frame)


class _Reader:
    """Reads single frames; keeps a video open at the place it has reached."""

    def __init__(self, sequences: list[Sequence]) -> None:
        self.sequences = sequences
        self.place = (0, -1, -1)  # process, sequence, and frame that `images` comes to next
        self.images: Iterator[Image] = iter(())
        self.parents = self.images

    def read(self, sequence: int, frame: int) -> Image:
        frames = self.sequences[sequence].frames
        if isinstance(frames, ImageFrames):
            return frames.at(frame)
        process = os.getpid()
        if self.place[0] not in (0, process):  # a forked worker can neither use nor close its parent's video
            self.parents = self.images
        if self.place[:2] != (process, sequence) or self.place[2] > frame:
            self.place, self.images = (process, sequence, 0), iter(frames)
        image = None
        for _ in range(self.place[2], frame + 1):
            image = next(self.images)
        assert image is not None
        self.place = (process, sequence, frame + 1)
        return image

    def __getstate__(self) -> dict[str, Any]:  # an open video cannot be pickled
        return {"sequences": self.sequences, "place": (0, -1, -1), "images": iter(()), "parents": None}


def _steps(length: int, every: int) -> range:
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    return range(0, length, every)


def _tensor(image: Image, transform: Transform | None) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return tensor if transform is None else transform(tensor)
