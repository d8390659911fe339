"""Files damaged on purpose: where, and how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability.damage import cut_off, flip_bits

HEAD, TAIL = b"\0\0\0\x08free", b"\0\0\0\x0cmoovabcd"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(HEAD + (8 + 100_000).to_bytes(4, "big") + b"mdat" + bytes(100_000) + TAIL)
    return path


def test_only_packets_are_damaged_at_the_rate(film: Path, tmp_path: Path):
    target = tmp_path / "damaged.mp4"
    count = flip_bits(film, target, 1e-3)
    data, whole = target.read_bytes(), film.read_bytes()
    assert data[:16] == whole[:16]
    assert data[-len(TAIL) :] == TAIL
    flipped = np.unpackbits(np.frombuffer(data, np.uint8) ^ np.frombuffer(whole, np.uint8))
    assert flipped.sum() == count == pytest.approx(800, abs=6 * 800**0.5)
    assert flipped[: len(flipped) // 2].sum() == pytest.approx(400, abs=6 * 400**0.5)  # all over the file


def test_the_same_seed_is_the_same_damage(film: Path, tmp_path: Path):
    files = [tmp_path / f"{number}.mp4" for number in range(3)]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        flip_bits(film, file, 1e-3, seed)
    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other


def test_no_rate_leaves_the_file_alone(film: Path, tmp_path: Path):
    assert flip_bits(film, tmp_path / "same.mp4", 0.0) == 0
    assert (tmp_path / "same.mp4").read_bytes() == film.read_bytes()


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_is_a_probability(rate: float, film: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="rate"):
        flip_bits(film, tmp_path / "x.mp4", rate)


@pytest.mark.parametrize("data", [b"", b"RIFF", HEAD + TAIL, bytes(64)])
def test_what_is_no_mp4_is_refused(data: bytes, tmp_path: Path):
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="no MP4"):
        flip_bits(path, tmp_path / "y.mp4", 0.1)


def test_the_beginning_is_kept(film: Path, tmp_path: Path):
    cut_off(film, tmp_path / "part.mp4", 0.25)
    whole = film.read_bytes()
    assert (tmp_path / "part.mp4").read_bytes() == whole[: round(len(whole) / 4)]
