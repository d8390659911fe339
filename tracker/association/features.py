"""Context features: what positions, sizes, speeds and scores say of two detections being one target.

All are in units that do not change with the image's size or the frame rate: lengths in body heights (the geometric mean
of the two boxes' heights), time in seconds. The two sides are symmetric in time: the earlier detection knows its past,
the later one, where the frames after it are known, its future. A side of which nothing is known has SEEN = 0.

Position and size change and relative velocity are the contextual features of Leal-Taixé, Canton-Ferrer and Schindler
(CVPRW 2016, section 4); the rest follows from asking for gaps of seconds.
"""

from __future__ import annotations

import numpy as np

from tracker.association.trail import (
    AT_X,
    AT_Y,
    CONTEXT,
    LASTING,
    LOG_H,
    LOG_W,
    SEEN,
    SURE,
    V_H,
    V_X,
    V_Y,
    Floats,
    Integers,
)
from tracker.jit import compiled

NAMES = (
    "gap_seconds",
    "gap_frames",
    "shift_x",
    "shift_y",
    "shift_bottom",
    "speed",
    "log_width_ratio",
    "log_height_ratio",
    "log_smooth_height_ratio",
    "overlap",
    "forward_error_x",
    "forward_error_y",
    "forward_error",
    "forward_overlap",
    "forward_height_error",
    "backward_error_x",
    "backward_error_y",
    "backward_error",
    "backward_overlap",
    "both_error",
    "both_rate",
    "velocity_change",
    "past_speed",
    "future_speed",
    "past_seen",
    "future_seen",
    "past_seconds",
    "future_seconds",
    "score_earlier",
    "score_later",
    "past_score",
    "future_score",
)
# a detection, a row of what pairs are made of
TIME, X, Y, LW, LH, SCORE = range(6)
POINT = 6


@compiled
def _overlap(ax: float, ay: float, aw: float, ah: float, bx: float, by: float, bw: float, bh: float) -> float:
    """Intersection over union of two boxes by centre and size."""
    w = min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2)
    h = min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2)
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (aw * ah + bw * bh - w * h)


@compiled
def pair_features(
    points: Floats, past: Floats, others: Floats, future: Floats, earlier: Integers, later: Integers, rate: float
) -> Floats:
    """Features of pairs of detections.

    Args:
        points: (N, 6) TIME, X, Y (centre), log width, log height, SCORE of what the earlier ones are picked from.
        past: (N, CONTEXT) what is known of each up to it (`tracker.association.trail`).
        others: (M, 6) the same as `points` for the later ones.
        future: (M, CONTEXT) what is known of each of these from it on; SEEN 0: nothing.
        earlier: (P,) rows of `points`.
        later: (P,) rows of `others`.
        rate: frames per second.

    Returns:
        (P, 32) in the order of `NAMES`.
    """
    out = np.empty((len(earlier), len(NAMES)))
    for k in range(len(earlier)):
        a, b = points[earlier[k]], others[later[k]]
        p, f = past[earlier[k]], future[later[k]]
        known = f[SEEN] > 0
        dt = b[TIME] - a[TIME]
        aw, ah, bw, bh = np.exp(a[LW]), np.exp(a[LH]), np.exp(b[LW]), np.exp(b[LH])
        body = np.exp((a[LH] + b[LH]) / 2)
        dx, dy = (b[X] - a[X]) / body, (b[Y] - a[Y]) / body
        fx = (p[AT_X] + p[V_X] * dt - b[X]) / body
        fy = (p[AT_Y] + p[V_Y] * dt - b[Y]) / body
        row = out[k]
        row[0] = dt
        row[1] = np.round(dt * rate)
        row[2] = abs(dx)
        row[3] = dy
        row[4] = dy + (bh - ah) / 2 / body
        row[5] = np.sqrt(dx * dx + dy * dy) / dt
        row[6] = b[LW] - a[LW]
        row[7] = b[LH] - a[LH]
        row[9] = _overlap(a[X], a[Y], aw, ah, b[X], b[Y], bw, bh)
        row[10] = abs(fx)
        row[11] = fy
        row[12] = np.sqrt(fx * fx + fy * fy)
        sw, sh = np.exp(p[LOG_W]), np.exp(p[LOG_H])
        row[13] = _overlap(p[AT_X] + p[V_X] * dt, p[AT_Y] + p[V_Y] * dt, sw, sh, b[X], b[Y], bw, bh)
        row[14] = b[LH] - p[LOG_H] - p[V_H] * dt
        row[22] = np.sqrt(p[V_X] ** 2 + p[V_Y] ** 2) / body
        row[24] = p[SEEN]
        row[26] = p[LASTING]
        row[28] = a[SCORE]
        row[29] = b[SCORE]
        row[30] = p[SURE]
        if known:
            gx = (f[AT_X] - f[V_X] * dt - a[X]) / body
            gy = (f[AT_Y] - f[V_Y] * dt - a[Y]) / body
            # where both lines lead in the middle of the gap
            mx = (p[AT_X] + p[V_X] * dt / 2 - f[AT_X] + f[V_X] * dt / 2) / body
            my = (p[AT_Y] + p[V_Y] * dt / 2 - f[AT_Y] + f[V_Y] * dt / 2) / body
            row[8] = f[LOG_H] - p[LOG_H]
            row[15] = abs(gx)
            row[16] = gy
            row[17] = np.sqrt(gx * gx + gy * gy)
            sw, sh = np.exp(f[LOG_W]), np.exp(f[LOG_H])
            row[18] = _overlap(f[AT_X] - f[V_X] * dt, f[AT_Y] - f[V_Y] * dt, sw, sh, a[X], a[Y], aw, ah)
            row[19] = np.sqrt(mx * mx + my * my)
            row[20] = row[19] / dt
            row[21] = np.sqrt((p[V_X] - f[V_X]) ** 2 + (p[V_Y] - f[V_Y]) ** 2) / body
            row[23] = np.sqrt(f[V_X] ** 2 + f[V_Y] ** 2) / body
            row[25] = f[SEEN]
            row[27] = f[LASTING]
            row[31] = f[SURE]
        else:
            row[8] = b[LH] - p[LOG_H]
            for missing in (15, 16, 17, 18, 19, 20, 21, 23, 25, 27, 31):
                row[missing] = np.nan
    return out


def nothing(n: int) -> Floats:
    """(n, CONTEXT): no side known."""
    return np.zeros((n, CONTEXT))
