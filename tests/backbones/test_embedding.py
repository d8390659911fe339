"""Embedding networks: shapes, what they refuse, and the sizes that papers state."""

from __future__ import annotations

import pytest
import torch

from backbones.embedding import EmbeddingNet, KochNet, PooledTrunk, Residual, build_embedding


@pytest.mark.parametrize(
    ("name", "channels", "size", "dimensions"),
    [
        ("embeddingnet", 1, 28, 2),
        ("embeddingnet", 3, 45, 16),
        ("embeddingnet_deep", 1, 56, 64),
        ("embeddingnet_residual", 1, 40, 64),
        ("embeddingnet_fine", 1, 40, 64),
        ("embeddingnet_fine", 3, 16, 8),
        ("koch", 1, 65, 32),
        ("compact", 3, 127, 8),
        ("compact", 1, 95, 8),
        ("ciresnet16", 3, 80, 5),
    ],
)
def test_one_vector_an_image(name: str, channels: int, size: int, dimensions: int) -> None:
    network = build_embedding(name, channels, dimensions, size).eval()
    images = torch.rand(3, channels, size, size)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert together.shape == (3, dimensions)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert (together.std(0) > 0).all(), "it depends on the image"


def test_a_residual_block_without_its_convolutions_is_its_shortcut() -> None:
    """In evaluation mode from the start, batch normalisation divides by √(1 + ε) only."""
    block = Residual(3, 5).eval()
    images = torch.rand(2, 3, 7, 7)
    torch.nn.init.zeros_(block.inner[3].weight)
    kernel = block.shortcut[0].weight[:, :, 0, 0]
    expected = torch.einsum("oi,nihw->nohw", kernel, images).relu()
    torch.testing.assert_close(block(images), expected, atol=1e-4, rtol=1e-4)


def _sizes(name: str, kind: type[torch.nn.Module]) -> list[int]:
    """Sides of what the modules of one kind are given of images of 40 pixels."""
    network, seen = build_embedding(name, 1, 4, 40), list[int]()
    for module in network.blocks:
        if isinstance(module, kind):
            module.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].shape[-1]))
    network(torch.rand(2, 1, 40, 40))
    return seen


@pytest.mark.parametrize("name", ["embeddingnet_residual", "embeddingnet_fine"])
def test_residual_blocks_leave_no_border_out(name: str) -> None:
    """40 → 20 → 10 → 5 → 3 pixels, the last rounded up."""
    assert _sizes(name, torch.nn.MaxPool2d) == [20, 10, 5]
    assert _sizes(name, torch.nn.AdaptiveAvgPool2d) == [3]


def test_fine_blocks_see_more_pixels() -> None:
    assert _sizes("embeddingnet_residual", Residual) == [10, 5]
    assert _sizes("embeddingnet_fine", Residual) == [20, 10, 5]


def test_kochs_network_is_the_papers() -> None:
    """Figure 4: 105 → 96 → 48 → 42 → 21 → 18 → 9 → 6 pixels, 9216 values, 4096 units."""
    network = KochNet()
    sizes = []
    for module in network.features:
        if isinstance(module, torch.nn.Conv2d | torch.nn.MaxPool2d):
            module.register_forward_hook(lambda _, inputs, output: sizes.append(tuple(output.shape[1:])))
    embedding = network(torch.rand(1, 1, 105, 105))
    assert sizes == [(64, 96, 96), (64, 48, 48), (128, 42, 42), (128, 21, 21), (128, 18, 18), (128, 9, 9), (256, 6, 6)]
    assert network.linear.in_features == 9216
    assert embedding.shape == (1, 4096)
    assert ((embedding >= 0) & (embedding <= 1)).all()
    convolutions = 64 * 101 + 128 * (64 * 49 + 1) + 128 * (128 * 16 + 1) + 256 * (128 * 16 + 1)
    assert sum(parameter.numel() for parameter in network.parameters()) == convolutions + 9217 * 4096


def test_the_smallest_image_of_kochs_network() -> None:
    assert KochNet(size=65)(torch.rand(1, 1, 65, 65)).shape == (1, 4096)
    with pytest.raises(ValueError, match="65 pixels or more, got 64"):
        KochNet(size=64)


def test_a_pooled_trunk_does_not_mind_where_the_image_stands() -> None:
    """What is not padded and averaged sees the same of a shifted pattern that stays within the image."""
    torch.manual_seed(0)
    network = build_embedding("compact", 3, 4, 127).eval()
    pattern = torch.zeros(1, 3, 127, 127)
    pattern[..., 56:64, 56:64] = torch.rand(1, 3, 8, 8)
    moved = pattern.roll((8, -8), (2, 3))  # by the stride
    with torch.no_grad():
        torch.testing.assert_close(network(moved), network(pattern), atol=1e-4, rtol=1e-3)


def test_the_last_layer_keeps_its_precision_where_all_else_is_bf16() -> None:
    network = EmbeddingNet()
    with torch.autocast("cpu", torch.bfloat16):
        embedding = network(torch.rand(4, 1, 28, 28))
    assert embedding.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "channels", "size", "words"),
    [
        ("resnet", 1, 28, "no network 'resnet'; there are embeddingnet"),
        ("embeddingnet", 1, 7, "8 pixels or more, got 7"),
        ("embeddingnet_deep", 1, 15, "16 pixels or more, got 15"),
        ("embeddingnet_fine", 1, 15, "16 pixels or more, got 15"),
        ("compact", 3, 60, "too small"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, channels: int, size: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_embedding(name, channels, 2, size)


def test_a_trunk_takes_grey_or_colour() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        PooledTrunk(torch.nn.Identity(), channels=2)
