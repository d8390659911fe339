"""Where the milliseconds of one frame go: `SiamTracker.update`, taken apart at its own seams.

The clock stands between the tracker's public halves: `to_bgr8`, `search_crops`, the runtime's `search`, `take`. What
`take` spends on is said by `cProfile` in every second frame; as a profiler slows down what it watches, only the shares
are taken from it, and the time itself from the frames between.
"""

from __future__ import annotations

from cProfile import Profile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import CodeType

import numpy as np

from benchmarks.clip import Clip, Image
from tracker import SiamTracker
from tracker.frame import to_bgr8

PARTS = {  # of `take`: module and function → what it is called in the table
    ("online", "respond"): "filter: answer",
    ("decode", "decode_boxes"): "decode the response",
    ("decode", "decode_pyramid"): "decode the response",
    ("colour", "agrees"): "look at colours",
    ("online", "learn"): "filter: learn",
    ("redetection", "look"): "search the whole frame",
}
REST = "state"


@dataclass(frozen=True)
class Budget:
    """Median milliseconds of one frame.

    Attributes:
        convert: to 8-bit BGR, nothing where the frame is that already.
        crop: search regions from the frame.
        forward: of the network, from crops in memory to the response in memory.
        take: from the response to the result.
        parts: what `take` consists of.
    """

    convert: float
    crop: float
    forward: float
    take: float
    parts: dict[str, float]

    @property
    def around(self) -> float:
        """All but the forward pass."""
        return self.convert + self.crop + self.take

    def stages(self) -> dict[str, float]:
        """What a table has lines for."""
        return {"convert": self.convert, "crop": self.crop, "forward": self.forward, **self.parts}


def measure_budget(tracker: SiamTracker, clip: Clip, updates: int) -> Budget:
    """Track from the clip's first frame on.

    Args:
        tracker: one of ours; it is started anew.
        clip: frames and box.
        updates: that count, two or more.
    """
    tracker.init(clip.frames[0], clip.box)
    frames = clip.onwards()
    for _ in range(WARM_UP):
        tracker.update(next(frames))
    profile = Profile(builtins=False)  # numpy's functions belong to whoever calls them
    rows, profiled = [], False
    for _ in range(max(updates, 2)):
        row = _update(tracker, next(frames), profile if profiled else None)
        if not profiled:
            rows.append(row)
        profiled = not profiled
    convert, crop, forward, take = 1e3 * np.median(rows, axis=0)
    shares = _shares(profile)
    return Budget(convert, crop, forward, take, {name: float(share * take) for name, share in shares.items()})


WARM_UP = 3  # updates that do not count


def _update(tracker: SiamTracker, frame: Image, profile: Profile | None) -> tuple[float, float, float, float]:
    """Seconds of the four stages of one update."""
    target = tracker.target
    assert target is not None  # it was started
    since = perf_counter()
    image = to_bgr8(frame)
    converted = perf_counter()
    crops = tracker.search_crops(image)
    cropped = perf_counter()
    response, features = tracker.model.runtime.search(crops, target.kernel)
    passed = perf_counter()
    if profile is None:
        tracker.take(response, features, image, since, None)
    else:
        profile.runcall(tracker.take, response, features, image, since, None)
    return converted - since, cropped - converted, passed - cropped, perf_counter() - passed


def _shares(profile: Profile) -> dict[str, float]:
    """Part of `take` → its share."""
    seconds: dict[tuple[str, str], float] = {}
    for entry in profile.getstats():
        if isinstance(entry.code, CodeType):
            function = Path(entry.code.co_filename).stem, entry.code.co_name
            seconds[function] = seconds.get(function, 0.0) + entry.totaltime
    shares: dict[str, float] = {}
    for function, name in PARTS.items():
        if function in seconds:
            shares[name] = shares.get(name, 0.0) + seconds[function] / seconds["siam", "take"]
    return shares | {REST: max(1 - sum(shares.values()), 0.0)}
