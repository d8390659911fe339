"""The reliability picture is drawn from what the command writes, and other files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from learning.association_plot import main

pytest.importorskip("matplotlib")


def test_it_is_drawn(tmp_path: Path) -> None:
    curve = {"mean": [0.1, 0.5, 0.9], "share": [0.12, None, 0.85], "count": [100, 0, 40]}
    result, picture = tmp_path / "loso.json", tmp_path / "curve.png"
    result.write_text(json.dumps({"together": {"ece": 0.02, "reliability": curve}}), encoding="utf-8")
    assert main([str(result), str(picture)]) == 0
    image = cv2.imread(str(picture))
    assert image is not None
    assert (abs(image.astype(int) - (178, 114, 0)).max(-1) < 40).any()  # the curve's blue


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    assert main([str(other), str(tmp_path / "x.png")]) == 2
    assert "together" in capsys.readouterr().err
