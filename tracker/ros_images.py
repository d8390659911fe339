"""Images of ROS → the project's frames: `sensor_msgs/Image` and `sensor_msgs/CompressedImage`, of ROS 1 and ROS 2.

The functions take whatever has the message's fields, so they serve robot logs (`tracker.bags`) and a live node
(`examples/ros2_node.py`), and need neither ROS nor cv_bridge.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from tracker.frame import Image, to_bgr8

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
# encoding → type, channels, OpenCV's conversion (sensor_msgs/image_encodings.h). A Bayer pattern is named by its first
# two rows here, as ROS does; OpenCV's older names begin in the second row.
ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    "mono8": ("u1", 1, None),
    "8UC1": ("u1", 1, None),
    "bgr8": ("u1", 3, None),
    "8UC3": ("u1", 3, None),
    "rgb8": ("u1", 3, cv2.COLOR_RGB2BGR),
    "bgra8": ("u1", 4, None),
    "8UC4": ("u1", 4, None),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2BGR),
    "mono16": ("u2", 1, None),
    "16UC1": ("u2", 1, None),
    "bgr16": ("u2", 3, None),
    "16UC3": ("u2", 3, None),
    "rgb16": ("u2", 3, cv2.COLOR_RGB2BGR),
    "bgra16": ("u2", 4, None),
    "16UC4": ("u2", 4, None),
    "rgba16": ("u2", 4, cv2.COLOR_RGBA2BGR),
    "32FC1": ("f4", 1, None),
    "32FC3": ("f4", 3, None),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2BGR_YUY2),
} | {
    f"bayer_{pattern}{bits}": (f"u{bits // 8}", 1, code)
    for pattern, code in {
        "rggb": cv2.COLOR_BayerRGGB2BGR,
        "bggr": cv2.COLOR_BayerBGGR2BGR,
        "gbrg": cv2.COLOR_BayerGBRG2BGR,
        "grbg": cv2.COLOR_BayerGRBG2BGR,
    }.items()
    for bits in (8, 16)
}


class UnknownEncoding(ValueError):
    """The image is stored in a way that cannot be read; the next one of its topic will be, too."""


def decode_image(message: Any) -> Image:
    """A raw or a compressed image, whichever the message is.

    Args:
        message: fields as in `sensor_msgs/Image` (height, width, encoding, is_bigendian, step, data) or
            `sensor_msgs/CompressedImage` (format, data); data is anything that has a buffer of bytes.

    Returns:
        (H, W, 3) uint8 BGR, in memory of its own.

    Raises:
        UnknownEncoding: see there.
        ValueError: the message is damaged: fewer bytes than its size promises, or no image that can be decoded.
    """
    image = _compressed(message) if hasattr(message, "format") else _raw(message)
    return image if image.flags.writeable else image.copy()  # or it would be the message's own bytes


def _raw(message: Any) -> Image:
    if message.encoding not in ENCODINGS:
        raise UnknownEncoding(f"encoding {message.encoding!r} cannot be read; known are {', '.join(ENCODINGS)}")
    kind, channels, conversion = ENCODINGS[message.encoding]
    stored = np.dtype((">" if message.is_bigendian else "<") + kind)
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * channels * stored.itemsize
    data = np.frombuffer(message.data, np.uint8)
    if not (height > 0 and width > 0 and step >= row and data.size >= step * height):
        raise ValueError(
            f"{width}x{height} {message.encoding} with {step} bytes a row does not fit into {data.size} bytes"
        )
    rows = data[: step * height].reshape(height, step)[:, :row]  # rows may end in padding
    pixels = np.ascontiguousarray(rows).view(stored).reshape(height, width, channels)
    if stored.itemsize > 1:
        pixels = pixels.astype(stored.newbyteorder("="))  # OpenCV knows no other order
    return to_bgr8(pixels if conversion is None else cv2.cvtColor(pixels, conversion))


def _compressed(message: Any) -> Image:
    if "compressedDepth" in message.format:
        raise UnknownEncoding(f"format {message.format!r} is a depth map, not a picture")
    data = np.frombuffer(message.data, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise ValueError(f"not an image that can be read ({error.err})") from error
    if image is None:
        raise ValueError(f"{data.size} bytes of format {message.format!r} are not an image that can be read")
    return to_bgr8(image)
