"""The page's dashboard without a network: a loop in the test's own thread, users in others."""

from __future__ import annotations

import runpy
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tracker import web
from tracker.frame import Frame, Image
from tracker.web import Dashboard, MovedOnError, NotReadyError, encode

STAND_INS = runpy.run_path(str(Path(__file__).with_name("web_stand_ins.py")))
BOX, Standing, picture = (STAND_INS[name] for name in ("BOX", "Standing", "picture"))


def in_background(call: Callable[[], Any]) -> Callable[[], Any]:
    """Start a call in a thread; the returned function waits for what it returned or raised."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait() -> Any:
        thread.join(10)
        assert not thread.is_alive()
        value, error = outcome[0]
        if error:
            raise error
        return value

    return wait


@pytest.fixture
def page() -> Iterator[Dashboard]:
    dashboard = Dashboard("clip", fps=25)
    yield dashboard
    dashboard.finish("test over")


def asked(page: Dashboard) -> None:
    """Wait until a wish has arrived."""
    deadline = time.monotonic() + 5
    while not page._wishes:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def wish(page: Dashboard, tracker: Standing, frame: Frame, call: Callable[[], Any]) -> tuple[Any, dict[int, Any]]:
    """What a call from the page returns if the loop shows this frame next, and the loop's results."""
    wait = in_background(call)
    asked(page)
    _, results = page.show(frame, tracker.results, tracker)
    return wait(), results


def test_the_state_and_the_picture_belong_to_the_same_frame(page: Dashboard) -> None:
    tracker = Standing()
    tracker.add(picture(0).image, BOX)
    number = None
    for index in (3, 90, 200):
        page._preview_due = 0
        page.show(picture(index), tracker.results, tracker)
        state, jpeg = page.look(number, 1)
        number = state["number"]
        shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert state["frame"] == index
        assert shown is not None
        assert abs(int(shown.mean()) - index) <= 1
        assert state["size"] == [64, 48]
        assert state["targets"] == [{"id": 1, "box": list(BOX), "score": 1.0, "state": "tracking"}]


def test_nothing_new_has_no_picture(page: Dashboard) -> None:
    page.preview(picture(0))
    state, jpeg = page.look(None, 1)
    assert jpeg
    again, nothing = page.look(state["number"], 0.01)
    assert (again["number"], nothing) == (state["number"], b"")


def test_pictures_are_limited_in_rate_and_made_only_for_those_who_look(
    page: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    made: list[Image] = []

    def count(image: Image) -> bytes:
        made.append(image)
        return b"jpeg"

    monkeypatch.setattr(web, "encode", count)
    tracker = Standing()
    tracker.add(picture(0).image, BOX)
    before = page._number
    for index in range(400):  # two seconds at 200 frames/s
        clock[0] += 1 / 200
        page.show(picture(index), tracker.results, tracker)
    assert 12 * 2 <= page._number - before <= web.PREVIEW_FPS * 2 + 1
    assert not made
    for _ in range(5):
        page.look(None, 0.1)
    assert len(made) == 1  # five lookers, one picture


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1080, 1920), (4000, 3), (1, 1)])
def test_pictures_are_scaled_to_the_limit_and_keep_their_shape(size: tuple[int, int]) -> None:
    shown = cv2.imdecode(np.frombuffer(encode(picture(0, size).image), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    height, width = shown.shape[:2]
    assert max(width, height) == min(web.PREVIEW_SIDE, max(size))
    assert abs(width / size[0] - height / size[1]) * max(size) <= 0.5 * max(size) / min(size) + 1


def test_starts_targets_and_restarts_and_removes_them(page: Dashboard) -> None:
    tracker = Standing()
    id, results = wish(page, tracker, picture(7), lambda: page.start(BOX, 7))
    assert (id, set(results)) == (1, {1})
    id, results = wish(page, tracker, picture(8), lambda: page.start([30, 20, 9, 9], 8))
    assert (id, set(results)) == (2, {1, 2})
    id, results = wish(page, tracker, picture(9), lambda: page.start([1, 2, 3, 4], 9, id=1))
    assert (id, list(results)) == (1, [1, 2])
    assert results[1].box == (1, 2, 3, 4)
    _, results = wish(page, tracker, picture(10), lambda: page.remove(2))
    assert set(results) == set(tracker.results) == {1}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda page: page.start(BOX, 6), MovedOnError),
        (lambda page: page.start([1, 2, 3], 7), ValueError),
        (lambda page: page.start([500, 2, 3, 4], 7), ValueError),
        (lambda page: page.start([1, 2, float("nan"), 4], 7), ValueError),
        (lambda page: page.start("1234", 7), ValueError),
        (lambda page: page.start(BOX, 7, id=5), KeyError),
        (lambda page: page.start([500, 2, 3, 4], 7, id=1), ValueError),
        (lambda page: page.remove(5), KeyError),
    ],
)
def test_a_refused_wish_changes_nothing(
    page: Dashboard, call: Callable[[Dashboard], Any], error: type[Exception]
) -> None:
    tracker = Standing()
    tracker.add(picture(0).image, BOX)
    before = dict(tracker.results)
    wait = in_background(lambda: call(page))
    asked(page)
    _, results = page.show(picture(7), tracker.results, tracker)
    with pytest.raises(error):
        wait()
    assert results == tracker.results == before


def test_the_number_of_targets_is_limited(page: Dashboard) -> None:
    tracker = Standing()
    for _ in range(web.MAX_TARGETS):
        tracker.add(picture(0).image, BOX)
    with pytest.raises(ValueError, match="remove one"):
        wish(page, tracker, picture(1), lambda: page.start(BOX, 1))


def test_waits_at_the_first_frame_until_tracking_is_started() -> None:
    page, tracker = Dashboard("clip", fps=25, paused=True), Standing()
    wait = in_background(lambda: page.show(picture(0), {}, tracker))
    assert page.start(BOX, 0) == 1
    assert page.start([30, 20, 9, 9], 0) == 2
    state, _ = page.look(None, 1)
    assert state["paused"]
    assert [target["id"] for target in state["targets"]] == [1, 2]
    page.pause(False)
    going, results = wait()
    assert going
    assert set(results) == {1, 2}


def test_a_pause_shows_the_very_frame_that_waits(page: Dashboard) -> None:
    tracker = Standing()
    page.show(picture(0), {}, tracker)
    page.pause(True)
    wait = in_background(lambda: page.show(picture(1), {}, tracker))  # sooner than the next picture is due
    assert page.start(BOX, 1) == 1
    assert page.look(None, 1)[0]["frame"] == 1
    page.pause(False)
    wait()


def test_a_pause_ends_when_every_page_is_gone(page: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "ABSENCE", 0.2)
    monkeypatch.setattr(web, "LOOK", 0.05)
    tracker = Standing()
    tracker.add(picture(0).image, BOX)
    page.pause(True)
    assert in_background(lambda: page.show(picture(1), tracker.results, tracker))()[0]


def test_a_drawing_that_is_never_finished_holds_frames_for_a_moment_only(
    page: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "DRAWING", 0.2)
    page.hold(True)
    since = time.monotonic()
    assert in_background(lambda: page.show(picture(1), {}, Standing()))()[0]
    assert time.monotonic() - since >= 0.15


def test_real_time_is_the_frames_own_rate() -> None:
    page = Dashboard("clip", fps=50, realtime=True)
    since = time.monotonic()
    for index in range(6):
        page.show(picture(index), {}, Standing())
    assert time.monotonic() - since >= 5 / 50
    page.pace(False)
    assert page.look(None, 1)[0]["realtime"] is False
    assert Dashboard("camera").look(0, 0)[0]["realtime"] is None  # a live source has its own pace


def test_stop_ends_the_loop(page: Dashboard) -> None:
    page.stop()
    assert page.show(picture(0), {}, Standing()) == (False, {})


def test_a_loop_that_does_not_answer_is_told_to_who_asked_and_nothing_happens_later(
    page: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PATIENCE", 0.05)
    with pytest.raises(NotReadyError, match="did not answer"):
        page.start(BOX, 0)
    assert page.show(picture(0), {}, Standing()) == (True, {})


def test_the_end_shows_the_last_frame_and_refuses_wishes(page: Dashboard) -> None:
    tracker = Standing()
    page.show(picture(0), {}, tracker)
    page.show(picture(1), {}, tracker)  # too soon to be shown
    waiting = in_background(lambda: page.start(BOX, 1))
    asked(page)
    page.finish("2 frames")
    with pytest.raises(NotReadyError):
        waiting()
    with pytest.raises(NotReadyError):
        page.start(BOX, 1)
    state, _ = page.look(None, 1)
    assert (state["phase"], state["message"], state["frame"]) == ("over", "2 frames", 1)


def test_the_chart_has_the_scores_of_what_was_shown_and_a_limited_memory(
    page: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Standing()
    page.show(picture(0), {}, tracker)
    tracker.add(picture(0).image, BOX)
    for index in range(1, web.HISTORY + 50):
        page._preview_due = 0
        page.show(picture(index), tracker.results, tracker)
    assert page.history()[-1] == (web.HISTORY + 49, {1: 1.0})
    assert len(page.history()) == web.HISTORY
