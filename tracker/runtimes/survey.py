"""How several runtimes of one model compare on this machine: how far from torch in fp32 they are, and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker.network import SiameseNetwork
from tracker.runtimes import Runtime, open_runtime
from tracker.runtimes.export import reference
from tracker.runtimes.parity import Crops, Parity, compare, textures

ROUNDS = 5  # in each of which every runtime has its turn, so that none has the quiet minutes for itself


@dataclass(frozen=True)
class Row:
    """One runtime.

    Attributes:
        runtime: as it was asked for.
        parity: compared with torch in fp32 on the CPU; `None` if it did not run.
        milliseconds: batch size → median time of a search, from crops in memory to the response in memory.
        failure: why it did not run; empty if it did.
    """

    runtime: str
    parity: Parity | None
    milliseconds: dict[int, float]
    failure: str = ""


def survey(
    network: SiameseNetwork,
    runtimes: Iterable[str],
    device: str = "auto",
    threads: int | None = None,
    weights: Path | None = None,
    batches: Iterable[int] = (1, 3),
    calls: int = 100,
    pairs: tuple[Crops, Crops] | None = None,
) -> list[Row]:
    """Open, compare and time runtimes; one that fails has a row that says why.

    Args:
        network: the model.
        runtimes: see `open_runtime`.
        device, threads, weights: likewise.
        batches: numbers of search crops.
        calls: that are timed for each.
        pairs: exemplars and search crops; textures if not given.
    """
    opened, failures = {}, {}
    for name in runtimes:
        try:
            opened[name] = open_runtime(network, name, device, threads, weights)
        except (ValueError, RuntimeError) as error:
            failures[name] = str(error)
    exemplars, searches = pairs or textures(network.card, 16)
    exact = reference(network)
    parities = {name: compare(exact, runtime, exemplars, searches) for name, runtime in opened.items()}
    seconds: dict[tuple[str, int], list[float]] = {(name, batch): [] for name in opened for batch in batches}
    for _ in range(ROUNDS):
        for name, batch in seconds:
            seconds[name, batch] += _times(opened[name], exemplars, searches, batch, calls // ROUNDS)
    rows = [
        Row(name, parities[name], {batch: 1e3 * float(np.median(seconds[name, batch])) for batch in batches})
        for name in opened
    ]
    return rows + [Row(name, None, {}, failure) for name, failure in failures.items()]


def _times(runtime: Runtime, exemplars: Crops, searches: Crops, batch: int, calls: int) -> Iterator[float]:
    """Seconds of each of `calls` searches, after one that does not count."""
    chosen = np.arange(batch) % len(searches)
    kernels, crops = runtime.template(exemplars[chosen]), searches[chosen]
    runtime.search(crops, kernels)
    for _ in range(calls):
        since = time.perf_counter()
        runtime.search(crops, kernels)
        yield time.perf_counter() - since


def table(rows: Iterable[Row]) -> str:
    """The rows for people; what is fastest stands where it was asked for, not first."""
    lines = ["runtime               response off by  same peak  ms a search"]
    for row in rows:
        if row.parity is None:
            lines.append(f"{row.runtime:20s}  {row.failure}")
            continue
        times = ", ".join(f"{value:.2f} ({batch} crops)" for batch, value in row.milliseconds.items())
        lines.append(f"{row.runtime:20s}  {row.parity.response:15.2g}  {row.parity.same_peak:9.1%}  {times}")
    return "\n".join(lines)
