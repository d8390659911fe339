"""The command line of embeddings, as a stranger would use it, on made-up characters."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from learning.embedding_network import load_embedding
from learning.glyphs import draw_glyphs

SCRIPT = Path(__file__).parents[2] / "tools" / "embed.py"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder a class."""
    glyphs = draw_glyphs(4, 10, 16)
    for index, label in enumerate(glyphs.labels):
        place = tmp_path / "data" / glyphs.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{index}.png"), glyphs.images[index, 0].numpy())
    return tmp_path


def _train(folder: Path, *more: str, loss: str = "triplet") -> list[str]:
    paths = ["--data", str(folder / "data"), "--output", str(folder / "out.safetensors"), "--run", str(folder / "run")]
    return ["train", loss, "folder", *paths, "--size", "16", "--grey", "--epochs", "2", "--threads", "1", *more]


def test_training_writes_weights_that_embed_and_says_how_good_they_are(
    command: ModuleType, folder: Path, capsys: Capture
) -> None:
    pictures, film = folder / "pictures", folder / "film.gif"
    more = ["--json", "--pictures", str(pictures), "--animation", str(film), "--dimensions", "3", "--lr", "0.005"]
    assert command.main(_train(folder, *more)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert 0 <= printed["results"]["neighbour accuracy"] <= 1
    network = load_embedding(folder / "out.safetensors")
    assert network.card.sha256 == printed["sha256"]
    assert network.card.training["command"].startswith("python tools/embed.py")
    assert network.card.training["recipe"]["epochs"] == 2
    assert network.card.training["data"] == {"name": "folder", "images": 32, "classes": 4, "size": 16, "channels": 1}
    assert network.embed(network.prepare(np.zeros((30, 20, 3), np.uint8))[None]).shape == (1, 3)
    assert film.stat().st_size > 1000
    names = {path.name for path in pictures.iterdir()}
    assert {"latent_pca.png", "latent_tsne.png", "neighbours.png", "hardest_pairs.png", "roc.png", "projector"} <= names
    assert {"latent_epoch_00.png", "latent_epoch_02.png"} <= names


def test_two_views_of_two_dimensions_are_projected(command: ModuleType, folder: Path) -> None:
    more = ["--dimensions", "2", "--views", "mirrored", "--pictures", str(folder / "pictures")]
    assert command.main(_train(folder, *more)) == 0
    assert (folder / "pictures" / "latent_pca.png").exists()
    assert not (folder / "pictures" / "latent.png").exists()


def test_show_draws_what_training_would(command: ModuleType, folder: Path, capsys: Capture) -> None:
    assert command.main(_train(folder, loss="bce")) == 0
    assert "wrote" in capsys.readouterr().out
    shown = ["show", str(folder / "out.safetensors"), "folder", "--data", str(folder / "data")]
    assert command.main([*shown, "--output", str(folder / "shown")]) == 0
    assert "pair accuracy" in capsys.readouterr().out
    assert (folder / "shown" / "roc.png").exists()
    assert command.main([*shown, "--output", str(folder / "shown")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_mining_is_compared_in_a_table_and_a_figure(command: ModuleType, folder: Path, capsys: Capture) -> None:
    arguments = ["mining", "triplet", "folder", "--data", str(folder / "data"), "--output", str(folder / "effect")]
    arguments += ["--run", str(folder / "runs"), "--size", "16", "--grey", "--epochs", "2", "--limit", "28"]
    arguments += ["--ways", "random", "batch-hard"]
    assert command.main(arguments) == 0
    text = (folder / "effect" / "mining.md").read_text(encoding="utf-8")
    assert text.strip() == capsys.readouterr().out.strip()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| mining", "| random", "| batch-hard"]
    assert (folder / "effect" / "mining.png").exists()
    assert command.main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("--output", "out.pth"), "must end in .safetensors"),
        (("--animation", "film.avi"), "must end in .gif or .mp4"),
        (("--data", "nowhere"), "no such folder"),
        (("--per-class", "9"), "a batch of 9 images a class, but 4 of 4 classes have fewer"),
        (("--batch-size", "7"), "not a multiple"),
        (("--batch-size", "400"), "a batch of 100 classes, but there are only 4"),
        (("--network", "resnet"), "no network 'resnet'"),
        (("--network", "compact"), "too small for this backbone"),
        (("--init", "nothing.safetensors"), "no such weights file"),
        (("--lr", "1e30", "--margin", "1e30"), "the loss is"),
        (("--download",), "folder cannot be fetched from here"),
        (("--hold-out", "classes"), "too few to hold out"),
    ],
)
def test_one_clear_line_says_what_is_wrong(
    command: ModuleType, folder: Path, capsys: Capture, changes: tuple[str, ...], words: str
) -> None:
    assert command.main(_train(folder, *changes, loss="contrastive")) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not (folder / "out.safetensors").exists()


def test_an_existing_file_is_not_replaced_unless_asked(command: ModuleType, folder: Path, capsys: Capture) -> None:
    (folder / "out.safetensors").write_bytes(b"precious")
    assert command.main(_train(folder)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "out.safetensors").read_bytes() == b"precious"
    assert not (folder / "run").exists()


@pytest.mark.parametrize("arguments", [["train", "hinge", "mnist"], ["train", "triplet", "mnist"], ["fly"], []])
def test_wrong_arguments_end_with_2(command: ModuleType, capsys: Capture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        command.main(arguments)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(
    command: ModuleType, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("learning.embedding.EmbeddingTraining.run", interrupted)
    assert command.main(_train(folder)) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


def test_help_needs_no_torch(run_without: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    found = run_without(["--help"], {"torch", "matplotlib", "sklearn"})
    assert found.returncode == 0, found.stderr
    assert "train" in found.stdout
