"""OTB: every quirk of its folders, and exactly its official lengths."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets import otb
from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.otb import ATTRIBUTES, OTB_50, OTB_100, OTB_2013, TARGETS, canonical, read

Write = Callable[..., None]
Boxes = Callable[[int], np.ndarray]

FOLDERS = {  # images, number of the first, digits, ground truths with their rows: as on the dataset's page
    "David": (770, 1, 4, {"groundtruth_rect.txt": 471}),
    "Football1": (81, 1, 4, {"groundtruth_rect.txt": 74}),
    "Freeman3": (474, 1, 4, {"groundtruth_rect.txt": 460}),
    "Freeman4": (297, 1, 4, {"groundtruth_rect.txt": 283}),
    "Diving": (231, 1, 4, {"groundtruth_rect.txt": 215}),
    "Tiger1": (354, 1, 4, {"groundtruth_rect.txt": 354}),
    "BlurCar1": (742, 247, 4, {"groundtruth_rect.txt": 742}),
    "BlurCar3": (357, 3, 4, {"groundtruth_rect.txt": 357}),
    "BlurCar4": (380, 18, 4, {"groundtruth_rect.txt": 380}),
    "Board": (698, 1, 5, {"groundtruth_rect.txt": 698}),
    "Jogging": (307, 1, 4, {"groundtruth_rect.1.txt": 307, "groundtruth_rect.2.txt": 307}),
    "Skating2": (473, 1, 4, {"groundtruth_rect.1.txt": 473, "groundtruth_rect.2.txt": 473}),
    "Human4": (667, 1, 4, {"groundtruth_rect.1.txt": 0, "groundtruth_rect.2.txt": 667}),
    "Deer": (71, 1, 4, {"groundtruth_rect.txt": 71}),
}


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory, write_images: Write, write_boxes: Write) -> Path:
    """Folders as they come from the dataset's page; x of a box is its line, y the number of its file."""
    root = tmp_path_factory.mktemp("OTB")
    for name, (images, first, digits, truths) in FOLDERS.items():
        write_images(root / name / "img", images, first, digits)
        for number, (file, rows) in enumerate(truths.items(), 1):
            write_boxes(root / name / file, [(line, number, 12, 10) for line in range(1, rows + 1)])
    return root


# ---------------------------------------------------------------- what OTB says


def test_the_lists_have_their_published_sizes() -> None:
    for benchmark, targets, frames in ((OTB_2013, 51, 29_491), (OTB_50, 50, 26_972), (OTB_100, 100, 59_040)):
        names = benchmark.names
        assert names is not None
        assert len(names) == len(set(names)) == targets
        omitted = 5 * ("Tiger1" in names)  # published counts have it from frame 1
        assert sum(TARGETS[name].frames for name in names) == frames - omitted
    assert len(set(OTB_2013.names or ()) & set(OTB_50.names or ())) == 28


def test_each_attribute_has_as_many_sequences_as_the_toolkits_plots_say() -> None:
    published = {
        "otb2013": "IV 25 OPR 39 SV 28 OCC 29 DEF 19 MB 12 FM 17 IPR 31 OV 6 BC 21 LR 4",
        "otb100": "IV 38 OPR 63 SV 64 OCC 49 DEF 44 MB 29 FM 39 IPR 51 OV 14 BC 31 LR 9",
    }
    for benchmark in (OTB_2013, OTB_100):
        words = published[benchmark.name].split()
        counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
        assert Counter(a for name in benchmark.names or () for a in TARGETS[name].attributes) == counts
        assert counts.keys() == ATTRIBUTES.keys()


def test_lengths_are_those_of_an_independent_list(shared: Path) -> None:
    with gzip.open(shared / "results" / "otb100_annotations.json.gz") as file:
        annotations = json.load(file)
    found = {canonical(name): len(entry["gt_rect"]) for name, entry in annotations.items()}
    assert found == {name: target.frames for name, target in TARGETS.items()}
    for name, entry in annotations.items():
        first, last = (int(Path(entry["image_files"][end]).stem) for end in (0, -1))
        cut = otb.CUTS.get(canonical(name) or "")
        assert cut is None or cut == (first, last)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("jogging_1", "Jogging.1"),
        ("Jogging-2", "Jogging.2"),
        ("Skating2_1", "Skating2.1"),
        ("human4_2", "Human4"),
        ("Human4-2", "Human4"),
        ("Human4", "Human4"),
        ("carDark", "CarDark"),
        ("faceocc1", "FaceOcc1"),
        ("fleetface", "FleetFace"),
        ("Jogging", None),
        ("Nothing", None),
    ],
)
def test_other_spellings_are_known(written: str, name: str | None) -> None:
    assert canonical(written) == name


# ---------------------------------------------------------------- folders as they come


def test_every_quirk_leaves_the_official_length(official: Path) -> None:
    names = [name for name in TARGETS if name in FOLDERS or name.partition(".")[0] in FOLDERS]
    assert len(names) == 16
    found = OTB_100.find(official, names)
    assert found.problems == []
    assert {each.name: len(each) for each in found.sequences} == {name: TARGETS[name].frames for name in names}
    assert found.title == "16 of 100 sequences of OTB-100"


@pytest.mark.parametrize(
    ("name", "first_image", "last_image", "first_line", "file"),
    [
        ("David", "0300.jpg", "0770.jpg", 1, 1),
        ("Football1", "0001.jpg", "0074.jpg", 1, 1),
        ("Freeman3", "0001.jpg", "0460.jpg", 1, 1),
        ("Freeman4", "0001.jpg", "0283.jpg", 1, 1),
        ("Diving", "0001.jpg", "0215.jpg", 1, 1),
        ("Tiger1", "0006.jpg", "0354.jpg", 6, 1),
        ("BlurCar1", "0247.jpg", "0988.jpg", 1, 1),
        ("BlurCar3", "0003.jpg", "0359.jpg", 1, 1),
        ("BlurCar4", "0018.jpg", "0397.jpg", 1, 1),
        ("Board", "00001.jpg", "00698.jpg", 1, 1),
        ("Jogging.1", "0001.jpg", "0307.jpg", 1, 1),
        ("Jogging.2", "0001.jpg", "0307.jpg", 1, 2),
        ("Skating2.1", "0001.jpg", "0473.jpg", 1, 1),
        ("Skating2.2", "0001.jpg", "0473.jpg", 1, 2),
        ("Human4", "0001.jpg", "0667.jpg", 1, 2),
    ],
)
def test_frames_and_boxes_belong_together(
    official: Path, name: str, first_image: str, last_image: str, first_line: int, file: int
) -> None:
    sequence = read(official, name)
    assert [sequence.frames.files[end].name for end in (0, -1)] == [first_image, last_image]  # type: ignore[attr-defined]
    assert sequence.boxes[0].tolist() == [first_line - 1, file - 1, 12, 10], "counted from 0"
    assert sequence.attributes == TARGETS[name].attributes


def test_what_the_got10k_package_reads_is_the_same(official: Path) -> None:
    from got10k.datasets import OTB

    theirs = OTB(str(official), version=2015, download=False)
    names = [name for name in theirs.seq_names if name != "Tiger1"]  # which it starts at frame 1
    assert {"Jogging.1", "Jogging.2", "Skating2.1", "Skating2.2", "Human4", "David", "Diving"} <= set(names)
    for name in names:
        files, boxes = theirs[name]
        ours = read(official, name)
        assert [str(file) for file in ours.frames.files] == files  # type: ignore[attr-defined]
        np.testing.assert_array_equal(ours.boxes, boxes - (1, 1, 0, 0))


# ---------------------------------------------------------------- folders as others have them


@pytest.mark.parametrize("name", ["David", "Tiger1", "Football1"])
def test_a_folder_that_was_cut_before_is_not_cut_again(
    tmp_path: Path, name: str, write_images: Write, write_boxes: Write, some_boxes: Boxes
) -> None:
    count = TARGETS[name].frames
    write_images(tmp_path / name / "img", count)
    write_boxes(tmp_path / name / "groundtruth_rect.txt", some_boxes(count))
    sequence = read(tmp_path, name)
    assert len(sequence) == count
    np.testing.assert_array_equal(sequence.boxes, some_boxes(count) - (1, 1, 0, 0))


def test_frames_and_boxes_are_cut_each_by_its_own_count(
    tmp_path: Path, write_images: Write, write_boxes: Write, some_boxes: Boxes
) -> None:
    write_images(tmp_path / "Tiger1" / "img", 349, first=6)
    write_boxes(tmp_path / "Tiger1" / "groundtruth_rect.txt", some_boxes(354))
    np.testing.assert_array_equal(read(tmp_path, "Tiger1").boxes, some_boxes(354)[5:] - (1, 1, 0, 0))


@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [
        ("Jogging-1", "groundtruth_rect.txt", "Jogging.1"),
        ("jogging_2", "groundtruth_rect.txt", "Jogging.2"),
        ("Jogging.2", "groundtruth_rect.2.txt", "Jogging.2"),
        ("Human4", "groundtruth_rect.txt", "Human4"),
        ("human4_2", "groundtruth_rect.txt", "Human4"),
        ("Human4-2", "groundtruth_rect.2.txt", "Human4"),
        ("deer", "groundtruth_rect.txt", "Deer"),
        ("BIRD2", "groundtruth_rect.txt", "Bird2"),
    ],
)
def test_folders_are_found_whatever_their_spelling(
    tmp_path: Path, folder: str, file: str, name: str, write_images: Write, write_boxes: Write, some_boxes: Boxes
) -> None:
    write_images(tmp_path / folder / "img", TARGETS[name].frames)
    write_boxes(tmp_path / folder / file, some_boxes(TARGETS[name].frames))
    sequence = read(tmp_path, name)
    assert sequence.name == name
    assert len(sequence) == TARGETS[name].frames


def test_a_folder_of_two_targets_with_one_unnumbered_file_is_not_guessed_at(
    tmp_path: Path, write_images: Write, write_boxes: Write, some_boxes: Boxes
) -> None:
    write_images(tmp_path / "Jogging" / "img", 307)
    write_boxes(tmp_path / "Jogging" / "groundtruth_rect.txt", some_boxes(307))
    with pytest.raises(Damaged, match=r"Jogging\.1: expected .*Jogging/groundtruth_rect\.1\.txt, found none"):
        read(tmp_path, "Jogging.1")


def test_frames_may_come_as_a_video(
    tmp_path: Path, write_video: Write, write_boxes: Write, some_boxes: Boxes, picture: Boxes
) -> None:
    write_video(tmp_path / "Football1" / "frames.mp4", 81)
    write_boxes(tmp_path / "Football1" / "groundtruth_rect.txt", some_boxes(74))
    sequence = read(tmp_path, "Football1")
    assert len(sequence) == len(list(sequence.frames)) == 74
    assert abs(float(sequence.frames.at(3).mean()) - picture(3).mean()) < 8


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", "  "])
@pytest.mark.parametrize("end", ["", "\n", "\r\n\n\n"])
def test_separators_and_blank_lines_at_the_end_do_not_matter(
    tmp_path: Path, separator: str, end: str, write_images: Write, some_boxes: Boxes
) -> None:
    write_images(tmp_path / "Deer" / "img", 71)
    lines = "\n".join(separator.join(f"{value:g}" for value in box) for box in some_boxes(71))
    (tmp_path / "Deer" / "groundtruth_rect.txt").write_bytes((lines + end).encode())
    np.testing.assert_array_equal(read(tmp_path, "Deer").boxes, some_boxes(71) - (1, 1, 0, 0))


def test_what_a_mac_leaves_beside_the_images_is_no_image(
    tmp_path: Path, write_images: Write, write_boxes: Write, some_boxes: Boxes
) -> None:
    write_images(tmp_path / "Deer" / "img", 71)
    for name in ("._0001.jpg", ".DS_Store", "Thumbs.db"):
        (tmp_path / "Deer" / "img" / name).touch()
    write_boxes(tmp_path / "Deer" / "groundtruth_rect.txt", some_boxes(71))
    assert len(read(tmp_path, "Deer")) == 71


# ---------------------------------------------------------------- damage


@pytest.fixture
def deer(tmp_path: Path, write_images: Write, write_boxes: Write, some_boxes: Boxes) -> Path:
    write_images(tmp_path / "Deer" / "img", 71)
    write_boxes(tmp_path / "Deer" / "groundtruth_rect.txt", some_boxes(71))
    return tmp_path / "Deer"


def _problem(folder: Path) -> str:
    with pytest.raises(Damaged) as error:
        read(folder.parent, "Deer")
    return str(error.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert _problem(tmp_path / "Deer") == f"Deer: expected folder {tmp_path / 'Deer'}, found none"


def test_missing_ground_truth_is_named(deer: Path) -> None:
    (deer / "groundtruth_rect.txt").unlink()
    assert "Deer/groundtruth_rect.txt, found none (No such file or directory)" in _problem(deer)


def test_missing_frames_are_named(deer: Path) -> None:
    (deer / "img").rename(deer / "elsewhere")
    assert "expected images in" in _problem(deer)


def test_a_missing_frame_in_the_middle_is_named(deer: Path) -> None:
    (deer / "img" / "0034.jpg").unlink()
    assert "numbered without a gap" in _problem(deer)
    assert _problem(deer).endswith("found 0034.jpg is missing")
    (deer / "img" / "0040.jpg").unlink()
    assert _problem(deer).endswith("found 2 are missing, 0034.jpg first")


def test_a_gap_is_found_though_the_count_is_right(deer: Path) -> None:
    (deer / "img" / "0034.jpg").rename(deer / "img" / "0072.jpg")
    assert _problem(deer).endswith("found 0034.jpg is missing")


@pytest.mark.parametrize("number", [1, 71])
def test_a_missing_frame_at_either_end_is_counted(deer: Path, number: int) -> None:
    (deer / "img" / f"{number:04d}.jpg").unlink()
    assert f"expected 71 frames in {deer}, found 70" in _problem(deer)


def test_frames_too_many_are_counted(deer: Path) -> None:
    (deer / "img" / "0072.jpg").touch()
    assert f"expected 71 frames in {deer}, found 72" in _problem(deer)


def test_rows_too_few_are_counted(deer: Path, write_boxes: Write, some_boxes: Boxes) -> None:
    write_boxes(deer / "groundtruth_rect.txt", some_boxes(70))
    assert f"expected 71 lines in {deer / 'groundtruth_rect.txt'}, found 70" in _problem(deer)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("nan,nan,nan,nan", "found nan in line 4"),
        ("1,nan,3,4", "found 1.0, nan, 3.0, 4.0 in line 4"),
        ("1,2,3,inf", "found 1.0, 2.0, 3.0, inf in line 4"),
        ("1,2,3", "found '1,2,3' in line 4"),
        ("", "found '' in line 4"),
        ("1,2,three,4", "found '1,2,three,4' in line 4"),
    ],
)
def test_a_line_that_is_no_box_is_named(deer: Path, line: str, found: str) -> None:
    lines = (deer / "groundtruth_rect.txt").read_text().splitlines()
    (deer / "groundtruth_rect.txt").write_text("\n".join([*lines[:3], line, *lines[4:]]))
    assert _problem(deer).endswith(found)


def test_an_empty_file_is_named(deer: Path) -> None:
    (deer / "groundtruth_rect.txt").write_text("\n\n")
    assert _problem(deer).endswith("found an empty file")


def test_a_first_frame_without_target_is_refused(deer: Path) -> None:
    lines = (deer / "groundtruth_rect.txt").read_text().splitlines()
    (deer / "groundtruth_rect.txt").write_text("\n".join(["0,0,0,0", *lines[1:]]))
    assert "expected a target in the first line" in _problem(deer)


def test_a_sequence_to_be_cut_says_both_counts_that_would_do(deer: Path) -> None:
    deer.rename(deer.with_name("David"))
    with pytest.raises(
        Damaged, match=r"expected 471 frames in .*, or 770 and more, of which 300 to 770 count, found 71"
    ):
        read(deer.parent, "David")


def test_a_folder_that_may_not_be_read_is_a_problem_of_its_sequence(
    deer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.iterdir

    def refuse(self: Path) -> object:
        if self.name == "img":
            raise PermissionError(13, os.strerror(13), str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert _problem(deer).endswith("found Permission denied")


# ---------------------------------------------------------------- real sequences


def test_the_packed_sequences_are_complete(shared: Path) -> None:
    root = shared / "data" / "otb"
    found = OTB_100.find(root)
    assert found.title == "22 of 100 sequences of OTB-100"
    assert all(len(each) == TARGETS[each.name].frames for each in found.sequences)
    assert sum(map(len, found.sequences)) == 10_139
    assert all(problem.found == "none" for problem in found.problems)
    assert OTB_2013.find(root).title == "12 of 51 sequences of OTB-2013"
    assert OTB_50.find(root).title == "11 of 50 sequences of OTB-50"


def test_the_packed_boxes_are_those_of_an_independent_list(shared: Path) -> None:
    with gzip.open(shared / "results" / "otb100_annotations.json.gz") as file:
        annotations = {canonical(name): entry["gt_rect"] for name, entry in json.load(file).items()}
    for sequence in OTB_100.find(shared / "data" / "otb").sequences:
        np.testing.assert_array_equal(sequence.boxes, np.array(annotations[sequence.name]) - (1, 1, 0, 0))
