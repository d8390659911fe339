"""Footage to learn association from: detections beside ground truth in the MOTChallenge layout.

<data>/<sequence>/det/det.txt, gt/gt.txt, seqinfo.ini and perhaps frames.mp4
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from benchmarks.mot import RULES, Rows, Rules, read_rows
from benchmarks.mot.text import read_length
from tracker.association.camera import Camera
from tracker.association.detections import Detections
from tracker.association.mot_text import read_detections, read_frame_rate
from tracker.association.scene import Scene
from tracker.association.trail import Floats, Integers
from tracker.box import overlap
from tracker.frame import Image

MATCHED = 0.5  # overlap from which on a detection is an identity's
# The same street filmed once and published several times: Venice-1 and -2 of MOT15 are MOT16's 01 and 02 (their
# trajectories agree); MOT16 and MOT17 share all of their videos, of which MOT17 has three detectors' versions.
SAME_FOOTAGE = {"Venice-1": "MOT-01", "Venice-2": "MOT-02"}
NUMBERED = re.compile(r"MOT1[67](?:val|train|test)?-(\d\d)(?:-.*)?")


@dataclass(frozen=True, eq=False)
class Footage:
    """One sequence with one detector's boxes.

    Attributes:
        name: of the sequence.
        group: what it shares its video with; nothing is trained on the group that it is scored on.
        frames: its detections, by rising frame number.
        rate: frames per second.
        length: frames, where that is known.
        scene: the detections in arrays, the camera's motion taken out.
        identity: (N,) of each detection, −1: none, a false alarm.
        truth: the ground truth.
        rules: which of it counts.
        video: where the images are, if they are.
    """

    name: str
    group: str
    frames: tuple[Detections, ...]
    rate: float
    length: int | None
    scene: Scene
    identity: Integers
    truth: Rows
    rules: Rules
    video: Path | None = None

    def images(self) -> Iterator[Image]:
        """Its frames in their order; none where there is no video."""
        if self.video is None:
            return
        capture = cv2.VideoCapture(str(self.video))
        try:
            while True:
                found, image = capture.read()
                if not found:
                    return
                yield image  # type: ignore[misc]
        finally:
            capture.release()


def footage_group(name: str) -> str:
    """What shares its video has the same group."""
    numbered = NUMBERED.fullmatch(name)
    return f"MOT-{numbered[1]}" if numbered else SAME_FOOTAGE.get(name, name)


def read_footage(folder: Path) -> Footage:
    """Read one sequence.

    Raises:
        OSError: a file is missing.
        ValueError: something in a file is wrong; the message names file and line.
    """
    detections = {
        frame: _with_probabilities(found) for frame, found in read_detections(folder / "det" / "det.txt").items()
    }
    frames = tuple(part for part in detections.values() if len(part))
    rate = read_frame_rate(folder / "seqinfo.ini")
    length = read_length(folder / "seqinfo.ini")
    truth = read_rows(folder / "gt" / "gt.txt", length)
    rules = RULES["mot17"] if NUMBERED.fullmatch(folder.name) else RULES["any"]
    camera = Camera()
    scene = Scene.of(frames, rate, [camera.update(part) for part in frames])
    identity = identities(frames, truth, rules)
    video = folder / "frames.mp4"
    return Footage(
        folder.name, footage_group(folder.name), frames, rate, length, scene, identity, truth, rules,
        video if video.is_file() else None,
    )  # fmt: skip


def read_all(data: Path, only: Collection[str] = ()) -> list[Footage]:
    """Read all sequences of a folder, in alphabetical order.

    Raises:
        OSError, ValueError: as above, or there are none.
    """
    folders = [path.parent.parent for path in sorted(data.glob("*/det/det.txt"))]
    folders = [folder for folder in folders if not only or folder.name in only]
    if not folders:
        raise ValueError(f"{data}: no <sequence>/det/det.txt" + (f" among {', '.join(only)}" if only else ""))
    return [read_footage(folder) for folder in folders]


def identities(frames: Sequence[Detections], truth: Rows, rules: Rules) -> Integers:
    """Identity of each detection, (N,), −1: none; the best assignment within each frame at an overlap of .5."""
    counts = truth.score != 0
    if rules.classes:
        counts &= np.isin(truth.category, rules.classes)
    rows = np.flatnonzero(counts)
    found = []
    for part in frames:
        here = rows[slice(*np.searchsorted(truth.frame[rows], (part.frame, part.frame + 1)))]
        identity = np.full(len(part), -1, np.int64)
        shared = overlap(part.xywh[:, None], truth.box[here][None])
        a, b = linear_sum_assignment(np.where(shared >= MATCHED, shared, 0), maximize=True)
        good = shared[a, b] >= MATCHED
        identity[a[good]] = truth.id[here[b[good]]]
        found.append(identity)
    return np.concatenate(found) if found else np.empty(0, np.int64)


def without(scene: Scene, kept: NDArray[np.bool_]) -> Scene:
    """The scene with some of its detections only."""
    return Scene(scene.frame[kept], scene.points[kept], scene.category[kept], scene.rate)


def _with_probabilities(detections: Detections) -> Detections:
    """Scores in [0, 1]; those of detectors that give log odds are squashed, and the ones below 0 left out."""
    score: Floats = detections.score
    if ((score >= 0) & (score <= 1)).all():
        return detections
    kept = score > 0
    return Detections(detections.frame, detections.xywh[kept], expit(score[kept]), detections.class_id[kept])
