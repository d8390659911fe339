from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.protocols import base_name, disturbed, segment_starts, variants
from benchmarks.sequence import Sequence
from tracker.box import overlap


@dataclass(frozen=True)
class Numbered:
    """Frames of 100×80 that hold their own number."""

    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (np.full((80, 100, 3), number, np.uint8) for number in self.numbers)

    def at(self, index: int) -> np.ndarray:
        return np.full((80, 100, 3), self.numbers[index], np.uint8)

    def part(self, start: int, stop: int) -> Numbered:
        return Numbered(self.numbers[start:stop])


def sequence(frames: int = 60) -> Sequence:
    boxes = np.array([(10.0 + index / 10, 20.0, 30.0, 20.0) for index in range(frames)])
    return Sequence("Ball", boxes, Numbered(range(frames)))


def test_one_pass_is_the_sequence_itself():
    ball = sequence()
    assert variants(ball, "ope") == [ball]


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="no protocol 'sra'; there are ope, sre, tre"):
        variants(sequence(), "sra")


def test_spatial_variants_differ_in_their_start_only():
    ball = sequence()
    starts = {variant.name: variant.first_box for variant in variants(ball, "sre")}
    assert starts == {
        "Ball@left": (7, 20, 30, 20),
        "Ball@right": (13, 20, 30, 20),
        "Ball@up": (10, 18, 30, 20),
        "Ball@down": (10, 22, 30, 20),
        "Ball@topLeft": (7, 18, 33, 22),
        "Ball@topRight": (10, 18, 33, 22),
        "Ball@bottomLeft": (7, 20, 33, 22),
        "Ball@bottomRight": (10, 20, 33, 22),
        "Ball@scale_8": (13, 22, 24, 16),
        "Ball@scale_9": (12, 21, 27, 18),  # 11.5 is rounded up, as MATLAB does
        "Ball@scale_11": (9, 19, 33, 22),
        "Ball@scale_12": (7, 18, 36, 24),
    }
    for variant in variants(ball, "sre"):
        np.testing.assert_array_equal(variant.boxes, ball.boxes)
        assert variant.frames == ball.frames
        assert base_name(variant.name) == "Ball"


def test_disturbed_starts_stay_inside_the_image():
    starts = disturbed((0.0, 60.0, 40.0, 20.0), 100, 80)
    assert starts["left"] == (0, 60, 40, 20)
    assert starts["down"] == (0, 62, 40, 18)
    assert starts["bottomRight"] == (0, 60, 44, 20)


@given(x=st.integers(0, 90), y=st.integers(0, 70), w=st.integers(1, 100), h=st.integers(1, 80))
def test_every_disturbed_start_is_a_box_in_the_image(x: int, y: int, w: int, h: int):
    starts = disturbed((x, y, min(w, 100 - x), min(h, 80 - y)), 100, 80)
    assert len(starts) == 12
    for left, top, width, height in starts.values():
        assert left >= 0
        assert top >= 0
        assert width >= 1
        assert height >= 1
        assert left + width <= 100
        assert top + height <= 80


def test_disturbed_starts_are_near_the_target():
    box = (30.0, 25.0, 40.0, 30.0)
    for start in disturbed(box, 100, 80).values():
        assert 0.6 < overlap(start, box) < 1


def toolkit_starts(usable: int) -> list[int]:
    """The toolkit's division as MATLAB states it, ``floor(1 : n/19 : n)`` and n; counted from 0, no repetitions."""
    starts, value = [], 1.0
    while value <= usable:
        starts.append(math.floor(value) - 1)
        value = 1 + len(starts) * usable / 19
    return sorted({*starts, usable - 1})


@pytest.mark.parametrize("frames", [39, 60, 100, 725, 1000, 13529])
def test_temporal_starts_are_the_toolkits(frames: int):
    boxes = np.tile([10.0, 10.0, 5.0, 5.0], (frames, 1))
    starts = segment_starts(boxes)
    assert starts == toolkit_starts(frames - 19)
    assert len(starts) == 20
    assert starts[0] == 0
    assert starts[-1] == frames - 20  # 20 frames are left


def test_no_segment_starts_where_the_target_is_not_annotated():
    boxes = np.tile([10.0, 10.0, 5.0, 5.0], (200, 1))
    boxes[40:80] = np.nan
    boxes[100:120, 2] = 0
    boxes[0:3, 0] = -1  # 0 in the benchmark's files
    starts = segment_starts(boxes)
    assert starts[0] == 3
    assert len(starts) == 20
    assert all(np.isfinite(boxes[start]).all() and (boxes[start, 2:] > 0).all() for start in starts)
    usable = [frame for frame in range(181) if 3 <= frame < 40 or 80 <= frame < 100 or frame >= 120]
    assert starts == [usable[index] for index in toolkit_starts(len(usable))]


def test_temporal_variants_run_from_their_start_to_the_end():
    ball = sequence(60)
    parts = variants(ball, "tre")
    assert [part.name for part in parts] == [f"Ball@{number}" for number in range(1, 21)]
    np.testing.assert_array_equal(parts[0].boxes, ball.boxes)
    for part in parts:
        start = 60 - len(part)
        assert part.frames.at(0)[0, 0, 0] == start
        np.testing.assert_array_equal(part.boxes, ball.boxes[start:])


@pytest.mark.parametrize("frames", [1, 5, 20, 21])
def test_a_short_sequence_has_fewer_segments(frames: int):
    assert len(variants(sequence(frames), "tre")) == max(1, frames - 19)


def test_a_hidden_ground_truth_has_one_segment():
    boxes = np.full((100, 4), np.nan)
    boxes[0] = 10, 10, 5, 5
    assert segment_starts(boxes) == [0]
