"""VOT: polygons, rectangles and frames without either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.vot import VOT, VOT_YEARS, read

Write = Callable[..., None]

POLYGONS = ["10,20,30,15,35,35,15,40", "11,20,31,15,36,35,16,40", "12.5,20,32,15,37,35,17,40"]


@pytest.fixture
def root(tmp_path: Path, write_images: Write) -> Path:
    """Two sequences, one as of 2016 and before, one as of 2017 and after."""
    write_images(tmp_path / "bag", 3, digits=8)
    (tmp_path / "bag" / "groundtruth.txt").write_text("\n".join(POLYGONS) + "\n")
    write_images(tmp_path / "ball" / "color", 4, digits=8)
    (tmp_path / "ball" / "groundtruth.txt").write_text("1,2,30,40\nnan,nan,nan,nan\n0\n5,6,30,40\n")
    (tmp_path / "ball" / "sequence").write_text("name=ball\nfps=25\nchannels.color=color/%08d.jpg\n")
    (tmp_path / "list.txt").write_text("bag\nball\n")
    return tmp_path


def test_polygons_are_kept_beside_the_boxes_around_them(root: Path) -> None:
    sequence = read(root, "bag")
    assert sequence.polygons is not None
    np.testing.assert_array_equal(sequence.polygons, [[float(x) for x in line.split(",")] for line in POLYGONS])
    assert sequence.boxes[0].tolist() == [10, 15, 25, 25], "as they stand there, from 0"
    assert sequence.fps is None


def test_the_got10k_package_reads_the_same_polygons(root: Path) -> None:
    from got10k.datasets import VOT as Theirs

    files, corners = Theirs(str(root), version=2016, anno_type="default", download=False)[0]
    ours = read(root, "bag")
    assert [str(file) for file in ours.frames.files] == files  # type: ignore[attr-defined]
    np.testing.assert_array_equal(ours.polygons, corners)


def test_rectangles_have_no_polygons_and_absent_targets_no_box(root: Path) -> None:
    sequence = read(root, "ball")
    assert sequence.polygons is None
    np.testing.assert_array_equal(sequence.boxes, [[1, 2, 30, 40], [np.nan] * 4, [np.nan] * 4, [5, 6, 30, 40]])
    assert sequence.fps == 25


def test_rectangles_among_polygons_become_polygons(root: Path) -> None:
    (root / "bag" / "groundtruth.txt").write_text("\n".join([POLYGONS[0], "1,2,30,40", "nan,nan,nan,nan"]))
    sequence = read(root, "bag")
    assert sequence.polygons is not None
    assert sequence.polygons[1].tolist() == [1, 2, 31, 2, 31, 42, 1, 42]
    assert np.isnan(sequence.polygons[2]).all()
    assert sequence.boxes[1].tolist() == [1, 2, 30, 40]


def test_the_list_names_the_sequences(root: Path) -> None:
    found = VOT.find(root)
    assert [each.name for each in found.sequences] == ["bag", "ball"]
    assert found.title == "2 sequences of VOT"
    assert [benchmark.title for benchmark in VOT_YEARS] == [f"VOT{year}" for year in range(2013, 2020)]
    (root / "list.txt").write_text("bag\nbook\n")
    assert VOT.find(root).problems == [("book", f"folder {root / 'book'}", "none")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("m12,30,4,5,0,3,7", "a mask in line 2; masks are for VOT's own toolkit"),
        ("1,2,3", "'1,2,3' in line 2"),
        ("1,2,3,4,5,6,7,8,9,10", "'1,2,3,4,5,6,7,8,9,10' in line 2"),
        ("1,2,x,4", "'1,2,x,4' in line 2"),
        ("", "'' in line 2"),
    ],
)
def test_other_regions_are_refused(root: Path, line: str, found: str) -> None:
    (root / "bag" / "groundtruth.txt").write_text("\n".join([POLYGONS[0], line, POLYGONS[2]]))
    with pytest.raises(Damaged, match=f"bag: expected x,y,w,h or four corners a line in .*, found {found}"):
        read(root, "bag")


def test_what_is_missing_is_named(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (root / "bag" / "00000003.jpg").unlink()
    with pytest.raises(Damaged, match=r"expected 3 frames, one for each line of .*, found 2"):
        read(root, "bag")
    (root / "bag" / "groundtruth.txt").unlink()
    with pytest.raises(Damaged, match="cannot read it"):
        read(root, "bag")
    (root / "bag" / "groundtruth.txt").write_text("\n")
    with pytest.raises(Damaged, match="an empty file"):
        read(root, "bag")
    elsewhere = tmp_path_factory.mktemp("nothing")
    with pytest.raises(ValueError, match=r"cannot read .*list.txt, the list of VOT's sequences"):
        VOT.find(elsewhere)
    (elsewhere / "list.txt").touch()
    with pytest.raises(ValueError, match="names no sequence"):
        VOT.find(elsewhere)
