"""Windows: what can be told without one, and, where there is a virtual screen, a real one driven by mouse and keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import viewers
from tracker.sinks import read_results
from tracker.viewers import ENTER, ESCAPE, NO_KEY, DisplayError, Selection, Viewer, fit_scale, select_boxes

ROOT = Path(viewers.__file__).resolve().parent.parent
TOOLS = ("Xvfb", "xdotool")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
if not cv2.currentUIFramework():
    MISSING.append("an OpenCV build with windows")
on_screen = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")

sides = st.integers(8, 8000)


@pytest.mark.parametrize(
    ("image", "screen", "scale"),
    [
        ((640, 360), (1366, 768), 1.0),
        ((1366, 768), (1366, 768), 0.9),  # room for the title bar
        ((3840, 2160), (1920, 1080), 0.45),
        ((1000, 4000), (1920, 1000), 0.225),  # the height decides
        ((100, 100), (1000, 1000), 4.0),  # too small to draw on: enlarged to half of what fits
    ],
)
def test_pictures_fit_the_screen(image: tuple[int, int], screen: tuple[int, int], scale: float) -> None:
    assert fit_scale(image, screen) == pytest.approx(scale)


@given(sides, sides, sides, sides)
def test_no_picture_is_larger_than_the_screen(width: int, height: int, across: int, down: int) -> None:
    scale = fit_scale((width, height), (across, down))
    assert scale * width <= across
    assert scale * height <= down


def drawn(selection: Selection, *corners: int) -> Selection:
    x1, y1, x2, y2 = corners
    selection.press(x1, y1)
    selection.move((x1 + x2) // 2, (y1 + y2) // 2)
    selection.release(x2, y2)
    return selection


def test_a_drag_is_the_pixels_it_covers_in_either_direction() -> None:
    assert drawn(Selection((640, 360), 1.0), 10, 20, 39, 59).boxes == [(10, 20, 30, 40)]
    assert drawn(Selection((640, 360), 1.0), 39, 59, 10, 20).boxes == [(10, 20, 30, 40)]


def test_a_drag_on_a_scaled_picture_comes_back_in_image_pixels() -> None:
    assert drawn(Selection((1280, 720), 0.5), 10, 20, 39, 59).boxes == [(20, 40, 60, 80)]


@given(st.floats(0.05, 4), *[st.integers(-50, 3000)] * 4)
def test_drawn_boxes_lie_inside_the_image_and_cover_the_drag(scale: float, x1: int, y1: int, x2: int, y2: int) -> None:
    size = (700, 500)
    for x, y, w, h in drawn(Selection(size, scale), x1, y1, x2, y2).boxes:
        assert w > 0
        assert h > 0
        assert x >= 0
        assert y >= 0
        assert x + w <= size[0] + 1e-9
        assert y + h <= size[1] + 1e-9
        middle = ((x1 + x2 + 1) / 2 / scale, (y1 + y2 + 1) / 2 / scale)
        if min(x1, x2) >= 0 and max(x1, x2) + 1 <= size[0] * scale:
            assert x + w / 2 == pytest.approx(middle[0])
        if min(y1, y2) >= 0 and max(y1, y2) + 1 <= size[1] * scale:
            assert y + h / 2 == pytest.approx(middle[1])


def test_a_slip_of_the_mouse_and_a_drag_beside_the_image_are_no_boxes() -> None:
    assert drawn(Selection((640, 360), 1.0), 10, 20, 11, 200).boxes == []
    assert drawn(Selection((640, 360), 1.0), 700, 20, 800, 200).boxes == []
    stray = Selection((640, 360), 1.0)
    stray.release(50, 50)  # pressed elsewhere
    assert stray.boxes == []


def test_enter_accepts_escape_cancels_and_r_takes_back() -> None:
    selection = Selection((640, 360), 1.0)
    selection.key(ENTER)
    assert not selection.done  # nothing drawn yet
    drawn(drawn(selection, 10, 10, 29, 29), 50, 50, 69, 69)
    selection.key(ord("r"))
    selection.key(NO_KEY)
    assert selection.boxes == [(10, 10, 20, 20)]
    selection.key(ENTER)
    assert selection.done
    cancelled = drawn(Selection((640, 360), 1.0), 10, 10, 29, 29)
    cancelled.key(ESCAPE)
    assert cancelled.done
    assert cancelled.boxes == []


@pytest.mark.parametrize(
    ("code", "key"),
    [
        (-1, NO_KEY),
        (ord("q"), ord("q")),
        (ord("Q"), ord("q")),
        (0x100000 | ord("q"), ord("q")),  # GTK with Num Lock
        (0xFF0D, ENTER),
        (0xFF8D, ENTER),  # of the number pad
        (0xFF1B, ESCAPE),
        (0xFF51, NO_KEY),  # the left arrow, whose low byte is "Q"
        (0xFF52, NO_KEY),  # the up arrow, "R"
        (0x250000, 0),  # the left arrow on Windows
    ],
)
def test_keys_are_told_from_arrows(code: int, key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "waitKeyEx", lambda milliseconds: code)
    assert viewers._key(1) == key


def test_without_a_display_windows_are_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewers.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT")
    assert not viewers.has_display()
    for refused in (lambda: select_boxes(np.zeros((8, 8, 3), np.uint8)), lambda: Viewer("track")):
        with pytest.raises(DisplayError, match="DISPLAY is not set"):
            refused()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "")
    with pytest.raises(DisplayError, match="this OpenCV build has no windows"):
        Viewer("track")


@pytest.mark.skipif(sys.platform != "linux", reason="asks an X server")
def test_a_display_that_does_not_answer_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":4321")
    if viewers._x11_screen() is None:
        pytest.skip("no Xlib to ask with")
    assert viewers.display_problem() == "the display :4321 does not answer"


@pytest.fixture(scope="module")
def screen() -> Iterator[dict[str, str]]:
    """The environment of a virtual screen of 1024x600."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-noreset", "-screen", "0", "1024x600x24"],  # a reset refuses clients
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    yield {**os.environ, "DISPLAY": f":{number}", "WAYLAND_DISPLAY": "", "PYTHONPATH": str(ROOT)}
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Images twice as large as fit on the screen, with two targets that stand still."""
    folder = tmp_path / "clip"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (2 * 540, 2 * 800, 3), np.uint8)
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.jpg"), image)
    return folder


def hands(screen: dict[str, str], *actions: str) -> str:
    """Mouse and keys; what xdotool says."""
    command = ["xdotool", *" ".join(actions).split()]
    return subprocess.run(command, env=screen, capture_output=True, text=True, timeout=30).stdout


def start_drawing(screen: dict[str, str], clip: Path) -> subprocess.Popen[str]:
    """The command line, waiting in its window for a box."""
    tool = str(Path(__file__).with_name("test_cli.py"))
    process = subprocess.Popen(
        [sys.executable, tool, "--video", str(clip), "--save", "out.csv"],
        env=screen,
        cwd=clip.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_window(screen, process, "Draw")
    return process


def wait_for_window(screen: dict[str, str], process: subprocess.Popen[str], title: str) -> None:
    deadline = time.monotonic() + 60
    while not hands(screen, f"search --onlyvisible --name {title}") and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.3)  # the window is there; let it take the mouse and the keys


def drag(x1: int, y1: int, x2: int, y2: int) -> str:
    pause = "sleep 0.1"
    return f"mousemove {x1} {y1} {pause} mousedown 1 {pause} mousemove {x2} {y2} {pause} mouseup 1 {pause}"


@on_screen
def test_boxes_drawn_in_a_real_window_are_tracked(screen: dict[str, str], clip: Path) -> None:
    process = start_drawing(screen, clip)
    hands(
        screen, drag(100, 50, 149, 99), drag(10, 10, 60, 60), "key r sleep 0.1", drag(250, 150, 289, 209), "key Return"
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    first = [row for row in read_results(clip.parent / "out.csv") if row.frame == 0]
    assert [row.box for row in first] == [(200, 100, 100, 100), (500, 300, 80, 120)]


@on_screen
def test_escape_in_a_real_window_cancels(screen: dict[str, str], clip: Path) -> None:
    process = start_drawing(screen, clip)
    hands(screen, drag(100, 50, 149, 99), "key Left sleep 0.1 key Escape")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == "track: error: no box was drawn, so there is nothing to track\n"
    assert not (clip.parent / "out.csv").exists()


@on_screen
@pytest.mark.parametrize(
    ("keys", "command"), [("r", "RESELECT"), ("q", "QUIT"), ("Escape", "QUIT"), ("space sleep 0.1 key q", "QUIT")]
)
def test_a_real_viewer_hears_its_keys(keys: str, command: str, screen: dict[str, str]) -> None:
    code = (
        "import numpy as np\nfrom tracker.viewers import Viewer\n"
        "with Viewer('Watching', fps=0.01) as viewer:\n    print(viewer.show(np.zeros((300, 400, 3), np.uint8)))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=screen, stdout=subprocess.PIPE, text=True)
    wait_for_window(screen, process, "Watching")
    hands(screen, f"mousemove 50 50 sleep 0.1 key {keys}")
    assert process.communicate(timeout=60)[0].strip() == f"Command.{command}"
