"""Patches of detections, the files of pair networks, and the networks behind the protocol of appearance."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backbones.pair import TOPOLOGIES, build_pair_network
from tracker.association.appearance import (
    PairAppearance,
    PairCard,
    colour_histograms,
    load_pair_network,
    pair_patches,
    save_pair_network,
)
from tracker.association.appearance_cue import AppearanceCue
from tracker.network import WeightsError

SMALL = (32, 16)


def scene(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (80, 100, 3)).astype(np.uint8)


def no_flow(image: np.ndarray) -> np.ndarray:
    return np.zeros((*image.shape[:2], 2), np.float32)


def test_a_box_of_the_patches_size_is_cut_out_pixel_for_pixel() -> None:
    image = scene()
    patch = pair_patches(image, no_flow(image), np.array([[20.0, 30, 16, 32]]), SMALL)[0]
    expected = cv2.cvtColor(image[30:62, 20:36], cv2.COLOR_BGR2Luv).transpose(2, 0, 1)
    np.testing.assert_array_equal(patch[:3], expected)
    assert (patch[3:] == 128).all()


def test_a_larger_box_is_shrunk_about_its_middle() -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    image[:, 50:] = 255  # an edge in the middle of the box
    patch = pair_patches(image, no_flow(image), np.array([[34.0, 8, 32, 64]]), SMALL)[0]
    assert (patch[0, :, :8] == 0).all()
    assert (patch[0, :, 8:] == 255).all()


def test_flow_is_told_in_heights_of_the_box_and_kept_in_range() -> None:
    image = scene()
    flow = np.broadcast_to(np.float32([4, -2]), (40, 50, 2)).copy()  # a field of half the image's resolution
    small, large = pair_patches(image, flow, np.array([[10.0, 10, 8, 16], [10, 10, 32, 64]]), SMALL)
    assert (small[3] == 128 + 256 * 4 / 16).all()
    assert (small[4] == 128 - 256 * 2 / 16).all()
    assert (large[3] == 128 + 256 * 4 / 64).all()
    assert (large[4] == 128 - 256 * 2 / 64).all()
    fast = pair_patches(image, flow * 100, np.array([[10.0, 10, 8, 16]]), SMALL)[0]
    assert (fast[3] == 255).all()
    assert (fast[4] == 0).all()


def test_boxes_beyond_the_border_repeat_it() -> None:
    image = np.full((80, 100, 3), 200, np.uint8)
    patches = pair_patches(image, no_flow(image), np.array([[-8.0, -16, 16, 32], [500, 500, 4, 4]]), SMALL)
    assert (patches[:, 0] == patches[0, 0, 16, 8]).all()


def test_histograms_are_shares_of_the_colours_of_each_half() -> None:
    patches = np.random.default_rng(0).integers(0, 256, (3, 5, 9, 7)).astype(np.uint8)
    roots = colour_histograms(patches)
    assert roots.shape == (3, 2, 512)
    np.testing.assert_allclose((roots**2).sum(-1), 1, rtol=1e-5)
    expected = np.zeros((2, 8, 8, 8))
    for y in range(9):
        for x in range(7):
            bins = [(128, 32), (97, 8), (138, 8)]
            place = [
                min(max(int(np.floor((float(patches[1, c, y, x]) - middle) / step)) + 4, 0), 7)
                for c, (middle, step) in enumerate(bins)
            ]
            expected[int(y >= 5), place[0], place[1], place[2]] += np.exp(-(((x - 3) / 3 / 0.6) ** 4))
    shares = expected / expected.sum((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(roots[1] ** 2, shares.reshape(2, -1), atol=1e-6)
    assert (roots[0] * roots[0]).sum() == pytest.approx(2, rel=1e-5)


@pytest.fixture(params=list(TOPOLOGIES))
def cue(request: pytest.FixtureRequest) -> PairAppearance:
    torch.manual_seed(0)
    return PairAppearance(build_pair_network(request.param, SMALL))


def test_it_is_an_appearance_cue_that_compares_as_its_network_does(cue: PairAppearance) -> None:
    protocol: AppearanceCue = cue
    image, before = scene(), scene(1)
    boxes = np.array([[10.0, 10, 20, 40], [40, 20, 15, 33], [60, 5, 30, 70]])
    kept = protocol.patches(image, before, boxes)
    found = protocol.compare(kept[[0, 0, 1]], kept[[0, 1, 2]])
    assert found.shape == (3, len(protocol.names))
    assert found.dtype == np.float32
    patches = torch.from_numpy(pair_patches(image, cue._flow(before, image), boxes, SMALL))
    with torch.no_grad():
        expected = cue.network(patches[[0, 0, 1]], patches[[0, 1, 2]])
    np.testing.assert_allclose(found[:, 0], expected, rtol=5e-3, atol=5e-3)  # feature maps are kept as fp16
    if cue.network.distance:
        roots = colour_histograms(patches.numpy())
        alike = [(roots[i] * roots[j]).sum(-1).mean() for i, j in ((0, 0), (0, 1), (1, 2))]
        np.testing.assert_allclose(found[:, 1], alike, rtol=1e-5)
        assert found[0, 1] == pytest.approx(1)


def test_no_detections_and_no_pairs_have_shapes_too(cue: PairAppearance) -> None:
    image = scene()
    one = cue.patches(image, None, np.array([[1.0, 2, 10, 20]]))
    none = cue.patches(image, None, np.empty((0, 4)))
    assert none.shape == (0, *one.shape[1:])
    assert none.dtype == one.dtype
    assert cue.compare(none, none).shape == (0, len(cue.names))


def test_many_pairs_are_the_same_as_few(cue: PairAppearance, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = cue.patches(scene(), None, np.random.default_rng(0).uniform(5, 40, (7, 4)))
    rows = np.arange(7)
    whole = cue.compare(kept, kept[::-1])
    monkeypatch.setattr("tracker.association.appearance.BATCH", 2)
    np.testing.assert_allclose(cue.compare(kept, kept[::-1]), whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(cue.compare(kept[rows[:1]], kept[rows[-1:]]), whole[:1], rtol=1e-5, atol=1e-5)


def saved(folder: Path, topology: str = "towers") -> Path:
    path = folder / "mine.safetensors"
    save_pair_network(build_pair_network(topology, SMALL), path, PairCard(topology, licence="MIT"))
    return path


@pytest.mark.parametrize("topology", list(TOPOLOGIES))
def test_what_is_saved_is_loaded(tmp_path: Path, topology: str) -> None:
    torch.manual_seed(1)
    network = build_pair_network(topology, SMALL).eval()
    written = save_pair_network(network, tmp_path / "a" / "mine.safetensors", PairCard(topology, licence="MIT"))
    loaded, card = load_pair_network(tmp_path / "a" / "mine.safetensors")
    assert card == written
    assert card.licence == "MIT"
    assert (card.height, card.width) == SMALL == loaded.size
    a, b = (torch.randint(0, 256, (4, 5, *SMALL)).float() for _ in range(2))
    with torch.no_grad():
        torch.testing.assert_close(loaded(a, b), network(a, b), rtol=1e-2, atol=1e-2)  # kernels are kept as fp16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"topology": "joint"}, "not a joint network"),
        ({"topology": "none"}, "unknown topology"),
        ({"format": 2}, "format 2 is newer than 1"),
        ({"width": "wide"}, "`width` must be of type int"),
        ({"surprise": 1}, "surprise"),
        ({"height": 3}, "16 pixels"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = saved(tmp_path)
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(WeightsError, match=message):
        load_pair_network(path)


def test_files_that_are_missing_or_damaged_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(WeightsError, match="neither a pair network that ships"):
        load_pair_network("nobody")
    with pytest.raises(WeightsError, match="no such weights file"):
        load_pair_network(tmp_path / "other.safetensors")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        load_pair_network(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="needs its card"):
        load_pair_network(path)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        save_pair_network(build_pair_network("towers", SMALL), tmp_path / "weights.pt", PairCard("towers"))


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    network = build_pair_network("towers", SMALL)
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0] = 1e9
    with pytest.raises(ValueError, match="not finite in fp16"):
        save_pair_network(network, tmp_path / "mine.safetensors", PairCard("towers"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", list(TOPOLOGIES))
def test_what_ships_is_what_its_card_says(name: str) -> None:
    network, card = load_pair_network(name)
    assert card.topology == name
    assert network.size == (121, 53)
    assert "frames 1 to 450" in card.training["data"]
    assert "research" in card.licence
    assert card.results[0]["auc"] > 0.9
