"""Scores of all trackers on all sets as one picture. Needs matplotlib, which is loaded with this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.style import context

from benchmarks.association.report import BOUND, JUDGED, Row, of_set
from benchmarks.association.sets import DetectionSet
from benchmarks.report.plots import LOOK
from benchmarks.report.style import INK, PALETTE

MARKS = dict(zip(JUDGED, "sov", strict=True))
COLOURS = dict(zip(JUDGED, (PALETTE[4], PALETTE[0], PALETTE[1]), strict=True))  # orange, blue, vermilion
ROW, HEAD, PANEL, NAMES = 0.2, 1.1, 2.1, 2.4  # inches


def draw_scores(rows: Sequence[Row], sets: Mapping[str, DetectionSet]) -> Figure:
    """A panel a set, a line a tracker in the same order everywhere, a mark a metric; dashes are the bound's.

    Trackers are ordered by their mean IDF1 over the sets that they were measured on; ours stand on a band.
    """
    shown = {key: part for key, part in sets.items() if of_set(rows, key)}
    titles = _ordered(rows)
    with context([*LOOK]):
        figure = Figure(figsize=(NAMES + PANEL * len(shown), HEAD + ROW * len(titles)), layout="constrained")
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, (key, part) in zip(panels, shown.items(), strict=True):
            mine = {row.title: row for row in of_set(rows, key)}
            for place, title in enumerate(titles):
                if any(row.ours for row in rows if row.title == title):
                    axes.axhspan(place - 0.5, place + 0.5, color=INK, alpha=0.08, lw=0)
            for metric in JUDGED:
                points = [
                    (100 * mine[title].scores[metric], place) for place, title in enumerate(titles) if title in mine
                ]
                x, y = zip(*points, strict=True) if points else ((), ())
                axes.plot(x, y, MARKS[metric], color=COLOURS[metric], ms=5, label=metric, mec="none")
                for row in mine.values():
                    if row.mode == BOUND:
                        axes.axvline(100 * row.scores[metric], color=COLOURS[metric], ls=(0, (4, 3)), lw=1)
            axes.set_title(part.title)
            axes.set_xlabel("per cent")
        panels[0].set_yticks(range(len(titles)), titles)
        panels[0].set_ylim(len(titles) - 0.4, -0.6)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(JUDGED), frameon=False)
    return figure


def _ordered(rows: Sequence[Row]) -> list[str]:
    """Titles of the trackers, the best mean IDF1 first."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.mode != BOUND:
            values.setdefault(row.title, []).append(row.scores["IDF1"])
    return sorted(values, key=lambda title: -sum(values[title]) / len(values[title]))
