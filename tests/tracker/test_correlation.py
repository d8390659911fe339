"""The heads: exact against plain loops, pair by pair, with gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tracker.correlation import (
    BoxHead,
    PixelHead,
    SiamFCBoxHead,
    SiamFCHead,
    cross_correlation,
    depthwise_correlation,
    pixelwise_correlation,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(search: Tensor, kernel: Tensor) -> Tensor:
    """(N, C, H−h+1, W−w+1): channel by channel products, cell by cell."""
    n, c, height, width = search.shape
    h, w = kernel.shape[2:]
    out = torch.zeros(n, c, height - h + 1, width - w + 1, dtype=search.dtype)
    for pair in range(n):
        for channel in range(c):
            for row in range(out.shape[2]):
                for column in range(out.shape[3]):
                    seen = search[pair, channel, row : row + h, column : column + w]
                    out[pair, channel, row, column] = (seen * kernel[pair, channel]).sum()
    return out


@pytest.mark.parametrize("kernel_size", [(3, 3), (2, 4), (1, 1), (6, 7)])
def test_correlations_are_the_plain_loop(kernel_size):
    search, kernel = random(2, 3, 6, 7), random(2, 3, *kernel_size, seed=1)
    expected = plain(search, kernel)
    torch.testing.assert_close(depthwise_correlation(search, kernel), expected)
    torch.testing.assert_close(cross_correlation(search, kernel), expected.sum(1, keepdim=True))


def test_pixelwise_correlation_is_the_plain_loop():
    search, kernel = random(2, 3, 4, 5), random(2, 3, 2, 3, seed=1)
    found = pixelwise_correlation(search, kernel)
    assert found.shape == (2, 6, 4, 5)
    for pair in range(2):
        for cell in range(6):
            for row in range(4):
                for column in range(5):
                    part = kernel[pair, :, cell // 3, cell % 3]
                    expected = sum(search[pair, c, row, column] * part[c] for c in range(3)) / math.sqrt(3)
                    torch.testing.assert_close(found[pair, cell, row, column], expected)


CORRELATIONS = [cross_correlation, depthwise_correlation, pixelwise_correlation]


@pytest.mark.parametrize("correlate", CORRELATIONS)
def test_correlations_of_a_batch_are_those_of_its_pairs(correlate):
    search, kernel = random(3, 4, 9, 8), random(3, 4, 3, 3, seed=1)
    singles = torch.cat([correlate(search[i : i + 1], kernel[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(correlate(search, kernel), singles)


@pytest.mark.parametrize("correlate", CORRELATIONS)
def test_correlations_have_the_right_gradients(correlate):
    search, kernel = random(2, 2, 4, 5).requires_grad_(), random(2, 2, 2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(correlate, (search, kernel))


@pytest.mark.parametrize("correlate", CORRELATIONS)
def test_correlations_take_images_stored_pixel_by_pixel(correlate):
    search, kernel = random(2, 4, 9, 8), random(2, 4, 3, 3, seed=1)
    stored = search.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(correlate(stored, kernel), correlate(search, kernel))


def test_siamfc_s_head_starts_as_the_mean_of_the_paper_s_products():
    head = SiamFCHead(4).double()
    search, kernel = random(2, 4, 7, 7), random(2, 4, 3, 3, seed=1)
    expected = plain(search, kernel).sum(1, keepdim=True) / (4 * 3 * 3)
    torch.testing.assert_close(head.search(search, head.template(kernel)), expected)


def test_the_box_head_says_logit_and_distances():
    head = BoxHead(8, width=4).eval().double()
    response = head.search(random(2, 8, 12, 12), head.template(random(2, 8, 5, 5, seed=1)))
    assert response.shape == (2, 5, 6, 6)  # 12 − 5 + 1 cells, less two that the towers' 3×3 take
    distances = response[:, 1:]
    assert (distances >= 32 * math.exp(-4) - 1e-6).all()
    assert (distances <= 32 * math.exp(3) + 1e-3).all()


def test_the_pixel_head_says_logit_and_distances_of_two_cells_more():
    torch.manual_seed(0)
    head = PixelHead(8, width=4).eval().double()
    search, kernel = random(2, 8, 12, 14), head.template(random(2, 8, 5, 5, seed=1))
    response = head.search(search, kernel)
    assert response.shape == (2, 5, 8, 10)  # 12 cells less the four that the towers' two 3×3 take
    assert (response[:, 1:] > 0).all()
    moved = head.search(search[..., 1:, 2:], kernel)
    torch.testing.assert_close(moved, response[..., 1:, 2:])  # nothing is padded
    other = head.template(random(2, 8, 5, 5, seed=2).double())
    assert (head.search(search, other)[:, 0] - response[:, 0]).abs().max() > 1e-4  # it compares


def test_the_box_head_s_distances_stay_in_the_region_whatever_it_is_shown():
    head = BoxHead(8, width=4).eval()
    with torch.no_grad():
        head.regress[-1].weight.mul_(1e6)
    response = head.search(random(1, 8, 12, 12).float(), head.template(random(1, 8, 5, 5, seed=1).float()))
    assert response.isfinite().all()
    assert response[:, 1:].min() > 0
    assert response[:, 1:].max() < 1000


def test_a_siamfc_head_with_boxes_decides_as_one_without():
    torch.manual_seed(0)
    head, plainly = SiamFCBoxHead(8, width=4).eval().double(), SiamFCHead(8).double()
    search, exemplar = random(2, 8, 12, 14), random(2, 8, 5, 5, seed=1)
    response = head.search(search, head.template(exemplar))
    assert response.shape == (2, 5, 8, 10)  # distances for the same cells as the decision
    torch.testing.assert_close(response[:, :1], plainly.search(search, exemplar).float(), check_dtype=False)
    assert (response[:, 1:] > 0).all()
    moved = head.search(search[..., 1:, 2:], head.template(exemplar))
    torch.testing.assert_close(moved, response[..., 1:, 2:])  # nothing is padded


@pytest.mark.parametrize("head_type", [SiamFCHead, SiamFCBoxHead, BoxHead, PixelHead])
def test_logits_alone_are_the_first_channel(head_type):
    torch.manual_seed(0)
    head = head_type(6).eval()
    search, kernel = random(2, 6, 11, 11).float(), head.template(random(2, 6, 5, 5, seed=1).float())
    torch.testing.assert_close(head.logits(search, kernel), head.search(search, kernel)[:, :1])


@pytest.mark.parametrize("head_type", [SiamFCHead, SiamFCBoxHead, BoxHead, PixelHead])
def test_heads_answer_pair_by_pair(head_type):
    torch.manual_seed(0)
    head = head_type(6).eval().double()
    search, exemplar = random(3, 6, 11, 11), random(3, 6, 5, 5, seed=1)
    kernel = head.template(exemplar)
    together = head.search(search, kernel)
    for i in range(3):
        alone = head.search(search[i : i + 1], head.template(exemplar[i : i + 1]))
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("head_type", [SiamFCHead, SiamFCBoxHead, BoxHead, PixelHead])
def test_all_parameters_of_a_head_learn(head_type):
    torch.manual_seed(0)
    head = head_type(6).train()
    search, exemplar = (
        random(3, 6, 11, 11).float().requires_grad_(),
        random(3, 6, 5, 5, seed=1).float().requires_grad_(),
    )
    response = head.search(search, head.template(exemplar))
    (response * random(*response.shape, seed=2)).sum().backward()
    for name, tensor in [*head.named_parameters(), ("search", search), ("exemplar", exemplar)]:
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name
