"""Folders in the layout of the Online Tracking Benchmark.

``<root>/<sequence>/groundtruth_rect.txt`` holds a line ``x,y,w,h`` for every frame, separated by commas, tabs or
spaces; a row with a ``nan`` says that the target is absent. The frames are the images in ``<sequence>/img/`` or, in
packed sets, the video ``<sequence>/frames.mp4``. Row *i* belongs to frame *i*.

Boxes in OTB's files count pixels from 1. Packed sets carry a ``sequence.json`` that names the benchmark; where it is
another one than OTB, boxes count from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.box import from_otb

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
GROUND_TRUTH = "groundtruth_rect.txt"


@dataclass(frozen=True, eq=False)
class Sequence:
    """A video and one target in it.

    Attributes:
        name: name of the folder.
        boxes: (N, 4) ground truth ``(x, y, w, h)``, 0-based pixels; a row with NaN where the target is absent.
        source: folder of images, or video file.
    """

    name: str
    boxes: Floats
    source: Path

    def __len__(self) -> int:
        return len(self.boxes)

    def head(self, frames: int | None) -> Sequence:
        """The first `frames` frames (all of them if ``None``)."""
        return self if frames is None else replace(self, boxes=self.boxes[:frames])

    def frames(self) -> Iterator[Image]:
        """Decode the frames one after another: uint8 H×W×3 BGR, as many as there are boxes.

        Raises:
            ValueError: a frame cannot be decoded; the message names the sequence and the frame.
        """
        images = _read_images(self.source) if self.source.is_dir() else _read_video(self.source)
        decoded = 0
        for image in images:
            if decoded == len(self):
                return
            if image is None:
                break
            yield image
            decoded += 1
        if decoded < len(self):
            raise ValueError(f"{self.name}: expected {len(self)} frames, could decode only {decoded} ({self.source})")


def read_sequences(
    roots: Iterable[Path | str], only: Iterable[str] | None = None, one_based: bool | None = None
) -> list[Sequence]:
    """Read every sequence below some folders, in the order of the folders, then of the names.

    Args:
        roots: folders of sequences, folders of such folders, or sequences.
        only: names to keep; all if ``None``.
        one_based: see `read_sequence`.

    Raises:
        ValueError: a root without a sequence, a name that is not there or there twice, or a sequence that is damaged.
    """
    found: dict[str, Path] = {}
    for root in roots:
        for folder in _sequence_folders(Path(root)):
            if found.setdefault(folder.name, folder) != folder:
                raise ValueError(f"two sequences are called {folder.name}: {found[folder.name]} and {folder}")
    names = list(found) if only is None else list(dict.fromkeys(only))
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ValueError(f"no sequence {', '.join(unknown)}; there are {', '.join(found)}")
    return [read_sequence(found[name], one_based) for name in found if name in names]


def read_sequence(folder: Path | str, one_based: bool | None = None) -> Sequence:
    """Read the ground truth of one sequence and check it against the number of frames.

    Args:
        folder: ``<root>/<sequence>``.
        one_based: whether the boxes in the file count pixels from 1; ``None``: they do, unless a ``sequence.json``
            names another benchmark than OTB.

    Raises:
        ValueError: no ground truth or no frames, a line that is not a box, no target in the first frame, or a number
            of boxes that is not the number of frames.
    """
    folder = Path(folder)
    boxes = read_boxes(folder / GROUND_TRUTH)
    if not (boxes[0, 2:] > 0).all():
        raise ValueError(f"{folder.name}: the first frame shows no target to start with ({folder / GROUND_TRUTH})")
    if one_based is None:
        one_based = _benchmark(folder) == "OTB"
    source, frames = _frames_of(folder)
    if frames != len(boxes):
        raise ValueError(
            f"{folder.name}: expected {len(boxes)} frames, one for each row of {GROUND_TRUTH}, found {frames} in "
            f"{source}"
        )
    return Sequence(folder.name, from_otb(boxes) if one_based else boxes, source)


def read_boxes(path: Path) -> Floats:
    """Boxes of a text file, (N, 4), as they stand there; blank lines at the end are ignored.

    Raises:
        ValueError: the file is missing, empty, or has a line that is not four numbers.
    """
    try:
        lines = path.read_text().rstrip().splitlines()
    except OSError as error:
        raise ValueError(f"{path.parent.name}: cannot read {path}: {error.strerror}") from error
    if not lines:
        raise ValueError(f"{path.parent.name}: {path} holds no box")
    boxes = np.empty((len(lines), 4))
    for row, line in enumerate(lines):
        try:
            boxes[row, 0], boxes[row, 1], boxes[row, 2], boxes[row, 3] = map(float, re.split(r"[,\s]+", line.strip()))
        except ValueError:
            message = f"{path.parent.name}: expected x,y,w,h in line {row + 1} of {path}, found {line!r}"
            raise ValueError(message) from None
    return boxes


def _sequence_folders(root: Path) -> list[Path]:
    for pattern in (GROUND_TRUTH, f"*/{GROUND_TRUTH}", f"*/*/{GROUND_TRUTH}"):
        folders = sorted(path.parent for path in root.glob(pattern))
        if folders:
            return folders
    raise ValueError(f"no sequence below {root}: expected {root}/<sequence>/{GROUND_TRUTH}")


def _benchmark(folder: Path) -> str:
    description = folder / "sequence.json"
    return json.loads(description.read_text()).get("benchmark", "OTB") if description.exists() else "OTB"


def _frames_of(folder: Path) -> tuple[Path, int]:
    """Where the frames are, and how many there are (by the container's own account for a video)."""
    images, video = folder / "img", folder / "frames.mp4"
    if images.is_dir():
        return images, len(_image_files(images))
    capture = cv2.VideoCapture(str(video)) if video.exists() else None
    if capture is None or not capture.isOpened():
        raise ValueError(f"{folder.name}: expected frames in {images}/ or {video}, found neither readable")
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return video, count


def _image_files(folder: Path) -> list[Path]:
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(files, key=lambda path: (len(path.stem), path.stem))  # 2.jpg before 10.jpg, 0002 before 0010


def _read_images(folder: Path) -> Iterator[Image | None]:
    for path in _image_files(folder):
        yield cv2.imread(str(path), cv2.IMREAD_COLOR)  # type: ignore[misc]  # uint8 by this flag


def _read_video(path: Path) -> Iterator[Image | None]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            decoded, frame = capture.read()
            if not decoded:
                return
            yield frame  # type: ignore[misc]  # uint8 as cv2 decodes video
    finally:
        capture.release()
