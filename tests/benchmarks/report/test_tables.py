from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.report.tables import escape_latex, escape_markdown, latex, markdown, terminal, terminal_sequences
from benchmarks.report.tables import top_three as places_of
from benchmarks.score import Headline


def test_the_terminal_table_ranks_trackers_and_shows_intervals(make):
    lines = terminal(make(fps={"ours": 123.4, "good": 12.34}).report).splitlines()
    assert lines[0] == "Toys, OPE"
    assert lines[1].split() == ["tracker", "AUC", "P@20", "NP", "SR@0.5", "SR@0.75", "AO", "frames/s", "p95", "ms"]
    assert [line.split()[0] for line in lines[2:]] == ["good", "ours", "bad"]
    assert "0.952 ± 0.000" in lines[2]  # 20/21
    assert lines[2].split()[-2:] == ["12.3", "20.0"]
    assert lines[3].split()[-2] == "123"
    assert lines[4].split()[-2:] == ["–", "–"]
    assert len({len(line) for line in lines[1:3]}) == 1  # columns end where their heads do


def test_the_table_of_sequences_has_every_sequence_and_tracker(make):
    lines = terminal_sequences(make(skip={"bad": "Cup"}).report).splitlines()
    assert lines[0].split() == ["sequence", "frames", "good", "ours", "bad"]
    assert lines[1].split()[:3] == ["Ball", "20", "0.952/1.000"]
    assert lines[2].split()[-1] == "–/–"


def test_the_best_three_share_a_place_where_their_printed_numbers_are_equal(make):
    report = make({"a": 0.0, "b": 0.0, "c": 3.0, "d": 300.0}).report
    places = places_of(report)
    assert [places.get((name, "auc")) for name in "abcd"] == [0, 0, 2, None]
    assert places_of(make({"alone": 0.0}).report) == {}


def test_latex_is_a_booktabs_table_with_the_best_three_marked(make):
    text = latex(make({"ours_1": 2.0, "a&b": 0.0, "c": 4.0, "d": 300.0}, skip={"d": "Cup"}).report)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = len(re.search(r"begin\{tabular\}\{(\w+)\}", text)[1])  # type: ignore[index]
    assert [row.replace(r"\&", "").count("&") for row in rows] == [columns - 1] * 5
    assert rows[1].startswith(r"a\&b & \first{0.952} & ")
    assert rows[2].startswith(r"ours\_1 & \second{")
    assert rows[3].startswith(r"c & \third{")
    assert rows[4].startswith("d (1 of 2) & 0.")
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    assert escape_latex("50% of {x} ~ $1 #2 ^ \\") == (
        r"50\% of \{x\} \textasciitilde{} \$1 \#2 \textasciicircum{} \textbackslash{}"
    )


def test_markdown_has_one_cell_a_column_whatever_trackers_are_called(make):
    report = make({"ours": 4.0, "a|b_c": 0.0, "<d>": 300.0}).report
    text = markdown(replace(report, machine={"CPU": "fast | slow"}, remarks=["1 < 2"], failures=["d on Cup"]))
    tables = [line for line in text.splitlines() if line.startswith("|")]
    counts = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    assert counts == [counts[0]] * 5 + [6] * 4
    assert tables[2].startswith(r"| a\|b\_c | **0.952 ± 0.000** |")
    assert "## Toys, OPE" in text
    assert r"- CPU: fast \| slow" in text
    assert r"- 1 \< 2" in text
    assert "- d on Cup" in text
    assert report.comparisons[0].sentence.split(" (p")[0].split(",")[0] in text
    assert escape_markdown("two\nlines") == "two lines"


def test_a_number_that_is_not_there_is_a_dash_and_its_column_goes_if_nobody_has_it(make):
    made = make()
    with_lsm = replace(made.scores[0], headlines={**made.scores[0].headlines, "lsm": Headline(0.25, 0.2, 0.3)})
    scores = [with_lsm, *made.scores[1:]]
    report = replace(made.report, scores=scores)
    assert "LSM" not in terminal(made.report)
    lines = terminal(report).splitlines()
    assert "LSM" in lines[1]
    assert "0.250 ± 0.050" in lines[2]
    nan = replace(with_lsm, headlines={**with_lsm.headlines, "lsm": Headline(*[float("nan")] * 3)})
    assert "LSM" not in terminal(replace(report, scores=[nan]))
    with pytest.raises(KeyError):
        made.scores[1].headlines["lsm"]
