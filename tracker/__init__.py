"""Real-time visual object tracking.

Names are loaded at first use, so that a program pays (torch takes a second) only for what it touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracker.lazy import lazy

if TYPE_CHECKING:
    from tracker.adapters import as_got10k, as_opencv
    from tracker.frame import to_bgr8
    from tracker.multi import MultiTracker
    from tracker.network import WeightsError
    from tracker.result import TrackResult, TrackState
    from tracker.siam import LONG_TERM, SiamTracker
    from tracker.sources import open_source

_HOMES = {
    "LONG_TERM": "tracker.siam",
    "MultiTracker": "tracker.multi",
    "SiamTracker": "tracker.siam",
    "TrackResult": "tracker.result",
    "TrackState": "tracker.result",
    "WeightsError": "tracker.network",
    "as_got10k": "tracker.adapters",
    "as_opencv": "tracker.adapters",
    "open_source": "tracker.sources",
    "to_bgr8": "tracker.frame",
}
__all__ = [
    "LONG_TERM",
    "MultiTracker",
    "SiamTracker",
    "TrackResult",
    "TrackState",
    "WeightsError",
    "as_got10k",
    "as_opencv",
    "open_source",
    "to_bgr8",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)
