"""What tracks cost: the numbers beside the match probability, learned from training footage and stored with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.association.trail import Floats, Integers


@dataclass(frozen=True)
class Costs:
    """Costs in units of log odds, the same for both associators where they mean the same.

    A link costs −log(p / (1 − p)), p the calibrated match probability; one that skips frames, in which the target would
    have to have been missed, costs `miss` more, and `skip` for each second's worth of skipped frames.

    Attributes:
        entry: of beginning a track.
        exit: of ending it.
        miss: of skipping frames at all.
        skip: of each second of skipped frames: of each frame, skip / (frames per second).
        doubt: added to each detection's −log odds of being a target; raise it to keep fewer.
        longest_gap: seconds without a detection until a track ends.
        fill: seconds up to which gaps are filled with interpolated boxes (`FlowAssociator`).
        link: least log odds, after `skip`, to carry on a track (`OnlineAssociator`).
        confirm: probability of being a target from which on a track has an id (`OnlineAssociator`).

    Raises:
        ValueError: a number is not finite, or out of its range.
    """

    entry: float = 1.5
    exit: float = 1.5
    miss: float = 1.0
    skip: float = 1.0
    doubt: float = 0.5
    longest_gap: float = 2.0
    fill: float = 0.8
    link: float = -3.0
    confirm: float = 0.5

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not math.isfinite(value):
                raise ValueError(f"cost {name} must be a finite number, got {value}")
        for name in ("entry", "exit", "miss", "skip", "longest_gap", "fill"):
            if getattr(self, name) < 0:
                raise ValueError(f"cost {name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.confirm <= 1:
            raise ValueError(f"confirm is a probability, got {self.confirm}")

    @classmethod
    def of(cls, stored: Mapping[str, Any], **changes: float) -> Costs:
        """Costs of a card, some of them changed.

        Raises:
            ValueError: a name is not known.
        """
        unknown = sorted((set(stored) | set(changes)) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(
                f"no cost {', '.join(unknown)}; there are {', '.join(field.name for field in dataclasses.fields(cls))}"
            )
        return cls(**{**stored, **changes})

    def of_link(self, log_odds: Floats, gap: Integers, rate: float) -> Floats:
        """Cost (P,) of links.

        Args:
            log_odds: (P,) of their being one target.
            gap: (P,) frames from one detection to the other, 1 where none is skipped.
            rate: frames per second.
        """
        return -log_odds + self.miss * (gap > 1) + self.skip / rate * (gap - 1)
