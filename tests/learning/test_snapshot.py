"""Weights of an unfinished training are the average up to there, and their card says how far it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from torch import Tensor

from learning.footage import Footage
from learning.pairs import PairConfig
from learning.siamese import RECIPES, PairData, Recipe, SiameseTraining, train
from learning.snapshot import Snapshots, fitting, halvings, main, snapshot
from tracker.network import ModelCard, SiameseNetwork, load_network

DECAY, STEPS, BATCH = 0.6, 8, 2
EPOCH = 4

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def footage() -> Footage:
    """One still object before noise."""
    footage = Footage()
    footage.add_image(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8))
    footage.add_track("scene", "still", 0, (50, 40, 30, 40))
    return footage


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    card = ModelCard("compact", "siamfc", mean=114.0, scale=1 / 64)
    data = PairConfig(mix={"still": 1.0}, shift=8.0, zoom=0.05, clutter=0.0)
    return Recipe(
        card, pairs=STEPS * BATCH, batch_size=BATCH, search_size=191, foreign=1, data=data, batches_per_epoch=EPOCH
    )


class Spy(Callback):
    """Keeps the weights as they are after each step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        network: Any = module.network
        self.weights.append({name: tensor.clone() for name, tensor in network.state_dict().items()})


def _averages(weights: list[dict[str, Tensor]], name: str) -> list[Tensor]:
    """The exponential moving average after each step, by its definition: it begins with the first weights."""
    average, seen = weights[0][name], []
    for step in weights:
        average = DECAY * average + (1 - DECAY) * step[name]
        seen.append(average)
    return seen


def test_snapshots_hold_the_average_after_so_many_pairs(footage: Footage, recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, spy = SiameseTraining(recipe), Spy()
    # 7 pairs are within the fourth step, which ends at 8.
    callbacks = [EMAWeightAveraging(decay=DECAY), spy, Snapshots(tmp_path, recipe, at=[7, 12, 99])]
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        reload_dataloaders_every_n_epochs=1,
        callbacks=callbacks,  # type: ignore[arg-type]
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, PairData(footage, recipe, seed=3))

    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        "at_000000007.safetensors",
        "at_000000012.safetensors",
    ]
    for at, steps in ((7, 4), (12, 6)):
        network = load_network(tmp_path / f"at_{at:09d}.safetensors")
        for name, tensor in network.state_dict().items():
            if "num_batches" not in name:
                torch.testing.assert_close(tensor, _averages(spy.weights, name)[steps - 1], rtol=2e-3, atol=1e-4)
        training = network.card.training
        assert training["pairs"] == steps * BATCH
        assert training["seed"] == 3
        assert training["data"] == footage.summary()
        # The rate of the step to come: the plateau has its end at 60 % of eight steps.
        assert training["learning_rate_share"] == pytest.approx(recipe.learning_rate_at(steps), abs=1e-4)


def test_the_points_are_halvings_of_the_length() -> None:
    assert halvings(400_000) == [25_000, 50_000, 100_000, 200_000]


@pytest.fixture(scope="module")
def run(footage: Footage, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run's folder."""
    folder = tmp_path_factory.mktemp("run")
    train(recipe, footage, folder, accelerator="cpu", precision="32-true", progress=False)
    return folder


def test_the_last_checkpoint_gives_its_averaged_weights(run: Path, recipe: Recipe, tmp_path: Path) -> None:
    card = snapshot(run, tmp_path / "so_far.safetensors", recipe, seed=5)
    averaged = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    for name, tensor in load_network(tmp_path / "so_far.safetensors").state_dict().items():
        expected = averaged[f"network.{name}"]
        assert torch.equal(tensor, (expected.half() if expected.ndim > 1 else expected).to(tensor.dtype)), name
    assert (card.training["pairs"], card.training["seed"], card.training["starts"]) == (STEPS * BATCH, 5, 1)
    assert 0 < card.training["learning_rate_share"] < 0.5, "it has fallen"


def test_the_command_finds_the_recipe_and_writes_weights_once(
    run: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    output = tmp_path / "so_far.safetensors"
    before = sorted(path.name for path in run.rglob("*"))
    assert main([str(run), "--output", str(output), "--seed", "1", "--command", "train it"]) == 0
    assert "tiny after 16 pairs" in capsys.readouterr().out
    training = ModelCard.read(output.with_suffix(".json")).training
    assert (training["seed"], training["command"]) == (1, "train it")
    assert sorted(path.name for path in run.rglob("*")) == before
    assert main([str(run), "--output", str(output)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_command_says_what_is_wrong(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(folder: Path, *more: str) -> str:
        assert main([str(folder), "--output", str(tmp_path / "o.safetensors"), *more]) == 2
        assert not (tmp_path / "o.safetensors").exists()
        return capsys.readouterr().err

    assert "no last.ckpt" in refused(tmp_path)
    assert "not the tensors of alexnet + siamfc" in refused(run, "--model", "alexnet")
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes()[:1000])
    assert "try again" in refused(torn)
    shutil.rmtree(torn)
    torn.mkdir()
    torch.save({"state_dict": {}}, torn / "last.ckpt")
    assert "no averaged weights" in refused(torn)


@pytest.mark.parametrize("name", ["compact", "compact_box", "ciresnet22", "alexnet"])
def test_tensors_tell_their_recipe(name: str) -> None:
    state = {f"network.{key}": tensor for key, tensor in SiameseNetwork(RECIPES[name].card).state_dict().items()}
    assert fitting({**state, "hint.weight": torch.zeros(1)}, RECIPES) == [name]
