"""The tracker: geometry with a model that sees, and the promises of its interface with networks that know nothing."""

from __future__ import annotations

import copy
import math
import os
import pickle
import shutil
import threading

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracker import SiamTracker, TrackState
from tracker.box import overlap, validate_box
from tracker.correlation import cross_correlation
from tracker.crop import centre_of, exemplar_side
from tracker.network import ModelCard, WeightsError, save_network
from tracker.siam import TrackerConfig

SIZE = WIDTH, HEIGHT = 200, 150
BOX = (70.0, 50.0, 40.0, 30.0)
HEADS = {"box": 5, "siamfc": 1}


def noise_frame(seed: int = 0, shape: tuple[int, ...] = (HEIGHT, WIDTH, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def off(box, truth) -> float:
    """Pixels between the centres of two boxes, the larger of those along x and y."""
    return max(abs(a - b) for a, b in zip(centre_of(box), centre_of(truth), strict=True))


class NoiseRuntime:
    """Answers at random: logits and box sides from tiny to huge."""

    name = "noise"

    def __init__(self, channels: int, seed: int = 0) -> None:
        self.channels, self.draw = channels, np.random.default_rng(seed)

    def template(self, crops):
        return np.zeros((len(crops), 1, 1, 1), np.float32)

    def search(self, crops, kernels):
        response = self.draw.normal(0, self.draw.choice([0, 1, 1e3]), (len(crops), self.channels, 17, 17))
        response[:, 1:] = np.exp(self.draw.uniform(-1, 6.5, response[:, 1:].shape))  # the head's own limits
        return response.astype(np.float32), self.draw.normal(0, 1, (len(crops), 4, 21, 21)).astype(np.float32)


class ConstantRuntime:
    """Answers all the same; counts its looks at the target, which are its kernels."""

    name = "constant"

    def __init__(self, response: np.ndarray) -> None:
        self.response, self.looks, self.searched = response.astype(np.float32), 0, []

    def template(self, crops):
        self.looks += 1
        return np.full((len(crops), 1, 1, 1), float(self.looks), np.float32)

    def search(self, crops, kernels):
        self.searched.append(float(kernels[0, 0, 0, 0]))
        return self.response, np.zeros((len(self.response), 1, 21, 21), np.float32)


def constant_response(logit: float) -> np.ndarray:
    """(1, 5, 17, 17) that says: the target is where it was, 63.5 crop pixels wide and high (2w is the exemplar's)."""
    response = np.full((1, 5, 17, 17), 127 / 4)
    response[0, 0] = -8.0
    response[0, 0, 8, 8] = logit
    return response


@pytest.fixture
def noise_tracker(fake_model):
    def build(head: str = "box", **config) -> SiamTracker:
        config = {"scales": 3, "scale_penalty": 0.97, **config} if head == "siamfc" else config
        return SiamTracker(fake_model(ModelCard("compact", head), NoiseRuntime(HEADS[head])), **config)

    return build


# ---------------------------------------------------------------- following a target that is seen


def circle(w: float, h: float):
    """Round the image, touching its four borders, up to 9 pixels a frame and between the pixels."""
    for step in range(60):
        angle = 2 * math.pi * step / 60
        yield (WIDTH - w) / 2 * (1 + math.sin(angle)), (HEIGHT - h) / 2 * (1 + math.cos(angle)), w, h


def growth(rate: float):
    for step in range(40):
        w, h = 50 * rate**step, 34 * rate**step
        yield 95.3 - w / 2 + 0.7 * step, 75.6 - h / 2, w, h


PATHS = {
    "round the border": circle(40, 30),
    "round the border, wide": circle(72, 24),
    "round the border, tall": circle(20.5, 66.3),
    "still": [(70.3, 40.6, 33.4, 41.2)] * 20,
    "in the corner": [(0, 0, 40, 30)] * 10,
    "coming nearer": growth(1.006),
    "going away": growth(1 / 1.006),
}


@pytest.fixture(params=PATHS, ids=lambda name: name.replace(" ", "-"))
def path(request) -> list[tuple[float, float, float, float]]:
    PATHS[request.param] = boxes = list(PATHS[request.param])
    return boxes


def test_follows_what_it_sees_to_a_fraction_of_a_pixel(seeing, draw, path):
    # SiamFC's finest step is half a pixel of the crop, and cubic interpolation moves the top of a hill by as much
    tolerance = 0.15 if seeing.card.head == "box" else 0.8 * exemplar_side(*path[0][2:]) / seeing.card.exemplar_size
    tracker = SiamTracker(seeing)
    tracker.init(draw(SIZE, path[0]), path[0])
    for truth in path[1:]:
        result = tracker.update(draw(SIZE, truth))
        assert off(result.box, truth) < tolerance
        assert result.box[2:] == pytest.approx(truth[2:], rel=0.06)
        assert result.state is TrackState.TRACKING


def test_a_head_that_regresses_boxes_follows_a_change_of_shape(draw, seeing):
    if seeing.card.head != "box":
        pytest.skip("SiamFC's pyramid knows one aspect ratio, the first box's")
    truth = [(60.0, 50.0, 40 + step, 40 - 0.5 * step) for step in range(40)]
    tracker = SiamTracker(seeing)
    tracker.init(draw(SIZE, truth[0]), truth[0])
    for box in truth[1:]:
        result = tracker.update(draw(SIZE, box))
    assert overlap(result.box, truth[-1]) > 0.9


def test_a_target_that_leaves_is_lost_within_a_second_and_found_again_where_it_was(seeing, draw):
    tracker = SiamTracker(seeing)
    there, empty = draw(SIZE, BOX), draw(SIZE)
    tracker.init(there, BOX)
    for _ in range(5):
        assert tracker.update(there).state is TrackState.TRACKING
    states = [tracker.update(empty).state for _ in range(25)]
    assert states[-1] is TrackState.LOST
    last = tracker.update(empty)
    assert overlap(last.box, tracker.update(empty).box) > 0.9  # nothing to see, nowhere to go
    assert last.score < 0.1
    for _ in range(5):
        result = tracker.update(there)
    assert result.state is TrackState.TRACKING
    assert off(result.box, BOX) < 0.5


def test_frames_may_change_size(seeing, draw):
    tracker = SiamTracker(seeing)
    tracker.init(draw(SIZE, BOX), BOX)
    assert off(tracker.update(draw((400, 300), BOX)).box, BOX) < 0.5
    assert off(tracker.update(draw((115, 85), BOX)).box, BOX) < 0.5
    x, y, w, h = tracker.update(draw((20, 10))).box  # where it was lies outside now
    assert 0 <= x + w / 2 <= 20
    assert 0 <= y + h / 2 <= 10


def test_init_again_starts_another_target(seeing, draw):
    tracker, other = SiamTracker(seeing), (20.0, 100.0, 24.0, 36.0)
    tracker.init(draw(SIZE, BOX), BOX)
    for _ in range(12):
        tracker.update(draw(SIZE))
    result = tracker.init(draw(SIZE, other), other)
    assert (result.box, result.score, result.state) == (other, 1.0, TrackState.TRACKING)
    result = tracker.update(draw(SIZE, other))
    assert off(result.box, other) < 0.5
    assert result.state is TrackState.TRACKING


def test_two_trackers_do_not_affect_one_another(seeing, draw):
    first, second = SiamTracker(seeing), SiamTracker(seeing)
    left, right = (20.0, 50.0, 30.0, 40.0), (140.0, 60.0, 40.0, 20.0)
    first.init(draw(SIZE, left), left)
    second.init(draw(SIZE, right), right)
    for step in range(1, 10):
        a, b = (20.0 + 2 * step, 50.0, 30.0, 40.0), (140.0, 60.0 + step, 40.0, 20.0)
        assert off(first.update(draw(SIZE, a)).box, a) < 0.5
        assert off(second.update(draw(SIZE, b)).box, b) < 0.5
    second.reset()
    first.update(draw(SIZE, a))


# ---------------------------------------------------------------- the interface


def test_init_returns_the_box_as_given(noise_tracker):
    for box in (BOX, (-5.25, -3.5, 12.0, 9.0), (0.0, 0.0, 1e-3, 1e9)):
        result = noise_tracker().init(noise_frame(), box, timestamp=3.5)
        assert (result.box, result.score, result.state) == (box, 1.0, TrackState.TRACKING)
        assert result.timestamp == 3.5
        assert result.elapsed > 0


def test_the_timestamp_is_handed_through_and_the_time_is_measured(noise_tracker):
    tracker = noise_tracker()
    assert tracker.init(noise_frame(), BOX).timestamp is None
    assert tracker.update(noise_frame(), 0.25).timestamp == 0.25
    assert tracker.update(noise_frame(), timestamp=-1.0).timestamp == -1.0
    result = tracker.update(noise_frame())
    assert result.timestamp is None
    assert 0 < result.elapsed < 10


def test_update_needs_a_target(noise_tracker):
    tracker = noise_tracker()
    with pytest.raises(RuntimeError, match="call init"):
        tracker.update(noise_frame())
    tracker.init(noise_frame(), BOX)
    tracker.update(noise_frame())
    tracker.reset()
    tracker.reset()  # nothing to forget is no error
    with pytest.raises(RuntimeError, match="call init"):
        tracker.update(noise_frame())
    tracker.init(noise_frame(), BOX)
    tracker.update(noise_frame())


BAD_FRAMES = [
    None,
    "frame.png",
    [[0, 1], [2, 3]],
    np.zeros((0, 10, 3), np.uint8),
    np.zeros((10, 0), np.uint8),
    np.zeros(10, np.uint8),
    np.zeros((3, 10, 12), np.uint8),
    np.zeros((10, 12, 2), np.uint8),
    np.zeros((10, 12, 3), np.int32),
    np.full((10, 12, 3), np.nan, np.float32),
    np.full((10, 12, 3), 255.0),
    np.zeros((10, 12, 3), object),
]


@pytest.mark.parametrize("frame", BAD_FRAMES, ids=range(len(BAD_FRAMES)))
def test_a_bad_frame_is_refused_and_changes_nothing(seeing, draw, frame):
    tracker = SiamTracker(seeing)
    with pytest.raises(ValueError, match="image"):
        tracker.init(frame, (1, 1, 5, 5))
    tracker.init(draw(SIZE, BOX), BOX)
    expected = copy.deepcopy(tracker).update(draw(SIZE, BOX))
    with pytest.raises(ValueError, match="image"):
        tracker.update(frame)
    with pytest.raises(ValueError, match="image"):
        tracker.init(frame, (1, 1, 5, 5))
    assert tracker.update(draw(SIZE, BOX)).box == expected.box


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (math.nan, 0, 5, 5), (1000, 0, 5, 5), (1, 2, 3), "1234", None])
def test_a_bad_box_is_refused_and_the_target_kept(seeing, draw, box):
    tracker = SiamTracker(seeing)
    tracker.init(draw(SIZE, BOX), BOX)
    with pytest.raises(ValueError, match="box"):
        tracker.init(draw(SIZE, BOX), box)
    assert off(tracker.update(draw(SIZE, BOX)).box, BOX) < 0.5


@pytest.mark.parametrize(
    "convert",
    [
        lambda grey: grey,
        lambda grey: grey[..., None],
        lambda grey: np.dstack([grey, grey, grey, np.full_like(grey, 7)]),
        lambda grey: np.ascontiguousarray(np.dstack([grey] * 3)[:, ::-1])[:, ::-1],
        lambda grey: np.asfortranarray(np.dstack([grey] * 3)),
        lambda grey: grey.astype(np.uint16) * 257,
        lambda grey: (grey.astype(np.uint16) * 257).astype(">u2"),
        lambda grey: grey / 255,
        lambda grey: (grey / 255).astype(np.float32),
        lambda grey: (grey / 255).astype(np.float16),
    ],
    ids=["grey", "HxWx1", "BGRA", "strides", "Fortran", "uint16", "uint16 big-endian", "float64", "float32", "float16"],
)
def test_every_kind_of_image_gives_the_same_box(seeing, draw, convert):
    there, then = draw(SIZE, BOX), draw(SIZE, (75.5, 52.25, 40.0, 30.0))
    plain, other = SiamTracker(seeing), SiamTracker(seeing)
    plain.init(there, BOX)
    other.init(convert(there[..., 0]), BOX)
    assert other.update(convert(then[..., 0])).box == pytest.approx(plain.update(then).box, abs=0.02)


def test_the_caller_s_frame_is_not_changed_and_may_be_read_only(noise_tracker):
    frame = noise_frame()
    before = frame.copy()
    frame.flags.writeable = False
    tracker = noise_tracker()
    tracker.init(frame, BOX)
    tracker.update(frame)
    assert np.array_equal(frame, before)


ODD_BOXES = [
    (60.0, 40.0, 1.0, 1.0),
    (60.0, 40.0, 1e-3, 1e-3),
    (60.0, 40.0, 1e-300, 1e-300),
    (-100.0, -100.0, 400.0, 350.0),
    (-20.0, -10.0, 21.0, 11.0),
    (199.5, 149.5, 30.0, 30.0),
    (0.0, 0.0, 200.0, 150.0),
    (0.0, 60.0, 200.0, 1.0),
    (-1e9, -1e9, 1e9 + 5, 1e9 + 5),
    (0.0, 0.0, 1e9, 1e-9),
    (-1e300, 0.0, 1.5e300, 1e300),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("box", ODD_BOXES)
def test_odd_boxes_are_tracked_whatever_the_response(noise_tracker, head, box):
    tracker = noise_tracker(head, certain=0.0, doubtful=0.0, hopeless=0.0)  # never lost: it always moves
    tracker.init(noise_frame(), box)
    for step in range(30):
        result = tracker.update(noise_frame(step, (HEIGHT - 4 * step, WIDTH + step, 3)))
        assert all(map(math.isfinite, result.box))
        assert min(result.box[2:]) > 0
        assert 0 <= result.score <= 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("box", ODD_BOXES)
def test_odd_boxes_are_tracked_by_a_real_network(weights, box):
    tracker = SiamTracker.from_pretrained(weights["compact"])
    tracker.init(noise_frame(), box)
    for step in range(4):
        assert all(map(math.isfinite, tracker.update(noise_frame(step)).box))


def test_the_estimate_stays_in_the_image_and_of_sensible_size(noise_tracker):
    for head in HEADS:
        tracker = noise_tracker(head, certain=0.0, doubtful=0.0, hopeless=0.0, smallest=8.0)
        tracker.init(noise_frame(), BOX)
        for step in range(40):
            x, y, w, h = tracker.update(noise_frame(step)).box
            assert -1e-9 <= x + w / 2 <= WIDTH + 1e-9
            assert -1e-9 <= y + h / 2 <= HEIGHT + 1e-9
            assert 8 <= w <= WIDTH
            assert 8 <= h <= HEIGHT


SPREAD = st.sampled_from([1e-3, 0.5, 1, 7.5, 60, 500, 1e6, 1e100]) | st.floats(1e-6, 1e6)


@pytest.mark.filterwarnings("error")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(HEADS)),
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    st.tuples(st.floats(-100, 100) | st.floats(-1e9, 1e9), st.floats(-100, 100), SPREAD, SPREAD),
)
def test_no_valid_frame_and_box_raise(noise_tracker, head, frame, box):
    try:
        box = validate_box(box, frame.shape[1], frame.shape[0])
    except ValueError:
        box = (0.0, 0.0, float(frame.shape[1]), box[3])
    tracker = noise_tracker(head)
    assert tracker.init(frame, box).box == box
    for image in (frame, noise_frame(), frame):
        assert all(map(math.isfinite, tracker.update(image).box))


@settings(max_examples=15, deadline=None)
@given(
    frame=hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3))),
    box=st.tuples(st.floats(-20, 0.5), st.floats(-20, 0.5), st.floats(21, 1e6), st.floats(21, 1e6)),
)
def test_a_real_network_takes_any_frame_and_box(real_tracker, frame, box):
    real_tracker.init(frame, box)
    for _ in range(2):
        result = real_tracker.update(frame)
        assert all(map(math.isfinite, result.box))


@pytest.fixture(scope="module")
def real_tracker(weights) -> SiamTracker:
    return SiamTracker.from_pretrained(weights["compact"])


def textured_frame(factor: float, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Blotches, seen `factor` times as large around the middle of `BOX` and then moved."""
    draw = np.random.default_rng(3)
    layers = [draw.normal(0, 1, (HEIGHT // cell, WIDTH // cell, 3)) for cell in (4, 8, 16, 32)]
    image = sum(cv2.resize(layer, SIZE, interpolation=cv2.INTER_CUBIC) for layer in layers)
    x, y = centre_of(BOX)
    matrix = np.array([[factor, 0, x * (1 - factor) + shift[0]], [0, factor, y * (1 - factor) + shift[1]]])
    matrix[:, 2] += (factor - 1) / 2  # of pixels' indices, which lie half a pixel before their centres
    grey = np.clip(128 + 30 * np.asarray(image), 0, 255).astype(np.uint8)
    return cv2.warpAffine(grey, matrix, SIZE, borderMode=cv2.BORDER_REFLECT)


class PictureRuntime:
    """Correlates pictures themselves, eight times smaller and without their mean: what the papers' networks do best."""

    name = "picture"

    @staticmethod
    def features(crops: np.ndarray) -> np.ndarray:
        inner = crops[:, 3 : 3 + crops.shape[1] // 8 * 8, 3 : 3 + crops.shape[1] // 8 * 8].astype(np.float32)
        cells = inner.reshape(len(crops), inner.shape[1] // 8, 8, inner.shape[2] // 8, 8, 3).mean((2, 4))
        return (cells - cells.mean((1, 2), keepdims=True)).transpose(0, 3, 1, 2)

    def template(self, crops):
        return self.features(crops)

    def search(self, crops, kernels):
        features, count = self.features(crops), max(len(crops), len(kernels))
        seen, known = (torch.from_numpy(np.repeat(each, count // len(each), axis=0)) for each in (features, kernels))
        return (cross_correlation(seen, known) / known[0].numel()).numpy(), features


@pytest.mark.parametrize("pyramid", ["search", "exemplar"])
@pytest.mark.parametrize("factor", [1 / 1.1, 1.0, 1.1])
def test_a_pyramid_of_either_kind_sees_a_picture_grow_and_shrink(fake_model, pyramid, factor):
    config = {"scales": 3, "scale_step": 1.1, "scale_penalty": 1.0, "scale_rate": 1.0, "window_influence": 0.0}
    tracker = SiamTracker(fake_model(ModelCard("compact", "siamfc"), PictureRuntime()), pyramid=pyramid, **config)
    tracker.init(textured_frame(1.0), BOX)
    result = tracker.update(textured_frame(factor, (8.0, -6.0)))
    assert result.box[2:] == pytest.approx((BOX[2] * factor, BOX[3] * factor), rel=1e-3)
    x, y = centre_of(BOX)
    assert centre_of(result.box) == pytest.approx((x + 8, y - 6), abs=1.0)


def test_a_pyramid_of_exemplars_looks_once_a_frame(fake_model):
    looked, searched = [], []

    class Recording(NoiseRuntime):
        def template(self, crops):
            looked.append(crops)
            return super().template(crops)

        def search(self, crops, kernels):
            searched.append((len(crops), len(kernels)))
            return np.zeros((3, 1, 17, 17), np.float32), np.zeros((len(crops), 4, 21, 21), np.float32)

    model, frame = fake_model(ModelCard("compact", "siamfc"), Recording(1)), noise_frame()
    tracker = SiamTracker(model, scales=3, pyramid="exemplar", redetect_every=0)
    tracker.init(frame, BOX)
    for _ in range(3):
        tracker.update(frame)
    assert searched == [(1, 3)] * 3
    SiamTracker(model, redetect_every=0).init(frame, BOX)
    exemplars, alone = looked
    assert exemplars.shape == (3, 127, 127, 3)
    np.testing.assert_array_equal(exemplars[1:2], alone)


@pytest.mark.parametrize(("head", "middle"), [("box", 0), ("siamfc", 1)])
def test_the_exemplar_lies_in_the_middle_of_the_search_region_pixel_by_pixel(noise_tracker, head, middle):
    tracker, looks = noise_tracker(head), []
    template = tracker.model.runtime.template
    tracker.model.runtime.template = lambda crops: looks.append(crops) or template(crops)
    frame = noise_frame()
    tracker.init(frame, (61.3, 40.7, 47.0, 22.5))
    regions = tracker.search_crops(frame)
    assert regions.shape == (tracker.config.scales, 255, 255, 3)
    assert np.abs(regions[middle, 64:191, 64:191].astype(int) - looks[0][0]).max() <= 1
    assert regions[middle].std() > 10


# ---------------------------------------------------------------- responses that are no use


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_response_that_is_not_finite_is_no_evidence(fake_model, value):
    runtime = ConstantRuntime(constant_response(9.0))
    tracker = SiamTracker(fake_model(ModelCard("compact", "box"), runtime))
    tracker.init(noise_frame(), BOX)
    before = tracker.update(noise_frame())
    runtime.response[:] = value
    results = [tracker.update(noise_frame()) for _ in range(25)]
    assert {result.box for result in results} == {before.box}
    assert results[-1].state is TrackState.LOST
    runtime.response[:] = constant_response(9.0)
    for _ in range(3):
        result = tracker.update(noise_frame())
    assert result.state is TrackState.TRACKING


# ---------------------------------------------------------------- the exemplar


def test_the_first_look_is_kept(fake_model):
    runtime = ConstantRuntime(constant_response(9.0))
    tracker = SiamTracker(fake_model(ModelCard("compact", "box"), runtime))
    tracker.init(noise_frame(), BOX)
    looks = runtime.looks
    for _ in range(20):
        tracker.update(noise_frame())
    assert runtime.looks == looks
    assert set(runtime.searched) == {1.0}


# ---------------------------------------------------------------- real networks: the same boxes again


def boxes_of(tracker: SiamTracker, frames) -> list[tuple[float, ...]]:
    return [tracker.update(noise_frame(seed)).box for seed in frames]


@pytest.mark.parametrize(("name", "frames"), [("compact", 8), ("ciresnet22", 1)])
def test_the_same_frames_give_the_same_boxes_also_after_pickling(weights, name, frames):
    tracker = SiamTracker.from_pretrained(weights[name], scale_rate=0.02)  # an untrained net's sizes are wild
    tracker.init(noise_frame(), BOX)
    head = boxes_of(tracker, range(frames))
    assert len({BOX, *head}) > 1 + frames // 2  # it moves, so that boxes could differ
    stored = pickle.dumps(tracker)
    assert len(stored) < 500_000  # the target goes along, the network does not
    tail = boxes_of(tracker, range(frames, 2 * frames))
    assert boxes_of(pickle.loads(stored), range(frames, 2 * frames)) == tail

    tracker.init(noise_frame(), BOX)
    assert boxes_of(tracker, range(2 * frames)) == head + tail


def test_a_pickled_tracker_finds_its_weights_from_another_folder(weights, tmp_path, monkeypatch):
    for path in (weights["compact"], weights["compact"].with_suffix(".json")):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    tracker = SiamTracker.from_pretrained("compact.safetensors")
    assert tracker.model.name == "compact"
    tracker.init(noise_frame(), BOX)
    stored = pickle.dumps(tracker)
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    assert pickle.loads(stored).update(noise_frame(1)).box == tracker.update(noise_frame(1)).box


def test_a_pickled_tracker_refuses_other_weights_than_its_own(weights, networks, tmp_path):
    path = tmp_path / "model.safetensors"
    save_network(networks["compact"], path)
    tracker = SiamTracker.from_pretrained(path)
    tracker.init(noise_frame(), BOX)
    stored = pickle.dumps(tracker)
    save_network(networks["compact"], path, half=True)
    with pytest.raises(WeightsError, match="have changed"):
        pickle.loads(stored).update(noise_frame(1))


# ---------------------------------------------------------------- one thread at a time


def test_a_concurrent_call_is_refused_and_does_no_harm(fake_model):
    entered, leave = threading.Event(), threading.Event()

    class SlowRuntime(ConstantRuntime):
        def search(self, crops, kernels):
            entered.set()
            assert leave.wait(20)
            return super().search(crops, kernels)

    tracker = SiamTracker(fake_model(ModelCard("compact", "box"), SlowRuntime(constant_response(9.0))))
    tracker.init(noise_frame(), BOX)
    results = []
    thread = threading.Thread(target=lambda: results.append(tracker.update(noise_frame())))
    thread.start()
    try:
        assert entered.wait(20)
        for call in (
            lambda: tracker.update(noise_frame()),
            lambda: tracker.init(noise_frame(), BOX),
            tracker.reset,
        ):
            with pytest.raises(RuntimeError, match="another thread"):
                call()
    finally:
        leave.set()
        thread.join(20)
    assert len(results) == 1
    tracker.update(noise_frame())  # free again


def test_a_failed_call_leaves_the_tracker_free(fake_model):
    runtime = ConstantRuntime(constant_response(9.0))
    tracker = SiamTracker(fake_model(ModelCard("compact", "box"), runtime))
    tracker.init(noise_frame(), BOX)
    expected = copy.deepcopy(tracker).update(noise_frame()).box
    runtime.search = lambda crops, kernels: (_ for _ in ()).throw(OSError("the device is gone"))
    with pytest.raises(OSError, match="the device is gone"):
        tracker.update(noise_frame())
    del runtime.search
    assert tracker.update(noise_frame()).box == expected


# ---------------------------------------------------------------- configuration and runtimes


def test_keywords_override_the_card_and_the_card_the_defaults():
    card = ModelCard("compact", "box", config={"scale_rate": 0.1, "patience": 3, "weights": [1, 2, 3, 4]})
    config = TrackerConfig.of(card, patience=5)
    assert (config.scale_rate, config.patience, config.weights) == (0.1, 5, (1, 2, 3, 4))
    assert config.certain == TrackerConfig().certain


@pytest.mark.parametrize("config", [{"windo_influence": 0.3}, {"benchmark": "otb"}])
def test_an_unknown_key_is_refused(weights, config):
    (key,) = config
    with pytest.raises(ValueError, match=rf"unknown configuration: {key}; known: .*window_influence"):
        SiamTracker.from_pretrained(weights["compact"], **config)
    with pytest.raises(ValueError, match=key):
        TrackerConfig.of(ModelCard("compact", "box", config=config))


@pytest.mark.parametrize(
    ("head", "config"),
    [
        ("siamfc", {"scales": 0}),
        ("siamfc", {"scales": 3.5}),
        ("siamfc", {"scale_step": 0}),
        ("siamfc", {"pyramid": "both"}),
        ("siamfc", {"pyramid": None}),
        ("box", {"scales": 3}),
        ("box", {"window_influence": 1.5}),
        ("box", {"window_influence": "0.3"}),
        ("box", {"scale_rate": -0.1}),
        ("box", {"scale_rate": math.nan}),
        ("box", {"smallest": 0}),
        ("box", {"looks": 0}),
        ("box", {"patience": None}),
        ("box", {"weights": (1, 2, 3)}),
        ("box", {"weights": (1, 2, 3, math.inf)}),
        ("box", {"weights": 1}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(head, config):
    (key,) = config
    with pytest.raises(ValueError, match=key):
        TrackerConfig.of(ModelCard("compact", head), **config)
    with pytest.raises(ValueError, match=key):
        TrackerConfig.of(ModelCard("compact", head, config=config))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "magic"}, "unknown runtime 'magic'.*torch"),
        ({"device": "toaster"}, "device 'toaster'"),
        ({"device": "cuda:99"}, "device 'cuda:99'"),
        ({"threads": 0}, "threads"),
        ({"threads": -2}, "threads"),
    ],
)
def test_a_runtime_that_is_not_there_is_refused(weights, options, message):
    with pytest.raises(ValueError, match=message):
        SiamTracker.from_pretrained(weights["compact"], **options)


def test_threads_are_left_alone_or_set(weights):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        SiamTracker.from_pretrained(weights["compact"])
        assert torch.get_num_threads() == 2
        tracker = SiamTracker.from_pretrained(weights["compact"], threads=1, device="cpu", runtime="auto")
        assert torch.get_num_threads() == 1
        assert tracker.runtime == "torch"
    finally:
        torch.set_num_threads(before)


def test_available_are_the_models_that_ship():
    for name, card in SiamTracker.available().items():
        assert isinstance(card, ModelCard)
        assert SiamTracker.from_pretrained(name).model.card == card
