"""Made-up characters: a few strokes a class, drawn a little differently each time. For trials without any data."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from learning.embedding_data import LabelledImages, Parts

STROKES = 3
POINTS = 4  # of a stroke
SHAKE = 0.035  # standard deviation of each point, in sides of the image
SLANT = 0.08  # of the whole character's linear map


def draw_glyphs(classes: int, images: int, size: int = 28, seed: int = 0) -> LabelledImages:
    """Light strokes on black.

    Args:
        classes: different characters.
        images: of each.
        size: side in pixels.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(classes):
        strokes = rng.uniform(0.15, 0.85, (STROKES, POINTS, 2))
        for _ in range(images):
            linear = np.eye(2) + rng.normal(0, SLANT, (2, 2))
            points = (strokes - 0.5) @ linear + 0.5 + rng.normal(0, SHAKE, strokes.shape) + rng.normal(0, 0.02, 2)
            image = np.zeros((size, size), np.uint8)
            fixed = np.round(points * size * 16).astype(np.int32)  # sixteenths of a pixel
            cv2.polylines(image, list(fixed), False, 255, max(1, size // 14), cv2.LINE_AA, shift=4)
            drawn.append(image)
    pixels = torch.from_numpy(np.stack(drawn))[:, None]
    names = tuple(f"glyph {number}" for number in range(classes))
    return LabelledImages(pixels, np.repeat(np.arange(classes), images), names)


def glyph_parts(classes: int, train: int, test: int, size: int = 28, seed: int = 0) -> Parts:
    """The same characters to train and to test on.

    Args:
        classes: different characters.
        train: images of each to learn from.
        test: images of each to judge by.
        size, seed: see `draw_glyphs`.
    """
    everything = draw_glyphs(classes, train + test, size, seed)
    late = np.arange(len(everything)) % (train + test) >= train
    return Parts(everything.subset(np.flatnonzero(~late)), everything.subset(np.flatnonzero(late)))
