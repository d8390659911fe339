from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.frames import ImageFrames
from benchmarks.results import load, read_settings
from benchmarks.runner import Failure, evaluate, plan, run_task
from benchmarks.sequence import Sequence
from benchmarks.trackers import TrackerSpec

pytest.importorskip("PIL", reason="got10k-style trackers need Pillow")
ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

# Trackers that any process can import. Frame i of every sequence has the grey value i; sequence k's box is k wide.
MODULE = """
import os, random, signal, time
from pathlib import Path
import numpy as np

class Sliding:
    def __init__(self, step=1.25, pause=0.0):
        self.step, self.pause = step, pause

    def init(self, image, box):
        self.box = np.array(box)

    def update(self, image):
        time.sleep(self.pause)
        self.box = self.box + (self.step, random.random() / 8, 0, 0)
        return self.box

class NotThird(Sliding):
    def init(self, image, box):
        super().init(image, box)
        self.bad = box[2] == 3

    def update(self, image):
        value = image.getpixel((0, 0))[0]
        return [1, 2, float("nan"), 4] if self.bad and value == 2 else super().update(image)

class Deadly(Sliding):
    def init(self, image, box):
        super().init(image, box)
        if box[2] == 3:
            os.kill(os.getpid(), signal.SIGKILL)

class DeadlyOnce(Sliding):
    def __init__(self, folder):
        super().__init__()
        self.mark = Path(folder, "died")

    def update(self, image):
        if image.getpixel((0, 0))[0] == 2 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().update(image)

class AskedToStop(Sliding):
    def init(self, image, box):
        super().init(image, box)
        if box[2] == 3:
            raise KeyboardInterrupt

class Unloadable(Sliding):
    def __init__(self):
        raise OSError("no such GPU")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with trackers, importable here and in the processes that are started from here."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "trackers_of_runner.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "trackers_of_runner", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "code"), str(ROOT)]))
    return "trackers_of_runner"


def make_sequences(folder: Path, count: int = 5, frames: int = 6) -> list[Sequence]:
    made = []
    for number in range(1, count + 1):
        name = f"Clip{number}"
        (folder / name).mkdir(parents=True)
        files = tuple(folder / name / f"{index:04d}.png" for index in range(frames))
        for index, file in enumerate(files):
            cv2.imwrite(str(file), np.full((24, 32, 3), index, np.uint8))
        boxes = np.array([(3.0 + index, 4.0, number, 5.0) for index in range(frames)])
        made.append(Sequence(name, boxes, ImageFrames(files)))
    return made


@pytest.fixture
def sequences(tmp_path: Path) -> list[Sequence]:
    return make_sequences(tmp_path / "data")


def specs(module: str, *names: str) -> list[TrackerSpec]:
    return [TrackerSpec.parse(f"{module}:{name}") for name in names]


def boxes_of(folder: Path) -> dict[str, bytes]:
    """Every file of boxes, by tracker and sequence."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*.txt")}


@pytest.fixture
def straight(module: str, sequences: list[Sequence], tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run of Sliding stores."""
    assert evaluate(specs(module, "Sliding"), sequences, tmp_path / "straight") == []
    return boxes_of(tmp_path / "straight")


def test_every_tracker_is_stored_on_every_sequence(module: str, sequences: list[Sequence], tmp_path: Path):
    said: list[str] = []
    pair = [*specs(module, "Sliding"), TrackerSpec.parse("still")]
    assert evaluate(pair, sequences, tmp_path / "out", announce=said.append) == []
    for sequence in sequences:
        slid = load(tmp_path / "out" / "Sliding", sequence.name)
        assert slid.boxes[0].tolist() == [3, 4, sequence.boxes[0, 2], 5]
        np.testing.assert_allclose(np.diff(slid.boxes[:, 0]), 1.25)
        assert (slid.seconds > 0).all()
        assert slid.states == ["tracking"] * 6
        assert (load(tmp_path / "out" / "still", sequence.name).boxes == sequence.boxes[0]).all()
    assert len(said) == 5
    assert said[0].startswith("[1/5] Clip1: Sliding ")
    assert "still" in said[0]


def test_what_the_numbers_depend_on_is_stored_with_them(module: str, sequences: list[Sequence], tmp_path: Path):
    evaluate(specs(module, "Sliding"), sequences[:1], tmp_path)
    settings = read_settings(tmp_path / "Sliding")
    assert settings["tracker"] == f"{module}:Sliding"
    assert {"code", "opencv", "numpy", "torch", "siamtrack", "device", "threads"} <= set(settings)
    assert len(settings["record"]["machine"]) == len(settings["record"]["config"]) == 1
    assert len(settings["record"]["commit"]) == 1


def test_results_of_other_settings_are_refused_before_anything_runs(
    module: str, sequences: list[Sequence], tmp_path: Path
):
    evaluate(specs(module, "Sliding"), sequences[:1], tmp_path)
    other = [TrackerSpec.parse(f"Sliding={module}:Sliding,step=2")]
    with pytest.raises(ValueError, match=r"other settings \(options = \{\}, now \{'step': 2\}\)"):
        evaluate(other, sequences, tmp_path)
    assert not (tmp_path / "Sliding" / "Clip2.txt").exists()


def test_results_of_another_length_are_refused_before_anything_runs(
    module: str, sequences: list[Sequence], tmp_path: Path
):
    evaluate(specs(module, "Sliding"), sequences[:1], tmp_path)
    with pytest.raises(ValueError, match=r"Clip1\.txt has 6 rows for 4 frames"):
        evaluate(specs(module, "Sliding"), [sequences[1], sequences[0].part(0, 4)], tmp_path)
    assert not (tmp_path / "Sliding" / "Clip2.txt").exists()


def test_two_trackers_of_one_name_are_refused(module: str, sequences: list[Sequence], tmp_path: Path):
    with pytest.raises(ValueError, match="two trackers are called Sliding"):
        evaluate(specs(module, "Sliding", "Sliding"), sequences, tmp_path)


def test_an_unknown_protocol_is_refused(module: str, sequences: list[Sequence], tmp_path: Path):
    with pytest.raises(ValueError, match="no protocol 'sry'"):
        evaluate(specs(module, "Sliding"), sequences, tmp_path, "sry")


def test_random_numbers_and_threads_of_the_caller_are_left_alone(
    module: str, sequences: list[Sequence], tmp_path: Path
):
    random.seed(7)
    expected = random.Random(7).random()
    threads = cv2.getNumThreads()
    evaluate([replace(specs(module, "Sliding")[0], threads=threads + 1)], sequences[:1], tmp_path)
    assert random.random() == expected
    assert cv2.getNumThreads() == threads


# --- robustness protocols


def test_spatial_and_temporal_variants_are_runs_of_their_own(module: str, tmp_path: Path):
    (sequence,) = make_sequences(tmp_path / "data", 1, 30)
    still = [TrackerSpec.parse("still")]
    assert evaluate(still, [sequence], tmp_path / "SRE", "sre") == []
    assert len(list((tmp_path / "SRE" / "still").glob("Clip1@*.txt"))) == 12
    assert load(tmp_path / "SRE" / "still", "Clip1@left").boxes[0].tolist() == [2, 4, 1, 5]
    assert evaluate(still, [sequence], tmp_path / "TRE", "tre") == []
    assert len(list((tmp_path / "TRE" / "still").glob("Clip1@*.txt"))) == 11  # 20 frames have to be left
    last = load(tmp_path / "TRE" / "still", "Clip1@11")
    assert last.boxes.tolist() == [[13, 4, 1, 5]] * 20


def test_a_sequence_whose_first_frame_is_damaged_fails_alone(sequences: list[Sequence], tmp_path: Path):
    sequences[1].frames.files[0].write_bytes(b"")
    failures = evaluate([TrackerSpec.parse("still")], sequences[:3], tmp_path / "out", "sre")
    assert [(failure.tracker, failure.sequence) for failure in failures] == [("still", "Clip2")]
    assert "0000.png" in failures[0].reason
    assert len(list((tmp_path / "out" / "still").glob("*.txt"))) == 24


# --- failures


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_tracker_fails_its_sequence_and_nothing_else(
    module: str, sequences: list[Sequence], tmp_path: Path, workers: int
):
    said: list[str] = []
    pair = specs(module, "NotThird", "Sliding")
    (failure,) = evaluate(pair, sequences, tmp_path / "out", workers=workers, announce=said.append)
    assert str(failure).startswith("NotThird failed on Clip3, frame 2: ValueError: box must be four finite numbers")
    assert str(failure) in " ".join(said)
    stored = boxes_of(tmp_path / "out")
    assert "NotThird/Clip3.txt" not in stored
    assert len(stored) == 9
    assert evaluate(pair, sequences, tmp_path / "out", workers=workers) == [failure]  # it is tried again


def test_a_tracker_that_cannot_be_loaded_fails_by_name(module: str, sequences: list[Sequence], tmp_path: Path):
    failures = evaluate(specs(module, "Unloadable", "Sliding"), sequences[:2], tmp_path)
    assert [failure.sequence for failure in failures] == ["Clip1", "Clip2"]
    assert str(failures[0]).startswith("Unloadable failed on Clip1: cannot be loaded: OSError: no such GPU (")
    assert len(list((tmp_path / "Sliding").glob("*.txt"))) == 2


def test_a_machine_with_other_settings_refuses_the_task(module: str, sequences: list[Sequence], tmp_path: Path):
    (spec,) = specs(module, "Sliding")
    settings = {"Sliding": spec.settings() | {"torch": "1.0"}}
    (task,) = plan([spec], settings, sequences[:1], tmp_path, apart=True)
    (failure,) = run_task(task).failures
    assert "other settings than where the run was started: torch = " in failure.reason
    assert "instead of '1.0'" in failure.reason


def test_a_disk_that_is_full_ends_the_run(module: str, sequences: list[Sequence], tmp_path: Path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmarks.runner.store", full)
    with pytest.raises(OSError, match="No space left"):
        evaluate(specs(module, "Sliding"), sequences, tmp_path)


# --- resuming


def test_a_finished_run_is_not_run_again(module: str, sequences: list[Sequence], tmp_path: Path):
    evaluate(specs(module, "Sliding"), sequences, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.txt")}
    for file in sequences[0].frames.files:
        file.unlink()  # nobody looks at them any more
    said: list[str] = []
    assert evaluate(specs(module, "Sliding"), sequences, tmp_path / "out", announce=said.append) == []
    assert said == ["5 of 5 runs are stored already"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.txt")} == times


def test_a_tracker_added_later_runs_alone(module: str, sequences: list[Sequence], tmp_path: Path):
    evaluate(specs(module, "Sliding"), sequences, tmp_path)
    before = (tmp_path / "Sliding" / "times" / "Clip1_time.txt").read_bytes()
    evaluate([*specs(module, "Sliding"), TrackerSpec.parse("still")], sequences, tmp_path)
    assert (tmp_path / "Sliding" / "times" / "Clip1_time.txt").read_bytes() == before
    assert len(list((tmp_path / "still").glob("*.txt"))) == 5


def test_ctrl_c_leaves_what_is_stored_whole(
    module: str, sequences: list[Sequence], straight: dict[str, bytes], tmp_path: Path
):
    named = TrackerSpec.parse(f"Sliding={module}:AskedToStop")
    with pytest.raises(KeyboardInterrupt):
        evaluate([named], sequences, tmp_path / "out")
    stored = boxes_of(tmp_path / "out")
    assert sorted(stored) == ["Sliding/Clip1.txt", "Sliding/Clip2.txt"]
    assert all(straight[name] == content for name, content in stored.items())


def test_two_runs_are_equal_byte_for_byte_however_they_are_run(
    module: str, sequences: list[Sequence], straight: dict[str, bytes], tmp_path: Path
):
    assert len(set(straight.values())) == 5
    together = [TrackerSpec.parse(f"other={module}:Sliding,step=3"), *specs(module, "Sliding")]
    evaluate(together, sequences[::-1], tmp_path / "together")
    evaluate(specs(module, "Sliding"), sequences, tmp_path / "apart", workers=2)
    for folder in ("together", "apart"):
        stored = boxes_of(tmp_path / folder)
        assert {name: stored[name] for name in straight} == straight


def start(module: str, data: Path, out: Path, workers: int) -> subprocess.Popen:
    """A run in a session of its own, over the sequences that `make_sequences` made."""
    program = f"""
        import signal

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        import numpy as np
        from pathlib import Path
        from benchmarks.frames import ImageFrames
        from benchmarks.runner import evaluate
        from benchmarks.sequence import Sequence
        from benchmarks.trackers import TrackerSpec

        sequences = []
        for folder in sorted(Path({str(data)!r}).iterdir()):
            files = tuple(sorted(folder.iterdir()))
            boxes = np.array([(3.0 + index, 4.0, int(folder.name[4:]), 5.0) for index in range(len(files))])
            sequences.append(Sequence(folder.name, boxes, ImageFrames(files)))
        evaluate([TrackerSpec.parse("Sliding={module}:Sliding,pause=0.002")], sequences, Path({str(out)!r}),
                 workers={workers})
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)


def gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@posix
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_every_process_and_leaves_what_is_stored_whole(module: str, tmp_path: Path, workers: int):
    sequences = make_sequences(tmp_path / "data", 9, 40)
    evaluate([TrackerSpec.parse(f"Sliding={module}:Sliding,pause=0.002")], sequences, tmp_path / "straight")
    straight, out = boxes_of(tmp_path / "straight"), tmp_path / "out"
    process = start(module, tmp_path / "data", out, workers)
    while process.poll() is None and not boxes_of(out):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(60) != 0
    deadline = time.monotonic() + 60  # multiprocessing's own helper sees the end of its parent a moment later
    while not gone(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stored = boxes_of(out)
    assert 0 < len(stored) < 9
    assert all(straight[name] == content for name, content in stored.items())


@posix
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(module: str, tmp_path: Path, workers: int):
    sequences = make_sequences(tmp_path / "data", 9, 40)
    evaluate([TrackerSpec.parse(f"Sliding={module}:Sliding,pause=0.002")], sequences, tmp_path / "straight")
    straight, out = boxes_of(tmp_path / "straight"), tmp_path / "out"
    chance = random.Random(workers)
    kills = 0
    while kills < 6:
        stored = len(boxes_of(out))
        process = start(module, tmp_path / "data", out, workers)
        while process.poll() is None and len(boxes_of(out)) == stored:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.1))  # somewhere in a sequence, or while it is being written
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        assert all(straight[name] == content for name, content in boxes_of(out).items())  # none by halves
    assert kills >= 3
    assert start(module, tmp_path / "data", out, workers).wait(120) == 0
    assert boxes_of(out) == straight
    for path in (*out.rglob(".*.partial"), out / "Sliding" / "settings.json"):
        os.utime(path, (0, 0))
    evaluate([TrackerSpec.parse(f"Sliding={module}:Sliding,pause=0.002")], sequences, out)
    assert list(out.rglob("*.partial")) == []


# --- workers that die


@posix
def test_a_process_that_dies_fails_its_sequence_only(
    module: str, sequences: list[Sequence], straight: dict[str, bytes], tmp_path: Path
):
    named = TrackerSpec.parse(f"Sliding={module}:Deadly")
    failures = evaluate([named], sequences, tmp_path / "out", workers=2)
    assert failures == [Failure("Sliding", "Clip3", None, "its process ended with code -9")]
    stored = boxes_of(tmp_path / "out")
    assert stored == {name: content for name, content in straight.items() if name != "Sliding/Clip3.txt"}


def test_ray_that_is_missing_is_named(module: str, sequences: list[Sequence], tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'siamtrack\[ray\]'"):
        evaluate(specs(module, "Sliding"), sequences, tmp_path, ray=True)


@posix
def test_a_ray_cluster_finishes_though_a_worker_is_killed(
    module: str, sequences: list[Sequence], straight: dict[str, bytes], tmp_path: Path, monkeypatch
):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    named = TrackerSpec.parse(f"Sliding={module}:DeadlyOnce,folder={tmp_path}")
    assert evaluate([named], sequences, tmp_path / "out", workers=2, ray=True) == []
    assert (tmp_path / "died").exists()
    assert boxes_of(tmp_path / "out") == straight


@posix
@pytest.mark.slow
def test_a_task_that_kills_every_ray_worker_fails_alone(
    module: str, sequences: list[Sequence], straight: dict[str, bytes], tmp_path: Path, monkeypatch
):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    named = TrackerSpec.parse(f"Sliding={module}:Deadly")
    (failure,) = evaluate([named], sequences, tmp_path / "out", workers=2, ray=True)
    assert (failure.sequence, failure.frame) == ("Clip3", None)
    assert failure.reason.startswith("its Ray worker died")
    assert boxes_of(tmp_path / "out") == {k: v for k, v in straight.items() if k != "Sliding/Clip3.txt"}


# --- others read it


def test_got10k_reads_and_scores_a_results_folder(module: str, sequences: list[Sequence], tmp_path: Path):
    otb = pytest.importorskip("got10k.experiments.otb")
    experiment = otb.ExperimentOTB.__new__(otb.ExperimentOTB)  # its constructor downloads the images
    files = [[str(file) for file in sequence.frames.files] for sequence in sequences]
    truth = [sequence.boxes + (1, 1, 0, 0) for sequence in sequences]

    class Dataset(list):
        seq_names = [sequence.name for sequence in sequences]  # noqa: RUF012

    experiment.dataset = Dataset(zip(files, truth, strict=True))
    experiment.result_dir = str(tmp_path / "results" / "OTB2013")
    experiment.report_dir = str(tmp_path / "reports" / "OTB2013")
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    experiment.plot_curves = lambda names: None
    evaluate([TrackerSpec.parse("still")], sequences, tmp_path / "results" / "OTB2013")

    performance = experiment.report(["still"])["still"]
    clip1 = performance["seq_wise"]["Clip1"]
    thresholds = np.linspace(0, 1, 21)
    assert clip1["success_score"] == pytest.approx(np.mean([thresholds < 1, *[thresholds < 0] * 5]))
    assert clip1["precision_score"] == 1
    assert clip1["speed_fps"] > 0
    assert performance["overall"]["success_score"] > 0.1


def test_got10k_and_we_store_the_same_boxes(module: str, sequences: list[Sequence], tmp_path: Path):
    """The same tracker, run by got10k's own loop and by ours, leaves equal files."""
    experiments = pytest.importorskip("got10k.experiments.otb")
    trackers = pytest.importorskip("got10k.trackers")
    loaded = __import__(module).Sliding()
    tracker = type("Theirs", (trackers.Tracker,), {"init": loaded.init, "update": loaded.update})("Theirs")
    experiment = experiments.ExperimentOTB.__new__(experiments.ExperimentOTB)
    for sequence in sequences:
        random.seed(0)
        files = [str(file) for file in sequence.frames.files]
        boxes, times = tracker.track(files, sequence.boxes[0] + (1, 1, 0, 0))
        experiment._record(str(tmp_path / "theirs" / f"{sequence.name}.txt"), boxes, times)
    evaluate(specs(module, "Sliding"), sequences, tmp_path / "ours")
    for sequence in sequences:
        theirs, ours = (tmp_path / folder / f"{sequence.name}.txt" for folder in ("theirs", "ours/Sliding"))
        assert theirs.read_text() == ours.read_text()
