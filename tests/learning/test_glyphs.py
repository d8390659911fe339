"""Made-up characters: alike within a class, the same for the same seed."""

from __future__ import annotations

import numpy as np
import torch

from learning.glyphs import draw_glyphs, glyph_parts


def test_the_seed_decides() -> None:
    first, again, other = (draw_glyphs(3, 2, 20, seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (6, 1, 20, 20)


def test_characters_are_alike_within_a_class() -> None:
    train, test = glyph_parts(5, 6, 3, 24)
    assert (len(train), len(test)) == (30, 15)
    means = np.stack([train.images[train.labels == k].float().mean(0).numpy() for k in range(5)])
    away = ((test.images.float().numpy()[:, None] - means) ** 2).sum((2, 3, 4))
    assert (away.argmin(1) == test.labels).mean() > 0.8
