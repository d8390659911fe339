from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from learning import faces
from learning.embedding_network import EmbeddingCard, EmbeddingNetwork, save_embedding


def run(*arguments: object) -> str:
    parser = argparse.ArgumentParser()
    faces.add_arguments(parser)
    return faces.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    torch.manual_seed(0)
    card = EmbeddingCard("embeddingnet", size=16, dimensions=32, normalise=True, mean=128.0)
    save_embedding(EmbeddingNetwork(card).eval(), path)
    return path


def write_people(folder: Path, count: int, seed: int, images: int = 6) -> Path:
    rng = np.random.default_rng(seed)
    for number in range(count):
        place = folder / f"p{seed}-{number}"
        place.mkdir(parents=True)
        pattern = rng.uniform(30, 226, (4, 4)).repeat(4, 0).repeat(4, 1)
        for image in range(images):
            noisy = np.clip(pattern + rng.normal(0, 8, pattern.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(place / f"{image}.png"), noisy)
    return folder


@pytest.fixture
def gallery(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "people.safetensors"
    run("enrol", path, write_people(tmp_path / "friends", 5, 0), "--model", model)
    run("calibrate", path, write_people(tmp_path / "strangers", 12, 1), "--far", "0.05")
    return path


def test_from_folders_to_answers(model: Path, tmp_path: Path):
    path = tmp_path / "people.safetensors"
    said = run("enrol", path, write_people(tmp_path / "friends", 5, 0), "--model", model)
    assert said == f"30 images, 5 new names; {path} has 5 names; no threshold yet: `verify calibrate` chooses one"
    said = run("calibrate", path, write_people(tmp_path / "strangers", 12, 1), "--far", "0.05")
    assert said.startswith("on 12 people, templates of 3 images, at most 5.00% false accepts:")
    own = tmp_path / "friends/p0-2/4.png"
    assert run("check", path, own, "p0-2").startswith("yes: score 0.9")
    answer = json.loads(run("check", path, own, "p0-2", "--json"))
    assert answer["accepted"]
    assert answer["score"] >= answer["threshold"]
    stranger = write_people(tmp_path / "more", 1, 9) / "p9-0/0.png"
    answers = json.loads(run("identify", path, own, stranger, "--top", 2, "--json"))
    assert [found["name"] for found in answers] == ["p0-2", "unknown"]
    assert [len(found["matches"]) for found in answers] == [2, 2]
    assert run("identify", path, stranger).startswith(f"{stranger}: unknown (p0-")


def test_a_gallery_is_added_to_listed_and_cut(gallery: Path, model: Path, tmp_path: Path):
    said = json.loads(run("enrol", gallery, tmp_path / "friends", "--json"))
    assert said == {"names": 5, "new": 0, "images": 30}
    (tmp_path / "new/anna").mkdir(parents=True)
    (tmp_path / "new/anna/1.png").write_bytes((tmp_path / "friends/p0-0/0.png").read_bytes())
    assert "1 images, 1 new names" in run("enrol", gallery, tmp_path / "new", "--model", model)
    listed = json.loads(run("list", gallery, "--json"))
    assert listed["names"] == {**{f"p0-{i}": 12 for i in range(5)}, "anna": 1}
    assert listed["calibration"]["far"] == 0.05
    assert run("forget", gallery, "anna", "p0-1") == "2 forgotten, 4 names are left"
    assert run("list", gallery).splitlines()[-1].startswith("4 names, described by ")
    with pytest.raises(ValueError, match="nobody is enrolled as 'anna'"):
        run("forget", gallery, "anna")


def test_what_is_wrong_is_said_and_changes_nothing(gallery: Path, model: Path, tmp_path: Path):
    before = gallery.read_bytes()
    image = tmp_path / "friends/p0-0/0.png"
    (tmp_path / "empty/nobody").mkdir(parents=True)
    (tmp_path / "flat").mkdir()
    (tmp_path / "broken/anna").mkdir(parents=True)
    (tmp_path / "broken/anna/1.png").write_text("no image")
    (tmp_path / "reserved/unknown").mkdir(parents=True)
    (tmp_path / "reserved/unknown/1.png").write_bytes(image.read_bytes())
    for arguments, words in (
        (("enrol", gallery, tmp_path / "empty"), "nobody: no image in it"),
        (("enrol", gallery, tmp_path / "flat"), "has no folders in it"),
        (("enrol", gallery, tmp_path / "broken"), r"1\.png: not a readable image"),
        (("enrol", gallery, tmp_path / "reserved"), "choose another name"),
        (("enrol", gallery, tmp_path / "friends", "--model", "compact"), "not by compact; name another gallery"),
        (("enrol", tmp_path / "new.safetensors", tmp_path / "friends"), "say by --model"),
        (("calibrate", gallery, tmp_path / "friends"), "enrolled already"),
        (("calibrate", gallery, tmp_path / "strangers", "--far", "0.0001"), "at least 10000 impostor pairs"),
        (("check", gallery, tmp_path / "none.png", "p0-0"), r"none\.png: no such file"),
        (("check", gallery, image, "nobody"), "nobody is enrolled as 'nobody'"),
    ):
        with pytest.raises(ValueError, match=words):
            run(*arguments)
    for arguments in (("enrol", gallery, tmp_path / "nowhere"), ("list", tmp_path / "none.safetensors")):
        with pytest.raises(OSError, match="no such"):
            run(*arguments)
    assert gallery.read_bytes() == before


def test_without_thresholds_nobody_is_judged(model: Path, tmp_path: Path):
    path = tmp_path / "people.safetensors"
    run("enrol", path, write_people(tmp_path / "friends", 2, 0), "--model", model)
    with pytest.raises(ValueError, match="no threshold has been chosen"):
        run("identify", path, tmp_path / "friends/p0-0/0.png")
