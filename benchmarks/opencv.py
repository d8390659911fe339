"""Trackers that OpenCV brings, behind `init` and `update`; to be measured beside ours, their weights never shipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.result import Box, TrackResult, TrackState

Image = NDArray[np.uint8]

OPENCV: Any = cv2  # what it has depends on the package that is installed; type stubs know of one
CONTRIB, PLAIN = "opencv-contrib-python-headless", "opencv-python-headless>=4.9"


class Recipe(NamedTuple):
    """One of OpenCV's trackers: its class, the files it needs by parameter with their well-known names, its package."""

    name: str
    files: dict[str, tuple[str, ...]]
    package: str


OPENCV_TRACKERS = {
    "mil": Recipe("TrackerMIL", {}, PLAIN),
    "kcf": Recipe("TrackerKCF", {}, CONTRIB),
    "csrt": Recipe("TrackerCSRT", {}, CONTRIB),
    "mosse": Recipe("legacy.TrackerMOSSE", {}, CONTRIB),
    "medianflow": Recipe("legacy.TrackerMedianFlow", {}, CONTRIB),
    "dasiamrpn": Recipe(
        "TrackerDaSiamRPN",
        {
            "model": ("dasiamrpn_model.onnx",),
            "kernel_r1": ("dasiamrpn_kernel_r1.onnx",),
            "kernel_cls1": ("dasiamrpn_kernel_cls1.onnx",),
        },
        PLAIN,
    ),
    "nano": Recipe(
        "TrackerNano",
        {
            "backbone": ("nanotrack_v2_backbone.onnx", "nanotrack_backbone_sim.onnx"),
            "neckhead": ("nanotrack_v2_head.onnx", "nanotrack_head_sim.onnx"),
        },
        PLAIN,
    ),
    "vit": Recipe("TrackerVit", {"net": ("vittrack.onnx", "object_tracking_vittrack_2023sep.onnx")}, PLAIN),
}


class OpenCVTracker:
    """A tracker of OpenCV behind `init` and `update`.

    OpenCV takes and gives boxes of whole pixels. When it reports a failure the last box is kept and the state is LOST.

    Args:
        create: makes a fresh ``cv2.Tracker``; called by each `init`.
    """

    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create
        self._tracker: Any = None
        self._box: Box = (0.0, 0.0, 0.0, 0.0)

    def init(self, frame: Image, box: Box) -> TrackResult:
        """Start a fresh tracker on `box` ``(x, y, w, h)``, 0-based pixels, rounded to whole ones.

        Raises:
            RuntimeError: OpenCV cannot start on it.
        """
        self._tracker = self._create()
        self._box = box
        if self._tracker.init(frame, _within(box, frame.shape[1], frame.shape[0])) is False:  # others return nothing
            raise RuntimeError(f"OpenCV could not start on {box}")
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


def factory(name: str) -> Callable[..., Any]:
    """What makes one of OpenCV's trackers.

    Raises:
        ValueError: OpenCV has none of that name.
        RuntimeError: this OpenCV does not have it; the message says what to install.
    """
    if name not in OPENCV_TRACKERS:
        raise ValueError(f"no tracker opencv:{name}; there are {', '.join(OPENCV_TRACKERS)}")
    recipe = OPENCV_TRACKERS[name]
    home: Any = OPENCV
    for part in f"{recipe.name}_create".split("."):
        home = getattr(home, part, None)
    if home is None:
        how = "run `make peers` and use .venv-peers/bin/python, or " if recipe.package == CONTRIB else ""
        raise RuntimeError(
            f"OpenCV {cv2.__version__} here has no {recipe.name}: {how}"
            f"`pip install '{recipe.package}'` in an environment without another OpenCV"
        )
    return home


def weight_files(name: str, options: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """The files that one of OpenCV's trackers needs, by parameter.

    Args:
        name: of the tracker.
        options: a path for each parameter that is not to be looked for, or another ``folder``.
        folder: where the others are, by their well-known names.

    Raises:
        ValueError: an option that the tracker does not have.
        FileNotFoundError: a file is not there.
    """
    files = OPENCV_TRACKERS[name].files
    if unknown := sorted(options.keys() - files.keys() - {"folder"}):
        known = ", ".join([*files, "folder", "threads"])
        raise ValueError(f"opencv:{name} has no option {', '.join(unknown)}; there are {known}")
    folder = Path(options.get("folder", folder))
    found = {}
    for key, names in files.items():
        candidates = [Path(options[key])] if key in options else [folder / each for each in names]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"opencv:{name} needs {' or '.join(str(each) for each in candidates)}, not there: name it with "
                f"opencv:{name},{key}=PATH or its folder with opencv:{name},folder=DIR"
            )
        found[key] = path
    return found


def create(name: str, files: Mapping[str, Path]) -> OpenCVTracker:
    """One of OpenCV's trackers with its weights.

    Raises:
        ValueError, RuntimeError: see `factory`.
    """
    make = factory(name)
    if not files:
        return OpenCVTracker(make)
    parameters = getattr(OPENCV, f"{OPENCV_TRACKERS[name].name}_Params")()
    for key, path in files.items():
        setattr(parameters, key, str(path))
    return OpenCVTracker(lambda: make(parameters))


def _within(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels inside the image, at least one."""
    left, top = min(max(round(box[0]), 0), width - 1), min(max(round(box[1]), 0), height - 1)
    right, bottom = min(max(round(box[0] + box[2]), left + 1), width), min(max(round(box[1] + box[3]), top + 1), height)
    return left, top, right - left, bottom - top
