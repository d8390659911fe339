"""Training of pair networks: it learns, goes on where it was stopped, and says what is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.pair import build_pair_network
from learning import pair_train
from learning.losses import contrastive_loss
from learning.pair_data import PairFootage, PairSampler
from learning.pair_train import PairRecipe, main, pair_loss, parse_frames, parse_size, train_pairs
from tracker.association.appearance import load_pair_network

SIZE = (32, 16)
RECIPE = PairRecipe("towers", steps=6, pairs=24)

pytestmark = pytest.mark.usefixtures("one_thread")


def footage(frames: int = 20) -> PairFootage:
    """Three people in greys of their own."""
    identity = np.tile(np.arange(3), frames)
    noise = np.random.default_rng(0).integers(0, 40, (len(identity), 5, 38, 18))
    patches = (noise + 70 * identity[:, None, None, None]).astype(np.uint8)
    return PairFootage(patches, np.repeat(np.arange(frames), 3), identity, np.ones(len(identity), bool), SIZE)


@pytest.mark.parametrize("topology", ["towers", "in_network", "joint"])
def test_the_loss_is_the_topologys(topology: str) -> None:
    network = build_pair_network(topology, SIZE).eval()
    batch = PairSampler(footage(), 16).draw(np.random.default_rng(0))
    loss = pair_loss(network, batch, 0.8)
    a, b = batch.patches[batch.first], batch.patches[batch.second]
    if topology == "towers":
        expected = contrastive_loss(network.embed(a), network.embed(b), batch.same, 0.8)
    else:
        odds = network(a, b).sigmoid()
        expected = -torch.where(batch.same, odds, 1 - odds).log().mean()
    torch.testing.assert_close(loss, expected)


def test_training_tells_people_apart(tmp_path: Path) -> None:
    network, training = train_pairs(dataclasses.replace(RECIPE, steps=30, average=0.8), footage(), tmp_path)
    batch = PairSampler(footage(), 200).draw(np.random.default_rng(9))
    with torch.no_grad():
        distance = network(batch.patches[batch.first], batch.patches[batch.second])
    assert distance[batch.same].mean() < 0.5 * distance[~batch.same].mean()
    assert training["steps"] == 30
    assert training["minutes"] >= 0
    assert not network.training


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train_pairs(RECIPE, footage(), tmp_path / "whole")
    calls = 0

    def stopping(*arguments: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return pair_loss(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pair_train, "pair_loss", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_pairs(RECIPE, footage(), tmp_path / "parts", save_every=2)
    resumed, training = train_pairs(RECIPE, footage(), tmp_path / "parts", save_every=2)
    assert calls == 5 + 2  # from the checkpoint after step 4
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor)
    assert list(training["curve"]) == ["2", "4", "6"]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_pairs(dataclasses.replace(RECIPE, steps=6), footage(), tmp_path / "a", save_every=2)
    monkeypatch.setattr(pair_train, "pair_loss", lambda network, *_: next(network.parameters()).sum() * torch.nan)
    with pytest.raises(FloatingPointError, match="the loss of step 0 is nan"):
        train_pairs(RECIPE, footage(), tmp_path / "b")


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    train_pairs(RECIPE, footage(), tmp_path)
    with pytest.raises(ValueError, match="of another run"):
        train_pairs(dataclasses.replace(RECIPE, steps=9), footage(), tmp_path)
    (tmp_path / "towers.ckpt").write_bytes(b"PK")
    with pytest.raises(ValueError, match="cannot be read"):
        train_pairs(RECIPE, footage(), tmp_path)


def test_the_command_writes_weights_and_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pair_train, "read_pair_footage", lambda folder, size: footage())
    output = tmp_path / "mine.safetensors"
    command = ["joint", "--data", "PETS", "--frames", "1-10", "--output", str(output), "--run", str(tmp_path / "run")]
    command += ["--steps", "2", "--size", "32x16", "--licence", "research only"]
    assert main(command) == 0
    network, card = load_pair_network(output)
    assert network.size == SIZE
    assert card.topology == "joint"
    assert card.licence == "research only"
    assert "PETS, frames 1 to 10: 30 patches" in card.training["data"]
    assert card.training["command"].startswith("python -m learning.pair_train joint")
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_the_command_refuses_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["towers", "--data", str(tmp_path), "--output", str(tmp_path / "a.pt")]) == 2
    assert main(["towers", "--data", str(tmp_path), "--output", str(tmp_path / "a.safetensors")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "must end in .safetensors" in errors[0]
    assert "gt.txt" in errors[1]
    for text in ("450", "0-4", "9-3", "a-b"):
        with pytest.raises(Exception, match="FIRST-LAST"):
            parse_frames(text)
    assert parse_frames("1-450") == (0, 449)
    with pytest.raises(Exception, match="HEIGHTxWIDTH"):
        parse_size("121x5")
