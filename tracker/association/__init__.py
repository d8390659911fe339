"""Tracking by detection: boxes of a detector, frame by frame, to identities.

    associator = OnlineAssociator.from_pretrained(frame_rate=30)
    ids = associator.update(Detections(frame, xywh, score))

    tracks = FlowAssociator.from_pretrained(frame_rate=30).run(read_detections("det.txt"))

Names are loaded at first use, as in `tracker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.lazy import lazy

if TYPE_CHECKING:
    from tracker.association.appearance_cue import AppearanceCue
    from tracker.association.detections import Detections, repair
    from tracker.association.flow import FlowAssociator
    from tracker.association.mot_text import read_detections, read_frame_rate, write_tracks
    from tracker.association.online import OnlineAssociator
    from tracker.association.track import Track

_HOMES = {
    "AppearanceCue": "tracker.association.appearance_cue",
    "Detections": "tracker.association.detections",
    "FlowAssociator": "tracker.association.flow",
    "OnlineAssociator": "tracker.association.online",
    "Track": "tracker.association.track",
    "read_detections": "tracker.association.mot_text",
    "read_frame_rate": "tracker.association.mot_text",
    "repair": "tracker.association.detections",
    "write_tracks": "tracker.association.mot_text",
}
__all__ = [
    "AppearanceCue",
    "Detections",
    "FlowAssociator",
    "OnlineAssociator",
    "Track",
    "read_detections",
    "read_frame_rate",
    "repair",
    "write_tracks",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
