"""The published figures of the backbones, computed; and that padding, which they avoid, would be noticed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from backbones import build_backbone
from backbones.properties import Properties, describe

NAMES = ("compact", "ciresnet16", "ciresnet22", "ciresnet22w", "ciresinception22", "ciresnext22", "alexnet")


@pytest.fixture(scope="module")
def properties() -> dict[str, Properties]:
    return {name: describe(build_backbone(name)) for name in NAMES}


def test_ciresnet22_is_the_network_of_the_paper(properties: dict[str, Properties]) -> None:
    net = properties["ciresnet22"]
    assert (net.stride, net.receptive_field, net.channels) == (8, 93, 512)
    assert (net.exemplar_feature, net.search_feature, net.response) == (5, 21, 17)
    assert net.parameters == 1_444_928
    assert net.gmac == pytest.approx(2.63, abs=0.005)
    assert net.exemplar_gmac == pytest.approx(0.49, abs=0.005)


def test_ciresnet16_ends_two_units_earlier(properties: dict[str, Properties]) -> None:
    net = properties["ciresnet16"]
    assert (net.stride, net.receptive_field, net.channels) == (8, 93 - 2 * 16, 512)  # a 3×3 unit adds two cells of 8 px
    assert (net.exemplar_feature, net.search_feature, net.response) == (9, 25, 17)


def unit(inputs: int, width: int, inner: int, outputs: int, groups: int = 1) -> int:
    """Values of a 1×1, a 3×3 and a 1×1 convolution with their norms."""
    return inputs * width + 9 * width * inner // groups + inner * outputs + 2 * (width + inner + outputs)


STEM = 64 * 3 * 49 + 2 * 64


def test_ciresnet22w_doubles_the_3x3_convolutions(properties: dict[str, Properties]) -> None:
    net = properties["ciresnet22w"]
    assert (net.stride, net.receptive_field, net.channels) == (8, 93, 512)
    assert (net.exemplar_feature, net.search_feature, net.response) == (5, 21, 17)
    projections = 64 * 256 + 2 * 256 + 256 * 512 + 2 * 512
    units = ((1, 64, 64), (2, 256, 64), (1, 256, 128), (3, 512, 128))
    values = sum(count * unit(inputs, w, 2 * w, 4 * w) for count, inputs, w in units)
    assert net.parameters == STEM + values + projections
    assert round(net.parameters / 1e6, 3) == 2.458
    assert net.gmac == pytest.approx(4.27, abs=0.005)


def test_ciresinception22_is_the_network_of_the_code(properties: dict[str, Properties]) -> None:
    net = properties["ciresinception22"]
    assert (net.stride, net.receptive_field, net.channels) == (
        8,
        93 + 2,
        640,
    )  # the pool of 3 sees one cell of 2 px more
    assert (net.exemplar_feature, net.search_feature, net.response) == (5, 21, 17)
    units = ((1, 64, 64), (2, 320, 64), (1, 320, 128), (3, 640, 128))
    values = sum(count * (unit(inputs, w, w, 4 * w) + inputs * w + 2 * w) for count, inputs, w in units)
    assert net.parameters == STEM + values
    assert round(net.parameters / 1e6, 3) == 1.695


def test_ciresnext22_is_the_network_of_the_code(properties: dict[str, Properties]) -> None:
    net = properties["ciresnext22"]
    assert (net.stride, net.receptive_field, net.channels) == (8, 93 + 2, 512)
    assert (net.exemplar_feature, net.search_feature, net.response) == (5, 21, 17)
    units = ((1, 64, 128), (2, 256, 128), (1, 256, 256), (3, 512, 256))
    values = sum(count * (unit(inputs, w, w, 2 * w, groups=32) + 2 * 2 * w) for count, inputs, w in units)
    assert net.parameters == STEM + 64 + values + 64 * 256 + 256 * 512
    assert round(net.parameters / 1e6, 3) == 1.417


def test_alexnet_is_the_network_of_siamfc(properties: dict[str, Properties]) -> None:
    net = properties["alexnet"]
    assert (net.stride, net.receptive_field, net.channels) == (8, 87, 256)
    assert (net.exemplar_feature, net.search_feature, net.response) == (6, 22, 17)
    weights = 96 * 3 * 121 + 256 * 48 * 25 + 384 * 256 * 9 + 384 * 192 * 9 + 256 * 192 * 9
    assert net.parameters == weights + (96 + 256 + 384 + 384) * 3 + 256  # biases, and two values a channel of each norm
    macs = 34848 * 59**2 + 307200 * 25**2 + 884736 * 10**2 + 663552 * 8**2 + 442368 * 6**2
    assert net.exemplar_gmac == pytest.approx(macs / 1e9, rel=1e-12)


def test_compact_is_cheap_enough_for_a_cpu(properties: dict[str, Properties]) -> None:
    assert properties["compact"].gmac <= 0.35


@pytest.mark.parametrize("name", NAMES)
def test_backbones_are_interchangeable(properties: dict[str, Properties], name: str) -> None:
    net = properties[name]
    assert net.stride == 8
    assert net.response == 17
    assert net.centred
    assert build_backbone(name).out_channels == net.channels


def randomise(net: nn.Module) -> nn.Module:
    """Offsets and statistics that make a padded zero differ from every real value."""
    draw = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var, module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
    return net.double().eval()


def shift_error(net: nn.Module, cells: tuple[int, int]) -> float:
    """Greatest relative difference between the features of an image moved by whole cells and the moved features."""
    down, right = cells
    scene = 255 * torch.rand(1, 3, 127 + 32, 127 + 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        here = net(scene[..., :127, :127])
        there = net(scene[..., 8 * down : 8 * down + 127, 8 * right : 8 * right + 127])
    size = here.shape[-1]
    same: Tensor = here[..., down:, right:] - there[..., : size - down, : size - right]
    return float(same.abs().max() / here.abs().max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cells", [(1, 0), (0, 1), (1, 1), (3, 2)])
def test_features_move_with_the_image_up_to_the_border(name: str, cells: tuple[int, int]) -> None:
    torch.manual_seed(0)
    assert shift_error(randomise(build_backbone(name)), cells) < 1e-9


def padded_net() -> nn.Module:
    """Three strided convolutions with padding: stride 8, receptive field 15, but a border of its own."""
    layers = [
        layer
        for inputs in (3, 8, 8)
        for layer in (nn.Conv2d(inputs, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    ]
    return nn.Sequential(*layers)


def test_padding_would_be_noticed() -> None:
    torch.manual_seed(0)
    assert shift_error(randomise(padded_net()), (1, 0)) > 1e-3


def test_an_off_centre_grid_is_measured() -> None:
    """Cell 0 of the padded net is centred on pixel 0; the 16 cells of 127 pixels reach to 120, not to 126."""
    net = describe(padded_net())
    assert (net.stride, net.receptive_field, net.exemplar_feature, net.search_feature) == (8, 15, 16, 32)
    assert net.exemplar_offset == pytest.approx(120 / 2 - 126 / 2)
    assert net.search_offset == pytest.approx(248 / 2 - 254 / 2)
    assert not net.centred


def test_receptive_field_follows_the_textbook_formula() -> None:
    """Receptive field 1 + Σ (kernel − 1) · dilation · product of the strides before; the weights do not matter."""
    net = nn.Sequential(nn.Conv2d(3, 2, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(2, 2, 3, dilation=3))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    measured = describe(net, 63, 95)
    assert (measured.stride, measured.receptive_field) == (4, 1 + 4 + 2 * 2 + 2 * 3 * 4)


def test_a_receptive_field_without_visible_end_is_refused() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Upsample((9, 9)))
    with pytest.raises(ValueError, match="reaches the border of a 64-pixel search region"):
        describe(pooled, 64, 64)


def test_describing_leaves_the_backbone_alone() -> None:
    net = build_backbone("compact").train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    describe(net)
    assert net.training
    assert next(net.parameters()).dtype == torch.float32
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_unknown_backbone_is_refused_with_the_names() -> None:
    with pytest.raises(ValueError, match="'resnet50'; there are compact, lite, ciresnet16, ciresnet22, "):
        build_backbone("resnet50")
