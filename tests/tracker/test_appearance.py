"""What a place looks like: on the bundled clip, against another runtime, and as what a network cannot outvote."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker import SiamTracker, TrackState
from tracker import appearance as appearance_module
from tracker.appearance import AROUND, EVERY, FILE, SHARED, SIZE, VIEWS, AppearanceModel, read_network
from tracker.crop import centre_of, crop, exemplar_side, mean_colour
from tracker.network import ModelCard, WeightsError

EXAMPLES = Path(__file__).parents[2] / "examples"
WEIGHTS = Path(str(resources.files("weights"))) / FILE
TRACKING, LOST = TrackState.TRACKING, TrackState.LOST


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    """The first frames of the bundled clip, a hundred in all."""
    capture = cv2.VideoCapture(str(EXAMPLES / "demo.mp4"))
    return [capture.read()[1] for _ in range(100)]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.genfromtxt(EXAMPLES / "demo_groundtruth.txt", delimiter=",")


@pytest.fixture(scope="module")
def model(clip, truth) -> AppearanceModel:
    return AppearanceModel(clip[0], centre_of(truth[0]), truth[0, 2:], mean_colour(clip[0]))


def test_the_target_looks_like_itself_and_the_street_does_not(clip, truth, model):
    centre, size = centre_of(truth[0]), truth[0, 2:]
    assert model.likeness(clip[0], centre, size) == pytest.approx(1)
    assert model.likeness(clip[0], (centre[0] + 5, centre[1] - 3), size) > 0.85
    later = [model.likeness(clip[frame], centre_of(truth[frame]), truth[frame, 2:]) for frame in range(10, 100, 10)]
    assert min(later) > 0.5
    elsewhere = [
        model.likeness(clip[0], (x, y), size)
        for x in range(40, 640, 80)
        for y in range(40, 360, 60)
        if max(abs(x - centre[0]) / size[0], abs(y - centre[1]) / size[1]) > 1
    ]
    assert max(elsewhere) < 0.3


def test_it_is_the_cosine_of_what_another_runtime_computes(clip, truth, model):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the peer that it is compared with")
    session = onnxruntime.InferenceSession(str(WEIGHTS), providers=["CPUExecutionProvider"])
    (w, h), border = truth[0, 2:], mean_colour(clip[0])
    side = exemplar_side(w, h)

    def features(frame: np.ndarray, x: float, y: float) -> np.ndarray:
        return session.run(None, {"crops": crop(frame, (x, y), side, SIZE, border)[None]})[0].ravel()

    x, y = centre_of(truth[0])
    around = np.zeros(112)
    for right in (-1, 0, 1):
        for down in (-1, 0, 1):
            if right or down:
                around += features(clip[0], x + AROUND * side * right, y + AROUND * side * down) / 8
    own = features(clip[0], x, y) - SHARED * around
    for place in ((x, y), (x + 9, y - 4), (100.0, 300.0)):
        seen = features(clip[30], *place) - SHARED * around
        expected = own @ seen / (np.linalg.norm(own) * np.linalg.norm(seen))
        assert model.likeness(clip[30], place, (w, h)) == pytest.approx(expected, abs=1e-3)


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
    st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)),
    st.sampled_from([(1, 1), (2, 300), (100, 160)]),
)
def test_any_box_in_any_image_has_a_likeness(centre, size, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    model = AppearanceModel(image, centre, size, (0.0, 128.0, 255.0))
    assert all(-1.001 <= model.watch(image, centre, size, closely) <= 1.001 for closely in (False, True))


def test_a_familiar_target_is_looked_at_now_and_then_and_a_doubtful_one_always(clip, truth, monkeypatch):
    centre, size = centre_of(truth[0]), truth[0, 2:]
    model = AppearanceModel(clip[0], centre, size, mean_colour(clip[0]))
    looks: list[int] = []
    seen = 0.9

    def likeness(*_: object) -> float:
        looks.append(1)
        return seen

    monkeypatch.setattr(model, "_view", lambda *_: None)
    monkeypatch.setattr(model, "_compare", likeness)

    def counted(frames: int, closely: bool) -> int:
        looks.clear()
        for _ in range(frames):
            model.watch(clip[0], centre, size, closely)
        return len(looks)

    assert counted(5 * EVERY, closely=False) == 5
    assert counted(5 * EVERY, closely=True) == 5 * EVERY
    assert counted(1, closely=False) == 1
    seen = 0.1
    assert counted(5 * EVERY, closely=False) == 4 * EVERY + 1  # from the next look on


def unit(first: float, axis: int) -> np.ndarray:
    """A view whose cosine to the first axis is `first`; the rest of it is along another axis."""
    view = np.zeros(112, np.float32)
    view[0], view[axis] = first, (1 - first**2) ** 0.5
    return view


def test_new_views_of_it_are_remembered_and_strange_things_are_not(clip, truth, monkeypatch):
    centre, size = centre_of(truth[0]), truth[0, 2:]
    model = AppearanceModel(clip[0], centre, size, mean_colour(clip[0]))
    model._views = unit(1.0, 1)[None]
    shown = unit(1.0, 1)
    monkeypatch.setattr(model, "_view", lambda *_: shown)

    def see(view: np.ndarray, learn: bool) -> float:
        nonlocal shown
        shown = view
        before = model.watch(clip[0], centre, size, closely=True)
        if learn:
            model.learn()
        return before

    for known in (0.95, 0.61, 0.49, 0.2):  # nothing new, or perhaps something else
        assert see(unit(known, 1), learn=True) == pytest.approx(known)
        assert len(model._views) == 1
    assert see(unit(0.55, 1), learn=False) == pytest.approx(0.55)
    assert len(model._views) == 1
    see(unit(0.55, 1), learn=True)
    assert see(unit(0.55, 1), learn=True) == pytest.approx(1.0)
    assert see(unit(0.0, 1), learn=False) == pytest.approx((1 - 0.55**2) ** 0.5)  # like the new view, not the first
    for axis in range(2, 2 * VIEWS):
        see(unit(0.55, axis), learn=True)
    assert len(model._views) == VIEWS
    assert see(unit(1.0, 1), learn=False) == pytest.approx(1.0)  # the first box's view stays
    assert see(unit(0.55, 1), learn=False) < 0.6  # the oldest other one has made room


def test_each_thread_has_a_network_of_its_own_that_says_the_same(clip, truth, model):
    places = [centre_of(truth[frame]) for frame in range(0, 100, 5)]
    found: dict[int, list[float]] = {}

    def work(number: int) -> None:
        found[number] = [model.likeness(clip[0], place, truth[0, 2:]) for place in places]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work(-1)
    assert len(found) == 5
    assert all(each == found[-1] for each in found.values())


@pytest.mark.parametrize("damage", ["missing", "no card", "cut short", "a bit flipped", "foreign card"])
def test_a_file_that_is_missing_or_damaged_is_refused(tmp_path, damage):
    path = tmp_path / FILE
    shutil.copy(WEIGHTS, path)
    shutil.copy(WEIGHTS.with_suffix(".json"), path.with_suffix(".json"))
    read_network(path)
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "no card":
        path.with_suffix(".json").unlink()
    elif damage == "cut short":
        path.write_bytes(data[:-1000])
    elif damage == "a bit flipped":
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    else:
        path.with_suffix(".json").write_text("[" * 100_000)
    with pytest.raises(WeightsError, match=r"install (it|the package) again"):
        read_network(path)


def test_what_opencv_cannot_read_is_refused(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(b"no network")
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(b"no network").hexdigest()}))
    with pytest.raises(WeightsError, match=r"OpenCV .* cannot read it"):
        read_network(path)


def test_its_card_says_where_it_comes_from():
    card = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert card["training"]["crops"] > 1000
    assert "Apache-2.0" in card["licence"]
    assert "/" not in card["training"]["imagenet"]


def test_nothing_is_loaded_where_it_is_not_asked_for(seeing, draw, monkeypatch):
    monkeypatch.setattr(appearance_module, "_network", lambda: pytest.fail("the network was asked for"))
    tracker, box = SiamTracker(seeing), (60.0, 50.0, 40.0, 30.0)
    tracker.init(draw((200, 150), box), box)
    assert tracker.update(draw((200, 150), box)).state is TRACKING


class Sure:
    """A runtime that sees the target in the middle of whatever it is shown, with this logit."""

    name, logit = "sure", 1.0  # a probability of .73 under the default calibration

    def template(self, crops: np.ndarray) -> np.ndarray:
        return np.ones((1, 1, 1, 1), np.float32)

    def search(self, crops: np.ndarray, kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cells = np.hypot(*np.meshgrid(np.arange(-8.0, 9.0), np.arange(-8.0, 9.0)))
        response = np.full((5, 17, 17), 30.0)
        response[0] = self.logit - cells
        return np.repeat(response[None].astype(np.float32), len(crops), 0), np.zeros((len(crops), 1, 24, 24))


@pytest.mark.parametrize("weight", [10.0, 0.0])
def test_the_network_cannot_outvote_it(fake_model, clip, truth, weight):
    """The street comes to where the car was: still the target, for all that the network says."""
    tracker = SiamTracker(fake_model(ModelCard("compact", "box"), Sure()), appearance_weight=weight, colour_gate=0)
    tracker.init(clip[0], truth[0])
    for _ in range(20):
        assert tracker.update(clip[0]).state is TRACKING
    elsewhere = np.roll(clip[0], 250, axis=1)
    states = [tracker.update(elsewhere).state for _ in range(25)]
    assert (LOST in states) == (weight > 0)


@pytest.mark.parametrize(("logit", "proven"), [(1.0, True), (0.5, True), (1.0, False)])
def test_it_learns_where_the_target_is_surely_followed(fake_model, clip, truth, monkeypatch, logit, proven):
    """Not where the response leaves it open, nor what was found again and may be something else."""
    runtime = Sure()
    tracker = SiamTracker(
        fake_model(ModelCard("compact", "box"), runtime), appearance_weight=10, colour_gate=0, certain=0.95
    )
    learned: list[int] = []
    monkeypatch.setattr(AppearanceModel, "learn", lambda _: learned.append(1))
    tracker.init(clip[0], truth[0])
    runtime.logit = logit
    tracker.target.confidence.proven = proven
    tracker.update(clip[0])
    assert bool(learned) == (proven and logit == 1.0)


def test_a_lost_target_s_place_is_looked_at_where_the_response_leaves_it_open(fake_model, clip, truth, monkeypatch):
    """Looks like it or not: four nats below `passing`, or just above."""
    runtime = Sure()
    tracker = SiamTracker(
        fake_model(ModelCard("compact", "box"), runtime), appearance_weight=10, colour_gate=0, redetect_every=0
    )
    tracker.init(clip[0], truth[0])
    looks: list[int] = []
    monkeypatch.setattr(AppearanceModel, "likeness", lambda *_: looks.append(1) or -1.0)
    runtime.logit = -4.0
    while tracker.update(clip[0]).state is not LOST:
        pass
    looks.clear()
    for _ in range(10):
        assert tracker.update(clip[0]).state is LOST
    assert not looks
    runtime.logit = 0.0
    assert tracker.update(clip[0]).state is LOST
    assert looks == [1]
