"""Reading MOTChallenge text: conversion, what is refused and what is repaired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mot.text import parse_rows, read_length, read_rows

LINE = b"3,7,11,21,30,40,0.5,1,1\n"


def test_frames_and_pixels_count_from_0():
    rows = parse_rows(LINE, "a.txt")
    assert rows.frame.tolist() == [2]
    assert rows.id.tolist() == [7]
    assert rows.box.tolist() == [[10, 20, 30, 40]]
    assert (rows.score[0], rows.category[0], rows.line[0], rows.notes) == (0.5, 1, 1, ())


@pytest.mark.parametrize(
    "content",
    [
        b"3 7 11 21 30 40 0.5 1",
        b"3\t7\t11\t21\t30\t40\t0.5\t1\r\n",
        b"3; 7; 11; 21; 30; 40; 0.5; 1",
        b"\xef\xbb\xbf3, 7, 11, 21, 30, 40, 0.5, 1, -1, -1",
        b"3.0,7e0,11.000000001,21,30,40,.5,1,",
        b"\n\n 3,7,11,21,30,40,0.5,1\n\n",
    ],
)
def test_separators_and_ways_to_write_numbers_make_no_difference(content: bytes):
    rows, plain = parse_rows(content, "a.txt"), parse_rows(LINE, "a.txt")
    assert rows.frame.tolist() == plain.frame.tolist()
    assert rows.id.tolist() == plain.id.tolist()
    np.testing.assert_allclose(rows.box, plain.box, atol=1e-8)
    assert (rows.score[0], rows.category[0]) == (0.5, 1)


def test_missing_columns_have_defaults_even_in_single_lines():
    rows = parse_rows(b"1,1,1,1,5,5\n2,1,1,1,5,5,0\n3,1,1,1,5,5,0,4,1,1\n", "a.txt")
    assert rows.score.tolist() == [1, 0, 0]
    assert rows.category.tolist() == [-1, -1, 4]


def test_an_empty_file_has_no_rows():
    for content in (b"", b"\n \n"):
        rows = parse_rows(content, "a.txt")
        assert len(rows) == 0
        assert rows.box.shape == (0, 4)


def test_lines_may_come_in_any_order_and_keep_theirs_within_a_frame():
    rows = parse_rows(b"9,1,1,1,5,5\n2,8,1,1,5,5\n9,0,1,1,5,5\n2,3,1,1,5,5\n", "a.txt")
    assert rows.frame.tolist() == [1, 1, 8, 8]
    assert rows.id.tolist() == [8, 3, 1, 0]
    assert rows.line.tolist() == [2, 4, 1, 3]


@pytest.mark.parametrize("one", [2**31, 2**40 + 1, 2**53 + 1, 2**63 - 1])
def test_ids_beyond_32_bits_are_exact(one: int):
    rows = parse_rows(f"1,{one},1,1,5,5\n1,{one - 1},1,1,5,5\n".encode(), "a.txt")
    assert rows.id.tolist() == [one, one - 1]


def test_a_row_that_is_repeated_counts_once():
    rows = parse_rows(LINE + LINE + b"4,7,11,21,30,40,0.5,1,1\n", "a.txt")
    assert rows.frame.tolist() == [2, 3]
    assert rows.notes == ("a.txt: 1 rows repeat another one and count once (first: line 2)",)


def test_boxes_without_an_area_stay_with_a_note():
    rows = parse_rows(b"1,1,1,1,5,5\n1,2,1,1,0,5\n1,3,1,1,5,-2\n", "a.txt")
    assert len(rows) == 3
    assert rows.notes == ("a.txt: 2 boxes without a positive width and height match nothing (first: line 2)",)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"1,2,3,4,5", "line 2 has 5 columns"),
        (b"1,2,,4,5,6", "line 2 is not numbers"),
        (b"1,2,left,4,5,6", "line 2 is not numbers: could not convert string to float: 'left'"),
        (b"1,2,nan,4,5,6", "line 2: expected finite numbers"),
        (b"1,2,3,4,inf,6", "line 2: expected finite numbers"),
        (b"1,2,3,4,1e300,6", "line 2: the box is not in pixels"),
        (b"0,2,3,4,5,6", "line 2: frame 0: frames count from 1"),
        (b"1.5,2,3,4,5,6", "line 2: frame 1.5: expected a whole number"),
        (b"1,2.5,3,4,5,6", "line 2: id 2.5: expected a whole number"),
        (b"1,-4,3,4,5,6", "line 2: id -4: ids count from 0"),
        (b"1,-1,3,4,5,6", "-1 stands in files of detections"),
        (b"1,9223372036854775808,3,4,5,6", "line 2: id 9223372036854775808 is beyond 64 bits"),
        (b"6,2,3,4,5,6", "line 2: frame 6: the sequence has 5 frames"),
        (b"1,1,9,4,5,6", "lines 1 and 2 both have id 1 in frame 1"),
    ],
)
def test_what_is_refused_is_named_with_file_and_line(bad: bytes, said: str):
    with pytest.raises(ValueError, match=r"^a\.txt: line") as error:
        parse_rows(b"1,1,1,1,5,5\n" + bad + b"\n", "a.txt", frames=5)
    assert said in str(error.value)


def test_the_line_is_that_of_the_file_when_lines_are_blank_or_unsorted():
    with pytest.raises(ValueError, match="lines 3 and 6 both"):
        parse_rows(b"\n9,1,1,1,5,5\n1,1,1,1,5,5\n\n4,1,1,1,5,5\n1,1,1,1,5,6\n", "a.txt")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 99), st.integers(-9, 9), st.integers(1, 9)),
        unique_by=lambda row: row[:2],
    )
)
def test_what_is_written_is_read(table: list[tuple[int, int, int, int]]):
    text = "".join(f"{frame},{one},{x / 4},{x},{w / 8},{w},1,-1,-1,-1\n" for frame, one, x, w in table)
    rows = parse_rows(text.encode(), "a.txt")
    found = {
        (f + 1, i): box for f, i, box in zip(rows.frame.tolist(), rows.id.tolist(), rows.box.tolist(), strict=True)
    }
    assert found == {(frame, one): [x / 4 - 1, x - 1, w / 8, w] for frame, one, x, w in table}


def test_length_of_a_sequence(tmp_path: Path):
    info = tmp_path / "seqinfo.ini"
    assert read_length(info) is None
    info.write_text("[Sequence]\nname=a\nseqLength=12\n")
    assert read_length(info) == 12
    for wrong in (
        "[Sequence]\nname=a\n",
        "seqLength=3\n",
        "[Sequence]\nseqLength=many\n",
        "[Sequence]\nseqLength=-1\n",
    ):
        info.write_text(wrong)
        with pytest.raises(ValueError, match=r"seqinfo\.ini: "):
            read_length(info)


def test_read_rows_names_the_path(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(LINE)
    assert read_rows(tmp_path / "a.txt").source == str(tmp_path / "a.txt")
