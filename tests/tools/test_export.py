"""The export command: what it writes and prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("optuna")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

SCRIPT = Path(__file__).parents[2] / "tools" / "export.py"


def test_a_model_is_exported_once(command, weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = [str(weights["compact"]), "--output", str(tmp_path), "--json"]
    assert command.main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert sorted(printed["files"]) == sorted(str(path) for path in tmp_path.iterdir())
    assert printed["parity"]["response"] < 1e-3
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert command.main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_int8_files_are_made_of_footage(command, weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    random = np.random.default_rng(0)
    for name in ("first", "deeper/second"):
        folder = tmp_path / "footage" / name / "img"
        folder.mkdir(parents=True)
        image = cv2.resize(random.integers(0, 256, (20, 30, 3), dtype=np.uint8), (180, 120))
        for index in range(5):
            cv2.imwrite(str(folder / f"{index:04d}.png"), np.roll(image, index, 1))
        (folder.parent / "groundtruth_rect.txt").write_text("61,41,32,32\n" * 5)
    arguments = ["--precision", "int8", "--calibrate", str(tmp_path / "footage"), "--pairs", "5"]
    assert command.main([str(weights["compact"]), "--output", str(tmp_path / "out"), *arguments]) == 0
    assert "the same peak in" in capsys.readouterr().out
    assert [path.name.split(".")[2:] for path in sorted((tmp_path / "out").iterdir())] == [
        ["int8", "search", "onnx"],
        ["int8", "template", "onnx"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compact", "--precision", "int8"], "needs --calibrate"),
        (["compact", "--precision", "fp16"], "is for --runtime tensorrt"),
        (["compact", "--runtime", "tensorrt", "--check", "."], "--check is for files of onnxruntime"),
        (["compact", "--runtime", "magic"], "invalid choice"),
        (["compact", "--pairs", "0"], "must be a whole number, 1 or more"),
    ],
)
def test_wrong_arguments_are_refused(command, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_exported_is_said_in_a_line(command, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main(["no-such-model"]) == 2
    assert capsys.readouterr().err.startswith("export: no-such-model: neither a model")
    assert (
        command.main(["compact", "--precision", "int8", "--calibrate", str(tmp_path), "--output", str(tmp_path)]) == 2
    )
    assert "no sequence to calibrate on" in capsys.readouterr().err
