from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the benchmarks extra is not installed")

from benchmarks.report import plots
from benchmarks.report.style import INK


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_success_and_precision_rank_their_legends_by_their_own_number(make, sequence):
    # half of the frames far off, the others exact: worse in precision than always 15 px off, better in success
    made = make({"mixed": 0.0, "near": 15.0}, sequences=[sequence("Ball", 21)])
    made.runs["mixed"]["Ball"].boxes[11:, 0] += 300
    from benchmarks.report import build_report
    from benchmarks.score import score_runs

    scores = [score_runs(name, runs, made.sequences, "Toys") for name, runs in made.runs.items()]
    report = build_report(scores, made.sequences, "Toys")
    success, precision = (plots.curves(report, kind).axes[0] for kind in ("success", "precision"))
    assert legend(success) == [f"mixed [{20 / 21 * 11 / 21:.3f}]", f"near [{scores[1].headlines['auc'].value:.3f}]"]
    assert legend(precision) == ["near [1.000]", f"mixed [{11 / 21:.3f}]"]
    assert success.get_title() == "Success plots of OPE, Toys"


def test_the_curves_are_means_over_sequences_at_the_thresholds(make):
    made = make({"ours": 4.0})
    line = plots.curves(made.report, "success").axes[0].get_lines()[0]
    shares = []
    for threshold in line.get_xdata():
        each = [np.mean([value > threshold for value in score.overlaps]) for score in made.scores[0].sequences.values()]
        shares.append(np.mean(each))
    assert line.get_xdata() == pytest.approx(np.arange(21) * 0.05)
    assert line.get_ydata() == pytest.approx(shares)
    precision = plots.curves(made.report, "precision").axes[0].get_lines()[0]
    assert precision.get_xdata() == pytest.approx(np.arange(51))
    normalised = plots.curves(made.report, "normalised").axes[0].get_lines()[0]
    assert normalised.get_xdata() == pytest.approx(np.arange(51) / 100)


def test_many_trackers_have_their_legend_below_the_axes(make):
    report = make({f"tracker {number:02}": float(number) for number in range(20)}).report
    figure = plots.curves(report, "success")
    assert figure.axes[0].get_legend() is None
    assert len(figure.legends[0].get_texts()) == 20
    figure.draw_without_rendering()
    below, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_tightbbox()
    assert below.y1 <= axes.y0 + 1
    assert below.x0 >= -1
    assert below.x1 <= figure.bbox.width + 1


def test_each_attribute_has_a_plot_over_its_sequences(make, sequence):
    sequences = [sequence("A", attributes="OCC"), sequence("B", attributes="FM OCC"), sequence("C", attributes="BC")]
    made = make({"ours": 4.0, "good": 0.0}, sequences=sequences, skip={"good": "C"})
    figure = plots.attribute_curves(made.report)
    assert [axes.get_title() for axes in figure.axes] == ["Occlusion (2)", "Fast motion (1)", "BC (1)"]
    assert legend(figure.axes[2]) == [f"ours [{made.scores[0].sequences['C'].auc:.3f}]"]  # good was not scored on C
    radar = plots.attribute_radar(made.report).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in radar.get_lines()}
    assert drawn["good (2 of 3)"][:2] == pytest.approx([20 / 21, 20 / 21])
    assert np.isnan(drawn["good (2 of 3)"][2])
    assert len(drawn["ours"]) == 4  # closed
    assert [label.get_text() for label in radar.get_xticklabels()] == ["OCC\n(2)", "FM\n(1)", "BC\n(1)"]


def test_the_legend_of_an_attribute_names_the_best_five_and_the_main_tracker(make):
    errors = {"main": 19.0} | {f"tracker {number}": float(number) for number in range(9)}
    names = [text.rpartition(" [")[0] for text in legend(plots.attribute_curves(make(errors).report).axes[0])]
    assert names == [*(f"tracker {number}" for number in range(5)), "main"]


def test_a_radar_of_many_trackers_keeps_the_best_and_the_main_one(make, sequence):
    errors = {"main": 19.0} | {f"tracker {number}": float(number) for number in range(15)}
    axes = plots.attribute_radar(make(errors, sequences=[sequence("A", attributes="a b c")]).report).axes[0]
    names = [line.get_label() for line in axes.get_lines()]
    assert names == [*(f"tracker {number}" for number in range(7)), "main"]
    assert "8 of 16 trackers" in axes.get_title()


def test_speed_is_drawn_for_those_whose_speed_is_known(make):
    report = make(fps={"ours": 80.0, "bad": 2.0}).report
    axes = plots.speed(report).axes[0]
    assert axes.get_xscale() == "log"
    assert {text.get_text(): text.xy[0] for text in axes.texts} == {"ours": 80.0, "bad": 2.0}
    low, high = axes.get_xlim()
    assert low < 2 < 80 < high
    assert "speed" not in dict(plots.figures(make().report))


def test_names_in_the_speed_plot_lie_on_no_other_name(make):
    errors = {f"tracker {number}": number / 4 for number in range(6)}
    figure = plots.speed(make(errors, fps={name: 50.0 + number for number, name in enumerate(errors)}).report)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent().padded(-2) for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])


def test_the_heat_map_sorts_sequences_by_ease_and_leaves_gaps_blank(make, sequence):
    made = make(
        {"ours": 0.0, "bad": 300.0}, sequences=[sequence("Hard", 40), sequence("Easy", 2)], skip={"bad": "Easy"}
    )
    axes = plots.heat_map(made.report).axes[0]
    values = np.ma.filled(axes.get_images()[0].get_array().astype(float), np.nan)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Easy", "Hard"]
    assert values[:, 0] == pytest.approx([20 / 21, 20 / 21])
    assert np.isnan(values[0, 1])
    assert values[1, 1] == pytest.approx(20 / 21 / 40)
    assert [text.get_text() for text in axes.texts] == [".95", ".95", ".02"]


def test_any_name_can_be_drawn_and_stays_text(make):
    names = ["<b>&", "_hidden", "$x^2$", "π"]
    report = make({name: float(number) for number, name in enumerate(names)}).report
    svg = plots.render(dict(plots.figures(report))["success"], "success", "svg")
    texts = [element.text.strip() for element in ET.fromstring(svg).iter() if element.text and element.text.strip()]
    for name in names:
        assert any(text.startswith(f"{name} [0.") for text in texts)


def test_the_same_figure_gives_the_same_bytes_and_inline_ids_of_its_own(make):
    report = make(fps={"ours": 10.0}).report
    drawn = [{name: plots.render(figure, name, "svg") for name, figure in plots.figures(report)} for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert list(drawn[0]) == ["success", "precision", "normalised", "attribute_success", "speed", "sequences"]
    elements = [ET.fromstring(plots.inline(svg, name)) for name, svg in drawn[0].items()]
    ids = [part.get("id") for element in elements for part in element.iter() if part.get("id")]
    assert len(ids) == len(set(ids))
    assert all(INK not in plots.inline(svg, name) for name, svg in drawn[0].items())
    figure = plots.curves(report, "success")
    assert plots.render(figure, "success", "pdf").startswith(b"%PDF")
    assert plots.render(figure, "success", "png").startswith(b"\x89PNG")


def test_a_users_own_settings_of_matplotlib_change_nothing(make):
    import matplotlib

    report = make().report
    before = dict(plots.figures(report))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "figure.dpi": 300}):
        after = dict(plots.figures(report))
        drawn = plots.render(after["success"], "success", "svg")
    assert drawn == plots.render(before["success"], "success", "svg")
    assert "matplotlib.pyplot" not in sys.modules or matplotlib.get_backend()  # no window was asked for
