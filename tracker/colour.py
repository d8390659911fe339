"""Has a place the target's colours? Where it has not, the target is not there.

A network is trained not to mind colours, so look-alikes of other colours deceive it; and what it takes for the target
after a long search is more often a look-alike than beside the place where the target was a moment ago. As in Staple
(Bertinetto et al. 2016, section 3.4), histograms of the target and of its surroundings are compared bin by bin. Here
their log-likelihood ratio moves no box: it is watched while the target is surely seen, so that it is known how much it
varies, and a place that falls far short of it is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.result import TrackState

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Pair = tuple[float, float]

BINS = (6, 16, 16)  # of CIELAB: lightness changes more than hue
PLACES = 24  # along a side of the box, at which its colour is looked up
INSIDE, BEYOND, AROUND = 0.8, 1.25, 2.0  # sides of what is the target; what is around it lies between the others
FLOOR = 1e-3  # share of the pixels added to each bin: a colour that was hardly seen says little
EVERY = 4  # frames from one look at a familiar target that is TRACKING to the next, as neighbours say the same
MEMORY = 0.15  # share of the newest in mean and variance
FOLLOWED = 2.0  # times as far may a place fall short to which the target was followed: it is the light that changed
AGEING = 0.03**2  # nats² a frame that are added to the variance while the target is not TRACKING
STEADIEST = 0.3  # nats: the least deviation, for a target that hardly varies may do so later


@dataclass(frozen=True)
class ColourConfig:
    """How much a place may lack of the target's colours.

    Attributes:
        colour_gate: deviations, in those of the target while it was surely seen, by which a place may look less like it
            for a LOST target to be found there; `FOLLOWED` times as many where it was followed. 0: colours are not
            looked at.
    """

    colour_gate: float = 3.0


class ColourModel:
    """Colours of one target against those around it, from one frame, and how they vary.

    Args:
        image: (H, W, 3) uint8 BGR.
        centre: (x, y) of the target in image pixels.
        size: (w, h) of the target in image pixels.
        gate: see `ColourConfig`.

    Attributes:
        ratio: (6, 16, 16) log-likelihood ratio of a colour's being the target's, in nats.
        mean, variance: of `likeness` on the target, lately.
    """

    def __init__(self, image: Image, centre: Pair, size: Pair, gate: float = ColourConfig.colour_gate) -> None:
        inside = _lab(image, centre, size, INSIDE, PLACES)
        both = _lab(image, centre, size, AROUND, 2 * PLACES)
        outside = np.ones(both.shape[:2], np.bool_)
        edge = round(PLACES * (1 - BEYOND / AROUND))
        outside[edge:-edge, edge:-edge] = False
        target, around = _histogram(inside.reshape(-1, 3)), _histogram(both[outside])
        self.ratio = np.log((target + FLOOR) / (around + FLOOR)).astype(np.float32)
        self.mean, self.variance = self.likeness(image, centre, size), 1.0
        self._gate, self._frames, self._familiar = gate, 0, True
        self._likeness: float | None = None  # of the last frame's place, if it was looked at

    def likeness(self, image: Image, centre: Pair, size: Pair) -> float:
        """Mean log-likelihood ratio in a box, in nats: above 0 it shows the target rather than what was around it.

        Args:
            image, centre, size: see the class; the box may lie outside of the image, partly or wholly.
        """
        lab = _lab(image, centre, size, INSIDE, PLACES).astype(np.intp)
        return float(self.ratio[tuple(lab[:, :, axis] * bins >> 8 for axis, bins in enumerate(BINS))].mean())

    def familiar(self, likeness: float, lost: bool) -> bool:
        """Whether a place may show the target, which is looked for if it is `lost`, else was followed there."""
        deviation = max(self.variance**0.5, STEADIEST)
        return likeness >= self.mean - self._gate * (1.0 if lost else FOLLOWED) * deviation

    def agrees(self, image: Image, centre: Pair, size: Pair, before: TrackState) -> bool:
        """Whether the place to which a frame led may show the target; to be called once a frame.

        A target that is TRACKING is looked at now and then. What was unfamiliar then is looked at in each frame, until
        it is familiar or LOST: a network that is sure of a look-alike must not outvote a rare look.

        Args:
            image, centre, size: see the class.
            before: state in which the target was. While it is not TRACKING each frame makes it less sure what it looks
                like now: light that has changed must not hide it for ever.
        """
        self._frames += 1
        self._likeness = None
        if before is not TrackState.TRACKING:
            self.variance += AGEING
        elif self._familiar and self._frames % EVERY:
            return True
        self._likeness = self.likeness(image, centre, size)
        self._familiar = self.familiar(self._likeness, before is TrackState.LOST)
        return self._familiar

    def watch(self) -> None:
        """Take in the place at which the last frame was looked at, if it was: the target is surely there."""
        if self._likeness is not None:
            off = self._likeness - self.mean
            self.mean += MEMORY * off
            self.variance += MEMORY * (off * off - self.variance)


def _lab(image: Image, centre: Pair, size: Pair, share: float, places: int) -> Image:
    """(places, places, 3) CIELAB at evenly spaced places of `share` of a box; beyond the border that of the border."""
    steps = (np.arange(places) + 0.5) / places - 0.5
    columns, rows = (
        np.clip(centre[axis] + steps * share * size[axis], 0, image.shape[1 - axis] - 1).astype(np.intp)
        for axis in (0, 1)
    )
    return np.asarray(cv2.cvtColor(image[rows[:, None], columns], cv2.COLOR_BGR2LAB), np.uint8)


def _histogram(lab: Image) -> Floats:
    """(6, 16, 16) shares of colours (N, 3), each divided among the eight bins that are nearest to it."""
    place = lab / 256 * BINS - 0.5
    low = np.floor(place).astype(np.intp)
    shares = np.zeros(BINS)
    for corner in product((0, 1), repeat=3):
        bins = np.clip(low + corner, 0, np.array(BINS) - 1)
        np.add.at(shares, tuple(bins.T), np.abs(1 - np.array(corner) - (place - low)).prod(axis=1))
    return shares / len(lab)
