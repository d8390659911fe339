"""The network, and files that are right, damaged, foreign or not there at all."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tracker import network as network_module
from tracker.network import (
    ModelCard,
    SiameseNetwork,
    WeightsError,
    available,
    find_weights,
    load_network,
    save_network,
    tensor_hash,
)
from tracker.processor import has_bf16
from tracker.runtimes.torch import TorchRuntime

NAMES = ("compact", "ciresnet22", "alexnet", "lite")


def crops(n: int, size: int, seed: int = 0) -> Tensor:
    """Smooth random crops in [0, 255], like images rather than noise."""
    coarse = 255 * torch.rand(n, 3, size // 8 + 2, size // 8 + 2, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (size, size), mode="bilinear")


def spread(response: Tensor) -> float:
    """How much a response varies: what an error is to be compared with."""
    return float(response.amax() - response.amin())


@pytest.fixture
def files(weights: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the compact model to damage."""
    for path in (weights["compact"], weights["compact"].with_suffix(".json")):
        shutil.copy(path, tmp_path)
    return tmp_path / "compact.safetensors"


def edit_card(weights: Path, **entries: object) -> None:
    path = weights.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


# ---------------------------------------------------------------- the network


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in NAMES if name != "lite"])  # untrained it says too little: see below
def test_folding_the_normalisation_changes_nothing(networks, name):
    network = networks[name]
    fused = network.fused()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())  # it was copied
    exemplar, search = crops(1, 127), crops(1, 255, seed=1)
    expected = network(exemplar, search)
    assert spread(expected[:, :1]) > 1e-3  # the response says something that could differ
    torch.testing.assert_close(fused(exemplar, search), expected, rtol=1e-3, atol=1e-3 * spread(expected[:, :1]))


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["ciresnet22w", "ciresinception22", "ciresnext22", "lite"])
def test_folding_changes_nothing_in_the_rest_of_the_family(backbone):
    torch.manual_seed(0)
    network = SiameseNetwork(ModelCard(backbone, "siamfc", mean=114.0, scale=1 / 64)).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var, module.bias, module.running_mean):
                nn.init.uniform_(tensor, 0.5, 1.5)
    exemplar, search = crops(1, 127).double(), crops(1, 159, seed=1).double()
    expected = network(exemplar, search)
    fused = network.fused()
    torch.testing.assert_close(fused(exemplar, search), expected, rtol=1e-9, atol=1e-9 * spread(expected))
    # lite says less of textures: its published layers are scaled for weights that have learned
    assert spread(expected) > (1e-4 if backbone == "lite" else 1e-3)
    left = [name for name, module in fused.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) == (7 if backbone == "ciresnext22" else 0)  # CIResNeXt normalises sums, which no convolution can


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_pairs_is_its_pairs_one_by_one(networks, name):
    network = networks[name]
    exemplars, searches = crops(2, 127), crops(2, 255, seed=1)
    together = network(exemplars, searches)
    alone = torch.cat([network(exemplars[i : i + 1], searches[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4 * spread(alone[:, :1]))
    assert (together[0] - together[1]).abs().max() > 1e-2 * spread(alone[:, :1])


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in NAMES if name != "lite"])  # whose padding is seen from afar
def test_moving_the_search_region_moves_the_response_up_to_its_border(networks, name):
    # in double precision: what a padded border lends to the outermost features is little, but it is there
    network = copy.deepcopy(networks[name]).double()
    stride, size = network.card.stride, network.card.search_size
    scene, kernel = crops(1, size + 2 * stride, seed=1).double(), network.template(crops(1, 127).double())
    here, there = scene[..., :size, :size], scene[..., stride : stride + size, 2 * stride : 2 * stride + size]
    for look in (network.features, lambda region: network.search(region, kernel)):
        a, b = look(here), look(there)
        assert a.shape[-1] >= 15
        atol = 1e-12 * spread(a) if a.dtype == torch.float64 else 1e-6 * spread(a)  # the box head answers in float32
        torch.testing.assert_close(b[..., :-1, :-2], a[..., 1:, 2:], rtol=0, atol=atol, check_dtype=False)
        assert (b - a).abs().max() > 1e-3 * spread(a)
    assert a.shape[-1] % 2 == 1  # the response has a middle cell


def test_the_compact_model_is_cheap_enough_for_a_cpu(networks):
    network = networks["compact"]
    with torch.device("meta"):
        network = SiameseNetwork(network.card).eval()
        kernel = network.template(torch.empty(1, 3, 127, 127))
        with FlopCounterMode(display=False) as counter:
            network.search(torch.empty(1, 3, 255, 255), kernel)
    multiply_adds = counter.get_total_flops() / 2
    assert 0.05e9 < multiply_adds <= 0.35e9


@torch.no_grad()
def test_preparation_of_the_input_is_the_card_s(networks):
    network = networks["compact"]
    bare = SiameseNetwork(ModelCard("compact", "box")).eval()
    bare.load_state_dict(network.state_dict())
    exemplar, search = crops(1, 127), crops(1, 255, seed=1)
    expected = bare((exemplar - 114) / 64, (search - 114) / 64)
    torch.testing.assert_close(network(exemplar, search), expected)


# ---------------------------------------------------------------- files


@torch.no_grad()
@pytest.mark.parametrize("half", [False, True])
def test_what_is_saved_is_loaded(networks, tmp_path, half):
    network = networks["compact"]
    card = save_network(network, tmp_path / "new" / "model.safetensors", half=half, licence="MIT", date="2024-02-29")
    assert (card.licence, card.date, card.mean, card.scale) == ("MIT", "2024-02-29", 114.0, 1 / 64)
    loaded = load_network(tmp_path / "new" / "model.safetensors")
    assert loaded.card == card == ModelCard.read(tmp_path / "new" / "model.json")
    assert not loaded.training
    for name, tensor in network.state_dict().items():
        stored = loaded.state_dict()[name]
        assert stored.dtype == tensor.dtype
        assert torch.equal(stored, tensor.half().to(tensor.dtype) if half and tensor.ndim > 1 else tensor)


def test_weights_that_do_not_fit_fp16_are_not_saved(tmp_path):
    network = SiameseNetwork(ModelCard("compact", "box"))
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match=r"fp16.*backbone\.layers\.0"):
        save_network(network, tmp_path / "model.safetensors", half=True)
    assert not list(tmp_path.iterdir())
    save_network(network, tmp_path / "model.safetensors")


def test_a_file_that_could_not_be_loaded_again_is_not_saved(networks, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        save_network(networks["compact"], tmp_path / "model.pt")


def test_the_hash_is_of_names_types_shapes_and_bytes():
    zeros = torch.zeros(2, 3)
    same = tensor_hash({"a": zeros, "b": torch.ones(())})
    assert tensor_hash({"b": torch.ones(()), "a": torch.zeros(3, 2).T}) == same
    others = [
        {"a": zeros, "c": torch.ones(())},
        {"a": zeros.half(), "b": torch.ones(())},
        {"a": torch.zeros(3, 2), "b": torch.ones(())},
        {"a": zeros, "b": torch.tensor(1.0000001)},
        {"a": zeros},
    ]
    assert len({same, *map(tensor_hash, others)}) == 6


def test_changed_weights_are_refused(files, networks):
    other = SiameseNetwork(networks["compact"].card)
    other_card = save_network(other, files.parent / "other.safetensors")
    shutil.copy(files.parent / "other.safetensors", files)
    with pytest.raises(WeightsError, match=rf"{files.name}.*{other_card.sha256[:16]}"):
        load_network(files)


def test_one_changed_bit_is_noticed(files):
    content = bytearray(files.read_bytes())
    content[-7] ^= 1
    files.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_network(files)


@pytest.mark.parametrize("keep", [0, 5, 100, -1, -1000])
def test_a_truncated_file_is_refused(files, keep):
    files.write_bytes(files.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=rf"{files.name}: not a readable safetensors file"):
        load_network(files)


@pytest.mark.parametrize("content", [b"these are not weights\n" * 100, pickle.dumps({"a": 1}), b"\x80\x02}q\x00."])
def test_a_foreign_file_is_refused_and_never_unpickled(files, content):
    files.write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_network(files)


def test_another_network_s_tensors_are_refused(files, networks):
    save_network(networks["alexnet"], files)
    edit_card(files, backbone="compact", head="box")
    with pytest.raises(WeightsError, match=r"not those of compact \+ box"):
        load_network(files)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 2}, "format 2 is newer than 1.*upgrade"),
        ({"format": "1"}, "no integer `format`"),
        ({"format": None}, "no integer `format`"),
        ({"colour": "red", "weather": 1}, "unknown entries.*colour, weather"),
        ({"config": []}, "`config`.*dict"),
        ({"stride": "8"}, "`stride`.*int"),
        ({"stride": 8.5}, "`stride`.*int"),
        ({"stride": 0}, "positive"),
        ({"search_size": -255}, "positive"),
        ({"mean": None}, "`mean`.*float"),
        ({"results": {}}, "`results`.*list"),
        ({"backbone": 7}, "`backbone`.*str"),
        ({"backbone": "resnet1001"}, "unknown backbone 'resnet1001'"),
        ({"head": "rpn"}, "unknown head 'rpn'"),
        ({"sha256": ""}, r"the card says \(nothing\)"),
    ],
)
def test_a_wrong_card_is_refused(files, entries, message):
    edit_card(files, **entries)
    with pytest.raises(WeightsError, match=message) as caught:
        load_network(files)
    assert str(files.with_suffix("")) in str(caught.value)


@pytest.mark.parametrize("content", ["", "no json", "[1, 2]", "7", '{"format": 1', '{"format": 1, "head": "box"}'])
def test_what_is_no_card_is_refused(files, content):
    files.with_suffix(".json").write_text(content)
    with pytest.raises(WeightsError, match=files.with_suffix(".json").name):
        load_network(files)


def test_a_card_of_bytes_is_refused(files):
    files.with_suffix(".json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WeightsError, match="not a readable model card"):
        load_network(files)


def test_weights_without_their_card_are_refused(files):
    files.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="needs its card beside it"):
        load_network(files)


def test_whole_numbers_will_do_for_fractions(files):
    edit_card(files, mean=114, scale=1)
    assert ModelCard.read(files.with_suffix(".json")).mean == 114


@pytest.mark.parametrize(
    "name", ["no_such_model", "", ".", "..", "../compact", "weights/compact", "/", "a\0b", "x" * 5000, "__init__"]
)
def test_names_that_do_not_ship_are_refused(name):
    with pytest.raises(WeightsError, match="neither a model that ships"):
        find_weights(name)


@pytest.mark.parametrize("name", ["none", "a\0b", "x" * 5000, "folder"])
def test_files_that_are_not_there_are_refused(tmp_path, name):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(WeightsError, match="no such weights file"):
        find_weights(f"{tmp_path}/{name}.safetensors")


def test_every_model_that_ships_loads_and_matches_its_card():
    for name, card in available().items():
        assert find_weights(name).stem == name
        assert load_network(name).card == card
        assert card.licence
        assert card.training


def test_a_bf16_backbone_answers_as_the_fp32_one_does() -> None:
    if not has_bf16():
        pytest.skip("this processor has no bf16 instructions, so fp32 runs either way")
    network = load_network("compact")
    assert network.card.precision == "bf16"
    whole = load_network("compact")
    whole.card = dataclasses.replace(whole.card, precision="fp32")
    half, full = TorchRuntime(network, "cpu"), TorchRuntime(whole, "cpu")
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    search = np.stack([cv2.resize(crop, (255, 255), interpolation=cv2.INTER_CUBIC) for crop in crops])
    kernels = [runtime.template(np.ascontiguousarray(search[:, 64:191, 64:191])) for runtime in (half, full)]
    answers = [runtime.search(search, kernel)[0] for runtime, kernel in zip((half, full), kernels, strict=True)]
    assert answers[0].dtype == np.float32
    assert np.abs(answers[0] - answers[1]).max() > 0  # it is not the same computation
    np.testing.assert_allclose(answers[0][:, 0], answers[1][:, 0], atol=0.35)  # logits
    np.testing.assert_allclose(answers[0][:, 1:], answers[1][:, 1:], rtol=0.1)  # distances in pixels


def test_only_trackers_are_available(weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of something else among them is passed over; a tracker's card that is damaged is not."""
    for name in ("mine", "other", "damaged"):
        shutil.copy(weights["compact"], tmp_path / f"{name}.safetensors")
    card = weights["compact"].with_suffix(".json").read_text()
    (tmp_path / "mine.json").write_text(card)
    (tmp_path / "other.json").write_text(json.dumps({"format": 1, "topology": "towers"}))
    (tmp_path / "damaged.json").write_text(card[:-5])
    monkeypatch.setattr(network_module.resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsError, match=r"damaged\.json: not a readable model card"):
        available()
    (tmp_path / "damaged.safetensors").unlink()
    assert available() == {"mine": ModelCard.read(tmp_path / "mine.json")}


def test_a_precision_that_is_none_is_refused(weights: dict[str, Path], tmp_path: Path) -> None:
    card = json.loads(weights["compact"].with_suffix(".json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {"precision": "fp7"}))
    with pytest.raises(WeightsError, match="fp32, bf16"):
        ModelCard.read(tmp_path / "card.json")


@torch.no_grad()
def test_the_pixel_head_s_network_is_one_of_boxes() -> None:
    torch.manual_seed(0)
    network = SiameseNetwork(ModelCard("compact", "pixel")).eval()
    assert network.head.regresses_boxes
    exemplar, search = crops(1, 127), crops(1, 255, seed=1)
    response = network(exemplar, search)
    assert response.shape == (1, 5, 17, 17)
    fused = network.fused()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    torch.testing.assert_close(fused(exemplar, search), response, rtol=1e-3, atol=1e-3 * spread(response[:, :1]))
