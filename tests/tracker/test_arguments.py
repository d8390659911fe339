"""What command lines take is converted or refused in words."""

from __future__ import annotations

import argparse

import pytest

from tracker.arguments import box, natural, positive, refuse_existing, setting, share


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (natural, "0", 0),
        (positive, "12", 12),
        (share, "0.5", 0.5),
        (box, "-1,2.5,3,4e1", (-1.0, 2.5, 3.0, 40.0)),
        (setting, "a=[1, 2]", ("a", [1, 2])),
        (setting, "a=b=c", ("a", "b=c")),
    ],
)
def test_what_is_right_is_converted(kind, text, value):
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (natural, "-1"),
        (positive, "0"),
        (share, "1.5"),
        (share, "x"),
        (box, "1,2,3"),
        (box, "a,b,c,d"),
        (box, "1,2,3,0"),
        (box, "nan,2,3,4"),
        (setting, "a"),
    ],
)
def test_what_is_wrong_is_repeated_in_the_message(kind, text):
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert repr(text) in str(caught.value)


def test_a_result_that_exists_is_replaced_only_when_asked(tmp_path):
    refuse_existing(tmp_path / "new", overwrite=False)
    (tmp_path / "old").touch()
    refuse_existing(tmp_path / "old", overwrite=True)
    with pytest.raises(ValueError, match="old exists; give another name or --overwrite"):
        refuse_existing(tmp_path / "old", overwrite=False)
