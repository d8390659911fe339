"""The co-segmentation command: what it writes and prints, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from learning.cosegmentation import build, new_card, save

Run = Callable[[list[str], set[str]], subprocess.CompletedProcess[str]]
SCRIPT = Path(__file__).parents[2] / "tools" / "cosegment.py"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained network, as a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    card = new_card(32, "plain", widths=[4, 6, 8], embedding=5)
    save(build(card), card, path)
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "c.png"]
    for path, shape in zip(paths, [(30, 40, 3), (50, 20, 3), (24, 24)], strict=True):
        cv2.imwrite(str(path), rng.integers(0, 256, shape, dtype=np.uint8))
    return [str(path) for path in paths]


def test_a_pair_and_a_group_are_predicted(
    command: ModuleType, weights: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", weights, "--output", str(tmp_path / "out"), "--threads", "1"]
    assert command.main(["predict", *images[:2], *arguments]) == 0
    assert capsys.readouterr().out.count("in common") >= 2
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert command.main(["predict", *images, *arguments]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command.main(["predict", *images, *arguments, "--overwrite", "--json", "--threshold", "0.3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"] == 0.3
    assert [entry["image"] for entry in found["images"]] == images
    assert all(Path(entry["mask"]).is_file() for entry in found["images"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.png"], "at least two, got 1"),
        (["a.png", "none.png"], "no such image"),
        (["a.png", "broken.png"], "not an image"),
        (["a.png", "b.jpg", "--weights", "nonesuch"], "nonesuch"),
    ],
)
def test_one_clear_line_says_what_is_wrong(
    command: ModuleType,
    weights: str,
    images: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    words: str,
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    given = [str(tmp_path / name) if "." in name else name for name in names]
    assert command.main(["predict", "--weights", weights, *given, "--output", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not (tmp_path / "out").exists()


def test_a_training_is_evaluated(
    command: ModuleType,
    make_photos: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("learning.cosegmentation_evaluation.COMPOSED", 4)
    monkeypatch.setattr("learning.cosegmentation_training.COMPOSED", 4)
    data, output = str(make_photos(tmp_path / "data")), tmp_path / "out.safetensors"
    length = [
        "--pairs",
        "4",
        "--batch-size",
        "2",
        "--size",
        "32",
        "--encoder",
        "plain",
        "--workers",
        "0",
        "--threads",
        "1",
    ]
    arguments = ["train", "--data", data, "--output", str(output), "--run", str(tmp_path / "run"), *length]
    assert command.main(arguments) == 0
    assert str(output) in capsys.readouterr().out
    card = json.loads(output.with_suffix(".json").read_text())
    assert card["training"]["command"].startswith("python tools/cosegment.py train --data")
    assert command.main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    picture = tmp_path / "sheet.jpg"
    asked = ["evaluate", "--data", data, "--weights", str(output)]
    assert command.main([*asked, "--json", "--pictures", str(picture)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["davis"]["jaccard"]["cosegmentation"] == card["results"][1]["jaccard"]["cosegmentation"]
    assert cv2.imread(str(picture)) is not None
    assert command.main([*asked, "--pictures", str(picture)]) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["predict", "a.png", "b.png"],
        ["predict", "a.png", "b.png", "--output", "o", "--threshold", "1.5"],
        ["train", "--data", "d", "--output", "o.safetensors", "--pairs", "0"],
    ],
)
def test_wrong_arguments_end_with_2(
    command: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command.main(arguments)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_data_that_is_not_there_is_named(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "o.safetensors")
    assert command.main(["train", "--data", str(tmp_path / "none"), "--output", output, "--run", str(tmp_path)]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--data", "d", "--output", "o.pth"]])
def test_help_and_refusals_do_not_load_torch(arguments: list[str], run_without: Run) -> None:
    done = run_without(arguments, {"torch", "numpy", "cv2"})
    assert done.returncode == (0 if "--help" in arguments else 2), done.stderr
    if "--help" in arguments:
        assert "examples:" in done.stdout
