"""``--web`` of the command line: from the page's first frame to the files."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker import __main__ as cli
from tracker.frame import Image
from tracker.result import Box, TrackResult, TrackState
from tracker.sinks import read_results

BOX = [10.0, 12.0, 20.0, 16.0]
FRAMES = 8


class Standing:
    """MultiTracker's interface over targets that never move."""

    def __init__(self) -> None:
        self.results: dict[int, TrackResult] = {}

    def add(self, frame: Image, box: Box, id: int | None = None) -> int:
        id = id or len(self.results) + 1
        self.results[id] = TrackResult(box, 1.0, TrackState.TRACKING, elapsed=0.01)
        return id

    def remove(self, id: int) -> None:
        del self.results[id]

    def update(self, frame: Image, timestamp: float | None = None) -> dict[int, TrackResult]:
        return dict(self.results)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images; the current folder is another, and there is no display."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    (tmp_path / "clip").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for index in range(FRAMES):
        cv2.imwrite(str(tmp_path / "clip" / f"{index}.png"), np.full((48, 64, 3), 20 * index, np.uint8))
    return tmp_path / "clip"


class User(threading.Thread):
    """Somebody at the page: finds the address on the command's error stream, then does a list of things."""

    def __init__(self, capsys: pytest.CaptureFixture[str], wishes: list[dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self._capsys, self._wishes = capsys, wishes
        self.statuses: list[int] = []
        self.said = ""

    def run(self) -> None:
        deadline = time.monotonic() + 30
        while "the page is at http://" not in self.said:
            assert time.monotonic() < deadline
            self.said += self._capsys.readouterr().err
            time.sleep(0.02)
        address = self.said.split("http://")[1].split("/")[0]
        for wish in self._wishes:
            connection = http.client.HTTPConnection(address, timeout=30)
            headers = {"Origin": f"http://{address}", "Content-Type": "application/json"}
            connection.request("POST", "/do", json.dumps(wish), headers)
            self.statuses.append(connection.getresponse().status)
            connection.close()


def run(*arguments: object) -> int:
    try:
        return cli.main([str(argument) for argument in arguments], Standing())  # type: ignore[arg-type]
    except SystemExit as stop:
        return int(stop.code or 0)


def test_boxes_are_drawn_on_the_page_and_results_begin_with_them(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user = User(
        capsys,
        [
            {"action": "start", "box": BOX, "frame": 0},
            {"action": "start", "box": [30, 20, 9, 9], "frame": 0},
            {"action": "pace", "on": False},
            {"action": "pause", "on": False},
        ],
    )
    user.start()
    assert run("--video", clip, "--web", "127.0.0.1:0", "--save", "out.csv") == 0
    user.join(10)
    assert user.statuses == [200] * 4
    rows = read_results(Path("out.csv"))
    assert len(rows) == 2 * FRAMES
    assert f"{FRAMES} frames" in capsys.readouterr().out + user.said


def test_a_box_from_the_command_line_needs_nobody(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--video", clip, "--web", "0", "--box", "10,12,20,16", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["frames"], summary["targets"], summary["output"], summary["save"]) == (FRAMES, 1, None, None)
    assert list(Path.cwd().iterdir()) == []


def test_no_box_at_all_is_an_error(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = User(capsys, [{"action": "stop"}])
    user.start()
    code = run("--video", clip, "--web", "0")
    user.join(10)
    assert code == 2
    assert "no box was drawn" in user.said + capsys.readouterr().err


def test_an_address_that_is_none_is_refused(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--video", clip, "--web", "http://localhost") == 2
    assert "--web: expected HOST:PORT" in capsys.readouterr().err


def test_an_address_of_another_machine_is_refused(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--video", clip, "--web", "192.0.2.1:0", "--box", "10,12,20,16") == 2
    error = capsys.readouterr().err
    assert error.startswith("track: error: the page cannot be served on 192.0.2.1:0: ")
    assert error.count("\n") == 1
