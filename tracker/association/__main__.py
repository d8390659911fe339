"""Track by detection from the command line: ``python -m tracker.association``, which is ``tools/associate.py``.

Heavy modules are imported where they are needed, so that help and refusals come at once. Everything is checked before
the first byte is written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tracker.__main__ import (
    REFUSED,
    TABLE_SUFFIXES,
    VIDEO_SUFFIXES,
    Interrupts,
    carry_out,
    check_output,
    warn,
)
from tracker.arguments import positive, share

if TYPE_CHECKING:
    from tracker.association.annotate import TrackedBox
    from tracker.association.appearance_cue import AppearanceCue
    from tracker.association.detections import Detections
    from tracker.association.detector import Detector
    from tracker.association.flow import FlowAssociator
    from tracker.association.model import AssociationModel
    from tracker.association.motion_target import TargetBridge
    from tracker.association.online import OnlineAssociator
    from tracker.frame import Frame, Image
    from tracker.result import Box
    from tracker.sources import Source

T = TypeVar("T")
DETECTOR_DOUBT = -3.0  # our weights learned scores of other detectors; here --score has said what is a target
# what a model's features ask for → the pair network that gives it
APPEARANCES: dict[tuple[str, ...], str] = {("pair_distance", "colour_likeness"): "towers"}

EXAMPLES = """\
examples:
  %(prog)s --detections det.txt --save out.txt
      MOTChallenge text in and out, frame by frame
  %(prog)s --detections det.txt --tracker flow --fps 25 --save out.csv
      all frames at once: better, and gaps are filled
  %(prog)s --detections det.txt --video clip.mp4 --save out.txt --output annotated.mp4
      with the pixels: who looks like whom counts, too
  %(prog)s --video people.mp4 --detector yolox_nano.onnx --output annotated.mp4
      no detections yet: find people first (--classes car,truck,bus finds others)
  %(prog)s --video people.mp4 --detector yolov8n.onnx --bridge compact --save out.jsonl --json
      follow by pixels whom the detector misses; the closing summary as JSON

Without --save and --output the tracks are written to NAME_tracks.txt in the current folder. Frames per second are those
of --fps, of a seqinfo.ini beside the detections or in the folder above, or of the video.

exit codes: 0 done; 2 wrong arguments, unreadable input, or results that can no longer be written (disk full);
130 stopped by Ctrl-C or SIGTERM. What the online tracker wrote until then is complete and readable; flow writes nothing
before it has seen everything.
"""


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"associate: error: {message} (--help shows examples)\n")


def fps(text: str) -> float:
    """A frame rate."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"must be frames per second, above 0 and at most 1000, got {text!r}")
    return value


def build_parser() -> Parser:
    parser = Parser(
        prog=program(),
        description="Give the detections of a video identities: whose box is whose, from frame to frame.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--detections", type=Path, metavar="DET.txt", help="MOTChallenge text: frame,id,x,y,w,h,score,class")
    add("--video", help="file, URL, camera index, or folder or glob of images")
    add("--detector", type=Path, metavar="NET.onnx", help="find them in --video: YOLOX, NanoDet-Plus or YOLOv8")
    add("--layout", choices=["auto", "yolox", "nanodet", "yolov8"], default="auto", help="of the detector's output")
    add("--classes", default="person", help="that the detector keeps, names or numbers, or all (default: %(default)s)")
    add("--score", type=share, default=0.3, help="least score of the detector's boxes (default: %(default)s)")
    add("--nms", type=share, default=0.6, help="overlap from which one box suppresses another (default: %(default)s)")
    add("--tracker", choices=["online", "flow"], default="online", help="frame by frame, or all at once")
    add("--weights", default="association", metavar="NAME|PATH", help="of the match probability (default: %(default)s)")
    add(
        "--doubt",
        type=float,
        metavar="D",
        help="log odds taken off every detection's being a target: lower it where too few are tracked "
        "(default: the weights' own; -3 with --detector)",
    )
    add("--appearance", metavar="NAME|PATH|none", help="pair network that compares pixels (default: as trained)")
    add("--bridge", metavar="NAME|PATH", help="weights of the tracker that follows whom the detector missed")
    add(
        "--no-smooth", action="store_true", help="of flow: boxes as they were detected, not steadied along their tracks"
    )
    add("--save", type=Path, metavar="TABLE", help="write the tracks: .txt (MOTChallenge), .csv or .jsonl")
    add("--output", type=Path, metavar="VIDEO", help="write the video with tracks and trails: .mp4, .avi or .mkv")
    add("--fps", type=fps, help="frames per second, where neither seqinfo.ini nor the video says it")
    add("--threads", type=positive, metavar="N", help="CPU threads of the networks")
    add("--max-frames", type=positive, metavar="N", help="stop after N frames")
    add("--overwrite", action="store_true", help="replace results that exist")
    add("--json", action="store_true", help="print the closing summary as one JSON object")
    return parser


def program() -> str:
    """How this command was started, to be typed again."""
    started = sys.argv[0]
    if os.path.basename(started) == "__main__.py":
        return "python -m tracker.association"
    return f"python {started}" if started.endswith(".py") else os.path.basename(started)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options, checked as far as that needs no input to be read; exits with 2 otherwise."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.detections is None and options.detector is None:
        parser.error("there is nothing to associate: give --detections DET.txt, or --video V with --detector NET.onnx")
    if options.detections is not None and options.detector is not None:
        parser.error("--detections and --detector exclude each other: one of them says where the boxes come from")
    for option in ("detector", "output", "bridge"):
        if getattr(options, option) is not None and options.video is None:
            parser.error(f"--{option} needs --video")
    named = options.video if options.video is not None else str(options.detections)
    if options.save is None and options.output is None:
        options.save = Path(f"{Path(named).stem or 'video'}_tracks.txt")
    try:
        check_output("--save", options.save, TABLE_SUFFIXES, argparse.Namespace(**{**vars(options), "video": named}))
        if options.video is not None:
            check_output("--output", options.output, VIDEO_SUFFIXES, options)
    except ValueError as error:
        parser.error(str(error))
    return options


@dataclass
class Tally:
    """Counts for the closing line."""

    frames: int = 0
    detections: int = 0
    seconds: float = 0.0
    ids: set[int] = field(default_factory=set)

    def add(self, detections: Detections, seconds: float) -> None:
        """Count a frame."""
        self.frames += 1
        self.detections += len(detections)
        self.seconds += seconds

    @property
    def fps(self) -> float:
        """Frames over the seconds spent in association, N/Σt; 0 before anything was measured."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass
class Job:
    """What is left once everything is checked: where detections come from, what joins them, where tracks go.

    Attributes:
        options: as the user gave them.
        fps: frames per second.
        source: of the images, if there is a video.
        found: frame number → its detections, of a file; ``None`` where `detector` finds them.
        detector: finds them.
        bridge: follows whom it misses.
        model, cue: match probability, and the appearance that it knows.
    """

    options: argparse.Namespace
    fps: float
    source: Source | None
    found: dict[int, Detections] | None
    detector: Detector | None
    bridge: TargetBridge | None
    model: AssociationModel
    cue: AppearanceCue | None

    @property
    def length(self) -> int | None:
        """Frames to expect, as far as known."""
        if self.source is not None:
            return self.source.length
        last = max(self.found or {}, default=-1) + 1
        return min(last, self.options.max_frames or last)

    def online(self) -> OnlineAssociator:
        from tracker.association.online import OnlineAssociator

        return OnlineAssociator(self.model, self.fps, self.cue, **self.costs())

    def flow(self) -> FlowAssociator:
        from tracker.association.flow import FlowAssociator

        return FlowAssociator(self.model, self.fps, self.cue, smooth=False, **self.costs())

    def costs(self) -> dict[str, float]:
        """What is not as the weights have it."""
        if self.options.doubt is not None:
            return {"doubt": self.options.doubt}
        return {} if self.detector is None else {"doubt": DETECTOR_DOUBT}

    def frames(self) -> Iterator[tuple[Frame, Detections]]:
        """Every frame with its detections, those without any included; without a video the images are empty."""
        import numpy as np

        from tracker.association.detections import Detections
        from tracker.frame import Frame

        nothing, nobody = np.zeros((0, 0, 3), np.uint8), np.empty((0, 4))
        unseen = (Frame(n, n / self.fps, nothing) for n in range(self.length or 0))
        for frame in unseen if self.source is None else self.source:
            if self.detector is not None:
                yield frame, self.detector(frame.index, frame.image)
            else:
                assert self.found is not None
                yield frame, self.found.get(frame.index, Detections(frame.index, nobody))

    def images(self) -> Iterator[Image] | None:
        """Those of a video, read again from its first frame; ``None`` where that is not possible."""
        if self.source is None or self.source.live:
            return None
        return (frame.image for frame in self._again())

    def pictured(self, frames: list[Frame]) -> Iterable[Frame]:
        """Frames with their images, where these are drawn into."""
        return self._again() if self.options.output is not None else frames

    def _again(self) -> Iterator[Frame]:
        from tracker.sources import open_source

        with open_source(self.options.video, max_frames=self.options.max_frames) as source:
            yield from source


def prepare(options: argparse.Namespace, stack: ExitStack) -> Job:
    """Read the detections or load the detector, open the video, load the models; nothing is written.

    Raises:
        OSError, ValueError, ImportError: whatever is wrong, in words for the user.
    """
    from tracker.association.mot_text import read_detections

    notes: list[str] = []
    found = None if options.detections is None else read_detections(options.detections, notes)
    for note in notes:
        warn(note, command="associate")
    detector = None if options.detector is None else load_detector(options)
    source = None
    if options.video is not None:
        from tracker.sources import open_source

        source = stack.enter_context(open_source(options.video, max_frames=options.max_frames))
    rate = frame_rate(options, source)
    if source is not None and source.live and options.tracker == "flow" and options.output is not None:
        raise ValueError("--output with --tracker flow reads the video twice, which a live stream cannot be")
    bridge = None if options.bridge is None else load_bridge(options, rate)
    model, cue = load_model(options)
    return Job(options, rate, source, found, detector, bridge, model, cue)


def frame_rate(options: argparse.Namespace, source: Source | None) -> float:
    """Frames per second as the user says, a seqinfo.ini near the detections, or the video.

    Raises:
        ValueError: none of them says it.
    """
    from tracker.association.mot_text import read_frame_rate

    if options.fps is not None:
        return float(options.fps)
    if options.detections is not None:
        folder = options.detections.absolute().parent
        for path in (folder / "seqinfo.ini", folder.parent / "seqinfo.ini"):
            if path.is_file():
                return read_frame_rate(path)
    if source is not None and source.fps is not None:
        return source.fps
    raise ValueError(
        "the frame rate is not known: give --fps N (speeds are judged per second), or put a seqinfo.ini beside "
        f"{options.detections or options.video}"
    )


def load_detector(options: argparse.Namespace) -> Detector:
    from tracker.association.detector import Detector

    classes = None if options.classes == "all" else options.classes.split(",")
    return Detector(options.detector, options.layout, options.score, options.nms, classes, options.threads)


def load_bridge(options: argparse.Namespace, rate: float) -> TargetBridge:
    from tracker.association.motion_target import TargetBridge
    from tracker.multi import MultiTracker

    return TargetBridge(MultiTracker.from_pretrained(options.bridge, threads=options.threads), rate)


def load_model(options: argparse.Namespace) -> tuple[AssociationModel, AppearanceCue | None]:
    """The match probability, and the appearance that it was trained with where there is a video.

    Raises:
        ValueError: weights that cannot be used.
    """
    from tracker.association.model import AssociationModel

    model = AssociationModel.read(options.weights)
    name = options.appearance
    if name is None and options.video is not None:
        name = APPEARANCES.get(model.appearance_names)
    if name is None or name == "none":
        return model, None
    if options.video is None:
        raise ValueError("--appearance needs --video")
    from tracker.association.appearance import PairAppearance

    return model, model.check_cue(PairAppearance.from_pretrained(name))


# ---------------------------------------------------------------- running


def run(job: Job, interrupts: Interrupts, tally: Tally) -> None:
    """Associate all frames and write the results.

    Raises:
        OSError: the source failed, or results could not be written.
        ValueError: no track is worth its cost.
        KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    from tracker.association.annotate import AnnotatedVideo
    from tracker.association.track_files import open_tracks

    options = job.options
    frames = one_by_one(job, tally) if options.tracker == "online" else all_at_once(job, tally)
    with ExitStack() as stack:
        table = open_tracks(options.save, options.overwrite) if options.save else None
        video = AnnotatedVideo(options.output, job.fps, options.overwrite) if options.output else None
        for sink in (table, video):
            if sink is not None:
                stack.enter_context(sink)
        stack.callback(interrupts.hold)  # entered last, so left first: files close undisturbed
        for frame, boxes in frames:
            with interrupts.held():
                if table is not None:
                    table.add(frame.index, frame.timestamp, boxes)
                if video is not None:
                    video.add(frame, boxes)
                tally.ids.update(entry.id for entry in boxes)


def progress(frames: Iterable[T], length: int | None) -> Iterator[T]:
    """A bar where there is a terminal."""
    from tqdm import tqdm

    yield from tqdm(frames, total=length, unit=" frames", disable=not sys.stderr.isatty())


def one_by_one(job: Job, tally: Tally) -> Iterator[tuple[Frame, list[TrackedBox]]]:
    """Each frame with its tracks as soon as it is there."""
    from tracker.association.annotate import TrackedBox

    associator = job.online()
    for frame, detections in progress(job.frames(), job.length):
        since = time.perf_counter()
        found, ids, followed = bridged(job, associator, frame, detections)
        tally.add(detections, time.perf_counter() - since)
        rows = zip(ids, found.xywh.tolist(), found.score.tolist(), followed, strict=True)
        yield frame, [TrackedBox(id, tuple(box), score, kind) for id, box, score, kind in rows if id > 0]


def bridged(
    job: Job, associator: OnlineAssociator, frame: Frame, detections: Detections
) -> tuple[Detections, list[int], list[bool]]:
    """Detections with what the tracker added, their ids, and which of them it added."""
    image = None if job.source is None else frame.image
    if job.bridge is None:
        return detections, associator.update(detections, image).tolist(), [False] * len(detections)
    filled = job.bridge.fill(detections, frame.image)
    ids = job.bridge.take(filled, associator.update(filled, image))
    return filled, ids.tolist(), (filled.followed >= 0).tolist()


def all_at_once(job: Job, tally: Tally) -> Iterator[tuple[Frame, list[TrackedBox]]]:
    """Each frame with its tracks, after all of them were looked at; a video is read again for its images."""
    import numpy as np

    from tracker.association.annotate import TrackedBox
    from tracker.association.smoothing import smooth

    helper = None if job.bridge is None else job.online()
    found: dict[int, Detections] = {}
    added: set[tuple[int, Box]] = set()
    seen: list[Frame] = []
    for frame, detections in progress(job.frames(), job.length):
        since = time.perf_counter()
        kept = detections
        if helper is not None:
            filled, ids, followed = bridged(job, helper, frame, detections)
            kept = filled.select(~np.array(followed, bool) | (np.array(ids, np.int64) > 0))
            more = kept.xywh[len(detections) :].tolist()
            added.update((frame.index, tuple(box)) for box in more)
        if len(kept):
            found[frame.index] = replace(kept, image=None)
        seen.append(replace(frame, image=frame.image[:0]))
        tally.add(detections, time.perf_counter() - since)
    since = time.perf_counter()
    boxes: dict[int, list[TrackedBox]] = {}
    tracks = job.flow().run(found, job.images())
    steady = tracks if job.options.no_smooth else smooth(tracks)
    for track, shown in zip(tracks, steady, strict=True):
        places = zip(track.frames.tolist(), map(tuple, track.xywh.tolist()), track.interpolated.tolist(), strict=True)
        kinds = [filled_in or (index, box) in added for index, box, filled_in in places]
        columns = (track.frames.tolist(), shown.xywh.tolist(), track.score.tolist(), kinds)
        for index, box, score, between in zip(*columns, strict=True):
            boxes.setdefault(index, []).append(TrackedBox(track.id, tuple(box), score, between))
    tally.seconds += time.perf_counter() - since
    for frame in progress(job.pictured(seen), len(seen)):
        yield frame, boxes.get(frame.index, [])


def summarize(job: Job, tally: Tally, stopped: str | None) -> dict[str, Any]:
    """The closing summary: what ``--json`` prints."""
    options = job.options
    return {
        "detections_from": str(options.detections or options.detector),
        "video": None if job.source is None else job.source.name,
        "tracker": options.tracker,
        "frames": tally.frames,
        "detections": tally.detections,
        "tracks": len(tally.ids),
        "fps": round(tally.fps, 2),
        "frame_rate": job.fps,
        "save": str(options.save) if options.save else None,
        "output": str(options.output) if options.output else None,
        "stopped": stopped,
    }


def closing_line(summary: dict[str, Any]) -> str:
    files = " and ".join(path for path in (summary["output"], summary["save"]) if path)
    return (
        ("interrupted: " if summary["stopped"] == "interrupted" else "")
        + f"{summary['tracks']} tracks from {summary['detections']} detections in {summary['frames']} frames, "
        + f"{summary['fps']:.1f} frames/s in association; results in {files}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments without the program's name; ``None`` for those of the process.
    """
    options, tally = parse(sys.argv[1:] if argv is None else argv), Tally()

    def finish(job: Job, stopped: str | None) -> None:
        summary = summarize(job, tally, stopped)
        if options.json:
            print(json.dumps(summary))
        elif stopped in (None, "interrupted"):
            print(closing_line(summary))

    return carry_out(
        "associate",
        lambda stack: prepare(options, stack),
        lambda job, interrupts: run(job, interrupts, tally),
        finish,
        failures=(OSError, ValueError),
    )


if __name__ == "__main__":
    sys.exit(main())
