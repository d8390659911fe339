"""Plots as people know them from papers. Needs matplotlib, which is loaded with this module: import it late."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from benchmarks.report.content import Attribute, Report, attribute_auc, is_known, mean_curve, ranked
from benchmarks.report.style import INK, PAPER, Style, on_page
from benchmarks.score import TrackerScore

# kind of curve → key of its headline number, title, label of the abscissa, its end, label of the ordinate
CURVES: dict[str, tuple[str, str, str, float, str]] = {
    "success": ("auc", "Success plots", "Overlap threshold", 1.0, "Success rate"),
    "precision": ("precision_20", "Precision plots", "Location error threshold (pixels)", 50.0, "Precision"),
    "normalised": ("normalised_auc", "Normalised precision plots", "Normalised error threshold", 0.5, "Precision"),
}
WIDTH = 4.5  # of most plots, in inches
ON_SCREEN = 1.5  # CSS pixels that a point has in a page, at most
INSIDE = 10  # so many trackers have their legend inside the axes, as in papers; more have it below
ON_RADAR = 8  # more polygons than this cannot be told apart
NUMBERS_IN_CELLS = 30  # a heat map of at most so many sequences shows its numbers
VIDEO_RATE = 25.0  # frames a second

SETTINGS: dict[str, Any] = (
    {
        "text.parse_math": False,  # a $ in a name is a $
        "font.family": "sans-serif",
        "font.size": 9.0,
        "axes.titlesize": 10.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.15,
        "grid.color": INK,
        "legend.facecolor": PAPER,
        "legend.edgecolor": "none",
        "legend.framealpha": 0.75,
        "legend.fontsize": 8.0,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        "svg.fonttype": "none",  # text stays text: small, searchable, and in the reader's own font
        "pdf.fonttype": 42,  # as publishers want it
    }
    | {f"{part}.color": INK for part in ("text", "xtick", "ytick")}
    | {f"axes.{part}": INK for part in ("edgecolor", "labelcolor", "titlecolor")}
)

LOOK: tuple[Any, ...] = ("default", SETTINGS)  # whatever a user's own settings are


def figures(report: Report) -> Iterator[tuple[str, Figure]]:
    """Every plot that the report has numbers for, with a name for its file."""
    for name, draw in _wanted(report).items():
        with context([*LOOK]):
            figure = draw()
        yield name, figure


def _wanted(report: Report) -> dict[str, Callable[[], Figure]]:
    plots: dict[str, Callable[[], Figure]] = {
        kind: partial(curves, report, kind) for kind, (key, *_) in CURVES.items() if key in report.columns
    }
    if len(report.attributes) > 2:
        plots["attribute_radar"] = partial(attribute_radar, report)
    if report.attributes:
        plots["attribute_success"] = partial(attribute_curves, report)
    if any(score.speed for score in report.scores):
        plots["speed"] = partial(speed, report)
    return plots | {"sequences": partial(heat_map, report)}


def render(figure: Figure, name: str, suffix: str) -> bytes:
    """A figure as the contents of a "svg", "pdf" or "png" file; the same figure gives the same bytes."""
    file = io.BytesIO()
    dates: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
        "pdf": {"CreationDate": None},
    }
    with context([*LOOK, {"svg.hashsalt": name}]):
        paper = PAPER if suffix == "svg" else "white"
        figure.savefig(file, format=suffix, metadata=dates.get(suffix), dpi=160, facecolor=paper)
    return file.getvalue()


def inline(svg: bytes, name: str) -> str:
    """An SVG file as an element of a page: ids of its own, and the page's colours for text and background."""
    element = svg[svg.index(b"<svg") :].decode()
    width = float(re.search(r'width="([\d.]+)pt"', element)[1])  # type: ignore[index]  # as matplotlib writes it
    element = re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', f'style="max-width:{ON_SCREEN * width:.0f}px"', element, count=1
    )
    return on_page(re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", element))


def curves(report: Report, kind: str) -> Figure:
    """Success, precision or normalised precision of all trackers, the best first in the legend."""
    key, title, abscissa, end, ordinate = CURVES[kind]
    rows = math.ceil(len(report.scores) / 2) if len(report.scores) > INSIDE else 0
    figure = Figure(figsize=(WIDTH, 3.5 + 0.165 * rows), layout="constrained")
    axes = figure.subplots()
    draw_curves(axes, report, ranked(report.scores, key), kind)
    axes.set(xlim=(0, end), ylim=(0, 1), xlabel=abscissa, ylabel=ordinate)
    axes.set_title(fill(f"{title} of {report.protocol}, {report.title}", 52))
    if kind == "precision":
        axes.axvline(20, color=INK, linewidth=0.8, alpha=0.5, dashes=(4, 3))
    if rows:
        figure.legend(
            loc="outside lower center", ncols=2, handlelength=3.2, labelspacing=0.25, columnspacing=1.2, frameon=False
        )
    else:
        axes.legend(loc="lower left" if kind == "success" else "lower right", handlelength=3.2, labelspacing=0.3)
    return figure


def draw_curves(
    axes: Axes, report: Report, scores: list[TrackerScore], kind: str, attribute: Attribute | None = None
) -> None:
    """One line a tracker, labelled with its headline number; over the sequences of an attribute only, if given."""
    key, _, _, end, _ = CURVES[kind]
    for score in scores:
        curve = mean_curve(score, kind, attribute.sequences if attribute else None)
        value = attribute_auc(score, attribute) if attribute else score.headlines[key].value
        if math.isnan(value):
            continue
        label = f"{score.tracker if attribute else report.label(score)} [{value:.3f}]"
        label = f" {label}" if label.startswith("_") else label  # which matplotlib would hide
        axes.plot(np.linspace(0, end, len(curve)), curve, label=label, **line(report.styles[score.tracker]))


def line(style: Style) -> dict[str, Any]:
    """Arguments of a line in a tracker's style."""
    dashes = {"dashes": style.dash} if style.dash else {}
    return {"color": style.colour, "linewidth": style.width, "zorder": 4 if style.main else 3, **dashes}


def attribute_curves(report: Report) -> Figure:
    """Success plots over the sequences of each attribute; each legend names the best five there and the main one."""
    columns = min(3, len(report.attributes))
    rows = math.ceil(len(report.attributes) / columns)
    figure = Figure(figsize=(3.0 * columns, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, attribute in zip(grid, report.attributes, strict=False):
        order = sorted(report.scores, key=lambda score: -np.nan_to_num(attribute_auc(score, attribute)))
        draw_curves(axes, report, order, "success", attribute)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_title(f"{attribute.name[:1].upper()}{attribute.name[1:]} ({len(attribute.sequences)})", fontsize=9)
        lines = axes.get_lines()
        named = lines[:5] + [
            each for each in lines[5:] if each.get_color() == report.styles[report.main.tracker].colour
        ]
        axes.legend(handles=named, loc="lower left", fontsize=6.5, handlelength=2.6, labelspacing=0.15)
    for axes in grid[len(report.attributes) :]:
        axes.remove()
    for axes in grid[: len(report.attributes)][-columns:]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    figure.supxlabel("Overlap threshold", fontsize=9)
    figure.supylabel("Success rate", fontsize=9)
    return figure


def attribute_radar(report: Report) -> Figure:
    """AUC by attribute, one polygon a tracker: the best few, and the main one."""
    shown = report.scores[:ON_RADAR]
    if report.main not in shown:
        shown = [*shown[:-1], report.main]
    figure = Figure(figsize=(WIDTH, 4.3 + 0.165 * math.ceil(len(shown) / 2)), layout="constrained")
    axes = figure.subplots(subplot_kw={"projection": "polar"})
    angles = np.linspace(0, 2 * np.pi, len(report.attributes), endpoint=False)
    for score in shown:
        values = [attribute_auc(score, attribute) for attribute in report.attributes]
        look = line(report.styles[score.tracker])
        axes.plot([*angles, angles[0]], [*values, values[0]], label=report.label(score), **look)
    names = [f"{attribute.short}\n({len(attribute.sequences)})" for attribute in report.attributes]
    axes.set_xticks(angles, names)
    axes.set_theta_zero_location("N")  # type: ignore[attr-defined]  # of polar axes
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.set_rlabel_position(180 / len(names))  # type: ignore[attr-defined]
    axes.tick_params(axis="y", labelsize=7)
    axes.set_ylim(0, None)
    best = f", {len(shown)} of {len(report.scores)} trackers" if len(shown) < len(report.scores) else ""
    axes.set_title(fill(f"AUC by attribute, {report.title}{best}", 52), pad=14)
    figure.legend(loc="outside lower center", ncols=2, handlelength=3.2, labelspacing=0.25, frameon=False)
    return figure


def speed(report: Report) -> Figure:
    """AUC with its interval against frames a second."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    points: list[tuple[float, float, str, str]] = []
    for score in report.scores:
        headline, style = score.headlines["auc"], report.styles[score.tracker]
        if not score.speed or not is_known(headline):
            continue
        errors = [[headline.value - headline.low], [headline.high - headline.value]]
        look: dict[str, Any] = {
            "color": style.colour,
            "marker": style.marker,
            "ms": 12 if style.main else 6.5,
            "lw": 0.8,
        }
        axes.errorbar(score.speed.fps, headline.value, errors, **look)
        points.append((score.speed.fps, headline.value, score.tracker, style.colour))
    axes.set(xscale="log", xlabel="Frames a second (N / Σt, without decoding)", ylabel="AUC")
    rates = [VIDEO_RATE, *(point[0] for point in points)]
    low, high = min(rates) / 1.6, max(rates) * 1.6
    axes.set_xlim(low, high)
    ticks = [tick * 10**power for power in range(-3, 6) for tick in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(VIDEO_RATE, color=INK, linewidth=0.8, alpha=0.5, dashes=(4, 3))
    axes.set_title(fill(f"Speed and accuracy, {report.title}", 52))
    name_points(axes, points)
    return figure


def name_points(axes: Axes, points: list[tuple[float, float, str, str]]) -> None:
    """Write the name (x, y, name, colour) beside each point, where it lies on no other name and no point."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # the layout decides where a point is in pixels
    to_points = 72 / axes.figure.dpi
    left_end, right_end = (axes.transAxes.transform((share, 0))[0] * to_points for share in (0, 1))
    spots = [axes.transData.transform(point[:2]) * to_points for point in points]
    taken = [(x - 6, y - 4, x + 6, y + 4) for x, y in spots]
    for (x, y), (fps, auc, name, colour) in zip(spots, points, strict=True):
        width = 4.7 * len(name)  # about, at this size
        offers = [(side, rise) for rise in (0, 5, -5, 10, -10, 15, -15) for side in (7, -7 - width)] + [(7.0, 0)]
        for side, rise in offers:
            box = (x + side, y + rise - 4, x + side + width, y + rise + 4)
            inside = left_end <= box[0] and box[2] <= right_end
            if inside and not any(_meet(box, other) for other in taken):
                break
        taken.append(box)
        place: dict[str, Any] = {"xytext": (side, rise - 3), "textcoords": "offset points"}
        axes.annotate(name, (fps, auc), fontsize=8, color=colour, **place)


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def heat_map(report: Report) -> Figure:
    """AUC of every sequence (rows, the easiest first) and tracker (columns, the best first)."""
    values = np.full((len(report.sequences), len(report.scores)), math.nan)
    names = list(report.sequences)
    for column, score in enumerate(report.scores):
        for row, name in enumerate(names):
            if name in score.sequences:
                values[row, column] = score.sequences[name].auc
    known = ~np.isnan(values)
    means = np.nansum(values, axis=1) / np.maximum(known.sum(1), 1)
    order = np.argsort(-means, kind="stable")
    rows, columns = values.shape
    numbers = rows <= NUMBERS_IN_CELLS
    width, height = (0.36, 0.2) if numbers else (0.24, 0.125)  # of a cell in inches
    figure = Figure(figsize=(max(3.4, 1.6 + width * columns), 1.6 + height * rows), layout="constrained")
    axes = figure.subplots()
    axes.grid(False)
    picture = axes.imshow(values[order], cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(columns), [score.tracker for score in report.scores], rotation=60, ha="left", fontsize=8)
    axes.set_yticks(range(rows), [names[place] for place in order], fontsize=8 if numbers else 6.5)
    axes.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xticklabels(axes.get_xticklabels(), rotation_mode="anchor")
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(
        picture, ax=axes, location="bottom", label="AUC (blank: not scored)", shrink=0.8, aspect=40, pad=0.01
    )
    for (place, column), value in np.ndenumerate(values[order] if numbers else np.empty((0, 0))):
        if not math.isnan(value):
            colour = "#ffffff" if value < 0.55 else "#000000"
            axes.text(column, place, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=6.5, color=colour)
    return figure
