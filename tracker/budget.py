"""A frame's time is limited: what can wait asks first whether it still fits.

Finding the target in its search region takes what it takes. Learning from the frame and looking for a lost target
elsewhere can wait for a frame with more time to spare. What they will cost is known in units of this frame's own
search: such a ratio stays when the machine is busy, or clocked down, and everything takes longer.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MARGIN = 1.3  # work is expected to take so many times as long as it usually does
MEMORY = 9  # measurements of each kind of work, whose median is "usually": one that was interrupted does not count


@dataclass(frozen=True)
class BudgetConfig:
    """How long a frame may take.

    Attributes:
        budget_ms: milliseconds from the call of `update`; learning and re-detection are left out in frames where they
            would not fit. 0: no limit. With a limit, boxes depend on the machine's speed.
    """

    budget_ms: float = 0.0


class Budget:
    """What is left of a frame's time.

    Args:
        milliseconds: a frame may take; 0: no limit.
    """

    def __init__(self, milliseconds: float) -> None:
        self._limit = milliseconds / 1000 if milliseconds else math.inf
        self._end, self._search = math.inf, 0.0
        self._ratios: dict[str, deque[float]] = {}

    def begin(self, since: float, targets: int = 1) -> None:
        """The search of this frame is done, and what can wait comes now.

        Args:
            since: `time.perf_counter()` at which work on the frame began.
            targets: that were searched for in that time.
        """
        self._end = since + self._limit
        self._search = (time.perf_counter() - since) / targets

    def allows(self, work: str) -> bool:
        """Whether work of that kind will probably be done in time; of a new one, if it takes as long as the search."""
        if math.isinf(self._end):
            return True
        usual = statistics.median(self._ratios.get(work, (1.0,)))
        return time.perf_counter() + MARGIN * usual * self._search <= self._end

    @contextmanager
    def measured(self, work: str) -> Iterator[None]:
        """What is done inside is work of that kind."""
        began = time.perf_counter()
        yield
        if self._search > 0:
            ratios = self._ratios.setdefault(work, deque(maxlen=MEMORY))
            ratios.append((time.perf_counter() - began) / self._search)
