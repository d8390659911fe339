from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from benchmarks.report.style import BLUE, INK, PALETTE, PAPER, on_page, styles

# Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, full
# severity, for linear RGB
DEFICIENCIES = {
    "none": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def lab(colour: str, seen_by: np.ndarray) -> np.ndarray:
    """``#rrggbb`` as CIE L*a*b*, as somebody sees it."""
    encoded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(seen_by @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    scaled = to_xyz @ seen / (0.9505, 1.0, 1.089)
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", DEFICIENCIES)
def test_colours_can_be_told_apart_without_full_colour_vision(kind: str):
    seen = [lab(colour, DEFICIENCIES[kind]) for colour in (*PALETTE, INK, PAPER)]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 10


def test_twenty_trackers_all_look_different():
    looks = styles([f"tracker {number}" for number in range(25)], "tracker 7")
    assert len({(style.colour, style.dash) for style in looks.values()}) == 25
    assert looks["tracker 7"].colour == INK
    assert [tracker for tracker, style in looks.items() if style.main] == ["tracker 7"]
    assert len(styles(map(str, range(60)), "0")) == 60  # looks repeat, no tracker is lost


def test_a_page_has_its_own_colours():
    assert on_page(f"{INK} {PAPER} {BLUE} #d55e00") == "currentColor var(--paper) var(--blue) #d55e00"
