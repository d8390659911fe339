"""Frames and target crops for PyTorch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from benchmarks.datasets.crops import CropSample, FrameDataset, FrameSample, TargetCropDataset
from benchmarks.datasets.folder import read_sequence
from benchmarks.datasets.tlp import identity
from benchmarks.frames import ImageFrames
from benchmarks.sequence import Sequence
from tracker.crop import exemplar_side

Write = Callable[..., None]
Boxes = Callable[[int], np.ndarray]

ABSENT = (np.nan,) * 4


@pytest.fixture
def sequences(tmp_path: Path, write_images: Write, write_video: Write, write_boxes: Write) -> list[Sequence]:
    """Images and a video of 8 frames; frame 4 of each does not show the target."""
    boxes = [(11, 11, 20, 16) if frame != 4 else ABSENT for frame in range(8)]
    write_images(tmp_path / "bc_Jet1_1" / "img", 8, suffix=".png", real=True)
    write_video(tmp_path / "sv_Jet1_9" / "frames.mp4", 8)
    for name in ("bc_Jet1_1", "sv_Jet1_9"):
        write_boxes(tmp_path / name / "groundtruth_rect.txt", boxes)
    return [read_sequence(tmp_path / name) for name in ("bc_Jet1_1", "sv_Jet1_9")]


def level(sample: FrameSample | CropSample, picture: Boxes) -> bool:
    return abs(float(sample.image.float().mean()) - picture(sample.frame).mean()) < 8


def test_every_kth_frame_comes_with_its_box(sequences: list[Sequence], picture: Boxes) -> None:
    dataset = FrameDataset(sequences, every=2)
    assert [(sample.sequence, sample.frame) for sample in dataset] == [(s, f) for s in (0, 1) for f in (0, 2, 4, 6)]
    for sample in dataset:
        assert sample.image.dtype is torch.uint8
        assert tuple(sample.image.shape) == (3, 48, 64)
        assert level(sample, picture)
        assert sample.visible is (sample.frame != 4)
    assert dataset[0].box.tolist() == [10, 10, 20, 16]
    assert torch.isnan(dataset[2].box).all()


def test_frames_of_a_video_may_be_asked_for_in_any_order(sequences: list[Sequence], picture: Boxes) -> None:
    dataset = FrameDataset(sequences)
    for item in (8, 9, 12, 11, 3, 15, 8):
        assert level(dataset[item], picture), item


def test_crops_leave_out_absent_targets_and_are_labelled(sequences: list[Sequence], picture: Boxes) -> None:
    dataset = TargetCropDataset(sequences, size=32)
    assert len(dataset) == 14
    assert dataset.identities == ["bc_Jet1_1", "sv_Jet1_9"]
    samples = list(dataset)
    assert [sample.label for sample in samples] == [0] * 7 + [1] * 7
    assert all(tuple(sample.image.shape) == (3, 32, 32) for sample in samples)
    assert all(level(sample, picture) for sample in samples)


def test_clips_of_one_target_may_share_a_label(sequences: list[Sequence]) -> None:
    dataset = TargetCropDataset(sequences, identity=identity)
    assert dataset.identities == ["Jet1"]
    assert {dataset[item].label for item in range(len(dataset))} == {0}


def test_the_crop_is_the_exemplar_region(tmp_path: Path) -> None:
    import cv2

    image = np.zeros((120, 160, 3), np.uint8)
    image[40:60, 70:100] = 255
    cv2.imwrite(str(tmp_path / "0001.png"), image)
    sequence = Sequence("a", np.array([[70.0, 40.0, 30.0, 20.0]]), ImageFrames((tmp_path / "0001.png",)))
    for region in (1.0, 2.0):
        crop = TargetCropDataset([sequence], size=100, region=region)[0].image[0]
        scale = 100 / (region * exemplar_side(30, 20))
        rows, columns = (crop > 127).any(1).nonzero()[:, 0], (crop > 127).any(0).nonzero()[:, 0]
        assert len(columns) == pytest.approx(30 * scale, abs=1.5)
        assert len(rows) == pytest.approx(20 * scale, abs=1.5)
        assert float(columns.float().mean()) == pytest.approx(49.5, abs=0.6)


def test_a_loader_batches_and_workers_open_their_own_videos(sequences: list[Sequence]) -> None:
    dataset = TargetCropDataset(sequences, size=16, every=2, transform=lambda image: image.float() / 255)
    dataset[len(dataset) - 1]
    batches = list(DataLoader(dataset, batch_size=4, num_workers=1))
    assert [tuple(batch.image.shape) for batch in batches] == [(4, 3, 16, 16), (2, 3, 16, 16)]
    assert torch.cat([batch.label for batch in batches]).tolist() == [0, 0, 0, 1, 1, 1]
    assert max(float(batch.image.max()) for batch in batches) <= 1


def test_a_dataset_with_an_open_video_can_be_pickled(sequences: list[Sequence], picture: Boxes) -> None:
    dataset = FrameDataset(sequences)
    dataset[12]
    assert level(pickle.loads(pickle.dumps(dataset))[13], picture)


def test_a_step_below_one_is_refused(sequences: list[Sequence]) -> None:
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        FrameDataset(sequences, every=0)
