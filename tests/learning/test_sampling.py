"""Balanced batches: what each holds, how often each image comes, and what cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.sampling import BalancedBatches

LABELS = np.repeat(np.arange(6), [4, 5, 6, 7, 8, 9])


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.integers(2, 4), st.integers(0, 3))
def test_every_batch_has_k_different_images_of_p_classes(classes: int, images: int, seed: int) -> None:
    for batch in BalancedBatches(LABELS, classes, images, seed, steps=15):
        assert len(set(batch.tolist())) == classes * images
        found, counts = np.unique(LABELS[batch], return_counts=True)
        assert len(found) == classes
        assert (counts == images).all()


def test_an_epoch_shows_as_many_images_as_there_are() -> None:
    batches = BalancedBatches(LABELS, 3, 2)
    assert len(batches) == 7 == len(list(batches))  # 39 images by 6


def test_classes_come_equally_often_and_no_image_again_before_all_of_its_class() -> None:
    shown = np.concatenate(list(BalancedBatches(LABELS, 3, 2, steps=20)))
    assert np.bincount(LABELS[shown]).tolist() == [20] * 6
    for label in range(6):
        times = np.bincount(shown[LABELS[shown] == label], minlength=len(LABELS))[label == LABELS]
        assert times.max() - times.min() <= 1


def test_the_seed_decides() -> None:
    first, again, other = (
        np.concatenate(list(BalancedBatches(LABELS, 3, 2, seed))) for seed in ((0, 1), (0, 1), (0, 2))
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_grouped_batches_are_of_whole_groups_as_far_as_they_go() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2])
    batches = BalancedBatches(LABELS, 3, 2, groups=groups, grouped=1.0, steps=50)
    seen = {tuple(sorted(groups[np.unique(LABELS[batch])].tolist())) for batch in batches}
    assert (0, 0, 0) in seen, "group 0 fills a batch"
    assert seen == {(0, 0, 0), (0, 1, 1), (1, 1, 2), (0, 0, 2)}, "never one of each, which would be no whole group"
    mixed = {
        tuple(sorted(groups[np.unique(LABELS[b])])) for b in BalancedBatches(LABELS, 3, 2, groups=groups, steps=50)
    }
    assert (0, 1, 2) in mixed, "without the share groups do not matter"
    assert (0, 0, 1) in mixed


@pytest.mark.parametrize(
    ("classes", "images", "grouped", "words"),
    [
        (3, 5, 0.0, r"5 images a class, but 1 of 6 classes have fewer \(class 0 has 4\)"),
        (7, 2, 0.0, "only 6"),
        (1, 2, 0.0, "2 classes and 2 images"),
        (3, 1, 0.0, "2 classes and 2 images"),
        (3, 2, 1.5, r"in \[0, 1\]"),
    ],
)
def test_what_cannot_be_had_is_refused(classes: int, images: int, grouped: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BalancedBatches(LABELS, classes, images, grouped=grouped)
