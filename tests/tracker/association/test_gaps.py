"""Filled gaps against interpolation frame by frame."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracker.association.gaps import fill_gaps
from tracker.association.track import Track


@given(st.lists(st.integers(1, 6), min_size=0, max_size=8), st.integers(1, 6), st.integers(0, 99))
def test_short_gaps_are_filled_and_no_others(steps: list[int], longest: int, seed: int) -> None:
    frames = np.cumsum([3, *steps])
    rng = np.random.default_rng(seed)
    n = len(frames)
    track = Track(7, frames, rng.uniform(1, 9, (n, 4)), rng.random(n), np.zeros(n, bool), 2)
    filled = fill_gaps(track, longest)
    expected = {
        int(frame): (*box, score, False) for frame, box, score in zip(frames, track.xywh, track.score, strict=True)
    }
    for k, step in enumerate(steps):
        for part in range(1, step if step <= longest else 1):
            share = part / step
            box = (1 - share) * track.xywh[k] + share * track.xywh[k + 1]
            score = (1 - share) * track.score[k] + share * track.score[k + 1]
            expected[int(frames[k]) + part] = (*box, score, True)
    assert filled.frames.tolist() == sorted(expected)
    for frame, box, score, flag in zip(filled.frames, filled.xywh, filled.score, filled.interpolated, strict=True):
        np.testing.assert_allclose((*box, score), expected[int(frame)][:5])
        assert flag == expected[int(frame)][5]
    assert (filled.id, filled.class_id) == (7, 2)
