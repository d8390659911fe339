"""Trackers of others, to be measured beside ours and never shipped: NanoTrack v2, VitTrack, CSRT and KCF of OpenCV.

Each has `init` and `update` as ours has. OpenCV takes and gives boxes of whole pixels; when it reports a failure the
last box is kept and the state is LOST. `cv2.setNumThreads` sets their threads, for the whole process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.result import Box, TrackResult, TrackState

Image = NDArray[np.uint8]

OPENCV: Any = cv2  # what it has depends on the package that is installed; type stubs know of one
PEERS = ("nanotrack", "vittrack", "csrt", "kcf")


class OpenCVTracker:
    """A tracker of OpenCV behind `init` and `update`.

    Args:
        create: makes a fresh ``cv2.Tracker``; called by each `init`.
    """

    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create
        self._tracker: Any = None
        self._box: Box = (0.0, 0.0, 0.0, 0.0)

    def init(self, frame: Image, box: Box) -> TrackResult:
        """Start a fresh tracker on `box` ``(x, y, w, h)``, 0-based pixels, rounded to whole ones."""
        self._tracker = self._create()
        self._box = box
        self._tracker.init(frame, _within(box, frame.shape[1], frame.shape[0]))
        return TrackResult(box, 1.0, TrackState.TRACKING)

    def update(self, frame: Image) -> TrackResult:
        """Find the target in the next frame.

        Raises:
            RuntimeError: `init` was not called.
        """
        if self._tracker is None:
            raise RuntimeError("update() before init(): start with a frame and a box")
        found, (x, y, w, h) = self._tracker.update(frame)
        if found:
            self._box = (float(x), float(y), float(w), float(h))
        return TrackResult(self._box, self._score(found), TrackState.TRACKING if found else TrackState.LOST)

    def _score(self, found: bool) -> float:
        """OpenCV's own score where the tracker has one, otherwise 1 or 0."""
        score = self._tracker.getTrackingScore() if hasattr(self._tracker, "getTrackingScore") else -1.0
        return min(float(score), 1.0) if score >= 0 else float(found)  # trackers without a score say −1


def load_peer(name: str, weights: Path | str) -> OpenCVTracker:
    """One of `PEERS` by its name.

    Args:
        name: ``"nanotrack"``, ``"vittrack"``, ``"csrt"`` or ``"kcf"``.
        weights: folder with ``nanotrack_v2_backbone.onnx``, ``nanotrack_v2_head.onnx`` and ``vittrack.onnx``; the
            other two need none.

    Raises:
        ValueError: no peer of that name.
        RuntimeError: this OpenCV does not have it; the message says what to install.
        FileNotFoundError: its weights are not in the folder.
    """
    weights = Path(weights)
    if name == "nanotrack":
        _require("TrackerNano_create", "opencv-python-headless>=4.7")
        nano = OPENCV.TrackerNano_Params()
        nano.backbone = _file(weights, "nanotrack_v2_backbone.onnx")
        nano.neckhead = _file(weights, "nanotrack_v2_head.onnx")
        return OpenCVTracker(lambda: OPENCV.TrackerNano_create(nano))
    if name == "vittrack":
        _require("TrackerVit_create", "opencv-python-headless>=4.9")
        vit = OPENCV.TrackerVit_Params()
        vit.net = _file(weights, "vittrack.onnx")
        return OpenCVTracker(lambda: OPENCV.TrackerVit_create(vit))
    if name == "csrt":
        return OpenCVTracker(_require("TrackerCSRT_create", "opencv-contrib-python-headless"))
    if name == "kcf":
        return OpenCVTracker(_require("TrackerKCF_create", "opencv-contrib-python-headless"))
    raise ValueError(f"no peer {name!r}; there are {', '.join(PEERS)}")


def _require(factory: str, package: str) -> Callable[[], Any]:
    create: Callable[[], Any] | None = getattr(OPENCV, factory, None)
    if create is None:
        raise RuntimeError(
            f"OpenCV {cv2.__version__} here has no {factory}: run `make peers` and use .venv-peers/bin/python, "
            f"or `pip install '{package}'` in an environment without another OpenCV"
        )
    return create


def _file(folder: Path, name: str) -> str:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"no {name} in {folder}: name the folder that has it with --peer-weights")
    return str(path)


def _within(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels inside the image, at least one."""
    left, top = min(max(round(box[0]), 0), width - 1), min(max(round(box[1]), 0), height - 1)
    right, bottom = min(max(round(box[0] + box[2]), left + 1), width), min(max(round(box[1] + box[3]), top + 1), height)
    return left, top, right - left, bottom - top
