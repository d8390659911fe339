"""Every encoding of `sensor_msgs/Image` gives the colours that went in, whatever the rows' padding and byte order."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker.ros_images import ENCODINGS, UnknownEncoding, decode_image

BGR = (40, 120, 200)  # one colour, so that every conversion has a value to be told by
SIZE = (10, 12)  # rows, columns


def message(encoding, array, padding=0, big=False):
    """An Image message with the array's bytes, each row followed by `padding` bytes of noise."""
    rows = np.ascontiguousarray(array.astype(array.dtype.newbyteorder(">" if big else "<"))).view(np.uint8)
    rows = rows.reshape(len(array), -1)
    noise = np.full((len(rows), padding), 7, np.uint8)
    data = np.concatenate([rows, noise], axis=1)
    return SimpleNamespace(
        height=len(array),
        width=array.shape[1],
        encoding=encoding,
        is_bigendian=int(big),
        step=data.shape[1],
        data=data.tobytes(),
    )


def stored(encoding):
    """What a camera that sees `BGR` everywhere stores, written down here plane by plane; and what can be hoped for."""
    blue, green, red = BGR
    kind, channels, _ = ENCODINGS[encoding]
    wide = {"u1": 1, "u2": 257, "f4": 1 / 255}[kind]
    plane = np.ones(SIZE)
    grey = (120, 120, 120)
    if encoding.startswith("bayer"):
        colours = {"r": red, "g": green, "b": blue}
        mosaic = plane.copy()
        for place, letter in enumerate(encoding[6:10]):
            mosaic[place // 2 :: 2, place % 2 :: 2] = colours[letter]
        return mosaic * wide, BGR
    if encoding in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv"):
        luma = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256  # BT.601, from its definition
        u = 128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256
        v = 128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256
        pair = np.stack([plane * luma, plane * u], -1)
        pair[:, 1::2, 1] = v
        return (pair if "yuy" in encoding.removeprefix("yuv422") else pair[..., ::-1]), BGR
    if channels == 1:
        return plane * 120 * wide, grey
    first = (red, green, blue) if encoding.startswith("rgb") else BGR
    planes = [plane * value for value in first] + [plane * 255] * (channels - 3)
    return np.stack(planes, -1) * wide, BGR


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_every_encoding_gives_back_the_colour(encoding, padding, big):
    values, expected = stored(encoding)
    kind = np.dtype(ENCODINGS[encoding][0])
    values = values.astype(kind) if kind.kind == "f" else np.rint(values).astype(kind)
    image = decode_image(message(encoding, values, padding, big))
    assert image.shape == (*SIZE, 3)
    assert image.dtype == np.uint8
    tolerance = 2 if "yuv" in encoding or "yuyv" in encoding or "uyvy" in encoding else 0
    inside = image[2:-2, 2:-2].astype(int)  # what a Bayer pattern has at the border is a guess
    assert np.abs(inside - expected).max() <= tolerance


def test_pixels_stay_where_they_are():
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    assert np.array_equal(decode_image(message("bgr8", picture, padding=3)), picture)
    assert np.array_equal(decode_image(message("rgb8", picture)), picture[..., ::-1])


def test_the_result_may_be_drawn_on():
    image = decode_image(message("bgr8", np.zeros((4, 4, 3), np.uint8)))
    image[:] = 255  # bytes of a message are read-only


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images(suffix):
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), (0, 0), 4)
    data = cv2.imencode(suffix, picture)[1]
    image = decode_image(SimpleNamespace(format=f"bgr8; {suffix[1:]} compressed bgr8", data=data))
    assert np.abs(image.astype(int) - picture).max() <= (0 if suffix == ".png" else 12)


def test_a_compressed_grey_image_of_16_bits():
    data = cv2.imencode(".png", np.full((4, 6), 257 * 99, np.uint16))[1]
    image = decode_image(SimpleNamespace(format="16UC1; png compressed 16UC1", data=data))
    assert np.array_equal(image, np.full((4, 6, 3), 99))


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0},
        {"width": 11},  # wider than its step
        {"height": 5},  # more rows than data
        {"step": 3},
        {"data": b""},
    ],
)
def test_a_damaged_image_says_what_does_not_fit(wrong):
    image = message("bgr8", np.zeros((4, 10, 3), np.uint8))
    with pytest.raises(ValueError, match="does not fit"):
        decode_image(SimpleNamespace(**{**vars(image), **wrong}))


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_a_damaged_compressed_image(data):
    with pytest.raises(ValueError, match="not an image"):
        decode_image(SimpleNamespace(format="jpeg", data=data))


def test_what_cannot_be_read_names_itself():
    with pytest.raises(UnknownEncoding, match="'nv24'"):
        decode_image(message("nv24", np.zeros((4, 4), np.uint8)))
    with pytest.raises(UnknownEncoding, match="compressedDepth"):
        decode_image(SimpleNamespace(format="16UC1; compressedDepth png", data=b"x"))
