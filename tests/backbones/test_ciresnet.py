"""CIResNet against a plain computation without padding, and its loaders against made-up files of the right names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.ciresnet import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CIResNet,
    ciresnet16,
    ciresnet22,
    ciresnet22w,
    load_imagenet_resnet50,
    load_siamdw,
)

Fill = Callable[[Mapping[str, tuple[int, ...]]], dict[str, Tensor]]
NORM = ("weight", "bias", "running_mean", "running_var")


def bottleneck(name: str, inputs: int, width: int, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of one bottleneck of ResNet-50, whose `inner` is `width`; a stage's first has a projection."""
    outputs = 4 * width
    yield f"{name}.conv1.weight", (width, inputs, 1, 1)
    yield f"{name}.conv2.weight", (inner, width, 3, 3)
    yield f"{name}.conv3.weight", (outputs, inner, 1, 1)
    norms = {f"{name}.bn1": width, f"{name}.bn2": inner, f"{name}.bn3": outputs}
    if inputs != outputs:
        yield f"{name}.downsample.0.weight", (outputs, inputs, 1, 1)
        norms[f"{name}.downsample.1"] = outputs
    for norm, channels in norms.items():
        yield from ((f"{norm}.{part}", (channels,)) for part in NORM)


def stem_and_stages(units2: tuple[int, ...], units3: tuple[int, ...], widening: int = 1) -> dict[str, tuple[int, ...]]:
    """Names and shapes up to stage 3; `units2` and `units3` are the indices that the units have in the file."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    shapes |= {f"bn1.{part}": (64,) for part in NORM}
    for unit in units2:
        shapes |= dict(bottleneck(f"layer1.{unit}", 64 if unit == 0 else 256, 64, 64 * widening))
    for unit in units3:
        shapes |= dict(bottleneck(f"layer2.{unit}", 256 if unit == 0 else 512, 128, 128 * widening))
    return shapes


@pytest.fixture(scope="module")
def resnet50(fill: Fill) -> dict[str, Tensor]:
    """Like torchvision's file; of what CIResNet-22 leaves out one tensor a part."""
    state = fill(stem_and_stages((0, 1, 2), (0, 1, 2, 3)))
    return (
        state
        | {"layer3.0.conv1.weight": torch.zeros(256, 512, 1, 1), "layer4.2.bn3.bias": torch.zeros(2048)}
        | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    )


def official(fill: Fill, widening: int = 1) -> dict[str, Tensor]:
    """Like a checkpoint of the official code, where the pool has index 1 of stage 3."""
    state = fill(stem_and_stages((0, 1, 2), (0, 2, 3, 4), widening))
    return {f"module.features.features.{name}": tensor for name, tensor in state.items()}


@pytest.fixture(scope="module")
def siamdw(fill: Fill) -> dict[str, Tensor]:
    """Of CIResNet-22."""
    return official(fill)


@pytest.fixture(scope="module")
def net(siamdw: dict[str, Tensor]) -> CIResNet:
    """CIResNet-22 with statistics and offsets that are not those of the start, in double precision."""
    model = ciresnet22()
    load_siamdw(model, siamdw)
    return model.double().eval()


def image(*size: int) -> Tensor:
    return 255 * torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    weight, bias, mean, variance = (state[f"{name}.{part}"].double()[:, None, None] for part in NORM)
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def plain_unit(x: Tensor, state: dict[str, Tensor], name: str, last_relu: bool) -> Tensor:
    y = norm(F.conv2d(x, state[f"{name}.conv1.weight"].double()), state, f"{name}.bn1").relu()
    y = norm(F.conv2d(y, state[f"{name}.conv2.weight"].double()), state, f"{name}.bn2").relu()  # no padding, no crop
    y = norm(F.conv2d(y, state[f"{name}.conv3.weight"].double()), state, f"{name}.bn3")
    shortcut = x[..., 1:-1, 1:-1]
    if f"{name}.downsample.0.weight" in state:
        shortcut = F.conv2d(shortcut, state[f"{name}.downsample.0.weight"].double())
        shortcut = norm(shortcut, state, f"{name}.downsample.1")
    return (y + shortcut).relu() if last_relu else y + shortcut


@pytest.mark.parametrize(("build", "widening"), [(ciresnet22, 1), (ciresnet22w, 2)])
def test_equals_the_network_without_padding(fill: Fill, build: Callable[[], CIResNet], widening: int) -> None:
    checkpoint = official(fill, widening)
    net = build()
    load_siamdw(net, checkpoint)
    net.double().eval()
    state = {name.removeprefix("module.features.features."): tensor for name, tensor in checkpoint.items()}
    x = image(127, 111)
    y = F.conv2d(x[..., 1:-1, 1:-1], state["conv1.weight"].double(), stride=2)  # the crop of 2 leaves these cells
    y = F.max_pool2d(norm(y, state, "bn1").relu(), 2)
    for unit in (0, 1, 2):
        y = plain_unit(y, state, f"layer1.{unit}", last_relu=True)
    y = F.max_pool2d(plain_unit(y, state, "layer2.0", last_relu=True), 2)
    for unit in (2, 3, 4):
        y = plain_unit(y, state, f"layer2.{unit}", last_relu=unit != 4)
    with torch.no_grad():
        torch.testing.assert_close(net(x), y)


def test_features_are_signed(net: CIResNet) -> None:
    with torch.no_grad():
        assert 0.1 < (net(image(127, 127)) < 0).double().mean() < 0.9


@pytest.mark.parametrize(("build", "convolutions"), [(ciresnet16, 16), (ciresnet22, 22), (ciresnet22w, 22)])
def test_depth_is_in_the_name(build: Callable[[], CIResNet], convolutions: int) -> None:
    names = [name for name, module in build().named_modules() if isinstance(module, nn.Conv2d)]
    assert len([name for name in names if "downsample" not in name]) == convolutions


def test_weights_start_as_he_proposed() -> None:
    torch.manual_seed(0)
    net = ciresnet22()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_resnet50_lands_on_the_units_beside_the_pool(resnet50: dict[str, Tensor]) -> None:
    net = ciresnet22()
    load_imagenet_resnet50(net, resnet50, fold_input=False)
    units = {f"layer1.{index}": net.layer1[index] for index in range(3)}
    units |= {
        "layer2.0": net.layer2[0],
        "layer2.1": net.layer2[2],
        "layer2.2": net.layer2[3],
        "layer2.3": net.layer2[4],
    }
    parts = {"conv1": net.conv1, "bn1": net.bn1} | {
        f"{unit}.{name}": part for unit, module in units.items() for name, part in module.named_modules() if name
    }
    for name, tensor in resnet50.items():
        if name.startswith(("conv1", "bn1", "layer1", "layer2")):
            module, _, attribute = name.rpartition(".")
            assert torch.equal(getattr(parts[module], attribute), tensor), name


def test_folded_input_takes_bgr_images_and_gives_the_same_features(resnet50: dict[str, Tensor]) -> None:
    plain, folded = ciresnet22().double().eval(), ciresnet22().double().eval()
    load_imagenet_resnet50(plain, resnet50, fold_input=False)
    load_imagenet_resnet50(folded, resnet50)
    bgr = image(127, 120)  # an even width, where the last cell of conv1 lies otherwise against the padding
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        torch.testing.assert_close(folded(bgr), plain((bgr.flip(1) / 255 - mean) / std), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_resnet50_loads_from_a_file(tmp_path: Path, resnet50: dict[str, Tensor], suffix: str) -> None:
    path = tmp_path / f"resnet50{suffix}"
    save_file(resnet50, path) if suffix == ".safetensors" else torch.save(resnet50, path)
    from_file, from_memory = ciresnet22(), ciresnet22()
    load_imagenet_resnet50(from_file, path)
    load_imagenet_resnet50(from_memory, resnet50)
    loaded = from_file.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in from_memory.state_dict().items())


def test_another_resnet_is_refused_with_names_and_shapes(resnet50: dict[str, Tensor]) -> None:
    basic_blocks = {name: tensor for name, tensor in resnet50.items() if ".conv3." not in name}
    basic_blocks["layer1.0.conv1.weight"] = torch.zeros(64, 64, 3, 3)
    with pytest.raises(ValueError, match=r"not torchvision's ResNet-50: 7 missing: layer1\.0\.conv3") as refusal:
        load_imagenet_resnet50(ciresnet22(), basic_blocks)
    assert "layer1.0.conv1.weight (64, 64, 3, 3) instead of (64, 64, 1, 1)" in str(refusal.value)


def test_resnet50_does_not_start_the_wide_network(resnet50: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"layer1\.0\.conv2\.weight \(64, 64, 3, 3\) instead of \(128, 64, 3, 3\)"):
        load_imagenet_resnet50(ciresnet22w(), resnet50)


def test_siamdw_checkpoint_loads_under_its_own_names(tmp_path: Path, siamdw: dict[str, Tensor]) -> None:
    torch.save({"epoch": 38, "arch": "SiamFCRes22", "state_dict": siamdw}, tmp_path / "CIResNet22.pth")
    net = ciresnet22()
    load_siamdw(net, tmp_path / "CIResNet22.pth")
    loaded = net.state_dict()
    assert all(torch.equal(loaded[name.removeprefix("module.features.features.")], siamdw[name]) for name in siamdw)


def test_siamdw_rpn_head_is_left_out(siamdw: dict[str, Tensor]) -> None:
    head = {"module.connect_model.template_cls.weight": torch.zeros(2560, 512, 3, 3)}
    net = ciresnet22()
    load_siamdw(net, siamdw | head)
    assert torch.equal(net.conv1.weight, siamdw["module.features.features.conv1.weight"])


def test_siamdw_checkpoint_of_another_depth_is_refused(siamdw: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"\d+ unexpected: layer2\.3\.conv1\.weight"):
        load_siamdw(ciresnet16(), siamdw)
