"""How masks are judged: against plain counting, and by networks whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from learning.cosegmentation_data import Photo
from learning.cosegmentation_evaluation import (
    THRESHOLDS,
    Answers,
    EvaluationPair,
    as_json,
    as_markdown,
    ask,
    best_threshold,
    composed_pairs,
    jaccard,
    natural_pairs,
    precision,
    sheet,
    table,
)


def test_jaccard_and_precision_are_what_counting_gives() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        one, other = rng.random((2, 5, 6)) > 0.5
        both = either = right = 0
        for p, q in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            both, either, right = both + (p and q), either + (p or q), right + (p == q)
        assert jaccard(one, other) == pytest.approx(both / either)
        assert precision(one, other) == pytest.approx(right / 30)
    nothing = np.zeros((5, 6), bool)
    assert jaccard(nothing, nothing) == 1.0
    assert jaccard(~nothing, nothing) == 0.0


def photo(name: str, source: str, identity: str, classes: tuple[str, ...], seed: int) -> Photo:
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 50), bool)
    mask[8:30, 10:35] = True
    image = rng.integers(0, 90, (40, 50, 3), dtype=np.uint8)
    image[mask] += 150
    return Photo(name, source, image, {identity: mask}, frozenset(classes))


PHOTOS = [
    *(photo(f"cow{n}", "msrc_cow", "cow", ("cow",), n) for n in range(3)),
    *(photo(f"camel{n}", "davis", "davis/camel", ("camel",), 10 + n) for n in range(8)),
    *(photo(f"dog{n}", "coco256", "dog", ("dog",), 30 + n) for n in range(2)),
    *(photo(f"cup{n}", "coco256", "cup", ("cup",), 40 + n) for n in range(2)),
    *(photo(f"person{n}", "pennfudan", "person", ("person",), 50 + n) for n in range(2)),
    *(photo(f"thing{n}", "ecssd", f"ecssd/{n}", (), 60 + n) for n in range(4)),
]


def test_natural_pairs_are_of_one_identity_and_are_drawn_again_the_same() -> None:
    pairs = natural_pairs(PHOTOS, most=5)
    counts = {
        group: sum(pair.group == group for pair in pairs) for group in ("msrc_cow", "davis", "coco256", "pennfudan")
    }
    assert counts == {"msrc_cow": 3, "davis": 5, "coco256": 1, "pennfudan": 1}, "cups are no class kept out"
    assert len({pair.name for pair in pairs}) == len(pairs)
    assert [pair.name for pair in natural_pairs(PHOTOS, most=5)] == [pair.name for pair in pairs]
    by_image = {id(photo.image): photo for photo in PHOTOS}
    for pair in pairs:
        first, second = (by_image[id(image)] for image in pair.images)
        assert first.masks.keys() == second.masks.keys()
        assert not by_image[id(pair.unrelated)].masks.keys() & first.masks.keys()


def test_composed_pairs_leave_a_single_image_in_doubt() -> None:
    pairs = composed_pairs(PHOTOS, 6)
    assert len(pairs) == 6
    for pair in pairs:
        for image, mask in zip(pair.images, pair.masks, strict=True):
            assert image.shape[:2] == mask.shape
            assert mask.any()
            assert not mask.all()


class Known:
    """Stands for a network whose answer is known: the true mask, if the other image is that of the pair."""

    def __init__(self, pairs: Sequence[EvaluationPair], certainty: float = 0.8) -> None:
        self.true = {id(i): m for pair in pairs for i, m in zip(pair.images, pair.masks, strict=True)}
        self.partner = {id(a): id(b) for pair in pairs for a, b in (pair.images, pair.images[::-1])}
        self.certainty = certainty

    def probabilities(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        known = self.partner.get(id(images[0])) == id(images[1])
        return [self.certainty * self.true.get(id(i), np.zeros(i.shape[:2])) * known for i in images]

    def saliency(self, image: np.ndarray) -> np.ndarray:
        return np.ones(image.shape[:2], np.float32) * self.certainty


def pairs_apart() -> list[EvaluationPair]:
    """Pairs none of whose images is in another."""
    chosen = [PHOTOS[0:2], PHOTOS[3:5], PHOTOS[11:13]]
    return [
        EvaluationPair(
            a.source, a.name, (a.image, b.image), tuple(next(iter(p.masks.values())) for p in (a, b)), PHOTOS[-1].image
        )  # type: ignore[arg-type]
        for a, b in chosen
    ]


def test_the_table_tells_a_network_that_uses_the_other_image() -> None:
    pairs = pairs_apart()
    answers = ask(Known(pairs), pairs)  # type: ignore[arg-type]
    thresholds = {"cosegmentation": 0.5, "saliency": 0.5}
    rows = table(answers, thresholds)
    assert [row.group for row in rows] == ["msrc_cow", "davis", "coco256", "natural", "all"]
    share = 22 * 25 / (40 * 50)
    for row in rows:
        assert row.jaccard["cosegmentation"] == row.precision["cosegmentation"] == 1.0
        assert row.jaccard["saliency"] == row.jaccard["foreground"] == pytest.approx(share)
        assert row.precision["foreground"] == pytest.approx(share)
        assert row.jaccard["swapped"] == 0.0
        assert row.precision["swapped"] == pytest.approx(1 - share)
    assert as_json(rows)["all"]["pairs"] == 3
    text = as_markdown(rows)
    assert text.splitlines()[2].startswith("| MSRC cows | 1 | 1.000 / 1.000 | 0.275 / 0.275 |")
    assert sheet(answers, thresholds, each=1, height=40).shape == (
        3 * 40,
        8 * 53,
        3,
    )


def test_the_best_threshold_is_found() -> None:
    pairs = pairs_apart()
    answers = ask(Known(pairs, 0.42), pairs)  # type: ignore[arg-type]
    assert best_threshold(answers, "cosegmentation") == THRESHOLDS[0]
    raised = [
        Answers(a.pair, {"x": tuple(0.33 + 0.5 * mask for mask in a.pair.masks)})
        for a in answers  # type: ignore[arg-type,dict-item]
    ]
    assert best_threshold(raised, "x") == 0.35, "the first above what the background has"
