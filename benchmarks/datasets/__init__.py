"""Benchmarks on disk → sequences; one file a layout.

A benchmark is found by its name (`BENCHMARKS`), its root is given or named by an environment variable (`root_of`), and
`Benchmark.find` says what is there and what is missing; `check` looks into the images, too.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.datasets import folder, got10k, lasot, otb, tlp, uav123, vot
from benchmarks.datasets.benchmark import Benchmark, Damaged, Found, Problem
from benchmarks.datasets.damage import check
from benchmarks.datasets.folder import read_sequence
from benchmarks.sequence import Sequence

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        otb.OTB_2013,
        otb.OTB_50,
        otb.OTB_100,
        tlp.TLP,
        tlp.TINY_TLP,
        tlp.TLP_ATTR,
        got10k.GOT10K_VAL,
        got10k.GOT10K_TEST,
        uav123.UAV123,
        uav123.UAV20L,
        lasot.LASOT,
        *vot.VOT_YEARS,
        vot.VOT,
        folder.FOLDER,
    )
}


def open_benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        ValueError: there is none of that name; the message has those that there are.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def root_of(benchmark: Benchmark, given: Path | None = None) -> Path:
    """Where a benchmark lies: the folder given, or else the one that its environment variable names.

    Raises:
        ValueError: neither is there.
    """
    if given is not None:
        return given.expanduser()
    if root := os.environ.get(benchmark.variable):
        return Path(root).expanduser()
    raise ValueError(f"where is {benchmark.title}? Give --root DIR, or set {benchmark.variable}=DIR")


__all__ = [
    "BENCHMARKS",
    "open_benchmark",
    "root_of",
    "check",
    "read_sequence",
    "Benchmark",
    "Found",
    "Problem",
    "Damaged",
    "Sequence",
]
