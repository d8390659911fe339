"""A command's exit code says how it ended."""

from __future__ import annotations

import pytest

from tracker.endings import exit_code


def failing(error):
    def run():
        raise error

    return run


def test_what_ends_well_is_0():
    done = []
    assert exit_code("x", lambda: done.append(1)) == 0
    assert done == [1]


@pytest.mark.parametrize("error", [OSError("no such file"), ValueError("no such file"), RuntimeError("no such file")])
def test_what_the_user_can_mend_is_2_and_one_line(error, capsys):
    assert exit_code("x", failing(error)) == 2
    assert capsys.readouterr().err == "x: error: no such file\n"


def test_ctrl_c_is_130():
    assert exit_code("x", failing(KeyboardInterrupt())) == 130


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_code("x", lambda: 1 / 0)
