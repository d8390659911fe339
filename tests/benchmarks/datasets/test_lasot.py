"""LaSOT: its test set, and frames in which the target is absent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.lasot import LASOT, read

Write = Callable[..., None]
Boxes = Callable[[int], np.ndarray]


@pytest.fixture
def airplane(tmp_path: Path, write_images: Write, write_boxes: Write, some_boxes: Boxes) -> Path:
    folder = tmp_path / "airplane" / "airplane-1"
    write_images(folder / "img", 10, digits=8)
    write_boxes(folder / "groundtruth.txt", some_boxes(10))
    (folder / "full_occlusion.txt").write_text("0,0,0,1,0,0,0,0,0,0")
    (folder / "out_of_view.txt").write_text("0,0,0,0,0,0,0,1,1,0\n")
    return folder


def test_the_list_is_the_got10k_packages() -> None:
    import got10k.datasets

    with open(Path(got10k.datasets.__file__).parent / "lasot.json") as file:
        theirs = json.load(file)["test"]
    assert len(LASOT.names or ()) == 280
    assert set(LASOT.names or ()) == set(theirs)


def test_frames_without_the_target_do_not_count(airplane: Path, some_boxes: Boxes) -> None:
    sequence = read(airplane.parents[1], "airplane-1")
    assert np.flatnonzero(np.isnan(sequence.boxes).all(1)).tolist() == [3, 7, 8]
    np.testing.assert_array_equal(sequence.boxes[0], some_boxes(1)[0] - (1, 1, 0, 0))


def test_sequences_may_lie_without_the_folder_of_their_kind(airplane: Path) -> None:
    root = airplane.parents[1] / "flat"
    root.mkdir()
    airplane.rename(root / "airplane-1")
    found = LASOT.find(root, ["airplane-1", "airplane-9"])
    assert [each.name for each in found.sequences] == ["airplane-1"]
    assert found.problems == [("airplane-9", f"folder {root / 'airplane-9'}", "none")]
    assert found.title == "1 of 280 sequences of LaSOT"


@pytest.mark.parametrize(
    ("text", "found"),
    [("0,0,0", "found 3"), ("0,0,0,0,0,0,0,0,0,2", "found '2' among them"), (None, "found cannot read it")],
)
def test_labels_that_do_not_fit_are_named(airplane: Path, text: str | None, found: str) -> None:
    path = airplane / "out_of_view.txt"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(Damaged, match=f"airplane-1: expected 10 zeros and ones in .*out_of_view.txt, {found}"):
        read(airplane.parents[1], "airplane-1")


def test_missing_frames_and_rows_are_named(airplane: Path, write_boxes: Write, some_boxes: Boxes) -> None:
    (airplane / "img" / "00000010.jpg").unlink()
    with pytest.raises(Damaged, match=r"expected 10 frames, one for each line of .*, found 9"):
        read(airplane.parents[1], "airplane-1")
    write_boxes(airplane / "groundtruth.txt", some_boxes(9))
    with pytest.raises(Damaged, match="expected 9 zeros and ones"):
        read(airplane.parents[1], "airplane-1")
