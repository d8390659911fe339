"""What runs the network. A runtime is two functions on arrays; everything around them is the same for all."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.network import SiameseNetwork

Array = NDArray[np.float32]
RUNTIMES = ("torch",)


class Runtime(Protocol):
    """The network's two halves.

    Crops are (N, S, S, 3) uint8 BGR; kernels and responses are float32 arrays as the network's (`tracker.network`).
    """

    name: str

    def template(self, crops: NDArray[np.uint8]) -> Array:
        """(N, 127, 127, 3) exemplar crops → (N, K, k, k) kernels."""
        ...

    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """(N·S, 255, 255, 3) search crops, S scales a target, and (N, K, k, k) kernels → response and features.

        The response is (N·S, C, R, R); the features are the backbone's, (N·S, F, s, s).
        """
        ...


def open_runtime(
    network: SiameseNetwork, runtime: str = "auto", device: str = "auto", threads: int | None = None
) -> Runtime:
    """The runtime of that name.

    Args:
        network: the model.
        runtime: "auto" or "torch".
        device: "auto" (CUDA where there is one, else the CPU) or what torch calls it: "cpu", "cuda", "cuda:1", "mps".
        threads: CPU threads; `None` leaves torch's setting alone. Torch has one setting for the whole process.

    Raises:
        ValueError: an unknown runtime, a device that is not there, or threads < 1.
    """
    if runtime not in ("auto", *RUNTIMES):
        raise ValueError(f"unknown runtime {runtime!r}; this version has auto, {', '.join(RUNTIMES)}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    from tracker.runtimes.torch import TorchRuntime

    return TorchRuntime(network, device, threads)
