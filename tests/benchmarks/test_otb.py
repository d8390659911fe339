from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.datasets import read_sequence, read_sequences
from benchmarks.datasets.otb import read_boxes

OTB = Path(__file__).parents[3] / "shared" / "data" / "otb"
BOXES = [(10.0, 20.0, 30.0, 40.0), (11.0, 20.0, 30.0, 40.0), (12.5, 21.0, 31.0, 40.0)]


def frame_of(index: int) -> np.ndarray:
    """A frame that says which one it is, even after compression: its level."""
    return np.full((48, 64, 3), 20 + 60 * index, np.uint8)


def write_sequence(
    folder: Path, boxes: list[tuple[float, ...]] = BOXES, frames: int | None = None, video: bool = False
) -> Path:
    folder.mkdir(parents=True)
    (folder / "groundtruth_rect.txt").write_text("".join(",".join(map(str, box)) + "\n" for box in boxes))
    images = [frame_of(index) for index in range(len(boxes) if frames is None else frames)]
    if video:
        writer = cv2.VideoWriter(str(folder / "frames.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
        for image in images:
            writer.write(image)
        writer.release()
        return folder
    (folder / "img").mkdir()
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / "img" / f"{index + 1:04d}.png"), image)
    return folder


@pytest.mark.parametrize("video", [False, True])
def test_frames_and_boxes_belong_together(tmp_path: Path, video: bool):
    sequence = read_sequence(write_sequence(tmp_path / "Ball", video=video))
    assert sequence.name == "Ball"
    np.testing.assert_array_equal(sequence.boxes, np.array(BOXES) - (1, 1, 0, 0))
    frames = list(sequence.frames())
    assert len(frames) == len(sequence) == 3
    for index, frame in enumerate(frames):
        assert frame.dtype == np.uint8
        assert frame.shape == (48, 64, 3)
        assert abs(frame.mean() - frame_of(index).mean()) < 8


@pytest.mark.parametrize("text", ["1,2,3,4\n5,6,7,8", "1\t2\t3\t4\n5\t6\t7\t8\n", "1 2  3 4\r\n5, 6, 7, 8\r\n\n\n"])
def test_separators_vary_between_files(tmp_path: Path, text: str):
    path = tmp_path / "groundtruth_rect.txt"
    path.write_bytes(text.encode())
    np.testing.assert_array_equal(read_boxes(path), [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize("line", ["1,2,3", "1,2,3,4,5", "7", "a,b,c,d", ""])
def test_a_line_that_is_not_a_box_is_named(tmp_path: Path, line: str):
    path = tmp_path / "Ball" / "groundtruth_rect.txt"
    path.parent.mkdir()
    path.write_text(f"1,2,3,4\n{line}\n5,6,7,8\n")
    with pytest.raises(ValueError, match=r"Ball: expected x,y,w,h in line 2 of .*groundtruth_rect.txt"):
        read_boxes(path)


@pytest.mark.parametrize("video", [False, True])
@pytest.mark.parametrize("frames", [2, 4])
def test_another_number_of_frames_is_refused_with_both_counts(tmp_path: Path, frames: int, video: bool):
    folder = write_sequence(tmp_path / "Ball", frames=frames, video=video)
    with pytest.raises(ValueError, match=f"Ball: expected 3 frames, .* found {frames}"):
        read_sequence(folder)


def test_a_damaged_image_ends_with_an_error_that_says_where(tmp_path: Path):
    folder = write_sequence(tmp_path / "Ball")
    (folder / "img" / "0002.png").write_bytes(b"not a picture")
    sequence = read_sequence(folder)
    with pytest.raises(ValueError, match="Ball: expected 3 frames, could decode only 1"):
        list(sequence.frames())


def test_images_are_taken_in_the_order_of_their_numbers(tmp_path: Path):
    folder = write_sequence(tmp_path / "Ball")
    for old, new in (("0003", "10"), ("0001", "8"), ("0002", "9")):
        (folder / "img" / f"{old}.png").rename(folder / "img" / f"{new}.png")
    levels = [frame.mean() for frame in read_sequence(folder).frames()]
    assert levels == [20, 80, 140]


def test_grey_images_become_bgr(tmp_path: Path):
    folder = write_sequence(tmp_path / "Ball")
    cv2.imwrite(str(folder / "img" / "0001.png"), frame_of(0)[:, :, 0])
    assert next(read_sequence(folder).frames()).shape == (48, 64, 3)


def test_a_missing_part_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"Ball: cannot read .*groundtruth_rect.txt"):
        read_sequence(tmp_path / "Ball")
    folder = write_sequence(tmp_path / "Cup")
    (folder / "img").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="Cup: expected frames in"):
        read_sequence(folder)
    (folder / "groundtruth_rect.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"Cup: .* holds no box"):
        read_sequence(folder)


@pytest.mark.parametrize(
    ("benchmark", "one_based", "shift"),
    [(None, None, 1), ("OTB", None, 1), ("VOT", None, 0), ("VOT", True, 1), ("OTB", False, 0)],
)
def test_boxes_become_0_based(tmp_path: Path, benchmark: str | None, one_based: bool | None, shift: int):
    folder = write_sequence(tmp_path / "Ball")
    if benchmark is not None:
        (folder / "sequence.json").write_text(json.dumps({"benchmark": benchmark}))
    boxes = read_sequence(folder, one_based).boxes
    np.testing.assert_array_equal(boxes, np.array(BOXES) - (shift, shift, 0, 0))


def test_absent_targets_are_nan_but_not_in_the_first_frame(tmp_path: Path):
    absent = (float("nan"),) * 4
    sequence = read_sequence(write_sequence(tmp_path / "Ball", [BOXES[0], absent, BOXES[2]]))
    assert np.isnan(sequence.boxes).all(1).tolist() == [False, True, False]
    folder = write_sequence(tmp_path / "Cup", [absent, *BOXES])
    with pytest.raises(ValueError, match="Cup: the first frame shows no target"):
        read_sequence(folder)


def test_head_keeps_the_first_frames(tmp_path: Path):
    sequence = read_sequence(write_sequence(tmp_path / "Ball"))
    assert [frame.mean() for frame in sequence.head(2).frames()] == [20, 80]
    assert len(sequence.head(2)) == 2
    assert len(sequence.head(99)) == 3
    assert sequence.head(None) is sequence


def test_roots_are_sets_sets_of_sets_or_sequences(tmp_path: Path):
    write_sequence(tmp_path / "one" / "Ball")
    write_sequence(tmp_path / "one" / "Cup")
    write_sequence(tmp_path / "many" / "set" / "Dice")
    roots = [tmp_path / "one", tmp_path / "many", write_sequence(tmp_path / "Egg")]
    assert [sequence.name for sequence in read_sequences(roots)] == ["Ball", "Cup", "Dice", "Egg"]
    assert [sequence.name for sequence in read_sequences(roots, only=["Egg", "Cup"])] == ["Cup", "Egg"]
    assert len(read_sequences([tmp_path / "one"] * 2)) == 2
    with pytest.raises(ValueError, match="no sequence Fan; there are Ball, Cup"):
        read_sequences([tmp_path / "one"], only=["Ball", "Fan"])
    with pytest.raises(ValueError, match="no sequence below"):
        read_sequences([tmp_path / "nowhere"])
    write_sequence(tmp_path / "two" / "Cup")
    with pytest.raises(ValueError, match="two sequences are called Cup"):
        read_sequences([tmp_path / "one", tmp_path / "two"])


@pytest.mark.skipif(not OTB.is_dir(), reason="needs the sequences in ../shared/data/otb")
def test_the_packed_sequences_are_complete():
    sequences = read_sequences([OTB])
    assert len(sequences) == 22
    assert sum(map(len, sequences)) == 10139
    david = next(sequence for sequence in sequences if sequence.name == "David")
    assert david.boxes[0].tolist() == [128, 79, 64, 78]
    assert len(david) == 471
