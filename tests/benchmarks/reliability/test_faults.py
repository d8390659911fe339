"""The faults that need no weights, and how promises are judged. All of them: `python -m benchmarks.reliability`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.reliability import __main__ as command
from benchmarks.reliability import faults
from benchmarks.reliability.faults import FAULTS, Camera, Command, Outcome, count_frames
from benchmarks.reliability.servers import free_port, picture, serving
from tracker.frame import Frame
from tracker.sources import open_source


def test_an_unplugged_camera_comes_back_with_its_time_going_on(tmp_path: Path):
    found = FAULTS["unplugged"](tmp_path)
    assert found.kept, found.happened
    assert not Camera().get(0)


def test_the_systems_clock_has_no_say_in_the_frames_time(tmp_path: Path):
    found = FAULTS["clock"](tmp_path)
    assert found.kept, found.happened


def test_time_that_steps_back_breaks_the_promise():
    image = np.zeros((2, 2, 3), np.uint8)
    frames = [Frame(index, time, image) for index, time in enumerate([0.0, 0.1, 0.05])]
    assert not faults._continued("x", frames, "", 1).kept
    assert faults._continued("x", frames[:2], "", 1).kept
    assert not faults._continued("x", frames[:2], "", 0).kept  # it never came back


def test_the_server_sends_what_it_is_told():
    port = free_port()
    with (
        serving(port, "--sizes", "64x48", "32x24", "--every", "2"),
        open_source(f"http://127.0.0.1:{port}/x") as source,
    ):
        assert source.size == (64, 48)
        frame = next(source)
    assert frame.image.shape[2] == 3
    assert picture(0, (64, 48)).shape == (48, 64, 3)


def test_more_than_one_line_of_error_or_a_traceback_is_seen():
    assert Command(0, {}, "track: warning: a\ntrack: error: b\n").in_one_line
    assert not Command(1, {}, "track: error: a\ntrack: error: b\n").in_one_line
    assert not Command(1, {}, "Traceback (most recent call last):").in_one_line
    assert Command(2, {}, "x\ntrack: error: b\n").last_line == "error: b"
    assert Command(0, {}, "").last_line == "no message"


def test_frames_that_decode_are_counted(tmp_path: Path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(12):
        writer.write(picture(index, (64, 48)))
    writer.release()
    assert count_frames(path) == 12
    path.write_bytes(path.read_bytes()[:-1500])
    assert 0 < count_frames(path) <= 12
    assert count_frames(tmp_path / "missing.avi") == 0


def test_a_broken_promise_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    def fails(folder: Path) -> Outcome:
        raise RuntimeError("no server")

    monkeypatch.setattr(
        command,
        "FAULTS",
        {
            "good": lambda folder: Outcome("a", "b|c", True),
            "absent": lambda folder: Outcome("d", "e", None),
            "bad": fails,
        },
    )
    assert command.main(["good", "absent"]) == 0
    assert r"| a | b\|c | yes |" in capsys.readouterr().out
    assert command.main(["bad", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "name": "bad", "fault": "bad", "happened": "RuntimeError: no server", "kept": False
    }  # fmt: skip
    with pytest.raises(SystemExit):
        command.main(["unknown"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("unplugged", "clock", "killed-mp4")])
def test_every_promise_is_kept(name: str):
    found = command.make(name)
    if found.kept is None:
        pytest.skip(found.happened)
    assert found.kept, found.happened
