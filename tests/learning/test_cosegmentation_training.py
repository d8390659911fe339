"""The training: its loss, that it learns, goes on where it stopped, and stops where it must."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from backbones.efficientnet_lite import EfficientNetLite0
from learning.cosegmentation import Cosegmenter, build, new_card, save
from learning.cosegmentation_pairs import PairBatch
from learning.cosegmentation_training import LOSSES, Recipe, Run, mask_loss, masked_by, train
from tracker.network import ModelCard, WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")


SMALL = Recipe(pairs=12, batch_size=2, size=32, encoder="plain", every=2)


def batch(seed: int = 0, n: int = 4, size: int = 32) -> PairBatch:
    """Bright squares on both sides, common in the first half of the pairs."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (2 * n, 3, size, size), dtype=np.uint8)
    salient = np.zeros((2 * n, size, size), np.uint8)
    for index in range(2 * n):
        y, x = rng.integers(2, size - 16, 2)
        salient[index, y : y + 14, x : x + 14] = 1
        images[index][:, salient[index] > 0] += 150
    common = salient.copy()
    return PairBatch(*(torch.from_numpy(array) for array in (images, common, salient)))


def test_the_loss_is_the_cross_entropy_summed_over_both_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float32)
    masks = (torch.rand(2, 3, 4, 5, generator=generator) > 0.5).to(torch.uint8)
    expected = 0.0
    for image in range(2):
        for said, true in zip(logits[image].double().flatten().tolist(), masks[image].flatten().tolist(), strict=True):
            probability = 1 / (1 + np.exp(-said))
            expected -= np.log(probability if true else 1 - probability) / (3 * 4 * 5)
    assert mask_loss(tuple(logits), tuple(masks)).item() == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(pairs=16_000, batch_size=16)
    rates = [recipe.rate_at(step) for step in range(1000)]
    assert rates[0] < 0.03
    assert rates[60] == rates[499] == 1.0
    assert rates[750] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.01)
    longer = dataclasses.replace(recipe, pairs=32_000)
    assert [longer.rate_at(step) for step in range(500)] == rates[:500], "so that a run can be made longer"


def test_both_decoders_learn(tmp_path: Path) -> None:
    run = Run(dataclasses.replace(SMALL, pairs=10_000), tmp_path, torch.device("cpu"), half=False)
    losses = [run.learn(batch(step % 3)) for step in range(40)]
    for name in LOSSES:
        assert losses[-1][name] < 0.6 * losses[0][name], name


def test_an_imagenet_encoder_stays_as_it_starts_unless_it_is_to_learn(
    imagenet_names: Callable[[EfficientNetLite0], dict[str, Tensor]], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    trunk = EfficientNetLite0()
    torch.save(imagenet_names(trunk), tmp_path / "imagenet.pth")
    started = dataclasses.replace(SMALL, encoder="efficientnet_lite0", init=str(tmp_path / "imagenet.pth"))
    for frozen in (True, False):
        run = Run(dataclasses.replace(started, frozen=frozen), tmp_path, torch.device("cpu"), half=False)
        before = {name: value.clone() for name, value in run.network.state_dict().items()}
        assert torch.equal(before["encoder.trunk.stages.3.0.layers.0.weight"], trunk.stages[3][0].layers[0].weight)
        run.learn(batch())
        changed = {name for name, value in run.network.state_dict().items() if not torch.equal(value, before[name])}
        assert any(name.startswith("decoder") for name in changed)
        assert any(name.startswith("encoder") for name in changed) is not frozen
    with pytest.raises(WeightsError, match="efficientnet_lite0 only"):
        Run(dataclasses.replace(started, encoder="plain"), tmp_path, torch.device("cpu"), half=False)


def test_an_earlier_network_is_gone_on_from(tmp_path: Path) -> None:
    earlier = build(new_card(32, "plain"))
    save(earlier, new_card(32, "plain"), tmp_path / "earlier.safetensors")
    path = str(tmp_path / "earlier.safetensors")
    run = Run(dataclasses.replace(SMALL, init=path), tmp_path, torch.device("cpu"), half=False)
    for name, tensor in run.network.state_dict().items():
        torch.testing.assert_close(tensor, earlier.state_dict()[name], atol=2e-3, rtol=2e-3)  # kernels are fp16
    with pytest.raises(WeightsError, match="another size"):
        Run(dataclasses.replace(SMALL, init=path, size=48), tmp_path, torch.device("cpu"), half=False)


def test_photographs_are_masked_by_a_network_where_it_is_sure(tmp_path: Path) -> None:
    """The stand-in says that what is bright stands out, and how sure it is by the red channel."""
    shown = {"sure": (100, 255), "unsure": (100, 130), "speck": (2, 255), "everything": (300, 255)}
    for number in range(11):
        for name, (size, red) in shown.items():
            image = np.zeros((20, 20, 3), np.uint8)
            image.reshape(-1, 3)[:size, 2] = red
            path = tmp_path / f"class{number:02d}" / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), image)

    class StandIn:
        saliency_threshold = 0.4

        def saliency(self, image: np.ndarray) -> np.ndarray:
            return image[..., 2].astype(np.float32) / 255

    learned, kept_out = masked_by(StandIn(), tmp_path)  # type: ignore[arg-type]
    assert {Path(photo.name).stem for photo in learned + kept_out} == {"sure"}
    assert [list(photo.masks) for photo in kept_out] == [["class09"]], "every tenth class"
    assert len(learned) == 10
    assert learned[0].masks["class00"].sum() == 100
    with pytest.raises(ValueError, match="give it as --init"):
        train(tmp_path, tmp_path / "out.safetensors", tmp_path / "run", dataclasses.replace(SMALL, classes="x"))


def test_a_loss_that_is_not_finite_stops_the_run_before_it_does_harm(tmp_path: Path) -> None:
    run = Run(SMALL, tmp_path, torch.device("cpu"), half=False)
    run.learn(batch())
    run.write()
    kept = run.checkpoint.read_bytes()
    with torch.no_grad():
        run.network.decoder.mask.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match=r"common masks is nan at step 1.*checkpoint"):
        run.learn(batch(1))
    assert run.checkpoint.read_bytes() == kept


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, first = (Run(SMALL, tmp_path / name, torch.device("cpu"), half=False) for name in ("whole", "parts"))
    for step in range(4):
        whole.learn(batch(step))
        if step < 2:
            first.learn(batch(step))
    first.write()
    second = Run(dataclasses.replace(SMALL, pairs=500), tmp_path / "parts", torch.device("cpu"), half=False)
    second.recipe = SMALL  # another length would be allowed, but fall otherwise
    second.resume()
    assert second.step == 2
    for step in (2, 3):
        second.learn(batch(step))
    for one, other in zip(whole.averaged().state_dict().values(), second.averaged().state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_run_of_other_settings_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    run = Run(SMALL, tmp_path, torch.device("cpu"), half=False)
    run.write()
    longer = Run(dataclasses.replace(SMALL, pairs=100), tmp_path, torch.device("cpu"), half=False)
    longer.resume()
    other = Run(dataclasses.replace(SMALL, seed=1), tmp_path, torch.device("cpu"), half=False)
    with pytest.raises(ValueError, match="other settings"):
        other.resume()
    run.checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="is no checkpoint"):
        run.resume()


def test_a_training_writes_a_network_with_its_card(
    make_photos: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning.cosegmentation_evaluation.COMPOSED", 4)
    monkeypatch.setattr("learning.cosegmentation_training.COMPOSED", 4)
    data = make_photos(tmp_path / "data")
    output = tmp_path / "out.safetensors"
    card = train(data, output, tmp_path / "run", SMALL, half=False, command="this test")
    assert card == ModelCard.read(output.with_suffix(".json"))
    assert card.training["pairs"] == 12
    assert card.training["command"] == "this test"
    assert card.training["data"] == {
        **{"coco256 photographs": 4, "davis photographs": 6, "ecssd photographs": 16, "pennfudan photographs": 8}
    }
    groups = {result["pairs of"]: result for result in card.results}
    assert groups["davis"]["pairs"] == 3
    assert {"msrc_cow", "coco256", "natural", "all"} <= groups.keys()
    json.dumps(card.results, allow_nan=False)
    images = [np.zeros((20, 30, 3), np.uint8), np.full((9, 9, 3), 200, np.uint8)]
    assert [mask.shape for mask in Cosegmenter.from_pretrained(output).masks(images)] == [(20, 30), (9, 9)]
    again = train(data, tmp_path / "again.safetensors", tmp_path / "run2", SMALL, half=False)
    assert again.sha256 == card.sha256, "a seed repeats a run"
