"""Photographs are read upright, and what is none is named."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from learning.pictures import read_picture


@pytest.mark.parametrize("content", [b"", b"no image at all"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.jpg is not an image"):
        read_picture(tmp_path / "x.jpg")


def test_a_photograph_is_read_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: the camera was turned, and the picture is to be shown turned back."""
    encoded = cv2.imencode(".jpg", np.zeros((16, 32, 3), np.uint8))[1].tobytes()
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + entry + b"\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    (tmp_path / "x.jpg").write_bytes(
        encoded[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + encoded[2:]
    )
    assert read_picture(tmp_path / "x.jpg").shape == (32, 16, 3)


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_that_is_no_text_is_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    path.write_bytes(cv2.imencode(".png", np.full((4, 6, 3), 9, np.uint8))[1].tobytes())
    assert (read_picture(path) == 9).all()
