from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks.verification import all_pairs, auc
from learning import unseen
from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import EmbeddingCard, load_embedding


def patterns(classes: int = 8, images: int = 4, size: int = 16, noise: float = 12.0, seed: int = 0) -> LabelledImages:
    rng = np.random.default_rng(seed)
    shapes = rng.uniform(40, 216, (classes, 4, 4)).repeat(size // 4, 1).repeat(size // 4, 2)
    pixels = shapes[:, None] + rng.normal(0, noise, (classes, images, size, size))
    tensor = torch.from_numpy(np.clip(pixels, 0, 255).astype(np.uint8)).reshape(-1, 1, size, size)
    return LabelledImages(tensor, np.repeat(np.arange(classes), images), tuple(f"s{i}" for i in range(classes)))


@pytest.mark.parametrize(("classes", "folds"), [(40, 4), (11, 3), (4, 2)])
def test_every_class_is_once_among_the_unseen(classes: int, folds: int):
    parts = unseen.cut(classes, folds, seed=1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(classes))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert [part.tolist() for part in unseen.cut(classes, folds, seed=1)] == [part.tolist() for part in parts]


@pytest.mark.parametrize("folds", [1, 6])
def test_folds_need_two_classes_each(folds: int):
    with pytest.raises(ValueError, match=r"10 classes can be cut into 2 … 5 folds"):
        unseen.cut(10, folds, 0)


def test_joined_parts_keep_their_classes():
    faces = patterns()
    first, second = faces.of_classes(np.arange(3)), faces.of_classes(np.arange(3, 8))
    whole = unseen.join(Parts(first, second))
    assert whole.classes == faces.classes
    assert (whole.labels == faces.labels).all()
    assert torch.equal(whole.images, faces.images)
    digits = unseen.join(Parts(faces.subset(np.arange(0, 32, 2)), faces.subset(np.arange(1, 32, 2))))
    assert digits.classes == faces.classes
    assert np.bincount(digits.labels).tolist() == [4] * 8


def test_the_measures_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 20)
    vectors = rng.normal(size=(12, 6))[labels] + rng.normal(0, 0.9, (240, 6))
    found = unseen.judge_unseen(vectors, labels, cosine=False)
    scores, same = [], []
    for i in range(240):
        for j in range(i):
            scores.append(-np.sqrt(((vectors[i] - vectors[j]) ** 2).sum()))
            same.append(labels[i] == labels[j])
    scores, same = np.array(scores), np.array(same)
    assert found["auc"] == pytest.approx(auc(scores, same))
    assert found["pairs"] == len(all_pairs(labels).same) == len(scores)

    first, second = np.array([(i, j) for i in range(240) for j in range(i)]).T
    low, high = ((labels[first] < 6) & (labels[second] < 6)), ((labels[first] >= 6) & (labels[second] >= 6))
    fars, tars = [], []
    for here, there in ((low, high), (high, low)):
        impostors = np.sort(scores[here & ~same])[::-1]
        allowed = int(0.01 * len(impostors))
        threshold = (impostors[allowed] + scores[here][scores[here] > impostors[allowed]].min()) / 2
        fars.append((scores[there & ~same] >= threshold).mean())
        tars.append((scores[there & same] >= threshold).mean())
    assert found["far_elsewhere"] == pytest.approx(np.mean(fars))
    assert found["tar_elsewhere"] == pytest.approx(np.mean(tars))


def test_too_few_unseen_show_no_rate_of_one_percent():
    rng = np.random.default_rng(0)
    found = unseen.judge_unseen(rng.normal(size=(40, 3)), np.repeat(np.arange(4), 10), cosine=True)
    assert np.isfinite(found["auc"])
    few = unseen.judge_unseen(rng.normal(size=(24, 3)), np.repeat(np.arange(2), 12), cosine=True)
    assert np.isnan(few["far_elsewhere"])


def test_pixels_are_compared_by_their_correlation():
    images = patterns().images[:2]
    a, b = unseen.pixel_vectors(images)
    expected = np.corrcoef(images[0].flatten().numpy(), images[1].flatten().numpy())[0, 1]
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) == pytest.approx(expected)


def test_each_fold_is_trained_without_what_it_is_judged_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from learning.embedding import EmbeddingRecipe, EmbeddingTraining

    trained: list[tuple[set[str], set[str]]] = []
    real = EmbeddingTraining.__init__

    def watched(self: EmbeddingTraining, card: Any, recipe: Any, data: Parts, *rest: Any) -> None:
        trained.append((set(data.train.classes), set(data.test.classes)))
        real(self, card, recipe, data, *rest)

    monkeypatch.setattr(EmbeddingTraining, "__init__", watched)
    faces = patterns(images=20)
    card = EmbeddingCard("embeddingnet", size=16, dimensions=4, loss="triplet")
    recipe = EmbeddingRecipe("triplet", classes=4, images=3, epochs=1, margin=None)
    rows, network = unseen.cross_validate(faces, card, recipe, tmp_path, folds=4)
    assert len(rows) == 4
    for learned, judged in trained:
        assert not learned & judged
        assert learned | judged == set(faces.classes)
    assert sorted(name for row in rows for name in row["unseen"]) == sorted(faces.classes)
    assert network.card.dimensions == 4
    before = (tmp_path / "seed0-fold0/last.ckpt").stat().st_mtime_ns
    again, _ = unseen.cross_validate(faces, card, recipe, tmp_path, folds=4)
    assert (tmp_path / "seed0-fold0/last.ckpt").stat().st_mtime_ns == before, "what is stored is not trained again"
    assert [row["auc"] for row in again] == [row["auc"] for row in rows]


def test_a_recipe_is_chosen_without_the_classes_that_judge_it(tmp_path: Path):
    from learning.embedding import EmbeddingRecipe

    faces = patterns(images=20)
    card = EmbeddingCard("embeddingnet", size=16, dimensions=4, loss="triplet")
    recipe = EmbeddingRecipe("triplet", classes=6, images=3, epochs=1, margin=None)
    rows, _ = unseen.cross_validate(faces, card, recipe, tmp_path, folds=4, inner=True)
    own = unseen.cut(len(faces.classes), 4, 0)
    for row, part in zip(rows, own, strict=True):
        looked_at = {faces.classes[number] for number in part}
        assert len(row["unseen"]) == 2
        assert not looked_at & set(row["unseen"])
        assert row["trained on"] == len(faces.classes) - len(part) - 2


def options(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    unseen.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def test_the_command_trains_judges_and_writes_a_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    faces = patterns(6, 12, noise=4)
    for name, label in zip(faces.classes, range(6), strict=True):
        (tmp_path / "people" / name).mkdir(parents=True)
        for number, image in enumerate(faces.images[faces.labels == label]):
            cv2.imwrite(str(tmp_path / f"people/{name}/{number}.png"), image[0].numpy())
    output = tmp_path / "faces.safetensors"
    arguments = ["folder", "--data", tmp_path / "people", "--grey", "--size", 16, "--folds", 2, "--epochs", 2]
    arguments += ["--run", tmp_path / "run", "--output", output, "--repeats", 2]
    text = unseen.run_command(options(*arguments))
    assert "| ROC AUC of verification |" in text
    assert "4 trainings" in text
    with pytest.raises(ValueError, match="exists; give another name or --overwrite"):
        unseen.run_command(options(*arguments))
    found = json.loads(unseen.run_command(options(*arguments, "--overwrite", "--json")))
    assert {(row["seed"], row["fold"]) for row in found["folds"]} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    values = [row["auc"] for row in found["folds"]]
    assert found["summary"]["auc"]["mean"] == pytest.approx(np.mean(values))
    assert found["summary"]["auc"]["worst"] == min(values)
    assert found["summary"]["eer"]["worst"] == max(row["eer"] for row in found["folds"])
    card = load_embedding(output).card
    assert card.training["unseen"] == found["folds"][0]["unseen"]
    assert card.results[0]["auc"] == pytest.approx(values[0], abs=1e-4)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        unseen.run_command(options(*arguments[:-4], "--output", tmp_path / "faces.pth"))
