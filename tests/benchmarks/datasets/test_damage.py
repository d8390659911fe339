"""Damaged frames are found before anything runs, by the ends of their files or by decoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.datasets import check
from benchmarks.datasets.benchmark import Found
from benchmarks.datasets.folder import FOLDER

Write = Callable[..., None]
Boxes = Callable[[int], np.ndarray]


@pytest.fixture
def cup(tmp_path: Path, write_images: Write, write_boxes: Write, some_boxes: Boxes) -> Path:
    """Two sequences of ten frames; the folder of one."""
    for name, suffix in (("Ball", ".png"), ("Cup", ".jpg")):
        write_images(tmp_path / name / "img", 10, suffix=suffix, real=True)
        write_boxes(tmp_path / name / "groundtruth_rect.txt", some_boxes(10))
    return tmp_path / "Cup"


def _checked(cup: Path, decode: bool = False) -> Found:
    return check(FOLDER.find(cup.parent), decode)


@pytest.mark.parametrize("decode", [False, True])
def test_whole_sequences_pass(cup: Path, decode: bool) -> None:
    found = _checked(cup, decode)
    assert [each.name for each in found.sequences] == ["Ball", "Cup"]
    assert found.problems == []


@pytest.mark.parametrize(("name", "suffix"), [("Ball", ".png"), ("Cup", ".jpg")])
@pytest.mark.parametrize("decode", [False, True])
def test_empty_and_truncated_files_are_named(cup: Path, name: str, suffix: str, decode: bool) -> None:
    images = cup.parent / name / "img"
    whole = (images / f"0007{suffix}").read_bytes()
    (images / f"0003{suffix}").write_bytes(b"")
    (images / f"0007{suffix}").write_bytes(whole[: len(whole) * 2 // 3])
    found = _checked(cup, decode)
    assert [each.name for each in found.sequences] == [other for other in ("Ball", "Cup") if other != name]
    (problem,) = found.problems
    assert problem.sequence == name
    assert problem.expected == "10 whole frames"
    assert problem.found.startswith(f"{images / f'0003{suffix}'}: empty; {images / f'0007{suffix}'}: truncated (")


def test_many_damaged_files_are_counted(cup: Path) -> None:
    for number in range(1, 9):
        (cup / "img" / f"{number:04d}.jpg").write_bytes(b"")
    assert _checked(cup).problems[0].found.endswith("0003.jpg: empty and 5 more")


def test_a_file_of_another_kind_is_found_by_decoding(cup: Path) -> None:
    (cup / "img" / "0005.jpg").write_bytes(b"no picture, but with the end of one: \xff\xd9")
    assert _checked(cup).problems == []
    (problem,) = _checked(cup, decode=True).problems
    assert problem.found == f"{cup / 'img' / '0005.jpg'}: not an image that OpenCV can decode"


def test_a_few_bytes_behind_the_end_are_no_damage(cup: Path) -> None:
    path = cup / "img" / "0005.jpg"
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert _checked(cup, decode=True).problems == []


def test_a_file_that_vanishes_is_named(cup: Path) -> None:
    found = FOLDER.find(cup.parent)
    (cup / "img" / "0005.jpg").unlink()
    assert check(found).problems[0].found == f"{cup / 'img' / '0005.jpg'}: No such file or directory"


def test_videos_are_looked_into_on_request(tmp_path: Path, write_video: Write, write_boxes: Write) -> None:
    write_video(tmp_path / "Cup" / "frames.mp4", 60)
    write_boxes(tmp_path / "Cup" / "groundtruth_rect.txt", [(10, 10, 20, 20)] * 60)
    assert check(FOLDER.find(tmp_path), decode=True).problems == []
    video = tmp_path / "Cup" / "frames.mp4"
    data = bytearray(video.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 200 : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - start - 200)
    video.write_bytes(data)
    found = FOLDER.find(tmp_path)
    if not found.sequences or sum(1 for _ in _decodable(video)) == 60:
        pytest.skip("this OpenCV decodes the damaged video")
    assert check(found).problems == []
    assert "could decode" in check(found, decode=True).problems[0].found


def _decodable(video: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(video)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def test_problems_come_in_the_benchmarks_order(tmp_path: Path, write_images: Write, write_boxes: Write) -> None:
    from benchmarks.datasets.otb import OTB_100

    write_images(tmp_path / "Deer" / "img", 71)  # empty files
    write_boxes(tmp_path / "Deer" / "groundtruth_rect.txt", [(1, 2, 30, 40)] * 71)
    found = check(OTB_100.find(tmp_path, ["Dancer", "Deer", "Vase"]))
    assert [problem.sequence for problem in found.problems] == ["Dancer", "Deer", "Vase"]
    assert found.sequences == []
