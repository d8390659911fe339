"""Tables of plainly written numbers, read several times as fast as `numpy.loadtxt`: result files are many.

All numbers of a text are converted together. Eight characters are loaded as one 64-bit word, what lies before the
number is shifted out, the decimal point is taken out, and the digits are joined by multiplication: neighbours, then
pairs, then fours (D. Lemire, "Quickly parsing eight digits", 2018). Whole number and power of ten are exact and the one
division rounds correctly, so that results equal those of `float` to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

LONGEST = 8  # characters of a number besides its sign: one word
POWERS: Floats = np.power(10.0, np.arange(LONGEST))


def parse_plain(content: bytes, columns: int) -> Floats | None:
    """Numbers of a plainly written text, (N, columns); ``None`` where it is not plain and needs another reader.

    Plain is: a comma, tab or space between numbers, the same everywhere, one line end after each row but the last, and
    numbers of up to eight characters besides a sign, without exponents.
    """
    raw = np.frombuffer(b"\n" * LONGEST + content + b"\n", np.uint8)
    ends = np.flatnonzero(raw < ord("-"))[
        LONGEST - 1 :
    ]  # separators and line ends, from the one before the first number
    length, ends = np.diff(ends) - 1, ends[1:]
    if len(ends) % columns or not _is_regular(raw[ends].reshape(-1, columns)):
        return None
    negative = raw[ends - length] == ord("-") if b"-" in content else None
    if negative is not None:
        length -= negative
    if length.min() < 1 or length.max() > LONGEST:
        return None
    words: Words = np.ndarray(len(raw) - 7, "<u8", raw, strides=(1,))[ends - LONGEST]
    words ^= _every(ord("0"))  # digits are 0 to 9 now
    before = (8 * (LONGEST - length)).astype(np.uint64)
    words >>= before
    words <<= before
    behind = None
    if b"." in content:
        words, has_point, behind = _without_point(words)
        if (length == has_point).any():
            return None
    if ((words + _every(0x7F - 9) | words) & _every(0x80)).any():  # a byte above 9
        return None
    values = _joined(words)
    if behind is not None:
        values /= POWERS[behind]
    if negative is not None:
        np.negative(values, out=values, where=negative)
    return values.reshape(-1, columns)


def _is_regular(between: NDArray[np.uint8]) -> bool:
    """Whether what follows the numbers is a line end after each row and the same separator elsewhere."""
    separator = between[0, 0]
    if not (between[:, -1] == ord("\n")).all():
        return False
    return between.shape[1] == 1 or bool(separator in b", \t" and (between[:, :-1] == separator).all())


def _every(byte: int) -> np.uint64:
    """A word that has this byte eight times."""
    return np.uint64(byte * 0x0101010101010101)


def _without_point(words: Words) -> tuple[Words, NDArray[np.bool_], NDArray[np.intp]]:
    """Take the first decimal point out of each word of digits.

    Returns:
        The words, where there was a point, and how many characters stood behind it.
    """
    point = words ^ _every(ord(".") ^ ord("0"))  # the byte of the point is zero
    others = ~point
    point -= _every(1)
    point &= others
    point &= _every(0x80)  # its high bit is the lowest one set; above it there is noise
    point &= np.negative(point, out=others)
    point >>= np.uint64(7)  # 1 at the lowest bit of the point; 0: no point
    has_point = point > 0
    position = np.frexp(point.astype(np.float64))[1] // 8  # 0 … 7, exact as `point` is a power of two
    high = words & ~((point << np.uint64(8)) - np.uint64(1))
    point -= np.uint64(1)
    point &= words  # what was below the point, or everything
    point <<= np.where(has_point, np.uint64(8), np.uint64(0))
    point |= high
    return point, has_point, np.where(has_point, LONGEST - 1 - position, 0)


def _joined(words: Words) -> Floats:
    """Words of eight decimal digits, the first in the lowest byte → their values."""
    pairs = words * np.uint64(10)
    pairs += words >> np.uint64(8)
    each = np.uint64(0x000000FF000000FF)
    fours = (pairs & each) * np.uint64(100 + (1_000_000 << 32))
    pairs >>= np.uint64(16)
    pairs &= each
    pairs *= np.uint64(1 + (10_000 << 32))
    fours += pairs
    fours >>= np.uint64(32)
    return fours.astype(np.float64)
