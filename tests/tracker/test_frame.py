"""One conversion for every kind of image, and none for the right one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracker.frame import Frame, to_bgr8

SHAPES = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3, 4])),
)


def plain(image: np.ndarray, eight_bits) -> np.ndarray:
    """The conversion pixel by pixel, with `eight_bits` for one value."""
    expected = np.zeros((*image.shape[:2], 3), np.uint8)
    for y, x, channel in np.ndindex(expected.shape):
        value = image[y, x] if image.ndim == 2 else image[y, x, 0 if image.shape[2] == 1 else channel]
        expected[y, x, channel] = eight_bits(value)
    return expected


@given(hnp.arrays(np.uint8, SHAPES))
def test_keeps_8_bit_values(image):
    assert np.array_equal(to_bgr8(image), plain(image, int))


@given(hnp.arrays(st.sampled_from([np.dtype("<u2"), np.dtype(">u2")]), SHAPES))
def test_scales_16_bit_from_the_full_range(image):
    assert np.array_equal(to_bgr8(image), plain(image, lambda value: round(int(value) / 65535 * 255)))


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)))
def test_scales_float_from_0_to_1(image):
    converted = to_bgr8(image)
    assert converted.dtype == np.uint8
    reference = image if image.ndim == 3 else image[:, :, None]
    assert np.abs(converted / 255 - reference[:, :, :3]).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_ends_are_black_and_white(dtype):
    assert to_bgr8(np.array([[0, 1]], dtype))[0, :, 0].tolist() == [0, 255]


def test_bool_is_black_and_white():
    assert to_bgr8(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]


def test_a_right_image_is_returned_without_a_copy():
    image = np.zeros((4, 5, 3), np.uint8)
    assert to_bgr8(image) is image


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[:, ::-1],  # mirrored: a negative stride
        lambda image: image[::-1],
        lambda image: image[:, :, ::-1],  # RGB as a view of BGR
        lambda image: image[::2, 1:7],  # a crop with gaps
        lambda image: image.transpose(1, 0, 2),
        np.asfortranarray,
    ],
)
def test_any_strides_become_contiguous(view):
    image = view(np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8))
    converted = to_bgr8(image)
    assert converted.flags.c_contiguous
    assert np.array_equal(converted, image)


def test_a_subclass_of_array_becomes_a_plain_array():
    image = np.zeros((2, 2, 3), np.uint8).view(np.ma.MaskedArray)
    assert type(to_bgr8(image)) is np.ndarray


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "None"),
        ([[1, 2], [3, 4]], "list"),
        ("frame.png", "str"),
        (np.zeros((0, 4, 3), np.uint8), r"empty.*\(0, 4, 3\)"),
        (np.zeros((4, 0), np.uint8), "empty"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((3, 4, 5), np.uint8), r"\(3, 4, 5\)"),  # channels first
        (np.zeros((4, 4, 3), np.int32), "int32"),
        (np.zeros((4, 4, 3), np.uint32), "uint32"),
        (np.zeros((4, 4), np.complex64), "complex64"),
        (np.zeros((4, 4), object), "object"),
        (np.full((4, 4), 1.01), "1.01"),
        (np.full((4, 4), -0.01), "-0.01"),
        (np.array([[0.5, np.nan]]), "nan"),
        (np.array([[0.5, np.inf]]), "inf"),
    ],
)
def test_refuses_what_it_cannot_convert(image, message):
    with pytest.raises(ValueError, match=message):
        to_bgr8(image)


def test_a_frame_cannot_be_changed():
    frame = Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(AttributeError):
        frame.index = 1  # type: ignore[misc]
