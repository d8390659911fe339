"""What a tracker says of one frame."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.kinematics import Motion

Box = tuple[float, float, float, float]


class TrackState(enum.Enum):
    """How far the box can be believed."""

    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class TrackResult:
    """One target in one frame.

    Attributes:
        box: ``(x, y, w, h)`` in 0-based continuous pixels. In LOST it is a best guess, not an observation.
        score: probability in [0, 1] that the box overlaps the target by more than one half.
        state: TRACKING, UNCERTAIN or LOST.
        elapsed: seconds spent on this frame inside the tracker.
        timestamp: seconds, as the caller gave them; ``None`` if not given.
        motion: velocity, acceleration and their uncertainty, estimated from the boxes and timestamps so far; ``None``
            where no timestamps are given, or the target was lost before anything was known.

    Raises:
        ValueError: the box is not four finite numbers or the score is outside [0, 1].
    """

    box: Box
    score: float
    state: TrackState
    elapsed: float = 0.0
    timestamp: float | None = None
    motion: Motion | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.box) != 4 or not all(math.isfinite(value) for value in self.box):
            raise ValueError(f"box must be four finite numbers (x, y, w, h), got {self.box}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score must lie in [0, 1], got {self.score}")

    def at(self, timestamp: float) -> Motion:
        """Where the target is at another time, by its motion until now: to aim at, or to bridge a delay.

        Args:
            timestamp: seconds, on the clock of the timestamps given to `update`; later or earlier than this frame's.

        Raises:
            ValueError: the motion is not known, or `timestamp` is not finite.
        """
        if self.motion is None:
            raise ValueError("the motion is not known: give update(frame, timestamp=...) the time of every frame")
        return self.motion.at(timestamp)
