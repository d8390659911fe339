"""Plain folders of sequences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.folder import FOLDER, read_sequence

Write = Callable[..., None]

BOXES = [(10.0, 20.0, 30.0, 40.0), (11.0, 20.0, 30.0, 40.0), (12.5, 21.0, 31.0, 40.0)]
ABSENT = (float("nan"),) * 4


@pytest.fixture
def make(write_images: Write, write_video: Write, write_boxes: Write) -> Callable[..., Path]:
    def make(folder: Path, boxes: list[tuple[float, ...]] = BOXES, frames: int = 3, video: bool = False) -> Path:
        write_boxes(folder / "groundtruth_rect.txt", boxes)
        if video:
            write_video(folder / "frames.mp4", frames)
        else:
            write_images(folder / "img", frames, suffix=".png", real=True)
        return folder

    return make


@pytest.mark.parametrize("video", [False, True])
def test_frames_and_boxes_belong_together(
    tmp_path: Path, make: Callable[..., Path], video: bool, picture: Callable[[int], np.ndarray]
) -> None:
    sequence = read_sequence(make(tmp_path / "Ball", video=video))
    assert sequence.name == "Ball"
    np.testing.assert_array_equal(sequence.boxes, np.array(BOXES) - (1, 1, 0, 0))
    for index, frame in enumerate(sequence.frames):
        assert abs(float(frame.mean()) - picture(index).mean()) < 8


@pytest.mark.parametrize(
    ("benchmark", "one_based", "shift"),
    [(None, None, 1), ("OTB", None, 1), ("VOT", None, 0), ("VOT", True, 1), ("OTB", False, 0)],
)
def test_boxes_become_0_based(
    tmp_path: Path, make: Callable[..., Path], benchmark: str | None, one_based: bool | None, shift: int
) -> None:
    folder = make(tmp_path / "Ball")
    if benchmark is not None:
        (folder / "sequence.json").write_text(json.dumps({"benchmark": benchmark}))
    np.testing.assert_array_equal(read_sequence(folder, one_based).boxes, np.array(BOXES) - (shift, shift, 0, 0))


def test_a_damaged_description_is_named(tmp_path: Path, make: Callable[..., Path]) -> None:
    folder = make(tmp_path / "Ball")
    for text in ("{", "[1]"):
        (folder / "sequence.json").write_text(text)
        with pytest.raises(Damaged, match=r"Ball: expected a JSON object in .*sequence\.json"):
            read_sequence(folder)


@pytest.mark.parametrize("video", [False, True])
@pytest.mark.parametrize("frames", [2, 4])
def test_another_number_of_frames_is_refused_with_both_counts(
    tmp_path: Path, make: Callable[..., Path], frames: int, video: bool
) -> None:
    with pytest.raises(Damaged, match=f"Ball: expected 3 frames, one for each line of .*, found {frames}"):
        read_sequence(make(tmp_path / "Ball", frames=frames, video=video))


def test_images_are_taken_in_the_order_of_their_numbers(
    tmp_path: Path, make: Callable[..., Path], picture: Callable[[int], np.ndarray]
) -> None:
    folder = make(tmp_path / "Ball")
    for old, new in (("0003", "10"), ("0001", "7"), ("0002", "9")):  # a step of two is no gap
        (folder / "img" / f"{old}.png").rename(folder / "img" / f"{new}.png")
    assert [frame.mean() for frame in read_sequence(folder).frames] == [picture(index).mean() for index in range(3)]


def test_absent_targets_are_nan_but_not_in_the_first_frame(tmp_path: Path, make: Callable[..., Path]) -> None:
    sequence = read_sequence(make(tmp_path / "Ball", [BOXES[0], ABSENT, BOXES[2]]))
    assert np.isnan(sequence.boxes).all(1).tolist() == [False, True, False]
    with pytest.raises(Damaged, match="Cup: expected a target in the first line"):
        read_sequence(make(tmp_path / "Cup", [ABSENT, *BOXES[1:]]))


def test_a_missing_part_is_named(tmp_path: Path, make: Callable[..., Path]) -> None:
    with pytest.raises(Damaged, match=r"Ball: expected 4 numbers a line in .*groundtruth_rect.txt, found none"):
        read_sequence(tmp_path / "Ball")
    folder = make(tmp_path / "Cup")
    (folder / "img").rename(tmp_path / "elsewhere")
    with pytest.raises(Damaged, match=r"Cup: expected images in .*img/ or .*frames\.mp4, found neither"):
        read_sequence(folder)
    (folder / "img").mkdir()
    with pytest.raises(Damaged, match=r"Cup: expected images in .*img/, found none"):
        read_sequence(folder)


def test_roots_are_sets_sets_of_sets_or_sequences(tmp_path: Path, make: Callable[..., Path]) -> None:
    make(tmp_path / "one" / "Cup")
    make(tmp_path / "one" / "Ball")
    make(tmp_path / "many" / "set" / "Dice")
    make(tmp_path / "many" / "other" / "Egg")
    names = {
        root: [each.name for each in FOLDER.find(tmp_path / root).sequences] for root in ("one", "many", "one/Cup")
    }
    assert names == {"one": ["Ball", "Cup"], "many": ["Dice", "Egg"], "one/Cup": ["Cup"]}
    assert FOLDER.find(tmp_path / "one").title == "2 sequences of a folder"
    assert [each.name for each in FOLDER.find(tmp_path / "one", ["Cup"]).sequences] == ["Cup"]
    with pytest.raises(ValueError, match="no sequence Fan; there are Ball, Cup"):
        FOLDER.find(tmp_path / "one", ["Fan"])
    make(tmp_path / "many" / "other" / "Dice")
    with pytest.raises(ValueError, match="two sequences are called Dice"):
        FOLDER.find(tmp_path / "many")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no sequence below .*empty: expected .*/<sequence>/groundtruth_rect\.txt"):
        FOLDER.find(tmp_path / "empty")


def test_a_damaged_sequence_leaves_the_others(tmp_path: Path, make: Callable[..., Path]) -> None:
    make(tmp_path / "Ball")
    make(tmp_path / "Cup", frames=2)
    found = FOLDER.find(tmp_path)
    assert [each.name for each in found.sequences] == ["Ball"]
    assert [problem.sequence for problem in found.problems] == ["Cup"]


def test_the_training_footage_is_read(shared: Path) -> None:
    found = FOLDER.find(shared / "data" / "video")
    assert found.problems == []
    assert len(found.sequences) == 36
