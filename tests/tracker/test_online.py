"""The filter learned in the video: against plain ridge regression, and on a background with a look-alike."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.online import CorrelationFilter, OnlineConfig

CELLS = 21


def features(seed: int, channels: int = 1, cells: int = CELLS) -> np.ndarray:
    """(C, s, s) noise that fades out at the border, so that shifting it round and shifting it are the same."""
    noise = np.random.default_rng(seed).normal(0, 1, (channels, cells, cells))
    noise[:, [0, 1, 2, -3, -2, -1]] = 0
    noise[:, :, [0, 1, 2, -3, -2, -1]] = 0
    return noise.astype(np.float32)


def test_one_channel_is_ridge_regression_on_all_cyclic_shifts():
    cells, ridge = 7, 0.1
    one = CorrelationFilter(OnlineConfig(online_ridge=ridge, online_spread=0.2))
    region = np.random.default_rng(3).normal(0, 1, (1, cells, cells)).astype(np.float32)
    one.respond(region, cells)
    one.learn((0.0, 0.0), (5.0, 5.0))
    answer = one.respond(region, cells)

    line = np.hanning(cells + 2)[1:-1]
    seen = (region[0] - region[0].mean()) * np.outer(line, line)
    place = np.arange(cells) - (cells - 1) / 2
    wanted = np.exp(-0.5 * place**2)  # spread: 0.2 × 5 cells
    wanted = np.outer(wanted, wanted).ravel()
    shifts = np.array([np.roll(seen, (i, j), (0, 1)).ravel() for i in range(cells) for j in range(cells)])
    penalty = ridge * (np.abs(np.fft.rfft2(seen)) ** 2).mean()
    weights = np.linalg.solve(shifts.T @ shifts + penalty * np.eye(cells**2), shifts.T @ wanted)
    # the answer at a cell is the filter on the region shifted there
    np.testing.assert_allclose(answer.ravel(), shifts @ weights, atol=1e-5)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-4, 1)])
def test_the_answer_moves_with_the_target(shift):
    one = CorrelationFilter(OnlineConfig())
    region = features(5, channels=4)
    one.respond(region, 15)
    one.learn((0.0, 0.0), (6.0, 6.0))
    answer = one.respond(np.roll(region, (shift[1], shift[0]), (1, 2)), 15)
    row, column = np.unravel_index(answer.argmax(), answer.shape)
    assert (column - 7, row - 7) == shift


def test_what_was_seen_beside_the_target_gets_no_answer():
    region = np.zeros((2, CELLS, CELLS), np.float32)
    region[0, 10, 10] = region[0, 10, 15] = 1.0  # two that look alike in the first channel,
    region[1, 10, 10] = 0.5  # and little that tells them apart
    one = CorrelationFilter(OnlineConfig())
    one.respond(region, 15)
    one.learn((0.0, 0.0), (4.0, 4.0))
    answer = one.respond(region, 15)
    assert answer[7, 7] == answer.max()
    assert answer[7, 12] < 0.5 * answer[7, 7]


def test_before_it_has_learned_it_says_nothing():
    assert not CorrelationFilter(OnlineConfig()).respond(features(1), 15).any()


def test_a_new_frame_weighs_as_much_as_the_rate_says():
    first, second = features(1), features(2)
    one, other = CorrelationFilter(OnlineConfig(online_rate=0.25)), CorrelationFilter(OnlineConfig())
    for region in (first, second):
        one.respond(region, 15)
        one.learn((0.0, 0.0), (6.0, 6.0))
    other.respond(second, 15)
    other.learn((0.0, 0.0), (6.0, 6.0))
    alone = CorrelationFilter(OnlineConfig())
    alone.respond(first, 15)
    alone.learn((0.0, 0.0), (6.0, 6.0))
    np.testing.assert_allclose(one.energy, 0.75 * alone.energy + 0.25 * other.energy, rtol=1e-5)
