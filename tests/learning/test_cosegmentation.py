"""Masks of two images and of groups, the files of a network, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from learning.cosegmentation import (
    Cosegmenter,
    build,
    chosen_partners,
    gather,
    load,
    new_card,
    output_names,
    overlay,
    predict_files,
    save,
)
from tracker.network import ModelCard, WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def segmenter() -> Cosegmenter:
    torch.manual_seed(0)
    card = new_card(32, "plain", widths=[4, 6, 8], embedding=5)
    return Cosegmenter(build(card), card)


@pytest.fixture(scope="module")
def weights(segmenter: Cosegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(segmenter.network, segmenter.card, path)
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_each_image_keeps_its_size(segmenter: Cosegmenter) -> None:
    shapes = [(40, 60), (33, 20), (1, 7)]
    found = segmenter.probabilities([noise(*shape, seed) for seed, shape in enumerate(shapes)])
    assert [map_.shape for map_ in found] == shapes
    assert all(0 <= map_.min() <= map_.max() <= 1 for map_ in found)


def test_a_group_is_the_mean_of_its_pairs(segmenter: Cosegmenter) -> None:
    images = [noise(30, 40, seed) for seed in range(4)]
    together = segmenter.probabilities(images)
    for index, image in enumerate(images):
        pairs = [segmenter.probabilities([image, other])[0] for n, other in enumerate(images) if n != index]
        np.testing.assert_allclose(together[index], np.mean(pairs, axis=0), atol=1e-5)


def test_partners_are_spread_over_the_group() -> None:
    assert chosen_partners(1, 3, 8) == [0, 2]
    assert chosen_partners(0, 101, 4) == [1, 26, 51, 76]
    assert all(index not in chosen_partners(index, 20, 7) for index in range(20))


def test_grey_alpha_and_deep_images_are_what_they_show(segmenter: Cosegmenter) -> None:
    grey = noise(30, 40)[..., 0]
    colour = np.repeat(grey[..., None], 3, axis=2)
    alpha = np.dstack([colour, np.full((30, 40), 128, np.uint8)])
    other = noise(30, 40, 1)
    expected = segmenter.probabilities([colour, other])[0]
    for image in (grey, alpha, grey.astype(np.uint16) * 257):
        np.testing.assert_array_equal(segmenter.probabilities([image, other])[0], expected)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "at least two, got 0"),
        ([noise(8, 8)], "at least two, got 1"),
        ([noise(8, 8), None], "image 2: .*None"),
        ([noise(8, 8), np.zeros((0, 8, 3), np.uint8)], "image 2: .*empty"),
        ([np.zeros((8, 8, 5), np.uint8), noise(8, 8)], "image 1: .*shape"),
    ],
)
def test_what_is_no_pair_of_images_is_refused(segmenter: Cosegmenter, images: list[object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        segmenter.probabilities(images)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_a_threshold_is_a_probability(segmenter: Cosegmenter, threshold: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        segmenter.masks([noise(8, 8), noise(8, 8, 1)], threshold)


def test_masks_are_cut_at_the_threshold_of_the_card(segmenter: Cosegmenter) -> None:
    images = [noise(30, 40, seed) for seed in range(2)]
    middle = float(np.median(segmenter.probabilities(images)[0]))
    card = dataclasses.replace(segmenter.card, config={**segmenter.card.config, "threshold": middle})
    mask = Cosegmenter(segmenter.network, card).masks(images)[0]
    assert 0.4 < mask.mean() < 0.6
    np.testing.assert_array_equal(mask, segmenter.probabilities(images)[0] > middle)


def test_trust_is_the_share_of_what_the_other_image_adds(segmenter: Cosegmenter) -> None:
    images = [noise(32, 32, seed) for seed in range(2)]

    def logits(trust: float) -> np.ndarray:
        card = dataclasses.replace(segmenter.card, config={**segmenter.card.config, "trust": trust})
        probability = Cosegmenter(segmenter.network, card).probabilities(images)[0].astype(np.float64)
        return np.log(probability / (1 - probability))

    np.testing.assert_allclose(logits(0.5), (logits(0.0) + logits(1.0)) / 2, atol=1e-4)
    alone = segmenter.saliency(images[0]).astype(np.float64)
    np.testing.assert_allclose(logits(0.0), np.log(alone / (1 - alone)), atol=1e-4)


# ---------------------------------------------------------------- files of a network


def test_a_network_is_saved_and_loaded(segmenter: Cosegmenter, weights: Path) -> None:
    network, card = load(weights)
    assert card.config == segmenter.card.config
    images = [noise(30, 40, seed) for seed in range(2)]
    for one, other in zip(
        Cosegmenter(network, card).probabilities(images), segmenter.probabilities(images), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=0.01)  # kernels are stored as fp16


def test_damaged_and_foreign_files_are_refused(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.safetensors"
    card = ModelCard.read(weights.with_suffix(".json"))
    path.write_bytes(weights.read_bytes()[:-50])
    card.write(path.with_suffix(".json"))
    with pytest.raises(WeightsError, match="truncated"):
        load(path)
    path.write_bytes(weights.read_bytes())
    dataclasses.replace(card, sha256="0").write(path.with_suffix(".json"))
    with pytest.raises(WeightsError, match="SHA-256"):
        load(path)
    dataclasses.replace(card, config={"encoder": "plain", "widths": [4, 6], "embedding": 5}).write(
        path.with_suffix(".json")
    )
    with pytest.raises(WeightsError, match="no network for co-segmentation"):
        load(path)
    dataclasses.replace(card, backbone="compact").write(path.with_suffix(".json"))
    with pytest.raises(WeightsError, match="not of a network for co-segmentation"):
        load(path)
    with pytest.raises(WeightsError, match="no such weights file"):
        load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("wrong", [{"trust": "much"}, {"threshold": float("nan")}, {"saliency_threshold": None}])
def test_a_card_whose_settings_are_no_shares_is_refused(weights: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "copy.safetensors"
    path.write_bytes(weights.read_bytes())
    card = ModelCard.read(weights.with_suffix(".json"))
    dataclasses.replace(card, config={**card.config, **wrong}).write(path.with_suffix(".json"))
    with pytest.raises(WeightsError, match=rf"copy\.safetensors: `{next(iter(wrong))}` in the card's config must be"):
        Cosegmenter.from_pretrained(path)


def test_what_is_not_finite_is_not_saved(segmenter: Cosegmenter, tmp_path: Path) -> None:
    network = build(segmenter.card)
    with torch.no_grad():
        network.decoder.mask.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"not finite.*decoder\.mask\.bias"):
        save(network, segmenter.card, tmp_path / "nan.safetensors")
    with pytest.raises(ValueError, match="must end in"):
        save(network, segmenter.card, tmp_path / "nan.pth")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- files of images


def write(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_masks_and_overlays_are_written(weights: Path, tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.png", noise(30, 40)), write(tmp_path / "b.jpg", noise(50, 20, 1))]
    found = predict_files(paths, tmp_path / "out", weights, threshold=0.5)
    for path, entry in zip(paths, found.images, strict=True):
        mask = cv2.imread(entry["mask"], cv2.IMREAD_UNCHANGED)
        assert mask.shape == cv2.imread(str(path)).shape[:2]
        assert set(np.unique(mask)) <= {0, 255}
        assert entry["share"] == pytest.approx((mask > 0).mean(), abs=1e-4)
        assert cv2.imread(entry["overlay"]).shape == cv2.imread(str(path)).shape
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("a_mask.png", "a_overlay.png", "b_mask.png", "b_overlay.png")
    ]


def test_nothing_is_replaced_or_half_written(weights: Path, tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a.png", noise(9, 9)), tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"bad\.png is not an image"):
        predict_files([good, bad], tmp_path / "out", weights)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_mask.png").write_bytes(b"precious")
    other = write(tmp_path / "b.png", noise(9, 9))
    with pytest.raises(FileExistsError, match=r"a_mask\.png exists"):
        predict_files([good, other], tmp_path / "out", weights)
    assert (tmp_path / "out" / "a_mask.png").read_bytes() == b"precious"


def test_names_that_would_be_the_same_are_numbered() -> None:
    assert output_names(["x/a.jpg", "y/b.png"]) == ["a", "b"]
    assert output_names(["x/a.jpg", "y/A.png", "c.png"]) == ["1_a", "2_A", "3_c"]


def test_a_folder_stands_for_its_images(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        write(tmp_path / name, noise(4, 4))
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.name for path in gather([tmp_path])] == ["a.jpg", "b.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images in"):
        gather([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match="no such image"):
        gather([tmp_path / "c.png"])


def test_an_overlay_keeps_the_object_and_dims_the_rest() -> None:
    image = np.full((40, 40, 3), (200, 100, 50), np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    shown = overlay(image, mask)
    assert (shown[15:25, 15:25] == image[0, 0]).all()
    outside = shown[0, 0]
    assert outside[0] == outside[1] == outside[2] < 100
    assert (image == (200, 100, 50)).all(), "the image itself is left alone"
