"""Files damaged on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def flip_bits(source: Path, target: Path, rate: float, seed: int = 0) -> int:
    """Copy an MP4 file with bits of its packets flipped, each with the same probability; its index stays whole.

    Args:
        source, target: MP4 files.
        rate: probability of each bit, in [0, 1].
        seed: of the generator.

    Returns:
        How many bits were flipped.

    Raises:
        ValueError: `source` is no MP4 file with packets, or `rate` is out of range.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"the rate of flipped bits must lie in [0, 1], got {rate}")
    data = np.fromfile(source, np.uint8)
    begin, end = _packets(data.tobytes(), source)
    rng = np.random.default_rng(seed)
    bits = 8 * (end - begin)
    flipped = rng.choice(bits, rng.binomial(bits, rate), replace=False)
    np.bitwise_xor.at(data, begin + flipped // 8, (1 << (flipped % 8)).astype(np.uint8))
    data.tofile(target)
    return len(flipped)


def cut_off(source: Path, target: Path, share: float) -> None:
    """Copy the first `share`, in [0, 1], of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: round(share * len(data))])


def _packets(data: bytes, name: Path) -> tuple[int, int]:
    """First byte and end of the contents of the ``mdat`` box (ISO/IEC 14496-12, 4.2 and 8.1.1)."""
    at = 0
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if length < 8:
            break
        if kind == b"mdat":
            return at + 8, min(at + length, len(data))
        at += length
    raise ValueError(f"{name} is no MP4 file with an mdat box")
