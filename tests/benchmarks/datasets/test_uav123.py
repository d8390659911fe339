"""UAV123: stretches of shared folders, and frames out of view."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.uav123 import ATTRIBUTES, SEQUENCES, UAV20L, UAV123, read

Write = Callable[..., None]
Boxes = Callable[[int], np.ndarray]


@pytest.fixture
def root(tmp_path: Path, write_images: Write, write_boxes: Write, some_boxes: Boxes) -> Path:
    """uav1's 3,469 frames of which UAV123 has three parts and UAV20L all, and uav6."""
    for folder, count in (("uav1", 3469), ("uav6", 109)):
        write_images(tmp_path / "data_seq" / "UAV123" / folder, count, digits=6)
    for version, name, count in (
        ("UAV123", "uav1_1", 1555),
        ("UAV123", "uav1_2", 823),
        ("UAV123", "uav1_3", 997),
        ("UAV123", "uav6", 109),
        ("UAV20L", "uav1", 3469),
    ):
        boxes = some_boxes(count)
        boxes[7] = np.nan
        write_boxes(tmp_path / "anno" / version / f"{name}.txt", boxes)
    return tmp_path


def test_the_lists_are_the_published_ones() -> None:
    frames = {version: sum(s.last - s.first + 1 for s in of.values()) for version, of in SEQUENCES.items()}
    assert {version: len(of) for version, of in SEQUENCES.items()} == {"UAV123": 123, "UAV20L": 20}
    assert frames == {"UAV123": 112_578, "UAV20L": 58_670}


def test_the_stretches_are_those_of_the_got10k_package() -> None:
    import got10k.datasets

    with open(Path(got10k.datasets.__file__).parent / "uav123.json") as file:
        theirs = json.load(file)
    for version, stretches in SEQUENCES.items():
        assert {
            name: {"folder_name": s.folder, "start_frame": s.first, "end_frame": s.last}
            for name, s in stretches.items()
        } == theirs[version]


def test_parts_of_a_folder_are_sequences(root: Path) -> None:
    found = UAV123.find(root, ["uav1_1", "uav1_2", "uav1_3", "uav6"])
    assert found.problems == []
    ends = {each.name: [each.frames.files[end].name for end in (0, -1)] for each in found.sequences}  # type: ignore[attr-defined]
    assert ends == {
        "uav1_1": ["000001.jpg", "001555.jpg"],
        "uav1_2": ["001555.jpg", "002377.jpg"],
        "uav1_3": ["002473.jpg", "003469.jpg"],
        "uav6": ["000001.jpg", "000109.jpg"],
    }
    for each in found.sequences:
        assert np.flatnonzero(np.isnan(each.boxes).all(1)).tolist() == [7]
        assert each.boxes[0].tolist() == [0, 4, 12, 10], "counted from 0"
        assert each.fps == 30
    assert len(UAV20L.find(root, ["uav1"]).sequences[0]) == 3469


def test_the_got10k_package_reads_the_same(root: Path) -> None:
    from got10k.datasets import UAV123 as Theirs

    for name in ("a", "b"):
        (root / name).mkdir()  # the package wants more than three entries
    theirs = Theirs(str(root), "UAV123")
    for name in ("uav1_2", "uav1_3", "uav6"):
        files, boxes = theirs[name]
        ours = read(root, name, "UAV123")
        assert [str(file) for file in ours.frames.files] == files  # type: ignore[attr-defined]
        np.testing.assert_array_equal(ours.boxes + (1, 1, 0, 0), boxes)


def test_attributes_are_read_where_they_are(root: Path, write_boxes: Write) -> None:
    assert read(root, "uav6", "UAV123").attributes == frozenset()
    write_boxes(root / "anno" / "UAV123" / "att" / "uav6.txt", [(1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1)])
    assert read(root, "uav6", "UAV123").attributes == {"SV", "LR", "FM", "CM", "SOB"}
    assert len(ATTRIBUTES) == 12


def test_frames_may_come_as_a_video(
    tmp_path: Path, write_video: Write, write_boxes: Write, some_boxes: Boxes, picture: Boxes
) -> None:
    write_video(tmp_path / "data_seq" / "UAV123" / "uav6" / "frames.mp4", 109)
    write_boxes(tmp_path / "anno" / "UAV123" / "uav6.txt", some_boxes(109))
    sequence = read(tmp_path, "uav6", "UAV123")
    assert len(sequence) == 109
    assert abs(float(sequence.frames.at(5).mean()) - picture(5).mean()) < 8


def test_what_is_missing_is_named(root: Path) -> None:
    frames = root / "data_seq" / "UAV123" / "uav6"
    (frames / "000050.jpg").unlink()
    with pytest.raises(Damaged, match=r"000001\.jpg to 000109\.jpg in .*, found 1 missing, 000050\.jpg first"):
        read(root, "uav6", "UAV123")
    (root / "anno" / "UAV123" / "uav6.txt").unlink()
    with pytest.raises(Damaged, match=r"uav6\.txt, found none"):
        read(root, "uav6", "UAV123")
    with pytest.raises(Damaged, match=r"expected folder .*bike1, found none"):
        read(root, "bike1", "UAV123")


def test_another_number_of_rows_is_refused(root: Path, write_boxes: Write, some_boxes: Boxes) -> None:
    write_boxes(root / "anno" / "UAV123" / "uav6.txt", some_boxes(100))
    with pytest.raises(Damaged, match=r"expected 100 frames, one for each line of .*, found 109"):
        read(root, "uav6", "UAV123")
