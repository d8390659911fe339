"""Is what a place shows of the first box's kind? A second opinion, from features that know ImageNet.

The network that tracks has learned from little footage, and what it takes for the target after a search is often
something that no eye would confuse with it. Here a small crop around a place becomes one vector
(`backbones.appearance.Appearance`), and its cosine to the first box's vector says how alike the two are. What the whole
scene has in common says nothing of the target, so half of what lies around the first box is taken off both. A target
that turns shows other sides: where it is surely followed, what is new but not strange is remembered, and a place is as
like as it is to the most similar of these views. It moves no box; it has a say in the score
(`tracker.confidence.probability`).

The vectors are computed by OpenCV on the CPU, wherever the tracker's own network runs.
"""

from __future__ import annotations

import hashlib
import json
import threading
from importlib import resources
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.crop import crop, exemplar_side
from tracker.network import WeightsError

Image = NDArray[np.uint8]
Vector = NDArray[np.float32]
Pair = tuple[float, float]

FILE = "appearance.onnx"  # beside the shipped weights, with its card
SIZE = 64  # pixels a side of a crop, as large in the image as an exemplar
AROUND = 0.6  # sides of the crop by which the places around the first box lie away from it
SHARED = 0.5  # share of what they show that is taken for what the scene has in common
EVERY = 4  # frames from one look at a target that is TRACKING to the next, as neighbours show the same
UNLIKE = 0.45  # cosine below which the next frame is looked at in any case
SURE = 0.7  # probability, by the response alone, of a place whose view may be remembered
STRANGE, KNOWN = 0.5, 0.6  # cosines between which it is: below it may be another thing, above it says nothing new
VIEWS = 16  # remembered at most; the oldest but the first box's makes room
_loaded = threading.local()  # a network of OpenCV's serves one thread


class AppearanceModel:
    """What one target looks like: its views so far, the first frame's first.

    Args:
        image: (H, W, 3) uint8 BGR.
        centre: (x, y) of the target in image pixels.
        size: (w, h) of the target in image pixels.
        border: colour beyond the image's border.

    Raises:
        WeightsError: the network's file is missing or damaged.
    """

    def __init__(self, image: Image, centre: Pair, size: Pair, border: tuple[float, ...]) -> None:
        self._border, self._frames = border, 0
        away = AROUND * exemplar_side(*size)
        steps = [step for step in product((-away, 0.0, away), repeat=2) if step != (0.0, 0.0)]
        around = [self._features(image, (centre[0] + x, centre[1] + y), size) for x, y in steps]
        self._common = np.asarray(SHARED * np.mean(around, axis=0), np.float32)
        self._views = self._view(image, centre, size)[None]
        self._likeness = 1.0
        self._new: Vector | None = None  # view of the last frame's place, if it was looked at and may be remembered

    def likeness(self, image: Image, centre: Pair, size: Pair) -> float:
        """Cosine in [−1, 1] between what a box shows and the most similar view; the box may lie outside the image."""
        return self._compare(self._view(image, centre, size))

    def watch(self, image: Image, centre: Pair, size: Pair, closely: bool) -> float:
        """Likeness of the place to which a frame led, or of the last one looked at; to be called once a frame.

        Args:
            image, centre, size: see the class.
            closely: look in any case; else only in the first and every fourth frame after it is looked, and in those
                that follow one that showed something unlike.
        """
        self._frames += 1
        self._new = None
        if closely or self._frames % EVERY == 1 or self._likeness < UNLIKE:
            view = self._view(image, centre, size)
            self._likeness = self._compare(view)
            self._new = view if STRANGE <= self._likeness < KNOWN else None
        return self._likeness

    def learn(self) -> None:
        """Remember the place that the last frame led to, if it is worth it: the target is surely there."""
        if self._new is not None:
            kept = self._views if len(self._views) < VIEWS else np.delete(self._views, 1, axis=0)
            self._views = np.vstack([kept, self._new])

    def _compare(self, view: Vector) -> float:
        return float((self._views @ view).max())

    def _view(self, image: Image, centre: Pair, size: Pair) -> Vector:
        """(112,) of length 1: a place, less what the scene has in common."""
        return _unit(self._features(image, centre, size) - self._common)

    def _features(self, image: Image, centre: Pair, size: Pair) -> Vector:
        """(112,) of a place."""
        network = _network()
        network.setInput(crop(image, centre, exemplar_side(*size), SIZE, self._border)[None])
        return np.asarray(network.forward(), np.float32).ravel()


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def _network() -> cv2.dnn.Net:
    """This thread's network, read at its first use."""
    if not hasattr(_loaded, "network"):
        _loaded.network = read_network(Path(str(resources.files("weights"))) / FILE)
    return _loaded.network


def read_network(path: Path) -> cv2.dnn.Net:
    """The network of `learning.appearance` from its file, whose card has its hash.

    Raises:
        WeightsError: the file or its card is missing or damaged, or OpenCV cannot read it.
    """
    try:
        data, card = path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} ships with the package with its card; install it again: {error}") from error
    if not isinstance(card, dict) or card.get("sha256") != hashlib.sha256(data).hexdigest():
        raise WeightsError(f"{path}: not the file that its card describes: it is damaged, install the package again")
    try:
        return cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    except cv2.error as error:
        raise WeightsError(f"{path}: OpenCV {cv2.__version__} cannot read it: {error}") from error
