from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.otb import TARGETS
from benchmarks.scoring_speed import main

NAMES = {"deer": "Deer", "jogging_1": "Jogging.1", "human4_2": "Human4-2", "tiger1": "Tiger1"}


def make_results(folder: Path) -> None:
    """Two trackers on four sequences: one with whole numbers, one with decimals, a row short and five too many."""
    rng = np.random.default_rng(0)
    lengths = {"deer": 71, "jogging_1": 307, "human4_2": 667, "tiger1": TARGETS["Tiger1"].frames}
    truths = {name: rng.integers(20, 90, (count, 4)) for name, count in lengths.items()}
    annotations = {name: {"gt_rect": boxes.tolist()} for name, boxes in truths.items()}
    (folder / "otb100_annotations.json.gz").write_bytes(gzip.compress(json.dumps(annotations).encode()))
    for tracker, digits in (("whole", 0), ("decimal", 2)):
        with zipfile.ZipFile(folder / f"{tracker}.zip", "w") as archive:
            for name, truth in truths.items():
                boxes = np.round(truth + rng.normal(0, 8, truth.shape), digits)
                boxes[:, 2:] = np.maximum(boxes[:, 2:], 3)
                if digits:
                    boxes = {"deer": boxes[:-1], "tiger1": np.vstack([boxes[:5], boxes])}.get(name, boxes)
                text = "".join(",".join(f"{value:g}" for value in row) + "\n" for row in boxes)
                archive.writestr(f"{NAMES[name]}.txt", text)


def test_both_sides_score_the_same_files_to_the_same_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("got10k.experiments.otb")
    make_results(tmp_path)
    assert main(["--results", str(tmp_path), "--runs", "1"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["trackers"] == 2
    assert figures["largest_difference"] < 1e-5
    assert figures.keys() >= {"report_seconds", "ours_seconds", "got10k_seconds", "ratio"}


def test_a_folder_without_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--results", str(tmp_path)]) == 2
    assert "scoring_speed: error: " in capsys.readouterr().err
    make_results(tmp_path)
    for archive in tmp_path.glob("*.zip"):
        archive.unlink()
    assert main(["--results", str(tmp_path)]) == 2
    assert "expected a zip of raw boxes for each tracker" in capsys.readouterr().err
