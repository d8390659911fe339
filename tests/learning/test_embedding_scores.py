"""The measures of a trained network, on a network whose embeddings are known: what it is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import EmbeddingCard, EmbeddingNetwork
from learning.embedding_scores import evenly, judge, neighbour_accuracy, one_shot, pair_scores


def _identity(loss: str = "triplet") -> EmbeddingNetwork:
    """A network that embeds an image as its first two pixels."""
    network = EmbeddingNetwork(EmbeddingCard("embeddingnet", size=8, dimensions=2, scale=1.0, loss=loss))
    network.tower = torch.nn.Sequential(torch.nn.Flatten())
    network.tower.append(torch.nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        network.tower[1].weight.copy_(torch.eye(2, 64))  # type: ignore[union-attr,arg-type]
    return network.eval()


def _at(points: list[tuple[int, int]], labels: list[int], names: tuple[str, ...]) -> LabelledImages:
    images = torch.zeros(len(points), 1, 8, 8, dtype=torch.uint8)
    images[:, 0, 0, :2] = torch.tensor(points, dtype=torch.uint8)
    return LabelledImages(images, np.array(labels), names)


NAMES = ("a", "b")
TRAIN = _at([(0, 0), (10, 0), (60, 0), (110, 0)], [0, 0, 1, 1], NAMES)
TEST = _at([(4, 0), (6, 1), (104, 0), (52, 0)], [0, 0, 1, 1], NAMES)  # of these, the last is nearer to the other class


def test_neighbours_are_sought_among_the_training_images() -> None:
    assert neighbour_accuracy(_identity(), Parts(TRAIN, TEST)) == 1
    assert neighbour_accuracy(_identity(), Parts(TRAIN.subset(np.array([0, 1, 3])), TEST)) == 0.75


def test_classes_never_seen_are_sought_among_themselves() -> None:
    others = LabelledImages(TEST.images, TEST.labels, ("c", "d"))
    assert neighbour_accuracy(_identity(), Parts(TRAIN, others)) == 0.75, "6 is nearer to 52 than 104"


def test_everything_that_a_card_says() -> None:
    found = judge(_identity(), Parts(TRAIN, TEST))
    assert found["neighbour accuracy"] == 1
    assert set(found) == {"neighbour accuracy", "nmi", "pair accuracy", "pair auc"}
    assert 0 <= found["pair accuracy"] <= 1
    tight = _at([(0, 0), (10, 0), (100, 0), (120, 0)], [0, 0, 1, 1], NAMES)
    # the threshold falls on 20 or beyond, below 90, and parts 15 from 83
    assert (
        judge(_identity(), Parts(tight, _at([(4, 0), (6, 1), (104, 0), (89, 0)], [0, 0, 1, 1], NAMES)))["pair accuracy"]
        == 1
    )


def test_pairs_are_scored_as_the_network_compares() -> None:
    embeddings = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    one, other = np.array([0, 0]), np.array([1, 0])
    assert pair_scores(_identity(), embeddings, one, other).tolist() == [-5, 0]
    network = _identity("bce")
    expected = float((network.alpha.detach() * torch.tensor([3.0, 4.0])).sum() + network.bias.detach())
    assert pair_scores(network, embeddings, one, other).tolist() == pytest.approx([expected, 1])


@pytest.mark.parametrize("loss", ["triplet", "bce"])
def test_one_shot_accuracy_of_characters_that_stand_where_their_class_is(loss: str) -> None:
    """Ten alphabets of twenty characters by four drawers, embedded as their numbers, but for two that are swapped."""
    numbers = np.repeat(np.arange(200), 4)
    drawers = np.tile([17, 18, 19, 20], 200)
    points = [(int(number % 20) * 10, int(number // 20)) for number in numbers]
    names = tuple(f"alphabet{number // 20:02d}/character{number % 20:02d}" for number in range(200))
    plain = _at(points, numbers.tolist(), names)
    test = LabelledImages(plain.images, plain.labels, names, np.arange(200) // 20, drawers)
    network = _identity(loss)
    found = one_shot(network, test, network.embed(test.images))
    assert found == {"20-way one-shot": 1.0, "20-way one-shot, first draw": 1.0}
    assert one_shot(network, test, network.embed(test.images), (network.embed(test.images), test.labels)) == found
    for one in (0, 2):  # in the first alphabet two of the drawers take two characters for each other
        points[one], points[one + 4] = points[one + 4], points[one]
    wrong = _at(points, numbers.tolist(), names)
    test = LabelledImages(wrong.images, wrong.labels, names, np.arange(200) // 20, drawers)
    found = one_shot(network, test, network.embed(test.images))
    # it matters if one of an episode.s two drawers swaps: 2 in 3 draws, 2 of 20 characters, 1 of 10 alphabets
    assert 1 - found["20-way one-shot"] == pytest.approx(2 / 3 * 2 / 20 / 10, rel=0.4)
    assert one_shot(network, TEST, network.embed(TEST.images)) == {}, "other data have no such protocol"


@pytest.mark.parametrize("loss", ["triplet", "bce"])
def test_one_shot_whitens_what_has_length_1_by_what_is_known(loss: str) -> None:
    """Each of the twenty characters of an alphabet has an axis of its own, which drawers miss by a little."""
    numbers = np.repeat(np.arange(200), 4)
    names = tuple(f"alphabet{number // 20:02d}/character{number % 20:02d}" for number in range(200))
    plain = _at([(0, 0)] * 800, numbers.tolist(), names)
    test = LabelledImages(plain.images, plain.labels, names, np.arange(200) // 20, np.tile([17, 18, 19, 20], 200))
    network = _identity(loss)
    network.card = dataclasses.replace(network.card, normalise=True, dimensions=20)
    noise = torch.randn(800, 20, generator=torch.Generator().manual_seed(0)) / 20
    vectors = torch.nn.functional.normalize(torch.eye(20).repeat(10, 1).repeat_interleave(4, 0) + noise)
    if loss == "triplet":
        assert one_shot(network, test, vectors, (vectors, test.labels))["20-way one-shot, whitened"] == 1.0
        swapped = vectors.roll(4, 0)  # every drawing is of the next character
        found = one_shot(
            network, test, torch.where(torch.arange(800)[:, None] % 4 < 2, vectors, swapped), (vectors, test.labels)
        )
        assert found["20-way one-shot, whitened"] == pytest.approx(1 / 3, abs=0.1)  # if both drawers are of one half
    else:
        network.alpha = torch.nn.Parameter(torch.full((20,), -1.0))
        assert "20-way one-shot, whitened" not in one_shot(network, test, vectors, (vectors, test.labels))


def test_some_of_many_are_the_same_each_time() -> None:
    assert evenly(5, 9).tolist() == [0, 1, 2, 3, 4]
    some = evenly(1000, 10)
    assert len(set(some.tolist())) == 10
    assert some.tolist() == sorted(some) == evenly(1000, 10).tolist()
