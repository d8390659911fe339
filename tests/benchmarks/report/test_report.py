from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.datasets.benchmark import Problem
from benchmarks.frames import ImageFrames
from benchmarks.report import FORMATS, build_report, save_report, write_report


def test_every_format_is_written(make, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="the benchmarks extra is not installed")
    made = make(fps={"ours": 50.0})
    out = tmp_path / "new" / "report"
    files = write_report(
        made.scores,
        made.sequences,
        made.runs,
        "2 of 9 sequences of Toys",
        {"OCC": "Occlusion", "FM": "Fast motion"},
        out,
        FORMATS,
        machine={"threads": 1},
        problems=[
            Problem("Doll", "20 frames", "19"),
            *(Problem(name, "its folder", "none") for name in ("Cat", "Dog")),
        ],
        failures=["bad on Doll: it broke"],
    )
    assert sorted(files) == sorted(out.iterdir())
    names = {file.name for file in files}
    assert {"report.html", "report.json", "report.md", "report.tex", "trackers.csv", "sequences.csv"} <= names
    assert {"success.pdf", "precision.svg", "normalised.png", "attribute_success.pdf", "sequences.png"} <= names
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (out / "report.md").read_text())
    assert sorted(shown) == sorted(name for name in names if name.endswith((".svg", ".png")))
    text = (out / "report.html").read_text()
    assert text.count("<h1>2 of 9 sequences of Toys, OPE</h1>") == 1
    assert text.count("data:image/jpeg") == 2 * 5  # stills
    assert "Doll: left out; expected 20 frames, found 19" in text
    assert "not there: Cat, Dog" in text
    assert "bad on Doll: it broke" in text
    assert "<dt>threads</dt><dd>1</dd>" in text


def test_writing_twice_gives_the_same_files(make, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="the benchmarks extra is not installed")
    made = make()
    first, second = (
        {file.name: file.read_bytes() for file in save_report(made.report, tmp_path / name, ("html", "json", "pdf"))}
        for name in ("a", "b")
    )
    assert first == second


def test_text_needs_no_matplotlib_and_plots_say_what_to_install(make, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "benchmarks.report.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    report = make().report
    monkeypatch.delattr("benchmarks.report.plots", raising=False)
    files = save_report(report, tmp_path, ["csv", "json", "markdown", "latex"])
    assert len(files) == 5
    with pytest.raises(ImportError, match=r"pip install 'siamtrack\[benchmarks\]'"):
        save_report(report, tmp_path, ["html"])


def test_a_sequence_without_frames_costs_its_filmstrip_only(make, sequence, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="the benchmarks extra is not installed")
    whole, gone = sequence("Whole"), sequence("Gone")
    gone = replace(gone, frames=ImageFrames(tuple(tmp_path / f"{index}.jpg" for index in range(len(gone)))))
    made = make(sequences=[whole, gone, sequence("Mine")], skip={"ours": "Mine"})
    save_report(made.report, tmp_path, ["html"], made.sequences, made.runs)
    text = (tmp_path / "report.html").read_text()
    assert text.count("data:image/jpeg") == 5
    assert "Gone: no filmstrip, " in text
    assert "1.jpg: cannot be read" in text
    assert "Mine: no filmstrip, ours has no result" in text


def test_of_variants_one_is_shown(make, sequence, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="the benchmarks extra is not installed")
    made = make(sequences=[sequence("Ball@1"), sequence("Ball@2")])
    save_report(made.report, tmp_path, ["html"], made.sequences, made.runs)
    text = (tmp_path / "report.html").read_text()
    assert text.count("data:image/jpeg") == 5
    assert "<h3>Ball</h3>" in text


def test_wrong_arguments_are_refused(make, tmp_path: Path):
    made = make()
    with pytest.raises(ValueError, match=r"no format docx; there are html, csv"):
        save_report(made.report, tmp_path, ["html", "docx"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"one or more trackers"):
        build_report([], made.sequences, "Toys")
    with pytest.raises(ValueError, match=r"names of their own"):
        build_report([made.scores[0]] * 2, made.sequences, "Toys")
