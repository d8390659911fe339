"""A report as one page that needs nothing else: plots, pictures, style and script are inside."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from benchmarks.report.content import HEADLINES, Report, attribute_auc, is_known, sequence_value
from benchmarks.report.filmstrip import NUMBERED, Still, on_pictures
from benchmarks.report.page import SCRIPT, STYLE
from benchmarks.report.style import Style, on_page
from benchmarks.report.tables import RANKS, number, rate, top_three
from benchmarks.score import TrackerScore

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # no network

ABOUT = """Success is the share of frames whose overlap is above a threshold (strictly), AUC its mean over the 21
thresholds 0, 0.05 … 1: a perfect tracker has 0.952. Precision is the share of frames whose centre error is at most a
threshold, P@20 the one at 20 px; NP divides the error by the target's size. Small figures are 95 % bootstrap intervals
over the sequences. Speed is N / Σt over all updates, without decoding and without the first frame."""


def page(
    report: Report, plots: Mapping[str, str], strips: Mapping[str, Sequence[Still]], strip_notes: Sequence[str] = ()
) -> str:
    """The whole page.

    Args:
        report: what to show.
        plots: name → SVG element, as `plots.figures` names them; those that are not there are left out.
        strips: sequence → its filmstrip.
        strip_notes: what a reader has to know about the filmstrips.
    """
    curves = [plots[name] for name in ("success", "precision", "normalised") if name in plots]
    sections = [
        ("ranking", "Ranking", headline_table(report)),
        ("comparisons", "Is the difference real?", comparisons(report)),
        ("plots", "Success and precision", figures(curves)),
        ("attributes", "Attributes", attributes(report, plots)),
        ("speed", "Speed and accuracy", figures([plots["speed"]] if "speed" in plots else [])),
        ("sequences", "Sequences", sequences(report, plots)),
        ("filmstrips", "Filmstrips", filmstrips(report, strips, strip_notes)),
        ("remarks", "Remarks", bullets(report.remarks)),
        ("failures", "Failures", bullets(report.failures)),
    ]
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    body = "".join(f'<section id="{name}"><h2>{title}</h2>{content}</section>' for name, title, content in shown)
    title = f"{escape(report.title)}, {escape(report.protocol)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><header><h1>{title}</h1>"
        f'<p class="quiet">{extent(report)}</p>{machine(report)}<nav>{links}</nav></header>\n<main>{body}</main>\n'
        f'<footer><p class="quiet">{ABOUT}</p></footer><script>{SCRIPT}</script></body></html>\n'
    )


def extent(report: Report) -> str:
    """How much was run."""
    trackers, frames = len(report.scores), sum(report.sequences.values())
    return (
        f"{trackers} {'tracker' if trackers == 1 else 'trackers'}, {len(report.sequences)} sequences, {frames:,} frames"
    )


def machine(report: Report) -> str:
    """Where it ran."""
    rows = "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in report.machine.items())
    return f"<dl>{rows}</dl>" if rows else ""


def headline_table(report: Report) -> str:
    """Trackers × headline numbers with their intervals, the best three of each column marked."""
    places = top_three(report)
    head = ["Tracker", *(HEADLINES[key][0] for key in report.columns), "Frames/s", "p50 ms", "p95 ms", "p99 ms"]
    notes = [None, *(HEADLINES[key][1] for key in report.columns), "N / Σt", None, None, None]
    rows = []
    for score in report.scores:
        cells = [row_head(report, score)]
        for key in report.columns:
            headline, place = score.headlines.get(key), places.get((score.tracker, key))
            if not is_known(headline):
                cells.append(cell(None))
                continue
            value = f"{headline.value:.3f}"
            value = value if place is None else f'<span class="{RANKS[place]}">{value}</span>'
            interval = f"<small>{headline.low:.3f} – {headline.high:.3f}</small>"
            cells.append(cell(headline.value, value + interval))
        speed = score.speed
        cells.append(cell(speed.fps if speed else None, rate(score)))
        cells += [
            cell(value, digits=1) for value in ((speed.p50_ms, speed.p95_ms, speed.p99_ms) if speed else [None] * 3)
        ]
        rows.append((cells, score is report.main))
    note = '<p class="quiet">Best <b class="first">first</b>, <span class="second">second</span>, <i>third</i>. '
    return table(head, rows, notes) + note + "A click on a column’s head sorts.</p>"


def table(head: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]], notes: Sequence[str | None] = ()) -> str:
    """A table that sorts by a click; `rows`: cells, and whether the row is the main tracker's."""
    titles = [f' title="{escape(note)}"' if note else "" for note in notes or [None] * len(head)]
    heads = "".join(
        f'<th scope="col"{title}><button type="button">{escape(text)}</button></th>'
        for text, title in zip(head, titles, strict=True)
    )
    body = "".join(f"<tr{' class=main' if main else ''}>{''.join(cells)}</tr>\n" for cells, main in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def cell(value: float | None, text: str | None = None, digits: int = 3, shade: bool = False) -> str:
    """A number, with its value to sort by; `text` instead of the number, if given."""
    if value is None or not math.isfinite(value):
        return f"<td>{number(None)}</td>"
    look = f' class="shade" style="--v:{value:.2f}"' if shade else ""
    return f'<td data-v="{value:.6g}"{look}>{number(value, digits) if text is None else text}</td>'


def row_head(report: Report, score: TrackerScore) -> str:
    """A tracker's name behind a piece of its line."""
    return f'<th scope="row">{swatch(report.styles[score.tracker])}{escape(report.label(score))}</th>'


def swatch(style: Style) -> str:
    """A piece of a tracker's line as it is in the plots."""
    width = 1.5 * style.width
    dashes = " ".join(f"{width * part:.1f}" for part in style.dash)
    return (
        f'<svg class="swatch{" main" if style.main else ""}" width="30" height="6" aria-hidden="true">'
        f'<line x1="0" y1="3" x2="30" y2="3" style="stroke:{on_page(style.colour)}" stroke-width="{width:.1f}" '
        f'stroke-dasharray="{dashes or "none"}"/></svg>'
    )


def comparisons(report: Report) -> str:
    """A sentence a pair."""
    if not report.comparisons:
        return ""
    note = "Paired tests over the sequences that both have; p is not corrected for the number of comparisons."
    return bullets([comparison.sentence for comparison in report.comparisons]) + f'<p class="quiet">{note}</p>'


def bullets(lines: Sequence[str]) -> str:
    """A list, or nothing."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def figures(plots: Sequence[str]) -> str:
    """Plots beside each other where there is room."""
    return f'<div class="plots">{"".join(f"<figure>{plot}</figure>" for plot in plots)}</div>' if plots else ""


def attributes(report: Report, plots: Mapping[str, str]) -> str:
    """Radar, success plots and table by attribute."""
    if not report.attributes:
        return ""
    head = ["Tracker", *(attribute.short for attribute in report.attributes)]
    notes = [None, *(f"{attribute.name}, {len(attribute.sequences)} sequences" for attribute in report.attributes)]
    rows = [
        (
            [
                row_head(report, score),
                *(cell(attribute_auc(score, attribute), shade=True) for attribute in report.attributes),
            ],
            score is report.main,
        )
        for score in report.scores
    ]
    radar = figures([plots["attribute_radar"]] if "attribute_radar" in plots else [])
    curves = plots.get("attribute_success", "")
    wide = f'<figure class="wide" tabindex="0">{curves}</figure>' if curves else ""
    return f"{radar}<h3>AUC by attribute</h3>{table(head, rows, notes)}<h3>Success by attribute</h3>{wide}"


def sequences(report: Report, plots: Mapping[str, str]) -> str:
    """Heat map, and the same as a table."""
    head = ["Sequence", "Frames", *(score.tracker for score in report.scores)]
    rows = [
        (
            [
                f'<th scope="row">{escape(name)}</th>',
                cell(frames, digits=0),
                *(cell(sequence_value(score, name), shade=True) for score in report.scores),
            ],
            False,
        )
        for name, frames in report.sequences.items()
    ]
    return f"{figures([plots['sequences']] if 'sequences' in plots else [])}<h3>AUC by sequence</h3>{table(head, rows)}"


def filmstrips(report: Report, strips: Mapping[str, Sequence[Still]], notes: Sequence[str]) -> str:
    """Best and worst frames of each sequence."""
    if not strips:
        return bullets(notes)
    numbered = len(report.styles) > NUMBERED
    legend = "".join(
        f"<li>{swatch_solid(style)}{f'{place} ' if numbered else ''}{escape(tracker)}</li>"
        for place, (tracker, style) in enumerate(report.styles.items(), 1)
    )
    legend += f"<li>{swatch(Style('#ffffff', (), '', True))}ground truth</li>"
    main = escape(report.main.tracker)
    text = (
        f"Frames where {main} was best, then where it was worst; of equals the first, so a lost target shows the frame "
        "that lost it. Each picture is the part around these two boxes; others may lie outside. Dashed: the tracker "
        "itself says that the target is lost."
    )
    shown = "".join(strip(name, stills) for name, stills in strips.items())
    return f'<p>{text}</p>{bullets(notes)}<ul class="legend">{legend}</ul>{shown}'


def swatch_solid(style: Style) -> str:
    """As `swatch`, without dashes: in a filmstrip they say that the target is lost."""
    return swatch(Style(on_pictures(style), (), style.marker, style.main))


def strip(name: str, stills: Sequence[Still]) -> str:
    """One sequence's filmstrip."""
    shown = "".join(
        f'<figure><img loading="lazy" width="{each.size[0]}" height="{each.size[1]}" alt="{escape(name)}, frame '
        f'{each.frame}" src="data:image/jpeg;base64,{base64.b64encode(each.jpeg).decode()}"><figcaption>{each.kind}: '
        f"frame {each.frame}, overlap {each.overlap:.2f}</figcaption></figure>"
        for each in stills
    )
    return f'<h3>{escape(name)}</h3><div class="strip" tabindex="0">{shown}</div>\n'
