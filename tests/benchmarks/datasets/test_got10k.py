"""GOT-10k: the same frames and boxes as its authors' package, and results that it reads."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.got10k import GOT10K_TEST, GOT10K_VAL, read, write_submission
from benchmarks.metrics import GOT10K_RULES
from benchmarks.results import Run, store
from tracker.box import to_got10k

Write = Callable[..., None]
NAMES = ["GOT-10k_Val_000001", "GOT-10k_Val_000002"]
META = "[METAINFO]\nurl: somewhere\nanno_fps: 10Hz\nobject_class: cup\nresolution: (64, 48)\n"


@pytest.fixture
def root(tmp_path: Path, write_images: Write, write_boxes: Write) -> Path:
    """Two sequences of the validation set and one of the test."""
    root, rng = tmp_path / "GOT-10k", np.random.default_rng(0)
    for name in NAMES:
        folder = root / "val" / name
        write_images(folder, 12, digits=8, real=True)
        write_boxes(folder / "groundtruth.txt", rng.uniform((1, 1, 8, 8), (40, 30, 20, 15), (12, 4)).round(4))
        write_boxes(folder / "absence.label", [(int(frame in (4, 5)),) for frame in range(12)])
        write_boxes(folder / "cover.label", [(0 if frame in (4, 5, 9) else 8,) for frame in range(12)])
        write_boxes(folder / "cut_by_image.label", [(0,)] * 12)
        (folder / "meta_info.ini").write_text(META)
    (root / "val" / "list.txt").write_text("\n".join(NAMES) + "\n")
    folder = root / "test" / "GOT-10k_Test_000001"
    write_images(folder, 5, digits=8)
    write_boxes(folder / "groundtruth.txt", [(10, 20, 30, 25)])
    (root / "test" / "list.txt").write_text("GOT-10k_Test_000001\n")
    return root


def test_there_are_180_of_each() -> None:
    assert len(GOT10K_VAL.names or ()) == len(GOT10K_TEST.names or ()) == 180
    assert (GOT10K_TEST.names or ())[179] == "GOT-10k_Test_000180"
    assert GOT10K_VAL.rules == GOT10K_RULES


def test_frames_where_nothing_can_be_seen_do_not_count(root: Path) -> None:
    found = GOT10K_VAL.find(root, NAMES)
    assert found.problems == []
    assert found.title == "2 of 180 sequences of GOT-10k (val)"
    for sequence in found.sequences:
        assert np.flatnonzero(np.isnan(sequence.boxes).all(1)).tolist() == [4, 5, 9]
        assert (sequence.fps, sequence.size, sequence.hidden) == (10, (64, 48), False)


def test_the_got10k_package_reads_the_same(root: Path) -> None:
    from got10k.datasets import GOT10k

    theirs = GOT10k(str(root), subset="val", return_meta=True)
    for index, name in enumerate(NAMES):
        files, boxes, meta = theirs[index]
        ours = read(root, name, "val")
        assert [str(file) for file in ours.frames.files] == files  # type: ignore[attr-defined]
        counting = meta["cover"] > 0
        np.testing.assert_array_equal(to_got10k(ours.boxes)[counting], boxes[counting])


def test_the_tests_ground_truth_is_hidden(root: Path) -> None:
    (sequence,) = GOT10K_TEST.find(root, ["GOT-10k_Test_000001"]).sequences
    assert sequence.hidden
    assert len(sequence) == 5
    assert sequence.first_box == (9, 19, 30, 25)
    assert np.isnan(sequence.boxes[1:]).all()


def test_the_root_may_be_the_subsets(root: Path) -> None:
    assert len(GOT10K_VAL.find(root / "val", NAMES).sequences) == 2


def test_the_size_is_looked_up_where_it_is_not_written(root: Path) -> None:
    (root / "val" / NAMES[0] / "meta_info.ini").unlink()
    sequence = read(root, NAMES[0], "val")
    assert (sequence.size, sequence.fps) == ((64, 48), None)


@pytest.mark.parametrize("file", ["groundtruth.txt", "absence.label", "cover.label"])
def test_missing_files_and_rows_are_named(root: Path, file: str) -> None:
    path = root / "val" / NAMES[0] / file
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(Damaged, match=r"expected \d+ (lines|frames).*, found 1[12]"):
        read(root, NAMES[0], "val")
    path.unlink()
    with pytest.raises(Damaged, match=f"{file}, found none"):
        read(root, NAMES[0], "val")


def test_a_missing_frame_is_named(root: Path) -> None:
    (root / "val" / NAMES[0] / "00000007.jpg").unlink()
    with pytest.raises(Damaged, match=r"found 00000007\.jpg is missing"):
        read(root, NAMES[0], "val")


# ---------------------------------------------------------------- submission


@pytest.fixture
def results(root: Path, tmp_path: Path) -> Path:
    """A tracker that is right but for two pixels, with its times."""
    folder = tmp_path / "results" / "GOT-10k" / "ours"
    for name in NAMES:
        boxes = read(root, name, "val").boxes.copy()
        boxes[np.isnan(boxes)] = 7.0
        boxes[1:] += (2, 0, 0, 0)
        store(folder, name, Run(boxes, np.linspace(0.01, 0.02, len(boxes))))
    return folder


def test_a_submission_is_what_the_got10k_package_would_pack(results: Path, tmp_path: Path) -> None:
    from got10k.experiments import ExperimentGOT10k
    from got10k.utils.ioutils import compress

    write_submission(results, NAMES, tmp_path / "ours.zip")
    recorder = ExperimentGOT10k.__new__(ExperimentGOT10k)  # its way of writing files, without a data set
    theirs = tmp_path / "theirs"
    for name in NAMES:
        boxes, seconds = np.loadtxt(results / f"{name}.txt", delimiter=","), np.linspace(0.01, 0.02, 12)
        recorder._record(str(theirs / name / f"{name}_001.txt"), boxes, seconds)
    compress(str(theirs), str(tmp_path / "theirs"))
    with zipfile.ZipFile(tmp_path / "ours.zip") as a, zipfile.ZipFile(tmp_path / "theirs.zip") as b:
        files = sorted(name for name in b.namelist() if not name.endswith("/"))
        assert sorted(a.namelist()) == files
        assert all(a.read(name) == b.read(name) for name in files)


def test_the_got10k_package_scores_a_submission(root: Path, results: Path, tmp_path: Path) -> None:
    from got10k.experiments import ExperimentGOT10k

    write_submission(results, NAMES, tmp_path / "ours.zip")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "ours.zip") as archive:
        archive.extractall(unpacked / "GOT-10k" / "ours")
    experiment = ExperimentGOT10k(str(root), "val", str(unpacked), str(tmp_path / "reports"))
    overall = experiment.report(["ours"])["ours"]["overall"]
    assert 0.7 < overall["ao"] < 1
    assert overall["speed_fps"] == pytest.approx(np.mean(1 / np.linspace(0.01, 0.02, 12)))


def test_the_same_results_make_the_same_file(results: Path, tmp_path: Path) -> None:
    write_submission(results, NAMES, tmp_path / "a.zip")
    write_submission(results, NAMES, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_incomplete_submission_is_refused_and_leaves_nothing(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="no results of GOT-10k_Val_000003"):
        write_submission(results, [*NAMES, "GOT-10k_Val_000003"], folder / "ours.zip")
    (results / "times" / f"{NAMES[1]}_time.txt").unlink()
    with pytest.raises(ValueError, match=f"no times of {NAMES[1]}"):
        write_submission(results, NAMES, folder / "ours.zip")
    assert list(folder.iterdir()) == []
