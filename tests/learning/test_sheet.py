"""The contact sheet shows the pairs that training draws."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from learning.footage import Footage
from learning.sheet import main, sheet
from learning.siamese import RECIPES


def footage() -> Footage:
    made = Footage()
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    image = made.add_image(noise)
    made.add_track("one", "still", [image], [[40, 30, 30, 40]])
    return made


def test_a_sheet_holds_every_pair_with_its_target_outlined():
    recipe = dataclasses.replace(RECIPES["compact"], batch_size=8, search_size=255)
    picture = sheet(footage(), recipe, columns=4)
    assert picture.shape == (2 * 255, 4 * (127 + 2 + 255), 3)
    outlined = (picture == (0, 200, 0)).all(-1)
    for row in range(2):
        for column in range(4):
            left = column * 384 + 129
            assert outlined[row * 255 : (row + 1) * 255, left : left + 255].sum() > 100
    assert (sheet(footage(), recipe) == picture).all()


def test_the_command_writes_a_picture(tmp_path):
    footage().save(tmp_path / "cache")
    main(["compact", "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "pairs.png")])
    assert cv2.imread(str(tmp_path / "pairs.png")) is not None
