"""The network and its files: what is written is read back, and nothing else is believed."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from learning.embedding_network import (
    INK,
    MARGIN,
    VIEWS,
    EmbeddingCard,
    EmbeddingNetwork,
    frame_ink,
    load_embedding,
    resize,
    save_embedding,
    views,
)
from tracker.network import WeightsError

CARD = EmbeddingCard("embeddingnet", size=16, dimensions=3)


def _network(**changes: object) -> EmbeddingNetwork:
    torch.manual_seed(0)
    return EmbeddingNetwork(dataclasses.replace(CARD, **changes)).eval()  # type: ignore[arg-type]


def _images(count: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    network = _network(loss="bce", normalise=True)
    card = save_embedding(network, tmp_path / "a" / "net.safetensors", results=[{"data": "made up", "accuracy": 0.5}])
    loaded = load_embedding(tmp_path / "a" / "net.safetensors")
    assert loaded.card == card
    assert card.results[0]["accuracy"] == 0.5
    assert not loaded.training
    assert torch.equal(loaded.embed(_images()), network.embed(_images()))


def test_half_precision_changes_little(tmp_path: Path) -> None:
    network = _network()
    save_embedding(network, tmp_path / "net.safetensors", half=True)
    torch.testing.assert_close(
        load_embedding(tmp_path / "net.safetensors").embed(_images()), network.embed(_images()), atol=0.02, rtol=0.02
    )


def test_embeddings_do_not_depend_on_batches_and_leave_the_mode_alone() -> None:
    network = _network().train()
    images = _images(7)
    torch.testing.assert_close(network.embed(images, batch=2), network.embed(images, batch=7))
    assert network.training
    assert network.embed(images[:0]).shape == (0, 3)


def test_normalised_embeddings_have_length_one() -> None:
    assert _network(normalise=True).embed(_images()).norm(dim=1).tolist() == pytest.approx([1.0] * 4, rel=1e-5)


@pytest.mark.parametrize("how", VIEWS)
def test_views_are_as_many_as_said_and_all_different(how: str) -> None:
    image = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
    seen = views(image, how)
    assert torch.equal(seen[0], image)
    assert len({tuple(view.flatten().tolist()) for view in seen}) == len(seen) == VIEWS[how]


def test_views_are_mirrored_and_turned() -> None:
    image = torch.tensor([[[[1, 2], [3, 4]]]])
    assert [view.flatten().tolist() for view in views(image, "mirrored")] == [[1, 2, 3, 4], [2, 1, 4, 3]]
    assert views(image, "turned")[1].flatten().tolist() == [2, 4, 1, 3], "turned to the left"
    assert views(image, "turned")[2].flatten().tolist() == [4, 3, 2, 1]


@pytest.mark.parametrize("how", VIEWS)
def test_the_distance_over_views_is_the_mean_of_theirs(how: str) -> None:
    plain, images = _network(normalise=True), _images(2)
    expected = np.mean([float((a - b).square().sum()) for a, b in map(plain.embed, views(images, how))])
    first, second = _network(normalise=True, views=how).embed(images)
    assert float((first - second).square().sum()) == pytest.approx(expected, rel=1e-4)
    assert float(first.norm()) == pytest.approx(1, rel=1e-5)
    assert _network(views=how).embed(images[:0]).shape == (0, 3 * VIEWS[how])


def test_views_are_not_for_a_learned_comparison() -> None:
    with pytest.raises(ValueError, match="leave out --views"):
        _network(loss="bce", views="turned")


def test_pixels_are_shifted_and_scaled_as_the_card_says() -> None:
    plain, scaled = _network(mean=0.0, scale=1.0), _network(mean=100.0, scale=0.5)
    images = _images().float()
    torch.testing.assert_close(scaled(images), plain((images - 100) / 2))


def test_similarity_is_minus_the_distance_or_kochs_logit() -> None:
    first, second = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[3.0, 4.0, 0.0]])
    assert float(_network().similarity(first, second)) == pytest.approx(-5)
    network = _network(loss="bce")
    expected = sum(float(a) * d for a, d in zip(network.alpha.detach(), (3, 4, 0), strict=True)) + 1
    assert float(network.similarity(first, second).detach()) == pytest.approx(expected)
    assert math.isclose(float(network.similarity(first, first).detach()), 1)


def test_prepared_images_have_the_networks_size_and_channels() -> None:
    colour = np.zeros((40, 20, 3), np.uint8)
    colour[..., 1] = 200
    assert _network().prepare(colour).shape == (1, 16, 16)
    assert _network(channels=3).prepare(colour)[:, 0, 0].tolist() == [0, 200, 0], "BGR"
    assert _network(channels=3).prepare(colour[..., 1]).shape == (3, 16, 16)
    grey = _network().prepare(colour)
    assert grey.unique().tolist() == [117], "0.587 of green"
    assert _network(invert=True).prepare(colour).unique().tolist() == [255 - 117]


def _drawn(top: int, left: int, height: int, width: int, side: int = 105) -> np.ndarray:
    """A cross that fills a box, light on black."""
    image = np.zeros((side, side), np.uint8)
    image[top + height // 2 - 1 : top + height // 2 + 1, left : left + width] = 255
    image[top : top + height, left + width // 2 - 1 : left + width // 2 + 1] = 255
    return image


def _box(image: np.ndarray) -> list[float]:
    """Top, bottom, left and right of what is light, as shares of the image."""
    light = image > 127
    ends = [np.flatnonzero(light.any(axis))[[0, -1]] + [0, 1] for axis in (1, 0)]
    return [float(end) / side for pair, side in zip(ends, image.shape, strict=True) for end in pair]


def test_framed_drawings_are_the_same_wherever_they_are() -> None:
    expected = frame_ink(_drawn(30, 20, 50, 40))
    for top, left in ((0, 0), (55, 65), (3, 40)):
        assert np.array_equal(frame_ink(_drawn(top, left, 50, 40)), expected), "up to the border, too"


@pytest.mark.parametrize("size", [40, 60, 100])
def test_framed_drawings_fill_their_frame_whatever_their_size(size: int) -> None:
    near, far = MARGIN / (1 + 2 * MARGIN), (1 + MARGIN) / (1 + 2 * MARGIN)
    assert _box(frame_ink(_drawn(2, 2, size, size))) == pytest.approx([near, far] * 2, abs=1 / 40)


def test_narrow_drawings_are_stretched_by_half() -> None:
    """Of a box of 3 to 1 the square shows one of √3 to 1; lines and dots are not stretched to fill it."""
    top, bottom, left, right = _box(resize(_drawn(10, 10, 80, 27), 56, 1, INK)[0].numpy())
    assert (bottom - top) / (right - left) == pytest.approx((80 / 27) ** 0.5, rel=0.06)
    assert (bottom - top) == pytest.approx(1 / (1 + 2 * MARGIN), abs=0.03)
    framed = frame_ink(_drawn(50, 50, 4, 4))
    assert framed.shape[0] == framed.shape[1] == pytest.approx(35 / 3**0.5 * (1 + 2 * MARGIN), abs=1)
    line = frame_ink(_drawn(10, 50, 80, 2))
    assert line.shape[1] == pytest.approx(80 / 3**0.5 * (1 + 2 * MARGIN), abs=1)


def test_ink_is_found_on_paper_and_where_there_is_none_the_image_stays() -> None:
    drawing = _drawn(30, 20, 50, 40)
    network = _network(framing=INK, invert=True)
    expected = resize(frame_ink(drawing), 16, 1)
    assert torch.equal(network.prepare(255 - drawing), expected)
    assert torch.equal(network.prepare(np.repeat(255 - drawing[..., None], 3, 2)), expected), "in colour"
    assert torch.equal(_network(framing=INK, invert=True, channels=3).prepare(255 - drawing), expected.repeat(3, 1, 1))
    paper = np.full((30, 20), 255, np.uint8)
    assert torch.equal(network.prepare(paper), torch.zeros(1, 16, 16, dtype=torch.uint8))
    assert frame_ink(255 - paper).shape == (30, 20)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)])
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a uint8 image"):
        resize(image, 8, 1)


def test_what_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    network = _network()
    with torch.no_grad():
        network.tower.get_parameter("linear.bias")[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        save_embedding(network, tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


def test_weights_have_their_ending(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must end in"):
        save_embedding(_network(), tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": None}, "not the card of an embedding"),
        ({"format": 2}, "its format is 2"),
        ({"colour": "red"}, "unknown entries in the card: colour"),
        ({"dimensions": "3"}, "`dimensions` in the card must be of type int"),
        ({"views": "both"}, "`views` in the card must be one of"),
        ({"framing": "round"}, "`framing` in the card must be one of"),
        ({"dimensions": 4}, "its tensors are not those"),
        ({"network": "resnet"}, "no network 'resnet'"),
        ({"sha256": "0"}, "SHA-256"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    path = tmp_path / "net.safetensors"
    save_embedding(_network(), path)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | changes))
    with pytest.raises(WeightsError, match=words):
        load_embedding(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match="no such weights file"):
        load_embedding(path)
    save_embedding(_network(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="truncated"):
        load_embedding(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="no such card"):
        load_embedding(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(WeightsError, match="not a readable card"):
        load_embedding(path)
