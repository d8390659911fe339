"""Decoding: planted peaks, closed forms, and responses that are no use."""

from __future__ import annotations

import dataclasses
import math
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.decode import (
    UPSAMPLE,
    DecodeConfig,
    Decoded,
    cell_shifts,
    cosine_window,
    decode_boxes,
    decode_pyramid,
    equally_long,
    exemplar_factors,
    pyramid,
    search_factors,
    statistics,
)

CELLS, STRIDE, MIDDLE = 17, 8, 8
RAW = DecodeConfig(scale_penalty=0.0, scale_rate=1.0, window_influence=0.0)
THREE = DecodeConfig(scales=3, scale_step=1.1, scale_penalty=1.0, scale_rate=1.0, window_influence=0.0)
SEEDS = st.integers(0, 2**32 - 1)


def box_response(logits: np.ndarray, sides: tuple[float, float, float, float] = (30, 20, 30, 20)) -> np.ndarray:
    """(1, 5, R, R) with the same distances (left, top, right, bottom) in every cell."""
    distances = np.broadcast_to(np.reshape(sides, (4, 1, 1)), (4, *logits.shape))
    return np.concatenate([logits[None], distances])[None].astype(np.float32)


def peaks(*cells: tuple[int, int, float], ground: float = -10.0) -> np.ndarray:
    """(R, R) logits with single cells (row, column, logit) set."""
    logits = np.full((CELLS, CELLS), ground, np.float32)
    for row, column, value in cells:
        logits[row, column] = value
    return logits


def hill(row: float, column: float, height: float = 5.0, width: float = 1.5) -> np.ndarray:
    """(R, R) smooth logits with the maximum anywhere between cells."""
    rows, columns = np.indices((CELLS, CELLS))
    return (height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))).astype(np.float32)


# ---------------------------------------------------------------- geometry


@pytest.mark.parametrize("cells", [1, 2, 17, 272])
def test_the_window_is_a_cosine_that_is_nowhere_zero(cells):
    line = [math.sin(math.pi * (i + 1) / (cells + 1)) ** 2 for i in range(cells)]
    assert cosine_window(cells) == pytest.approx(np.outer(line, line), abs=1e-6)
    assert cosine_window(cells).min() > 0


def test_cells_lie_around_the_crop_s_centre():
    assert cell_shifts(17, 8).tolist() == [8 * (i - 8) for i in range(17)]
    assert cell_shifts(4, 8).tolist() == [-12, -4, 4, 12]


@pytest.mark.parametrize("scales", [1, 3, 5])
def test_the_pyramid_is_geometric_around_1(scales):
    factors = pyramid(DecodeConfig(scales=scales, scale_step=1.05))
    assert factors == pytest.approx([1.05**i for i in range(-(scales // 2), scales // 2 + 1)])


def test_a_pyramid_is_of_search_regions_or_of_exemplars():
    """A target that has grown is as large as before in a larger region, and as large as in a smaller exemplar."""
    search, exemplar = (DecodeConfig(scales=3, scale_step=1.25, pyramid=kind) for kind in ("search", "exemplar"))
    assert search_factors(search) == pytest.approx([0.8, 1, 1.25])
    assert exemplar_factors(exemplar) == pytest.approx([1.25, 1, 0.8])
    assert exemplar_factors(search).tolist() == search_factors(exemplar).tolist() == [1]


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(2, 5))
def test_of_equally_long_kernels_each_agrees_most_with_itself(seed, scales):
    draw = np.random.default_rng(seed)
    kernels = (draw.normal(0, 1, (scales, 3, 2, 2)) * draw.uniform(0.1, 10, (scales, 1, 1, 1))).astype(np.float32)
    even = equally_long(kernels)
    products = even.reshape(scales, -1) @ kernels.reshape(scales, -1).T  # kernel by exemplar
    assert products.argmax(0).tolist() == list(range(scales))
    assert np.array_equal(even[scales // 2], kernels[scales // 2])
    assert even.dtype == np.float32


def test_a_kernel_of_nothing_stays_one():
    kernels = np.ones((3, 2, 1, 1), np.float32)
    kernels[0] = 0
    assert np.array_equal(equally_long(kernels), kernels)


# ---------------------------------------------------------------- boxes


@given(st.integers(0, 16), st.integers(0, 16), *[st.floats(1, 200)] * 4)
def test_a_planted_box_is_read_off(row, column, left, top, right, bottom):
    decoded = decode_boxes(box_response(peaks((row, column, 60.0)), (left, top, right, bottom)), (40, 40), STRIDE, RAW)
    x, y = (column - MIDDLE) * STRIDE, (row - MIDDLE) * STRIDE  # of the cell
    box = x - left, y - top, x + right, y + bottom
    assert decoded.shift == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), rel=1e-5, abs=1e-4)
    assert decoded.size == pytest.approx((box[2] - box[0], box[3] - box[1]), rel=1e-5)


@pytest.mark.parametrize("cells", [15, 16, 17])
def test_a_symmetric_response_means_no_shift(cells):
    rows, columns = np.indices((cells, cells)) - (cells - 1) / 2
    logits = -(rows**2 + columns**2)
    distances = [40 + columns * 8, 30 + rows * 8, 40 - columns * 8, 30 - rows * 8]  # all cells mean the same box
    response = np.stack([logits, *distances])[None].astype(np.float32)
    decoded = decode_boxes(response, (80, 60), STRIDE, DecodeConfig())
    assert decoded.shift == (0, 0)
    assert decoded.size == pytest.approx((80, 60))


def test_the_size_is_damped_by_rate_and_score_relative_to_the_best():
    # probabilities ¾ at the middle and ⅞ in a corner, which the window rules out
    config = DecodeConfig(scale_penalty=0.0, scale_rate=0.4, window_influence=0.9)
    decoded = decode_boxes(box_response(peaks((8, 8, math.log(3)), (0, 0, math.log(7)))), (50, 50), STRIDE, config)
    damping = 0.4 * (3 / 4) / (7 / 8)
    assert decoded.size == pytest.approx((50 + damping * 10, 50 - damping * 10), rel=1e-5)


def plain_ranking(response: np.ndarray, size: tuple[float, float], config: DecodeConfig) -> np.ndarray:
    """SiamRPN's equations 13 and 14, cell by cell, the score relative to the best one."""
    out, windows = np.zeros(response.shape[2:]), np.zeros(response.shape[2:])
    cells = len(out)
    for row, column in np.ndindex(out.shape):
        logit, left, top, right, bottom = map(float, response[0, :, row, column])
        w, h = left + right, top + bottom
        ratio, old_ratio = h / w, size[1] / size[0]
        s, old_s = (math.sqrt((a + (a + b) / 2) * (b + (a + b) / 2)) for a, b in ((w, h), size))
        change = max(ratio / old_ratio, old_ratio / ratio) * max(s / old_s, old_s / s)
        window = math.sin(math.pi * (row + 1) / (cells + 1)) ** 2 * math.sin(math.pi * (column + 1) / (cells + 1)) ** 2
        out[row, column] = math.exp(config.scale_penalty * (1 - change)) / (1 + math.exp(-logit))
        windows[row, column] = window
    return (1 - config.window_influence) * out / out.max() + config.window_influence * windows


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0, 1), st.floats(0, 1), st.floats(10, 100), st.floats(10, 100))
def test_the_best_cell_is_the_plain_loop_s(seed, influence, penalty, w, h):
    draw = np.random.default_rng(seed)
    response = np.concatenate([draw.normal(0, 3, (1, 1, 9, 9)), draw.uniform(1, 90, (1, 4, 9, 9))], 1).astype(
        np.float32
    )
    config = DecodeConfig(scale_penalty=penalty, window_influence=influence)
    ranking = plain_ranking(response, (w, h), config)
    decoded = decode_boxes(response, (w, h), STRIDE, config)
    shifts = cell_shifts(9, STRIDE)
    left, top, right, bottom = response[0, 1:]
    x, y = shifts + (right - left) / 2, shifts[:, None] + (bottom - top) / 2
    chosen = np.isclose(x, decoded.shift[0], atol=1e-4) & np.isclose(y, decoded.shift[1], atol=1e-4)
    assert chosen.any()
    assert ranking[chosen].max() == pytest.approx(ranking.max(), abs=1e-5)


# ---------------------------------------------------------------- SiamFC's pyramid


@given(st.integers(1, 15), st.integers(1, 15), st.integers(0, 2))  # at the border the interpolation has no other side
def test_a_planted_peak_is_found_in_its_scale_to_a_quarter_of_a_pixel(row, column, scale):
    response = np.stack([peaks((row, column, 9.0 if i == scale else 5.0)) for i in range(3)])[:, None]
    decoded = decode_pyramid(response, (40, 30), STRIDE, THREE)
    factor = 1.1 ** (scale - 1)
    # the cell's centre lies between the two finest steps that share the maximum: half of half a pixel of that scale
    assert decoded.shift[0] == pytest.approx(factor * STRIDE * (column - MIDDLE), abs=0.2501 * factor)
    assert decoded.shift[1] == pytest.approx(factor * STRIDE * (row - MIDDLE), abs=0.2501 * factor)
    assert decoded.size == pytest.approx((40 * factor, 30 * factor))


@given(st.floats(-50, 50), st.floats(-50, 50), st.integers(0, 2))
def test_a_target_between_cells_is_found_in_the_image_at_any_scale(x, y, scale):
    # the target stands (x, y) off the centre; a region that is larger by a factor shows it nearer to its centre
    factors = pyramid(THREE)
    response = np.stack(
        [hill(MIDDLE + y / f / STRIDE, MIDDLE + x / f / STRIDE, 6.0 - abs(i - scale)) for i, f in enumerate(factors)]
    )[:, None]
    decoded = decode_pyramid(response, (40, 30), STRIDE, THREE)
    # half of the grid's half pixel, and what cubic interpolation moves the top of a hill
    assert decoded.shift == pytest.approx((x, y), abs=0.75)
    assert decoded.size == pytest.approx((40 * factors[scale], 30 * factors[scale]))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 15), st.integers(1, 15), st.integers(0, 2))
def test_exemplars_of_all_scales_are_found_in_one_region(row, column, scale):
    response = np.stack([hill(row, column, 9.0 if i == scale else 5.0) for i in range(3)])[:, None]
    decoded = decode_pyramid(response, (40, 30), STRIDE, dataclasses.replace(THREE, pyramid="exemplar"))
    assert decoded.shift == pytest.approx((STRIDE * (column - MIDDLE), STRIDE * (row - MIDDLE)), abs=0.2501)
    assert decoded.size == pytest.approx((40 * 1.1 ** (scale - 1), 30 * 1.1 ** (scale - 1)))


@settings(max_examples=40)
@given(SEEDS)
def test_a_mirrored_response_mirrors_the_shift(seed):
    # with the grid's centre at n / 2 instead of (n − 1) / 2 the two would differ by half a pixel
    response = np.random.default_rng(seed).normal(0, 1, (1, 1, CELLS, CELLS)).astype(np.float32)
    config = DecodeConfig(scales=1, window_influence=0.3)
    here = decode_pyramid(response, (40, 30), STRIDE, config).shift
    there = decode_pyramid(np.ascontiguousarray(response[:, :, ::-1, ::-1]), (40, 30), STRIDE, config).shift
    assert here == pytest.approx((-there[0], -there[1]), abs=1e-5)


def test_a_symmetric_pyramid_means_a_quarter_of_a_pixel_at_most():
    decoded = decode_pyramid(np.stack([hill(8, 8)] * 3)[:, None], (40, 30), STRIDE, DecodeConfig(scales=3))
    assert decoded.shift == pytest.approx((0, 0), abs=0.25)
    assert decoded.size == (40, 30)  # no scale is better than the middle one


@pytest.mark.parametrize(("share", "column"), [(0.0, 3), (0.4, 3), (0.6, 13), (1.0, 13)])
def test_an_online_filter_decides_between_two_places_by_its_share(share, column):
    """Each side is sure of its own place, so the larger share wins; the scale stays the response's."""
    response = np.stack([hill(8, 3, height) for height in (5.0, 4.0, 4.0)])[:, None]
    decoded = decode_pyramid(response, (40, 30), STRIDE, THREE, hill(8, 13, 1.0), share)
    assert decoded.shift[0] == pytest.approx(STRIDE * (column - MIDDLE) / 1.1, abs=0.75)
    assert decoded.size == pytest.approx((40 / 1.1, 30 / 1.1))


def test_outer_scales_pay_a_penalty():
    response = np.stack([peaks((8, 8, value)) for value in (9.0, 9.0, 9.5)])[:, None]
    config = DecodeConfig(scales=3, scale_step=1.1, scale_rate=0.5, window_influence=0.0, scale_penalty=0.9)
    assert decode_pyramid(response, (40, 30), STRIDE, config).size == (40, 30)
    response = np.stack([peaks((8, 8, value)) for value in (9.0, 9.0, 19.5)])[:, None]
    assert decode_pyramid(response, (40, 30), STRIDE, config).size == pytest.approx((40 * 1.05, 30 * 1.05))


def test_the_window_prefers_the_nearer_of_two_peaks():
    near, far = (8, 10), (8, 1)
    logits = peaks((*far, 8.01), (*near, 8.0))
    config = DecodeConfig(window_influence=0.4, scale_penalty=0.0)
    for decode, response in ((decode_boxes, box_response(logits)), (decode_pyramid, logits[None, None])):
        assert decode(response, (60, 40), STRIDE, config).shift[0] == pytest.approx(16, abs=0.3)
        assert decode(response, (60, 40), STRIDE, RAW).shift[0] == pytest.approx(-56, abs=0.3)


def test_the_response_is_not_changed():
    draw = np.random.default_rng(0)
    for decode, shape in ((decode_boxes, (1, 5, CELLS, CELLS)), (decode_pyramid, (3, 1, CELLS, CELLS))):
        response = draw.uniform(1, 9, shape).astype(np.float32)
        before = response.copy()
        decode(response, (40, 30), STRIDE, DecodeConfig(scales=shape[0]))
        assert np.array_equal(response, before)


# ---------------------------------------------------------------- what the raw response says


@given(SEEDS, st.integers(6, 17), st.data())
def test_statistics_are_the_plain_ones(seed, cells, data):
    logits = np.random.default_rng(seed).normal(-2, 3, (cells, cells)).astype(np.float32)
    row, column = data.draw(st.integers(0, cells - 1)), data.draw(st.integers(0, cells - 1))
    near, far = [], []
    for r, c in np.ndindex(logits.shape):
        (near if max(abs(r - row), abs(c - column)) <= 2 else far).append(float(logits[r, c]))
    peak, margin, contrast = statistics(logits, row, column)
    assert peak == pytest.approx(max(near))
    assert margin == pytest.approx(max(near) - max(far), abs=1e-5)
    assert contrast == pytest.approx((max(near) - np.mean(far)) / np.std(far), rel=1e-3)


def test_a_response_without_an_elsewhere_has_no_margin():
    assert statistics(np.full((3, 3), 2.0, np.float32), 1, 1) == (2.0, 0.0, 0.0)


def test_the_window_has_no_say_in_the_peak():
    for influence in (0.0, 0.5):
        config = DecodeConfig(window_influence=influence)
        decoded = decode_boxes(box_response(peaks((8, 6, 2.5), ground=-4.0)), (60, 40), STRIDE, config)
        assert (decoded.peak, decoded.margin) == (2.5, 6.5)


# ---------------------------------------------------------------- responses that are no use


def responses(logits: np.ndarray):
    """The same logits as each head would say them, with how they are read."""
    yield decode_boxes, box_response(logits), DecodeConfig()
    yield decode_pyramid, np.stack([logits] * 3)[:, None], DecodeConfig(scales=3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [(8, 8), (0, 0), slice(None)])
def test_a_response_that_is_not_finite_says_so(value, where):
    logits = hill(8, 8)
    logits[where] = value
    for decode, response, config in responses(logits):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decoded = decode(response, (40, 30), STRIDE, config)
        assert isinstance(decoded, Decoded)
        assert not decoded.finite


def test_distances_that_are_not_finite_are_noticed():
    response = box_response(hill(8, 8))
    response[0, 1, 3, 3] = math.nan
    assert not decode_boxes(response, (40, 30), STRIDE, DecodeConfig()).finite


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e3, 1e9])
def test_huge_flat_and_tiny_responses_are_read_without_a_warning(scale):
    logits = (hill(8, 8) - 2) * np.float32(scale)
    for decode, response, config in responses(logits):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decoded = decode(response, (40, 30), STRIDE, config)
        assert decoded.finite
        assert max(map(abs, decoded.shift)) <= 0.25


def test_the_interpolation_s_grid_is_centred_on_the_middle_cell():
    ramp = np.arange(CELLS, dtype=np.float32)[None].repeat(CELLS, 0)
    fine = cv2.resize(ramp, (CELLS * UPSAMPLE, CELLS * UPSAMPLE), interpolation=cv2.INTER_CUBIC)
    # values are those of the middle cell, more on the right, less on the left, around (n − 1) / 2 and nothing else
    assert fine + fine[:, ::-1] == pytest.approx(np.full_like(fine, 2 * MIDDLE), abs=1e-4)
    assert (np.diff(fine[:, 16:-16]) > 0).all()
