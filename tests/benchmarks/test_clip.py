"""Frames to measure speed on: which, of what size, in what order."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.clip import Clip, read_clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of 40×20, each of one grey."""
    for index in range(5):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((20, 40, 3), 10 * index, np.uint8))
    return tmp_path


def test_it_goes_there_and_back():
    frames = [np.full((2, 2, 3), value, np.uint8) for value in range(4)]
    order = [int(frame[0, 0, 0]) for frame in islice(Clip(frames, (0, 0, 1, 1)).onwards(), 9)]
    assert order == [1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert [int(frame[0, 0, 0]) for frame in islice(Clip(frames[:2], (0, 0, 1, 1)).onwards(), 3)] == [1, 0, 1]


def test_the_box_is_resized_with_the_frames(folder: Path):
    clip = read_clip(folder, "10,5,8,4", 3, (80, 60))
    assert clip.size == (80, 60)
    assert len(clip.frames) == 3
    assert clip.box == (20, 15, 16, 12)
    assert clip.decode_ms > 0
    assert read_clip(folder, "10,5,8,4", 9).size == (40, 20)


def test_the_box_may_be_in_a_file(folder: Path, tmp_path: Path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[[1, 2, 3, 4], [5, 6, 7, 8]]")
    assert read_clip(f"{folder}/*.png", str(boxes), 2).box == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("box", "count", "message"),
    [
        ("1,2,3,4", 1, "two frames or more, found 1"),
        ("1,2,3", 3, "four numbers"),
        ("a,b,c,d", 3, "expected X,Y,W,H or a JSON file"),
        ("none.json", 3, "expected X,Y,W,H or a JSON file"),
        ("50,2,3,4", 3, "lies outside the 40x20 image"),
    ],
)
def test_what_cannot_be_measured_is_refused(folder: Path, box: str, count: int, message: str):
    with pytest.raises(ValueError, match=message):
        read_clip(folder, box, count)
