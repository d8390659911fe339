"""A learning curve in text: its points, how far seeds are apart, its laws, and where they lead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.significance import bootstrap_interval
from learning.calibration import STARTS
from learning.curve import (
    GOT10K_BOXES,
    GOT10K_TRACKS,
    Curve,
    Gpu,
    Point,
    over_pairs,
    over_share,
    projections,
)
from learning.power_law import LEAST

CLOSE = 0.02  # AUC within which a retraining has reached the weights that it repeats


def _plus(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _points_table(points: Sequence[Point]) -> list[str]:
    names = list(points[0].success)
    lines = [
        _row("weights", "pairs", "share", "video tracks", "seed", "minutes", "learning rate", "AUC", "95 %", *names)
    ]
    lines.append("|" + "---|" * (9 + len(names)))
    for each in sorted(points, key=lambda each: (each.share, each.pairs, each.seed)):
        state = "fallen" if each.ended else "under way"
        facts = f"{each.pairs:,}", f"{each.share:g}", each.tracks or "–", each.seed, f"{each.minutes:g}", state
        single = (f"{each.success[name]:.3f}" for name in names)
        lines.append(_row(each.name, *facts, f"{each.auc:.3f}", _plus(*each.interval), *single))
    return lines


def _law_text(curve: Curve) -> str:
    if curve.law is None:
        return f"- {curve.title}: {len(set(curve.x))} different values; a law needs {LEAST}, and four to mean much."
    low, high = curve.law.exponent_interval()
    few = " Three points only: little speaks against any law." if len(set(curve.x)) == LEAST else ""
    return (
        f"- {curve.title}: 1 − AUC = {curve.law.scale:.3g} · x^−{curve.law.exponent:.3f} "
        f"(exponent {_plus(low, high)}), from {curve.law.low:,g} to {curve.law.high:,g}.{few}"
    )


def repeats(points: Sequence[Point]) -> list[str]:
    """How far trainings are apart that differ in their seed only."""
    lines: list[str] = []
    alike: dict[tuple[int, float, bool], list[Point]] = {}
    for each in points:
        alike.setdefault((each.pairs, each.share, each.ended), []).append(each)
    for (pairs, share, _), group in sorted(alike.items()):
        if len({each.seed for each in group}) > 1:
            values = [each.auc for each in group]
            found = ", ".join(f"{each.auc:.3f} (seed {each.seed})" for each in group)
            lines.append(f"- {pairs:,} pairs, share {share:g}: {found}; apart by {max(values) - min(values):.3f}.")
    return lines


def against(points: Sequence[Point], reference: Point) -> list[str]:
    """Whether trainings reach the weights that they repeat, within `CLOSE`; sequence by sequence, for the interval."""
    lines = [_row("weights", "seed", "AUC", "difference", "95 %", f"within {CLOSE:g}"), "|" + "---|" * 6]
    for each in points:
        gains = [each.success[name] - value for name, value in reference.success.items()]
        reached = "yes" if np.mean(gains) >= -CLOSE else "no"
        row = each.name, each.seed, f"{each.auc:.3f}", f"{np.mean(gains):+.3f}", _plus(*bootstrap_interval(gains))
        lines.append(_row(*row, reached))
    return lines


def report(points: Sequence[Point], gpu: Gpu, reference: Point | None = None) -> str:
    """The whole result, as Markdown."""
    time, data = over_pairs(points), over_share(points)
    sequences = ", ".join(points[0].success)
    lines = [
        "# Learning curve",
        "",
        f"Success AUC on sequences kept out of training ({sequences}), {STARTS} starts each, never giving up; 95 % "
        f"intervals by bootstrap over these {len(points[0].success)} sequences, which are few.",
        "",
        *_points_table(points),
    ]
    if seeds := repeats(points):
        lines += ["", "## Seeds", "", *seeds]
    if reference is not None:
        lines += ["", f"## Against {reference.name} ({reference.auc:.3f})", "", *against(points, reference)]
    lines += ["", "## Fit", "", "Least squares between the logarithms of x and of the error 1 − AUC: error falls as a"]
    lines += ["power of the data (Hestness et al. 2017).", "", _law_text(time), _law_text(data)]
    lines += ["", "## Projection, not a measurement", "", f"- GPU: {gpu.pairs_per_second:,.0f} pairs/s, {gpu.reason}."]
    lines.append(f"- GOT-10k's training split: {GOT10K_TRACKS:,} sequences, {GOT10K_BOXES:,} boxes.")
    lines.append("- Nothing that more footage or time cannot mend is in the law, so the truth lies below, if anything.")
    lines += ["", *_projection_table(time, data, gpu)]
    return "\n".join(lines) + "\n"


def _projection_table(time: Curve, data: Curve, gpu: Gpu) -> list[str]:
    rows = projections(time, data, gpu)
    if not rows:
        return ["Too few points for one."]
    best = max((point for point in time.points + data.points), key=lambda point: (point.pairs, point.share))
    lines = [_row("", "pairs", "video tracks", "AUC", "95 % over sequences", "beyond the curve by"), "|" + "---|" * 6]
    measured = f"{best.name}, measured", f"{best.pairs:,}", best.tracks or "–", f"{best.auc:.3f}", _plus(*best.interval)
    lines.append(_row(*measured, "–"))
    for row in rows:
        numbers = f"{row.pairs:,.0f}", f"{row.tracks:,.0f}" if row.tracks else "–", f"{row.auc:.3f}"
        lines.append(_row(row.what, *numbers, _plus(*row.interval), row.reach))
    return lines
