"""The faults: each makes one, runs the tracker into it, and says what happened and whether the promise was kept."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from benchmarks.reliability.damage import cut_off, flip_bits
from benchmarks.reliability.servers import DISC, FPS, free_port, picture, serving
from tracker.capture import CaptureThread
from tracker.frame import Frame, Image
from tracker.result import Box, TrackState
from tracker.siam import SiamTracker
from tracker.sinks import read_results
from tracker.sources import SourceError, open_source

FRAMES = 100  # of the clip, where the whole is not needed
CLIP, BOX = Path("examples/demo.mp4"), "examples/demo_box.json"
DISC_BOX = (210.0, 90.0, 60.0, 60.0)  # round the disc of a stream, where it stands at first
STILL, BRIEFLY = ("--still", "1000"), ("--still", "75")  # for as long as a tracker starts, or its connection
PATIENCE = 600  # seconds for a command, on a busy machine
SMALL_DISK = "20m"  # a video stops with 16 MiB to spare


@dataclass(frozen=True)
class Outcome:
    """What a fault led to.

    Attributes:
        fault: what was done.
        happened: what the tracker did, in words and numbers.
        kept: whether it did what is promised; `None` where the fault could not be made here.
    """

    fault: str
    happened: str
    kept: bool | None


@dataclass(frozen=True)
class Command:
    """How a ``python -m tracker`` ended."""

    code: int
    summary: dict[str, object]
    errors: str

    @property
    def in_one_line(self) -> bool:
        """Whether it said at most one line of error, and no traceback."""
        errors = [line for line in self.errors.splitlines() if not line.startswith("track: warning: ")]
        return len(errors) <= 1 and "Traceback" not in self.errors

    @property
    def last_line(self) -> str:
        """The end of what it said, without the name of a folder that is gone soon."""
        lines = self.errors.strip().splitlines()
        return lines[-1].removeprefix("track: ") if lines else "no message"


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    command = [sys.executable, "-m", "tracker", "--threads", "1", "--json", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> Command:
    """Wait for it.

    Raises:
        subprocess.TimeoutExpired: it hangs; it is killed then.
    """
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Command(process.returncode, json.loads(out) if out.startswith("{") else {}, err)


def flipped(folder: Path, rate: float) -> Outcome:
    """Bits of an H.264 file flipped, and the file tracked through to its end."""
    damaged, table = folder / "damaged.mp4", folder / "out.csv"
    count = flip_bits(CLIP, damaged, rate)
    run = end(start("--video", damaged, "--box", BOX, "--save", table, "--max-frames", FRAMES))
    rows = read_results(table) if table.exists() else []
    truth = np.loadtxt(CLIP.with_name("demo_groundtruth.txt"), delimiter=",")
    errors = [np.hypot(*_offset(row.box, truth[row.frame])) for row in rows if row.state is TrackState.TRACKING]
    within = float(np.mean(np.less(errors, 20))) if errors else 0.0
    happened = (
        f"{count} bits flipped; exit code {run.code}, {len(rows)} of {FRAMES} frames tracked, centre within 20 "
        f"pixels in {100 * within:.0f} % of the TRACKING ones ({len(errors)}); {run.last_line}"
    )
    fault = f"bits of an H.264 file flipped at {rate:.0e}" if rate else "no fault, to compare with"
    return Outcome(fault, happened, run.code == 0 and run.in_one_line)


def _offset(box: tuple[float, ...], truth: np.ndarray) -> tuple[float, float]:
    return box[0] + box[2] / 2 - truth[0] - truth[2] / 2, box[1] + box[3] / 2 - truth[1] - truth[3] / 2


def truncated(folder: Path) -> Outcome:
    """60 % of a Matroska file, whose index is not needed, and of an MP4 file, whose index is at the end."""
    whole, part, half = folder / "whole.mkv", folder / "part.mkv", folder / "part.mp4"
    _record(whole, FRAMES)
    cut_off(whole, part, 0.6)
    cut_off(CLIP, half, 0.6)
    open_end = end(start("--video", part, "--box", BOX, "--save", folder / "part.csv"))
    no_index = end(start("--video", half, "--box", BOX, "--save", folder / "half.csv"))
    rows = len(read_results(folder / "part.csv"))
    happened = (
        f"MKV: exit code {open_end.code}, {rows} of {FRAMES} frames tracked, {open_end.last_line}; MP4 without its "
        f"index: exit code {no_index.code}, {no_index.last_line}"
    )
    kept = open_end.code == 0 and 0.4 * FRAMES <= rows < FRAMES and no_index.code == 2 and no_index.in_one_line
    return Outcome("file cut off at 60 %", happened.replace(f"{folder}/", ""), kept)


def _record(path: Path, frames: int) -> None:
    with open_source(CLIP, max_frames=frames) as source:
        codec = "MJPG" if path.suffix == ".avi" else "mp4v"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), FPS, source.size)
        for frame in source:
            writer.write(frame.image)
        writer.release()


def resolution(folder: Path) -> Outcome:
    """A stream that sends another size every 20 frames; both outputs are written."""
    port = free_port()
    table, video = folder / "out.csv", folder / "out.avi"
    with serving(port, "--sizes", "320x240", "480x360", "--every", "20"):
        source = ("--video", f"http://127.0.0.1:{port}/live", "--box", "220,100,60,60", "--max-frames", FRAMES)
        run = end(start(*source, "--save", table, "--output", video))
    rows, readable = read_results(table), count_frames(video)
    happened = f"exit code {run.code}, {len(rows)} rows, {readable} frames of video, {run.last_line}"
    return Outcome("resolution of a stream switches", happened, run.code == 0 and len(rows) == readable == FRAMES)


def frozen(folder: Path, rtsp: bool = False) -> Outcome:
    """A stream that goes silent with the connection open and does not come back: the command gives up, and keeps what
    it has.
    """
    port, table, video = free_port(), folder / "out.jsonl", folder / "out.mp4"
    with serving(port, *STILL, rtsp=rtsp) as server:
        process = start(*_stream(port, rtsp), "--save", table, "--output", video, "--reconnect", "2")
        _wait_for_rows(table, 10, process)
        server.send_signal(signal.SIGSTOP)
        since = time.monotonic()
        run = end(process)
        seconds = time.monotonic() - since
    rows, readable = len(read_results(table)), count_frames(video)
    happened = f"exit code {run.code} after {seconds:.0f} s, {rows} rows and {readable} frames of video kept"
    kept = run.code == 2 and run.in_one_line and rows >= 10 and rows == readable == run.summary.get("frames")
    what = f"{_protocol(rtsp)} stream freezes for ever, --reconnect 2"
    return Outcome(what, f"{happened}, {run.last_line}".replace(str(port), "PORT"), kept)


def _protocol(rtsp: bool) -> str:
    return "RTSP" if rtsp else "MJPEG"


def _url(port: int, rtsp: bool) -> str:
    return f"{'rtsp' if rtsp else 'http'}://127.0.0.1:{port}/live"


def _stream(port: int, rtsp: bool) -> tuple[str, ...]:
    """Arguments of the command line that follows a stream's disc."""
    return "--video", _url(port, rtsp), "--box", ",".join(map(str, DISC_BOX))


def command_restarted(folder: Path, rtsp: bool = False) -> Outcome:
    """A stream's server killed under the command line, and another started in its place."""
    port, table, video, frames = free_port(), folder / "out.csv", folder / "out.mp4", 2 * FRAMES
    with serving(port, *STILL, rtsp=rtsp) as server:
        process = start(
            *_stream(port, rtsp), "--max-frames", frames, "--save", table, "--output", video, "--reconnect", "60"
        )
        _wait_for_rows(table, 20, process)
        server.send_signal(signal.SIGKILL)
        server.wait()
        time.sleep(1.0)
        before = len(read_results(table))
        with serving(port, *BRIEFLY, rtsp=rtsp):
            since = time.monotonic()
            _wait_for_rows(table, before + 1, process)
            seconds = time.monotonic() - since
            run = end(process)
    rows, readable = read_results(table), count_frames(video)
    forward = all(a.frame < b.frame and a.time < b.time for a, b in itertools.pairwise(rows))  # type: ignore[operator]
    with open_source(video) as source:
        after = [(row.box, frame.image) for row, frame in zip(rows, source, strict=False)][before:]
    share = _share_on_disc(after)
    said = "; ".join(line.removeprefix("track: ") for line in run.errors.splitlines()).replace(str(port), "PORT")
    happened = (
        f"frames again {seconds:.1f} s after the restart, the box on the target in {100 * share:.0f} % of them; exit "
        f"code {run.code}, {len(rows)} rows, {readable} frames of video readable, {_clock(forward)}; {said}"
    )
    whole = run.code == 0 and len(rows) == readable == frames
    kept = whole and forward and share >= 0.5 and "is back after" in run.errors
    return Outcome(f"{_protocol(rtsp)} server killed and restarted, command line", happened, kept)


def restarted(folder: Path, rtsp: bool = False, freeze: bool = False) -> Outcome:
    """A stream's server killed, or frozen, and another started in its place: `CaptureThread` finds it again."""
    port = free_port()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each reconnection is one
        with (
            serving(port, *STILL, rtsp=rtsp) as server,
            CaptureThread(_url(port, rtsp), timeout=3.0, patience=60.0) as frames,
        ):
            before = [next(frames) for _ in range(20)]
            server.send_signal(signal.SIGSTOP if freeze else signal.SIGKILL)
            time.sleep(4.0 if freeze else 1.0)
            with suppress(ProcessLookupError):
                server.kill()
            server.wait()
            with serving(port, *BRIEFLY, rtsp=rtsp):
                since = time.monotonic()
                before += _until_again(frames)
                seconds = time.monotonic() - since
                reconnects = frames.reconnects
                after = [before.pop(), *(next(frames) for _ in range(FRAMES))]
    tracker = SiamTracker.from_pretrained("compact")
    tracker.init(before[0].image, DISC_BOX)
    boxes = [tracker.update(frame.image, frame.timestamp).box for frame in before[1:] + after]
    share = _share_on_disc([(box, frame.image) for box, frame in zip(boxes[-len(after) :], after, strict=True)])
    happened = f"frames again {seconds:.1f} s after the restart, the box on the target in {100 * share:.0f} % of them"
    what = f"{_protocol(rtsp)} server {'frozen, then ' if freeze else ''}killed and restarted"
    found = _continued(what, before + after, happened, reconnects)
    return replace(found, kept=found.kept and share >= 0.5)


def _share_on_disc(found: list[tuple[Box, Image]]) -> float:
    """How many of the boxes have their centre within half the disc's radius of its own, which its colour shows."""
    errors = []
    for (x, y, w, h), image in found:
        rows, columns = np.nonzero(np.abs(image.astype(int) - DISC).max(axis=2) < 30)
        errors.append(np.hypot(x + w / 2 - np.median(columns), y + h / 2 - np.median(rows)))
    return float(np.mean(np.less(errors, DISC_BOX[2] / 4))) if errors else 0.0


def _until_again(frames: CaptureThread) -> list[Frame]:
    """What comes until the source was opened again, that frame with it."""
    found = []
    while frames.reconnects == 0:
        if (frame := frames.read(0.1)) is not None:
            found.append(frame)
    return [*found, next(frames)]


def _continued(what: str, frames: list[Frame], happened: str, reconnects: int) -> Outcome:
    steps = list(itertools.pairwise(frames))
    forward = all(a.index < b.index and a.timestamp < b.timestamp for a, b in steps)
    gap = max(b.timestamp - a.timestamp for a, b in steps)
    clock = f"{_clock(forward)}, longest gap {gap:.1f} s"
    return Outcome(what, f"{happened}; opened again {reconnects} ×; {clock}", forward and reconnects >= 1)


def _clock(forward: bool) -> str:
    return f"index and time {'never step back' if forward else 'STEP BACK'}"


class Camera:
    """An OpenCV camera that can be unplugged: reading fails, and so does opening, until it is back."""

    plugged = True

    def __init__(self, *_: object) -> None:
        self._count = 0
        self._open = Camera.plugged

    def isOpened(self) -> bool:
        return self._open and Camera.plugged

    def read(self) -> tuple[bool, object]:
        time.sleep(1 / FPS)
        self._count += 1
        return (True, picture(self._count, (320, 240))) if self.isOpened() else (False, None)

    def get(self, _: int) -> float:
        return 0.0

    def release(self) -> None:
        self._open = False


def unplugged(folder: Path) -> Outcome:
    """A camera (a stand-in for OpenCV's) away for 2 s."""
    Camera.plugged = True
    with warnings.catch_warnings(), mock.patch("tracker.sources.cv2.VideoCapture", Camera):
        warnings.simplefilter("ignore")
        with CaptureThread(0, timeout=3.0) as frames:
            before = [next(frames) for _ in range(10)]
            Camera.plugged = False
            time.sleep(2.0)
            Camera.plugged = True
            since = time.monotonic()
            after = _until_again(frames)
            seconds = time.monotonic() - since
            after += [next(frames) for _ in range(10)]
            reconnects = frames.reconnects
    return _continued(
        "camera unplugged and back (stand-in)",
        [*before, *after],
        f"frames again {seconds:.1f} s after it was back",
        reconnects,
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system in memory of `SMALL_DISK`, mounted for the while.

    Raises:
        OSError: this user may not mount one.
    """
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        raise OSError(mount.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)


def disk_full(folder: Path, suffix: str) -> Outcome:
    """A disk that fills up while results are written."""
    what = f"disk full while writing {suffix}"
    try:
        with small_disk(folder / "disk") as disk:
            video = suffix in (".avi", ".mkv", ".mp4")
            path = disk / f"out{suffix}"
            (disk / "ballast").write_bytes(bytes(2 * 2**20 if video else 20 * 2**20 - 2 * 4096))
            run = end(start("--video", CLIP, "--box", BOX, "--output" if video else "--save", path))
            got = count_frames(path) if video else len(read_results(path))
    except OSError as error:
        return Outcome(what, f"no small disk could be mounted: {error}", None)
    said = run.last_line.replace(f"{disk}/", "")
    happened = f"exit code {run.code} after {run.summary.get('frames')} frames, {got} of them readable; {said}"
    kept = run.code == 2 and run.in_one_line and 0 < got < 300 and abs(got - int(str(run.summary["frames"]))) <= 2
    return Outcome(what, happened, kept)


def full_device(folder: Path) -> Outcome:
    """/dev/full: no byte can be written."""
    path = folder / "out.csv"
    try:
        path.symlink_to("/dev/full")
        run = end(start("--video", CLIP, "--box", BOX, "--save", path, "--overwrite"))
    except OSError as error:
        return Outcome("/dev/full", str(error), None)
    said = run.last_line.replace(f"{folder}/", "")
    return Outcome("/dev/full", f"exit code {run.code}, {said}", run.code == 2 and run.in_one_line)


def killed(folder: Path, suffix: str, number: signal.Signals) -> Outcome:
    """The process killed while it records a table and a video; what can be read afterwards is counted."""
    video, table = folder / f"out{suffix}", folder / ("out.jsonl" if suffix == ".mkv" else "out.csv")
    process = start("--video", CLIP, "--box", BOX, "--save", table, "--output", video)
    _wait_for_rows(table, FRAMES, process)
    process.send_signal(number)
    run = end(process)
    rows, readable = len(read_results(table)), count_frames(video)
    lost = (rows - readable) / FPS
    happened = (
        f"exit code {run.code}; {rows} rows of {table.suffix} whole, {readable} frames of video readable: {lost:.2f} s "
        "of video lost"
    )
    kept = rows >= FRAMES and lost <= 1 and run.code == (-9 if number == signal.SIGKILL else 130)
    return Outcome(f"{'kill -9' if number == signal.SIGKILL else number.name}, recording {suffix}", happened, kept)


def clock(folder: Path) -> Outcome:
    """The system's clock jumps back an hour at every look at it: frames must not."""
    past = itertools.count(1e9, -3600)
    Camera.plugged = True
    with (
        mock.patch("tracker.sources.cv2.VideoCapture", Camera),
        mock.patch("time.time", side_effect=past),
        CaptureThread(0, timeout=3.0) as frames,
    ):
        found = [next(frames) for _ in range(20)]
    steps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(found)]
    happened = f"time between 20 frames: {min(steps):.3f} to {max(steps):.3f} s"
    return Outcome("system clock jumps back", happened, min(steps) > 0)


def count_frames(path: Path) -> int:
    """Frames of a video that decode, however it ends; 0 where there is none."""
    try:
        with warnings.catch_warnings(), open_source(path) as source:
            warnings.simplefilter("ignore")
            return sum(1 for _ in source)
    except SourceError:
        return 0


def _wait_for_rows(table: Path, rows: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if table.exists() and table.read_bytes().count(b"\n") > rows:
            return
        time.sleep(0.002)


FAULTS: dict[str, Callable[[Path], Outcome]] = {
    "flipped-0": lambda folder: flipped(folder, 0),
    "flipped-1e-5": lambda folder: flipped(folder, 1e-5),
    "flipped-1e-4": lambda folder: flipped(folder, 1e-4),
    "truncated": truncated,
    "resolution": resolution,
    "frozen": frozen,
    "frozen-rtsp": lambda folder: frozen(folder, rtsp=True),
    "mjpeg-restarted": restarted,
    "mjpeg-frozen": lambda folder: restarted(folder, freeze=True),
    "rtsp-restarted": lambda folder: restarted(folder, rtsp=True),
    "rtsp-frozen": lambda folder: restarted(folder, rtsp=True, freeze=True),
    "command-mjpeg-restarted": command_restarted,
    "command-rtsp-restarted": lambda folder: command_restarted(folder, rtsp=True),
    "unplugged": unplugged,
    "disk-full-avi": lambda folder: disk_full(folder, ".avi"),
    "disk-full-csv": lambda folder: disk_full(folder, ".csv"),
    "full-device": full_device,
    "killed-avi": lambda folder: killed(folder, ".avi", signal.SIGKILL),
    "killed-mkv": lambda folder: killed(folder, ".mkv", signal.SIGKILL),
    "killed-mp4": lambda folder: killed(folder, ".mp4", signal.SIGKILL),
    "terminated": lambda folder: killed(folder, ".mp4", signal.SIGTERM),
    "clock": clock,
}
