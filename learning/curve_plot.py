"""Learning curves as a plot. Needs matplotlib, which is loaded with this module: import it late."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context

from benchmarks.report.plots import LOOK
from benchmarks.report.style import BLUE, INK, PAPER
from benchmarks.significance import interval
from learning.curve import Curve

BEYOND = 4.0  # times the largest abscissa to which a law is drawn


def draw(curves: Sequence[Curve]) -> bytes:
    """An SVG with one panel a curve: points and law with their intervals, dashed beyond the points."""
    with context([*LOOK, {"svg.hashsalt": "learning curve"}]):
        figure = Figure(figsize=(4.5 * len(curves), 3.4), layout="constrained")
        for place, curve in enumerate(curves, 1):
            _panel(figure.add_subplot(1, len(curves), place), curve)
        file = io.BytesIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(file, format="svg", metadata=nothing, facecolor=PAPER)
    return file.getvalue()


def _panel(axes: Axes, curve: Curve) -> None:
    axes.set_xscale("log")
    axes.set(xlabel=curve.title, ylabel="Success AUC, kept out of training")
    for at, point in zip(curve.x, curve.points, strict=True):
        axes.plot([at, at], point.interval, color=INK, alpha=0.3, linewidth=1)
        filled = INK if point.ended else "none"
        axes.plot(at, point.auc, "o", markeredgecolor=INK, markerfacecolor=filled, markersize=5)
    law = curve.law
    if law is None:
        return
    inside = np.geomspace(law.low, law.high, 50)
    beyond = np.geomspace(law.high, law.high * BEYOND, 30)
    for x, style in ((inside, "-"), (beyond, "--")):
        axes.plot(x, [law.auc(value) for value in x], style, color=BLUE, linewidth=1.4)
        ends = np.array([interval(law.resampled_auc(value)) for value in x])
        axes.fill_between(x, ends[:, 0], ends[:, 1], color=BLUE, alpha=0.12, linewidth=0)
    axes.set_title(f"1 − AUC = {law.scale:.3g} · x^−{law.exponent:.3f}")
