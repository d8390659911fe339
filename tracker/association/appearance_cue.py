"""What association asks of pixels: something that cuts patches out of a frame and compares pairs of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.frame import Image


class AppearanceCue(Protocol):
    """Compares detections by their pixels.

    Attributes:
        names: of the numbers that `compare` gives, in their order; the boosted trees know them by these names.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    def patches(self, image: Image, previous_image: Image | None, xywh: NDArray[np.float64]) -> NDArray[Any]:
        """Cut the detections of one frame out of it.

        Args:
            image: the frame, uint8 HxWx3 BGR.
            previous_image: the frame before it, of the same size; ``None`` at the start.
            xywh: (N, 4) boxes in 0-based pixels; they may reach beyond the image.

        Returns:
            (N, …), of whatever kind `compare` takes; small, as they are kept for as long as a track may be lost.
        """
        ...

    def compare(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
        """Compare pairs of patches.

        Args:
            a: (P, …) patches of the earlier detections.
            b: (P, …) of the later ones, pair by pair.

        Returns:
            (P, K) one column for each of `names`; NaN where a number cannot be had.
        """
        ...
