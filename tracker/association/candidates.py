"""Which pairs of detections are looked at: those that one target could join, by a limit of its speed.

There is no gate on overlap. What was behind an occluder for a second comes out a body width further on, where it
overlaps with nothing that was seen before.
"""

from __future__ import annotations

import numpy as np

from tracker.association.trail import AT_X, AT_Y, SEEN, V_X, V_Y, Floats, Integers
from tracker.jit import compiled

SPEED = 1.5  # body heights a second beside what is predicted
SLACK = 0.5  # body heights: noise of two boxes
SIZES = 0.7  # log ratio of heights


@compiled
def distance(a: Floats, p: Floats, b: Floats, f: Floats) -> float:
    """How far `b` is from where `a` leads, as a share of what is allowed; above 1 they are not looked at.

    The best of both sides' predictions and of standing still counts, as velocities of short trails are noisy.

    Args:
        a, b: earlier and later detection, rows of `tracker.association.features.POINT` numbers.
        p, f: what is known of them, rows of `tracker.association.trail.CONTEXT` numbers.
    """
    dt = b[0] - a[0]
    if abs(b[4] - a[4]) > SIZES:
        return np.inf
    body = np.exp((a[4] + b[4]) / 2)
    best = np.hypot(b[1] - a[1], b[2] - a[2])
    if p[SEEN] > 1:
        best = min(best, np.hypot(p[AT_X] + p[V_X] * dt - b[1], p[AT_Y] + p[V_Y] * dt - b[2]))
    if f[SEEN] > 1:
        best = min(best, np.hypot(f[AT_X] - f[V_X] * dt - a[1], f[AT_Y] - f[V_Y] * dt - a[2]))
    return best / (body * (SLACK + SPEED * dt))


@compiled
def candidate_pairs(
    points: Floats,
    past: Floats,
    future: Floats,
    frame: Integers,
    category: Integers,
    ends: Integers,
    starts: Integers,
    longest: int,
    most: int,
    most_in_all: int,
) -> tuple[Integers, Integers]:
    """Pairs of an end and a later start that are near enough, the nearest `most` for each end and gap.

    Args:
        points, past, future: (N, …) rows as in `distance`.
        frame, category: (N,) frame number and class.
        ends, starts: detections to pair, by rising frame.
        longest: gap in frames.
        most: starts for one end in one frame.
        most_in_all: the nearest that are kept of one end's, so that the pairs of a crowd grow no faster than it.

    Returns:
        Two arrays (P,): the earlier and the later detection of each pair.
    """
    earlier, later = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    distances = [np.float64(0) for _ in range(0)]
    near = np.empty(most)
    which = np.empty(most, np.int64)
    low = 0
    for i in ends:
        while low < len(starts) and frame[starts[low]] <= frame[i]:
            low += 1
        k, kept = low, len(later)
        while k < len(starts) and frame[starts[k]] - frame[i] <= longest:
            now, count = frame[starts[k]], 0
            dt = points[starts[k], 0] - points[i, 0]
            reach = np.exp(points[i, 4] + SIZES / 2) * (SLACK + SPEED * dt)  # at most, see `distance`
            ahead = past[i, AT_X] + past[i, V_X] * dt
            while k < len(starts) and frame[starts[k]] == now:  # keep the nearest of this frame, by insertion
                j = starts[k]
                k += 1
                if category[i] != category[j]:
                    continue
                across = min(abs(points[j, 1] - points[i, 1]), abs(points[j, 1] - ahead))
                if min(across, abs(future[j, AT_X] - future[j, V_X] * dt - points[i, 1])) > reach:
                    continue  # most, at a fraction of the cost of a distance
                d = distance(points[i], past[i], points[j], future[j])
                if d > 1 or (count == most and d >= near[count - 1]):
                    continue
                place = min(count, most - 1)
                while place > 0 and near[place - 1] > d:
                    near[place], which[place] = near[place - 1], which[place - 1]
                    place -= 1
                near[place], which[place] = d, j
                count = min(count + 1, most)
            for n in range(count):
                earlier.append(i)
                later.append(which[n])
                distances.append(near[n])
        if len(distances) > most_in_all:
            nearest = np.sort(np.argsort(np.array(distances))[:most_in_all])
            for n in range(most_in_all):
                later[kept + n] = later[kept + nearest[n]]
            for _ in range(len(distances) - most_in_all):
                earlier.pop()
                later.pop()
        distances.clear()
    return np.array(earlier), np.array(later)
