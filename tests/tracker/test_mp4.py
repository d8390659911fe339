"""An MP4 can be read at any moment, and ends as an ordinary one."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker import mp4
from tracker.mp4 import Mp4Writer
from tracker.sources import open_source

SIZE = (96, 64)
BITS = 8

ROOT = Path(__file__).parents[2]
KILLED = """
import os, runpy, signal, sys
from tracker.frame import Frame
from tracker.sinks import VideoSink
test = runpy.run_path(sys.argv[1])
with VideoSink(sys.argv[2], 25.0) as sink:
    for index in range(int(sys.argv[3])):
        sink.write(Frame(index, index / 25, test["picture"](index)), {})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def picture(index):
    """A frame that shows its number: a row of black and white columns."""
    bits = [255 * (index >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8), SIZE[0] // BITS)
    return np.repeat(np.tile(row, (SIZE[1], 1))[:, :, None], 3, axis=2)


def number(image):
    """The number that a frame shows."""
    columns = image[:, :, 0].mean(axis=0).reshape(BITS, -1).mean(axis=1)
    return sum(1 << bit for bit in range(BITS) if columns[bit] > 128)


def numbers(path):
    with open_source(path) as source:
        return [number(frame.image) for frame in source]


def boxes(path):
    """Kinds and sizes of the file's outermost boxes."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        found.append((kind.decode(), size))
        at += size
    assert at == len(data)
    return found


def write(path, count, fps=25.0):
    writer = Mp4Writer(path, fps, SIZE)
    add(writer, 0, count)
    return writer


def add(writer, first, end):
    for index in range(first, end):
        writer.write(picture(index))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("count", [13, 40, 100])
def test_a_killed_recording_can_be_read_up_to_its_last_half_second(tmp_path, count):
    path = tmp_path / "v.mp4"
    command = [sys.executable, "-c", KILLED, __file__, path, str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = numbers(path)
    assert found == list(range(len(found)))
    assert count - len(found) <= 25 * mp4.FRAGMENT + 1


@pytest.mark.parametrize("fps", [0.2, 1.0, 12.5, 23.976, 25.0, 60.0, 240.0])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_a_closed_recording_is_an_ordinary_mp4(tmp_path, fps, count):
    path = tmp_path / "v.mp4"
    writer = write(path, count, fps)
    writer.release()
    writer.release()
    assert writer.frames == count
    assert [kind for kind, _ in boxes(path)] == ["ftyp", "mdat", "moov"]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == count
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=1e-3)
    times = []
    for index in range(count):
        assert number(capture.read()[1]) == index
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    assert not capture.grab()
    np.testing.assert_allclose(times, np.arange(count) / fps, atol=0.002, rtol=1e-3)


def test_any_frame_of_a_closed_recording_can_be_sought(tmp_path):
    path = tmp_path / "v.mp4"
    write(path, 100).release()
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    for index in (99, 0, 50, 37, 12, 13, 64):
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        assert number(capture.read()[1]) == index


def test_frames_that_come_slowly_are_not_kept_waiting(tmp_path, monkeypatch):
    clock = iter(np.arange(0.0, 1000.0, 0.2))
    monkeypatch.setattr(mp4.time, "monotonic", lambda: next(clock))
    path = tmp_path / "v.mp4"
    writer = write(path, 20)
    assert writer.frames >= 17  # 0.2 s a look at the clock: every third frame or so completes a fragment
    assert numbers(path) == list(range(writer.frames))
    writer.release()
    assert numbers(path) == list(range(20))


def test_what_is_written_stays_readable_when_no_more_can_be(tmp_path, monkeypatch):
    path = tmp_path / "v.mp4"
    writer = write(path, 30)
    assert writer.frames == 26

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mp4, "append", full)
    with pytest.raises(OSError, match="No space"):
        add(writer, 30, 60)
    with pytest.raises(OSError, match="No space"):
        writer.release()
    assert numbers(path) == list(range(26))


def test_a_full_temporary_folder_is_an_error_that_names_it(tmp_path):
    writer = Mp4Writer(tmp_path / "v.mp4", 25.0, SIZE)
    writer._encoder.release()  # as if nothing could be written
    with pytest.raises(OSError, match=r"0 of 13 frames were encoded into .*fragment.mp4; is that disk full\?"):
        add(writer, 0, 20)
    writer.release()


def test_no_frame_is_an_empty_file(tmp_path):
    path = tmp_path / "v.mp4"
    Mp4Writer(path, 25.0, SIZE).release()
    assert path.read_bytes() == b""
