"""The training command: what it refuses, what it says, and that every layout trains."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from learning import curve
from learning.cache import open_footage
from learning.calibration import Video
from learning.footage import Footage
from learning.siamese import RECIPES
from tracker import SiamTracker
from tracker.network import ModelCard

Run = Callable[[list[str], set[str]], subprocess.CompletedProcess[str]]
SCRIPT = Path(__file__).parents[2] / "tools" / "train.py"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8))


def _images(root: Path) -> None:
    for number in range(3):
        _image(root / f"{number}.png", number)


def _sequences(root: Path) -> None:
    for number in range(1, 4):
        _image(root / "ball" / "img" / f"{number:04d}.jpg", number)
    (root / "ball" / "groundtruth_rect.txt").write_text("30,20,24,24\n" * 3)


def _got10k(root: Path) -> None:
    folder = root / "GOT-10k_Train_000001"
    for number in range(1, 7):
        _image(folder / f"{number:08d}.jpg", number)
    (folder / "groundtruth.txt").write_text("30,20,24,24\n" * 6)
    (folder / "absence.label").write_text("0\n0\n0\n0\n0\n1\n")  # not to be seen in the last frame
    (folder / "cover.label").write_text("8\n0\n8\n8\n8\n8\n")  # wholly covered in the second one
    (folder / "cut_by_image.label").write_text("0\n" * 6)
    (folder / "meta_info.ini").write_text("[METAINFO]\nobject_class: ball\n")
    (root / "list.txt").write_text("GOT-10k_Train_000001\n")


def _coco(root: Path) -> None:
    _image(root / "train2017" / "000000000001.jpg", 0)
    labels = {
        "images": [{"id": 1, "file_name": "000000000001.jpg", "width": 120, "height": 90}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 1, "bbox": [30, 20, 40, 30], "iscrowd": 0, "area": 1200}
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(labels))


def _arguments(folder: Path, *more: str) -> list[str]:
    paths = ["--data", folder / "data", "--output", folder / "out.safetensors", "--run", folder / "run"]
    paths += ["--cache", folder / "cache"]
    length = ["--pairs", "4", "--batch-size", "2", "--accelerator", "cpu", "--threads", "1"]
    return ["compact", *map(str, paths), *length, *more]


@pytest.mark.parametrize(
    ("layout", "make"), [("images", _images), ("sequences", _sequences), ("got10k", _got10k), ("coco", _coco)]
)
def test_every_layout_trains_to_weights_that_track(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str, make: Callable[[Path], None]
) -> None:
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    assert command.main(_arguments(tmp_path, "--layout", layout)) == 0
    printed = capsys.readouterr()
    assert str(tmp_path / "out.safetensors") in printed.out
    assert "ip:" not in printed.out + printed.err, "a tip of Lightning's"
    tracker = SiamTracker.from_pretrained(tmp_path / "out.safetensors")
    training = tracker.model.card.training
    assert training["pairs"] == 4
    assert training["command"].startswith("python tools/train.py compact --data")
    frame = np.zeros((60, 80, 3), np.uint8)
    tracker.init(frame, (20, 20, 10, 10))
    assert np.isfinite(tracker.update(frame).box).all()


def test_got10k_is_trained_on_and_its_learning_curve_projected(
    command: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of docs/training.md on a small folder of that layout; what the weights reach is made up."""
    (tmp_path / "data").mkdir()
    _got10k(tmp_path / "data")
    options = ["--layout", "got10k", "--longest-side", "100", "--stride", "1", "--seed", "1"]
    assert command.main(_arguments(tmp_path, *options)) == 0
    trained = tmp_path / "out.safetensors"
    card = ModelCard.read(trained.with_suffix(".json"))
    assert card.training["data"]["video boxes"] == 4, "of six frames, without the one covered and the one absent"
    files = [str(trained)]
    for factor in (2, 4, 8):  # as if it had gone on
        longer = tmp_path / f"longer{factor}.safetensors"
        longer.write_bytes(trained.read_bytes())
        training = {**card.training, "pairs": 4 * factor}
        dataclasses.replace(card, training=training, config={"patience": factor}).write(longer.with_suffix(".json"))
        files.append(str(longer))

    def made_up(path: Path, *_: object) -> dict[str, float]:
        return {"ball": 1 - 2 * ModelCard.read(path.with_suffix(".json")).training["pairs"] ** -0.5}

    monkeypatch.setattr(curve, "read_videos", lambda data, names: [Video("ball", [], np.zeros((0, 4)))])
    monkeypatch.setattr(curve, "success_by_sequence", made_up)
    out = tmp_path / "curve"
    assert curve.main([*files, "--data", str(tmp_path), "--output", str(out)]) == 0
    text = (out / "curve.md").read_text(encoding="utf-8")
    assert "| out | 4 | 1 | 1 | 1 |" in text, "weights, pairs, share, tracks, seed"
    assert "x^−0.500" in text
    assert "one GPU-day, same footage" in text
    assert "2% of a peak of 312 TFLOP/s" in text


def test_the_cache_is_used_again_and_refused_for_other_data(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _images(tmp_path / "data")
    assert command.main(_arguments(tmp_path, "--layout", "images")) == 0
    pixels = tmp_path / "cache" / "pixels.npy"
    before = pixels.stat().st_mtime_ns
    for path in (tmp_path / "data").iterdir():
        path.unlink()  # decoded already: not needed
    assert command.main(_arguments(tmp_path, "--layout", "images", "--overwrite")) == 0
    assert pixels.stat().st_mtime_ns == before
    capsys.readouterr()
    assert command.main(_arguments(tmp_path, "--layout", "coco", "--overwrite")) == 2
    assert "was made from other data" in capsys.readouterr().err


def _cached(folder: Path) -> tuple[int, int]:
    """Number of images in the cache, and the longest side of all."""
    images = Footage.load(folder / "cache").images
    return len(images), max(max(image.shape[:2]) for image in images)


@pytest.mark.parametrize(
    ("layout", "make", "options", "found"),
    [
        ("got10k", _got10k, (), (1, 120)),  # six frames, one in ten
        ("got10k", _got10k, ("--stride", "2"), (3, 120)),
        ("got10k", _got10k, ("--stride", "3", "--longest-side", "60"), (2, 60)),
        ("images", _images, ("--longest-side", "80"), (3, 80)),
        ("coco", _coco, ("--limit", "1"), (1, 120)),
    ],
)
def test_the_footage_is_read_as_asked_and_the_cache_kept_for_that(
    command: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layout: str,
    make: Callable[[Path], None],
    options: tuple[str, ...],
    found: tuple[int, int],
) -> None:
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    monkeypatch.setattr("learning.siamese.train_and_save", lambda *args, **kwargs: ModelCard("compact", "box"))
    assert command.main(_arguments(tmp_path, "--layout", layout, *options)) == 0
    assert _cached(tmp_path) == found
    assert command.main(_arguments(tmp_path, "--layout", layout, *options)) == 0
    capsys.readouterr()
    assert command.main(_arguments(tmp_path, "--layout", layout, *options, "--longest-side", "50")) == 2
    assert "with other options" in capsys.readouterr().err


def test_a_cache_made_with_no_options_has_none_in_its_note(tmp_path: Path) -> None:
    _images(tmp_path / "data")
    open_footage(tmp_path / "data", "images", tmp_path / "cache")
    note = json.loads((tmp_path / "cache" / "source.json").read_text())
    assert note == {"data": str(tmp_path / "data"), "layout": "images", "clips": 2000}
    assert len(open_footage(tmp_path / "data", "images", tmp_path / "cache", longest_side=512).images) == 3


def test_an_existing_file_is_not_replaced_unless_asked(
    command: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.safetensors").write_bytes(b"precious")
    assert command.main(_arguments(tmp_path)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out.safetensors").read_bytes() == b"precious"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((), "no such folder"),  # of the data
        (("--output", "out.pth"), "must end in .safetensors"),
        (("--layout", "images"), "no such folder"),
        (("--layout", "images", "--limit", "3"), "'images' has no limit"),
        (("--stride", "2"), "'shared' has no stride"),
    ],
)
def test_one_clear_line_says_what_is_wrong(
    command: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: tuple[str, ...],
    words: str,
) -> None:
    assert command.main(_arguments(tmp_path, *changes)) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["resnet", "--data", "d", "--output", "o.safetensors"],
        ["compact", "--output", "o.safetensors"],
        ["compact", "--data", "d", "--output", "o.safetensors", "--pairs", "0"],
    ],
)
def test_wrong_arguments_end_with_2(
    command: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command.main(arguments)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_every_recipe_can_be_asked_for(command: ModuleType) -> None:
    assert list(RECIPES) == command.MODELS


@pytest.mark.parametrize("arguments", [["--help"], ["compact", "--data", "d", "--output", "o.pth"]])
def test_help_and_refusals_do_not_load_torch(arguments: list[str], run_without: Run) -> None:
    done = run_without(arguments, {"torch", "lightning", "numpy"})
    assert done.returncode == (0 if "--help" in arguments else 2), done.stderr
    if "--help" in arguments:
        assert "examples:" in done.stdout
