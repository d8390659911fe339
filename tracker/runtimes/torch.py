"""The network run by torch itself."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tracker.network import SiameseNetwork
from tracker.runtimes import Array


class TorchRuntime:
    """Eager torch in fp32, channels last, batch normalisation folded away.

    Args:
        network: the model; it is copied.
        device: "auto" or a torch device.
        threads: CPU threads, set for the whole process; `None` leaves them alone.

    Raises:
        ValueError: the device is not there.
    """

    name = "torch"

    def __init__(self, network: SiameseNetwork, device: str = "auto", threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.device = torch.device(device)
            self.network = network.fused().to(self.device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise ValueError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error

    @torch.inference_mode()
    def template(self, crops: NDArray[np.uint8]) -> Array:
        """See `tracker.runtimes.Runtime`."""
        return self.network.template(self._pixels(crops)).cpu().numpy()

    @torch.inference_mode()
    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        kernel = torch.from_numpy(kernels).to(self.device)
        if len(crops) != len(kernels):
            kernel = kernel.repeat_interleave(len(crops) // len(kernels), 0)
        response, features = self.network.observe(self._pixels(crops), kernel)
        return response.cpu().numpy(), features.cpu().numpy()

    def _pixels(self, crops: NDArray[np.uint8]) -> torch.Tensor:
        """(N, S, S, 3) uint8 → (N, 3, S, S) float; the memory stays as it is, which is channels last."""
        return torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float()
