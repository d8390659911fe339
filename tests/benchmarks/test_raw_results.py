from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.raw_results import match_names, parse_rows, read_groundtruth, read_results


def make_zip(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def make_folder(path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(text.encode())
    return path


@pytest.mark.parametrize("make", [make_zip, make_folder])
@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4\n5.5,6,7,8\n",
        "1\t2\t3\t4\r\n5.5\t6\t7\t8\r\n",
        "1 2 3 4\n5.5 6 7 8",
        "\ufeff1, 2, 3, 4\n5.5,6,7,8\n\n",
        "1;2;3;4\n 5.5 ; 6 ;7;8 ;\n",
        "1.000000000000000000e+00,2,3,4\n5.5e0,6,7,8\n",  # as numpy.savetxt writes by itself
    ],
)
def test_results_count_from_1_in_files_and_from_0_here(tmp_path: Path, make, text: str):
    found = read_results(make(tmp_path / "tracker.zip", {"Car1.txt": text, "Car1_time.txt": "0.1\n"}))
    assert list(found) == ["Car1"]
    np.testing.assert_array_equal(found["Car1"], [[0, 1, 3, 4], [4.5, 5, 7, 8]])


def test_many_files_are_the_same_as_one_at_a_time(tmp_path: Path):
    rng = np.random.default_rng(0)
    boxes = {f"S{index}": np.round(rng.uniform(-9, 999, (rng.integers(1, 60), 4)), 2) for index in range(30)}
    texts = {f"{name}.txt": "\n".join(",".join(map(str, row)) for row in rows) for name, rows in boxes.items()}
    texts |= {"S7.txt": texts["S7.txt"].replace(",", "\t"), "S30.txt": ""}  # another separator, and no answer at all
    found = read_results(make_folder(tmp_path / "results", texts))
    assert found["S30"].shape == (0, 4)
    for name, rows in boxes.items():
        np.testing.assert_array_equal(found[name], rows - (1, 1, 0, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4\n1,2,3\n", r"Car1\.txt: expected 4 numbers in line 2, found '1,2,3'"),
        ("1,2,3,4\n\n1,2,3,4\n", r"Car1\.txt: expected 4 numbers in line 2, found ''"),
        ("1,2,3,4\n1,2,3,4,5\n", r"Car1\.txt: expected 4 numbers in line 2"),
        ("1,2,3,4\n1,2,3,x\n", r"Car1\.txt: expected 4 numbers in line 2, found '1,2,3,x'"),
        ("1,2,3,4\n1,2,3,4\n1,nan,3,4\n", r"Car1\.txt: line 3 is not four finite numbers; .* is 0,0,0,0"),
        ("1,2,3,4\n1,2,3,inf\n", r"Car1\.txt: line 2 is not four finite numbers"),
    ],
)
def test_lines_that_are_no_boxes_are_named(tmp_path: Path, text: str, message: str):
    path = make_folder(tmp_path / "results", {"Basketball.txt": "1,2,3,4\n", "Car1.txt": text})
    with pytest.raises(ValueError, match=message):
        read_results(path)


def test_paths_that_hold_no_results_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nowhere: cannot be read: No such file"):
        read_results(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"expected a folder or a zip of <sequence>\.txt"):
        read_results(make_folder(tmp_path / "a", {"times/Car1_time.txt": "1\n", "readme.md": ""}))
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"b\.zip: expected a folder or a zip"):
        read_results(tmp_path / "b.zip")
    with pytest.raises(ValueError, match=r"two files are called Car1\.txt"):
        read_results(make_zip(tmp_path / "c.zip", {"KCF/Car1.txt": "1,2,3,4", "DSST/Car1.txt": "1,2,3,4"}))
    damaged = make_zip(tmp_path / "d.zip", {"Car1.txt": "1,2,3,4\n" * 40})
    damaged.write_bytes(damaged.read_bytes().replace(b"1,2,3,4\n1,2", b"1,2,3,4\n9,9", 1))
    with pytest.raises(ValueError, match=r"d\.zip: expected a folder or a zip: Bad CRC"):
        read_results(damaged)


def test_what_file_managers_leave_in_archives_is_passed_over(tmp_path: Path):
    files = {"KCF/Car1.txt": "1,2,3,4", "__MACOSX/KCF/._Car1.txt": "\x00\x05", "KCF/._Car1.txt": "\x00\x05"}
    assert list(read_results(make_zip(tmp_path / "KCF.zip", files))) == ["Car1"]


@pytest.mark.parametrize("make", [make_zip, make_folder])
def test_ground_truth_of_folders_with_one_target_or_more(tmp_path: Path, make):
    files = {
        "Car1/groundtruth_rect.txt": "23,88,66,55\n24,88,66,55\n",
        "Jogging/groundtruth_rect.1.txt": "1,1,2,2\n",
        "Jogging/groundtruth_rect.2.txt": "5,5,2,2\nNaN,NaN,NaN,NaN\n",
        "Human4/groundtruth_rect.1.txt": "\n",
        "Human4/groundtruth_rect.2.txt": "9\t9\t2\t2\n",
        "Car1/notes.txt": "not a box",
    }
    found = read_groundtruth(make(tmp_path / "truth.zip", files))
    assert list(found) == ["Car1", "Human4.2", "Jogging.1", "Jogging.2"]
    np.testing.assert_array_equal(found["Car1"], [[22, 87, 66, 55], [23, 87, 66, 55]])
    np.testing.assert_array_equal(found["Jogging.2"], [[4, 4, 2, 2], [np.nan] * 4])


def test_six_columns_are_those_of_tlp(tmp_path: Path):
    text = "1,10,20,30,40,0\n2,0,0,0,0,1\n3,11,20,30,40,0\n"
    found = read_groundtruth(make_folder(tmp_path / "TLP", {"ISS/groundtruth_rect.txt": text}), first_pixel=0)
    np.testing.assert_array_equal(found["ISS"], [[10, 20, 30, 40], [np.nan] * 4, [11, 20, 30, 40]])


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_ground_truth_of_old_toolkits(tmp_path: Path, suffix: str):
    text = json.dumps({"carDark": {"gt_rect": [[73, 126, 29, 23], [73, 125, 29, 23]], "init_rect": [73, 126, 29, 23]}})
    path = tmp_path / f"annotations{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    np.testing.assert_array_equal(read_groundtruth(path)["carDark"], [[72, 125, 29, 23], [72, 124, 29, 23]])


@pytest.mark.parametrize("text", ["[1, 2]", '{"Car1": {}}', '{"Car1": {"gt_rect": [[1, 2, 3]]}}', "{", '{"a": 3}'])
def test_other_json_is_refused(tmp_path: Path, text: str):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(ValueError, match=r"truth\.json: expected JSON of name → gt_rect"):
        read_groundtruth(tmp_path / "truth.json")


def test_paths_without_ground_truth_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no ground truth, expected <sequence>/groundtruth_rect\.txt"):
        read_groundtruth(make_folder(tmp_path / "a", {"Car1/img/0001.jpg": ""}))
    with pytest.raises(ValueError, match=r"truth\.json\.gz: cannot be read"):
        read_groundtruth(tmp_path / "truth.json.gz")
    (tmp_path / "other.json.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=r"other\.json\.gz: cannot be read"):
        read_groundtruth(tmp_path / "other.json.gz")
    with pytest.raises(ValueError, match="two sequences are called Car1"):
        read_groundtruth(make_folder(tmp_path / "b", {f"Car1/groundtruth{a}.txt": "1,2,3,4" for a in ("", "_rect")}))
    with pytest.raises(ValueError, match=r"Car1/groundtruth_rect\.txt: expected 4 numbers in line 2"):
        read_groundtruth(make_zip(tmp_path / "c.zip", {"Car1/groundtruth_rect.txt": "1,2,3,4\n1,2,3\n"}))


OTB_NAMES = ("CarDark", "FaceOcc1", "FleetFace", "Human4", "Jogging.1", "Jogging.2", "Skating1", "Skating2.1")


def test_names_match_as_toolkits_write_them():
    names = ["carDark", "faceocc1", "fleetface", "human4_2", "jogging_1", "Jogging-2", "skating1", "Skating2.1"]
    matched = match_names(names, OTB_NAMES, {"Human4-2": "Human4"})
    assert matched.found == dict(zip(OTB_NAMES, names, strict=True))
    assert matched.missing == matched.unknown == []


def test_names_that_match_nothing_are_reported():
    matched = match_names(["Human4.1", "CarDark", "Biker"], ("CarDark", "Human4"), {"Human4-2": "Human4", "x": "Suv"})
    assert matched == ({"CarDark": "CarDark"}, ["Human4"], ["Human4.1", "Biker"])


def test_two_files_of_one_sequence_are_refused():
    with pytest.raises(ValueError, match=r"jogging_1 and Jogging-1 could both be Jogging\.1"):
        match_names(["jogging_1", "Jogging-1"], OTB_NAMES)


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 4), max_size=20))
def test_any_numbers_come_back(rows: list[tuple[float, ...]]):
    text = "\n".join(",".join(map(repr, row)) for row in rows)
    np.testing.assert_array_equal(parse_rows(text.encode(), "test"), np.reshape(rows, (-1, 4)))
