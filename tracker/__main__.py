"""Track objects through a video from the command line: ``python -m tracker``, which is ``tools/track.py``.

Heavy modules are imported where they are needed, so that help and refusals come at once. Everything is checked before
the first byte is written: arguments, outputs, the video and its first frame, the boxes, the weights.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from tracker.arguments import natural, positive, seconds, setting
from tracker.result import Box, TrackResult, TrackState

if TYPE_CHECKING:
    from tracker.frame import Frame
    from tracker.multi import MultiTracker
    from tracker.rerun_viewer import RerunViewer
    from tracker.sources import Source
    from tracker.viewers import Viewer
    from tracker.web import Dashboard

J = TypeVar("J")

DONE, REFUSED, INTERRUPTED = 0, 2, 130
RUNTIMES = ("auto", "torch", "onnxruntime", "openvino", "tensorrt")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv")
TABLE_SUFFIXES = (".csv", ".jsonl", ".txt", ".mcap", ".db3")

EXAMPLES = """\
examples:
  %(prog)s --video clip.mp4
      draw the box in a window and watch; also writes clip_tracked.mp4 and clip_tracked.csv here
  %(prog)s --video clip.mp4 --box 120,80,64,48 --output out.mp4 --save out.csv
      no display needed
  %(prog)s --video 0 --show
      the first camera
  %(prog)s --video 'frames/*.jpg' --box 10,10,50,90 --box 200,40,50,80 --save out.txt
      two targets, MOTChallenge text
  %(prog)s --video rtsp://camera/stream --box boxes.json --max-frames 500 --json
      boxes.json is [[x, y, w, h], ...]; the closing summary as JSON
  %(prog)s --video clip.mp4 --box 120,80,64,48 --rerun clip.rrd
      recorded for Rerun: frames, boxes, score, response and latency on one timeline (`rerun clip.rrd` opens it)
  %(prog)s --video run.mcap --topic /camera/image_raw --box 120,80,64,48 --save tracks.mcap
      a robot log (MCAP, ROS 1 or 2 bag); results as a topic of vision_msgs/Detection2D

  %(prog)s --video 0 --web
      draw the boxes and watch in a browser, of this machine; --web 0.0.0.0:8765 for a phone's, with a token

Without --output, --save, --show, --rerun and --web the results are NAME_tracked.mp4 and NAME_tracked.csv in the current
folder.

exit codes: 0 done; 2 wrong arguments, unreadable input, or results that can no longer be written (disk full);
130 stopped by Ctrl-C or SIGTERM. Whatever was written until then is complete and readable.
"""


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"track: error: {message} (--help shows examples)\n")


def program() -> str:
    """How this command was started, to be typed again."""
    started = sys.argv[0]
    if os.path.basename(started) == "__main__.py":
        return "python -m tracker"
    return f"python {started}" if started.endswith(".py") else os.path.basename(started)


def build_parser() -> Parser:
    parser = Parser(
        prog=program(),
        description="Follow one or several objects through a video, from a box around each in the first frame.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--video", required=True, help="file, camera index, RTSP/HTTP URL, folder or glob of images, or robot log")
    add("--topic", metavar="NAME", help="of a robot log: the images to track in (default: the only ones there are)")
    add(
        "--box",
        action="append",
        type=parse_boxes,
        metavar="X,Y,W,H|FILE.json",
        help="the target in the first frame, 0-based pixels; repeat for several targets; "
        "without it the boxes are drawn in a window",
    )
    add("--output", type=Path, metavar="VIDEO", help="write the video with the boxes drawn: .mp4, .avi or .mkv")
    add(
        "--save",
        type=Path,
        metavar="TABLE",
        help="write the boxes: .csv, .jsonl, .txt (MOTChallenge), or a robot log: .mcap, .db3 (a ROS 2 bag's folder)",
    )
    add("--show", action="store_true", help="watch in a window (Space pauses, R draws the worst target again, Q quits)")
    add(
        "--web",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="watch in a browser, and draw, restart and pause there; for this machine's only unless HOST is another "
        "(default: 127.0.0.1:8765)",
    )
    add(
        "--rerun",
        nargs="?",
        const="",
        metavar="FILE.rrd|URL",
        help="watch in Rerun's viewer, with scores, responses and latency, in one at rerun+http://HOST:9876/proxy, or "
        "recorded into a file",
    )
    add("--weights", default="compact", metavar="NAME|PATH", help="trained model (default: %(default)s)")
    add("--runtime", choices=RUNTIMES, default="auto", help="what runs the network (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    add("--threads", type=positive, metavar="N", help="CPU threads of the network (default: the runtime's own choice)")
    add(
        "--long-term",
        action="store_true",
        help="find targets that leave for long better, at more work a frame",
    )
    add(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one of the tracker's settings (`tracker.siam.TrackerConfig`), e.g. redetect_every=0; repeat for several",
    )
    add("--start", type=natural, default=0, metavar="N", help="frame to start at, 0-based (default: 0)")
    add("--max-frames", type=positive, metavar="N", help="stop after N frames")
    add(
        "--reconnect",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long to try to open a camera or a stream again that ended, failed or fell silent; 0: not at all, "
        "inf: for ever (default: %(default)g)",
    )
    add("--overwrite", action="store_true", help="replace results that exist")
    add("--json", action="store_true", help="print the closing summary as one JSON object")
    return parser


def parse_boxes(text: str) -> list[Box]:
    """The boxes of one ``--box``: ``X,Y,W,H``, or a JSON file that holds ``[[x, y, w, h], ...]``."""
    try:
        rows = json.loads(Path(text).read_text("utf-8")) if text.endswith(".json") else [text.split(",")]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise argparse.ArgumentTypeError(f"cannot read {text}: {one_line(error)}") from error
    if not (isinstance(rows, list) and rows and all(isinstance(row, list) and len(row) == 4 for row in rows)):
        wanted = "[[x, y, w, h], ...]" if text.endswith(".json") else "X,Y,W,H"
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
    try:
        boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in rows]
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"box must be four numbers: {text!r}: {error}") from error
    for box in boxes:
        if not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
            raise argparse.ArgumentTypeError(f"box must be finite with a positive width and height, got {box}")
    return boxes


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options, checked as far as that needs neither the video nor the weights; exits with 2 otherwise."""
    parser = build_parser()
    options = parser.parse_args(list(join_negative_boxes(argv)))
    options.box = list(chain.from_iterable(options.box or []))
    try:
        check_output("--output", options.output, VIDEO_SUFFIXES, options)
        check_output("--save", options.save, TABLE_SUFFIXES, options)
        if options.rerun and "://" not in options.rerun:
            check_output("--rerun", Path(options.rerun), (".rrd",), options)
        if options.web is not None:
            options.web = check_address(options.web)
    except ValueError as error:
        parser.error(str(error))
    if options.weights.endswith(".safetensors") and not Path(options.weights).is_file():
        parser.error(f"argument --weights: no such file: {options.weights}")
    return options


def check_address(text: str) -> tuple[str, int]:
    """(host, port) of ``--web``.

    Raises:
        ValueError: that is no address.
    """
    from tracker.web_server import parse_address

    try:
        return parse_address(text)
    except ValueError as error:
        raise ValueError(f"argument --web: {error}") from error


def join_negative_boxes(argv: Sequence[str]) -> Iterator[str]:
    """``--box -5,10,20,30`` → ``--box=-5,10,20,30``: argparse takes the former for an option of that name."""
    words = iter(argv)
    for word in words:
        following = next(words, None) if word == "--box" else None
        if following is None:
            yield word
        elif re.match(r"-[\d.]", following):
            yield f"{word}={following}"
        else:
            yield from (word, following)


def check_output(option: str, path: Path | None, suffixes: tuple[str, ...], options: argparse.Namespace) -> None:
    """Refuse a result path that cannot or must not be written.

    Raises:
        ValueError: unknown suffix, no such folder, not writable, exists already, or is the video itself.
    """
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"argument {option}: {path} must end in one of {' '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ValueError(f"argument {option}: there is no folder {path.parent}")
    if path.is_dir() and path.suffix.lower() != ".db3":  # a ROS 2 bag is a folder
        raise ValueError(f"argument {option}: {path} is a folder")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"argument {option}: {path} cannot be written")
    if path.exists() and os.path.exists(options.video) and path.samefile(options.video):
        raise ValueError(f"argument {option}: {path} is the video itself")
    if path.exists() and not options.overwrite:
        raise ValueError(f"argument {option}: {path} exists already (--overwrite replaces it)")


@dataclass(frozen=True)
class Job:
    """What is left once everything is checked: where frames come from, what follows them, where results go."""

    source: Source
    first: Frame
    boxes: list[Box]
    tracker: MultiTracker
    output: Path | None
    save: Path | None
    show: bool
    max_frames: int | None
    overwrite: bool
    watcher: RerunViewer | None = None
    page: Dashboard | None = None

    @property
    def length(self) -> int | None:
        """Frames to expect, as far as known."""
        return min((n for n in (self.source.length, self.max_frames) if n is not None), default=None)


def prepare(options: argparse.Namespace, tracker: MultiTracker | None, stack: ExitStack, command: str) -> Job:
    """Open the video, load the weights and find the boxes; nothing is written.

    Args:
        options: from `parse`.
        tracker: used instead of loading ``options.weights``.
        stack: closes the video.
        command: the command line as typed, but without a window, to be shown with a box added.

    Raises:
        OSError, ValueError, RuntimeError, ImportError: whatever is wrong, in words for the user.
    """
    from tracker.box import validate_box
    from tracker.viewers import display_problem, select_boxes

    source = open_video(options, stack)
    boxes = [validate_box(box, *source.size) for box in options.box]
    if options.show or not (boxes or options.web):
        refuse_without_display(options, display_problem(), command, source.size)
    output, save, show = choose_results(options, source.name)
    watcher = open_rerun(options, source.name)
    first = next(source)
    page = open_page(options, source, first, stack)
    tracker = tracker or load_tracker(options)
    if source.live:
        first = next(source, first)  # it was read when the weights were not loaded yet: the scene has moved on
    if not boxes and not page:
        boxes = select_boxes(first.image)
        if not boxes:
            raise ValueError("no box was drawn, so there is nothing to track")
    return Job(source, first, boxes, tracker, output, save, show, options.max_frames, options.overwrite, watcher, page)


def open_video(options: argparse.Namespace, stack: ExitStack) -> Source:
    """The video; a camera or a stream is opened again for as long as ``--reconnect`` says."""
    from tracker.reconnection import Reconnecting
    from tracker.sources import SourceWarning, open_source

    warnings.simplefilter("always", SourceWarning)  # the same stream may break more than once
    source = stack.enter_context(open_source(options.video, start=options.start, topic=options.topic))
    if not source.live or not options.reconnect:
        return source
    patience = options.reconnect if math.isfinite(options.reconnect) else None
    return stack.enter_context(Reconnecting(source, lambda: open_source(options.video), patience=patience))


def refuse_without_display(
    options: argparse.Namespace, problem: str | None, command: str, size: tuple[int, int]
) -> None:
    if problem is None:
        return
    if options.box:
        raise ValueError(f"--show cannot open a window: {problem}")
    raise ValueError(
        f"the target's box cannot be drawn: {problem}; give it in pixels of the first frame "
        f"({size[0]}x{size[1]}): {command} --box X,Y,W,H"
    )


def choose_results(options: argparse.Namespace, name: str) -> tuple[Path | None, Path | None, bool]:
    """(video, table, window): as asked; by default both files here, and the window if the box is drawn in one."""
    if options.output or options.save or options.show or options.rerun is not None or options.web:
        return options.output, options.save, options.show
    path = Path(urlsplit(name).path if "://" in name else name)
    stem = re.sub(r"[^\w-]+", "-", path.stem).strip("-") or "video"
    output, save = Path(f"{stem}_tracked.mp4"), Path(f"{stem}_tracked.csv")
    check_output("--output", output, VIDEO_SUFFIXES, options)
    check_output("--save", save, TABLE_SUFFIXES, options)
    return output, save, not options.box


def open_rerun(options: argparse.Namespace, name: str) -> RerunViewer | None:
    """Rerun's viewer or recording, if asked for; it is started when it is entered."""
    if options.rerun is None:
        return None
    from tracker.rerun_viewer import RerunViewer

    return RerunViewer(name, options.rerun, options.overwrite)


def open_page(options: argparse.Namespace, source: Source, first: Frame, stack: ExitStack) -> Dashboard | None:
    """The browser's page, if asked for; it is there at once and shows the first frame while the weights are loaded."""
    if options.web is None:
        return None
    from tracker.frame import NOMINAL_FPS
    from tracker.web import Dashboard
    from tracker.web_server import WebServer

    drawn = not options.box
    fps = None if source.live else source.fps or NOMINAL_FPS
    page = Dashboard(source.name, fps=fps, paused=drawn and not source.live, realtime=drawn)
    page.preview(first)
    server = stack.enter_context(WebServer(page, *options.web))
    print(f"track: the page is at {server.url}", file=sys.stderr, flush=True)
    return page


def load_tracker(options: argparse.Namespace) -> MultiTracker:
    """The tracker that is asked for.

    Raises:
        OSError, ValueError, RuntimeError, ImportError: it cannot be had, or there is no such setting.
    """
    from tracker.multi import MultiTracker
    from tracker.siam import LONG_TERM, TrackerConfig

    known, settings = {entry.name for entry in fields(TrackerConfig)}, dict(options.set)
    if unknown := sorted(settings.keys() - known):
        raise ValueError(f"argument --set: no setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    settings = {**(LONG_TERM if options.long_term else {}), **settings}
    return MultiTracker.from_pretrained(
        options.weights, runtime=options.runtime, device=options.device, threads=options.threads, **settings
    )


class Interrupts:
    """Ctrl-C and SIGTERM as KeyboardInterrupt, but never in the middle of a frame's results or while files close.

    A context manager that takes the signals over and gives them back.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._held = self._pending = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no signal handlers
            self._previous = {number: signal.signal(number, self._arrived) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self._held:
            self._pending = True
        else:
            self.hold()  # a second Ctrl-C must not spoil the files that the first one makes us close
            raise KeyboardInterrupt

    def hold(self) -> None:
        """From now on signals wait: the files are about to be closed."""
        self._held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Signals wait until the block is over."""
        self._held = True
        yield
        self._held = False
        if self._pending:
            self.hold()
            raise KeyboardInterrupt


@dataclass
class Tally:
    """Counts for the closing line."""

    frames: int = 0
    seconds: float = 0.0
    states: Counter[TrackState] = field(default_factory=Counter)
    targets: set[int] = field(default_factory=set)

    def add(self, results: dict[int, TrackResult]) -> None:
        self.frames += 1
        self.seconds += max((result.elapsed for result in results.values()), default=0.0)  # targets share one batch
        self.states.update(result.state for result in results.values())
        self.targets.update(results)

    def share(self, state: TrackState) -> float:
        """Share of all results in this state, in [0, 1]."""
        return self.states[state] / max(1, self.states.total())

    @property
    def fps(self) -> float:
        """Frames over the seconds spent in the tracker, N/Σt; 0 before anything was measured."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


def follow(job: Job) -> Iterator[tuple[Frame, dict[int, TrackResult]]]:
    """Every frame with the results of all targets by id, the initial frame included."""
    for box in job.boxes:
        job.tracker.add(job.first.image, box)
    yield job.first, dict(job.tracker.results)
    for frame in islice(job.source, None if job.max_frames is None else job.max_frames - 1):
        yield frame, job.tracker.update(frame.image, frame.timestamp)


def track(job: Job, interrupts: Interrupts, tally: Tally) -> None:
    """Follow the targets to the end of the video, or until the window is closed.

    Raises:
        OSError: the source failed, or results could not be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM; all results are complete.
    """
    from tqdm import tqdm

    from tracker.overlay import draw
    from tracker.sinks import VideoSink, open_results
    from tracker.viewers import Viewer

    with ExitStack() as stack:
        sinks: list[Any] = []
        if job.output:
            sinks.append(stack.enter_context(VideoSink(job.output, job.source.fps, overwrite=job.overwrite)))
        if job.save:
            sinks.append(stack.enter_context(open_results(job.save, overwrite=job.overwrite)))
        if job.watcher:
            sinks.append(stack.enter_context(job.watcher))
            job.watcher.overhear(job.tracker)
        viewer = None
        if job.show:
            title = f"{job.source.name}  (Space: pause, R: draw again, Q: quit)"
            viewer = stack.enter_context(Viewer(title, None if job.source.live else job.source.fps))
        bar = stack.enter_context(tqdm(total=job.length, unit=" frames", disable=not sys.stderr.isatty()))
        stack.callback(interrupts.hold)  # entered last, so left first: files close undisturbed
        for frame, results in follow(job):
            watching = True
            if viewer and results:
                watching, results = watch(viewer, frame, results, job.tracker, draw(frame.image, results))
            if job.page and watching:
                watching, results = job.page.show(frame, results, job.tracker)
            if results or tally.frames:  # what came before the first target was drawn is nobody's
                with interrupts.held():
                    for sink in sinks:
                        sink.write(frame, results)
                    tally.add(results)
            bar.set_postfix_str(describe(results), refresh=False)
            bar.update()
            if not watching:
                break


def watch(
    viewer: Viewer, frame: Frame, results: dict[int, TrackResult], tracker: MultiTracker, picture: Any
) -> tuple[bool, dict[int, TrackResult]]:
    """Show a frame and do what the user asks: (go on?, results, with the worst target drawn again if so wished)."""
    from tracker.viewers import Command, select_boxes

    command = viewer.show(picture)
    if command is Command.RESELECT:
        worst = min(results, key=lambda target: results[target].score)
        viewer.close()
        if boxes := select_boxes(frame.image, f"Draw target {worst} again"):
            tracker.remove(worst)
            tracker.add(frame.image, boxes[0], worst)
            results = {**results, worst: tracker.results[worst]}
    return command is not Command.QUIT, results


def describe(results: dict[int, TrackResult]) -> str:
    """The state of one target, or how many are in each state."""
    if len(results) == 1:
        (result,) = results.values()
        return f"{result.state.value} {result.score:.2f}"
    counts = Counter(result.state.value for result in results.values())
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def summarize(job: Job, tally: Tally, stopped: str | None) -> dict[str, Any]:
    """The closing summary: what ``--json`` prints."""
    return {
        "video": job.source.name,
        "frames": tally.frames,
        "targets": max(len(job.boxes), len(tally.targets)),
        "fps": round(tally.fps, 2),
        **{state.value: round(tally.share(state), 4) for state in TrackState},
        "output": str(job.output) if job.output else None,
        "save": str(job.save) if job.save else None,
        "stopped": stopped,
    }


def closing_line(summary: dict[str, Any]) -> str:
    shares = ", ".join(f"{100 * summary[state.value]:.0f} % {state.value}" for state in TrackState)
    files = " and ".join(path for path in (summary["output"], summary["save"]) if path)
    return (
        ("interrupted: " if summary["stopped"] == "interrupted" else "")
        + f"{summary['frames']} frames at {summary['fps']:.1f} frames/s in the tracker, {shares}"
        + (f"; results in {files}" if files else "")
    )


def one_line(error: BaseException) -> str:
    """An error in one line, with the file it is about."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split()) or type(error).__name__


def quieten_libraries() -> None:
    """Keep OpenCV's and FFmpeg's own remarks off the terminal: errors are reported once, by us.

    Both read the environment when they load, so this comes before that; a user's own setting stays.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET


def warn(
    message: Warning | str, category: type[Warning] = UserWarning, *_: Any, command: str = "track", **__: Any
) -> None:
    """Show a warning of a command in one line, above the progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(f"{command}: warning: {' '.join(str(message).split())}", file=sys.stderr)


def carry_out(
    command: str,
    prepare: Callable[[ExitStack], J],
    work: Callable[[J, Interrupts], None],
    finish: Callable[[J, str | None], int | None],
    failures: tuple[type[Exception], ...] = (OSError,),
) -> int:
    """Prepare a job, work on it until it ends, fails or is interrupted, and sum up; returns the exit code.

    Args:
        command: for messages.
        prepare: checks everything and writes nothing; what it opens goes on the stack.
        work: its results are complete however it ends.
        finish: given why it was stopped, if it was; what it returns replaces the exit code.
        failures: of `work` that are the user's to hear of.
    """
    quieten_libraries()
    stopped, code = None, DONE
    with warnings.catch_warnings(), Interrupts() as interrupts, ExitStack() as stack:
        warnings.showwarning = partial(warn, command=command)
        try:
            job = prepare(stack)
        except KeyboardInterrupt:
            print(f"{command}: interrupted before the first frame; nothing was written", file=sys.stderr)
            return INTERRUPTED
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            print(f"{command}: error: {one_line(error)}", file=sys.stderr)
            return REFUSED
        try:
            work(job, interrupts)
        except KeyboardInterrupt:
            stopped, code = "interrupted", INTERRUPTED
        except failures as error:
            stopped, code = one_line(error), REFUSED
            print(f"{command}: error: {stopped}", file=sys.stderr)
        changed = finish(job, stopped)
    return code if changed is None else changed


def main(argv: Sequence[str] | None = None, tracker: MultiTracker | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments without the program's name; ``None`` for those of the process.
        tracker: used instead of loading the weights.
    """
    argv = sys.argv[1:] if argv is None else argv
    options, tally = parse(argv), Tally()
    without_window = f"{program()} {shlex.join(word for word in argv if word != '--show')}"

    def finish(job: Job, stopped: str | None) -> int | None:
        summary = summarize(job, tally, stopped)
        if job.page:
            job.page.finish(closing_line(summary))
        if not tally.frames and not stopped:
            print("track: error: no box was drawn, so nothing was tracked", file=sys.stderr)
            return REFUSED
        print(json.dumps(summary) if options.json else closing_line(summary))
        return None

    return carry_out(
        "track",
        lambda stack: prepare(options, tracker, stack, without_window),
        lambda job, interrupts: track(job, interrupts, tally),
        finish,
    )


if __name__ == "__main__":
    sys.exit(main())
