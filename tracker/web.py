"""A page for a browser beside the tracking loop: what it shows, and what its users ask for.

    page = Dashboard("clip.mp4", fps=25)
    with WebServer(page, "127.0.0.1", 8765):          # tracker.web_server
        for frame in frames:
            going, results = page.show(frame, tracker.update(frame.image), tracker)

The loop hands over references and goes on; pictures are scaled and compressed by the threads of those who look, at
most `PREVIEW_FPS` times a second and once for all of them. Only what users ask for explicitly makes the loop wait: a
pause, the time of a drawing, real time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import cv2

from tracker.box import validate_box
from tracker.frame import Frame, Image
from tracker.result import Box, TrackResult

PREVIEW_FPS = 18  # pictures a second at most; one lost to the rhythm of the frames still leaves enough for the eye
PREVIEW_SIDE = 960  # pixels of the longer side at most
QUALITY = 80  # of the pictures' JPEG
HISTORY = 900  # points of the chart kept for pages that open later
MAX_TARGETS = 16  # that a page may start
DRAWING = 5.0  # seconds for which frames wait for somebody who draws, unless the page asks for more
ABSENCE = 60.0  # seconds without any page after which a pause is over: a closed browser must not stop a robot
PATIENCE = 30.0  # seconds that a request waits for the loop to carry it out
LOOK = 0.5  # seconds between two looks at the clock while frames wait


class Targets(Protocol):
    """What is needed of a `MultiTracker`."""

    def add(self, frame: Image, box: Box, id: int | None = None) -> int: ...

    def remove(self, id: int) -> None: ...

    @property
    def results(self) -> Mapping[int, TrackResult]: ...


class MovedOnError(RuntimeError):
    """A box was drawn on a picture that is no longer the current one."""


class NotReadyError(RuntimeError):
    """The loop did not answer in time, or is over."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the page shows at one moment."""

    frame: Frame
    results: dict[int, TrackResult]


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """A target to start (no `id`), to start again (both) or to remove (no `box`), and where the answer goes."""

    id: int | None
    box: Any
    frame: int | None
    answer: Future[int]


class Dashboard:
    """What the tracking loop and the page's threads share. `show` and `finish` are the loop's, the rest is anybody's.

    Args:
        name: of what is tracked, the page's title.
        fps: the frames' own rate, for real time; ``None`` for a live source, which has its own pace.
        paused: wait at the first frame, until a target is drawn and tracking is started.
        realtime: show frames at their own rate at first; otherwise as fast as they are tracked.
    """

    def __init__(self, name: str, *, fps: float | None = None, paused: bool = False, realtime: bool = False) -> None:
        self.name = name
        self._period = 1 / fps if fps else None
        self._changed = threading.Condition()
        self._paused, self._realtime = paused, realtime
        self._number = 0  # of the newest change that a page should show
        self._view: View | None = None
        self._latest: View | None = None  # of every frame, shown or not
        self._wishes: list[Wish] = []
        self._history: deque[tuple[int, dict[int, float]]] = deque(maxlen=HISTORY)
        self._drawing_until = self._seen = self._preview_due = self._frame_due = 0.0
        self._counted_since, self._counted, self._rate = time.monotonic(), 0, 0.0
        self._stopped = False
        self._ready = False  # the loop runs: until then the weights are being loaded
        self._ending: str | None = None
        self._encoding = threading.Lock()
        self._encoded: tuple[Frame | None, bytes] = (None, b"")

    # ------------------------------------------------------------------ the loop

    def preview(self, frame: Frame) -> None:
        """Show a frame while the tracker is not ready yet."""
        with self._changed:
            self._put(View(frame, {}))

    def show(
        self, frame: Frame, results: Mapping[int, TrackResult], tracker: Targets
    ) -> tuple[bool, dict[int, TrackResult]]:
        """Hand a frame to the page and carry out what its users ask for, on this frame.

        Waits while the page is paused, somebody draws, or a frame's time in real time is not over.

        Returns:
            Whether to go on, and the results, with those targets that were started or removed meanwhile.
        """
        results = dict(results)
        due = self._arrive(frame, results)
        while True:
            with self._changed:
                wishes, self._wishes = self._wishes, []
                if not wishes:
                    if self._stopped:
                        return False, results
                    wait = self._wait(due, results)
                    if wait <= 0:
                        return True, results
                    self._changed.wait(min(wait, LOOK))
                    continue
            for wish in wishes:
                results = _carry_out(wish, frame, results, tracker)
            with self._changed:
                self._put(View(frame, results))

    def finish(self, message: str) -> None:
        """Tell the page that no more frames come, and why; the last frame is shown. A second call changes nothing."""
        with self._changed:
            if self._ending is not None:
                return
            self._ending = message
            for wish in self._wishes:
                wish.answer.set_exception(NotReadyError("tracking is over"))
            self._wishes = []
            self._put(self._latest)

    @property
    def watched(self) -> bool:
        """Whether a page has asked for anything within the last two seconds."""
        return time.monotonic() - self._seen < 2

    def _arrive(self, frame: Frame, results: dict[int, TrackResult]) -> float:
        """Take note of a frame; when the next one may follow in real time."""
        with self._changed:
            now = time.monotonic()
            self._ready = True
            self._latest = View(frame, results)
            self._counted += 1
            if now - self._counted_since >= 1:
                self._rate = self._counted / (now - self._counted_since)
                self._counted_since, self._counted = now, 0
            if now >= self._preview_due:
                self._preview_due = max(self._preview_due + 1 / PREVIEW_FPS, now)
                if results:
                    self._history.append((frame.index, {id: round(r.score, 3) for id, r in results.items()}))
                self._put(self._latest)
            if self._period:
                self._frame_due = max(self._frame_due + self._period, now)
            return self._frame_due

    def _wait(self, due: float, results: dict[int, TrackResult]) -> float:
        """Seconds that this frame has yet to wait; the page shows it if it is held."""
        now = time.monotonic()
        if self._paused and results and now - self._seen > ABSENCE:
            self._paused = False
        held = max(self._drawing_until - now, LOOK if self._paused else 0.0)
        if held > 0 and self._latest is not None and (self._view is None or self._view.frame is not self._latest.frame):
            self._put(self._latest)
        return max(held, due - now if self._realtime and self._period else 0.0)

    def _put(self, view: View | None) -> None:
        self._view = view or self._view
        self._number += 1
        self._changed.notify_all()

    # ------------------------------------------------------------------ the page

    def look(self, after: int | None, timeout: float) -> tuple[dict[str, Any], bytes]:
        """Wait for anything newer than the state numbered `after`.

        Returns:
            The state, and its picture as JPEG; without a picture before the first frame, or if nothing is new.
        """
        with self._changed:
            self._seen = time.monotonic()
            new = self._changed.wait_for(lambda: self._number != after, timeout)
            self._seen = time.monotonic()
            view, state = self._view, self._state()
        return state, self._encode(view.frame) if new and view else b""

    def history(self) -> list[tuple[int, dict[int, float]]]:
        """(frame's index, {target: score in [0, 1]}) of the last pictures shown, oldest first."""
        with self._changed:
            return list(self._history)

    def pause(self, paused: bool) -> None:
        """Hold the current frame, or go on."""
        self._set(_paused=paused, _drawing_until=0.0)

    def hold(self, held: bool) -> None:
        """Hold the current frame for `DRAWING` seconds from now, because somebody draws; or no longer."""
        self._set(_drawing_until=time.monotonic() + DRAWING if held else 0.0)

    def pace(self, realtime: bool) -> None:
        """Frames at their own rate, or as fast as they are tracked."""
        self._set(_realtime=realtime)

    def stop(self) -> None:
        """End tracking: `show` says so after the current frame."""
        self._set(_stopped=True)

    def start(self, box: Any, frame: int, id: int | None = None) -> int:
        """Start on a target, or start target `id` again; the target's id.

        Args:
            box: ``(x, y, w, h)`` in 0-based pixels of the frame.
            frame: index of the frame on which it was drawn.
            id: of the target to start again; ``None`` for another target.

        Raises:
            ValueError: a bad box, or too many targets.
            KeyError: no such target.
            MovedOnError: that frame is no longer the current one.
            NotReadyError: the loop did not get there in time, or is over.
        """
        return self._ask(Wish(id, box, frame, Future()))

    def remove(self, id: int) -> None:
        """Stop following a target. Raises KeyError and NotReadyError as `start` does."""
        self._ask(Wish(id, None, None, Future()))

    def _ask(self, wish: Wish) -> int:
        with self._changed:
            if self._ending is not None:
                raise NotReadyError("tracking is over")
            self._seen = time.monotonic()
            self._wishes.append(wish)
            self._changed.notify_all()
        try:
            return wish.answer.result(PATIENCE)
        except TimeoutError:
            wish.answer.cancel()  # who asked is told no: it must not happen later
            raise NotReadyError(f"the tracker did not answer within {PATIENCE:.0f} seconds") from None

    def _set(self, **flags: Any) -> None:
        with self._changed:
            self._seen = time.monotonic()
            for name, value in flags.items():
                setattr(self, name, value)
            self._number += 1
            self._changed.notify_all()

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "number": self._number,
            "name": self.name[:200],
            "phase": "over" if self._ending is not None else "tracking" if self._ready else "loading",
            "message": self._ending,
            "paused": self._paused,
            "realtime": self._realtime if self._period else None,
            "rate": round(self._rate, 1),
        }
        if view := self._view:
            height, width = view.frame.image.shape[:2]
            state |= {"frame": view.frame.index, "time": round(view.frame.timestamp, 3), "size": [width, height]}
            state["targets"] = [
                {
                    "id": id,
                    "box": [round(value, 1) for value in result.box],
                    "score": round(result.score, 3),
                    "state": result.state.value,
                }
                for id, result in view.results.items()
            ]
        return state

    def _encode(self, frame: Frame) -> bytes:
        """The frame as JPEG, made once for all who look."""
        with self._encoding:
            if self._encoded[0] is not frame:
                self._encoded = frame, encode(frame.image)
            return self._encoded[1]


def encode(image: Image) -> bytes:
    """JPEG of an (H, W, 3) uint8 BGR image, its longer side at most `PREVIEW_SIDE` pixels."""
    scale = PREVIEW_SIDE / max(image.shape[:2])
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR  # the former costs more and is not needed before
        image = cv2.resize(image, (width, height), interpolation=how)  # type: ignore[assignment]
    intact, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes() if intact else b""


def _carry_out(wish: Wish, frame: Frame, results: dict[int, TrackResult], tracker: Targets) -> dict[int, TrackResult]:
    """The results after a wish; who asked gets the answer or the error."""
    if not wish.answer.set_running_or_notify_cancel():
        return results
    try:
        id = _change(wish, frame, results, tracker)
    except (ValueError, KeyError, MovedOnError) as error:
        wish.answer.set_exception(error)
        return results
    wish.answer.set_result(id)
    results = {other: result for other, result in results.items() if other != id}
    return results if wish.box is None else dict(sorted({**results, id: tracker.results[id]}.items()))


def _change(wish: Wish, frame: Frame, results: dict[int, TrackResult], tracker: Targets) -> int:
    """Start, restart or remove a target; its id. Nothing is changed if that is refused."""
    if wish.id is not None and wish.id not in results:
        raise KeyError(f"there is no target {wish.id}")
    if wish.box is None:
        assert wish.id is not None
        tracker.remove(wish.id)
        return wish.id
    if wish.frame != frame.index:
        raise MovedOnError("the picture has moved on since the box was drawn; draw it again")
    box = validate_box(wish.box, frame.image.shape[1], frame.image.shape[0])
    if wish.id is not None:
        tracker.remove(wish.id)
    elif len(results) >= MAX_TARGETS:
        raise ValueError(f"there are {MAX_TARGETS} targets already; remove one first")
    return tracker.add(frame.image, box, wish.id)
