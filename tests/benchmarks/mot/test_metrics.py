"""Pairs, choices and metrics against plain loops, permutations and cases worked out by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mot import Rules, Score, compare, parse_rows, pool, score
from benchmarks.mot import pairs as pairs_module
from benchmarks.mot.pairs import Comparison, assign, overlapping_pairs
from tracker.box import overlap

seeds = st.integers(0, 2**32 - 1)


def rows_of(*rows: tuple[float, ...]):
    """``(frame, id, x, y, w, h, …)`` as in a file."""
    return parse_rows("".join(",".join(map(str, row)) + "\n" for row in rows).encode(), "rows")


def line(one: int, frames: range, x: float = 0, **others: float):
    """A track that stands still."""
    return [(frame, one, x, 1, 10, 10, *others.values()) for frame in frames]


def scored(truth, results) -> dict[str, float]:
    return score(compare(rows_of(*truth), rows_of(*results))).scores()


@settings(deadline=None)
@given(seeds)
def test_pairs_are_those_of_a_plain_loop(seed: int):
    rng = np.random.default_rng(seed)
    truth_frame, result_frame = (np.sort(rng.integers(0, 4, rng.integers(0, 15))) for _ in range(2))
    truth, result = (
        np.concatenate([rng.integers(0, 30, (len(frame), 2)), rng.integers(-1, 12, (len(frame), 2))], 1).astype(float)
        for frame in (truth_frame, result_frame)
    )
    found = overlapping_pairs(truth_frame, truth, result_frame, result)
    expected = [
        (a, b, shared)
        for a in range(len(truth))
        for b in range(len(result))
        if truth_frame[a] == result_frame[b] and min(*truth[a, 2:], *result[b, 2:]) > 0
        if (shared := float(overlap(truth[a], result[b]))) > 0
    ]
    assert list(zip(found.truth, found.result, strict=True)) == [(a, b) for a, b, _ in expected]
    np.testing.assert_allclose(found.overlap, [shared for *_, shared in expected])


def test_pairs_do_not_depend_on_how_many_are_compared_together(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(1)
    frame = np.sort(rng.integers(0, 5, 60))
    boxes = rng.uniform(0, 40, (60, 4))
    whole = overlapping_pairs(frame, boxes, frame, boxes)
    monkeypatch.setattr(pairs_module, "TOGETHER", 7)
    for one, other in zip(whole, overlapping_pairs(frame, boxes, frame, boxes), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dense", [0, 1 << 22], ids=["sparse", "dense"])
@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_assign_finds_the_highest_sum(dense: int, seed: int):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, 2).tolist())
    matrix = rng.uniform(0.1, 1, shape) * (rng.random(shape) < 0.6)
    rows, columns = np.nonzero(matrix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_module, "DENSE", dense)
        chosen = assign(rows, columns, matrix[rows, columns], shape)
    assert len(set(rows[chosen])) == len(set(columns[chosen])) == chosen.sum()
    square = np.zeros((5, 5))
    square[: shape[0], : shape[1]] = matrix
    best = max(square[range(5), order].sum() for order in permutations(range(5)))
    assert matrix[rows[chosen], columns[chosen]].sum() == pytest.approx(best)


def random_scene(seed: int) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    """Boxes on a coarse grid, so that they often overlap by exactly a half."""
    rng = np.random.default_rng(seed)

    def side() -> list[tuple[float, ...]]:
        people, kept = rng.integers(1, 6), rng.uniform(0.4, 1)
        return [
            (frame, one, *(4 * rng.integers(0, 4, 2)).tolist(), 12, 12)
            for frame in range(1, 8)
            for one in range(people)
            if rng.random() < kept
        ]

    return side(), side()


def plain_identity(comparison: Comparison) -> int:
    """IDTP by trying every way to give tracks to objects."""
    shared = np.zeros((6, 6))
    for a, b, share in zip(*comparison.pairs, strict=True):
        shared[comparison.truth_id[a], comparison.result_id[b]] += share >= 0.5
    return int(max(shared[range(6), order].sum() for order in permutations(range(6))))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_idtp_is_the_best_of_all_assignments(seed: int):
    truth, results = random_scene(seed)
    comparison = compare(rows_of(*truth), rows_of(*results))
    numbers = score(comparison).scores()
    assert numbers["IDTP"] == plain_identity(comparison)
    assert numbers["IDTP"] + numbers["IDFN"] == len(truth)
    assert numbers["IDTP"] + numbers["IDFP"] == len(results)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_counts_add_up_and_scores_stay_within_their_bounds(seed: int):
    truth, results = random_scene(seed)
    found = score(compare(rows_of(*truth), rows_of(*results)))
    numbers, curves = found.scores(), found.hota.curves()
    assert numbers["CLR_TP"] + numbers["CLR_FN"] == len(truth)
    assert numbers["CLR_TP"] + numbers["CLR_FP"] == len(results)
    assert numbers["MT"] + numbers["PT"] + numbers["ML"] == numbers["GT_IDs"]
    assert (curves["HOTA_TP"] + curves["HOTA_FN"] == len(truth)).all()
    assert (np.diff(curves["HOTA_TP"]) <= 0).all()
    for name in ("HOTA", "DetA", "AssA", "AssRe", "AssPr", "LocA"):
        assert ((curves[name] >= 0) & (curves[name] <= 1)).all()
    np.testing.assert_allclose(curves["HOTA"] ** 2, curves["DetA"] * curves["AssA"])


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_the_truth_itself_scores_1_under_any_names(seed: int):
    truth, _ = random_scene(seed)
    apart = [(frame, one, x + 100 * one, *others) for frame, one, x, *others in truth]  # nobody overlaps
    if not apart:
        return
    numbers = scored(apart, [(frame, 2**40 - 7 * one, *others) for frame, one, *others in apart])
    for name in ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "CLR_Re", "CLR_Pr", "MTR"):
        assert numbers[name] == pytest.approx(1), name
    assert numbers["IDSW"] == 0


def test_a_track_that_is_broken_in_the_middle():
    numbers = scored(line(1, range(1, 11)), line(5, range(1, 6)) + line(6, range(6, 11)))
    assert (numbers["IDSW"], numbers["Frag"], numbers["MT"]) == (1, 0, 1)
    assert numbers["MOTA"] == pytest.approx(0.9)
    assert numbers["IDF1"] == pytest.approx(0.5)
    assert numbers["AssA"] == pytest.approx(0.5)  # each match shares 5 of 10 boxes
    assert numbers["HOTA"] == pytest.approx(0.5**0.5)


def test_a_gap_is_a_fragment_and_no_switch():
    results = line(5, range(1, 4)) + line(5, range(6, 11)) + line(9, range(1, 11), x=500)
    numbers = scored(line(1, range(1, 11)), results)
    assert (numbers["IDSW"], numbers["Frag"], numbers["CLR_FN"], numbers["CLR_FP"]) == (0, 1, 2, 10)
    assert (numbers["MT"], numbers["PT"], numbers["ML"]) == (0, 1, 0)  # 8 of 10 are not more than 80 %


def test_a_match_goes_on_although_another_track_overlaps_more():
    truth = line(1, range(1, 4))
    results = [(1, 5, 0, 1, 10, 10), *line(5, range(2, 4), x=2), *line(6, range(2, 4), x=0)]
    assert scored(truth, results)["IDSW"] == 0


def test_an_overlap_of_exactly_a_half_is_a_match():
    numbers = scored([(1, 1, 1, 1, 10, 10)], [(1, 1, 1, 1, 5, 10)])
    assert (numbers["CLR_TP"], numbers["IDTP"]) == (1, 1)
    assert numbers["DetA"] == pytest.approx(10 / 19)  # thresholds .05 to .5


def test_pooling_adds_counts_and_weighs_associations():
    good = score(compare(rows_of(*line(1, range(1, 31))), rows_of(*line(1, range(1, 31)))))
    broken = score(compare(rows_of(*line(1, range(1, 11))), rows_of(*line(5, range(1, 6)), *line(6, range(6, 11)))))
    together: Score = pool([good, broken])
    numbers = together.scores()
    assert numbers["MOTA"] == pytest.approx(1 - 1 / 40)
    assert numbers["AssA"] == pytest.approx((30 * 1 + 10 * 0.5) / 40)
    assert numbers["IDF1"] == pytest.approx(35 / 40)
    assert (numbers["GT_IDs"], numbers["IDs"], numbers["CLR_Frames"]) == (2, 3, 40)


def test_one_side_may_be_empty():
    for truth, results in ((line(1, range(1, 4)), []), ([], line(1, range(1, 4))), ([], [])):
        numbers = scored(truth, results)
        assert (numbers["HOTA"], numbers["MOTA"], numbers["IDF1"], numbers["CLR_TP"]) == (0, 0, 0, 0)
        assert (numbers["CLR_FN"], numbers["CLR_FP"]) == (len(truth), len(results))


def test_distractors_take_a_result_with_them_and_flags_count():
    flagged, distractor, other = (1, 1, 0, 1, 10, 10, 1, 1), (1, 2, 50, 1, 10, 10, 1, 8), (1, 3, 90, 1, 10, 10, 0, 1)
    results = [(1, 1, 0, 1, 10, 10), (1, 2, 50, 1, 10, 10), (1, 3, 90, 1, 10, 10)]
    comparison = compare(rows_of(flagged, distractor, other), rows_of(*results), Rules((1,), (8,)))
    numbers = score(comparison).scores()
    assert (numbers["GT_Dets"], numbers["Dets"], numbers["CLR_TP"], numbers["CLR_FP"]) == (1, 2, 1, 1)


def test_classes_choose_from_the_truth_and_from_results_that_name_theirs():
    truth = [(1, 1, 0, 1, 10, 10, 1, 3), (1, 2, 50, 1, 10, 10, 1, 4)]
    results = [(1, 1, 0, 1, 10, 10, 1, 3), (1, 2, 50, 1, 10, 10, 1, 4), (1, 3, 90, 1, 10, 10, 1, -1)]
    numbers = score(compare(rows_of(*truth), rows_of(*results), Rules((3,)))).scores()
    assert (numbers["GT_Dets"], numbers["Dets"], numbers["CLR_TP"]) == (1, 2, 1)


def test_rules_with_classes_refuse_truth_without():
    with pytest.raises(ValueError, match="rows: line 1 has no class"):
        compare(rows_of((1, 1, 0, 1, 10, 10)), rows_of(), Rules((1,)))


def test_huge_frame_numbers_and_ids_cost_nothing():
    numbers = scored([(10**12, 2**62, 0, 1, 10, 10)], [(10**12, 2**61, 0, 1, 10, 10)])
    assert (numbers["HOTA"], numbers["MOTA"], numbers["CLR_Frames"]) == (pytest.approx(1), 1, 10**12)


def test_ten_thousand_boxes_in_a_frame():
    """Through the sparse solver: a dense matrix of scores would take 800 MB."""
    places = np.random.default_rng(3).permutation(10_000)
    truth = [(1, one, 14 * (place % 100), 14 * (place // 100), 20, 20) for one, place in enumerate(places)]
    results = [(frame, one, x + 1, y, w, h) for frame, one, x, y, w, h in truth]
    numbers = scored(truth, results)
    assert (numbers["CLR_TP"], numbers["IDTP"], numbers["HOTA_TP"]) == (10_000, 10_000, 10_000 * 18 / 19)
    assert numbers["MOTP"] == pytest.approx(19 / 21)
