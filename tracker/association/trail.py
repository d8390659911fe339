"""What is known of one target from its detections on one side of a moment: position, velocity, size, how often seen.

A trail is a discounted least-squares line through a target's boxes: an observation Δt seconds old weighs e^(−Δt/τ). It
is carried from detection to detection in constant time, by moving the origin of time and adding one observation, which
makes it the same thing for a tracker that sees one frame after another and for one that has all of them (which runs it
backwards as well). The velocity is shrunk towards 0 by the prior that targets move about as fast as `RIDGE` says, so
that two boxes a frame apart do not make a runaway.

Time is in seconds, position in pixels of the first frame (the camera's motion taken out), size in log pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracker.jit import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TAU = 0.6  # seconds: how far back the line remembers
RIDGE = 0.003  # seconds squared: (noise of a position / typical speed)^2, both in body heights

# a trail: sums of weights by powers of time, of positions and log sizes by time; counts
S0, S1, S2, X, XT, Y, YT, W, H, HT, COUNT, SPAN, SCORE, TIME = range(14)
TRAIL = 14
# what it says, a row: see `describe`
SEEN, LASTING, SURE, AT_X, AT_Y, LOG_W, LOG_H, V_X, V_Y, V_H = range(10)
CONTEXT = 10


@compiled
def extend(trail: Floats, time: float, x: float, y: float, log_w: float, log_h: float, score: float) -> None:
    """Add an observation in place; `time` may run backwards. A trail of zeros is an empty one."""
    step = time - trail[TIME]
    if trail[COUNT] == 0:
        step = 0.0
    fade = np.exp(-abs(step) / TAU)
    trail[S2] = (trail[S2] - 2 * step * trail[S1] + step * step * trail[S0]) * fade
    trail[S1] = (trail[S1] - step * trail[S0]) * fade
    trail[S0] = trail[S0] * fade + 1
    trail[XT] = (trail[XT] - step * trail[X]) * fade
    trail[YT] = (trail[YT] - step * trail[Y]) * fade
    trail[HT] = (trail[HT] - step * trail[H]) * fade
    trail[X] = trail[X] * fade + x
    trail[Y] = trail[Y] * fade + y
    trail[W] = trail[W] * fade + log_w
    trail[H] = trail[H] * fade + log_h
    trail[COUNT] += 1
    trail[SPAN] += abs(step)
    trail[SCORE] += score
    trail[TIME] = time


@compiled
def describe(trail: Floats, row: Floats) -> None:
    """Write what the trail says at its last observation into `row` (CONTEXT numbers).

    SEEN detections over LASTING seconds of mean score SURE; the line's position AT_X, AT_Y and log size LOG_W, LOG_H;
    velocity V_X, V_Y in pixels a second and V_H in log pixels a second.
    """
    s0 = trail[S0]
    mean = trail[S1] / s0
    spread = trail[S2] - trail[S1] * mean + RIDGE
    row[SEEN] = trail[COUNT]
    row[LASTING] = trail[SPAN]
    row[SURE] = trail[SCORE] / trail[COUNT]
    row[V_X] = (trail[XT] - mean * trail[X]) / spread
    row[V_Y] = (trail[YT] - mean * trail[Y]) / spread
    row[V_H] = (trail[HT] - mean * trail[H]) / spread
    row[AT_X] = trail[X] / s0 - row[V_X] * mean
    row[AT_Y] = trail[Y] / s0 - row[V_Y] * mean
    row[LOG_W] = trail[W] / s0
    row[LOG_H] = trail[H] / s0 - row[V_H] * mean


@compiled
def contexts(points: Floats, order: Integers, chain: Integers, heads: Floats) -> Floats:
    """What is known at each detection from those of its chain up to it, (N, CONTEXT).

    Args:
        points: (N, 6) time in seconds, centre in pixels, log width, log height, score.
        order: (N,) the detections chain by chain, each from one of its ends to the other.
        chain: (N,) number of the chain of each detection.
        heads: (K, TRAIL) trails that end at the first K detections, which stand for all of them.
    """
    out = np.empty((len(points), CONTEXT))
    trail = np.zeros(TRAIL)
    last = -1
    for i in order:
        if chain[i] != last:
            trail[:] = 0
            last = chain[i]
        if i < len(heads):
            trail[:] = heads[i]
        else:
            p = points[i]
            extend(trail, p[0], p[1], p[2], p[3], p[4], p[5])
        describe(trail, out[i])
    return out


@compiled
def number_chains(following: Integers) -> Integers:
    """Number of the chain of each detection, (N,), where `following` is the next one of each, later in order, or −1."""
    chain = np.full(len(following), -1, np.int64)
    count = 0
    for i in range(len(following)):
        if chain[i] < 0:
            chain[i] = count
            count += 1
        if following[i] >= 0:
            chain[following[i]] = chain[i]
    return chain
