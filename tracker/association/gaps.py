"""Boxes where a track has no detection: a straight line between the ones before and after, flagged as such."""

from __future__ import annotations

import numpy as np

from tracker.association.track import Track


def fill_gaps(track: Track, longest: int) -> Track:
    """The track with its gaps filled by linear interpolation.

    Args:
        track: with or without filled gaps.
        longest: step in frames between two detections up to which a gap is filled; 1: none is.
    """
    step = np.diff(track.frames)
    if not ((step > 1) & (step <= longest)).any():
        return track
    missing = np.concatenate(
        [
            np.arange(low + 1, high)
            for low, high in zip(track.frames[:-1], track.frames[1:], strict=True)
            if 1 < high - low <= longest
        ]
    )
    frames = np.concatenate([track.frames, missing])
    order = np.argsort(frames)
    columns = [*track.xywh.T, track.score]
    filled = np.column_stack([np.r_[column, np.interp(missing, track.frames, column)] for column in columns])[order]
    flags = np.r_[track.interpolated, np.ones(len(missing), np.bool_)][order]
    return Track(track.id, frames[order], filled[:, :4], filled[:, 4], flags, track.class_id)
