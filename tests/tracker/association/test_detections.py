"""What is refused, what is repaired and how it is said, whatever comes in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracker.association.detections import Detections, repair

ANY = st.floats(width=64, allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -5.0, 1e12, 10.0, 20.0])


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.just(5)), elements=ANY))
@settings(deadline=None)
def test_repair_leaves_exactly_the_usable_boxes_once(table: np.ndarray) -> None:
    found, notes = repair(3, table[:, :4], table[:, 4])
    expected = []
    for x, y, w, h, score in table:
        usable = np.isfinite([x, y, w, h, score]).all() and min(w, h) >= 1e-6 and max(abs(x), abs(y), w, h) <= 1e9
        if usable:
            expected.append((x, y, w, h, score))
    boxes = {tuple(np.round(row[:4], 3)) for row in expected}
    assert len(found) == len(boxes)
    assert {tuple(np.round(row, 3)) for row in found.xywh} == boxes
    for box, score in zip(found.xywh, found.score, strict=True):
        same = [row[4] for row in expected if tuple(np.round(row[:4], 3)) == tuple(np.round(box, 3))]
        assert score == max(same)
    assert bool(notes) == (len(found) < len(table))


def test_each_kind_of_repair_is_said() -> None:
    boxes = [(0, 0, 10, 10), (0, 0, 10, 10), (0, 0, 0, 10), (np.nan, 0, 1, 1), (1e12, 0, 1, 1), (5, 5, 10, -1)]
    found, notes = repair(7, boxes)
    assert len(found) == 1
    text = "\n".join(notes)
    assert text.count("frame 7") == 4
    assert "1 of 6 boxes, not finite (first: number 3)" in text
    assert "2 of 6 boxes, without a positive width and height (first: number 2)" in text
    assert "1 of 6 boxes, the same as another (first: number 1)" in text
    assert "beyond 1e+09 pixels" in text


def test_the_same_box_of_another_class_stays() -> None:
    assert len(repair(0, [(0, 0, 1, 1)] * 2, class_id=[1, 2])[0]) == 2


def test_ten_thousand_in_a_frame_are_repaired_and_very_many_refused() -> None:
    rng = np.random.default_rng(0)
    boxes = np.column_stack([rng.uniform(0, 1e4, (10_000, 2)), rng.uniform(1, 50, (10_000, 2))])
    assert len(repair(0, boxes)[0]) == 10_000
    with pytest.raises(ValueError, match="100001 detections"):
        repair(0, np.ones((100_001, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, [(1, 2, 3)]), r"xywh must be \(N, 4\), got \(1, 3\)"),
        ((0, [(1, 2, 3, 4)], [0.5, 0.5]), r"score must be \(1,\) as there are 1 boxes, got \(2,\)"),
        ((0, [(1, 2, 3, 4)], [0.5], [1.5]), "class_id must be whole"),
        ((-1, [(1, 2, 3, 4)]), "frame must be"),
        ((0.5, [(1, 2, 3, 4)]), "frame must be"),
        ((0, [(1, 2, 0, 4)]), "not a box"),
        ((0, [(1, 2, 3, 4)], [np.nan]), "not a box"),
        ((0, [(1, 2, 3, 4)], None, None, np.zeros((4, 4))), "HxWx3"),
    ],
)
def test_what_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(*arguments)


def test_defaults_and_no_aliasing() -> None:
    boxes = np.array([[1.0, 2, 3, 4]])
    found = Detections(0, boxes)
    boxes[0, 2] = -1
    assert found.xywh[0, 2] == 3
    assert found.score.tolist() == [1]
    assert found.class_id.tolist() == [-1]
    assert len(Detections(0, [])) == 0
    assert Detections(2**40, [], class_id=[]).frame == 2**40


def test_supervision_boxes_go_both_ways() -> None:
    theirs = SimpleNamespace(xyxy=np.array([[1.0, 2, 4, 6]]), confidence=np.array([0.5]), class_id=np.array([3]))
    ours = Detections.from_supervision(theirs, 8)
    assert ours.xywh.tolist() == [[1, 2, 3, 4]]
    assert (ours.score[0], ours.class_id[0], ours.frame) == (0.5, 3, 8)
    supervision = pytest.importorskip("supervision")
    back = ours.to_supervision([7])
    assert isinstance(back, supervision.Detections)
    np.testing.assert_allclose(back.xyxy, theirs.xyxy)
    assert back.tracker_id.tolist() == [7]
