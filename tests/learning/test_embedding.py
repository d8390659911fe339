"""Training: it learns by every loss and way of mining, resumes exactly, and stops where it should."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from learning.embedding import LOSSES, UNMINED, EmbeddingRecipe, EmbeddingTraining, TrainingStopped, rate_at
from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import EmbeddingCard
from learning.embedding_scores import judge, neighbour_accuracy
from learning.glyphs import draw_glyphs, glyph_parts
from learning.triplets import MINING, OFFLINE

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = EmbeddingRecipe("triplet", classes=4, images=4, epochs=4, learning_rate=5e-3)


@pytest.fixture(scope="module")
def data() -> Parts:
    return glyph_parts(5, 24, 8, 16)


def _training(data: Parts, folder: Path, card: dict[str, object] | None = None, **changes: object) -> EmbeddingTraining:
    recipe = dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]
    entries = {"size": 16, "dimensions": 4, **(card or {})}
    classes = 5 if recipe.loss == "softmax" else 0
    return EmbeddingTraining(
        EmbeddingCard("embeddingnet", loss=recipe.loss, classes=classes, **entries),  # type: ignore[arg-type]
        recipe,
        data,
        folder,
    )


CASES = [(loss, mining) for loss in LOSSES for mining in (["random"] if loss in UNMINED else MINING)]


@pytest.mark.parametrize(("loss", "mining"), CASES)
def test_every_loss_learns_with_every_way_of_mining(data: Parts, tmp_path: Path, loss: str, mining: str) -> None:
    training = _training(data, tmp_path, loss=loss, mining=mining, epochs=5)
    before = neighbour_accuracy(training.network, data)
    network = training.run()
    assert judge(network, data)["pair accuracy"] > 0.75
    assert neighbour_accuracy(network, data) >= max(0.85, before)
    rows = list(csv.DictReader((tmp_path / "log.csv").open(encoding="utf-8")))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    if mining != OFFLINE:  # whose triplets are harder the more was learned, so that their loss may rise
        assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert all(0 <= float(row["active"]) <= 1 for row in rows)


def test_the_seed_decides(data: Parts, tmp_path: Path) -> None:
    first, again, other = (
        _training(data, tmp_path / str(k), epochs=1, augment="shift", seed=seed).run()
        for k, seed in enumerate((1, 1, 2))
    )
    images = data.test.images
    assert torch.equal(first.embed(images), again.embed(images))
    assert not torch.equal(first.embed(images), other.embed(images))


def test_many_unseen_classes_are_looked_at_in_part_on_the_way(data: Parts, tmp_path: Path) -> None:
    images = torch.zeros(300, 1, 16, 16, dtype=torch.uint8)
    many = LabelledImages(images, np.arange(300) // 2, tuple(f"character {k}" for k in range(150)))
    training = _training(Parts(data.train, many), tmp_path)
    assert (len(training.judged.test.classes), len(training.judged.test)) == (100, 200)
    assert len(training.data.test) == 300
    assert _training(data, tmp_path).judged.test is data.test


def test_views_are_of_the_trained_network_alone(data: Parts, tmp_path: Path) -> None:
    """Training looks at one view, so that what was trained may be judged by others without training it again."""
    plain = _training(data, tmp_path, epochs=1).run()
    more = _training(data, tmp_path, {"views": "turned"}, epochs=1)
    assert more.network.card.views == "one"
    assert more.epoch == 1, "goes on from the checkpoint"
    network = more.run()
    assert network.card.views == "turned"
    torch.testing.assert_close(network.embed(data.test.images)[:, :4], plain.embed(data.test.images) / 2)


@pytest.mark.parametrize(("mining", "average"), [("batch-hard", 0.0), ("offline", 0.0), ("batch-hard", 0.3)])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(
    data: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mining: str, average: float
) -> None:
    whole = _training(data, tmp_path / "whole", mining=mining, augment="shift", average=average).run()
    stopped = _training(data, tmp_path / "stopped", mining=mining, augment="shift", average=average)
    epoch = stopped._epoch

    def interrupted() -> tuple[float, float]:
        if stopped.epoch == 2:
            raise KeyboardInterrupt
        return epoch()

    monkeypatch.setattr(stopped, "_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = _training(data, tmp_path / "stopped", mining=mining, augment="shift", average=average)
    assert resumed.epoch == 2
    assert torch.equal(resumed.run().embed(data.test.images), whole.embed(data.test.images))
    finished = _training(data, tmp_path / "stopped", mining=mining, augment="shift", average=average)
    assert torch.equal(finished.run().embed(data.test.images), whole.embed(data.test.images)), "nothing left to do"


def test_averaged_weights_are_what_was_trained(data: Parts, tmp_path: Path) -> None:
    """Over a share of 1 they are the mean of those after each step; the network learns as it does without averaging."""
    training = _training(data, tmp_path / "averaged", epochs=2, average=1.0)
    loss, seen = training._loss, list[torch.Tensor]()
    weights = training.network.tower.linear.weight

    def watched(*args: object) -> tuple[torch.Tensor, float]:
        seen.append(weights.detach().clone())  # before this step, after the last
        return loss(*args)  # type: ignore[arg-type]

    training._loss = watched  # type: ignore[method-assign]
    network = training.run()
    after_each_step = torch.stack([*seen[1:], weights.detach()])
    torch.testing.assert_close(network.tower.linear.weight.detach(), after_each_step.mean(0))
    assert training.rows[-1]["accuracy"] == neighbour_accuracy(network, data), "judged, too"
    plain = _training(data, tmp_path / "plain", epochs=2).run()
    assert torch.equal(plain.tower.linear.weight, weights)
    assert not torch.equal(plain.tower.linear.weight, network.tower.linear.weight)


def test_the_average_reaches_back_over_a_share_of_the_steps(data: Parts, tmp_path: Path) -> None:
    """Of weights that grow by 1 a step it lags behind by that share of the steps, however many these were."""
    training = _training(data, tmp_path, average=0.1)
    for steps in (100, 1000):
        average = torch.zeros(())
        for step in range(steps):
            average = training._averaged(average, torch.tensor(float(step)), step)
        assert (steps - 1 - float(average)) / steps == pytest.approx(1 / 11, rel=0.05)


def test_a_checkpoint_of_another_training_is_refused(data: Parts, tmp_path: Path) -> None:
    _training(data, tmp_path, epochs=1).run()
    with pytest.raises(ValueError, match=r"another training \(other learning_rate\)"):
        _training(data, tmp_path, epochs=1, learning_rate=1e-3)
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="cannot be read"):
        _training(data, tmp_path, epochs=1)


def test_a_loss_that_is_no_number_stops_and_says_where(data: Parts, tmp_path: Path) -> None:
    training = _training(data, tmp_path, epochs=3)
    steps = training.steps
    original = training._loss
    calls = 0

    def broken(*arguments: object) -> tuple[torch.Tensor, float]:
        nonlocal calls
        calls += 1
        loss, share = original(*arguments)  # type: ignore[arg-type]
        return (loss * torch.nan if calls == steps + 3 else loss), share

    training._loss = broken  # type: ignore[method-assign]
    with pytest.raises(TrainingStopped, match=r"nan in step 3 of epoch 2; .*last.ckpt holds the 1 epochs before"):
        training.run()
    good = _training(data, tmp_path, epochs=3)
    assert good.epoch == 1
    assert all(parameter.isfinite().all() for parameter in good.network.parameters())


def test_a_rate_that_is_far_too_high_does_not_pass_for_training(data: Parts, tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped, match="in step"):
        _training(data, tmp_path, loss="contrastive", margin=1e30, learning_rate=1e30).run()
    assert (
        not (tmp_path / "last.ckpt").exists()
        or _training(data, tmp_path, loss="contrastive", margin=1e30, learning_rate=1e30).epoch > 0
    )


@pytest.mark.parametrize("mining", ["batch-hard", "offline"])
def test_a_warm_up_mines_semi_hard_triplets_first(data: Parts, tmp_path: Path, mining: str) -> None:
    semi_hard = _training(data, tmp_path / "a", mining="semi-hard", epochs=2)
    warmed = _training(data, tmp_path / "b", mining=mining, epochs=2, warm_up=1)
    for training in (semi_hard, warmed):
        training._epoch()
    images = data.test.images
    assert torch.equal(semi_hard.network.embed(images), warmed.network.embed(images))
    for training in (semi_hard, warmed):
        training.epoch = 1
        training._epoch()
    assert not torch.equal(semi_hard.network.embed(images), warmed.network.embed(images))


def test_moments_are_kept_where_asked(data: Parts, tmp_path: Path) -> None:
    training = EmbeddingTraining(
        EmbeddingCard("embeddingnet", size=16, dimensions=2),
        dataclasses.replace(RECIPE, epochs=2),
        data,
        tmp_path,
        moments=2,
    )
    training.run()
    steps = sorted(int(path.stem) for path in (tmp_path / "moments").glob("*.npy"))
    assert steps == [0, 4, 8, 12, 16], "120 images by 16 are 8 steps"
    last = np.load(tmp_path / "moments" / "0000016.npy")
    assert np.array_equal(last, training.network.embed(data.test.images).numpy())


def test_multiplied_classes_and_classes_never_seen(tmp_path: Path) -> None:
    everything = draw_glyphs(8, 10, 16)
    data = Parts(everything.of_classes(np.arange(5)), everything.of_classes(np.arange(5, 8)))
    training = _training(data, tmp_path, multiplied="all", epochs=2)
    assert len(training.data.train) == 400
    assert neighbour_accuracy(training.run(), data) > 0.6


def test_another_trainings_weights_can_be_the_start(data: Parts, tmp_path: Path) -> None:
    trained = _training(data, tmp_path / "a", epochs=1).run()
    other = _training(data, tmp_path / "b", loss="softmax")
    other.start_from(trained)
    assert torch.equal(other.network.embed(data.test.images), trained.embed(data.test.images))
    averaging = _training(data, tmp_path / "d", average=0.1)
    averaging.start_from(trained)
    assert torch.equal(averaging.trained.embed(data.test.images), trained.embed(data.test.images))
    wider = _training(data, tmp_path / "c", {"dimensions": 5})
    with pytest.raises(ValueError, match="cannot start embeddingnet of 5 dimensions from embeddingnet of 4"):
        wider.start_from(trained)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "hinge"}, "no loss 'hinge'"),
        ({"mining": "hardest"}, "no mining 'hardest'"),
        ({"multiplied": "often"}, "cannot be multiplied by 'often'"),
        ({"augment": "wild"}, "no augmentation 'wild'"),
        ({"precision": "fp16"}, "fp32 or bf16"),
        ({"loss": "contrastive", "margin": None}, "no soft margin"),
        ({"margin": 0.0}, "positive number"),
        ({"learning_rate": -1.0}, "must be positive"),
        ({"epochs": 0}, "must be positive"),
        ({"warm_up": 5}, "0 to 4 epochs, the whole training, got 5"),
        ({"average": 1.5}, r"a share in \[0, 1\] of the steps, got 1.5"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]


def test_k_larger_than_a_class_is_refused_before_training(data: Parts, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a batch of 30 images a class, but 5 of 5 classes have fewer"):
        _training(data, tmp_path / "run", images=30)
    assert not (tmp_path / "run").exists()


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [rate_at(progress) for progress in np.linspace(0, 1, 101)]
    assert max(rates) <= 1
    assert rates[0] < 0.05
    assert rates[-1] < 0.01
    assert np.argmax(rates) in range(3, 9)
    assert (np.diff(rates[9:]) < 0).all()
