"""What no training can know beforehand: the background of this very video.

A discriminative correlation filter (Bolme et al. 2010; in the multi-channel form of Danelljan et al. 2014, equations 4
to 6) is learned on the features that the network computes anyway: on the target's place it answers with a peak, on the
rest of the search region with nothing. It is closed form, so a frame costs two Fourier transforms of small maps.

The spectrum of a real map mirrors itself, so spectra have half the columns, columns first: (s // 2 + 1, s, F). At some
twenty cells a side and a hundred channels, products of small matrices transform several times faster than numpy's FFT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class OnlineConfig:
    """How a filter learns, and what it has to say.

    Attributes:
        online_share: share of the filter's answer in the score by which a cell is chosen, in [0, 1]; 0 = no filter.
        online_rate: weight of each new frame in the filter, in [0, 1].
        online_spread: standard deviation of the wanted peak, in sides of the target.
        online_ridge: regularisation, in mean energies of the features.
    """

    online_share: float = 0.0
    online_rate: float = 0.02
    online_spread: float = 0.05
    online_ridge: float = 0.1


class CorrelationFilter:
    """A filter of one target: `respond` in every frame, then `learn` where the answer is trusted.

    Args:
        config: how it learns.
    """

    def __init__(self, config: OnlineConfig) -> None:
        self.config = config
        self.spectrum: NDArray[np.complexfloating] = np.zeros((0, 0, 0), np.complex64)  # of the region seen last
        self.numerator: NDArray[np.complexfloating] | None = None
        self.energy: NDArray[np.floating] | None = None

    def respond(self, features: Array, cells: int) -> NDArray[np.floating]:
        """Look at a search region.

        Args:
            features: (F, s, s) of the region.
            cells: R of the answer: the map's middle.

        Returns:
            (R, R), about 1 on the target and 0 elsewhere; all 0 before the first `learn`.
        """
        cells_first = features.transpose(1, 2, 0)  # as the network stores them; transforms are fastest this way too
        centred = cells_first - cells_first.mean(axis=(0, 1))
        self.spectrum = _transform(centred * _window(features.shape[-1]))
        if self.numerator is None or self.energy is None:
            return np.zeros((cells, cells))
        product = np.einsum("uvf,uvf->uv", np.conj(self.numerator), self.spectrum)
        ridge = self.config.online_ridge * self.energy.mean()
        answer = np.fft.irfft2(product.T / np.maximum(self.energy.T + ridge, 1e-12), s=features.shape[1:])
        margin = (len(answer) - cells) // 2
        return answer[margin : margin + cells, margin : margin + cells]

    def learn(self, shift: tuple[float, float], size: tuple[float, float]) -> None:
        """Take in the region that was seen last.

        Args:
            shift: (dx, dy) of the target's centre from the region's, in cells.
            size: (w, h) of the target in cells.
        """
        cells = self.spectrum.shape[1]
        place = np.arange(cells) - (cells - 1) / 2
        across, down = (
            np.exp(-0.5 * ((place - middle) / max(self.config.online_spread * side, 0.5)) ** 2)
            for middle, side in zip(shift, size, strict=True)
        )
        wanted = _transform(np.outer(down, across).astype(np.float32)[..., None])
        numerator = np.conj(wanted) * self.spectrum
        energy = (self.spectrum.real**2 + self.spectrum.imag**2).sum(-1)
        if self.numerator is None or self.energy is None:
            self.numerator, self.energy = numerator, energy
        else:
            rate = self.config.online_rate
            self.numerator = (1 - rate) * self.numerator + rate * numerator
            self.energy = (1 - rate) * self.energy + rate * energy


def _transform(maps: Array) -> NDArray[np.complexfloating]:
    """(s, s, F) real maps → (s // 2 + 1, s, F) complex64, the two-dimensional Fourier transform of each."""
    basis = _basis(len(maps))
    half = basis[: len(maps) // 2 + 1]
    columns = (np.concatenate([half.real, half.imag]) @ maps).swapaxes(0, 1)
    return basis @ (columns[: len(half)] + 1j * columns[len(half) :])


@lru_cache(maxsize=8)
def _basis(cells: int) -> NDArray[np.complex64]:
    """(cells, cells) complex exponentials: row k is the k-th frequency."""
    turns = np.outer(np.arange(cells), np.arange(cells)) % cells / cells
    return np.exp(-2j * np.pi * turns).astype(np.complex64)


@lru_cache(maxsize=8)
def _window(cells: int) -> Array:
    line = np.hanning(cells + 2)[1:-1]
    return np.outer(line, line).astype(np.float32)[..., None]
