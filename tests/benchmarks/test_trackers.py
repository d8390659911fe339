from __future__ import annotations

import pickle
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.trackers import Got10kStyleTracker, TrackerSpec, check_names
from tracker.result import TrackResult, TrackState

FRAME = np.zeros((48, 64, 3), np.uint8)


# --- the line of text


@pytest.mark.parametrize(
    ("text", "name", "source", "options"),
    [
        ("compact", "compact", "compact", {}),
        ("mine=compact", "mine", "compact", {}),
        (
            "compact,window_influence=0.3,weights=[1,2,3,4]",
            "compact",
            "compact",
            {"window_influence": 0.3, "weights": [1, 2, 3, 4]},
        ),
        ("opencv:csrt", "csrt", "opencv:csrt", {}),
        ("OpenCV:CSRT", "csrt", "OpenCV:CSRT", {}),
        ("n1=opencv:nano,folder=nowhere", "n1", "opencv:nano", {"folder": "nowhere"}),
        ("package.module:Class", "Class", "package.module:Class", {}),
        ("a.b:C,path=net.pth,size=3,deep=true", "C", "a.b:C", {"path": "net.pth", "size": 3, "deep": True}),
        ("still", "still", "still", {}),
    ],
)
def test_a_tracker_is_a_line_of_text(text: str, name: str, source: str, options: dict):
    spec = TrackerSpec.parse(text)
    assert (spec.name, spec.source, spec.keywords) == (name, source, options)


def test_a_file_is_kept_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(b"")
    assert TrackerSpec.parse("runs/wide.safetensors").source == str(tmp_path / "runs" / "wide.safetensors")
    assert TrackerSpec.parse("runs/wide.safetensors").name == "wide"
    assert TrackerSpec.parse("opencv:vit,net=net.onnx").keywords == {"net": str(tmp_path / "net.onnx")}
    assert TrackerSpec.parse("still").peers.is_absolute()


def test_the_text_wins_over_what_is_said_for_all():
    spec = TrackerSpec.parse(
        "compact,threads=2,device=cuda:1,window_influence=0.3",
        runtime="torch",
        device="cpu",
        threads=1,
        overrides={"window_influence": 0.4, "patience": 7},
    )
    assert (spec.runtime, spec.device, spec.threads) == ("torch", "cuda:1", 2)
    assert spec.keywords == {"window_influence": 0.3, "patience": 7}


def test_overrides_are_for_our_trackers_only():
    assert TrackerSpec.parse("opencv:csrt", overrides={"patience": 7}).keywords == {}


def test_a_class_gets_a_device_as_its_own_keyword():
    assert TrackerSpec.parse("a.b:C,device=cuda").keywords == {"device": "cuda"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected \\[NAME=\\]SOURCE"),
        ("mine=", "expected \\[NAME=\\]SOURCE"),
        ("compact,fast", "expected \\[NAME=\\]SOURCE"),
        ("no/good=compact", "'no/good' cannot name a results folder"),
        ("..=compact", "cannot name a results folder"),
        ("compact,threads=0", "threads must be a whole number, 1 or more, got '0'"),
        ("my-module:Class", "expected opencv:NAME, .* or package.module:Class around a colon"),
    ],
)
def test_other_text_is_refused(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        TrackerSpec.parse(text)


def test_two_trackers_of_one_name_are_refused():
    specs = [TrackerSpec.parse("opencv:mil"), TrackerSpec.parse("MIL=opencv:csrt")]
    with pytest.raises(ValueError, match="two trackers are called MIL; write NAME=opencv:csrt for one of them"):
        check_names(specs)
    check_names([*specs[:1], TrackerSpec.parse("still")])


# --- ours


def test_ours_follows_what_is_said(weights: dict[str, Path]):
    spec = TrackerSpec.parse(f"mine={weights['compact']},window_influence=0.25")
    tracker = pickle.loads(pickle.dumps(spec)).load()
    assert tracker.config.window_influence == 0.25
    frame = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    tracker.init(frame, (40, 30, 20, 20))
    assert isinstance(tracker.update(frame), TrackResult)


def test_settings_of_ours_tell_weights_configuration_and_code_apart(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def settings(text: str) -> dict:
        return TrackerSpec.parse(text).settings()

    mine = settings(str(weights["compact"]))
    assert mine == settings(f"other={weights['compact']}")
    assert {"weights", "card", "overrides", "runtime", "device", "threads", "code", "torch", "opencv", "numpy"} <= set(
        mine
    )
    assert mine["siamtrack"]
    copy = tmp_path / "compact.safetensors"
    for suffix in (".safetensors", ".json"):
        copy.with_suffix(suffix).write_bytes(weights["compact"].with_suffix(suffix).read_bytes())
    assert settings(str(copy)) == mine  # wherever the file is

    def changed(text: str) -> set[str]:
        other = settings(text)
        return {key for key in mine if mine[key] != other[key]}

    assert changed(f"{copy},window_influence=0.25") == {"overrides", "card"}
    assert changed(f"{copy},threads=2") == {"threads"}
    card = copy.with_suffix(".json").read_text()
    copy.with_suffix(".json").write_text(card.replace('"licence": ""', '"licence": "MIT"'))
    assert changed(str(copy)) == set()  # nothing that tracking reads
    copy.with_suffix(".json").write_text(card.replace('"stride": 8', '"stride": 4'))
    assert changed(str(copy)) == {"card"}
    copy.write_bytes(copy.read_bytes() + b" ")
    assert changed(str(copy)) == {"card", "weights"}


def test_an_unknown_name_lists_what_there_is(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no tracker 'nosuch'.*compact.*opencv:\{mil,.*package.module:Class"):
        TrackerSpec.parse("nosuch").settings()
    with pytest.raises(ValueError, match=r"no such weights file"):
        TrackerSpec.parse(str(tmp_path / "no.safetensors")).settings()


def test_an_unknown_configuration_key_is_refused_before_anything_runs(weights: dict[str, Path]):
    with pytest.raises(ValueError, match="unknown configuration: colour"):
        TrackerSpec.parse(f"{weights['compact']},colour=red").settings()


# --- got10k-style classes

MODULE = """
import numpy as np
from PIL import Image

class Recorder:
    def __init__(self, answer=(3, 4, 5, 6), path=None):
        self.answer, self.path, self.calls = answer, path, []

    def init(self, image, box):
        self.calls.append((image, box))

    def update(self, image):
        self.calls.append((image, None))
        return self.answer

class Half:
    def init(self, image, box):
        pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "recorder_of_calls.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "recorder_of_calls", raising=False)  # of another test's folder
    return tmp_path


def test_a_got10k_style_class_gets_rgb_images_and_boxes_from_1(module: Path):
    pytest.importorskip("PIL")
    tracker = pickle.loads(pickle.dumps(TrackerSpec.parse("recorder_of_calls:Recorder,answer=[11.5,22,5,6]"))).load()
    blue = np.zeros((48, 64, 3), np.uint8)
    blue[..., 0] = 255
    started = tracker.init(blue, (9.5, 19.0, 5.0, 6.0))
    result = tracker.update(blue)
    (image, box), (second, _) = tracker._tracker.calls
    assert image.mode == second.mode == "RGB"
    assert image.size == (64, 48)
    assert image.getpixel((0, 0)) == (0, 0, 255)
    assert isinstance(box, np.ndarray)
    assert box.tolist() == [10.5, 20, 5, 6]
    assert started.box == (9.5, 19, 5, 6)
    assert result.box == (10.5, 21, 5, 6)
    assert result.state is TrackState.TRACKING
    assert result.elapsed > 0


def test_got10ks_own_tracker_gives_the_boxes_that_got10k_records(tmp_path: Path):
    identity = pytest.importorskip("got10k.trackers").IdentityTracker()
    files = []
    for index in range(3):
        files.append(str(tmp_path / f"{index}.png"))
        cv2.imwrite(files[-1], FRAME)
    theirs, _ = identity.track(files, np.array([10.5, 20, 5, 6]))
    ours = Got10kStyleTracker(identity)
    ours.init(FRAME, (9.5, 19.0, 5.0, 6.0))
    assert [ours.update(FRAME).box for _ in range(2)] == [(9.5, 19, 5, 6)] * 2
    assert theirs[1:].tolist() == [[10.5, 20, 5, 6]] * 2


@pytest.mark.parametrize("answer", [None, [1, 2, 3], [[1, 2, 3, 4], [5, 6, 7, 8]], [1, 2, float("nan"), 4], "box"])
def test_an_answer_that_is_no_box_is_refused(answer: object, module: Path):
    pytest.importorskip("PIL")
    tracker = TrackerSpec.parse("recorder_of_calls:Recorder").load()
    tracker._tracker.answer = answer
    tracker.init(FRAME, (1, 2, 3, 4))
    with pytest.raises(ValueError, match=r"four|could not convert"):
        tracker.update(FRAME)


def test_settings_of_a_class_tell_code_files_and_options_apart(module: Path):
    net = module / "net.pth"
    net.write_bytes(b"weights")
    first = TrackerSpec.parse(f"recorder_of_calls:Recorder,path={net},answer=[1,2,3,4]").settings()
    assert first["options"] == {"answer": [1, 2, 3, 4]}
    assert TrackerSpec.parse(f"a=recorder_of_calls:Recorder,path={net},answer=[1,2,3,4]").settings() == first
    net.write_bytes(b"others")
    assert TrackerSpec.parse(f"recorder_of_calls:Recorder,path={net},answer=[1,2,3,4]").settings() != first
    net.write_bytes(b"weights")
    (module / "recorder_of_calls.py").write_text(textwrap.dedent(MODULE) + "# changed\n")
    assert TrackerSpec.parse(f"recorder_of_calls:Recorder,path={net},answer=[1,2,3,4]").settings() != first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no_such_module_here:Class", "cannot be imported: No module named .*PYTHONPATH"),
        ("recorder_of_calls:Nobody", "cannot be imported: .*Nobody"),
        ("recorder_of_calls:Half", r"has no update\(\)"),
    ],
)
def test_a_class_that_is_not_there_is_named(source: str, message: str, module: Path):
    with pytest.raises(ImportError, match=message):
        TrackerSpec.parse(source).settings()


# --- still


def test_still_says_what_it_was_told():
    tracker = TrackerSpec.parse("still").load()
    tracker.init(FRAME, (1.5, 2, 3, 4))
    assert tracker.update(FRAME).box == (1.5, 2, 3, 4)


def test_still_wants_to_be_started():
    with pytest.raises(RuntimeError, match=r"update\(\) before init\(\)"):
        TrackerSpec.parse("still").load().update(FRAME)
