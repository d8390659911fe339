"""Mining against plain loops over all triplets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.triplets import MINERS, Triplets, distance_matrix, hard_triplets, mine

LABELS = [0, 0, 0, 1, 1, 2, 2, 2, 3]  # the last one has no positive


def _points(seed: int = 0, dimensions: int = 2) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=(len(LABELS), dimensions)), dtype=torch.float32)


def _mined(how: str, points: torch.Tensor, labels: list[int] = LABELS) -> list[tuple[int, ...]]:
    found = mine(how, points, torch.tensor(labels), torch.Generator().manual_seed(0))
    return list(zip(*(part.tolist() for part in found), strict=True))


def _valid() -> list[tuple[int, int, int]]:
    everything = itertools.product(range(len(LABELS)), repeat=3)
    return [(a, p, n) for a, p, n in everything if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]]


def test_all_are_the_valid_triplets() -> None:
    assert sorted(_mined("all", _points())) == sorted(_valid())
    assert len(_mined("all", torch.zeros(12, 2), [0] * 4 + [1] * 4 + [2] * 4)) == 3 * 4 * 3 * 2 * 4  # P·K·(K−1)·(P−1)·K


@pytest.mark.parametrize("seed", range(5))
def test_batch_hard_is_the_farthest_positive_and_the_nearest_negative(seed: int) -> None:
    points = _points(seed)
    away = [[math.dist(a, b) for b in points.tolist()] for a in points.tolist()]
    expected = []
    for a in range(8):
        positives = [p for p in range(9) if p != a and LABELS[p] == LABELS[a]]
        negatives = [n for n in range(9) if LABELS[n] != LABELS[a]]
        expected.append((a, max(positives, key=lambda p: away[a][p]), min(negatives, key=lambda n: away[a][n])))
    assert _mined("batch-hard", points) == expected


@pytest.mark.parametrize("seed", range(5))
def test_semi_hard_is_the_nearest_negative_beyond_the_positive(seed: int) -> None:
    points = _points(seed)
    away = [[math.dist(a, b) for b in points.tolist()] for a in points.tolist()]
    expected = set()
    for a, p in {(a, p) for a, p, _ in _valid()}:
        negatives = [n for n in range(9) if LABELS[n] != LABELS[a]]
        beyond = [n for n in negatives if away[a][n] > away[a][p]]
        chosen = min(beyond, key=lambda n: away[a][n]) if beyond else max(negatives, key=lambda n: away[a][n])
        expected.add((a, p, chosen))
    assert set(_mined("semi-hard", points)) == expected


def test_random_ones_are_valid_and_reach_every_valid_one() -> None:
    seen = set()
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        found = mine("random", _points(), torch.tensor(LABELS), generator)
        assert found.anchor.tolist() == list(range(8))
        seen |= set(zip(*(part.tolist() for part in found), strict=True))
    assert seen == set(_valid())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=10), st.sampled_from(sorted(MINERS)))
def test_every_way_gives_valid_triplets_or_says_that_there_are_none(labels: list[int], how: str) -> None:
    possible = len(set(labels)) > 1 and any(labels.count(label) > 1 for label in labels)
    points = torch.arange(2.0 * len(labels)).view(-1, 2)
    if not possible:
        with pytest.raises(ValueError, match="without a triplet"):
            _mined(how, points, labels)
        return
    for a, p, n in _mined(how, points, labels):
        assert a != p
        assert labels[a] == labels[p] != labels[n]


def test_equal_embeddings_are_mined_too() -> None:
    for how in MINERS:
        assert _mined(how, torch.zeros(9, 2))


def test_an_unknown_way_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no mining 'hardest'"):
        mine("hardest", _points(), torch.tensor(LABELS))


def test_the_pairs_of_triplets() -> None:
    first, second, same = Triplets(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 5])).pairs()
    assert first.tolist() == [0, 1, 0, 1]
    assert second.tolist() == [2, 3, 4, 5]
    assert same.tolist() == [True, True, False, False]


def test_distances_are_euclidean_and_exactly_zero_to_oneself() -> None:
    points = 1000 + _points(3, 4)  # far from the origin, where ‖a‖² + ‖b‖² − 2ab loses all digits
    expected = [[math.dist(a, b) for b in points.tolist()] for a in points.tolist()]
    torch.testing.assert_close(distance_matrix(points), torch.tensor(expected), atol=1e-3, rtol=1e-3)
    assert distance_matrix(points).diagonal().abs().max() == 0


def test_offline_mining_finds_the_nearest_negative_of_the_epoch() -> None:
    points, labels = _points(1), torch.tensor(LABELS)
    found = hard_triplets(points, labels, torch.arange(9), 9, torch.Generator().manual_seed(0), chunk=4)
    assert found.anchor.tolist() == list(range(8)), "the one without a positive is left out"
    away = [[math.dist(a, b) for b in points.tolist()] for a in points.tolist()]
    for a, p, n in zip(*(part.tolist() for part in found), strict=True):
        assert a != p
        assert LABELS[a] == LABELS[p]
        assert n == min((other for other in range(9) if LABELS[other] != LABELS[a]), key=lambda k: away[a][k])


def test_offline_mining_draws_every_positive_and_only_from_its_pool() -> None:
    points, labels, seen = _points(1), torch.tensor(LABELS), set()
    for seed in range(60):
        found = hard_triplets(points, labels, torch.tensor([0, 5]), 3, torch.Generator().manual_seed(seed))
        seen |= set(zip(found.anchor.tolist(), found.positive.tolist(), strict=True))
    assert seen == {(0, 1), (0, 2), (5, 6), (5, 7)}
