"""What no training can know beforehand: the background of this very video.

A discriminative correlation filter (Bolme et al. 2010; in the multi-channel form of Danelljan et al. 2014, equations 4
to 6) is learned on the features that the network computes anyway: on the target's place it answers with a peak, on the
rest of the search region with nothing. It is closed form, so a frame costs two Fourier transforms of small maps.

The spectrum of a real map mirrors itself, so spectra have half the columns. Columns come first, and real and imaginary
parts lie apart: (s // 2 + 1, 2, s, F). At some twenty cells a side and a hundred channels, two products of real
matrices transform several times faster than an FFT, and what passes over all channels is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tracker.jit import compiled

Array = NDArray[np.float32]

FEW = 96  # channels that are transformed at once: fewer than BLAS would share out among threads


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
        self.spectrum: Array = np.zeros((0, 2, 0, 0), np.float32)  # of the region seen last
        self.seen: Array = np.zeros((0, 0), np.float32)  # its energy
        self.numerator: Array | None = None
        self.energy: Array | None = None

    def respond(self, features: Array, cells: int) -> NDArray[np.floating]:
        """Look at a search region.

        Args:
            features: (F, s, s) of the region.
            cells: R of the answer: the map's middle.

        Returns:
            (R, R), about 1 on the target and 0 elsewhere; all 0 before the first `learn`.
        """
        channels, side = features.shape[0], features.shape[-1]
        if self.spectrum.shape[2:] != (side, channels):  # kept, as memory that is new in each frame costs time
            self._region = np.empty((side, side, channels), np.float32)
            self._columns = np.empty((side // 2 + 1, 2 * side, channels), np.float32)
            self.spectrum = np.empty((side // 2 + 1, 2, side, channels), np.float32)
        _fade(features, _window(side), self._region)
        _transform(self._region, self._columns, self.spectrum)
        if self.numerator is None or self.energy is None:
            self.seen = _compare(self.spectrum, self.spectrum)[1]
            return np.zeros((cells, cells))
        product, self.seen = _compare(self.numerator, self.spectrum)
        ridge = self.config.online_ridge * self.energy.mean()
        across, down = _inverse_basis(side, cells)
        return ((product / np.maximum(self.energy + ridge, 1e-12) @ down).T @ across).real

    def learn(self, shift: tuple[float, float], size: tuple[float, float]) -> None:
        """Take in the region that was seen last.

        Args:
            shift: (dx, dy) of the target's centre from the region's, in cells.
            size: (w, h) of the target in cells.
        """
        cells = self.spectrum.shape[2]
        place = np.arange(cells) - (cells - 1) / 2
        spread = np.maximum(self.config.online_spread * np.array(size), 0.5)
        peaks = np.exp(-0.5 * ((place - np.array(shift)[:, None]) / spread[:, None]) ** 2)
        across, down = peaks @ _basis(cells)
        wanted = np.outer(across[: cells // 2 + 1], down).astype(np.complex64)
        if self.numerator is None or self.energy is None:
            self.numerator, self.energy = np.zeros_like(self.spectrum), self.seen
            _blend(self.numerator, wanted.real, wanted.imag, self.spectrum, np.float32(1))
        else:
            rate = np.float32(self.config.online_rate)
            self.energy += rate * (self.seen - self.energy)
            _blend(self.numerator, wanted.real, wanted.imag, self.spectrum, rate)


@compiled
def _fade(features: Array, window: Array, region: Array) -> None:
    """(s, s, F) `region`, columns first ← (F, s, s) features, each channel less its mean, times the (s, s) window."""
    channels, side = region.shape[2], region.shape[0]
    mean = np.zeros(channels, np.float32)
    for y in range(side):
        for x in range(side):
            for channel in range(channels):
                region[x, y, channel] = features[channel, y, x]
                mean[channel] += region[x, y, channel]
    mean /= np.float32(side * side)
    for x in range(side):
        for y in range(side):
            for channel in range(channels):
                region[x, y, channel] = (region[x, y, channel] - mean[channel]) * window[x, y]


def _transform(maps: Array, columns: Array, spectrum: Array) -> None:
    """The Fourier transform of each channel of (s, s, F) real maps, columns first, in (h, 2, s, F) `spectrum`.

    `columns` is (h, 2s, F) memory for the transform along the one axis, h = s // 2 + 1. Both products are many small
    ones: for a large one BLAS wakes a thread a core, and those then wait for the next by spinning.
    """
    across, down = _real_basis(len(maps))
    lines = columns.reshape(len(across), *maps.shape[1:])
    lengths = spectrum.reshape(columns.shape)
    for first in range(0, maps.shape[2], FEW):
        few = np.s_[..., first : first + FEW]
        np.matmul(across, maps[few].swapaxes(0, 1), out=lines[few].swapaxes(0, 1))
        np.matmul(down, columns[few], out=lengths[few])


@compiled
def _compare(numerator: Array, spectrum: Array) -> tuple[NDArray[np.complex64], Array]:
    """(h, s) sums over the channels of conj(numerator) · spectrum, and of the spectrum's energy."""
    rows, _, columns, channels = spectrum.shape
    product = np.empty((rows, columns), np.complex64)
    energy = np.empty((rows, columns), np.float32)
    for u in range(rows):
        for v in range(columns):
            real = imaginary = square = np.float32(0)
            for channel in range(channels):
                a, b = numerator[u, 0, v, channel], numerator[u, 1, v, channel]
                x, y = spectrum[u, 0, v, channel], spectrum[u, 1, v, channel]
                real += a * x + b * y
                imaginary += a * y - b * x
                square += x * x + y * y
            product[u, v] = complex(real, imaginary)
            energy[u, v] = square
    return product, energy


@compiled
def _blend(numerator: Array, real: Array, imaginary: Array, spectrum: Array, rate: np.float32) -> None:
    """numerator ← (1 − rate) · numerator + rate · conj(real + i imaginary) · spectrum."""
    keep = np.float32(1) - rate
    for u in range(spectrum.shape[0]):
        for v in range(spectrum.shape[2]):
            a, b = rate * real[u, v], rate * imaginary[u, v]
            for channel in range(spectrum.shape[3]):
                x, y = spectrum[u, 0, v, channel], spectrum[u, 1, v, channel]
                numerator[u, 0, v, channel] = keep * numerator[u, 0, v, channel] + (a * x + b * y)
                numerator[u, 1, v, channel] = keep * numerator[u, 1, v, channel] + (a * y - b * x)


@lru_cache(maxsize=8)
def _basis(cells: int) -> NDArray[np.complex128]:
    """(cells, cells) complex exponentials: row k is the k-th frequency."""
    turns = np.outer(np.arange(cells), np.arange(cells)) % cells / cells
    return np.exp(-2j * np.pi * turns)


@lru_cache(maxsize=8)
def _real_basis(cells: int) -> tuple[Array, Array]:
    """`_basis` as real matrices: (2h, s) from a real line to the real and imaginary part of each of h = s // 2 + 1
    frequencies; and (2s, 2s) from the real parts and then the imaginary ones of a line to those of its transform.
    """
    basis = _basis(cells)
    half = basis[: cells // 2 + 1]
    first = np.stack([half.real, half.imag], axis=1).reshape(-1, cells)
    second = np.block([[basis.real, -basis.imag], [basis.imag, basis.real]])
    return first.astype(np.float32), second.astype(np.float32)


@lru_cache(maxsize=8)
def _inverse_basis(cells: int, middle: int) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """What leads from half a spectrum (h, s) back to the middle of a real map: (h, R) across and (s, R) down."""
    margin = (cells - middle) // 2
    inverse = _basis(cells).conj()[:, margin : margin + middle] / cells
    mirrored = np.full((cells // 2 + 1, 1), 2.0)  # the other half is its conjugate
    mirrored[0] = 1
    if cells % 2 == 0:
        mirrored[-1] = 1
    return (mirrored * inverse[: cells // 2 + 1]).astype(np.complex64), inverse.astype(np.complex64)


@lru_cache(maxsize=8)
def _window(cells: int) -> Array:
    line = np.hanning(cells + 2)[1:-1]
    return np.outer(line, line).astype(np.float32)
