"""A stream that breaks is opened again, and its frames count on."""

from __future__ import annotations

import itertools
import threading
import warnings

import pytest

from tracker import reconnection
from tracker.arguments import seconds
from tracker.reconnection import Reconnecting
from tracker.sources import SourceError, SourceWarning

REFUSED = SourceError("connection refused")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(reconnection, "WAITS", (0.001, 0.002))


def opening(*results):
    """What opening gives, one after another."""
    left = iter(results)

    def open_again():
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return open_again


def test_frames_go_on_through_every_kind_of_end(stream):
    second, third = stream(2, "no frame for 10 s", dropped=5), stream(2)
    with (
        pytest.warns(SourceWarning) as caught,
        Reconnecting(stream(2), opening(REFUSED, REFUSED, second, third, REFUSED), max_frames=6) as source,
    ):
        seen = list(source)
    assert [frame.index for frame in seen] == list(range(6))
    assert all(a.timestamp <= b.timestamp for a, b in itertools.pairwise(seen))
    assert source.reconnects == 2
    assert source.dropped == 5
    said = [str(warning.message) for warning in caught]
    assert said[0] == "rtsp://camera is opened again: it ended"
    assert said[2] == "rtsp://camera is opened again: no frame for 10 s"
    assert [text.split(" after")[0] for text in said[1::2]] == ["rtsp://camera is back"] * 2


@pytest.mark.filterwarnings("ignore::tracker.sources.SourceWarning")
def test_patience_ends_and_says_how_long_it_was(stream):
    source = Reconnecting(stream(1), opening(*[REFUSED] * 10_000), patience=0.02)
    assert next(source).index == 0
    with pytest.raises(SourceError, match=r"rtsp://camera did not come back within 0\.02 s: connection refused"):
        next(source)
    assert not source.connected


def test_who_stops_is_not_kept_waiting(stream):
    stop = threading.Event()
    source = Reconnecting(stream(1), opening(*[REFUSED] * 10_000), stop=stop)
    next(source)
    stop.set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(source) == []


def test_closing_closes_the_connection(stream):
    connection = stream(100)
    with Reconnecting(connection, opening()) as source:
        next(source)
    assert list(connection) == []
    assert not source.connected
    assert list(source) == []


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("2.5", 2.5), ("inf", float("inf"))])
def test_times_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["-1", "nan", "soon"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(Exception, match="must be a number of seconds, 0 or more, or inf"):
        seconds(text)
