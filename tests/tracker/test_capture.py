"""The newest frame is handed out and the others are counted; streams come back by themselves."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tracker import capture, reconnection
from tracker.capture import CaptureThread
from tracker.frame import Frame
from tracker.sources import SourceError

IMAGE = np.zeros((4, 6, 3), np.uint8)


def frames(count: int, period: float = 0.0, begin: float = 0.0) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(index, begin + index * period, IMAGE)


@pytest.fixture
def streams(monkeypatch):
    """`streams(stream(3), error, …)`: what opening gives, one after another; waits are short."""

    def plug(*results):
        left = iter(results)

        def open_next(what, timeout):
            result = next(left)
            if isinstance(result, Exception):
                raise result
            return result() if callable(result) else result

        monkeypatch.setattr(capture, "open_source", open_next)

    monkeypatch.setattr(reconnection, "WAITS", (0.001, 0.002))
    return plug


def test_the_newest_frame_is_handed_out_and_the_others_are_counted():
    taken, read = threading.Event(), threading.Event()

    def source() -> Iterator[Frame]:
        yield from frames(5)
        read.set()  # all five were put forward
        taken.wait(30)
        yield Frame(5, 0.0, IMAGE)

    with CaptureThread(source()) as newest:
        assert read.wait(30)
        assert next(newest).index == 4
        assert newest.dropped == 4
        taken.set()
        assert [frame.index for frame in newest] == [5]
        assert newest.dropped == 4
        assert not newest.connected


def test_an_error_of_the_source_reaches_the_loop_after_the_last_frame():
    def source() -> Iterator[Frame]:
        yield from frames(1)
        raise SourceError("the disk was unplugged")

    with CaptureThread(source()) as newest:
        assert next(newest).index == 0
        with pytest.raises(SourceError, match="unplugged"):
            next(newest)


def test_leaving_early_stops_the_thread():
    with CaptureThread(Frame(index, 0.0, IMAGE) for index in itertools.count()) as newest:
        next(newest)
    assert "capture" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("begin", [0.0, 1.7e9])  # a robot's log counts from 1970
def test_a_recording_is_not_played_faster_than_its_clock(begin):
    began = time.monotonic()
    with CaptureThread(frames(4, 0.05, begin), paced=True) as newest:
        last = list(newest)[-1]
    assert last.index == 3
    assert 0.15 <= time.monotonic() - began < 10


def test_files_are_paced_by_themselves(tmp_path):
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), IMAGE)
    began = time.monotonic()
    with CaptureThread(tmp_path) as newest:
        seen = [frame.index for frame in newest]
    assert time.monotonic() - began >= 3 / 25
    assert len(seen) + newest.dropped == 4
    assert newest.reconnects == 0


def test_reading_does_not_wait_longer_than_asked():
    go_on = threading.Event()

    def source() -> Iterator[Frame]:
        yield from frames(1)
        go_on.wait(30)

    with CaptureThread(source()) as newest:
        assert newest.read(30).index == 0
        assert newest.read(0.01) is None
        assert newest.connected
        go_on.set()
        assert newest.read(30) is None
    assert not newest.connected


def test_a_wrong_name_fails_at_once(tmp_path):
    with pytest.raises(SourceError, match="no such file"), CaptureThread(tmp_path / "missing.mp4"):
        pass


@pytest.mark.filterwarnings("ignore::tracker.sources.SourceWarning")
def test_a_stream_is_opened_again_and_counts_on(streams, stream):
    """Three connections, ended by an end, a failure, and refusals before the last one."""
    refused = [SourceError("refused")] * 3
    streams(stream(3), lambda: stream(3, "no frame for 10 s", dropped=5), *refused, lambda: stream(3), *refused * 1000)
    with CaptureThread("rtsp://camera") as newest:
        seen = [newest.read(30) for _ in range(7)]
        assert newest.reconnects == 2
    indexes, times = [frame.index for frame in seen], [frame.timestamp for frame in seen]
    assert indexes == sorted(set(indexes))
    assert indexes[-1] - indexes[0] + 1 <= 9
    assert all(after >= before for before, after in itertools.pairwise(times))
    assert newest.dropped >= 5  # those of the connection that is closed by now included


def test_time_goes_on_through_the_gap(streams, stream):
    """The second connection's clock begins at 0 again: what is handed out tells how long nothing was seen."""
    streams(stream(1), SourceError("away"), lambda: stream(1), *[SourceError("away")] * 1000)
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as caught, CaptureThread("rtsp://camera") as newest:
        warnings.simplefilter("always")
        first = newest.read(30)
        time.sleep(0.05)
        second = newest.read(30)
    assert 0 <= second.timestamp - first.timestamp <= time.monotonic() - began
    assert (first.index, second.index) == (0, 1)
    assert "rtsp://camera is opened again: it ended" in {str(warning.message) for warning in caught}


@pytest.mark.filterwarnings("ignore::tracker.sources.SourceWarning")
def test_patience_ends(streams, stream):
    streams(stream(1), *[SourceError("connection refused")] * 10_000)
    with CaptureThread("rtsp://camera", patience=0.02) as newest:
        assert newest.read(30).index == 0
        with pytest.raises(SourceError, match="connection refused"):
            newest.read(30)


@pytest.mark.filterwarnings("ignore::tracker.sources.SourceWarning")
def test_leaving_while_it_is_away(streams, stream):
    streams(stream(1), *[SourceError("away")] * 100_000)
    with CaptureThread("rtsp://camera") as newest:
        newest.read(30)
        assert newest.read(0.02) is None
        assert not newest.connected
    assert "capture" not in [thread.name for thread in threading.enumerate()]


def test_the_password_of_a_stream_is_not_repeated(streams, stream):
    streams(stream(1), *[SourceError("away")] * 100_000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with CaptureThread("rtsp://user:secret@camera") as newest:
            newest.read(30)
            newest.read(0.05)
    assert caught
    assert not any("secret" in str(warning.message) for warning in caught)
