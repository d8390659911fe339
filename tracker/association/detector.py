"""Detectors in ONNX files: the boxes of a frame, from the outputs of YOLOX, NanoDet-Plus and YOLOv8.

    detector = Detector("yolox_nano.onnx", classes=["person"])
    detections = detector(frame.index, frame.image)

Which of them a file is, is told by the shape of what it gives for an image of its own size. They differ in the grid
that their outputs lie on, and in what they are fed: facts of their published exports, decoded here in NumPy.
"""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.association.detections import Detections, repair
from tracker.frame import Image, to_bgr8

Floats = NDArray[np.float32]

DYNAMIC_SIDE = 640  # pixels: for a file that takes images of any size
COCO = (  # noqa: SIM905  # the 80 classes of its detection task, in their order
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")


class DetectorError(ValueError):
    """A detector cannot be used; the message says which file, why, and what to do."""


@dataclass(frozen=True)
class Layout:
    """How a family of detectors is fed and read.

    Attributes:
        strides: of the grids that the outputs lie on, one after another, in pixels of the input.
        rgb: whether the input is RGB instead of BGR.
        mean, scale: the input is (pixel − mean) · scale, by channel.
        centred: whether the image lies in the middle of the input instead of its upper left corner.
        padding: the input's value beside the image, before mean and scale.
    """

    strides: tuple[int, ...]
    rgb: bool
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    centred: bool
    padding: int

    def grid(self, height: int, width: int) -> Floats:
        """(N, 3) column, row and stride of each output, in their order."""
        cells = []
        for stride in self.strides:
            rows, columns = np.mgrid[: math.ceil(height / stride), : math.ceil(width / stride)]
            cells.append(np.column_stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)]))
        return np.concatenate(cells).astype(np.float32)


LAYOUTS = {
    "yolox": Layout((8, 16, 32), False, (0, 0, 0), (1, 1, 1), False, 114),
    "nanodet": Layout(
        (8, 16, 32, 64), False, (103.53, 116.28, 123.675), (1 / 57.375, 1 / 57.12, 1 / 58.395), True, 114
    ),
    "yolov8": Layout((8, 16, 32), True, (0, 0, 0), (1 / 255, 1 / 255, 1 / 255), True, 114),
}
BINS = 8  # of the distribution that NanoDet gives for each side of a box


class Detector:
    """Finds objects in frames by a network in an ONNX file.

    Args:
        path: the file. One input (1, 3, H, W), float32 or float16, and one output:
            ``yolox`` (1, N, 5 + C): offsets in the grid, logarithms of sizes, objectness, classes;
            ``nanodet`` (1, N, C + 32): classes, and distributions of the distances to the four sides;
            ``yolov8`` (1, 4 + C, N): boxes in pixels of the input, classes.
        layout: one of these names, or "auto".
        score: least score of a detection, in [0, 1].
        nms: overlap (IoU) from which the surer of two boxes of a class suppresses the other, in (0, 1].
        classes: names or numbers of the classes to keep; ``None`` for all.
        threads: of the processor; ``None`` leaves it to onnxruntime.

    Attributes:
        layout: its name.
        names: of the classes, by number; empty where they are not known.

    Raises:
        DetectorError: not a detector of these layouts, an unknown class, or thresholds out of their range.
        ModuleNotFoundError: onnxruntime is not installed; the message says how to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        layout: str = "auto",
        score: float = 0.3,
        nms: float = 0.6,
        classes: Sequence[str | int] | None = None,
        threads: int | None = None,
    ) -> None:
        if not (0 <= score <= 1 and 0 < nms <= 1):
            raise DetectorError(f"score must be in [0, 1] and nms in (0, 1], got {score} and {nms}")
        self.path, self.score, self.nms = Path(path), score, nms
        self._session = _open(self.path, threads)
        entry = self._session.get_inputs()[0]
        self._input, self._half = entry.name, entry.type == "tensor(float16)"
        self._height, self._width = self._sides(entry)
        self.layout, count = self._recognise(layout)
        self._layout = LAYOUTS[self.layout]
        self._grid = self._layout.grid(self._height, self._width)
        self.names = _class_names(self._session, count)
        self._kept = None if classes is None else self._numbers(classes, count)

    def __call__(self, frame: int, image: Image) -> Detections:
        """Find objects.

        Args:
            frame: number of the frame, 0-based; handed through.
            image: uint8 HxWx3 BGR, or what `to_bgr8` takes.

        Returns:
            What was found, clipped to the image, the surest first.

        Raises:
            ValueError: a bad image.
        """
        image = to_bgr8(image)
        fitted, step, left, top = self._fit(image)
        boxes, scores = self._decode(self._run(fitted))
        kept = scores.argmax(1)
        best = scores[np.arange(len(scores)), kept]
        chosen = best >= self.score
        if self._kept is not None:
            chosen &= np.isin(kept, self._kept)
        boxes, best, kept = boxes[chosen].astype(np.float64), best[chosen].astype(np.float64), kept[chosen]
        corners = (boxes - (left, top, left, top)) * step
        corners = np.clip(corners, 0, np.tile(image.shape[1::-1], 2))
        first = suppress(corners, best, kept, self.nms)
        corners = corners[first]
        xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        detections, _ = repair(frame, xywh, best[first], kept[first], image)  # a box outside the image has no area left
        return detections

    def _sides(self, entry: Any) -> tuple[int, int]:
        shape = entry.shape
        if len(shape) != 4 or shape[1] not in (3, "3") or entry.type not in ("tensor(float)", "tensor(float16)"):
            raise DetectorError(f"{self.path}: takes {entry.type} {shape}, expected float (1, 3, height, width)")
        height, width = (side if isinstance(side, int) else DYNAMIC_SIDE for side in shape[2:])
        return height, width

    def _recognise(self, layout: str) -> tuple[str, int]:
        """The layout's name and the number of classes, by what comes out for a grey image.

        Raises:
            DetectorError: it fits none, or not the one asked for.
        """
        if layout not in ("auto", *LAYOUTS):
            raise DetectorError(f"unknown layout {layout!r}; there are auto, {', '.join(LAYOUTS)}")
        shape = self._run(np.full((1, 3, self._height, self._width), 0.5, np.float32)).shape
        fitting = {name: classes for name in LAYOUTS if (classes := self._classes_by(name, shape)) > 0}
        if layout != "auto":
            fitting = {name: classes for name, classes in fitting.items() if name == layout}
        if len(fitting) != 1:
            wanted = " or ".join(fitting) if fitting else "none of the layouts " + ", ".join(LAYOUTS)
            if layout != "auto":
                wanted = f"not the layout {layout}"
            raise DetectorError(
                f"{self.path}: its output {tuple(shape)} for an input of {self._height}x{self._width} is {wanted}"
                + ("; choose one by --layout" if len(fitting) > 1 else "; export it without its own postprocessing")
            )
        return next(iter(fitting.items()))

    def _classes_by(self, name: str, shape: tuple[int, ...]) -> int:
        """How many classes an output of this shape has in a layout; 0 or less where it is not of it."""
        cells = len(LAYOUTS[name].grid(self._height, self._width))
        if len(shape) != 3 or shape[0] != 1:
            return 0
        if name == "yolov8":
            return shape[1] - 4 if shape[2] == cells else 0
        return shape[2] - (5 if name == "yolox" else 4 * BINS) if shape[1] == cells else 0

    def _numbers(self, classes: Sequence[str | int], count: int) -> list[int]:
        """Classes by name or number → by number.

        Raises:
            DetectorError: there is no such class.
        """
        found = []
        for entry in classes:
            text = str(entry).strip()
            number = int(text) if text.isdecimal() else self.names.index(text) if text in self.names else count
            if number >= count:
                known = ", ".join(self.names) or f"numbers from 0 to {count - 1}, as it has no names"
                raise DetectorError(f"{self.path}: no class {text!r}; there are {known}")
            found.append(number)
        return found

    def _fit(self, image: Image) -> tuple[Floats, float, float, float]:
        """The image as the network takes it; image pixels in one of its pixels, and where its corner lies there."""
        height, width = image.shape[:2]
        shrink = min(self._height / height, self._width / width)
        h, w = min(self._height, round(height * shrink)), min(self._width, round(width * shrink))
        layout = self._layout
        top = (self._height - h) // 2 if layout.centred else 0
        left = (self._width - w) // 2 if layout.centred else 0
        canvas = np.full((self._height, self._width, 3), layout.padding, np.uint8)
        canvas[top : top + h, left : left + w] = cv2.resize(image, (max(w, 1), max(h, 1)))
        channels = canvas[..., ::-1] if layout.rgb else canvas
        fed = (channels.astype(np.float32) - np.array(layout.mean, np.float32)) * np.array(layout.scale, np.float32)
        return np.ascontiguousarray(fed.transpose(2, 0, 1)[None]), 1 / shrink, left, top

    def _run(self, fed: Floats) -> Floats:
        try:
            outputs = self._session.run(None, {self._input: fed.astype(np.float16) if self._half else fed})
        except Exception as error:  # onnxruntime's own kinds have no common base but this
            raise DetectorError(f"{self.path}: fails on an input {fed.shape}: {error}") from error
        if len(outputs) != 1:
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise DetectorError(f"{self.path}: has {len(outputs)} outputs ({shapes}), expected one")
        return np.asarray(outputs[0], np.float32)

    def _decode(self, output: Floats) -> tuple[Floats, Floats]:
        """The network's output → (N, 4) corners in pixels of its input and (N, C) scores."""
        rows = output[0]
        place, stride = self._grid[:, :2], self._grid[:, 2:]
        if self.layout == "yolov8":
            centre, size, scores = rows[:2].T, rows[2:4].T, rows[4:].T
        elif self.layout == "yolox":
            centre, size = (rows[:, :2] + place) * stride, np.exp(rows[:, 2:4]) * stride
            scores = rows[:, 4:5] * rows[:, 5:]
        else:
            scores = rows[:, : -4 * BINS]
            logits = rows[:, -4 * BINS :].reshape(-1, 4, BINS)
            shares = np.exp(logits - logits.max(-1, keepdims=True))
            sides = (shares / shares.sum(-1, keepdims=True)) @ np.arange(BINS, dtype=np.float32) * stride
            return np.concatenate([place * stride - sides[:, :2], place * stride + sides[:, 2:]], axis=1), scores
        return np.concatenate([centre - size / 2, centre + size / 2], axis=1), scores


def suppress(
    corners: NDArray[np.float64], scores: NDArray[np.float64], classes: NDArray[np.int64], nms: float
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression within each class.

    Args:
        corners: (N, 4) ``(x1, y1, x2, y2)``.
        scores: (N,).
        classes: (N,).
        nms: overlap (IoU) above which the less sure box goes.

    Returns:
        Rows that stay, the surest first.
    """
    order = np.argsort(-scores, kind="stable")
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    kept: list[int] = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(int(first))
        shared = np.minimum(corners[first, 2:], corners[rest, 2:]) - np.maximum(corners[first, :2], corners[rest, :2])
        shared = np.clip(shared, 0, None).prod(1)
        union = areas[first] + areas[rest] - shared
        order = rest[(shared <= nms * union) | (classes[rest] != classes[first])]
    return np.array(kept, np.int64)


def _open(path: Path, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("a detector needs onnxruntime: pip install onnxruntime") from error
    if not path.is_file():
        raise DetectorError(f"{path}: no such file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal: what goes wrong is raised
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds have no common base but this
        raise DetectorError(f"{path}: not an ONNX model that onnxruntime can run: {error}") from error
    if len(session.get_inputs()) != 1:
        raise DetectorError(f"{path}: has {len(session.get_inputs())} inputs, expected one image")
    return session


def _class_names(session: Any, count: int) -> tuple[str, ...]:
    """As the file itself has them (YOLOv8's exports do), or COCO's for 80 classes, or none."""
    text = session.get_modelmeta().custom_metadata_map.get("names", "")
    try:
        stored = ast.literal_eval(text) if text else {}
        names = tuple(str(stored[number]) for number in range(count))
    except (ValueError, SyntaxError, KeyError, IndexError, TypeError):
        names = ()
    return names or (tuple(COCO) if count == len(COCO) else ())
