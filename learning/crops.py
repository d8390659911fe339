"""Many crops out of many images at once, on the device that trains.

The images are decoded once (`learning.footage`). On a CPU each crop is one call of OpenCV; on a GPU the images lie in
one flat tensor in the device's memory and all crops of a batch are one gather, so that nothing but indices travels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Cropper:
    """Cuts batches of square crops.

    Args:
        images: H×W×3 uint8 BGR, of any sizes.
        device: where the crops are wanted.
        gather: copy the images to the device and crop there; `None`: unless that is the CPU.
    """

    def __init__(
        self, images: Sequence[NDArray[np.uint8]], device: torch.device | str = "cpu", gather: bool | None = None
    ) -> None:
        self.images = images
        self.device = torch.device(device)
        self.gather = self.device.type != "cpu" if gather is None else gather
        if self.gather:
            sizes = torch.tensor([image.shape[:2] for image in images])
            self.sizes = sizes.to(self.device)
            self.offsets = (torch.cumsum(sizes.prod(1), 0) - sizes.prod(1)).to(self.device)
            self.pixels = torch.empty((int(sizes.prod(1).sum()), 3), dtype=torch.uint8, device=self.device)
            start = 0
            for image in images:
                flat = torch.from_numpy(np.array(image).reshape(-1, 3))  # a copy: torch wants to be able to write
                self.pixels[start : start + len(flat)] = flat.to(self.device)
                start += len(flat)

    def __call__(self, indices: Tensor, matrices: Tensor, borders: Tensor, size: int) -> Tensor:
        """Cut one crop an index.

        Args:
            indices: (N,) int64 into the images.
            matrices: (N, 2, 3) float64 maps from the crop's pixel indices to the image's (`tracker.crop.crop_matrix`).
            borders: what lies beyond the images' borders: (N, 3) colours or (N, 3, size, size) crops, in [0, 255].
            size: of the crops in pixels.

        Returns:
            (N, 3, size, size) float32 in [0, 255], channels last in memory.
        """
        crop = self._by_gather if self.gather else self._by_opencv
        return crop(indices, matrices, borders, size).permute(0, 3, 1, 2)

    def _by_opencv(self, indices: Tensor, matrices: Tensor, borders: Tensor, size: int) -> Tensor:
        behind = borders if borders.ndim == 4 else borders[:, :, None, None].expand(-1, -1, size, size)
        out = np.ascontiguousarray(behind.permute(0, 2, 3, 1).to(torch.uint8).numpy())
        for target, index, matrix in zip(out, indices.tolist(), matrices.numpy(), strict=True):
            cv2.warpAffine(
                self.images[index],
                matrix,
                (size, size),
                dst=target,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_TRANSPARENT,
            )
        return torch.from_numpy(out).float()

    def _by_gather(self, indices: Tensor, matrices: Tensor, borders: Tensor, size: int) -> Tensor:
        grid = torch.arange(size, device=self.device, dtype=torch.float32)
        matrices = matrices.to(self.device, torch.float32)
        x = matrices[:, None, 0, 0, None] * grid + matrices[:, None, 0, 1, None] * grid[:, None]
        y = matrices[:, None, 1, 0, None] * grid + matrices[:, None, 1, 1, None] * grid[:, None]
        x, y = x + matrices[:, 0, 2, None, None], y + matrices[:, 1, 2, None, None]
        x0, y0 = x.floor(), y.floor()
        fx, fy = (x - x0)[..., None], (y - y0)[..., None]
        indices = indices.to(self.device)
        border = borders.to(self.device, torch.float32)
        border = border.permute(0, 2, 3, 1) if border.ndim == 4 else border[:, None, None]
        height, width = self.sizes[indices].T[..., None, None]
        offset = self.offsets[indices, None, None]

        def tap(column: Tensor, row: Tensor) -> Tensor:
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            at = offset + row.clamp(min=0).minimum(height - 1) * width + column.clamp(min=0).minimum(width - 1)
            return torch.where(inside[..., None], self.pixels[at].float(), border)

        column, row = x0.long(), y0.long()
        top = tap(column, row) * (1 - fx) + tap(column + 1, row) * fx
        bottom = tap(column, row + 1) * (1 - fx) + tap(column + 1, row + 1) * fx
        return top * (1 - fy) + bottom * fy
