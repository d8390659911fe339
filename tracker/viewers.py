"""Windows: the one place of the project that opens them.

A window shows the picture scaled down to the screen; boxes always come back in pixels of the image itself.
"""

from __future__ import annotations

import ctypes
import enum
import os
import sys
import time
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.result import Box

Image = NDArray[np.uint8]
Size = tuple[int, int]

NO_KEY, ENTER, ESCAPE, SPACE = -1, 13, 27, 32
KEYSYMS = {10: ENTER, 0xFF0D: ENTER, 0xFF8D: ENTER, 0xFF1B: ESCAPE}  # how some window systems report these two keys
TYPICAL_SCREEN = (1366, 768)  # width, height: where the system does not tell
SCREEN_SHARE = 0.9  # of the screen for the picture; the rest is for the title bar and the desktop's panel
SMALLEST_DRAG = 3  # pixels of the window; less is a slip of the hand, not a box
REFRESH = 20  # milliseconds between two looks at the keyboard


class DisplayError(RuntimeError):
    """No window can be opened; the message says why."""


def has_display() -> bool:
    """Whether windows can be opened: this OpenCV build has them, and a display answers."""
    return display_problem() is None


def display_problem() -> str | None:
    """Why no window can be opened, as a phrase; ``None`` if one can.

    Asking beforehand matters: OpenCV's Qt windows abort the whole process where the display does not answer.
    """
    desktop = sys.platform in ("win32", "darwin") or bool(os.environ.get("WAYLAND_DISPLAY"))
    if not desktop and not os.environ.get("DISPLAY"):
        return "there is no display (DISPLAY is not set)"
    if not cv2.currentUIFramework():
        return "this OpenCV build has no windows (opencv-python-headless; opencv-python has them)"
    if not desktop and _x11_screen() == (0, 0):
        return f"the display {os.environ['DISPLAY']} does not answer"
    return None


def screen_size() -> Size:
    """(width, height) of the screen in pixels; that of a small laptop where the system does not tell."""
    if sys.platform == "win32":
        user32 = ctypes.windll.user32
        size = int(user32.GetSystemMetrics(0)), int(user32.GetSystemMetrics(1))
    else:
        size = _x11_screen() or (0, 0)
    return size if min(size) > 0 else TYPICAL_SCREEN


def _x11_screen() -> Size | None:
    """Screen size of the X server: ``(0, 0)`` if it does not answer, ``None`` if there is no Xlib to ask with."""
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return None
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    handle = xlib.XOpenDisplay(None)
    if not handle:
        return 0, 0
    display = ctypes.c_void_p(handle)
    screen = xlib.XDefaultScreen(display)
    size = xlib.XDisplayWidth(display, screen), xlib.XDisplayHeight(display, screen)
    xlib.XCloseDisplay(display)
    return size


def fit_scale(image: Size, screen: Size) -> float:
    """Factor that shows an image of (width, height) on a screen: large ones shrink to fit, small ones grow to half."""
    fit = min(SCREEN_SHARE * there / here for here, there in zip(image, screen, strict=True))
    return fit if fit < 1 else max(1.0, float(int(fit / 2)))


class Selection:
    """Boxes as they are drawn: mouse and keys in, boxes out. Knows nothing of windows.

    Args:
        size: (width, height) of the image in pixels.
        scale: size of the picture in the window over that of the image.

    Attributes:
        boxes: ``(x, y, w, h)`` in image pixels, in the order they were drawn.
        drag: window pixels ``(x1, y1, x2, y2)`` where the mouse was pressed and where it is now, or ``None``.
        done: Enter accepted the boxes, or Esc cancelled (then there are none).
    """

    def __init__(self, size: Size, scale: float) -> None:
        self.size, self.scale = size, scale
        self.boxes: list[Box] = []
        self.drag: tuple[int, int, int, int] | None = None
        self.done = False

    def press(self, x: int, y: int) -> None:
        self.drag = (x, y, x, y)

    def move(self, x: int, y: int) -> None:
        if self.drag:
            self.drag = (*self.drag[:2], x, y)

    def release(self, x: int, y: int) -> None:
        self.move(x, y)
        if self.drag:
            box = self._image_box(self.drag)
            if min(box[2:]) * self.scale > SMALLEST_DRAG:
                self.boxes.append(box)
        self.drag = None

    def key(self, code: int) -> None:
        """Enter accepts (once there is a box), Esc cancels, R takes the last box back."""
        if code == ENTER and self.boxes:
            self.done = True
        elif code == ESCAPE:
            self.cancel()
        elif code == ord("r"):
            self.boxes = self.boxes[:-1]

    def cancel(self) -> None:
        self.boxes, self.done = [], True

    def _image_box(self, drag: tuple[int, int, int, int]) -> Box:
        """The pixels under the drag, both ends included and cut to the image."""
        (left, right), (top, bottom) = (
            (max(0.0, min(a, b) / self.scale), min(limit, (max(a, b) + 1) / self.scale))
            for a, b, limit in zip(drag[:2], drag[2:], self.size, strict=True)
        )
        return left, top, right - left, bottom - top


def select_boxes(
    image: Image, title: str = "Draw a box around each target (Enter: track, R: redo, Esc: cancel)"
) -> list[Box]:
    """Let the user draw boxes on an image.

    Press, drag and release the mouse for each target; Enter accepts, Esc (or closing the window) cancels, R takes the
    last box back.

    Args:
        image: (H, W, 3) uint8 BGR.
        title: of the window.

    Returns:
        boxes ``(x, y, w, h)`` in pixels of `image`; empty if cancelled.

    Raises:
        DisplayError: no window can be opened.
    """
    _require_display()
    size = (image.shape[1], image.shape[0])
    scale = fit_scale(size, screen_size())
    picture = _scaled(image, scale)
    selection = Selection(size, scale)

    def on_mouse(event: int, x: int, y: int, flags: int, _: object) -> None:
        if event == cv2.EVENT_LBUTTONDOWN:
            selection.press(x, y)
        elif event == cv2.EVENT_LBUTTONUP:
            selection.release(x, y)
        elif event == cv2.EVENT_MOUSEMOVE:
            selection.move(x, y)

    _open(title)
    try:
        cv2.imshow(title, _sketch(picture, selection))
        cv2.setMouseCallback(title, on_mouse)
        while not selection.done:
            selection.key(_key(REFRESH))
            if not _is_open(title):
                selection.cancel()
            elif not selection.done:
                cv2.imshow(title, _sketch(picture, selection))
    finally:
        _close(title)
    return selection.boxes


class Command(enum.Enum):
    """What the user asked of a `Viewer`."""

    QUIT = "quit"
    RESELECT = "reselect"


class Viewer:
    """A window for the pictures of a track: Space pauses, R asks to draw the target again, Q, Esc or closing quits.

    A context manager; the window opens with the first picture.

    Args:
        title: of the window.
        fps: pictures a second at most; ``None`` shows each at once (a live source sets its own pace).

    Raises:
        DisplayError: no window can be opened.
    """

    def __init__(self, title: str, fps: float | None = None) -> None:
        _require_display()
        self._title = title
        self._period = 1.0 / fps if fps else 0.0
        self._due: float | None = None  # when the next picture may replace this one; None: no window yet
        self._scale = 1.0

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the window; a later `show` opens it again."""
        if self._due is not None:
            _close(self._title)
            self._due = None

    def show(self, image: Image) -> Command | None:
        """Show an (H, W, 3) uint8 BGR picture until the next one is due; says what the user asked for meanwhile."""
        if self._due is None:
            self._scale = fit_scale((image.shape[1], image.shape[0]), screen_size())
            _open(self._title)
            self._due = time.monotonic()
        cv2.imshow(self._title, _scaled(image, self._scale))
        self._due = max(self._due + self._period, time.monotonic())
        return self._wait()

    def _wait(self) -> Command | None:
        paused = False
        while True:
            left = REFRESH if paused else int(1000 * self._due_in())
            code = _key(max(1, min(REFRESH, left)))
            if code in (ord("q"), ESCAPE) or not _is_open(self._title):
                return Command.QUIT
            if code == ord("r"):
                return Command.RESELECT
            if code == SPACE:
                paused = not paused
            if not paused and self._due_in() <= 0:
                return None

    def _due_in(self) -> float:
        return (self._due or 0.0) - time.monotonic()


def _require_display() -> None:
    if problem := display_problem():
        raise DisplayError(f"no window can be opened: {problem}")


def _open(title: str) -> None:
    # Qt warns of fonts that OpenCV's wheel lacks and that no window here uses; a user's own setting stays.
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
    cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)


def _key(milliseconds: int) -> int:
    """The key pressed within this time, in lower case; NO_KEY for none, and for arrows and the like.

    The low byte alone, OpenCV's usual answer, would not do: that of an arrow is the code of Q, R, S or T.
    """
    code = cv2.waitKeyEx(milliseconds)
    if code == NO_KEY:
        return NO_KEY
    code &= 0xFFFF  # above it are Num Lock and other modifiers
    code = KEYSYMS.get(code, code)
    return ord(chr(code).lower()) if code < 128 else NO_KEY


def _is_open(title: str) -> bool:
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # some back ends raise once the window is gone
        return False


def _close(title: str) -> None:
    if _is_open(title):
        cv2.destroyWindow(title)
    cv2.waitKey(1)  # lets the window system carry it out


def _scaled(image: Image, scale: float) -> Image:
    if scale == 1.0:
        return image
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _sketch(picture: Image, selection: Selection) -> Image:
    """The picture with the boxes drawn so far, the one under the mouse, and the keys."""
    canvas = picture.copy()
    for number, (x, y, w, h) in enumerate(selection.boxes, start=1):
        left, top, right, bottom = (round(selection.scale * value) for value in (x, y, x + w, y + h))
        cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), (80, 220, 80), 2)
        _label(canvas, str(number), left, bottom + 2)
    if selection.drag:
        cv2.rectangle(canvas, selection.drag[:2], selection.drag[2:], (0, 220, 255), 2)
    keys = "Enter: track   R: redo   Esc: cancel" if selection.boxes else "Drag a box around the target   Esc: cancel"
    _label(canvas, keys, 0, canvas.shape[0])
    return canvas


def _label(canvas: Image, text: str, left: int, top: int) -> None:
    """Light text on a dark plate, moved into the picture where it would stick out; none where it cannot fit."""
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    width, height = width + 12, height + base + 8
    if width > canvas.shape[1] or height > canvas.shape[0]:
        return
    left, top = (
        max(0, min(at, limit)) for at, limit in ((left, canvas.shape[1] - width), (top, canvas.shape[0] - height))
    )
    cv2.rectangle(canvas, (left, top), (left + width - 1, top + height - 1), (24, 24, 24), cv2.FILLED)
    baseline = (left + 6, top + height - base - 4)
    cv2.putText(canvas, text, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (245, 245, 245), 1, cv2.LINE_AA)
