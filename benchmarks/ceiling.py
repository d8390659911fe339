"""What a machine can do at most, measured on itself, and how much of that a network's forward pass reaches.

A forward pass of `Work` takes at least as long as its operations take at the rate of a large matrix product of the same
precision, and as long as the bytes that it has to move take at the rate of a large copy, whichever is longer (the
roofline of Williams et al. 2009). The share of that in the time it really took is what `Ceiling.reached` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import nan
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from tracker.network import SiameseNetwork

SIDE = 2048  # of the matrices
COPIED = 2**27  # bytes, more than caches hold
BYTES = {"int8": 1, "bf16": 2, "fp16": 2, "fp32": 4}  # of a weight
EMULATED = 4  # times slower than in fp32: no instruction of the machine's own does it
REPEATS = 5  # of which the best counts: other work on the machine can only slow them down


@dataclass(frozen=True)
class Work:
    """What one forward pass has to do.

    Attributes:
        gflop: 1e9 floating-point operations, two for each multiply-accumulate.
        megabytes: 1e6 bytes that have to be moved: weights, crops, kernels, response and features, each once. What
            layers hand to each other may stay in a cache, so this is a lower bound.
    """

    gflop: float
    megabytes: float


@dataclass(frozen=True)
class Ceiling:
    """What the machine does with so many threads.

    Attributes:
        threads: of torch.
        gflops: precision → 1e9 operations a second in a large matrix product; without those it cannot do.
        bandwidth: 1e9 bytes a second read and written by a large copy.
    """

    threads: int
    gflops: dict[str, float]
    bandwidth: float

    def reached(self, work: Work, precision: str, seconds: float) -> float:
        """The share of the ceiling, in [0, 1], that a pass of `seconds` reached; NaN where the ceiling is not known."""
        operations = work.gflop / self.gflops.get(precision, nan)
        return max(operations, 1e-3 * work.megabytes / self.bandwidth) / seconds

    def best(self, other: Ceiling) -> Ceiling:
        """The higher of two measurements of the same machine."""
        rates = {key: max(rate, other.gflops.get(key, 0.0)) for key, rate in self.gflops.items()}
        return Ceiling(self.threads, rates, max(self.bandwidth, other.bandwidth))


def measure_ceiling(precisions: Iterable[str], threads: int, device: str = "cpu", side: int | None = None) -> Ceiling:
    """Multiply and copy; torch's threads are as before afterwards.

    Args:
        precisions: of "fp32", "bf16", "fp16" and "int8".
        threads: CPU threads.
        device: as torch calls it.
        side: of the square matrices; `SIDE` if not given.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rates = {precision: _gemm(precision, device, side or SIDE) for precision in precisions}
        return Ceiling(threads, {key: rate for key, rate in rates.items() if rate}, _copy(device))
    finally:
        torch.set_num_threads(before)


def work_of(
    network: SiameseNetwork, crops: NDArray[np.uint8], kernels: NDArray[np.float32], precision: str = "fp32"
) -> Work:
    """Count what a search of one target does, whatever runs it.

    Args:
        network: the model.
        crops: (S or 1, 255, 255, 3) search regions.
        kernels: (S or 1, K, k, k) of the target.
        precision: in which the weights are read.
    """
    pixels = torch.zeros(1, 3, *crops.shape[1:3])
    with torch.inference_mode(), FlopCounterMode(display=False) as backbone:
        features = network.features(pixels)
    with torch.inference_mode(), FlopCounterMode(display=False) as head:
        response = network.head.search(features, torch.from_numpy(kernels[:1]))
    looks = max(len(crops), len(kernels))  # the head works once for each pair of crop and kernel
    operations = backbone.get_total_flops() * len(crops) + head.get_total_flops() * looks
    weights = sum(parameter.numel() for parameter in network.parameters()) * BYTES.get(precision, 4)
    arrays = crops.nbytes + kernels.nbytes + 4 * (features.numel() * len(crops) + response.numel() * looks)
    return Work(operations / 1e9, (weights + arrays) / 1e6)


def _gemm(precision: str, device: str, side: int) -> float:
    """1e9 operations a second; 0 where there is no such product, or only an emulated one."""
    if precision == "fp16" and not device.startswith("cuda"):
        return 0.0  # processors' half precision is emulated, a thousand times slower
    trial = side // 8  # by which an emulated product shows itself; as large as the others it would take minutes
    if precision != "fp32" and _product(precision, device, trial) < _product("fp32", device, trial) / EMULATED:
        return 0.0
    return _product(precision, device, side)


def _product(precision: str, device: str, side: int) -> float:
    """1e9 operations a second of a product of two square matrices; 0 if torch cannot do it."""
    if precision == "int8":
        left = torch.randint(-127, 128, (side, side), dtype=torch.int8, device=device)
        return _rate(lambda: torch._int_mm(left, left), 2 * side**3, device)
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    matrix = torch.randn(side, side, device=device).to(kinds[precision])
    return _rate(lambda: matrix @ matrix, 2 * side**3, device)


def _copy(device: str) -> float:
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return _rate(lambda: target.copy_(source), 2 * COPIED, device)


def _rate(work: Callable[[], object], amount: float, device: str) -> float:
    """`amount` in 1e9 a second, in the best of several repetitions; 0 if torch cannot do it."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    try:
        work()
    except RuntimeError:
        return 0.0
    shortest = float("inf")
    for _ in range(REPEATS):
        wait()
        since = perf_counter()
        work()
        wait()
        shortest = min(shortest, perf_counter() - since)
    return amount / shortest / 1e9
