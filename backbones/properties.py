"""What a backbone is, measured on the backbone itself: sizes, stride, receptive field, parameters, cost."""

from __future__ import annotations

import copy
from bisect import bisect_left
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, slots=True)
class Properties:
    """Geometry and cost of a backbone in a Siamese tracker. Sizes are sides of squares.

    Attributes:
        stride: image pixels from one feature cell to the next.
        receptive_field: image pixels that one cell sees.
        channels: feature channels.
        exemplar_feature: cells of the exemplar's features.
        search_feature: cells of the search region's features.
        response: cells of their correlation.
        parameters: number of trainable values.
        exemplar_gmac: 1e9 multiply-accumulates of the convolutions for one exemplar.
        gmac: the same for one search region.
        exemplar_offset: pixels from the centre of the exemplar to the centre of its grid of cells.
        search_offset: the same in the search region. A cell `i` of the response means that the target lies
            ``stride * (i - (response - 1) / 2) + search_offset - exemplar_offset`` pixels from the region's centre.
    """

    stride: int
    receptive_field: int
    channels: int
    exemplar_feature: int
    search_feature: int
    response: int
    parameters: int
    exemplar_gmac: float
    gmac: float
    exemplar_offset: float
    search_offset: float

    @property
    def centred(self) -> bool:
        """Whether both grids of cells lie centred, so that the middle of the response means no displacement."""
        return self.exemplar_offset == self.search_offset == 0


def describe(backbone: nn.Module, exemplar_size: int = 127, search_size: int = 255) -> Properties:
    """Measure `backbone`, (N, 3, H, W) → (N, C, h, w), for square crops of the given sizes in pixels.

    The backbone itself is left as it is. Stride and receptive field are those along x.

    Raises:
        ValueError: a cell's receptive field reaches the border of the search region, so that its end is out of sight
            (global pooling, or a network too deep for the size), or nothing of the input reaches the cell.
    """
    channels, exemplar_feature, exemplar_macs = _shape_and_cost(backbone, exemplar_size)
    _, search_feature, search_macs = _shape_and_cost(backbone, search_size)

    probed = copy.deepcopy(backbone).cpu().double().eval()
    middle = search_feature // 2
    first, last = _span(probed, exemplar_size, search_size, middle)
    next_first, _ = _span(probed, exemplar_size, search_size, middle + 1)
    stride = next_first - first
    first_centre = (first + last) / 2 - stride * middle  # of cell 0, in pixel indices

    def offset(cells: int, size: int) -> float:
        return first_centre + stride * (cells - 1) / 2 - (size - 1) / 2

    return Properties(
        stride=stride,
        receptive_field=last - first + 1,
        channels=channels,
        exemplar_feature=exemplar_feature,
        search_feature=search_feature,
        response=search_feature - exemplar_feature + 1,
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        exemplar_gmac=exemplar_macs / 1e9,
        gmac=search_macs / 1e9,
        exemplar_offset=offset(exemplar_feature, exemplar_size),
        search_offset=offset(search_feature, search_size),
    )


def _shape_and_cost(backbone: nn.Module, size: int) -> tuple[int, int, int]:
    """Channels, cells and multiply-accumulates for one image; on the meta device, which computes shapes only."""
    with FlopCounterMode(display=False) as counter:
        features = copy.deepcopy(backbone).eval().to("meta")(torch.empty(1, 3, size, size, device="meta"))
    return features.shape[1], features.shape[3], counter.get_total_flops() // 2  # one multiply and one add


@torch.no_grad()
def _span(backbone: nn.Module, height: int, width: int, cell: int) -> tuple[int, int]:
    """First and last pixel column that the feature column `cell` depends on.

    NaN survives every layer, whatever the weights: the columns that turn the cell into NaN are those it sees. Double
    precision keeps to plain matrix products; the fast single-precision kernels mix neighbours (Winograd).
    """

    def sees(columns: slice) -> bool:
        image: Tensor = torch.zeros(1, 3, height, width, dtype=torch.float64)
        image[..., columns] = torch.nan
        return bool(backbone(image)[..., cell].isnan().any())

    first = bisect_left(range(width), True, key=lambda column: sees(slice(0, column + 1)))
    if first == width:
        raise ValueError(f"feature column {cell} of {type(backbone).__name__} does not depend on the image")
    last = width - 1 - bisect_left(range(width), True, key=lambda margin: sees(slice(width - 1 - margin, width)))
    if first == 0 or last == width - 1:
        raise ValueError(
            f"the receptive field of {type(backbone).__name__} reaches the border of a {width}-pixel search region, "
            "so its size cannot be seen: describe it with a larger one"
        )
    return first, last
