"""TLP: six columns, absent targets, and the first frames of a video as TinyTLP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.tlp import ATTRIBUTES, FRAMES, TINY_TLP, TLP, TLP_ATTR, identity, read
from benchmarks.metrics import TLP_RULES

Write = Callable[..., None]


def rows(count: int, lost: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """``frame,x,y,w,h,isLost``"""
    return [(frame, 10 + frame % 50, 20, 30, 40, int(frame in lost)) for frame in range(1, count + 1)]


@pytest.fixture
def video(tmp_path: Path, write_images: Write, write_boxes: Write) -> Path:
    """Bike: its 4,196 frames; frames 3 and 700 do not show the target."""
    write_images(tmp_path / "Bike" / "img", FRAMES["Bike"], digits=5)
    write_boxes(tmp_path / "Bike" / "groundtruth_rect.txt", rows(FRAMES["Bike"], (3, 700)))
    return tmp_path / "Bike"


def test_lengths_add_up_to_what_is_published() -> None:
    assert len(FRAMES) == len(TLP.names or ()) == len(TINY_TLP.names or ()) == 50
    assert round(sum(FRAMES.values()) / 1000) == 676
    assert round(np.mean(list(FRAMES.values()))) == 13_529
    assert max(FRAMES.values()) / 30 == pytest.approx(953, abs=2), "seconds of the longest"


def test_six_columns_are_read(video: Path) -> None:
    found = TLP.find(video.parent, ["Bike"])
    (sequence,) = found.sequences
    assert found.title == "1 of 50 sequences of TLP"
    assert found.benchmark.rules == TLP_RULES
    assert len(sequence) == 4196
    assert sequence.boxes[0].tolist() == [11, 20, 30, 40]
    assert np.flatnonzero(np.isnan(sequence.boxes).all(1)).tolist() == [2, 699], "isLost"


def test_tiny_tlp_is_the_first_600_frames(video: Path) -> None:
    (sequence,) = TINY_TLP.find(video.parent, ["Bike"]).sequences
    assert len(sequence) == len(sequence.frames) == 600
    assert sequence.frames.files[-1].name == "00600.jpg"  # type: ignore[attr-defined]
    assert np.flatnonzero(np.isnan(sequence.boxes).all(1)).tolist() == [2]


def test_tiny_tlp_may_have_been_cut_before(tmp_path: Path, write_images: Write, write_boxes: Write) -> None:
    write_images(tmp_path / "Bike" / "img", 600, digits=5)
    write_boxes(tmp_path / "Bike" / "groundtruth_rect.txt", rows(600))
    assert len(TINY_TLP.find(tmp_path, ["Bike"]).sequences[0]) == 600
    (problem,) = TLP.find(tmp_path, ["Bike"]).problems
    assert (problem.expected, problem.found) == ("4196 frames of TLP", "600")


def test_the_first_pixels_coordinate_is_a_parameter(video: Path) -> None:
    zero, one = (read(video.parent, "Bike", first_pixel=first).boxes for first in (0, 1))
    np.testing.assert_array_equal(zero - one, np.where(np.isnan(zero), np.nan, [1, 1, 0, 0]))


def test_the_original_is_preferred_to_four_columns(tmp_path: Path, write_images: Write, write_boxes: Write) -> None:
    write_images(tmp_path / "Bike" / "img", 600, digits=5)
    write_boxes(tmp_path / "Bike" / "groundtruth_rect.txt", [row[1:5] for row in rows(600)])
    assert not np.isnan(read(tmp_path, "Bike").boxes).any()
    write_boxes(tmp_path / "Bike" / "groundtruth_tlp_raw.txt", rows(600, (5,)))
    assert np.flatnonzero(np.isnan(read(tmp_path, "Bike").boxes).any(1)).tolist() == [4]


def test_four_columns_have_nan_where_the_target_is_absent(
    tmp_path: Path, write_images: Write, write_boxes: Write
) -> None:
    write_images(tmp_path / "Bike" / "img", 2)
    write_boxes(tmp_path / "Bike" / "groundtruth_rect.txt", [(1, 2, 3, 4), (np.nan,) * 4])
    assert np.isnan(read(tmp_path, "Bike").boxes).all(1).tolist() == [False, True]


def test_clips_are_named_by_attribute_video_and_frame(tmp_path: Path, write_images: Write, write_boxes: Write) -> None:
    for name in ("bc_Elephants_430", "occ_Jet1_2800", "sv_Jet1_12"):
        write_images(tmp_path / name / "img", 3, digits=5)
        write_boxes(tmp_path / name / "groundtruth_rect.txt", rows(3))
    found = TLP_ATTR.find(tmp_path)
    assert found.title == "3 sequences of TLPattr"
    assert {each.name: set(each.attributes) for each in found.sequences} == {
        "bc_Elephants_430": {"BC"},
        "occ_Jet1_2800": {"OCC"},
        "sv_Jet1_12": {"SV"},
    }
    assert set(ATTRIBUTES) == {"FM", "IV", "SV", "OCC", "OV", "BC"}
    assert Counter(map(identity, TLP_ATTR.listing(tmp_path) if TLP_ATTR.listing else ())) == {"Elephants": 1, "Jet1": 2}
    assert identity("Jet1") == "Jet1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:5] + lines[6:], "expected frame 6 in line 6 of .*, found 7"),
        (lambda lines: ["1,2,3,4,5,1", *lines[1:]], "expected a target in the first line"),
        (lambda lines: [*lines[:3], "4,1,2,3,4", *lines[4:]], "expected 6 numbers .*'4,1,2,3,4' in line 4"),
        (lambda lines: lines[:-1], "expected 9 frames, one for each line of .*, found 10"),
        (lambda lines: [], "expected 6 numbers .* found an empty file"),
    ],
)
def test_damaged_ground_truth_is_named(
    tmp_path: Path,
    change: Callable[[list[str]], list[str]],
    message: str,
    write_images: Write,
    write_boxes: Write,
) -> None:
    write_images(tmp_path / "Bike" / "img", 10, digits=5)
    path = tmp_path / "Bike" / "groundtruth_rect.txt"
    write_boxes(path, rows(10))
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(Damaged, match=message):
        read(tmp_path, "Bike")


def test_tiny_tlp_needs_600_rows(tmp_path: Path, write_images: Write, write_boxes: Write) -> None:
    write_images(tmp_path / "Bike" / "img", 599, digits=5)
    write_boxes(tmp_path / "Bike" / "groundtruth_rect.txt", rows(599))
    (problem,) = TINY_TLP.find(tmp_path, ["Bike"]).problems
    assert problem.found == "599"
    (problem,) = TINY_TLP.find(tmp_path, ["Boat"]).problems
    assert problem == ("Boat", f"folder {tmp_path / 'Boat'}", "none")


def test_the_packed_sequences_are_read(shared: Path) -> None:
    found = TINY_TLP.find(shared / "data" / "tinytlp")
    assert [each.name for each in found.sequences] == ["DriftCar1", "KinBall3"]
    assert all(len(each) == 600 for each in found.sequences)
    assert found.title == "2 of 50 sequences of TinyTLP"
    raw = [np.loadtxt(path, delimiter=",") for path in sorted((shared / "data" / "tinytlp").glob("*/*raw.txt"))]
    lost = [int(rows[:, 5].sum()) for rows in raw]
    assert [int(np.isnan(each.boxes).all(1).sum()) for each in found.sequences] == lost
