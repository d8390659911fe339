from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.association.costs import (
    GROWTH_HEAD,
    SPEED_HEAD,
    draw_growth,
    growth_csv,
    growth_rows,
    read_growth,
    speed_rows,
    table,
)
from benchmarks.association.speed import Point, Timing, measure_growth

POINTS = [Point("online", 10, frames, frames / 1000, 200.0) for frames in (100, 200, 800)]


def test_the_fastest_is_first_and_all_are_beside_bytetrack():
    timings = {
        "online": Timing("online (ours)", 100, [0.1, 0.2, 0.1], 300.0, 250.0),
        "bytetrack": Timing("ByteTrack (boxmot)", 100, [0.4, 0.4, 0.4]),
    }
    assert speed_rows(timings) == [
        ["online (ours)", "1000", "1.000", "4.00", "300", "50"],
        ["ByteTrack (boxmot)", "250", "4.000", "1.00", "–", "–"],
    ]
    del timings["bytetrack"]
    assert speed_rows(timings)[0][3] == "–"
    assert table(SPEED_HEAD, speed_rows(timings), markdown=True).startswith("| tracker |")


def test_growth_is_told_where_there_is_a_smaller_one():
    rows = growth_rows(POINTS, "frames")
    assert [row[-1] for row in rows] == ["–", "2.00 ×", "2.00 ×"]
    assert len(rows[0]) == len(GROWTH_HEAD)
    assert [row[-1] for row in growth_rows(POINTS, "people")] == ["–", "–", "–"]
    assert growth_csv(POINTS).splitlines()[2] == "online,10,200,0.2000,200.0"


def test_what_was_measured_is_not_measured_again(tmp_path: Path):
    path = tmp_path / "growth.csv"
    assert read_growth(path) == []
    path.write_text(growth_csv(POINTS))
    known = read_growth(path)
    assert known == POINTS
    assert list(measure_growth(["online"], [10], [200, 800], known=known)) == POINTS[1:]
    path.write_text("tracker,people\nonline,x\n")
    with pytest.raises(ValueError, match="damaged"):
        read_growth(path)


def test_the_plot_has_the_slope_that_is_allowed():
    pytest.importorskip("matplotlib")
    figure = draw_growth([Point("online", people, 300, people**2 / 1e3, 200.0) for people in (10, 20, 40)], POINTS)
    by_frames = figure.axes[1].get_lines()
    assert by_frames[0].get_label() == "online (ours)"
    x, y = by_frames[1].get_data()
    assert list(x) == [100, 800]
    assert y[1] / y[0] == pytest.approx(2.2**3)
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"
