"""Training on footage made up here: it learns, resumes where it stopped, and saves what the tracker loads."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import signal
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from backbones.alexnet import FDSIAMFC_WIDTHS, AlexNet
from backbones.efficientnet_lite import EfficientNetLite0
from backbones.lite import Lite
from learning.crops import Cropper
from learning.distil import Imitation
from learning.footage import Footage
from learning.pairs import PairBatches, PairConfig
from learning.siamese import RECIPES, PairData, Recipe, SiameseTraining, origin, train, train_and_save
from tracker import SiamTracker
from tracker.network import ModelCard, SiameseNetwork, load_network, save_network

BOX = (50.0, 40.0, 30.0, 40.0)
WEIGHTS = ("state_dict", "current_model_state")  # of the checkpoint: averaged and as they are

pytestmark = pytest.mark.usefixtures("one_thread")


class Uncopied(Footage):
    """Footage of which there must be one: it may fill the memory."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError("the footage was copied")


@pytest.fixture(scope="module")
def footage() -> Footage:
    """One scene: a striped object before noise."""
    rng = np.random.default_rng(0)
    footage = Uncopied()
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


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_of_every_recipe_teaches_every_parameter(name: str, footage: Footage, monkeypatch: Any) -> None:
    recipe = dataclasses.replace(RECIPES[name], data=PairConfig(mix={"still": 1.0}), batch_size=2, foreign=1)
    torch.manual_seed(0)
    module = SiameseTraining(recipe)
    module.cropper, module.noise = Cropper(footage.images), torch.Generator().manual_seed(0)
    monkeypatch.setattr(module, "log_dict", lambda parts: None)  # there is no trainer to log to
    batches = PairBatches(footage, 2, 1, 0, recipe.card.exemplar_size, recipe.search_size, recipe.data)
    loss = module.training_step(next(iter(batches)), 0)
    loss.backward()
    assert loss.isfinite()
    for parameter, values in module.named_parameters():
        if parameter.removeprefix("network.").startswith(tuple(recipe.frozen) or "nothing"):
            assert values.grad is None, parameter
            continue
        assert values.grad is not None, parameter
        assert values.grad.isfinite().all(), parameter
        assert values.grad.any(), parameter


@pytest.fixture(scope="module")
def run(footage: Footage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 60 steps, stopped after 50 by a shorter plan and resumed."""
    folder = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _train(_recipe(50), footage, folder)
        options: dict[str, Any] = {"accelerator": "cpu", "precision": "32-true", "progress": False}
        train_and_save(_recipe(60), footage, folder, folder / "model.safetensors", "train it again", **options)
    assert not [str(warning.message) for warning in caught]
    return folder


def test_training_on_one_scene_lowers_the_loss(footage: Footage, tmp_path: Path, monkeypatch: Any) -> None:
    losses: list[float] = []
    step = SiameseTraining.training_step

    def spied(self: SiameseTraining, batch: Any, index: int) -> torch.Tensor:
        loss = step(self, batch, index)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(SiameseTraining, "training_step", spied)
    _train(_recipe(30), footage, tmp_path)
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_resumed_run_goes_on_from_its_checkpoint(run: Path) -> None:
    starts = [json.loads((run / f"version_{number}" / "start.json").read_text()) for number in (0, 1)]
    assert [(start["first_step"], start["last_step"]) for start in starts] == [(0, 50), (50, 60)]
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 60
    assert [path.name for path in run.glob("*.ckpt")] == ["last.ckpt"]


def test_the_averaged_weights_are_saved_and_load_in_the_tracker(run: Path, footage: Footage) -> None:
    checkpoint = torch.load(run / "last.ckpt", weights_only=True)
    averaged, current = ({k.removeprefix("network."): v for k, v in checkpoint[name].items()} for name in WEIGHTS)
    saved = load_network(run / "model.safetensors").state_dict()
    assert saved.keys() == averaged.keys()
    for name, tensor in saved.items():
        stored = averaged[name].half() if tensor.ndim > 1 else averaged[name]
        assert torch.equal(tensor, stored.to(tensor.dtype)), name
    assert not all(torch.allclose(saved[name], current[name].to(saved[name].dtype), atol=1e-3) for name in saved)
    tracker = SiamTracker.from_pretrained(run / "model.safetensors")
    tracker.init(footage.images[0], BOX)
    assert np.isfinite(tracker.update(footage.images[0]).box).all()


def test_a_finished_run_gives_its_averaged_weights_again(run: Path, footage: Footage) -> None:
    network = _train(_recipe(60), footage, run)
    averaged = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, averaged[f"network.{name}"]), name


def test_the_card_says_how_the_weights_were_made(run: Path, footage: Footage) -> None:
    training = ModelCard.read(run / "model.json").training
    assert training["data"] == footage.summary()
    assert (training["pairs"], training["batch_size"], training["command"]) == (120, 2, "train it again")
    assert training["starts"] == 2
    seconds = [json.loads(path.read_text())["seconds"] for path in run.glob("version_*/start.json")]
    assert training["minutes"] == pytest.approx(sum(seconds) / 60, abs=0.06)
    assert training["began"] <= training["ended"]
    assert training["torch"] == torch.__version__
    assert training["device"]
    assert training["pairs_per_second"] > 0
    assert 0 <= training["waiting"] < 1
    assert list(training["curve"]) == ["50"]


def test_a_teacher_is_learned_from_and_named_in_the_card(
    footage: Footage, tmp_path: Path, teacher_file: Path, monkeypatch: Any
) -> None:
    pytest.importorskip("onnxruntime", reason="teachers are run by onnxruntime")
    hints: list[float] = []
    log = SiameseTraining.log_dict
    monkeypatch.setattr(
        SiameseTraining, "log_dict", lambda self, parts: (hints.append(float(parts["hint"])), log(self, parts))
    )
    card = train_and_save(
        _recipe(30),
        footage,
        tmp_path,
        tmp_path / "model.safetensors",
        "train it again",
        teacher=teacher_file,
        accelerator="cpu",
        precision="32-true",
        progress=False,
    )
    assert np.mean(hints[-5:]) < 0.8 * np.mean(hints[:5])
    assert card.training["teacher"]["file"] == "teacher.onnx"
    assert card.training["teacher"]["sha256"] == hashlib.sha256(teacher_file.read_bytes()).hexdigest()
    load_network(tmp_path / "model.safetensors")  # which has nothing of the teacher in it


def test_a_teacher_s_responses_are_learned_from(footage: Footage, tmp_path: Path, monkeypatch: Any) -> None:
    torch.manual_seed(1)
    teacher = tmp_path / "teacher.pth"
    torch.save({f"backbone.{name}": t for name, t in AlexNet(FDSIAMFC_WIDTHS).state_dict().items()}, teacher)
    seen: list[float] = []
    log = SiameseTraining.log_dict
    monkeypatch.setattr(
        SiameseTraining, "log_dict", lambda self, parts: (seen.append(float(parts["imitation"])), log(self, parts))
    )
    options: dict[str, Any] = {"accelerator": "cpu", "precision": "32-true", "progress": False}
    recipe = _recipe(40)
    with pytest.raises(ValueError, match="only a network that correlates as SiamFC does"):
        train(recipe, footage, tmp_path, teacher=teacher, **options)
    recipe = dataclasses.replace(recipe, card=dataclasses.replace(recipe.card, head="siamfc_box"))
    train(recipe, footage, tmp_path, teacher=teacher, **options)
    assert np.mean(seen[-5:]) < 0.9 * np.mean(seen[:5])


def test_imitation_asks_for_the_shape_of_a_response_only() -> None:
    taught = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    loss = Imitation()
    with torch.no_grad():
        loss.gain.fill_(1.0)
    standard = (taught - taught.mean()) / taught.std()
    assert float(loss(standard, 7 * taught - 3)) == pytest.approx(0, abs=1e-10)
    assert float(loss(standard + 0.5, taught)) == pytest.approx(0.25)


def test_each_epoch_draws_new_pairs_after_resuming_too(footage: Footage, tmp_path: Path, monkeypatch: Any) -> None:
    seeds: list[Any] = []
    pairs = PairBatches.__iter__

    def spied(self: PairBatches) -> Any:
        for batch in pairs(self):
            seeds.append(self.seed)
            yield batch

    monkeypatch.setattr(PairBatches, "__iter__", spied)
    _train(_recipe(10), footage, tmp_path)
    _train(_recipe(20), footage, tmp_path)
    counts = {epoch: count for (_, epoch, _), count in Counter(seeds).items()}
    assert counts == {0: 5, 1: 6, 2: 5, 3: 4}  # Lightning takes one more batch of the epoch that the checkpoint closed


def test_an_interrupted_run_leaves_a_whole_checkpoint(footage: Footage, tmp_path: Path, monkeypatch: Any) -> None:
    step = SiameseTraining.training_step

    def interrupted(self: SiameseTraining, batch: Any, index: int) -> torch.Tensor:
        if self.global_step == 7:
            raise KeyboardInterrupt
        return step(self, batch, index)

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(SiameseTraining, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _train(_recipe(10), footage, tmp_path)
    signal.signal(signal.SIGINT, handler)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 5


def test_imagenet_weights_fit_two_backbones_only(footage: Footage, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not compact"):
        train(_recipe(1), footage, tmp_path, accelerator="cpu", init=tmp_path / "resnet50.pth", progress=False)


def test_training_starts_from_our_own_weights_of_the_same_kind(footage: Footage, tmp_path: Path) -> None:
    first = _train(_recipe(2), footage, tmp_path / "first")
    path = tmp_path / "first.safetensors"
    began = save_network(first, path, training={"pairs": 8, "command": "first", "calibration": {"auc": 0.9}})
    assert origin(path) == {"file": path.name, "sha256": began.sha256, "training": {"pairs": 8, "command": "first"}}
    idle = dataclasses.replace(_recipe(1), learning_rate=1e-12)
    again = train(idle, footage, tmp_path / "again", accelerator="cpu", seed=5, init=path, progress=False)
    for name, tensor in first.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), tensor)
    other = dataclasses.replace(idle, card=dataclasses.replace(idle.card, head="siamfc_box"))
    with pytest.raises(ValueError, match="holds a compact with box; to be trained is a compact with siamfc_box"):
        train(other, footage, tmp_path / "other", accelerator="cpu", init=path, progress=False)


def test_what_is_frozen_stays_as_it_was(footage: Footage, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("learning.siamese.importlib.util.find_spec", lambda name: None)  # by torch, without OpenVINO
    recipe = _recipe(3, frozen=("backbone.layers.0",))
    torch.manual_seed(0)
    start = SiameseNetwork(recipe.card)
    torch.nn.init.uniform_(start.get_submodule("backbone.layers.0.1").running_mean)  # type: ignore[arg-type]
    save_network(start, tmp_path / "start.safetensors")
    options: dict[str, Any] = {"accelerator": "cpu", "precision": "32-true", "progress": False}
    trained = train(recipe, footage, tmp_path, init=tmp_path / "start.safetensors", **options).state_dict()
    changed = {name for name, tensor in start.state_dict().items() if not torch.equal(tensor, trained[name])}
    assert not {name for name in changed if name.startswith("backbone.layers.0.")}
    assert {"backbone.layers.1.0.weight", "backbone.layers.1.1.running_mean"} <= changed


def test_lite_learns_on_top_of_what_imagenet_taught(
    footage: Footage, tmp_path: Path, imagenet_names: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("learning.siamese.importlib.util.find_spec", lambda name: None)  # by torch, without OpenVINO
    torch.manual_seed(0)
    published = EfficientNetLite0()
    torch.save(imagenet_names(published), tmp_path / "published.pth")
    data = _recipe(1).data
    recipe = dataclasses.replace(RECIPES["lite"], pairs=4, batch_size=2, foreign=1, data=data, batches_per_epoch=2)
    options: dict[str, Any] = {"accelerator": "cpu", "precision": "32-true", "progress": False}
    network = train(recipe, footage, tmp_path / "run", init=tmp_path / "published.pth", **options)
    backbone = cast(Lite, network.backbone)
    taken = [*backbone.early.state_dict().values(), *backbone.late.state_dict().values()]
    theirs = torch.nn.Sequential(published.stem, published.stages).state_dict().values()
    assert all(torch.equal(own, known) for own, known in zip(taken, theirs, strict=False))
    resumed = train(dataclasses.replace(recipe, pairs=6), footage, tmp_path / "run", **options)
    torch.testing.assert_close(resumed.get_parameter("backbone.early.0.weight"), backbone.early[0].weight)


def test_an_unknown_part_cannot_be_frozen() -> None:
    with pytest.raises(ValueError, match=r"nothing in compact with box is called 'backbone.early'"):
        SiameseTraining(_recipe(1, frozen=("backbone.early",)))


def test_processes_share_the_pairs_of_a_step(footage: Footage, tmp_path: Path) -> None:
    recipe = _recipe(1, batch_size=6)
    data = PairData(footage, recipe)
    sizes = []
    for world_size in (1, 3):
        data.trainer = cast(Any, SimpleNamespace(current_epoch=0, global_rank=0, world_size=world_size))
        sizes.append(len(next(iter(data.train_dataloader())).boxes))
    assert sizes == [6, 2]
    with pytest.raises(ValueError, match="4 processes cannot share 6 pairs a step evenly"):
        train(recipe, footage, tmp_path, accelerator="cpu", devices=4, progress=False)
