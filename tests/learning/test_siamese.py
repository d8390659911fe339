"""Training on footage made up here: it learns, resumes where it stopped, and saves what the tracker loads."""

from __future__ import annotations

import csv
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learning.footage import Footage
from learning.pairs import PairConfig
from learning.siamese import RECIPES, PairData, Recipe, SiameseTraining, train, train_and_save
from tracker import SiamTracker
from tracker.network import ModelCard, SiameseNetwork, load_network

BOX = (50.0, 40.0, 30.0, 40.0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def footage() -> Footage:
    """One scene: a chequered object before noise."""
    rng = np.random.default_rng(0)
    footage = Footage()
    image = rng.integers(60, 140, (120, 160, 3), dtype=np.uint8)
    x, y, w, h = (int(value) for value in BOX)
    image[y : y + h, x : x + w] = (20, 220, 240)
    image[y : y + h : 8, x : x + w] = 0
    footage.add_image(image)
    footage.add_track("scene", "still", 0, BOX)
    return footage


def _recipe(steps: int, **changes: Any) -> Recipe:
    card = ModelCard("compact", "box", mean=114.0, scale=1 / 64, licence="none")
    data = PairConfig(mix={"still": 1.0}, shift=8.0, zoom=0.05, clutter=0.0)
    recipe = Recipe(card, pairs=2 * steps, batch_size=2, search_size=191, data=data, batches_per_epoch=5)
    return dataclasses.replace(recipe, **changes)


def _train(recipe: Recipe, footage: Footage, folder: Path) -> SiameseNetwork:
    return train(recipe, footage, folder, accelerator="cpu", precision="32-true", progress=False)


def _log(folder: Path) -> list[dict[str, str]]:
    paths = sorted(folder.glob("version_*/metrics.csv"))
    return [row for path in paths for row in csv.DictReader(path.open(newline=""))]


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    recipe = _recipe(1000)
    rates = np.array([recipe.learning_rate_at(step) for step in range(recipe.steps)])
    assert np.allclose(rates[:20], np.arange(1, 21) / 20)
    assert np.all(rates[20:600] == 1)
    assert np.all(np.diff(rates[601:990]) < 0)
    assert rates[800] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.01)


def test_the_plateau_does_not_depend_on_the_end() -> None:
    short, long = _recipe(1000), _recipe(1500)
    assert all(short.learning_rate_at(step) == long.learning_rate_at(step) for step in range(40, 600))


def test_steps_cover_the_pairs() -> None:
    assert dataclasses.replace(_recipe(1), pairs=5).steps == 3


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_describe_networks_that_exist(name: str) -> None:
    recipe = RECIPES[name]
    card = recipe.card
    network = SiameseNetwork(card)
    sizes = torch.zeros(1, 3, card.exemplar_size, card.exemplar_size), torch.zeros(1, 3, *[recipe.search_size] * 2)
    with torch.inference_mode():
        response = network.eval()(*sizes)
    reach = (response.shape[-1] - 1) / 2 * card.stride  # of the outermost cell from the middle
    assert recipe.data.shift <= reach + card.stride / 2, "some targets would have no cell"


@pytest.fixture(scope="module")
def trained(footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> tuple[SiameseNetwork, Path]:
    """30 steps, stopped after 20 by a shorter plan and resumed."""
    folder = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _train(_recipe(20), footage, folder)
        network = _train(_recipe(30), footage, folder)
    assert not [str(warning.message) for warning in caught]
    return network, folder


def test_training_on_one_scene_lowers_the_loss(footage: Footage, tmp_path: Path, monkeypatch: Any) -> None:
    losses: list[float] = []
    step = SiameseTraining.training_step

    def spied(self: SiameseTraining, batch: Any, index: int) -> torch.Tensor:
        loss = step(self, batch, index)
        losses.append(float(loss))
        return loss

    monkeypatch.setattr(SiameseTraining, "training_step", spied)
    _train(_recipe(30), footage, tmp_path)
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_resumed_run_goes_on_from_its_checkpoint(trained: tuple[SiameseNetwork, Path]) -> None:
    _, folder = trained
    starts = [json.loads((folder / f"version_{number}" / "start.json").read_text()) for number in (0, 1)]
    assert [(start["first_step"], start["last_step"]) for start in starts] == [(0, 20), (20, 30)]
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 30
    assert [path.name for path in folder.glob("*.ckpt")] == ["last.ckpt"]
