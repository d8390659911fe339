"""A report as a table in text: for a terminal, a README or a paper."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.report.content import HEADLINES, Report, is_known, ranked, sequence_value
from benchmarks.score import Headline, TrackerScore

NO_VALUE = "–"
TERMINAL = ("auc", "precision_20", "normalised_auc", "sr_50", "sr_75", "ao", "lsm", "long_f")  # fits 120 columns
RANKS = ("first", "second", "third")


def with_interval(headline: Headline | None) -> str:
    """0.612 ± 0.030: half the width of the 95 % interval."""
    if not is_known(headline):
        return NO_VALUE
    return f"{headline.value:.3f} ± {headline.margin:.3f}"


def number(value: float | None, digits: int = 3) -> str:
    """A number or a dash."""
    return NO_VALUE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def rate(score: TrackerScore) -> str:
    """Frames a second with three figures or a dash."""
    if score.speed is None:
        return NO_VALUE
    return number(score.speed.fps, 0 if score.speed.fps >= 100 else 1)


def terminal(report: Report) -> str:
    """Trackers × headline numbers, best AUC first, with half the width of the 95 % interval."""
    columns = [key for key in TERMINAL if key in report.columns]
    rows = [["tracker", *(HEADLINES[key][0] for key in columns), "frames/s", "p95 ms"]]
    for score in report.scores:
        values = [with_interval(score.headlines.get(key)) for key in columns]
        latency = number(score.speed.p95_ms if score.speed else None, 1)
        rows.append([report.label(score), *values, rate(score), latency])
    return f"{report.title}, {report.protocol}\n{aligned(rows)}"


def terminal_sequences(report: Report) -> str:
    """Sequences × trackers: AUC / P@20."""
    rows = [["sequence", "frames", *(score.tracker for score in report.scores)]]
    for name, frames in report.sequences.items():
        pairs = (
            f"{number(sequence_value(score, name))}/{number(sequence_value(score, name, 'precision_20'))}"
            for score in report.scores
        )
        rows.append([name, str(frames), *pairs])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Cells in columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def markdown(report: Report, pictures: Iterable[str] = ()) -> str:
    """Headline table (best in bold), comparisons, plots by the names of their files, numbers of each sequence, machine
    and remarks.
    """
    places = top_three(report)
    head = ["Tracker", *(HEADLINES[key][0] for key in report.columns), "Frames/s"]
    rows = [
        [
            escape_markdown(report.label(score)),
            *(
                f"**{cell}**" if places.get((score.tracker, key)) == 0 else cell
                for key, cell in ((key, with_interval(score.headlines.get(key))) for key in report.columns)
            ),
            rate(score),
        ]
        for score in report.scores
    ]
    parts = [
        f"## {escape_markdown(report.title)}, {report.protocol}",
        markdown_table(head, rows),
        about_intervals(report),
    ]
    parts += [bullets(comparison.sentence for comparison in report.comparisons)] if report.comparisons else []
    parts += [f"![{Path(picture).stem.replace('_', ' ')}]({picture})" for picture in pictures]
    head = ["Sequence", "Frames", *(escape_markdown(score.tracker) for score in report.scores)]
    rows = [
        [escape_markdown(name), str(frames), *(number(sequence_value(score, name)) for score in report.scores)]
        for name, frames in report.sequences.items()
    ]
    parts += ["### AUC by sequence", markdown_table(head, rows)]
    if report.machine:
        parts += ["### Where it ran", bullets(f"{what}: {value}" for what, value in report.machine.items())]
    for title, lines in (("Remarks", report.remarks), ("Failures", report.failures)):
        parts += [f"### {title}", bullets(lines)] if lines else []
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub's Markdown, numbers to the right."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def bullets(lines: Iterable[str]) -> str:
    """One item a line."""
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)


def escape_markdown(text: str) -> str:
    """`text` as it stands, with nothing in it taken for markup."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def about_intervals(report: Report) -> str:
    """What the ± in the tables is."""
    return (
        f"± is half the width of the 95 % bootstrap interval over {len(report.sequences)} sequences; speed is N / Σt "
        "without decoding."
    )


LATEX_HEAD = r"""% \usepackage{booktabs} \usepackage{xcolor}; the three macros say how the best three are marked
\providecommand{\first}[1]{\textcolor{red}{\textbf{#1}}}
\providecommand{\second}[1]{\textcolor{blue}{\underline{#1}}}
\providecommand{\third}[1]{\textcolor{teal}{\textit{#1}}}
"""


def latex(report: Report) -> str:
    """Trackers × headline numbers as a `tabular` of booktabs, the best three of each column marked."""
    places = top_three(report)
    lines = [f"\\begin{{tabular}}{{l{'r' * (len(report.columns) + 1)}}}", r"\toprule"]
    lines.append(" & ".join(["Tracker", *(HEADLINES[key][0] for key in report.columns), "FPS"]) + r" \\")
    lines.append(r"\midrule")
    for score in report.scores:
        cells = [escape_latex(report.label(score))]
        for key in report.columns:
            headline = score.headlines.get(key)
            cell = f"{headline.value:.3f}" if is_known(headline) else "--"
            place = places.get((score.tracker, key))
            cells.append(cell if place is None else f"\\{RANKS[place]}{{{cell}}}")
        lines.append(" & ".join([*cells, rate(score).replace(NO_VALUE, "--")]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return f"% {report.title}, {report.protocol}\n{LATEX_HEAD}" + "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """`text` as LaTeX prints it."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in text)


def top_three(report: Report) -> dict[tuple[str, str], int]:
    """(tracker, key of a headline) → place 0, 1 or 2; equal to three digits shares the better place."""
    places = {}
    for key in report.columns:
        known = [score for score in ranked(report.scores, key) if is_known(score.headlines.get(key))]
        printed = [f"{score.headlines[key].value:.3f}" for score in known]
        for score, value in zip(known, printed, strict=True):
            if printed.index(value) < len(RANKS) and len(known) > 1:
                places[score.tracker, key] = printed.index(value)
    return places
