"""Sources deliver every frame in order with its true index, or say in one line why they cannot."""

from __future__ import annotations

import contextlib
import functools
import http.server
import itertools
import signal
import socket
import threading
import time
import warnings

import cv2
import numpy as np
import pytest

from tracker import sources
from tracker.sources import Source, SourceError, SourceWarning, open_source

FPS, SIZE = 20.0, (96, 48)


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """An image that tells its number by the place of a bar, which survives lossy codecs."""
    image = np.full((size[1], size[0], 3), 40, np.uint8)
    image[:, 2 * number : 2 * number + 2] = 220
    return image


def number_of(image: np.ndarray) -> int:
    return int(image.mean(axis=(0, 2)).reshape(-1, 2).sum(axis=1).argmax())


def make_video(path, frames=30, codec="mp4v"):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), FPS, SIZE)
    assert writer.isOpened()
    for number in range(frames):
        writer.write(picture(number))
    writer.release()
    return path


def make_images(folder, names):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), picture(number))
    return folder


@pytest.fixture(params=["mp4v.mp4", "MJPG.avi", "mp4v.mkv"])
def video(request, tmp_path):
    codec, _, suffix = request.param.partition(".")
    return make_video(tmp_path / f"clip.{suffix}", codec=codec)


# Files


def test_a_file_is_delivered_whole(video):
    with open_source(video) as source:
        assert (source.fps, source.length, source.size) == (FPS, 30, SIZE)
        assert not source.live
        assert source.name == str(video)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(30))
    assert [number_of(frame.image) for frame in frames] == list(range(30))
    assert [frame.timestamp for frame in frames] == pytest.approx([index / FPS for index in range(30)], abs=1e-3)
    assert not source.truncated
    assert source.dropped == 0


@pytest.mark.parametrize(("start", "max_frames", "indexes"), [(7, None, range(7, 30)), (13, 4, range(13, 17))])
def test_start_is_exact(video, start, max_frames, indexes):
    whole = {frame.index: frame for frame in open_source(video)}
    with open_source(video, start=start, max_frames=max_frames) as source:
        assert source.length == len(indexes)
        part = list(source)
    assert [frame.index for frame in part] == list(indexes)
    for frame in part:
        assert np.array_equal(frame.image, whole[frame.index].image)
        assert frame.timestamp == whole[frame.index].timestamp


def test_the_first_frame_is_not_lost_to_opening(video):
    with open_source(video) as source:
        assert next(source).index == 0
        assert next(source).index == 1


def test_a_closed_source_is_over(video):
    with open_source(video) as source:
        next(source)
    assert next(source, None) is None
    source.close()


def test_frames_do_not_share_memory(video):
    first, second = itertools.islice(open_source(video), 2)
    assert not np.shares_memory(first.image, second.image)


def test_time_stamps_of_the_container_are_used_where_they_move_on():
    assert sources._later(1.0, 1.2, 0.04) == 1.2
    assert sources._later(1.0, 1.0, 0.04) == pytest.approx(1.04)  # a container that repeats itself
    assert sources._later(1.0, 0.0, 0.04) == pytest.approx(1.04)  # or knows no time
    assert sources._later(1.0, float("nan"), 0.04) == pytest.approx(1.04)


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "MJPG"), ("mkv", "mp4v")])
def test_a_truncated_video_gives_what_decodes_and_a_warning(tmp_path, suffix, codec):
    data = make_video(tmp_path / f"whole.{suffix}", codec=codec).read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: len(data) // 2])
    with open_source(cut) as source, pytest.warns(SourceWarning, match=r"truncated: \d+ of its 30 frames"):
        numbers = [number_of(frame.image) for frame in source]
    assert source.truncated
    assert 3 <= len(numbers) < 28
    assert numbers[:-1] == list(range(len(numbers) - 1))  # the last frame may be cut


def test_a_part_of_a_video_is_not_truncated(video):
    with warnings.catch_warnings(), open_source(video, max_frames=5) as source:
        warnings.simplefilter("error")
        assert len(list(source)) == 5
    assert not source.truncated


def unreadable(tmp_path, kind):
    path = tmp_path / "clip.mp4"
    if kind == "text":
        path.write_text("not a video\n" * 50)
    elif kind == "empty":
        path.touch()
    elif kind == "no moov":
        data = make_video(path).read_bytes()
        path.write_bytes(data[: len(data) // 2])  # the index of an mp4 is at its end
    elif kind == "folder without images":
        path = tmp_path / "folder"
        path.mkdir()
        (path / "notes.txt").touch()
    elif kind == "glob of nothing":
        path = tmp_path / "*.png"
    elif kind == "glob of no images":
        (tmp_path / "notes.txt").touch()
        path = tmp_path / "*.txt"
    elif kind == "robot log":
        path = tmp_path / "run.mcap"
        path.write_text("not a log\n" * 50)
    elif kind == "robot log folder":
        path = tmp_path / "bag"
        path.mkdir()
        (path / "bag_0.db3").write_text("not a log\n" * 50)
    elif kind == "image of no image":
        path = tmp_path / "picture.png"
        path.write_text("not an image")
    return path


@pytest.mark.filterwarnings("ignore::tracker.sources.SourceWarning")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("text", "not a video"),
        ("empty", "is empty"),
        ("no moov", "not a video"),
        ("folder without images", "no images in"),
        ("glob of nothing", "nothing matches"),
        ("glob of no images", "1 files match, none is an image"),
        ("robot log", "this robot log"),
        ("robot log folder", "this robot log"),
        ("image of no image", "no frame can be read"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, kind, message):
    path = unreadable(tmp_path, kind)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("start", [30, 1000])
def test_start_past_the_end_is_refused(video, start):
    with pytest.raises(SourceError, match=f"ends before frame {start}"):
        open_source(video, start=start)


@pytest.mark.parametrize("wrong", [{"start": -1}, {"max_frames": 0}, {"timeout": 0}, {"timeout": float("nan")}])
def test_wrong_arguments_are_refused(video, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        open_source(video, **wrong)


@pytest.mark.parametrize("wrong", [None, True, 1.5, ["a.png"]])
def test_what_is_no_source_is_refused(wrong):
    with pytest.raises(TypeError, match="path, a URL or a camera index"):
        open_source(wrong)


# Images


@pytest.mark.parametrize("as_glob", [False, True])
def test_images_come_in_natural_order(tmp_path, as_glob):
    folder = make_images(tmp_path / "img", ["1.png", "2.png", "9.PNG", "10.png", "11.bmp", "100.png"])
    (folder / "notes.txt").touch()
    with open_source(folder / "*" if as_glob else folder) as source:
        assert (source.fps, source.length, source.size, source.live) == (None, 6, SIZE, False)
        frames = list(source)
    assert [number_of(frame.image) for frame in frames] == list(range(6))
    assert [frame.timestamp for frame in frames] == pytest.approx([index / 25 for index in range(6)])


def test_a_single_image_is_one_frame(tmp_path):
    folder = make_images(tmp_path / "img", ["zero.png", "one.png"])
    with open_source(folder / "one.png") as source:
        assert source.length == 1
        assert [number_of(frame.image) for frame in source] == [1]


def test_start_and_max_frames_of_images(tmp_path):
    folder = make_images(tmp_path / "img", [f"{number}.png" for number in range(12)])
    with open_source(folder, start=9, max_frames=2) as source:
        assert source.length == 2
        assert [(frame.index, number_of(frame.image)) for frame in source] == [(9, 9), (10, 10)]


def test_an_unreadable_image_is_left_out_and_the_indexes_stay_true(tmp_path):
    folder = make_images(tmp_path / "img", [f"{number}.png" for number in range(6)])
    (folder / "2.png").write_text("broken")
    (folder / "3.png").write_bytes(b"")
    with open_source(folder) as source, pytest.warns(SourceWarning) as caught:
        assert [(frame.index, number_of(frame.image)) for frame in source] == [(0, 0), (1, 1), (4, 4), (5, 5)]
    assert [str(warning.message).split(":")[0] for warning in caught] == [
        "frame 2 is left out",
        "frame 3 is left out",
    ]


def test_images_may_change_size(tmp_path):
    for number, size in enumerate([(64, 48), (32, 80)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number, size))
    with open_source(tmp_path) as source:
        assert source.size == (64, 48)
        assert [frame.image.shape for frame in source] == [(48, 64, 3), (80, 32, 3)]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((4, 6), 200, np.uint8), [200, 200, 200]),  # grey
        (np.full((4, 6), 51 * 257, np.uint16), [51, 51, 51]),  # 16-bit grey
        (np.full((4, 6, 3), (257, 514, 65535), np.uint16), [1, 2, 255]),
        (np.full((4, 6, 4), (10, 20, 30, 128), np.uint8), [10, 20, 30]),  # alpha
    ],
)
def test_every_kind_of_png_becomes_bgr8(tmp_path, image, expected):
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (frame,) = open_source(tmp_path / "a.png")
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (4, 6, 3)
    assert (frame.image == expected).all()


def test_names_outside_ascii_open(tmp_path):
    cv2.imencode(".png", picture(3))[1].tofile(tmp_path / "höhe 3.png")
    (frame,) = open_source(tmp_path)
    assert number_of(frame.image) == 3


# Cameras and streams


class FakeCamera:
    """What `cv2.VideoCapture` is to a stream: `frames` pictures, each after `pause`, then the end or silence."""

    def __init__(self, frames: int, pause: float = 0.0, then: str = "end", opened: bool = True) -> None:
        self.frames, self.pause, self.then, self.opened = frames, pause, then, opened
        self.number = 0
        self.wake = threading.Event()
        self.released = threading.Event()

    def isOpened(self):
        return self.opened

    def get(self, property):
        return {cv2.CAP_PROP_FPS: 90000.0, cv2.CAP_PROP_FRAME_COUNT: -1.0}.get(property, 0.0)

    def read(self):
        assert not self.released.is_set()
        if self.number == self.frames:
            if self.then == "silence":
                self.wake.wait(20)
            if self.then == "failure":
                error = cv2.error()
                error.err = "the driver is gone"
                raise error
            return False, None
        time.sleep(self.pause)
        self.number += 1
        return True, picture((self.number - 1) % 40)

    def release(self):
        self.released.set()


@pytest.fixture
def camera(monkeypatch):
    """Make a `FakeCamera` that `open_source(0)` opens."""

    def plug(*args, **kwargs) -> FakeCamera:
        fake = FakeCamera(*args, **kwargs)
        monkeypatch.setattr(sources, "_open_capture", lambda target, timeout: fake)
        cameras.append(fake)
        return fake

    cameras: list[FakeCamera] = []
    yield plug
    for fake in cameras:
        fake.wake.set()


@pytest.mark.parametrize("x", [0, "0", "rtsp://user:secret@camera.example/live"])
def test_a_stream_that_ends_ends_the_iteration(camera, x):
    fake = camera(8, pause=0.03)
    with open_source(x, timeout=5) as source:
        assert source.live
        assert source.fps is None  # 90000 is the clock of RTP, not a rate
        assert source.length is None
        assert source.size == SIZE
        frames = list(source)
    assert [number_of(frame.image) for frame in frames] == [frame.index for frame in frames]
    assert frames[-1].index == 7
    assert len(frames) + source.dropped == 8
    times = [frame.timestamp for frame in frames]
    assert times == sorted(times)
    assert times[0] > 0
    assert fake.released.wait(5)
    assert "secret" not in source.name


@pytest.mark.parametrize("x", [0, "rtsp://camera.example/live"])
def test_ctrl_c_ends_the_wait_for_a_camera_or_stream_that_does_not_open(monkeypatch, x):
    silent, let_go = threading.Event(), threading.Event()

    def capture(*_):
        signal.raise_signal(signal.SIGINT)  # Python lets the main thread know of it
        silent.wait(20)
        let_go.set()

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            open_source(x, timeout=10)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not let_go.is_set()
    silent.set()
    assert let_go.wait(5)


def test_what_goes_wrong_while_a_camera_is_opened_is_the_callers(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: (_ for _ in ()).throw(ValueError("no driver")))
    with pytest.raises(ValueError, match="no driver"):
        open_source(0)


def test_a_slow_caller_gets_the_newest_frame(camera):
    camera(40, pause=0.005)
    with open_source(0, timeout=5) as source:
        first = next(source)
        while source._newest is None or source._newest[0] < 10:  # until the camera is well ahead
            time.sleep(0.005)
        second = next(source)
        rest = list(source)
    assert second.index >= 10
    assert number_of(second.image) == second.index
    assert source.dropped >= second.index - first.index - 1
    assert source.dropped + 2 + len(rest) == 40
    assert rest[-1].index == 39  # the last frame is not lost to the end


@pytest.mark.parametrize("frames", [0, 3])
def test_a_stream_that_stalls_is_an_error(camera, frames):
    camera(frames, pause=0.02, then="silence")
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"no frame for 0\.3 s from camera 1"):
        for _ in open_source(1, timeout=0.3):
            pass
    assert time.monotonic() - began < 10


def test_a_driver_that_fails_is_an_error(camera):
    fake = camera(2, pause=0.02, then="failure")
    with pytest.raises(SourceError, match="camera 0 failed: the driver is gone"), open_source(0, timeout=5) as source:
        list(source)
    assert fake.released.wait(5)


def test_closing_frees_the_camera(camera):
    fake = camera(10**6, pause=0.005)
    with open_source(0, timeout=5, max_frames=2) as source:
        assert source.length == 2
        assert len(list(source)) == 2
    assert fake.released.wait(5)


def test_a_camera_that_is_not_there_is_an_error(camera):
    camera(0, opened=False)
    with pytest.raises(SourceError, match="camera 7 cannot be opened"):
        open_source("7")
    with pytest.raises(SourceError, match="camera index is 0 or more"):
        open_source(-1)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_url_that_does_not_answer_is_an_error(scheme):
    with socket.socket() as server:  # accepts the connection and says nothing
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"{scheme}://me:secret@127.0.0.1:{server.getsockname()[1]}/live"
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"cannot be opened.*within 0\.5 s") as caught:
            open_source(url, timeout=0.5)
        assert time.monotonic() - began < 10
    assert "secret" not in str(caught.value)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class _Stalling(_Quiet):
    """Sends the first part of a file and then nothing, with the connection open."""

    def copyfile(self, source, outputfile):
        data = source.read()
        outputfile.write(data[: len(data) // 2])
        outputfile.flush()
        self.server.wake.wait(20)


@contextlib.contextmanager
def serve(folder, handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    server.wake = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.wake.set()
        server.shutdown()
        server.server_close()


def test_a_file_behind_a_url_is_read_without_dropping(tmp_path):
    make_video(tmp_path / "clip.mkv")
    with serve(tmp_path, _Quiet) as address, open_source(f"{address}/clip.mkv", timeout=5) as source:
        assert not source.live
        numbers = []
        for frame in source:
            time.sleep(0.002)  # slower than the server
            numbers.append(number_of(frame.image))
    assert numbers == list(range(30))


def test_a_download_that_stalls_is_an_error(tmp_path):
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (320, 240))
    for _ in range(60):  # larger than the reader's buffers
        writer.write(noise.integers(0, 256, (240, 320, 3), np.uint8))
    writer.release()
    with (
        serve(tmp_path, _Stalling) as address,
        pytest.raises(SourceError, match=r"no frame for 1 s|cannot be opened"),
        open_source(f"{address}/clip.avi", timeout=1) as source,
    ):
        list(source)


def test_a_source_is_a_source(video):
    with open_source(video) as source:
        assert isinstance(source, Source)
        assert iter(source) is source
