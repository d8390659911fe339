from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.plain_numbers import parse_plain

plain_number = st.from_regex(
    r"-?(?:[0-9]{1,8}|[0-9]{0,6}\.[0-9]|[0-9]{1,3}\.[0-9]{0,4}|[0-9]\.[0-9]{6})", fullmatch=True
)


@given(st.lists(st.tuples(*[plain_number] * 4), min_size=1, max_size=40), st.sampled_from(",\t "))
def test_numbers_equal_those_of_float_to_the_last_bit(rows: list[tuple[str, ...]], separator: str):
    text = "\n".join(separator.join(row) for row in rows)
    expected = np.array([[float(number) for number in row] for row in rows])
    np.testing.assert_array_equal(parse_plain(text.encode(), 4), expected)


@given(st.binary(max_size=60))
def test_any_text_is_read_as_float_reads_it_or_not_at_all(text: bytes):
    rows = parse_plain(text, 2)
    if rows is not None:
        fields = text.decode("ascii").replace("\t", ",").replace(" ", ",").replace("\n", ",").split(",")
        np.testing.assert_array_equal(rows.ravel(), [float(field) for field in fields])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3\n4,5,6,7,8",  # eight numbers in two rows, but not four in each
        "1,2,3,4\n",  # line ends after the last row
        "1,2,3,4\n\n5,6,7,8",
        "1,2\t3,4",
        "1, 2, 3, 4",
        "1;2;3;4",
        "1,2,3,.",
        "1,2,3,-",
        "1,2,3,-.",
        "1,2,3,--4",
        "1,2,3,4-5",
        "1,2,3,+4",
        "1,2,3,1.2.3",
        "1,2,3,1e5",
        "1,2,3,nan",
        "1,2,3,4.5678901",  # nine characters
        "1,2,3,123456789",
        "1,2,3,4\r\n5,6,7,8",
        "1,2,3,4/5",
        "1,2,3,\u0661",
    ],
)
def test_what_is_not_plain_is_left_to_others(text: str):
    assert parse_plain(text.encode(), 4) is None


def test_other_numbers_of_columns():
    np.testing.assert_array_equal(parse_plain(b"1\n2.5\n-3", 1), [[1], [2.5], [-3]])
    np.testing.assert_array_equal(parse_plain(b"1,2,3,4,5,0\n2,2,3,4,5,1", 6), [[1, 2, 3, 4, 5, 0], [2, 2, 3, 4, 5, 1]])
