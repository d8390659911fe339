"""The command line, with a template matcher in place of the network.

Run as a script, this file is the command line with that tracker: the tests that need a process of their own start it.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.reliability.servers import free_port, serving
from tracker import LONG_TERM, sources
from tracker import __main__ as cli
from tracker.box import overlap
from tracker.frame import Frame, Image
from tracker.result import Box, TrackResult, TrackState
from tracker.sinks import read_results

ROOT = Path(cli.__file__).resolve().parent.parent
START, STEP, SIDE, FRAMES = (30, 20), (4, 2), 24, 12  # the clip: a textured square that moves at constant speed
BOX = f"{START[0]},{START[1]},{SIDE},{SIDE}"


class TemplateMatcher:
    """MultiTracker's interface over cv2.matchTemplate; LOST where the match is poor."""

    def __init__(self, delay: float = 0.0) -> None:
        self.results: dict[int, TrackResult] = {}
        self._templates: dict[int, Image] = {}
        self._delay = delay

    def add(self, frame: Image, box: Box, id: int | None = None) -> int:
        id = id or max(self.results, default=0) + 1
        x, y, w, h = (round(value) for value in box)
        self._templates[id] = frame[y : y + h, x : x + w].copy()
        self.results[id] = TrackResult(box, 1.0, TrackState.TRACKING, elapsed=0.01)
        return id

    def remove(self, id: int) -> None:
        del self.results[id], self._templates[id]

    def update(self, frame: Image, timestamp: float | None = None) -> dict[int, TrackResult]:
        time.sleep(self._delay)
        for id, template in self._templates.items():
            response = cv2.matchTemplate(frame, template, cv2.TM_CCOEFF_NORMED)
            _, score, _, (x, y) = cv2.minMaxLoc(response)
            state = TrackState.TRACKING if score > 0.7 else TrackState.LOST
            box = (float(x), float(y), float(template.shape[1]), float(template.shape[0]))
            self.results[id] = TrackResult(box, max(0.0, min(1.0, score)), state, elapsed=0.01, timestamp=timestamp)
        return dict(self.results)


def true_box(index: int) -> Box:
    return (START[0] + STEP[0] * index, START[1] + STEP[1] * index, SIDE, SIDE)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images: lossless, so that a plain template matcher follows exactly."""
    folder = tmp_path_factory.mktemp("clips") / "square"
    folder.mkdir()
    random = np.random.default_rng(0)
    background = random.integers(60, 90, (96, 160, 3), np.uint8)
    square = random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    for index in range(FRAMES):
        image = background.copy()
        x, y, w, h = (int(value) for value in true_box(index))
        image[y : y + h, x : x + w] = square
        cv2.imwrite(str(folder / f"{index:03d}.png"), image)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no display."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path


def run(*arguments: object) -> int:
    """The exit code of the command line in this process."""
    try:
        return cli.main([str(argument) for argument in arguments], TemplateMatcher())  # type: ignore[arg-type]
    except SystemExit as stop:
        return int(stop.code or 0)


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """This file as a process."""
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DISPLAY": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def count_frames(video: Path) -> int:
    capture = cv2.VideoCapture(str(video))
    count = 0
    while capture.grab():
        count += 1
    return count


def test_follows_the_target_and_writes_video_and_table(clip: Path, here: Path) -> None:
    assert run("--video", clip, "--box", BOX, "--output", "out.mp4", "--save", "out.csv") == 0
    rows = read_results(here / "out.csv")
    assert [(row.frame, row.id) for row in rows] == [(index, 1) for index in range(FRAMES)]
    assert all(overlap(row.box, true_box(row.frame)) == 1 for row in rows)
    assert count_frames(here / "out.mp4") == FRAMES


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.txt"])
def test_every_table_format_reads_back(name: str, clip: Path, here: Path) -> None:
    assert run("--video", clip, "--box", BOX, "--save", name) == 0
    assert [row.box for row in read_results(here / name)] == [true_box(index) for index in range(FRAMES)]
    assert [path.name for path in here.iterdir()] == [name]


def test_writes_video_and_table_here_when_nothing_is_asked_for(clip: Path, here: Path) -> None:
    assert run("--video", clip, "--box", BOX) == 0
    assert sorted(path.name for path in here.iterdir()) == ["square_tracked.csv", "square_tracked.mp4"]


def test_several_boxes_from_arguments_and_files_are_several_targets(clip: Path, here: Path) -> None:
    (here / "boxes.json").write_text(json.dumps([true_box(0), [100, 60, 30, 20]]))
    assert run("--video", clip, "--box", "2,2,20,20", "--box", "boxes.json", "--save", "out.csv") == 0
    first = [row for row in read_results(here / "out.csv") if row.frame == 0]
    assert [(row.id, row.box) for row in first] == [(1, (2, 2, 20, 20)), (2, true_box(0)), (3, (100, 60, 30, 20))]


def test_start_and_max_frames_choose_the_frames(clip: Path, here: Path) -> None:
    box = ",".join(map(str, true_box(3)))
    assert run("--video", clip, "--start", 3, "--max-frames", 4, "--box", box, "--save", "out.csv") == 0
    assert [row.frame for row in read_results(here / "out.csv")] == [3, 4, 5, 6]


def test_a_box_may_begin_left_of_the_image(clip: Path, here: Path) -> None:
    options = cli.parse(["--video", "v", "--box", "-5,10,20,30", "--box", "1,2,3,4"])
    assert options.box == [(-5, 10, 20, 30), (1, 2, 3, 4)]


def test_closing_summary_counts_frames_states_and_speed(clip: Path, here: Path, capsys: pytest.CaptureFixture) -> None:
    blank = here / "blank"
    blank.mkdir()
    for path in sorted(clip.iterdir())[:6]:
        (blank / path.name).write_bytes(path.read_bytes())
    for index in (6, 7):  # the target is gone
        noise = np.random.default_rng(index).integers(0, 9, (96, 160, 3), np.uint8)
        cv2.imwrite(str(blank / f"{index:03d}.png"), noise)
    assert run("--video", blank, "--box", BOX, "--save", "out.csv", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == {
        "video": str(blank),
        "frames": 8,
        "targets": 1,
        "fps": 100.0,  # 0.01 s a frame
        "tracking": 0.75,
        "uncertain": 0.0,
        "lost": 0.25,
        "output": None,
        "save": "out.csv",
        "stopped": None,
    }


def test_closing_line_says_where_the_results_are(clip: Path, here: Path, capsys: pytest.CaptureFixture) -> None:
    run("--video", clip, "--box", BOX, "--output", "o.mp4", "--save", "o.jsonl")
    captured = capsys.readouterr()
    assert captured.out == (
        "12 frames at 100.0 frames/s in the tracker, 100 % tracking, 0 % uncertain, 0 % lost; "
        "results in o.mp4 and o.jsonl\n"
    )
    assert captured.err == ""  # no progress bar: not a terminal


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--box", BOX, "--save", "out.xml"], "must end in one of .csv .jsonl .txt"),
        (["--box", BOX, "--output", "out.gif"], "must end in one of .mp4"),
        (["--box", BOX, "--save", "nowhere/out.csv"], "there is no folder nowhere"),
        (["--box", BOX, "--save", "exists.csv"], "exists.csv exists already (--overwrite replaces it)"),
        (["--box", "1,2,3"], "expected X,Y,W,H"),
        (["--box", "1,2,3,four"], "box must be four numbers"),
        (["--box", "1,2,0,4"], "positive width and height"),
        (["--box", "1,2,nan,4"], "finite"),
        (["--box", "inf,2,3,4"], "finite"),
        (["--box", "500,2,3,4"], "outside the 160x96 image"),
        (["--box", "missing.json"], "missing.json: No such file"),
        (["--box", "exists.json"], "expected [[x, y, w, h], ...]"),
        (["--box", BOX, "--start", "-1"], "0 or more"),
        (["--box", BOX, "--start", "99"], "99"),
        (["--box", BOX, "--max-frames", "0"], "1 or more"),
        (["--box", BOX, "--threads", "two"], "1 or more"),
        (["--box", BOX, "--runtime", "magic"], "invalid choice"),
        (["--box", BOX, "--weights", "no/such.safetensors"], "no such file: no/such.safetensors"),
        (["--box", BOX, "--show"], "--show cannot open a window"),
        (["--box", BOX, "--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_refuses_in_one_line_before_anything_is_written(
    arguments: list[str], reason: str, clip: Path, here: Path, capsys: pytest.CaptureFixture
) -> None:
    (here / "exists.csv").write_text("mine")
    (here / "exists.json").write_text("[1, 2, 3, 4]")
    assert run("--video", clip, *arguments) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.err.startswith("track: error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(path.name for path in here.iterdir()) == ["exists.csv", "exists.json"]
    assert (here / "exists.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["missing.mp4", "notes.mp4", "empty.mp4", "nothing/*.png", "emptied"])
def test_refuses_what_is_no_video(name: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    (here / "notes.mp4").write_text("not a video at all")
    (here / "empty.mp4").touch()
    (here / "emptied").mkdir()
    assert run("--video", name, "--box", BOX) == 2
    assert name in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["emptied", "empty.mp4", "notes.mp4"]


def test_libraries_add_nothing_to_the_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video at all")
    process = start("--video", "notes.mp4", "--box", BOX, cwd=tmp_path)
    assert process.communicate(timeout=60) == ("", "track: error: notes.mp4 is not a video that can be read\n")


def test_a_source_that_fails_on_the_way_is_one_line_and_keeps_what_was_written(
    clip: Path, here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    intact = sources.Source.__next__

    def stall(source: sources.Source) -> Frame:
        frame = intact(source)
        if frame.index == 5:
            raise sources.SourceError("no frame for 10 s from camera 0")
        return frame

    monkeypatch.setattr(sources.Source, "__next__", stall)
    assert run("--video", clip, "--box", BOX, "--save", "out.csv", "--output", "out.mp4", "--json") == 2
    captured = capsys.readouterr()
    assert captured.err == "track: error: no frame for 10 s from camera 0\n"
    assert json.loads(captured.out)["stopped"] == "no frame for 10 s from camera 0"
    assert len(read_results(here / "out.csv")) == count_frames(here / "out.mp4") == 5


def test_without_display_and_box_shows_the_line_to_type(
    clip: Path, here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["tools/track.py"])
    spaced = here / "my clip"
    spaced.symlink_to(clip)
    assert run("--video", "my clip", "--show", "--threads", 2) == 2  # typed again with --show it would fail again
    error = capsys.readouterr().err
    assert error.endswith("(160x96): python tools/track.py --video 'my clip' --threads 2 --box X,Y,W,H\n")


def test_never_writes_over_the_video_itself(clip: Path, here: Path, capsys: pytest.CaptureFixture) -> None:
    run("--video", clip, "--box", BOX, "--output", "clip.mp4")
    before = (here / "clip.mp4").read_bytes()
    assert run("--video", "clip.mp4", "--box", BOX, "--output", "./clip.mp4", "--overwrite") == 2
    assert "is the video itself" in capsys.readouterr().err
    assert (here / "clip.mp4").read_bytes() == before


def test_overwrite_replaces_results(clip: Path, here: Path) -> None:
    (here / "out.csv").write_text("old")
    assert run("--video", clip, "--box", BOX, "--save", "out.csv", "--overwrite") == 0
    assert len(read_results(here / "out.csv")) == FRAMES


def test_weights_that_do_not_load_are_refused(
    clip: Path, here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(options: object) -> None:
        raise ValueError("weights broken.safetensors:\n  truncated")

    monkeypatch.setattr(cli, "load_tracker", refuse)
    assert cli.main(["--video", str(clip), "--box", BOX, "--save", "out.csv"]) == 2
    assert capsys.readouterr().err == "track: error: weights broken.safetensors: truncated\n"
    assert list(here.iterdir()) == []


def test_settings_reach_the_tracker(clip: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}

    def load(*_: object, **options: object) -> TemplateMatcher:
        given.update(options)
        return TemplateMatcher()

    monkeypatch.setattr("tracker.multi.MultiTracker.from_pretrained", load)
    settings = ["--set", "redetect_every=0", "--set", "appearance_weight=10", "--set", "redetect_every=2"]
    assert cli.main(["--video", str(clip), "--box", BOX, "--save", "out.csv", *settings]) == 0
    assert {key: given[key] for key in ("redetect_every", "appearance_weight")} == {
        "redetect_every": 2,  # the last one counts
        "appearance_weight": 10,
    }
    assert not LONG_TERM.keys() <= given.keys()
    long = ["--long-term", "--set", "redetect_after=50"]
    assert cli.main(["--video", str(clip), "--box", BOX, "--save", "long.csv", *long]) == 0
    assert {key: given[key] for key in LONG_TERM} == {**LONG_TERM, "redetect_after": 50}


@pytest.mark.parametrize("setting", ["runtime=torch", "name_or_path=x", "redetect=1", "colour_gate=-1", "looks"])
def test_settings_that_there_are_not_are_refused(
    setting: str, clip: Path, here: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_with_weights("--video", clip, "--box", BOX, "--save", "out.csv", "--set", setting) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("track")
    assert setting.partition("=")[0] in error
    assert list(here.iterdir()) == []


def run_with_weights(*arguments: object) -> int:
    """The exit code of the command line with the tracker that it loads by itself."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def test_a_truncated_video_is_tracked_to_its_end_with_a_warning(
    clip: Path, here: Path, capsys: pytest.CaptureFixture
) -> None:
    run("--video", clip, "--box", BOX, "--output", "whole.avi")
    whole = (here / "whole.avi").read_bytes()
    (here / "cut.avi").write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    assert run("--video", "cut.avi", "--box", BOX, "--save", "out.csv") == 0
    assert 0 < len(read_results(here / "out.csv")) < FRAMES
    error = capsys.readouterr().err
    assert not error or (error.startswith("track: warning: ") and error.count("\n") == 1)


def test_a_window_stops_pauses_and_draws_the_worst_target_again(
    clip: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker import viewers

    commands = iter([None, viewers.Command.RESELECT, None, viewers.Command.QUIT])

    class Scripted:
        def __init__(self, title: str, fps: float | None) -> None:
            assert "square" in title

        def __enter__(self) -> Scripted:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def close(self) -> None:
            pass

        def show(self, image: Image) -> viewers.Command | None:
            return next(commands)

    monkeypatch.setattr(viewers, "display_problem", lambda: None)
    monkeypatch.setattr(viewers, "Viewer", Scripted)
    monkeypatch.setattr(viewers, "select_boxes", lambda image, title="": [(50.0, 40.0, 20.0, 20.0)])
    assert run("--video", clip, "--box", BOX, "--show", "--save", "out.csv") == 0
    rows = read_results(here / "out.csv")
    assert [row.frame for row in rows] == [0, 1, 2, 3]  # stopped after the fourth picture, which is saved too
    assert rows[0].box == true_box(0)
    assert rows[1].box == (50, 40, 20, 20)
    assert rows[1].score == 1


def test_drawn_boxes_are_tracked_and_a_cancelled_window_is_refused(
    clip: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from tracker import viewers

    monkeypatch.setattr(viewers, "display_problem", lambda: None)
    monkeypatch.setattr(viewers, "select_boxes", lambda image: [])
    assert run("--video", clip, "--save", "out.csv") == 2
    assert "no box was drawn" in capsys.readouterr().err
    assert list(here.iterdir()) == []
    monkeypatch.setattr(viewers, "select_boxes", lambda image: [true_box(0)])
    assert run("--video", clip, "--save", "out.csv") == 0
    assert len(read_results(here / "out.csv")) == FRAMES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupted_with_complete_results(number: signal.Signals, clip: Path, tmp_path: Path) -> None:
    table, video = tmp_path / "out.csv", tmp_path / "out.mp4"
    process = start("--slow", "--video", clip, "--box", BOX, "--save", table, "--output", video, "--json")
    deadline = time.monotonic() + 60
    while not (table.exists() and table.read_text().count("\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    rows = read_results(table)
    summary = json.loads(out)
    assert 2 <= len(rows) < FRAMES
    assert summary["frames"] == len(rows) == count_frames(video)
    assert summary["stopped"] == "interrupted"


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_disk_full_is_one_line_and_keeps_what_was_written(clip: Path, tmp_path: Path) -> None:
    import resource

    table = tmp_path / "out.csv"
    process = start(
        "--video", clip, "--box", BOX, "--save", table,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)),
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith(f"track: error: {table} cannot be written: ")
    assert err.count("\n") == 1
    assert 0 < len(read_results(table)) < FRAMES


@pytest.mark.parametrize("arguments", [["--help"], [], ["--video", "v.mp4", "--box", "1,2,3"]])
def test_help_and_wrong_arguments_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tracker.__main__ import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as stop:\n    code = stop.code\n"
        "print(code, *({'torch', 'cv2', 'numpy', 'tqdm'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == ("0" if arguments == ["--help"] else "2")


def test_refusals_come_before_torch_is_imported(clip: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tracker.__main__ import main\n"
        "print(main(sys.argv[1:]), 'torch' in sys.modules)\n"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, "--video", str(clip), "--box", "900,2,3,4"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 False\n"


@pytest.mark.parametrize("command", [["-m", "tracker"], [str(ROOT / "tools" / "track.py")]])
def test_both_ways_to_start_it_show_examples(command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command, "--help"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    name = "python -m tracker" if "-m" in command else f"python {command[-1]}"
    assert f"{name} --video clip.mp4 --box" in done.stdout


def wait_for_rows(table: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while (not table.exists() or len(table.read_text().splitlines()) <= count) and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_stream_goes_on_when_its_server_is_back(tmp_path: Path, scheme: str):
    port, table, rtsp = free_port(), tmp_path / "out.csv", scheme == "rtsp"
    command = (
        "--video",
        f"{scheme}://127.0.0.1:{port}/live",
        "--box",
        "220,100,60,60",
        "--max-frames",
        40,
        "--save",
        table,
    )
    with serving(port, rtsp=rtsp) as server:
        process = start(*command)
        wait_for_rows(table, 10)
        server.send_signal(signal.SIGKILL)
        server.wait()
    with serving(port, rtsp=rtsp):
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "is opened again: " in said
    assert "is back after" in said
    rows = read_results(table)
    assert len(rows) == 40
    assert all(a.frame < b.frame and a.time < b.time for a, b in itertools.pairwise(rows))


@pytest.mark.parametrize(("arguments", "ending"), [(("--reconnect", 0), 0), (("--reconnect", 0.1), 2)])
def test_a_stream_is_given_up_when_told_to(tmp_path: Path, arguments, ending):
    port, table = free_port(), tmp_path / "out.csv"
    with serving(port) as server:
        process = start(
            "--video", f"http://127.0.0.1:{port}/live", "--box", "220,100,60,60", "--save", table, *arguments
        )
        wait_for_rows(table, 2)
        server.send_signal(signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == ending, said
    assert ("did not come back within 0.1 s" in said) == (ending == 2)
    assert len(read_results(table)) >= 2


if __name__ == "__main__":
    words = sys.argv[1:]
    slow = "--slow" in words
    words = [word for word in words if word != "--slow"]
    sys.exit(cli.main(words, TemplateMatcher(delay=0.3 if slow else 0.0)))  # type: ignore[arg-type]
