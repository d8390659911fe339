from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from benchmarks.report.exports import csv_sequences, csv_trackers, to_json
from benchmarks.score import Headline


def test_csv_of_trackers_reads_back(make):
    made = make({"ours, really": 4.0, "good": 0.0}, fps={"good": 50.0})
    rows = list(csv.DictReader(io.StringIO(csv_trackers(made.report))))
    assert [row["tracker"] for row in rows] == ["good", "ours, really"]
    assert float(rows[0]["auc"]) == pytest.approx(20 / 21, abs=1e-6)
    headline = made.scores[0].headlines["precision_20"]
    assert float(rows[1]["precision_20_low"]) == pytest.approx(headline.low, abs=1e-6)
    assert (rows[0]["fps"], rows[1]["fps"]) == ("50.000", "")
    assert (rows[0]["sequences"], rows[0]["of"]) == ("2", "2")


def test_csv_of_sequences_has_what_was_scored_only(make):
    made = make(skip={"bad": "Ball"})
    rows = list(csv.DictReader(io.StringIO(csv_sequences(made.report))))
    assert [(row["tracker"], row["sequence"]) for row in rows] == [
        ("good", "Ball"),
        ("good", "Cup"),
        ("ours", "Ball"),
        ("ours", "Cup"),
        ("bad", "Cup"),
    ]
    assert float(rows[3]["auc"]) == pytest.approx(made.scores[0].sequences["Cup"].auc, abs=1e-6)
    assert (rows[4]["frames"], rows[4]["missing"], rows[4]["lsm"]) == ("30", "0", "")


def test_json_is_strict_and_has_everything(make):
    made = make(fps={"good": 50.0}, skip={"bad": "Ball"})
    unknown = replace(made.scores[0], headlines={**made.scores[0].headlines, "lsm": Headline(*[float("nan")] * 3)})
    report = replace(made.report, scores=[unknown, *made.report.scores[1:]], machine={"CPU": "x"})

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    content = json.loads(to_json(report), parse_constant=refuse)
    assert content["title"] == "Toys"
    assert content["main"] == "ours"
    assert content["machine"] == {"CPU": "x"}
    ours = content["trackers"][0]
    assert ours["headlines"]["lsm"]["value"] is None
    assert ours["sequences"]["Cup"]["lsm"] is None
    assert len(ours["sequences"]["Cup"]["success"]) == 21
    fast = content["attributes"][1]
    assert (fast["name"], fast["sequences"]) == ("Fast motion", ["Cup"])
    assert fast["auc"]["ours"] == pytest.approx(made.scores[0].sequences["Cup"].auc)
    assert content["comparisons"][0]["sentence"] == report.comparisons[0].sentence
