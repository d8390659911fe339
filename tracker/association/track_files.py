"""Tracks out, frame by frame: the text files of `tracker.sinks` for identities of tracking by detection.

Columns are the same. The state is ``tracking`` for a detection and ``interpolated`` for a box that is none. Scores stay
as detectors gave them, in [0, 1] or not.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tracker.association.annotate import TrackedBox
from tracker.box import to_mot
from tracker.frame import Frame
from tracker.result import TrackResult, TrackState
from tracker.sinks import COLUMNS, SinkError, TextSink

DETECTED, INTERPOLATED = "tracking", "interpolated"


class TrackSink(TextSink):
    """One text file of tracks, opened by entering; see `TextSink` for what it promises."""

    def add(self, index: int, time: float, boxes: Sequence[TrackedBox]) -> None:
        """Add one frame.

        Args:
            index: number of the frame, 0-based.
            time: seconds.
            boxes: who is where.

        Raises:
            SinkError: the file cannot be written.
        """
        self._append("".join(self.line(index, time, entry) + "\n" for entry in boxes))
        self.rows += len(boxes)

    @abstractmethod
    def line(self, index: int, time: float, entry: TrackedBox) -> str:
        """One box as text, without a line's end."""

    def row(self, frame: Frame, id: int, result: TrackResult) -> str:
        """See `TextSink.row`."""
        entry = TrackedBox(id, result.box, result.score, result.state is not TrackState.TRACKING)
        return self.line(frame.index, frame.timestamp, entry) + "\n"


class MotTrackSink(TrackSink):
    """MOTChallenge text, frames and boxes 1-based; it has no place for the time and for what is interpolated."""

    def line(self, index: int, time: float, entry: TrackedBox) -> str:
        """See `TrackSink.line`."""
        x, y, w, h = (_rounded(float(value), 3) for value in to_mot(entry.box))
        return f"{index + 1},{entry.id},{x},{y},{w},{h},{entry.score:.6g},-1,-1,-1"


class CsvTrackSink(TrackSink):
    """Comma-separated values with a header; frames and boxes 0-based."""

    header = ",".join(COLUMNS) + "\n"

    def line(self, index: int, time: float, entry: TrackedBox) -> str:
        """See `TrackSink.line`."""
        return ",".join(str(value) for value in _values(index, time, entry))


class JsonTrackSink(TrackSink):
    """One JSON object per box, with the columns of the CSV as keys."""

    def line(self, index: int, time: float, entry: TrackedBox) -> str:
        """See `TrackSink.line`."""
        return json.dumps(dict(zip(COLUMNS, _values(index, time, entry), strict=True)))


def open_tracks(path: str | os.PathLike[str], overwrite: bool = False) -> TrackSink:
    """The sink for `path` by its suffix: ``.txt`` (MOTChallenge), ``.csv`` or ``.jsonl``. Enter it to open the file.

    Raises:
        SinkError: another suffix, or as in `tracker.sinks.Sink`.
    """
    kinds: dict[str, type[TrackSink]] = {".txt": MotTrackSink, ".csv": CsvTrackSink, ".jsonl": JsonTrackSink}
    kind = kinds.get(Path(path).suffix.lower())
    if kind is None:
        raise SinkError(f"{path}: tracks are written as .txt (MOTChallenge), .csv or .jsonl")
    return kind(path, overwrite)


def _values(index: int, time: float, entry: TrackedBox) -> tuple[int | float | str, ...]:
    state = INTERPOLATED if entry.interpolated else DETECTED
    box = (_rounded(value, 3) for value in entry.box)
    return (index, _rounded(time, 6), entry.id, *box, float(f"{entry.score:.6g}"), state)


def _rounded(value: float, digits: int) -> float:
    return round(float(value), digits) + 0.0  # + 0.0 turns -0.0 into 0.0
