"""The network run by torch itself."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tracker.network import SiameseNetwork
from tracker.processor import has_bf16
from tracker.runtimes import Array


class TorchRuntime:
    """Eager torch, channels last, batch normalisation folded away.

    The head computes in fp32; so does the backbone, unless its card says bf16 and the processor has the instructions.

    Args:
        network: the model; it is copied.
        device: "auto" or a torch device.
        threads: CPU threads, set for the whole process; `None` leaves them alone.
        precision: of the backbone, "fp32" or "bf16" instead of what the card says.

    Raises:
        ValueError: the device is not there.
    """

    name = "torch"

    def __init__(
        self, network: SiameseNetwork, device: str = "auto", threads: int | None = None, precision: str = ""
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.device = torch.device(device)
            self.network = network.fused().to(self.device)
            half = network.card.precision == "bf16" and self.device.type == "cpu" and has_bf16()
            self.precision = precision or ("bf16" if half else "fp32")
            if self.precision == "bf16":
                self.network.backbone.to(torch.bfloat16)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise ValueError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error

    @torch.inference_mode()
    def template(self, crops: NDArray[np.uint8]) -> Array:
        """See `tracker.runtimes.Runtime`."""
        return self.network.head.template(self._features(crops)).cpu().numpy()

    @torch.inference_mode()
    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        kernel, features = torch.from_numpy(kernels).to(self.device), self._features(crops)
        response = self.network.head.search(_repeated(features, len(kernel)), _repeated(kernel, len(crops)))
        return response.cpu().numpy(), features.cpu().numpy()

    def _features(self, crops: NDArray[np.uint8]) -> torch.Tensor:
        """(N, S, S, 3) uint8 → (N, C, s, s) fp32 features; memory stays channels last, as the crops are."""
        pixels = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2)
        kind = next(self.network.backbone.parameters()).dtype  # whole numbers to 256 are exact in bf16, too
        return self.network.features(pixels.to(kind)).float()


def _repeated(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """Each entry several times, to a total of `count`; as it is if there are as many already, or more."""
    return tensor if len(tensor) >= count else tensor.repeat_interleave(count // len(tensor), 0)
