"""Several targets at once: the same boxes as one by one, and ids that stay with their targets."""

from __future__ import annotations

import itertools
import pickle
import threading

import numpy as np
import pytest

from tracker import MultiTracker, SiamTracker, TrackState
from tracker.box import overlap
from tracker.model import Model

BOXES = [(70.0, 50.0, 40.0, 30.0), (10.0, 20.0, 18.5, 44.25), (150.0, 90.0, 45.0, 52.0), (-5.0, 100.0, 20.0, 30.0)]
FRAMES = [np.random.default_rng(seed).integers(0, 256, (150, 200, 3)).astype(np.uint8) for seed in range(4)]


@pytest.mark.parametrize(
    ("name", "targets", "frames", "config"),
    [
        ("compact", 4, 4, {}),
        ("lite", 2, 2, {}),
        ("ciresnet22", 2, 2, {}),
        ("ciresnet22", 2, 2, {"pyramid": "exemplar"}),
    ],
)
def test_many_targets_give_the_boxes_of_as_many_trackers(weights, name, targets, frames, config):
    model = Model(weights[name])
    single = SiamTracker(model, **config)
    for first, frame in itertools.pairwise(FRAMES[:frames]):  # from the start: an untrained network multiplies rounding
        multi = MultiTracker(model, **config)
        ids = [multi.add(first, box) for box in BOXES[:targets]]
        together = multi.update(frame, 0.5)
        assert list(together) == ids
        for number, box in zip(ids, BOXES, strict=False):
            single.init(first, box)
            alone, result = single.update(frame), together[number]
            assert alone.box[:2] != pytest.approx(box[:2], abs=0.1)  # it moved
            assert result.box == pytest.approx(alone.box, abs=1e-3)
            assert result.score == pytest.approx(alone.score, abs=1e-4)
            assert result.state is alone.state
            assert result.timestamp == 0.5


def test_follows_targets_that_cross_the_image(seeing, draw):
    multi = MultiTracker(seeing)
    start = [(20.0, 30.0, 30.0, 30.0), (150.0, 100.0, 40.0, 24.0)]
    ids = [multi.add(draw((200, 150), box), box) for box in start]
    for step in range(1, 8):
        truth = [(20.0 + 2 * step, 30.0, 30.0, 30.0), (150.0, 100.0 - 3 * step, 40.0, 24.0)]
        results = multi.update(draw((200, 150), *truth))
    for number, box in zip(ids, truth, strict=True):
        assert overlap(results[number].box, box) > 0.9


def test_ids_count_from_1_and_are_never_used_again(seeing, draw):
    multi, frame = MultiTracker(seeing), draw((200, 150), BOXES[0])
    assert [multi.add(frame, BOXES[0]) for _ in range(3)] == [1, 2, 3]
    multi.remove(3)
    assert multi.add(frame, BOXES[0]) == 4
    assert multi.add(frame, BOXES[0], id=10) == 10
    assert multi.add(frame, BOXES[0]) == 11
    assert multi.add(frame, BOXES[0], id=np.int64(3)) == 3  # unless asked for
    assert multi.add(frame, BOXES[0]) == 12
    assert sorted(multi.update(frame)) == [1, 2, 3, 4, 10, 11, 12]
    assert {type(number) for number in multi.update(frame)} == {int}


def test_an_id_in_use_is_refused_and_its_target_kept(seeing, draw):
    multi, frame = MultiTracker(seeing), draw((200, 150), BOXES[0])
    multi.add(frame, BOXES[0], id=7)
    before = multi.results[7]
    with pytest.raises(ValueError, match="target 7 is being tracked already"):
        multi.add(frame, BOXES[1], id=7)
    with pytest.raises(TypeError, match="integer"):
        multi.add(frame, BOXES[1], id="seven")  # type: ignore[arg-type]
    assert multi.results == {7: before}


def test_results_are_there_from_the_first_frame_on(seeing, draw):
    multi, frame = MultiTracker(seeing), draw((200, 150), BOXES[0])
    number = multi.add(frame, BOXES[0], timestamp=1.5)
    result = multi.results[number]
    assert (result.box, result.score, result.state, result.timestamp) == (BOXES[0], 1.0, TrackState.TRACKING, 1.5)
    updated = multi.update(frame)
    assert multi.results == updated
    updated.clear()  # the caller's own
    assert number in multi.results


def test_a_removed_target_is_gone(seeing, draw):
    multi, frame = MultiTracker(seeing), draw((200, 150), BOXES[0])
    first, second = multi.add(frame, BOXES[0]), multi.add(frame, BOXES[0])
    multi.remove(first)
    assert list(multi.update(frame)) == [second]
    with pytest.raises(KeyError, match="no target 1"):
        multi.remove(first)
    multi.remove(second)
    assert multi.update(frame) == {}
    assert multi.results == {}
    with pytest.raises(KeyError, match="none"):
        multi.remove(second)


@pytest.mark.parametrize("frame", [None, np.zeros((0, 5, 3), np.uint8), np.full((5, 5), np.nan)])
def test_a_bad_frame_or_box_is_refused_and_changes_nothing(seeing, draw, frame):
    multi = MultiTracker(seeing)
    with pytest.raises(ValueError, match="image"):
        multi.update(frame)
    with pytest.raises(ValueError, match="image"):
        multi.add(frame, BOXES[0])
    with pytest.raises(ValueError, match="box"):
        multi.add(draw((200, 150)), (500, 0, 5, 5))
    assert multi.results == {}
    assert multi.add(draw((200, 150), BOXES[0]), BOXES[0]) == 1  # none was used up
    before = dict(multi.results)
    with pytest.raises(ValueError, match="image"):
        multi.update(frame)
    assert multi.results == before


def test_configuration_is_checked_at_once_and_reaches_every_target(weights, seeing, draw):
    with pytest.raises(ValueError, match="unknown configuration: scale_rat;"):
        MultiTracker(seeing, scale_rat=0.1)
    with pytest.raises(ValueError, match="patience"):
        MultiTracker.from_pretrained(weights["compact"], patience=0)
    multi = MultiTracker(seeing, patience=2, memory=0.0)
    there, empty = draw((200, 150), BOXES[0]), draw((200, 150))
    number = multi.add(there, BOXES[0])
    multi.update(empty)
    assert multi.update(empty)[number].state is TrackState.LOST


def test_pickling_keeps_all_targets(weights):
    multi = MultiTracker.from_pretrained(weights["compact"])
    for box in BOXES:
        multi.add(FRAMES[0], box)
    multi.remove(2)
    multi.update(FRAMES[1])
    again = pickle.loads(pickle.dumps(multi))
    expected, found = multi.update(FRAMES[2]), again.update(FRAMES[2])
    assert {number: result.box for number, result in found.items()} == {n: r.box for n, r in expected.items()}
    assert again.add(FRAMES[2], BOXES[0]) == multi.add(FRAMES[2], BOXES[0]) == 5


def test_a_concurrent_call_is_refused(seeing, draw):
    entered, leave = threading.Event(), threading.Event()
    multi, frame = MultiTracker(seeing), draw((200, 150), BOXES[0])
    number = multi.add(frame, BOXES[0])
    search = seeing.runtime.search

    def slow_search(crops, kernels):
        entered.set()
        assert leave.wait(20)
        return search(crops, kernels)

    seeing.runtime.search = slow_search
    results = []
    thread = threading.Thread(target=lambda: results.append(multi.update(frame)))
    thread.start()
    try:
        assert entered.wait(20)
        for call in (lambda: multi.update(frame), lambda: multi.add(frame, BOXES[0]), lambda: multi.remove(number)):
            with pytest.raises(RuntimeError, match="another thread"):
                call()
    finally:
        leave.set()
        thread.join(20)
    assert list(results[0]) == [number]


@pytest.mark.parametrize("tracker", [SiamTracker, MultiTracker])
def test_a_name_where_the_model_belongs_is_told_where_it_belongs(tracker):
    with pytest.raises(TypeError, match=rf"{tracker.__name__}\.from_pretrained\('compact'\)"):
        tracker("compact")
