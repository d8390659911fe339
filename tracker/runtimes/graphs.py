"""The network as two static graphs of operations that every runtime has.

``template`` and ``search`` are what `tracker.network.SiameseNetwork` computes, from uint8 pixels on: crops go in as
OpenCV cuts them, (N, S, S, 3) BGR, so that nothing is copied or converted on the way, and normalisation lies in the
first convolution. The kernel is an input of ``search``: one file serves every target, at any batch size.

Correlation with a kernel that is known only at run time is no convolution to most runtimes (TensorRT wants constant
weights, and a batch of kernels needs as many groups as there are). It is a matrix product of the kernel's cells with
the region's, and a sum over shifted products; see `cross_correlation` and `depthwise_correlation`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.correlation import BoxHead, SiamFCBoxHead, SiamFCHead, distances
from tracker.network import SiameseNetwork


class TemplateGraph(nn.Module):
    """(N, 127, 127, 3) uint8 exemplar crops → (N, K, k, k) kernels.

    Args:
        network: fused (`SiameseNetwork.fused`).
    """

    inputs = ("crops",)
    outputs = ("kernels",)

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        return self.network.template(pixels(crops))


class SearchGraph(nn.Module):
    """(N, 255, 255, 3) uint8 search crops and (N, K, S·k, k) kernels → (N·S, C, R, R) response, (N, F, s, s) features.

    A head that does not regress boxes compares each crop with S kernels, one below another; S is 1 for the others.

    Args:
        network: fused.
    """

    inputs = ("crops", "kernels")
    outputs = ("response", "features")

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor, kernels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(pixels(crops))
        return respond(self.network, features, kernels), features


def pixels(crops: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 → (N, 3, S, S) fp32."""
    return crops.float().permute(0, 3, 1, 2)  # in this order: TensorRT converts uint8 inputs and does nothing else


def respond(network: SiameseNetwork, features: Tensor, kernels: Tensor) -> Tensor:
    """What the network's head says, with every correlation in portable operations."""
    head = network.head
    if isinstance(head, SiamFCBoxHead):
        logits = _logits(head, features, kernels[:, : head.channels])
        shape = depthwise_correlation(head.search_neck(features), kernels[:, head.channels :, 1:-1, 1:-1])
        return torch.cat([logits, distances(head.regress(shape))], dim=1)
    if isinstance(head, SiamFCHead):
        return _logits(head, features, kernels)
    if type(head) is not BoxHead:
        return head.search(features, kernels)  # correlates by matrix products as it is
    seen, shape = depthwise_correlation(head.search_neck(features), kernels).chunk(2, dim=1)
    return torch.cat([head.classify(seen), distances(head.regress(shape))], dim=1)


def _logits(head: SiamFCHead, features: Tensor, kernels: Tensor) -> Tensor:
    """`SiamFCHead.logits` of (N, C, S·k, k) kernels."""
    share = 1 / (head.channels**0.5 * kernels.shape[3])  # of the division before and after the sum, for fp16's sake
    return cross_correlation(features, kernels * share) * (head.gain * share) + head.bias


def cross_correlation(search: Tensor, kernels: Tensor) -> Tensor:
    """`tracker.correlation.cross_correlation`: every cell of the kernels with every cell of the region, by one matrix
    product; then the sum of products that belong to one shift, by a convolution of zeros and ones.

    Args:
        search: (N, C, H, W) features.
        kernels: (N, C, S·k, k) features of S square kernels of each region, one below another.

    Returns:
        (N·S, 1, H−k+1, W−k+1) inner products.
    """
    k = kernels.shape[3]
    products = kernels.flatten(2).transpose(1, 2) @ search.flatten(2)  # (N, S·k·k, H·W)
    belonging = torch.eye(k * k, dtype=search.dtype, device=search.device).reshape(1, k * k, k, k)
    return F.conv2d(products.reshape(-1, k * k, *search.shape[2:]), belonging)


def depthwise_correlation(search: Tensor, kernel: Tensor) -> Tensor:
    """`tracker.correlation.depthwise_correlation` for every row of the kernel at once: a matrix product with the region
    at each shift along x, then a sum over rows that are shifted along y.

    Args:
        search: (N, C, H, W) features.
        kernel: (N, C, h, w) features.

    Returns:
        (N, C, H−h+1, W−w+1).
    """
    h, w = kernel.shape[2:]
    height, rows, columns = search.shape[2], search.shape[2] - h + 1, search.shape[3] - w + 1
    shifted = torch.stack([search[..., x : x + columns] for x in range(w)], dim=2)  # (N, C, w, H, columns)
    products = (kernel @ shifted.flatten(3)).unflatten(3, (height, columns))  # (N, C, h, H, columns)
    out = products[:, :, 0, :rows]
    for y in range(1, h):
        out = out + products[:, :, y, y : y + rows]
    return out
