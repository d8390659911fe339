"""Labels for unlabelled video, made by a tracker and kept where the cycle closes.

A tracker follows a box forwards through n frames, and from where it arrived back again. Where it drifted to something
else on the way, the way back ends there too and not on the first box (forward-backward consistency: Kalal et al. 2010;
as a source of training pairs: Wang et al. 2019, "Unsupervised Deep Tracking"). A track is kept whose way back ends on
the first box, with those of its frames in which both ways agree. What moves against the camera, and what has corners,
is proposed where nobody gave a box.

What is kept is written as sequences in OTB's layout, counted from 0, which `learning.readers.read_sequences` reads.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.trackers import Tracker
from learning.calibration import Video
from learning.readers import LONGEST_SIDE, shrink
from tracker import TrackState, open_source
from tracker.box import overlap
from tracker.result import Box

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

RECORD = "labels.jsonl"
LOOK_AHEAD = 3  # frames over which motion is measured
JPEG_QUALITY = 95
SMALLEST = 12  # pixels of a proposed box's sides
AREAS = (0.0008, 0.25)  # of proposed boxes, in shares of the image


@dataclass(frozen=True)
class LabelConfig:
    """Which tracks are kept.

    Attributes:
        closing: overlap that the end of the way back must have with the first box.
        agreement: overlap that both ways must have in a frame that is kept.
        shortest: frames that a track must keep.
        motion: sides (the geometric mean of width and height) that a box must move: a track of what stands still
            teaches no more than one of its frames.
    """

    closing: float = 0.7
    agreement: float = 0.5
    shortest: int = 10
    motion: float = 0.25


@dataclass(frozen=True, eq=False)
class Label:
    """What came of one first box.

    Attributes:
        forward: (m, 4) the way there, first box included; ends where the tracker lost the target.
        boxes: (m, 4) those of `forward` in frames that are kept, NaN in others.
        closing: overlap of the way back's end with the first box.
        reason: why the track is dropped, or empty.
    """

    forward: Floats
    boxes: Floats
    closing: float
    reason: str = ""

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(m,) which frames have a label."""
        return np.asarray(np.isfinite(self.boxes).all(1) & (not self.reason))


# ---------------------------------------------------------------- there and back


def follow(tracker: Tracker, frames: Sequence[Image], box: Sequence[float]) -> Floats:
    """(m, 4) boxes from the first frame, where it is `box`, until the tracker is LOST or the frames end."""
    x, y, w, h = (float(value) for value in box)
    tracker.init(frames[0], (x, y, w, h))
    boxes: list[Box] = [(x, y, w, h)]
    for frame in frames[1:]:
        result = tracker.update(frame)
        if result.state is TrackState.LOST:
            break
        boxes.append(result.box)
    return np.array(boxes)


def label(tracker: Tracker, frames: Sequence[Image], box: Sequence[float], config: LabelConfig | None = None) -> Label:
    """Follow `box` through the frames and back again, and judge what came of it.

    Args:
        tracker: any; it is started anew twice.
        frames: n, of one size.
        box: in the first of them.
        config: what is kept.

    Raises:
        ValueError: the box does not lie in the frame.
    """
    config = config or LabelConfig()
    forward = follow(tracker, frames, box)
    there = len(forward) - 1
    try:
        way_back = follow(tracker, frames[there::-1], forward[there])
    except ValueError:  # the last box lies outside of the image
        way_back = np.empty((0, 4))
    backward = np.full_like(forward, np.nan)
    if len(way_back):
        backward[len(forward) - len(way_back) :] = way_back[::-1]
    return judge(forward, backward, config)


def judge(forward: Floats, backward: Floats, config: LabelConfig) -> Label:
    """Keep what is consistent of (m, 4) boxes of both ways, in the order of the frames; NaN where there is none.

    The labels are the forward boxes: means of both ways lie worse, as the way back starts on the errors of the first.
    """
    shared = np.where(np.isfinite(backward).all(1), overlap(forward, np.nan_to_num(backward)), 0.0)
    agree = shared > config.agreement
    agree[0] = True  # its box was given
    boxes = np.where(agree[:, None], forward, np.nan)
    closing = float(shared[0])
    side = np.sqrt(forward[0, 2] * forward[0, 3])
    centres = forward[agree, :2] + forward[agree, 2:] / 2
    travelled = np.linalg.norm(centres - forward[0, :2] - forward[0, 2:] / 2, axis=1).max(initial=0.0)
    if closing <= config.closing:
        reason = "the way back ends elsewhere"
    elif agree.sum() < config.shortest:
        reason = "too few frames in which both ways agree"
    elif travelled < config.motion * side:
        reason = "it stands still"
    else:
        reason = ""
    return Label(forward, boxes, closing, reason)


# ---------------------------------------------------------------- proposals


def propose(frames: Sequence[Image], count: int) -> list[Box]:
    """At most `count` boxes in the first frame: what moves against the camera, then what has corners.

    Args:
        frames: at least one; the motion is measured over the first few.
        count: at most so many.
    """
    chosen: list[Box] = []
    for box in [*moving_boxes(frames[0], frames[min(LOOK_AHEAD, len(frames) - 1)]), *textured_boxes(frames[0])]:
        if len(chosen) < count and all(float(overlap(box, other)) < 0.2 for other in chosen):
            chosen.append(box)
    return chosen


def moving_boxes(first: Image, second: Image) -> list[Box]:
    """Boxes around what moves otherwise than the camera between two frames, what moves most first.

    The camera's motion is the similarity that most corners follow (RANSAC); what the dense flow has beyond it is the
    objects'.
    """
    grey, later = (np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) for image in (first, second))
    height, width = grey.shape
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(grey, later, None)  # type: ignore[call-overload]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    camera = _camera_motion(grey, flow)
    residual = np.linalg.norm(flow - (np.stack([x, y], -1) @ (camera[:, :2] - np.eye(2)).T + camera[:, 2]), axis=-1)
    threshold = max(1.0, 4 * float(np.median(residual)))
    mask = cv2.morphologyEx((residual > threshold).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    found = []
    for part in range(1, count):
        left, top, w, h, pixels = statistics[part].tolist()
        if min(w, h) >= SMALLEST and AREAS[0] <= w * h / (width * height) <= AREAS[1] and pixels > 0.3 * w * h:
            speed = float(np.median(residual[parts == part]))
            found.append((speed * pixels, (float(left), float(top), float(w), float(h))))
    return [box for _, box in sorted(found, reverse=True)]


def _camera_motion(grey: Image, flow: NDArray[np.float32]) -> Floats:
    """(2, 3) similarity that takes most corners along the flow; standing still where there are too few."""
    corners = cv2.goodFeaturesToTrack(grey, 500, 0.01, 7)
    still = np.eye(2, 3)
    if corners is None or len(corners) < 8:
        return still
    points = corners.reshape(-1, 2)
    moved = points + flow[points[:, 1].astype(int), points[:, 0].astype(int)]
    motion, _ = cv2.estimateAffinePartial2D(points, moved, method=cv2.RANSAC, ransacReprojThreshold=1.0)
    return still if motion is None else np.asarray(motion)


def textured_boxes(image: Image, sides: Sequence[float] = (0.12, 0.2, 0.3)) -> list[Box]:
    """Square boxes full of corners, the fullest first.

    Args:
        image: the frame.
        sides: of the boxes, in shares of the image's shorter side.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    strength = np.sqrt(np.maximum(cv2.cornerMinEigenVal(grey, 5), 0))
    strength = np.minimum(strength, float(np.quantile(strength, 0.99)))  # one strong edge is not much texture
    sums = cv2.integral(strength)
    found = []
    for share in sides:
        side = max(round(share * min(height, width)), SMALLEST)
        step = max(side // 4, 1)
        tops, lefts = np.arange(0, height - side + 1, step), np.arange(0, width - side + 1, step)
        bottoms, rights = tops + side, lefts + side
        inside = sums[np.ix_(bottoms, rights)] - sums[np.ix_(tops, rights)] - sums[np.ix_(bottoms, lefts)]
        inside = (inside + sums[np.ix_(tops, lefts)]) / side**2
        found += [
            (float(inside[row, column]), (float(left), float(top), float(side), float(side)))
            for row, top in enumerate(tops)
            for column, left in enumerate(lefts)
        ]
    return [box for density, box in sorted(found, reverse=True) if density > 0]


# ---------------------------------------------------------------- videos and files


def windows(video: Path, length: int, longest_side: int = LONGEST_SIDE) -> Iterator[tuple[int, list[Image]]]:
    """The video in pieces of `length` frames, each with the number of its first frame; a last one may be shorter.

    Raises:
        SourceError: it cannot be read.
    """
    with open_source(video) as source:
        images = (shrink(frame.image, longest_side)[0] for frame in source)
        start = 0
        while piece := list(islice(images, length)):
            yield start, piece
            start += len(piece)


def label_video(
    tracker: Tracker,
    video: Path,
    output: Path,
    name: str,
    boxes: Sequence[Box] = (),
    count: int = 3,
    length: int = 60,
    config: LabelConfig | None = None,
    longest_side: int = LONGEST_SIDE,
) -> Iterator[dict[str, Any]]:
    """Label a video piece by piece into sequences below `output`, and record every candidate there.

    Pieces that the record has already are left out, so that a run that was stopped goes on.

    Args:
        tracker: any.
        video: what `tracker.open_source` reads.
        output: folder of the sequences ``<video>/<first frame>_<number>`` and of the record.
        name: of the tracker, for the record.
        boxes: in the video's first frame, in its own pixels; then only the first piece is labelled, with them.
        count: boxes to propose in each piece where none are given.
        length: frames of a piece.
        config: what is kept.
        longest_side: larger frames are scaled down to it.

    Yields:
        a line of the record for each candidate.

    Raises:
        ValueError: a box outside of the first frame; frames of different sizes.
        OSError: the video cannot be read, or the output not written.
    """
    config = config or LabelConfig()
    folder = output / f"{video.resolve().parent.name}-{video.stem}"
    done = {(line["video"], line["start"]) for line in read_record(output)}
    factors = _factors(video, longest_side) if boxes else np.ones(4)
    for start, frames in windows(video, length, longest_side):
        if (str(video.resolve()), start) not in done and len(frames) >= config.shortest:
            given = [np.multiply(box, factors).tolist() for box in boxes]
            lines = []
            for number, box in enumerate(given or propose(frames, count)):
                found = label(tracker, frames, box, config)
                line = {
                    "video": str(video.resolve()),
                    "start": start,
                    "tracker": name,
                    "box": [round(value, 2) for value in box],
                    "frames": int(found.kept.sum()),
                    "closing": round(found.closing, 3),
                    "dropped": found.reason,
                    "sequence": f"{folder.name}/{start:06d}_{number}" if not found.reason else None,
                }
                if not found.reason:
                    write_sequence(output / str(line["sequence"]), frames, found, line)
                lines.append(line)
            _append(output / RECORD, lines)
            yield from lines
        if boxes:
            return


def _factors(video: Path, longest_side: int) -> Floats:
    """(4,) that take a box of the video's own pixels to those of its scaled frames."""
    with open_source(video, max_frames=1) as source:
        return shrink(next(source).image, longest_side)[1]


def write_sequence(folder: Path, frames: Sequence[Image], found: Label, line: Mapping[str, Any]) -> None:
    """Write the frames up to the last that is kept, their boxes, and where they come from.

    Frames of one piece are the same file for all sequences of that piece, where the file system can do that.
    """
    (folder / "img").mkdir(parents=True, exist_ok=True)
    last = int(np.flatnonzero(found.kept).max())
    pool = folder.parent / f".{folder.name.partition('_')[0]}"
    pool.mkdir(exist_ok=True)
    for index, frame in enumerate(frames[: last + 1]):
        _place(frame, pool / f"{index:06d}.jpg", folder / "img" / f"{index:06d}.jpg")
    rows = (",".join(f"{value:.2f}" for value in box) for box in found.boxes[: last + 1])
    (folder / "groundtruth_rect.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    note = {"name": folder.name, "benchmark": "labels of a tracker", **line}  # not OTB: boxes count from 0
    (folder / "sequence.json").write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def _place(frame: Image, pooled: Path, path: Path) -> None:
    if not pooled.exists() and not cv2.imwrite(str(pooled), frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise OSError(f"{pooled} cannot be written")
    path.unlink(missing_ok=True)
    os.link(pooled, path)


def read_record(output: Path) -> list[dict[str, Any]]:
    """The lines of `output`'s record, none where there is none.

    Raises:
        ValueError: a line is not JSON.
    """
    path = output / RECORD
    if not path.is_file():
        return []
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            raise ValueError(f"{path}: line {number} is not JSON; delete it, its piece is labelled again") from error
    return lines


def _append(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of a record: candidates, those kept, their frames, and why the others were dropped."""
    reasons = Counter(line["dropped"] for line in lines if line["dropped"])
    kept = [line for line in lines if not line["dropped"]]
    frames = sum(line["frames"] for line in kept)
    return {"candidates": len(lines), "kept": len(kept), "frames": frames, "dropped": dict(reasons)}


# ---------------------------------------------------------------- how good labels are


@dataclass(frozen=True)
class Precision:
    """How well boxes lie on the ground truth: how many, their mean overlap, and the share of them above one half."""

    boxes: int
    overlap: float
    right: float


def check(
    tracker: Tracker, videos: Iterable[Video], length: int = 60, config: LabelConfig | None = None
) -> tuple[dict[str, Precision], dict[str, int]]:
    """Label footage whose ground truth is known, from the true box of each piece's first frame that shows the target.

    Args:
        tracker: any.
        videos: with boxes.
        length: frames of a piece.
        config: what is kept.

    Returns:
        how good are the boxes that are "kept", those "dropped" in kept tracks or with their tracks, and "all" that the
        tracker gave on its way there; and how many tracks were "kept", and how many dropped for each reason. First
        frames do not count, and where the target is absent every box is wrong.
    """
    overlaps: dict[str, list[Floats]] = {"kept": [], "dropped": [], "all": []}
    tracks: Counter[str] = Counter()
    for video in videos:
        for piece in range(0, len(video.frames), length):
            visible = np.flatnonzero(video.visible[piece : piece + length])
            if not len(visible) or piece + length - (start := piece + int(visible[0])) < 2:
                continue
            found = label(tracker, video.frames[start : piece + length], video.boxes[start].tolist(), config)
            truth = video.boxes[start : start + len(found.forward)]
            shown = np.isfinite(truth).all(1)
            shared = np.where(shown, overlap(found.forward, np.nan_to_num(truth)), 0.0)[1:]
            overlaps["kept"].append(shared[found.kept[1:]])
            overlaps["dropped"].append(shared[~found.kept[1:]])
            overlaps["all"].append(shared)
            tracks[found.reason or "kept"] += 1
    return {name: _precision(np.concatenate([*parts, np.empty(0)])) for name, parts in overlaps.items()}, dict(tracks)


def _precision(values: Floats) -> Precision:
    mean, right = (float(values.mean()), float((values > 0.5).mean())) if len(values) else (float("nan"),) * 2
    return Precision(len(values), round(mean, 3), round(right, 3))
