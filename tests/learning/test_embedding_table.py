from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from learning import embedding_table
from learning.embedding import EmbeddingTraining


def options(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    embedding_table.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in range(4):
        (tmp_path / f"images/c{label}").mkdir(parents=True)
        pattern = rng.uniform(30, 226, (4, 4, 3)).repeat(16, 0).repeat(16, 1)
        for number in range(10):
            noisy = np.clip(pattern + rng.normal(0, 10, pattern.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"images/c{label}/{number}.png"), noisy)
    return tmp_path / "images"


def test_the_softmax_has_no_mining():
    cells = embedding_table.combinations(["softmax", "bce", "triplet"], ["random", "batch-hard", "random"])
    assert cells == [
        ("softmax", "–"),
        ("bce", "random"),
        ("bce", "batch-hard"),
        ("triplet", "random"),
        ("triplet", "batch-hard"),
    ]


def test_the_command_fills_goes_on_and_writes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainings: list[Path] = []
    real = EmbeddingTraining.run

    def counted(self: EmbeddingTraining) -> Any:
        if self.recipe.loss == "triplet" and self.recipe.mining == "batch-hard" and len(trainings) == 3:
            raise KeyboardInterrupt
        trainings.append(self.folder)
        return real(self)

    monkeypatch.setattr(EmbeddingTraining, "run", counted)
    output = tmp_path / "out"
    arguments = [f"folder={folder}", "--losses", "softmax", "bce", "triplet", "--minings", "random", "batch-hard"]
    arguments += ["--shown", 64, "--output", output, "--run", tmp_path / "run"]
    with pytest.raises(KeyboardInterrupt):
        embedding_table.run(options(*arguments, "--minings", "batch-hard", "random"))
    assert len(trainings) == 3
    assert not output.exists()
    trainings.append(tmp_path)
    text = embedding_table.run(options(*arguments))
    assert len(trainings) == 4 + 2, "three cells were stored"
    rows = json.loads((output / "table.json").read_text())
    assert [(row["loss"], row["mining"]) for row in rows] == embedding_table.combinations(
        ["softmax", "bce", "triplet"], ["random", "batch-hard"]
    )
    assert {row["shown"] for row in rows} == {64}
    table = list(csv.DictReader(io.StringIO((output / "table.csv").read_text())))
    assert [float(row["map"]) for row in table] == [row["map"] for row in rows]
    for row in rows:
        assert set(embedding_table.COLUMNS) <= set(row)
        assert all(np.isfinite(row[name]) for name in embedding_table.COLUMNS)
    page = (output / "table.md").read_text()
    assert text.split("\n\nwrote")[0] in page
    assert "## folder" in page
    with pytest.raises(ValueError, match="exists; give another folder or --overwrite"):
        embedding_table.run(options(*arguments))
    again = json.loads(embedding_table.run(options(*arguments, "--overwrite", "--json")))
    assert len(trainings) == 6
    assert again[0]["auc"] == pytest.approx(rows[0]["auc"], abs=1e-6)
    embedding_table.run(options(*arguments, "--overwrite", "--seed", 1))
    assert len(trainings) == 11, "another seed is another table"


def test_the_best_of_a_column_is_bold():
    row = dict.fromkeys(embedding_table.COLUMNS, 0.5) | {
        "dataset": "mnist", "loss": "bce", "mining": "all", "shown": 10, "dimensions": 2, "vectors": 5, "classes": 2,
        "cpu_seconds": 60.0,
    }  # fmt: skip
    better = row | {"loss": "triplet", "auc": 0.75, "eer": 0.25, "davies_bouldin": 0.75}
    lines = embedding_table.markdown([row, better]).splitlines()
    assert "2.0 minutes of CPU time" in lines[2]
    names = [cell.strip() for cell in lines[4].strip("|").split("|")]
    first, second = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[6:8])
    found = {name: (one, two) for name, one, two in zip(names, first, second, strict=True)}
    assert found["AUC"] == ("0.500", "**0.750**")
    assert found["EER ↓"] == ("0.500", "**0.250**")
    assert found["Davies–Bouldin ↓"] == ("**0.50**", "0.75")
    assert found["mAP"] == ("**0.500**", "**0.500**")


def test_more_images_than_are_shown_are_not_all_taken(folder: Path):
    from learning.embedding_data import Reading, read_dataset

    data = read_dataset("folder", folder, Reading(size=16))
    parts, card, recipe = embedding_table.plan("folder", data, "triplet", "random", 12)
    assert len(parts.train) == 12
    assert recipe.epochs == 1
    parts, card, recipe = embedding_table.plan("folder", data, "softmax", embedding_table.NO_MINING, 200)
    assert len(parts.train) == len(data.train)
    assert recipe.epochs == round(200 / len(data.train))
    assert card.classes == 4


def test_what_cannot_be_used_is_named(tmp_path: Path, folder: Path):
    for text in ("mnist", "nothing=x", "mnist="):
        with pytest.raises(argparse.ArgumentTypeError, match="expected DATASET=DIR"):
            embedding_table.place(text)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/folder-softmax-64-seed0.json").write_text("{")
    arguments = [f"folder={folder}", "--losses", "softmax", "--shown", 64, "--output", tmp_path / "o"]
    with pytest.raises(ValueError, match="remove it, and it is made anew"):
        embedding_table.run(options(*arguments, "--run", tmp_path / "run"))
