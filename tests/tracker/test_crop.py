"""Crops: where a point of the image lands, to a fraction of a pixel."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.crop import centre_of, crop, crop_matrix, exemplar_side, mean_colour

GREY = (0.0, 0.0, 0.0)


def blob(x: float, y: float, width: int = 120, height: int = 90, sigma: float = 2.5) -> np.ndarray:
    """A Gaussian spot whose centre is at (x, y) in continuous pixels."""
    across = np.exp(-((np.arange(width) + 0.5 - x) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(height) + 0.5 - y) ** 2) / (2 * sigma**2))
    return np.rint(250 * np.outer(down, across))[:, :, None].repeat(3, 2).astype(np.uint8)


def centroid(image: np.ndarray) -> tuple[float, float]:
    """(x, y) in continuous pixels."""
    grey = image[..., 0].astype(float)
    rows, columns = np.indices(grey.shape) + 0.5
    return (columns * grey).sum() / grey.sum(), (rows * grey).sum() / grey.sum()


@settings(max_examples=40, deadline=None)
@given(
    st.floats(40, 80), st.floats(35, 55), st.floats(-8, 8), st.floats(-8, 8), st.floats(50, 120), st.integers(63, 160)
)
def test_a_spot_lands_where_the_geometry_says(x, y, dx, dy, side, size):
    cut = crop(blob(x, y), (x + dx, y + dy), side, size, GREY)
    step = side / size
    expected = size / 2 - dx / step, size / 2 - dy / step
    assert centroid(cut) == pytest.approx(expected, abs=0.05 / step + 0.03)


def test_a_spot_in_the_middle_of_a_pixel_is_cut_at_the_middle():
    assert centroid(crop(blob(60.5, 45.5), (60.5, 45.5), 127, 127, GREY)) == pytest.approx((63.5, 63.5), abs=1e-6)
    assert centroid(crop(blob(60.0, 45.0), (60.0, 45.0), 128, 128, GREY)) == pytest.approx((64.0, 64.0), abs=1e-6)


@pytest.mark.parametrize("size", [31, 32])
def test_at_the_image_s_own_resolution_pixels_are_copied(size):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    cut = crop(image, (40 + size / 2, 20 + size / 2), size, size, GREY)
    assert np.array_equal(cut, image[20 : 20 + size, 40 : 40 + size])


def test_beyond_the_border_is_the_border_s_colour():
    image = np.full((20, 30, 3), 200, np.uint8)
    cut = crop(image, (0.0, 0.0), 40, 40, (10, 20, 30))
    assert (cut[:19] == (10, 20, 30)).all()
    assert (cut[:, :19] == (10, 20, 30)).all()
    assert (cut[20:, 20:] == 200).all()
    assert (crop(image, (1e9, -1e9), 1e6, 40, (10, 20, 30)) == (10, 20, 30)).all()


def interpolated(image: np.ndarray, x: np.ndarray, y: np.ndarray, border: tuple[float, ...]) -> np.ndarray:
    """The bilinear value at each pair of pixel indices, from its definition: a weighted sum of four pixels."""
    height, width = image.shape[:2]
    total = np.zeros((*x.shape, 3))
    for row in (np.floor(y), np.floor(y) + 1):
        for column in (np.floor(x), np.floor(x) + 1):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixels = image[np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)]
            share = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
            total += share[..., None] * np.where(inside[..., None], pixels, border)
    return total


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-200, 350),
    st.floats(-200, 300),
    st.one_of(st.floats(0.5, 500), st.floats(500, 1e6)),
    st.integers(1, 80),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_each_pixel_is_the_rounded_bilinear_mean(x, y, side, size, border):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    matrix = crop_matrix((x, y), side, size)
    down, across = np.indices((size, size))
    exact = interpolated(image, across * matrix[0, 0] + matrix[0, 2], down * matrix[1, 1] + matrix[1, 2], border)
    assert np.abs(crop(image, (x, y), side, size, border) - exact).max() <= 0.501


@pytest.mark.parametrize(("centre", "side"), [((60.3, 45.8), 70.0), ((3.2, 88.1), 60.0), ((60.0, 45.0), 30.5)])
def test_a_crop_is_opencv_s_warp_but_for_a_tie(centre, side):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, crop_matrix(centre, side, 255), (255, 255), flags=flags)
    assert np.abs(crop(image, centre, side, 255, GREY).astype(int) - warped).max() <= 1


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
@pytest.mark.parametrize(
    ("centre", "side"),
    [
        ((math.nan, 10.0), 40.0),
        ((10.0, math.inf), 40.0),
        ((-1e300, 1e300), 40.0),
        ((10.0, 10.0), math.inf),
        ((10.0, 10.0), math.nan),
        ((10.0, 10.0), 1.7e308),
        ((10.0, 10.0), -40.0),
    ],
)
def test_a_place_that_is_none_gives_a_crop_and_not_a_fault_of_memory(centre, side):
    image = np.full((20, 30, 3), 200, np.uint8)
    assert crop(image, centre, side, 40, (10, 20, 30)).shape == (40, 40, 3)


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(0.1, 1000), st.integers(1, 300), st.booleans())
def test_the_crop_s_middle_is_the_centre_and_its_edges_are_the_region_s(x, y, side, size, mirror):
    matrix = crop_matrix((x, y), side, size, mirror)

    def in_image(u: float, v: float) -> np.ndarray:
        return matrix @ (u - 0.5, v - 0.5, 1) + 0.5

    assert in_image(size / 2, size / 2) == pytest.approx((x, y), abs=1e-6)
    left, right = (x + side / 2, x - side / 2) if mirror else (x - side / 2, x + side / 2)
    assert in_image(0, 0) == pytest.approx((left, y - side / 2), abs=1e-6)
    assert in_image(size, size) == pytest.approx((right, y + side / 2), abs=1e-6)


def test_a_mirrored_crop_is_the_crop_mirrored():
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    plain, mirrored = (
        cv2.warpAffine(
            image, crop_matrix((50.25, 40.75), 64, 64, mirror), (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        for mirror in (False, True)
    )
    assert np.abs(plain[:, ::-1].astype(int) - mirrored).max() <= 1


@given(st.floats(1, 1000), st.floats(1, 1000))
def test_the_exemplar_s_side_is_siamfc_s(w, h):
    # A² = (w + 2p)(h + 2p) with p = (w + h) / 4, SiamFC section 2.3
    p = (w + h) / 4
    assert exemplar_side(w, h) ** 2 == pytest.approx((w + 2 * p) * (h + 2 * p))
    assert exemplar_side(w, h) == exemplar_side(h, w)
    assert exemplar_side(w, w) == pytest.approx(2 * w)
    assert exemplar_side(3 * w, 3 * h) == pytest.approx(3 * exemplar_side(w, h))


def test_mean_colour_and_centre():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    assert mean_colour(image) == pytest.approx(image.reshape(-1, 3).mean(0))
    assert centre_of((1, 2, 3, 5)) == (2.5, 4.5)
    assert math.isclose(exemplar_side(30, 60), math.sqrt(75 * 105))
