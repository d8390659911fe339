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
    """(N, 255, 255, 3) uint8 search crops and (N, K, k, k) kernels → (N, C, R, R) response, (N, F, s, s) features.

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
    if isinstance(head, SiamFCHead):
        whole, c = kernels, head.channels
        kernels = whole[:, :c]
        share = kernels[0].numel() ** -0.5  # of the division before and after the sum, which fp16 could not hold else
        logits = cross_correlation(features, kernels * share) * (head.gain * share) + head.bias
        if not isinstance(head, SiamFCBoxHead):
            return logits
        shape = depthwise_correlation(head.search_neck(features), whole[:, c:, 1:-1, 1:-1])
        return torch.cat([logits, distances(head.regress(shape))], dim=1)
    if type(head) is not BoxHead:
        return head.search(features, kernels)  # correlates by matrix products as it is
    seen, shape = depthwise_correlation(head.search_neck(features), kernels).chunk(2, dim=1)
    return torch.cat([head.classify(seen), distances(head.regress(shape))], dim=1)


def cross_correlation(search: Tensor, kernel: Tensor) -> Tensor:
    """`tracker.correlation.cross_correlation`: every cell of the kernel with every cell of the region, by one matrix
    product; then the sum of products that belong to one shift, by a convolution of zeros and ones.

    Args:
        search: (N, C, H, W) features.
        kernel: (N, C, h, w) features.

    Returns:
        (N, 1, H−h+1, W−w+1) inner products.
    """
    h, w = kernel.shape[2:]
    products = kernel.flatten(2).transpose(1, 2) @ search.flatten(2)
    belonging = torch.eye(h * w, dtype=search.dtype, device=search.device).reshape(1, h * w, h, w)
    return F.conv2d(products.unflatten(2, search.shape[2:]), belonging)


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
