"""Reports: scores of one or more trackers as tables, plots, filmstrips and a page.

report = build_report(scores, sequences, title="OTB-2013", attributes=benchmark.attributes)
print(terminal(report))
save_report(report, Path("report"), formats=("html", "csv"))
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.datasets.benchmark import Problem
from benchmarks.protocols import base_name
from benchmarks.report import exports, filmstrip, html
from benchmarks.report.content import Report, group_by_attribute, ranked
from benchmarks.report.tables import latex, markdown, terminal, terminal_sequences
from benchmarks.results import Run, replace_text
from benchmarks.score import TrackerScore, compare
from benchmarks.sequence import Sequence as Footage

__all__ = ["FORMATS", "Report", "build_report", "save_report", "terminal", "terminal_sequences", "write_report"]

PLOTS = ("png", "svg", "pdf")  # a file for each plot
FORMATS = ("html", "csv", "json", "markdown", "latex", *PLOTS)
USUAL = ("html", "csv", "json")

Runs = Mapping[str, Mapping[str, Run]]


def write_report(
    scores: Sequence[TrackerScore],
    sequences: Sequence[Footage],
    runs: Runs,
    title: str,
    attributes: Mapping[str, str],
    out: Path,
    formats: Collection[str] = USUAL,
    filmstrips: bool = True,
    machine: Mapping[str, object] | None = None,
    protocol: str = "ope",
    problems: Iterable[Problem] = (),
    failures: Iterable[str] = (),
) -> list[Path]:
    """Build a report and save it; see `build_report` and `save_report`."""
    report = build_report(scores, sequences, title, attributes, machine, protocol, problems, failures)
    return save_report(report, out, formats, sequences if filmstrips else (), runs)


def build_report(
    scores: Sequence[TrackerScore],
    sequences: Iterable[Footage],
    title: str,
    attributes: Mapping[str, str] | None = None,
    machine: Mapping[str, object] | None = None,
    protocol: str = "ope",
    problems: Iterable[Problem] = (),
    failures: Iterable[str] = (),
) -> Report:
    """Rank the trackers, and compare each with the first of `scores`, which the report is about.

    Args:
        scores: one a tracker.
        sequences: what they were scored on; variants (``Name@3``) count as one sequence.
        title: what was run, e.g. "19 of 51 sequences of OTB-2013" (`Found.title`).
        attributes: abbreviation → name.
        machine: where it ran, e.g. {"CPU": "…", "threads": 1}.
        protocol: "ope", "sre" or "tre".
        problems: sequences that could not be read.
        failures: what went wrong when trackers ran.

    Raises:
        ValueError: no scores, or two of one tracker.
    """
    names = [score.tracker for score in scores]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"a report needs one or more trackers with names of their own, got {names}")
    sequences, order = list(sequences), ranked(scores)
    frames: dict[str, int] = {}
    for sequence in sequences:
        frames[base_name(sequence.name)] = frames.get(base_name(sequence.name), 0) + len(sequence)
    problems = list(problems)
    absent = [name for name, _, found in problems if found == "none"]
    remarks = [f"not there: {', '.join(absent)}"] if absent else []
    remarks += [
        f"{name}: left out; expected {expected}, found {found}" for name, expected, found in problems if found != "none"
    ]
    remarks += [f"{score.tracker}: {note}" for score in order for note in score.notes]
    comparisons = []
    for score in order:
        try:
            comparisons += [compare(scores[0], score, "auc")] if score is not scores[0] else []
        except ValueError as error:  # nothing in common
            remarks.append(f"not compared: {error}")
    return Report(
        title=title,
        protocol=protocol.upper(),
        scores=order,
        main=scores[0],
        sequences=frames,
        attributes=group_by_attribute(sequences, attributes or {}),
        machine={what: str(value) for what, value in (machine or {}).items()},
        comparisons=comparisons,
        remarks=remarks,
        failures=list(failures),
    )


def save_report(
    report: Report,
    out: Path,
    formats: Collection[str] = USUAL,
    sequences: Iterable[Footage] = (),
    runs: Runs | None = None,
) -> list[Path]:
    """Write a report into a folder, over an older one.

    Args:
        report: what to write.
        out: the folder; it is made where it is missing.
        formats: any of `FORMATS`.
        sequences: those to show filmstrips of in the page.
        runs: tracker → sequence → what it said; needed for filmstrips.

    Returns:
        The files written.

    Raises:
        ValueError: an unknown format.
        ImportError: plots are wanted and matplotlib is missing; the message says how to install it.
    """
    if unknown := set(formats) - set(FORMATS):
        raise ValueError(f"no format {', '.join(sorted(unknown))}; there are {', '.join(FORMATS)}")
    texts: dict[str, str] = {}
    if "csv" in formats:
        texts |= {"trackers.csv": exports.csv_trackers(report), "sequences.csv": exports.csv_sequences(report)}
    if "json" in formats:
        texts["report.json"] = exports.to_json(report)
    if "latex" in formats:
        texts["report.tex"] = latex(report)
    elements, files = _plots(report, out, [suffix for suffix in PLOTS if suffix in formats], "html" in formats)
    if "html" in formats:
        strips, notes = _filmstrips(report, sequences, runs or {})
        texts["report.html"] = html.page(report, elements, strips, notes)
    if "markdown" in formats:
        pictures = [file.name for file in files if file.suffix in (".svg", ".png")]
        texts["report.md"] = markdown(report, pictures)
    for name, text in texts.items():
        replace_text(out / name, text)
    return [out / name for name in texts] + files


def _plots(report: Report, out: Path, suffixes: Sequence[str], in_page: bool) -> tuple[dict[str, str], list[Path]]:
    """Draw each plot once; returns name → SVG element if they go into a page, and the files written."""
    elements: dict[str, str] = {}
    files: list[Path] = []
    if not suffixes and not in_page:
        return elements, files
    try:
        from benchmarks.report import plots  # here: matplotlib is an extra, and takes a while to load
    except ImportError as error:
        raise ImportError(f"plots need matplotlib: pip install 'siamtrack[benchmarks]' ({error})") from error
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in plots.figures(report):
        if in_page:
            elements[name] = plots.inline(plots.render(figure, name, "svg"), name)
        for suffix in suffixes:
            path = out / f"{name}.{suffix}"
            path.write_bytes(plots.render(figure, name, suffix))
            files.append(path)
    return elements, files


def _filmstrips(
    report: Report, sequences: Iterable[Footage], runs: Runs
) -> tuple[dict[str, list[filmstrip.Still]], list[str]]:
    """Filmstrips of the sequences that the main tracker has run on, and why others have none."""
    main = report.main.tracker
    strips: dict[str, list[filmstrip.Still]] = {}
    notes: list[str] = []
    for sequence in sequences:
        here = {name: runs[name][sequence.name] for name in report.styles if sequence.name in runs.get(name, {})}
        if base_name(sequence.name) in strips:  # one variant is enough
            continue
        if main not in here:
            notes.append(f"{sequence.name}: no filmstrip, {main} has no result")
            continue
        try:
            strips[base_name(sequence.name)] = filmstrip.filmstrip(sequence, here, main, report.styles)
        except filmstrip.DecodeError as error:
            notes.append(f"{sequence.name}: no filmstrip, {error}")
    return strips, notes
