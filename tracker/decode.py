"""Response → where the target is, how large, and what the raw response says of its presence.

Each function takes the response of one target, (S, C, R, R) for S scales, and the size that the target had. All lengths
are pixels of the search crop at scale 1; the caller converts them to the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
PYRAMIDS = ("search", "exemplar")


@dataclass(frozen=True)
class DecodeConfig:
    """How a response is read.

    Attributes:
        scales: number of scales; 1 for a head that regresses boxes, 3 for SiamFC's pyramid.
        pyramid: of what there is one for each scale: "search" regions, as the papers have it, or "exemplar" crops,
            compared with one search region: one pass through the network a frame, whatever the number of scales.
        scale_step: ratio of neighbouring scales of the pyramid.
        scale_penalty: pyramid: factor on the response of the outer scales. Boxes: strength k of the penalty
            exp(k − k·change) on a change of size and aspect (SiamRPN, Li et al. 2018, equation 13).
        scale_rate: share of the new size in the estimate, in [0, 1] (damping).
        window_influence: share of the cosine window in the score by which the peak is chosen, in [0, 1].
    """

    scales: int = 1
    pyramid: str = "search"
    scale_step: float = 1.0375
    scale_penalty: float = 0.05
    scale_rate: float = 0.35
    window_influence: float = 0.35


@dataclass(frozen=True)
class Decoded:
    """What one response says.

    Attributes:
        shift: (dx, dy) of the target's centre from the crop's centre, in crop pixels.
        size: (w, h) of the target in crop pixels, damped.
        peak: largest logit near the chosen place, without window and penalties.
        margin: `peak` minus the largest logit elsewhere: small where something else looks like the target.
        contrast: (`peak` − mean) / standard deviation of the logits elsewhere.
    """

    shift: tuple[float, float]
    size: tuple[float, float]
    peak: float
    margin: float
    contrast: float

    @property
    def finite(self) -> bool:
        """Whether all of it is numbers; a response with NaN or infinities in it is no evidence of anything."""
        return math.isfinite(sum(self.shift) + sum(self.size) + self.peak + self.margin + self.contrast)


@lru_cache(maxsize=16)
def cosine_window(cells: int) -> Array:
    """(cells, cells) outer product of two Hann windows that are positive at the border, largest value 1."""
    line = np.hanning(cells + 2)[1:-1]
    return np.outer(line, line).astype(np.float32)


@lru_cache(maxsize=16)
def _window_share(cells: int, influence: float) -> Array:
    """The cosine window, scaled to a sum of `influence`."""
    window = cosine_window(cells)
    return window * (influence / window.sum())


@lru_cache(maxsize=16)
def cell_shifts(cells: int, stride: int) -> Array:
    """(cells,) displacements of the cells from the crop's centre in pixels: the middle cell is 0."""
    return ((np.arange(cells) - (cells - 1) / 2) * stride).astype(np.float32)


def statistics(logits: Array, row: int, column: int, reach: int = 2) -> tuple[float, float, float]:
    """`Decoded.peak`, `margin` and `contrast` of a (R, R) response around a chosen cell."""
    top, left = max(row - reach, 0), max(column - reach, 0)
    near = logits[top : row + reach + 1, left : column + reach + 1]
    peak = float(near.max())
    count = logits.size - near.size
    if count <= 0:
        return peak, 0.0, 0.0
    elsewhere = logits.copy()
    elsewhere[top : row + reach + 1, left : column + reach + 1] = -np.inf
    highest = float(elsewhere.max())
    mean = (float(logits.sum()) - float(near.sum())) / count
    square = (float((logits * logits).sum()) - float((near * near).sum())) / count
    deviation = max(square - mean * mean, 1e-6) ** 0.5
    return peak, peak - highest, (peak - mean) / deviation


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # what is not finite is `Decoded.finite`'s to say
def decode_boxes(
    response: Array,
    size: tuple[float, float],
    stride: int,
    config: DecodeConfig,
    online: Array | None = None,
    share: float = 0.0,
) -> Decoded:
    """Read the response of a head that regresses boxes.

    Args:
        response: (1, 5, R, R): logit, then distances to the left, top, right and bottom side in crop pixels.
        size: (w, h) of the target's previous estimate in crop pixels.
        stride: crop pixels between cells.
        config: how.
        online: (R, R) answer of a filter learned in this video, about 1 on the target (see `tracker.online`).
        share: of that answer in the score by which a cell is chosen, in [0, 1].
    """
    logits, left, top, right, bottom = response[0]
    probability = 1 / (1 + np.exp(-logits))
    width, height = left + right, top + bottom
    penalty = np.exp(config.scale_penalty * (1 - _change(width, height, size)))
    window = cosine_window(logits.shape[0])
    scores = penalty * probability
    # relative to the best: how sure the network is must not decide whether the window or the response leads
    scores = scores / max(float(scores.max()), 1e-9)
    if online is not None:
        scores = (1 - share) * scores + share * np.clip(online / max(float(online.max()), 1e-9), 0, 1)
        scores = scores / max(float(scores.max()), 1e-9)
    ranking = scores * (1 - config.window_influence) + window * config.window_influence
    row, column = divmod(int(ranking.argmax()), logits.shape[1])

    at = row, column
    shifts = cell_shifts(logits.shape[0], stride)
    shift = (
        float(shifts[column] + (right[at] - left[at]) / 2),
        float(shifts[row] + (bottom[at] - top[at]) / 2),
    )
    rate = float(scores[at]) * config.scale_rate
    new = (
        size[0] + rate * (float(width[at]) - size[0]),
        size[1] + rate * (float(height[at]) - size[1]),
    )
    return Decoded(shift, new, *statistics(logits, row, column))


def _change(width: Array, height: Array, size: tuple[float, float]) -> Array:
    """Product of the changes in aspect and in scale, each ≥ 1 (SiamRPN, equation 13)."""
    w, h = size
    aspect = (w / h) / (width / height)
    padding = (width + height) / 2
    scale = np.sqrt((width + padding) * (height + padding)) / np.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))
    return np.maximum(aspect, 1 / aspect) * np.maximum(scale, 1 / scale)


UPSAMPLE = 16  # SiamFC's: the 17×17 response is read on a grid of half a pixel of the crop


@lru_cache(maxsize=16)
def _upsampling(cells: int) -> NDArray[np.float32]:
    """(16 R, R) cubic interpolation as a matrix: two products with it take a third of `cv2.resize`'s time."""
    eye = np.eye(cells, dtype=np.float32)
    return np.asarray(cv2.resize(eye, (cells, cells * UPSAMPLE), interpolation=cv2.INTER_CUBIC), np.float32)


def pyramid(config: DecodeConfig) -> Array:
    """(S,) changes of the target's size that the scales stand for, the middle one 1."""
    steps = np.arange(config.scales) - config.scales // 2
    return config.scale_step**steps


def search_factors(config: DecodeConfig) -> Array:
    """(S or 1,) factors on the search region's side: a larger one shows a target that has grown as it was."""
    return pyramid(config) if config.pyramid == "search" else np.ones(1)


def exemplar_factors(config: DecodeConfig) -> Array:
    """(S or 1,) factors on the exemplar's side: a smaller one shows the target as it will look when it has grown."""
    return 1 / pyramid(config) if config.pyramid == "exemplar" else np.ones(1)


def equally_long(kernels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The kernels of a pyramid of exemplars, each scaled to the length of the middle one.

    A correlation favours the longer of two kernels, whatever it sees. Of equally long ones the exemplar itself, at each
    of the scales, agrees most with its own (Cauchy-Schwarz).

    Args:
        kernels: (S, K, k, k).
    """
    lengths = np.sqrt(np.square(kernels, dtype=np.float64).sum((1, 2, 3), keepdims=True))
    ratios = lengths[len(kernels) // 2] / np.maximum(lengths, 1e-12)
    return (kernels * ratios).astype(np.float32)


@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def decode_pyramid(
    response: Array,
    size: tuple[float, float],
    stride: int,
    config: DecodeConfig,
    online: Array | None = None,
    share: float = 0.0,
) -> Decoded:
    """Read the responses of SiamFC's scale pyramid (Bertinetto et al. 2016, section 4; SiamDW's test loop).

    The displacement is measured in the crop of the scale that won and, if each has its own, brought back to scale 1;
    the grid's centre is (n − 1) / 2: SiamDW's code leaves both out, which costs it up to a quarter of a pixel of the
    crop.

    Args:
        response: (S, 1, R, R) logits, one scale each, from small to large targets.
        size: (w, h) of the target's previous estimate in crop pixels.
        stride: crop pixels between cells.
        config: how.
        online: (R, R) answer of a filter learned in this video at scale 1, about 1 on the target (`tracker.online`); it
            has a say in the place, none in the scale.
        share: of that answer in the score by which a place is chosen, in [0, 1].
    """
    cells = response.shape[-1]
    side = cells * UPSAMPLE
    finer = _upsampling(cells)
    rows = (finer @ response[:, 0]).reshape(-1, cells, UPSAMPLE, cells)  # small products: `tracker.online._transform`
    fine = (rows @ finer.T).reshape(-1, side, side)
    factors = pyramid(config)
    heights = fine.max(axis=(1, 2))
    floor = float(fine.min())
    same = len(factors) // 2
    penalties = np.where(np.arange(len(factors)) == same, 1.0, config.scale_penalty)
    gains = (heights - floor) * penalties
    chosen = same if gains[same] >= gains.max() else int(gains.argmax())  # a tie changes nothing

    scores = fine[chosen] - fine[chosen].min()
    if online is not None:
        answer = ((finer @ online.astype(np.float32)).reshape(cells, UPSAMPLE, cells) @ finer.T).reshape(side, side)
        scores = (1 - share) * scores / max(float(scores.max()), 1e-9)
        scores = scores + share * np.clip(answer / max(float(answer.max()), 1e-9), 0, 1)
    scores = scores * ((1 - config.window_influence) / max(float(scores.sum()), 1e-12))
    row, column = divmod(int((scores + _window_share(side, config.window_influence)).argmax()), side)
    middle, pixels = (side - 1) / 2, stride / UPSAMPLE * (factors[chosen] if config.pyramid == "search" else 1.0)
    scale = 1 + config.scale_rate * (factors[chosen] - 1)
    logits = response[chosen, 0]
    return Decoded(
        (float((column - middle) * pixels), float((row - middle) * pixels)),
        (float(size[0] * scale), float(size[1] * scale)),
        *statistics(logits, row // UPSAMPLE, column // UPSAMPLE),
    )
