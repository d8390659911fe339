"""The network for co-segmentation: its correlation against a plain loop, and what depends on what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from backbones.cosegmentation import CosegmentationNetwork, _means, correlate, displacements


def by_loop(f_a: Tensor, f_b: Tensor) -> Tensor:
    """The definition, one number at a time."""
    n, _, h, w = f_a.shape
    side = 2 * max(w, h) + 1
    radius = max(w, h)
    volume = torch.zeros(n, side * side, h, w, dtype=f_a.dtype)
    for image in range(n):
        for j in range(h):
            for i in range(w):
                for y in range(h):
                    for x in range(w):
                        k = (y - j + radius) * side + (x - i + radius)
                        volume[image, k, j, i] = torch.dot(f_a[image, :, j, i], f_b[image, :, y, x])
    return volume


@pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 3), (5, 5), (1, 3), (1, 1)])
def test_the_correlation_is_that_of_a_plain_loop_in_both_directions(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(height * 10 + width)
    f_a, f_b = torch.randn(2, 2, 6, height, width, generator=generator, dtype=torch.float64)
    assert displacements(height, width) == 2 * max(height, width) + 1
    for first, second in ((f_a, f_b), (f_b, f_a)):
        torch.testing.assert_close(correlate(first, second), by_loop(first, second))


def test_every_place_is_compared_with_every_place() -> None:
    """Ones correlate to the number of places of the other image, each once."""
    ones = torch.ones(1, 1, 3, 5)
    assert (correlate(ones, ones).sum(1) == 15).all()


def test_the_gradient_of_the_correlation_is_right() -> None:
    f_a, f_b = torch.randn(2, 1, 2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(correlate, (f_a.requires_grad_(), f_b.requires_grad_()))


@pytest.fixture(scope="module")
def network() -> CosegmentationNetwork:
    torch.manual_seed(0)
    return CosegmentationNetwork(32, (4, 6, 8), embedding=5, encoder="plain").eval()


def test_masks_have_the_size_of_the_images_and_change_places_with_them(network: CosegmentationNetwork) -> None:
    a, b = torch.randn(2, 3, 3, 32, 32)
    with torch.no_grad():
        first, second = network(a, b)
        swapped_second, swapped_first = network(b, a)
    assert first.shape == second.shape == (3, 32, 32)
    torch.testing.assert_close(first, swapped_first)
    torch.testing.assert_close(second, swapped_second)


def test_a_mask_depends_on_the_other_image_and_pairs_do_not_mix(network: CosegmentationNetwork) -> None:
    a, b = torch.randn(2, 2, 3, 32, 32)
    changed = torch.stack([b[0], 5 * b[1].flip(-1) + 1])
    with torch.no_grad():
        before, after = network(a, b)[0], network(a, changed)[0]
    torch.testing.assert_close(before[0], after[0])
    assert (before[1] - after[1]).abs().max() > 1e-5, "untrained, it depends on little, but on that"


def test_what_stands_out_does_not_depend_on_another_image(network: CosegmentationNetwork) -> None:
    a, b = torch.randn(2, 1, 3, 32, 32)
    with torch.no_grad():
        alone = network.encode(a).salient
        beside = network.encode(torch.cat([a, b])).salient
    assert alone.shape == (1, 32, 32)
    torch.testing.assert_close(beside[:1], alone)


def test_all_parameters_learn(network: CosegmentationNetwork) -> None:
    features = network.encode(torch.randn(4, 3, 32, 32))
    (network.common(features, features.rolled(2)).square().mean() + features.salient.mean()).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    network.zero_grad()
    assert still == []


def test_images_are_encoded_a_few_at_a_time_as_they_are_together() -> None:
    network = CosegmentationNetwork(48).eval()
    images = torch.randn(6, 3, 48, 48)
    with torch.no_grad():
        together = network.encoder.trunk(images)
        levels = network.encoder(images)
        logits = network(images[:3], images[3:])[0]
    assert [tuple(level.shape[2:]) for level in levels] == [(24, 24), (12, 12), (6, 6), (3, 3)]
    assert tuple(level.shape[1] for level in levels) == network.encoder.widths
    for ours, theirs in zip(levels[:3], together[:3], strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(levels[3][:, :112], together[3])
    assert logits.shape == (3, 48, 48)


def test_the_means_of_what_stands_out_are_compared() -> None:
    """Closed form: features along two axes, of which the thing in B has one."""
    f_a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, :, None]  # (1, 2, 1, 2): place 0 along x, place 1 along y
    f_b = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])[None, :, None]
    salient_a, salient_b = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0]]]])
    with_thing, rather, both = _means(f_a, f_b, salient_a, salient_b)[0, :, 0].tolist()
    assert with_thing == [1, 0], "B's thing lies along x"
    assert rather == [1, -1], "and the rest along y"
    assert both == [0, 0], "A's thing lies along y"


def test_an_encoder_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no encoder 'vgg'"):
        CosegmentationNetwork(32, encoder="vgg")


@pytest.mark.parametrize("size", [0, 40, -16])
def test_a_size_that_does_not_fit_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        CosegmentationNetwork(size)
