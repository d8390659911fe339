from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learning.descriptor import PYRAMID_SIZE, Descriptor, open_descriptor, pyramid
from learning.embedding_network import EmbeddingCard, EmbeddingNetwork, save_embedding
from tracker.network import ModelCard, SiameseNetwork, WeightsError, save_network


def pictures(count: int = 3, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8)) for _ in range(count)
    ]


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("embedding") / "small.safetensors")


def saved(path: Path, **card: Any) -> Path:
    torch.manual_seed(0)
    entries = {"network": "embeddingnet", "channels": 3, "size": 32, "dimensions": 8, "normalise": True} | card
    save_embedding(EmbeddingNetwork(EmbeddingCard(**entries)).eval(), path)
    return path


def test_a_pyramid_is_the_means_of_the_whole_and_its_quarters():
    features = torch.rand(2, 3, 5, 4)
    for row, vector in enumerate(pyramid(features).numpy()):
        image = features[row].numpy()
        quarters = [image[:, :3, :2], image[:, :3, 2:], image[:, 2:, :2], image[:, 2:, 2:]]
        expected = np.concatenate([part.mean((1, 2)) for part in [image, *quarters]])
        assert vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_a_trackers_backbone_describes_images():
    describe = open_descriptor("compact")
    images = pictures()
    vectors = describe([*images, images[0][:, ::-1].copy(), images[0]])
    assert vectors.shape == (5, describe.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert describe.metric == "cosine"
    similar = vectors @ vectors[0]
    assert similar[4] == pytest.approx(1, abs=1e-5)
    assert similar[:4].argsort()[-1] == 0
    assert similar[1:4].max() < 0.999


def test_any_backbone_of_ours_may_be_the_tower(tmp_path: Path):
    for name in ("ciresnet16", "alexnet"):
        torch.manual_seed(0)
        save_network(SiameseNetwork(ModelCard(name, "siamfc")), tmp_path / f"{name}.safetensors")
        describe = open_descriptor(tmp_path / f"{name}.safetensors")
        assert describe(pictures(1)).shape == (1, describe.dimensions)
        assert str(PYRAMID_SIZE) in describe.identity


def test_a_trained_embedding_is_used_as_it_is(embedding: Path):
    describe, images = open_descriptor(embedding), pictures()
    from learning.embedding_network import load_embedding

    network = load_embedding(embedding)
    expected = network.embed(torch.stack([network.prepare(image) for image in images])).numpy()
    assert describe(images) == pytest.approx(expected, abs=1e-6)
    assert (describe.identity, describe.metric, describe.dimensions) == (network.card.sha256, "cosine", 8)


def test_views_make_other_vectors(tmp_path: Path):
    """Longer ones, so that a gallery of one view is not searched with two."""
    plain, both = (saved(tmp_path / f"{views}.safetensors", views=views) for views in ("one", "mirrored"))
    first, second = open_descriptor(plain), open_descriptor(both)
    assert second(pictures(1)).shape == (1, second.dimensions) == (1, 2 * first.dimensions)
    assert first.identity != second.identity


def test_vectors_that_are_not_of_length_one_are_compared_by_distance(tmp_path: Path):
    assert open_descriptor(saved(tmp_path / "flat.safetensors", normalise=False)).metric == "euclidean"


def test_kochs_learned_comparison_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="trained by bce"):
        open_descriptor(saved(tmp_path / "koch.safetensors", loss="bce"))


def test_images_of_every_kind_and_number_are_taken(embedding: Path):
    describe = open_descriptor(embedding)
    grey = pictures(1)[0][..., 0]
    same = [grey, np.repeat(grey[..., None], 3, 2), grey.astype(np.uint16) * 257, grey / 255.0]
    vectors = describe(same)
    assert vectors == pytest.approx(np.repeat(vectors[:1], 4, 0), abs=1e-6)
    assert describe([]).shape == (0, 8)
    many = [pictures(1)[0]] * 65
    assert describe(many) == pytest.approx(np.repeat(describe(many[:1]), 65, 0), abs=1e-5)


@pytest.mark.parametrize("image", [None, "picture.jpg", np.zeros((0, 4, 3), np.uint8), np.full((4, 4), np.nan)])
def test_what_is_no_image_is_named_by_its_number(image: Any, embedding: Path):
    with pytest.raises(ValueError, match=r"image 1 \(0-based\)"):
        open_descriptor(embedding)([pictures(1)[0], image])


def test_vectors_that_are_not_finite_are_refused():
    broken = Descriptor(
        "broken",
        "",
        2,
        "cosine",
        lambda image: torch.zeros(1, 1, 1),
        lambda batch: torch.full((len(batch), 2), torch.nan),
    )
    with pytest.raises(ValueError, match="broken maps an image to NaN"):
        broken(pictures(1))


def test_weights_that_cannot_be_opened(tmp_path: Path, embedding: Path):
    with pytest.raises(WeightsError, match="neither a model that ships"):
        open_descriptor("nothing")
    with pytest.raises(WeightsError, match="no such weights file"):
        open_descriptor(tmp_path / "none.safetensors")
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(embedding.read_bytes())
    with pytest.raises(WeightsError, match="not a readable model card"):
        open_descriptor(alone)
    alone.with_suffix(".json").write_text("[]")
    with pytest.raises(WeightsError, match="not a model card"):
        open_descriptor(alone)
