from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks.association import SETS
from benchmarks.association.files import write_record
from benchmarks.association.report import (
    Entry,
    Row,
    as_csv,
    as_json,
    best,
    markdown,
    measure,
    our_entry,
    stored_entries,
    summary,
    terminal,
)
from benchmarks.mot import RULES, evaluate

PETS = {"pets": SETS["pets"]}
PERFECT = "".join(f"{frame},{n},{x},21,20,40,1\n" for frame in range(1, 5) for n, x in ((1, 11), (2, 101)))
SWITCHED = PERFECT.replace("3,2,", "3,7,")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, title, text in (
        ("a", "A", SWITCHED),
        ("a+filled", "A + gap filling", SWITCHED),
        ("oracle", "oracle", PERFECT),
        ("b", "B", None),
    ):
        folder = tmp_path / "r" / name
        write_record(folder, {"title": title, "settings": {}})
        if text:
            (folder / "PETS09-S2L1.txt").write_text(text)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "PETS09-S2L1.txt").write_text(PERFECT.replace("4,2,101", "4,2,501"))
    return tmp_path / "r"


@pytest.fixture
def measured(root: Path, results: Path) -> tuple[list[Row], list[str], list[Entry]]:
    entries = [our_entry("flow", results.parent / "mine"), *stored_entries(results)]
    return *measure(root, PETS, entries), entries


def test_scores_are_those_of_the_evaluation(root: Path, results: Path, measured):
    rows, missing, _ = measured
    assert missing == ["B on PETS09-S2L1: no results for PETS09-S2L1"]
    row = next(row for row in rows if row.tracker == "a")
    expected = evaluate(root, results / "a", RULES["any"]).combined.scores()
    assert row.scores["IDF1"] == expected["IDF1"] < 1
    assert row.scores["IDSW"] == 2
    assert (row.scores["FP"], row.scores["FN"], row.scores["MOTA"]) == (0, 0, 0.75)


def test_modes(measured):
    rows, _, _ = measured
    modes = {row.title: (row.mode, row.ours) for row in rows}
    assert modes == {
        "flow": ("offline", True),
        "A": ("online", False),
        "A + gap filling": ("offline", False),
        "oracle": ("bound", False),
    }


def test_tables(measured):
    rows, _, entries = measured
    lines = terminal(rows, PETS).splitlines()
    assert lines[2].startswith("flow")  # the best IDF1 first, the oracle last
    assert lines[-1].startswith("oracle")
    page = markdown(rows, PETS)
    assert "**flow** | offline | **75.0** | **87.5**" in page
    assert "| 100.0 |" in page  # the oracle's are not bold
    table = list(csv.DictReader(as_csv(rows).splitlines()))
    assert float(table[0]["IDF1"]) == pytest.approx(rows[0].scores["IDF1"], abs=1e-6)
    stored = json.loads(as_json(rows, entries, {"commit": "x"}))
    assert stored["commit"] == "x"
    assert len(stored["rows"]) == len(rows)
    assert best(rows, "IDF1") == 0.875


def test_the_summary_has_the_best_of_each_kind(measured):
    head, *lines = summary(measured[0], PETS)
    assert head == ["", "PETS09-S2L1"]
    assert [line[0] for line in lines] == [
        "flow",
        "best online peer, each",
        "best peer of any kind, each",
        "oracle identities",
    ]
    assert [line[1].split(" / ")[0] for line in lines] == ["75.0", "75.0", "75.0", "100.0"]
    assert lines[-1][1] == "100.0 / 100.0 / 100.0"


def test_the_plot_shows_every_tracker(measured):
    pytest.importorskip("matplotlib")
    from benchmarks.association.plot import draw_scores

    figure = draw_scores(measured[0], PETS)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["flow", "A", "A + gap filling"]
    marks = {line.get_label(): line.get_xdata() for line in axes.get_lines()}
    assert marks["MOTA"][0] == 75.0
    assert len(marks["IDF1"]) == 3
