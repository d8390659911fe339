"""Tracks without holes: what lies between two boxes of an identity, on a straight line.

What the papers of ByteTrack and others do to their results before they score them; it needs the future, so a tracker
that answers frame by frame cannot do it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.mot import Rows

LONGEST = 20  # frames


def fill_gaps(rows: Rows, longest: int = LONGEST) -> tuple[Rows, NDArray[np.bool_]]:
    """Add the boxes that are missing between two of the same identity.

    Args:
        rows: results of one sequence.
        longest: so many missing frames in a row are filled; longer gaps stay.

    Returns:
        The rows with position, size and score interpolated linearly, by rising frame, and (N,) which of them are new.

    Raises:
        ValueError: `longest` is negative.
    """
    if longest < 0:
        raise ValueError(f"longest must be 0 or more frames, got {longest}")
    order = np.lexsort((rows.frame, rows.id))
    before, after = order[:-1], order[1:]
    missing = np.where(rows.id[before] == rows.id[after], rows.frame[after] - rows.frame[before] - 1, 0)
    fill = (missing > 0) & (missing <= longest)
    before, after, missing = before[fill], after[fill], missing[fill]
    of = np.repeat(np.arange(len(missing)), missing)  # (new,) the gap that each new box lies in
    step = np.arange(len(of)) - np.repeat(np.cumsum(missing) - missing, missing) + 1
    share = step / (missing[of] + 1)
    before, after = before[of], after[of]

    def between(values: NDArray[np.float64]) -> NDArray[np.float64]:
        weight = share.reshape(-1, *[1] * (values.ndim - 1))
        return np.concatenate([values, (1 - weight) * values[before] + weight * values[after]])

    frame = np.concatenate([rows.frame, rows.frame[before] + step])
    new = np.arange(len(frame)) >= len(rows)
    sort = np.argsort(frame, kind="stable")
    filled = Rows(
        rows.source,
        frame[sort],
        np.concatenate([rows.id, rows.id[before]])[sort],
        between(rows.box)[sort],
        between(rows.score)[sort],
        np.concatenate([rows.category, rows.category[before]])[sort],
        np.concatenate([rows.line, rows.line[before]])[sort],
        rows.notes,
    )
    return filled, new[sort]
