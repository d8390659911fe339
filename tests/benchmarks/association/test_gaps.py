from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.association.gaps import fill_gaps
from benchmarks.mot import parse_rows

TEXT = b"1,7,1,1,10,20,0.8\n1,8,5,5,3,3,1\n4,7,31,1,40,20,0.2\n5,8,5,5,3,3,1\n"


def test_a_gap_is_a_straight_line():
    filled, new = fill_gaps(parse_rows(TEXT, "t"))
    seven = filled.id == 7
    assert filled.frame[seven].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(filled.box[seven], [[0, 0, 10, 20], [10, 0, 20, 20], [20, 0, 30, 20], [30, 0, 40, 20]])
    np.testing.assert_allclose(filled.score[seven], [0.8, 0.6, 0.4, 0.2])
    assert new[seven].tolist() == [False, True, True, False]
    assert (np.diff(filled.frame) >= 0).all()


def test_longer_gaps_stay():
    filled, new = fill_gaps(parse_rows(TEXT, "t"), longest=2)
    assert np.count_nonzero(new) == 2
    assert filled.frame[filled.id == 8].tolist() == [0, 4]
    with pytest.raises(ValueError, match="longest"):
        fill_gaps(parse_rows(TEXT, "t"), -1)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(1, 30), st.integers(1, 4)),
        st.tuples(*[st.floats(-50, 50)] * 2, *[st.floats(1, 50)] * 2, st.floats(0, 1)),
        max_size=40,
    ),
    st.integers(0, 12),
)
def test_as_by_a_plain_loop(boxes, longest):
    text = "".join(f"{frame},{id},{','.join(map(str, row))}\n" for (frame, id), row in boxes.items())
    rows = parse_rows(text.encode(), "t")
    expected = {(frame - 1, id): (*np.subtract(row[:2], 1), *row[2:]) for (frame, id), row in boxes.items()}
    for id in range(1, 5):
        frames = sorted(frame for frame, who in boxes if who == id)
        for a, b in itertools.pairwise(frames):
            if b - a - 1 <= longest:
                low, high = (np.array(expected[at - 1, id]) for at in (a, b))
                for frame in range(a + 1, b):
                    expected[frame - 1, id] = tuple(low + (high - low) * (frame - a) / (b - a))
    filled, new = fill_gaps(rows, longest)
    assert len(filled) == len(expected)
    assert np.count_nonzero(~new) == len(boxes)
    for frame, id, box, score in zip(filled.frame, filled.id, filled.box, filled.score, strict=True):
        np.testing.assert_allclose((*box, score), expected[int(frame), int(id)], atol=1e-9)
