"""Boxes: what is refused, overlap against polygons, conversions and their inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box as rectangle

from tracker.box import (
    centre_distance,
    from_corners,
    from_got10k,
    from_mot,
    from_otb,
    from_polygon,
    overlap,
    polygon_overlap,
    to_got10k,
    to_mot,
    to_otb,
    validate_box,
)

COORDINATE = st.floats(-1000, 1000)
LENGTH = st.floats(0.01, 1000)
BOXES = st.tuples(COORDINATE, COORDINATE, LENGTH, LENGTH)


def corners(box):
    x, y, w, h = box
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


@given(BOXES, BOXES)
def test_overlap_is_that_of_the_polygons(a, b):
    p, q = (rectangle(x, y, x + w, y + h) for x, y, w, h in (a, b))
    expected = p.intersection(q).area / p.union(q).area
    assert overlap(a, b) == pytest.approx(expected, abs=1e-6)
    assert polygon_overlap(corners(a), corners(b)) == pytest.approx(expected, abs=1e-6)


@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_a_share(a, b):
    assert overlap(a, b) == overlap(b, a)
    assert 0 <= overlap(a, b) <= 1
    assert overlap(a, a) == pytest.approx(1, abs=1e-9)


@given(BOXES, BOXES, COORDINATE, COORDINATE)
def test_overlap_does_not_depend_on_the_place(a, b, dx, dy):
    there = overlap(np.add(a, (dx, dy, 0, 0)), np.add(b, (dx, dy, 0, 0)))
    assert there == pytest.approx(overlap(a, b), abs=1e-6)


def test_overlap_broadcasts():
    a, b = np.array([[0, 0, 2, 2], [1, 0, 2, 2], [5, 5, 1, 1]]), np.array([0, 0, 2, 2])
    assert overlap(a, b) == pytest.approx([1, 1 / 3, 0])
    assert overlap(a[:, None], a).shape == (3, 3)


@pytest.mark.filterwarnings("error")
def test_boxes_without_area_do_not_overlap():
    assert overlap((1, 1, 0, 0), (1, 1, 0, 0)) == 0
    assert overlap((1, 1, 0, 0), (0, 0, 5, 5)) == 0
    assert overlap((0, 0, 2, 2), (2, 0, 2, 2)) == 0  # they touch


def test_overlap_leaves_its_arguments_alone():
    a, b = np.array([0.0, 0, 4, 4]), np.array([-2.0, 1, 4, 4])
    overlap(a, b)
    assert a.tolist() == [0, 0, 4, 4]
    assert b.tolist() == [-2, 1, 4, 4]


@given(BOXES, BOXES)
def test_centre_distance(a, b):
    expected = math.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2)
    assert centre_distance(a, b) == pytest.approx(expected)


@given(BOXES)
@pytest.mark.parametrize(("read", "written"), [(from_otb, to_otb), (from_mot, to_mot), (from_got10k, to_got10k)])
def test_files_count_pixels_from_1(read, written, box):
    assert read((1, 1, 5, 6)).tolist() == [0, 0, 5, 6]
    assert read(written(box)) == pytest.approx(box)


@given(BOXES)
def test_corners_and_polygons_become_boxes(box):
    x, y, w, h = box
    assert from_corners((x, y, x + w, y + h)) == pytest.approx(box)
    assert from_polygon(corners(box)) == pytest.approx(box)


def test_overlap_of_rotated_boxes():
    square, diamond = [(0, 0), (2, 0), (2, 2), (0, 2)], [(1, 0), (2, 1), (1, 2), (0, 1)]
    assert polygon_overlap(square, diamond) == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match=r"\d"):
        polygon_overlap(square, [(0, 0), (1, 1)])


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((math.nan, 0, 5, 5), "finite"),
        ((0, math.inf, 5, 5), "finite"),
        ((0, 0, math.inf, 5), "finite"),
        ((0, 0, 0, 5), "positive"),
        ((0, 0, 5, -1), "positive"),
        ((0, 0, 5), "four numbers.*got 3"),
        ((0, 0, 5, 5, 5), "four numbers.*got 5"),
        ((), "four numbers"),
        (None, "four numbers.*None"),
        (7, "four numbers"),
        ("1234", "four numbers.*1234"),
        (b"1234", "four numbers"),
        (("a", "b", "c", "d"), "four numbers"),
        ((0, 0, 10**400, 5), "four numbers"),
        ((1j, 0, 5, 5), "four numbers"),
        (np.ones((1, 4)), "four numbers"),
        (np.ones((4, 2)), "four numbers"),
        ((100, 0, 5, 5), "outside the 100x80"),
        ((0, 80, 5, 5), "outside"),
        ((-5, 0, 5, 5), "outside"),
        ((0, -6, 5, 5), "outside"),
    ],
)
def test_refuses_what_is_no_box(box, message):
    with pytest.raises(ValueError, match=message):
        validate_box(box, 100, 80)


@pytest.mark.parametrize(
    "box",
    [
        (1, 2, 3, 4),
        [1.0, 2.0, 3.0, 4.0],
        np.array([1, 2, 3, 4]),
        np.array([1, 2, 3, 4], np.float32),
        (np.int64(1), np.float32(2), np.uint8(3), 4),
        (value for value in (1, 2, 3, 4)),
    ],
)
def test_accepts_four_numbers_of_any_kind(box):
    valid = validate_box(box, 100, 80)
    assert valid == (1, 2, 3, 4)
    assert [type(value) for value in valid] == [float] * 4


@given(BOXES)
def test_accepts_exactly_what_overlaps_the_image(box):
    if overlap(box, (0, 0, 100, 80)) > 1e-12:
        assert validate_box(box, 100, 80) == box
    elif centre_distance(box, (0, 0, 100, 80)) > 1000:
        with pytest.raises(ValueError, match="outside"):
            validate_box(box, 100, 80)
