from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learning.descriptor import Descriptor
from learning.gallery import Gallery, GalleryError
from learning.verifier import UNKNOWN, Verifier

SIDE = 6


def descriptor(metric: Any = "cosine", identity: str = "network 1") -> Descriptor:
    """Pixels around grey as the vector: what is alike, is alike."""

    def embed(batch: torch.Tensor) -> torch.Tensor:
        return (batch.float() - 128).flatten(1)

    def prepare(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image[:SIDE, :SIDE, 0].copy())[None]

    return Descriptor("pixels", identity, SIDE * SIDE, metric, prepare, embed)


def people(count: int, images: int = 6, noise: float = 20.0, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Patterns of their own under noise."""
    rng = np.random.default_rng(seed)
    faces = rng.uniform(40, 216, (count, SIDE, SIDE))
    shots = faces[:, None] + rng.normal(0, noise, (count, images, SIDE, SIDE))
    return {f"p{seed}-{i}": list(np.clip(shots[i], 0, 255).astype(np.uint8)) for i in range(count)}


def ready(metric: Any = "cosine", noise: float = 20.0, far: float = 0.05) -> Verifier:
    verifier = Verifier(descriptor(metric))
    verifier.calibrate(people(15, seed=100, noise=noise), far)
    for name, images in people(10, noise=noise).items():
        verifier.enrol(name, images[:3])
    return verifier


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_those_enrolled_are_known_and_strangers_are_not(metric: str):
    verifier, impostors = ready(metric), []
    for name, images in people(10).items():
        for image in images[3:]:
            answer = verifier.identify(image, k=3)
            assert answer.name == name
            assert len(answer.matches) == 3
            assert answer.matches[0].score >= answer.matches[1].score >= answer.matches[2].score
            found = verifier.verify(image, name)
            assert found.accepted
            assert found.score == pytest.approx(answer.matches[0].score)
            impostors += [verifier.verify(image, other).accepted for other in verifier.gallery if other != name]
    assert np.mean(impostors) < 0.1  # 5 % asked for
    strangers = [image for images in people(10, seed=7).values() for image in images]
    assert np.mean([verifier.identify(image).name == UNKNOWN for image in strangers]) > 0.9


def test_the_thresholds_have_the_rates_that_counting_finds():
    far, shots, validation = 0.1, 2, people(12, images=5, noise=120, seed=3)
    verifier = Verifier(descriptor())
    chosen = verifier.calibrate(validation, far, shots)
    vectors = {
        name: [v / np.linalg.norm(v) for v in (np.array(images).reshape(len(images), -1) - 128.0)]
        for name, images in validation.items()
    }
    templates = {name: sum(rows[:shots]) / np.linalg.norm(sum(rows[:shots])) for name, rows in vectors.items()}
    genuine, impostors, known, strangers = [], [], [], []
    for name, rows in vectors.items():
        for row in rows[shots:]:
            others = [row @ template for other, template in templates.items() if other != name]
            own = row @ templates[name]
            genuine.append(own)
            impostors += others
            strangers.append(max(others))
            known.append(own if own >= max(others) else -np.inf)

    def share(scores: list[float], threshold: float) -> float:
        return float(np.mean([score >= threshold for score in scores]))

    assert chosen.verify.far == pytest.approx(share(impostors, chosen.verify.value))
    assert chosen.verify.tar == pytest.approx(share(genuine, chosen.verify.value))
    assert chosen.identify.far == pytest.approx(share(strangers, chosen.identify.value))
    assert chosen.identify.tar == pytest.approx(share(known, chosen.identify.value))
    assert 0 < chosen.verify.far <= far
    assert 0 < chosen.identify.far <= far
    for threshold, wrong in ((chosen.verify, impostors), (chosen.identify, strangers)):
        looser = max(score for score in wrong if score < threshold.value)
        assert share(wrong, looser) > far, "no milder threshold would have kept the rate"
    assert chosen.identify.value > chosen.verify.value, "strangers have as many chances as there are names"
    assert (chosen.verify.genuine, chosen.verify.impostors) == (36, 36 * 11)
    assert (chosen.people, chosen.shots, chosen.far) == (12, 2, 0.1)


def test_the_false_accept_rate_holds_for_people_to_come():
    verifier = Verifier(descriptor())
    verifier.calibrate(people(60, noise=90, seed=1), 0.05)
    threshold = verifier.calibration.verify.value  # type: ignore[union-attr]
    later = people(60, noise=90, seed=2)
    for name, images in later.items():
        verifier.enrol(name, images[:3])
    vectors = verifier.descriptor([images[4] for images in later.values()])
    scores = verifier.gallery.scores(vectors)
    impostors = scores[~np.eye(60, dtype=bool)]
    assert (impostors >= threshold).mean() == pytest.approx(0.05, abs=0.02)


def test_more_images_make_a_better_template():
    verifier, images = ready(noise=90), people(10, images=12, noise=90)["p0-4"]
    before = np.mean([verifier.verify(image, "p0-4").score for image in images[8:]])
    verifier.enrol("p0-4", images[3:8])
    assert verifier.gallery.count("p0-4") == 8
    assert np.mean([verifier.verify(image, "p0-4").score for image in images[8:]]) > before + 0.02


def test_who_is_forgotten_is_unknown():
    verifier, images = ready(), people(10)["p0-4"]
    verifier.forget("p0-4")
    assert verifier.identify(images[5]).name == UNKNOWN
    with pytest.raises(KeyError, match="nobody is enrolled as 'p0-4'"):
        verifier.verify(images[5], "p0-4")


def test_in_an_empty_gallery_everybody_is_unknown():
    verifier = Verifier(descriptor())
    verifier.calibrate(people(15), 0.05)
    answer = verifier.identify(people(1)["p0-0"][0], 5)
    assert (answer.name, answer.matches) == (UNKNOWN, ())


def test_a_saved_verifier_answers_the_same(tmp_path: Path):
    verifier, path = ready(), tmp_path / "people.safetensors"
    verifier.save(path)
    loaded = Verifier.load(path, descriptor())
    assert loaded.calibration == verifier.calibration
    for images in people(10, noise=40, seed=5).values():
        found, expected = loaded.identify(images[0], 4), verifier.identify(images[0], 4)
        assert found == expected
    with pytest.raises(FileExistsError):
        loaded.save(path)
    loaded.save(path, overwrite=True)


def test_a_gallery_opens_the_network_that_made_it(tmp_path: Path):
    from learning.descriptor import open_descriptor
    from learning.embedding_network import EmbeddingCard, EmbeddingNetwork, save_embedding

    for name, seed in (("first", 0), ("second", 1)):
        torch.manual_seed(seed)
        card = EmbeddingCard("embeddingnet", size=16, dimensions=4, normalise=True)
        save_embedding(EmbeddingNetwork(card).eval(), tmp_path / f"{name}.safetensors")
    verifier, images = Verifier(open_descriptor(tmp_path / "first.safetensors")), people(4)
    verifier.calibrate(images, 0.2)
    verifier.enrol("anna", images["p0-0"])
    verifier.save(tmp_path / "people.safetensors")
    loaded = Verifier.load(tmp_path / "people.safetensors")
    assert loaded.verify(images["p0-0"][0], "anna") == verifier.verify(images["p0-0"][0], "anna")
    with pytest.raises(GalleryError, match=r"people\.safetensors: .*two networks cannot be compared; enrol again"):
        Verifier.load(tmp_path / "people.safetensors", open_descriptor(tmp_path / "second.safetensors"))


# ---------------------------------------------------------------- what is refused


def test_without_a_threshold_there_is_no_answer():
    verifier, images = Verifier(descriptor()), people(1)["p0-0"]
    verifier.enrol("anna", images)
    for ask in (lambda: verifier.verify(images[0], "anna"), lambda: verifier.identify(images[0])):
        with pytest.raises(ValueError, match="no threshold has been chosen: calibrate"):
            ask()


@pytest.mark.parametrize(
    ("name", "images", "words"),
    [
        (UNKNOWN, people(1)["p0-0"], "the answer for those who are not enrolled"),
        ("anna", [], "no images to enrol 'anna'"),
        ("", people(1)["p0-0"], "must be a text"),
        ("anna", [people(1)["p0-0"][0], None], r"image 1 .* is None \(was it read successfully\?\)"),
        ("anna", [np.full((SIDE, SIDE), 128, np.uint8)], "no direction"),
    ],
)
def test_nobody_is_enrolled_by_bad_input(name: str, images: list[Any], words: str):
    verifier = Verifier(descriptor())
    with pytest.raises(ValueError, match=words):
        verifier.enrol(name, images)
    assert len(verifier.gallery) == 0


@pytest.mark.parametrize(
    ("validation", "arguments", "words"),
    [
        (people(2), {}, "three people or more"),
        (people(4) | {"nobody": []}, {}, "no images of 'nobody'"),
        (people(4) | {"cut": [None]}, {}, "'cut': image 0"),
        (people(5, images=3), {}, "nobody has more than 3 images"),
        (people(5), {"shots": 0}, "one image or more"),
        (people(5), {"far": 0.001}, "at least 1000 impostor pairs"),
        (people(5), {"far": 0}, "above 0 and below 1"),
    ],
)
def test_a_validation_that_shows_nothing_is_refused(validation: Any, arguments: dict[str, Any], words: str):
    verifier = Verifier(descriptor())
    with pytest.raises(ValueError, match=words):
        verifier.calibrate(validation, **arguments)
    assert verifier.calibration is None


@pytest.mark.parametrize(
    "entries",
    [5, [], {}, {"verify": 3}, {"far": 0.1, "verify": {}, "identify": {}, "people": 3, "shots": 1}, "nan", "extra"],
)
def test_a_damaged_calibration_is_refused(entries: Any, tmp_path: Path):
    verifier, path = ready(), tmp_path / "people.safetensors"
    verifier.save(path)
    gallery = Gallery.load(path)
    good = gallery.settings["calibration"]
    if entries == "nan":
        entries = json.loads(json.dumps(good)) | {"verify": good["verify"] | {"value": "nan"}}
    if entries == "extra":
        entries = good | {"more": 1}
    gallery.settings["calibration"] = entries
    gallery.save(path, overwrite=True)
    with pytest.raises(GalleryError, match="calibrate again"):
        Verifier.load(path, descriptor())
