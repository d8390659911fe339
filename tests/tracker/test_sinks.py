"""What is written can be read back, is whole at any moment, and replaces nothing unasked."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import sinks
from tracker.frame import Frame
from tracker.result import TrackResult, TrackState
from tracker.sinks import (
    CsvSink,
    JsonLinesSink,
    MotSink,
    SinkError,
    VideoSink,
    letterbox,
    open_results,
    read_results,
)
from tracker.sources import SourceError, open_source

TEXT = [".csv", ".jsonl", ".txt"]
VIDEO = [".mp4", ".avi", ".mkv"]
RESULT = TrackResult((10.25, 20.5, 30.0, 40.125), 0.875, TrackState.TRACKING)


def frame(index=0, timestamp=None, size=(64, 48)) -> Frame:
    return Frame(index, index / 25 if timestamp is None else timestamp, np.full((size[1], size[0], 3), 90, np.uint8))


def write_frames(sink, count):
    for index in range(count):
        sink.write(frame(index), {1: RESULT})


coordinates = st.floats(-1e5, 1e5)
results = st.builds(
    TrackResult,
    box=st.tuples(coordinates, coordinates, coordinates, coordinates),
    score=st.floats(0, 1),
    state=st.sampled_from(TrackState),
)
runs = st.lists(st.tuples(st.floats(0, 1e6), st.dictionaries(st.integers(1, 99), results, max_size=3)), max_size=5)


@pytest.mark.parametrize("suffix", TEXT)
@given(run=runs)
def test_what_is_written_reads_back(tmp_path_factory, suffix, run):
    path = tmp_path_factory.mktemp("run") / f"results{suffix}"
    with open_results(path) as sink:
        for index, (timestamp, by_id) in enumerate(run):
            sink.write(frame(index, timestamp, size=(1, 1)), by_id)
    expected = [
        (index, timestamp, id, result)
        for index, (timestamp, by_id) in enumerate(run)
        for id, result in by_id.items()
        if suffix != ".txt" or result.state is not TrackState.LOST
    ]
    rows = read_results(path)
    assert sink.rows == len(rows) == len(expected)
    for row, (index, timestamp, id, result) in zip(rows, expected, strict=True):
        assert (row.frame, row.id) == (index, id)
        assert row.box == pytest.approx(result.box, abs=0.000501, rel=0)
        assert row.score == pytest.approx(result.score, abs=0.0000501, rel=0)
        if suffix == ".txt":
            assert row.time is None
            assert row.state is None
        else:
            assert row.time == pytest.approx(timestamp, abs=1e-6, rel=0)
            assert row.state is result.state


def write_two(path):
    lost = TrackResult((0, 0, 5, 5), 0.0, TrackState.LOST)
    unsure = TrackResult((0.0, -0.0001, 5, 6), 1 / 3, TrackState.UNCERTAIN)
    with open_results(path) as sink:
        sink.write(frame(0), {1: RESULT, 2: lost})
        sink.write(frame(3), {1: unsure})
    return path.read_bytes().decode()


def test_csv_format(tmp_path):
    text = write_two(tmp_path / "r.csv")
    assert text == (
        "frame,time,id,x,y,w,h,score,state\n"
        "0,0.0,1,10.25,20.5,30.0,40.125,0.875,tracking\n"
        "0,0.0,2,0.0,0.0,5.0,5.0,0.0,lost\n"
        "3,0.12,1,0.0,0.0,5.0,6.0,0.3333,uncertain\n"
    )
    assert [row["state"] for row in csv.DictReader(text.splitlines())] == ["tracking", "lost", "uncertain"]


def test_json_lines_format(tmp_path):
    first, *rest = (json.loads(line) for line in write_two(tmp_path / "r.jsonl").splitlines())
    assert list(first) == ["frame", "time", "id", "x", "y", "w", "h", "score", "state"]
    assert list(first.values()) == [0, 0.0, 1, 10.25, 20.5, 30.0, 40.125, 0.875, "tracking"]
    assert [row["state"] for row in rest] == ["lost", "uncertain"]


def test_mot_format_counts_from_1_and_leaves_lost_out(tmp_path):
    assert write_two(tmp_path / "r.txt") == (
        "1,1,11.25,21.5,30.0,40.125,0.875,-1,-1,-1\n"  # frame 0, corner (10.25, 20.5)
        "4,1,1.0,1.0,5.0,6.0,0.3333,-1,-1,-1\n"
    )


def test_numbers_of_numpy_are_plain_in_the_file(tmp_path):
    box = tuple(np.float32(value) for value in (1.5, 2.5, 3.5, 4.5))
    for suffix in TEXT:
        with open_results(tmp_path / f"r{suffix}") as sink:
            sink.write(frame(np.int64(2)), {np.int64(1): TrackResult(box, np.float32(0.5), TrackState.TRACKING)})
        (row,) = read_results(tmp_path / f"r{suffix}")
        assert (row.frame, row.id, row.box, row.score) == (2, 1, (1.5, 2.5, 3.5, 4.5), 0.5)


@pytest.mark.parametrize(("suffix", "kind"), [(".csv", CsvSink), (".jsonl", JsonLinesSink), (".txt", MotSink)])
def test_the_suffix_chooses_the_format(tmp_path, suffix, kind):
    assert type(open_results(tmp_path / f"r{suffix}")) is kind
    assert type(open_results(str(tmp_path / f"r{suffix.upper()}"))) is kind


@pytest.mark.parametrize("name", ["r", "r.xlsx", "r.mp4"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(SinkError, match=r"\.csv, \.jsonl or \.txt"):
        open_results(tmp_path / name)
    with pytest.raises(ValueError, match=r"\.csv, \.jsonl or \.txt"):
        read_results(tmp_path / name)


def make(path, overwrite=False):
    return VideoSink(path, 25, overwrite) if Path(path).suffix in VIDEO else open_results(path, overwrite)


@pytest.mark.parametrize("suffix", TEXT + VIDEO)
def test_an_existing_file_is_replaced_only_when_asked(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    path.write_text("precious")
    with pytest.raises(SinkError, match="exists") as caught:
        make(path)
    assert str(path) in str(caught.value)
    sink = make(path, overwrite=True)
    assert path.read_text() == "precious"  # untouched until the sink is entered
    with sink:
        sink.write(frame(), {1: RESULT})
    assert b"precious" not in path.read_bytes()


@pytest.mark.parametrize("suffix", TEXT + VIDEO)
def test_a_missing_folder_or_a_folder_is_refused(tmp_path, suffix):
    with pytest.raises(SinkError, match=r"folder of .* does not exist"):
        make(tmp_path / "missing" / f"r{suffix}")
    assert not (tmp_path / "missing").exists()
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        make(tmp_path / f"folder{suffix}", overwrite=True)


@pytest.mark.parametrize("suffix", TEXT + VIDEO)
def test_an_unwritable_file_is_an_error_before_any_frame(tmp_path, suffix):
    sink = make(tmp_path / f"r{suffix}")
    (tmp_path / f"r{suffix}").mkdir()  # appears between the check and the opening; root may write anywhere else
    with pytest.raises(SinkError, match="cannot be written"):
        sink.__enter__()


@pytest.mark.parametrize("suffix", TEXT + VIDEO)
def test_a_sink_is_used_inside_its_with(tmp_path, suffix):
    sink = make(tmp_path / f"r{suffix}")
    with pytest.raises(SinkError, match="not open"):
        sink.write(frame(), {1: RESULT})
    with sink:
        sink.write(frame(), {1: RESULT})
    written = sink.path.read_bytes()
    with pytest.raises(SinkError, match="not open"):
        sink.write(frame(), {1: RESULT})
    sink.close()
    assert sink.path.read_bytes() == written


@pytest.mark.parametrize("suffix", TEXT)
def test_rows_are_in_the_file_as_soon_as_they_are_written(tmp_path, suffix):
    with open_results(tmp_path / f"r{suffix}") as sink:  # a killed process leaves what is in the file now
        for index in range(5):
            sink.write(frame(index), {1: RESULT, 2: RESULT})
            assert len(read_results(sink.path)) == sink.rows == 2 * (index + 1)


@pytest.mark.parametrize("suffix", TEXT)
def test_an_exception_leaves_the_rows_before_it(tmp_path, suffix):
    with contextlib.suppress(KeyboardInterrupt), open_results(tmp_path / f"r{suffix}") as sink:
        sink.write(frame(), {1: RESULT})
        raise KeyboardInterrupt
    assert len(read_results(sink.path)) == 1


@contextlib.contextmanager
def file_size_limit(size):
    """The operating system refuses to let any file grow past `size` bytes, in the middle of a write if need be."""
    resource = pytest.importorskip("resource", reason="only POSIX limits the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", TEXT)
def test_a_full_disk_is_an_error_and_the_file_stays_whole(tmp_path, suffix):
    with open_results(tmp_path / f"r{suffix}") as sink:
        with file_size_limit(1000), pytest.raises(SinkError, match="cannot be written") as caught:
            write_frames(sink, 100)
        rows = read_results(sink.path)
        assert 5 < len(rows) < 50
        assert f"{sink.path} cannot be written" in str(caught.value)
        assert f"{len(rows)} rows are safely there" in str(caught.value)
        sink.write(frame(99), {1: RESULT})  # room again
    assert [row.frame for row in read_results(sink.path)] == [*range(len(rows)), 99]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_is_an_error_at_once():
    with pytest.raises(SinkError, match=r"/dev/full cannot be written: No space left on device; 0 rows"):
        CsvSink("/dev/full", overwrite=True).__enter__()
    with pytest.raises(SinkError, match="0 rows"), MotSink("/dev/full", overwrite=True) as sink:
        sink.write(frame(), {1: RESULT})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.csv", "", "line 1 is not frame,time"),
        ("r.csv", "frame,x\n", "line 1 is not frame,time"),
        ("r.csv", CsvSink.header + "0,0.0,1,1,2,3,4,0.5,tracking\n1,0.04,1,10", "line 3 is not a result"),
        ("r.csv", CsvSink.header + "0,0.0,1,1,2,3,4,0.5,hiding\n", "line 2 .*hiding"),
        ("r.csv", CsvSink.header + "0,0.0,1,1,2,x,4,0.5,lost\n", "line 2 .*'x'"),
        ("r.jsonl", '{"frame": 0}\n', "line 1 has no 'x'"),
        ("r.jsonl", "[1, 2]\n", "line 1 is not a result"),
        ("r.jsonl", '{"frame": 0', "line 1 is not a result"),
        ("r.txt", "1,1,10,20,30\n", "line 1 is not a result"),
    ],
)
def test_a_malformed_file_is_refused_by_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_results(tmp_path / name)
    assert name in str(caught.value)


# Video


@pytest.mark.parametrize("suffix", VIDEO)
def test_a_video_has_the_frames_the_rate_and_the_boxes(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    box = TrackResult((60, 80, 100, 60), 0.9, TrackState.TRACKING)
    with VideoSink(path, 12.5) as sink:
        for index in range(10):
            sink.write(frame(index, size=(320, 240)), {1: box})
    assert sink.frames == 10
    with open_source(path) as source:
        assert source.fps == pytest.approx(12.5)
        assert source.size == (320, 240)
        frames = list(source)
    assert len(frames) == 10
    for written in frames:
        blue, green, red = written.image[110, 59:62].max(axis=0).astype(int)  # on the left side of the box
        assert green > red + 60
        assert green > blue
        assert np.abs(written.image[200, 250].astype(int) - 90).max() < 12  # away from it


def test_frames_that_change_size_are_fitted_to_the_first(tmp_path):
    sizes = [(64, 48), (128, 96), (48, 96), (200, 10)]
    with VideoSink(tmp_path / "v.avi", 25) as sink:
        for index, size in enumerate(sizes):
            sink.write(frame(index, size=size), {})
    frames = list(open_source(sink.path))
    assert [written.image.shape for written in frames] == [(48, 64, 3)] * 4
    assert abs(int(frames[1].image[24, 32, 0]) - 90) < 12  # scaled
    assert frames[2].image[24, 4].max() < 20  # black beside a tall frame
    assert frames[3].image[4, 32].max() < 20  # and above a wide one


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 40), st.integers(2, 40))
def test_letterbox_keeps_the_shape_and_touches_two_sides(w, h, width, height):
    boxed = letterbox(np.full((h, w, 3), 255, np.uint8), width, height)
    assert boxed.shape == (height, width, 3)
    rows, columns = np.flatnonzero(boxed[:, :, 0].any(axis=1)), np.flatnonzero(boxed[:, :, 0].any(axis=0))
    assert len(rows) == height or len(columns) == width
    scale = min(width / w, height / h)
    assert abs(len(columns) - w * scale) <= 1
    assert abs(len(rows) - h * scale) <= 1


def test_letterbox_leaves_the_right_size_alone():
    image = np.zeros((5, 7, 3), np.uint8)
    assert letterbox(image, 7, 5) is image


def test_fps_that_is_not_known_is_25(tmp_path):
    with VideoSink(tmp_path / "v.mp4", None) as sink:
        sink.write(frame(), {})
    with open_source(sink.path) as source:
        assert source.fps == 25


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf])
def test_a_wrong_rate_is_refused(tmp_path, fps):
    with pytest.raises(ValueError, match="fps must be positive"):
        VideoSink(tmp_path / "v.mp4", fps)


@pytest.mark.parametrize("name", ["v", "v.gif", "v.csv"])
def test_other_video_suffixes_are_refused(tmp_path, name):
    with pytest.raises(SinkError, match=r"\.mp4, \.avi, \.mkv"):
        VideoSink(tmp_path / name, 25)


def test_a_video_without_a_frame_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(SinkError, match="no frame was written"), VideoSink(tmp_path / "v.mp4", 25):
        pass
    assert not (tmp_path / "v.mp4").exists()
    with pytest.raises(KeyboardInterrupt), VideoSink(tmp_path / "v.mp4", 25):  # what ended the block comes first
        raise KeyboardInterrupt


def test_a_size_that_cannot_be_encoded_is_an_error_on_the_first_frame(tmp_path):
    with pytest.raises(SinkError, match="cannot encode 1x1"), VideoSink(tmp_path / "v.mp4", 25) as sink:
        sink.write(frame(size=(1, 1)), {})
    assert not sink.path.exists()


def test_a_nearly_full_disk_ends_the_video_while_it_can_be_completed(tmp_path, monkeypatch):
    free = iter([10**9] * 6 + [10**6] * 4)
    monkeypatch.setattr(sinks.shutil, "disk_usage", lambda folder: SimpleNamespace(free=next(free)))
    with (
        pytest.raises(SinkError, match="disk is nearly full; 6 frames are safely there"),
        VideoSink(tmp_path / "v.mp4", 25) as sink,
    ):
        write_frames(sink, 10)
    assert len(list(open_source(sink.path))) == 6


@pytest.mark.parametrize(
    ("suffix", "limit", "message"),
    [
        (".avi", 2_000, "is incomplete: 0 of 100 frames"),
        (".mp4", 2_000, "cannot be written: 0 of 13 frames were encoded .*; 0 frames are safely there"),
        (".mp4", 9_000, "v.mp4 cannot be written: File too large; [1-9][0-9] frames are safely there"),
    ],
)
def test_a_video_that_was_cut_off_is_an_error(tmp_path, suffix, limit, message):
    path = tmp_path / f"v{suffix}"
    with (
        pytest.raises(SinkError, match=message) as caught,
        file_size_limit(limit),
        VideoSink(path, 25) as sink,
    ):
        write_frames(sink, 100)
    if "File too large" in str(caught.value):
        assert f"; {len(list(open_source(path)))} frames" in str(caught.value)


def test_an_interrupt_does_not_wait_for_a_stream_that_is_being_opened(tmp_path: Path):
    """OpenCV opens one video at a time, so a look at the finished file would."""
    path = tmp_path / "out.mp4"

    def never_answered(port: int) -> None:
        with contextlib.suppress(SourceError):
            open_source(f"rtsp://127.0.0.1:{port}/live", timeout=5)

    def interrupted(server: socket.socket) -> None:
        with VideoSink(path, 25) as sink:
            write_frames(sink, 3)
            thread.start()
            connections.append(server.accept()[0])
            raise KeyboardInterrupt

    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=never_answered, args=[server.getsockname()[1]])
        with pytest.raises(KeyboardInterrupt):
            interrupted(server)
        thread.join(0.5)
        assert thread.is_alive()  # it was not waited for
    connections[0].close()
    thread.join()
    with open_source(path) as source:
        assert len(list(source)) == 3
