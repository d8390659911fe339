"""Measured speed and growth for readers, for machines and as a plot."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.association.speed import REFERENCE, TITLES, Point, Timing, doublings
from benchmarks.report.tables import NO_VALUE, aligned, escape_markdown, markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPEED_HEAD = ["tracker", "frames/s", "ms a frame", "times ByteTrack (boxmot)", "peak MiB", "of it tracking"]
GROWTH_HEAD = ["tracker", "people", "frames", "seconds", "frames/s", "peak MiB", "a doubling costs"]
MAX_FACTOR = {"people": 4.5, "frames": 2.2}  # that the project allows itself


def speed_rows(timings: Mapping[str, Timing]) -> list[list[str]]:
    """A line a tracker, the fastest first."""
    reference = timings.get(REFERENCE)
    rows = []
    for timing in sorted(timings.values(), key=lambda timing: -timing.rate):
        ratio = NO_VALUE if reference is None else f"{timing.ratio(reference):.2f}"
        rows.append([timing.title, f"{timing.rate:.0f}", f"{1e3 / timing.rate:.3f}", ratio, *_memory(timing)])
    return rows


def _memory(timing: Timing) -> list[str]:
    if timing.peak_mib is None or timing.start_mib is None:
        return [NO_VALUE, NO_VALUE]
    return [f"{timing.peak_mib:.0f}", f"{timing.peak_mib - timing.start_mib:.0f}"]


def growth_rows(points: Sequence[Point], by: str) -> list[list[str]]:
    """A line a crowd."""
    factors = {
        (tracker, other, to): factor
        for (tracker, other), line in doublings(points, by).items()
        for _, to, factor in line
    }
    rows = []
    for point in points:
        other = point.frames if by == "people" else point.people
        factor = factors.get((point.tracker, other, getattr(point, by)))
        rows.append(
            [
                TITLES[point.tracker],
                str(point.people),
                str(point.frames),
                f"{point.seconds:.3f}",
                f"{point.frames / point.seconds:.0f}",
                f"{point.peak_mib:.0f}",
                NO_VALUE if factor is None else f"{factor:.2f} ×",
            ]
        )
    return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """For a terminal, or as Markdown."""
    if not markdown:
        return aligned([head, *rows])
    return markdown_table(head, [[escape_markdown(cell) for cell in row] for row in rows])


def growth_csv(points: Sequence[Point]) -> str:
    """One line a crowd."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["tracker", "people", "frames", "seconds", "peak_mib"])
    for point in points:
        writer.writerow([point.tracker, point.people, point.frames, f"{point.seconds:.4f}", f"{point.peak_mib:.1f}"])
    return file.getvalue()


def read_growth(path: Path) -> list[Point]:
    """What `growth_csv` wrote; nothing if there is no such file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        return [
            Point(row["tracker"], int(row["people"]), int(row["frames"]), float(row["seconds"]), float(row["peak_mib"]))
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({error}); --overwrite measures again") from error


def draw_growth(people: Sequence[Point], frames: Sequence[Point]) -> Figure:
    """Processor time and memory against people and frames, with the slopes that are allowed.

    Args:
        people: crowds of growing size.
        frames: crowds of growing length.
    """
    from matplotlib.figure import Figure
    from matplotlib.style import context

    from benchmarks.report.plots import LOOK
    from benchmarks.report.style import INK, MARKERS, PALETTE

    names = list(dict.fromkeys(point.tracker for point in (*people, *frames)))
    looks = {name: (PALETTE[n], MARKERS[n]) for n, name in enumerate(names)}
    panels = (
        ("people", people, "seconds", "People in each frame", "Processor time (s)"),
        ("frames", frames, "seconds", "Frames", "Processor time (s)"),
        ("frames", frames, "peak_mib", "Frames", "Peak memory of the process (MiB)"),
    )
    with context([*LOOK]):
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        for axes, (by, points, what, label, ordinate) in zip(figure.subplots(1, 3), panels, strict=True):
            for name in names:
                line = [(getattr(p, by), getattr(p, what)) for p in points if p.tracker == name]
                if line:
                    colour, marker = looks[name]
                    x, y = zip(*sorted(line), strict=True)
                    axes.plot(x, y, color=colour, marker=marker, ms=4, lw=1.4, label=TITLES[name])
            if what == "seconds" and points:
                _allowed(axes, [(getattr(p, by), p.seconds) for p in points], MAX_FACTOR[by], INK)
            axes.set_xscale("log")
            axes.set_yscale("log" if what == "seconds" else "linear")
            if what != "seconds":
                axes.set_ylim(bottom=0)
            axes.set_xlabel(label)
            axes.set_ylabel(ordinate)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def _allowed(axes: Axes, line: Sequence[tuple[int, float]], factor: float, colour: str) -> None:
    """The steepest slope that the target allows, from the first point on."""
    first, last = min(line), max(line)
    x = [first[0], last[0]]
    y = [first[1], first[1] * factor ** math.log2(last[0] / first[0])]
    axes.plot(x, y, color=colour, ls=(0, (4, 3)), lw=1, label=f"{factor:g} × a doubling")
