"""How each tracker looks in every plot, table and filmstrip of one report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice, product

# Stand-ins that can be found again in an SVG, where a page puts its own colours of text and background.
INK = "#1a1b1c"
PAPER = "#fdfcfb"

# Okabe and Ito, "Color Universal Design": hues that colour-blind readers can tell apart. Their yellow is left out, as
# it is lost on white; ink takes the place of their black and is the main tracker's.
BLUE = "#0072b2"
PALETTE = (BLUE, "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ((), (5.0, 1.8), (1.2, 1.4), (6.0, 1.6, 1.2, 1.6))  # strokes and gaps in line widths
MARKERS = "osD^vPX"


@dataclass(frozen=True)
class Style:
    """Colour, dash pattern (empty: solid) and marker of one tracker; `main` is the one the report is about."""

    colour: str
    dash: tuple[float, ...]
    marker: str
    main: bool = False

    @property
    def width(self) -> float:
        """Line width in points."""
        return 2.4 if self.main else 1.4


def styles(trackers: Iterable[str], main: str) -> dict[str, Style]:
    """One style a tracker: `main` in ink; the others in the colours in turn, first solid, then in other dashes."""
    others = [tracker for tracker in trackers if tracker != main]
    looks = islice(cycle(product(DASHES, PALETTE)), len(others))
    found = {main: Style(INK, (), "*", main=True)}
    for number, (tracker, (dash, colour)) in enumerate(zip(others, looks, strict=True)):
        found[tracker] = Style(colour, dash, MARKERS[(number + number // len(PALETTE)) % len(MARKERS)])
    return found


def on_page(markup: str) -> str:
    """The same markup with the page's colours, which are others in the dark."""
    return markup.replace(INK, "currentColor").replace(PAPER, "var(--paper)").replace(BLUE, "var(--blue)")
