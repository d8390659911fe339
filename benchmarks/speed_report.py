"""Measured speeds for a terminal, for Markdown, for machines, and as a plot."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.latency import Entry, Speeds
from benchmarks.provenance import commit, machine, versions
from benchmarks.report.tables import NO_VALUE, aligned, bullets, escape_markdown, markdown_table, number
from tracker import SiamTracker

HEAD = ["tracker", "runtime", "precision", "threads", "p50 ms", "p95 ms", "p99 ms", "frames/s", "ratio"]
HEAD += ["forward ms", "around ms", "GFLOP", "of ceiling"]
BUSY = 0.3  # processes beside this one from which on absolute numbers are not to be trusted
WIDTH = 6.5  # of the plot, in inches


def terminal(speeds: Speeds, profile: bool = False) -> str:
    """Tables for people; with the budgets if they are asked for."""
    parts = [aligned([HEAD, *(row(entry, speeds) for entry in speeds.entries if entry.tracker)])]
    if profile and (budgets := budget_rows(speeds)):
        parts.append(f"milliseconds of a frame (decoding it took {speeds.clip.decode_ms:.2f})\n{aligned(budgets)}")
    parts.append("\n".join(sentences(speeds)))
    parts += [f"left out: {line}" for line in left_out(speeds)]
    return "\n\n".join(parts)


def markdown(speeds: Speeds, command: str) -> str:
    """A page of its own."""
    rows = [[escape_markdown(cell) for cell in row(entry, speeds)] for entry in speeds.entries if entry.tracker]
    parts = ["# Speed, as measured", f"By one command:\n\n```sh\n{command}\n```", markdown_table(HEAD, rows)]
    parts.append(
        "From a frame in memory to its result. `ratio` is the frame rate relative to the first tracker of others with "
        "as many threads, the median over turns side by side. `of ceiling` is the share that the forward pass reaches "
        "of what the machine can do, `around` is the rest of the frame."
    )
    if budgets := budget_rows(speeds):
        cells = [[escape_markdown(cell) for cell in line] for line in budgets]
        parts += ["## Milliseconds of a frame", markdown_table(cells[0], cells[1:])]
    parts += ["## Where and how", bullets([*sentences(speeds), *origin().values()])]
    if lines := left_out(speeds):
        parts += ["## Left out", bullets(lines)]
    return "\n\n".join(parts) + "\n"


def as_json(speeds: Speeds) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        **origin(),
        "size": list(speeds.clip.size),
        "frames": len(speeds.clip.frames),
        "decode_ms": speeds.clip.decode_ms,
        "load": speeds.load,
        "ceilings": [dataclasses.asdict(ceiling) for ceiling in speeds.ceilings.values()],
        "entries": [_entry(entry, speeds) for entry in speeds.entries],
        "soak": speeds.soak and dataclasses.asdict(speeds.soak) | {"evenness": speeds.soak.evenness},
        "targets": speeds.targets and dataclasses.asdict(speeds.targets),
    }


def save_plot(speeds: Speeds, path: Path) -> None:
    """Medians with lines to the 99th percentile, a row a tracker; the suffix says in which format.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: a format that it does not write.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.style import context

        from benchmarks.report.plots import LOOK
        from benchmarks.report.style import BLUE, INK
    except ImportError as error:
        raise ImportError("--plot needs matplotlib: pip install 'siamtrack[benchmarks]'") from error
    entries = [entry for entry in speeds.entries if entry.tracker][::-1]  # from bottom to top
    with context([*LOOK]):
        figure = Figure(figsize=(WIDTH, 1.2 + 0.24 * len(entries)), layout="constrained")
        axes = figure.subplots()
        for place, entry in enumerate(entries):
            colour = INK if isinstance(entry.tracker, SiamTracker) else BLUE
            axes.plot([entry.percentile(50), entry.percentile(99)], [place, place], color=colour, lw=1.4)
            axes.plot(entry.percentile(50), place, "o", color=colour, ms=5)
        axes.set_yticks(range(len(entries)), [label(entry) for entry in entries])
        axes.set(xscale="log", xlabel="Milliseconds of a frame: median, and line to the 99th percentile")
        axes.set_title(machine())
        figure.savefig(path, dpi=150)


def row(entry: Entry, speeds: Speeds) -> list[str]:
    """One tracker in the table."""
    times = [number(entry.percentile(share), 2) for share in (50, 95, 99)]
    budget, other = entry.budget, reference(entry, speeds)
    return [
        *(entry.spec.name, entry.runtime or NO_VALUE, entry.precision or NO_VALUE, str(entry.threads)),
        *(*times, number(entry.rate, 1), number(entry.ratio(other) if other else None, 2)),
        number(budget.forward if budget else None, 2),
        number(budget.around if budget else None, 2),
        number(entry.gflop, 2),
        f"{entry.reached:.0%}" if entry.reached is not None and math.isfinite(entry.reached) else NO_VALUE,
    ]


def reference(entry: Entry, speeds: Speeds) -> Entry | None:
    """The first tracker of others that runs on as many threads."""
    others = (other for other in speeds.entries if other.tracker and not isinstance(other.tracker, SiamTracker))
    return next((other for other in others if other.threads == entry.threads), None)


def budget_rows(speeds: Speeds) -> list[list[str]]:
    """Stages of a frame × our trackers; nothing if there are none."""
    entries = [entry for entry in speeds.entries if entry.budget]
    stages = {name: None for entry in entries if entry.budget for name in entry.budget.stages()}
    rows = [["tracker", *stages, "all but forward"]] if entries else []
    for entry in entries:
        if entry.budget:
            found = entry.budget.stages()
            rows.append([label(entry), *(number(found.get(name), 3) for name in stages), f"{entry.budget.around:.3f}"])
    return rows


def label(entry: Entry) -> str:
    """The tracker with what it ran on."""
    words = [entry.spec.name, entry.runtime if entry.runtime != "opencv" else "", entry.precision, f"×{entry.threads}"]
    return " ".join(word for word in words if word)


def sentences(speeds: Speeds) -> list[str]:
    """What the tables do not say."""
    width, height = speeds.clip.size
    lines = [f"{len(speeds.clip.frames)} frames of {width}x{height}, there and back; on {machine()}"]
    for ceiling in speeds.ceilings.values():
        rates = ", ".join(f"{rate:.0f} {precision}" for precision, rate in ceiling.gflops.items())
        lines.append(
            f"the machine's ceiling with {ceiling.threads} thread{'s' * (ceiling.threads > 1)}: {rates} GFLOP/s in a "
            f"matrix product, {ceiling.bandwidth:.1f} GB/s in a copy"
        )
    for other in {entry.threads: reference(entry, speeds) for entry in speeds.entries}.values():
        lines += [f"ratio: to {label(other)}"] if other else []
    if speeds.load is not None and speeds.load > BUSY:
        lines.append(
            f"other work was running (load {speeds.load:.1f} on {os.cpu_count()} CPUs): only the ratios are to be "
            "trusted, not the times"
        )
    return lines + _more(speeds)


def left_out(speeds: Speeds) -> list[str]:
    """Which trackers did not run, and why."""
    return [f"{label(entry)}: {entry.failure}" for entry in speeds.entries if not entry.tracker]


def origin() -> dict[str, str]:
    """Date, machine, commit and versions."""
    kept = versions("torch", "onnxruntime", "openvino")
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine(),
        "commit": f"commit {commit() or 'unknown'}",
        "versions": ", ".join(f"{name} {version}" for name, version in kept.items()),
    }


def _more(speeds: Speeds) -> list[str]:
    """The long run and the many targets in words."""
    first, lines = speeds.first, []
    name = label(first) if first else ""
    if found := speeds.soak:
        lines.append(
            f"{name}, {found.updates} updates: p99 / p50 is {found.evenness:.2f} ({found.p99_ms:.2f} / "
            f"{found.p50_ms:.2f} ms, {found.jitter_ms:.2f} ms of it an empty loop's)"
        )
        if found.growth_mib is not None:
            lines.append(
                f"{name}: memory grew by {found.growth_mib:+.2f} MiB after the first tenth of them, and lay within "
                f"{found.spread_mib:.2f} MiB"
            )
    if many := speeds.targets:
        lines.append(
            f"{name}: {many.targets} targets cost {many.ratio:.2f} × one ({many.all_ms:.2f} and {many.one_ms:.2f} ms)"
        )
    return lines


def _entry(entry: Entry, speeds: Speeds) -> dict[str, Any]:
    """One tracker, for machines."""
    found: dict[str, Any] = {"tracker": entry.spec.name, "runtime": entry.runtime, "threads": entry.threads}
    if not entry.tracker:
        return found | {"failure": entry.failure}
    percentiles: Sequence[int] = (50, 95, 99)
    other = reference(entry, speeds)
    return found | {
        "precision": entry.precision,
        "updates": sum(map(len, entry.rounds)),
        **{f"p{share}_ms": entry.percentile(share) for share in percentiles},
        "frames_per_second": entry.rate,
        "ratio": entry.ratio(other) if other else None,
        "ratio_to": label(other) if other else None,
        "budget_ms": entry.budget and {**entry.budget.stages(), "around": entry.budget.around},
        "gflop": entry.gflop,
        "of_ceiling": entry.reached if entry.reached is None or math.isfinite(entry.reached) else None,
    }
