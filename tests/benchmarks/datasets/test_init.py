"""Benchmarks by name, their roots, and what an unusable root says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.datasets import BENCHMARKS, open_benchmark, root_of


def test_benchmarks_are_known_by_name() -> None:
    assert list(BENCHMARKS)[:8] == [
        "otb2013",
        "otb50",
        "otb100",
        "tlp",
        "tinytlp",
        "tlpattr",
        "got10k-val",
        "got10k-test",
    ]
    assert {"uav123", "uav20l", "lasot", "vot", "vot2018", "folder"} < BENCHMARKS.keys()
    assert open_benchmark("otb100") is BENCHMARKS["otb100"]
    with pytest.raises(ValueError, match="no benchmark 'otb'; there are otb2013, otb50"):
        open_benchmark("otb")


def test_each_has_a_title_and_says_what_its_sequences_are() -> None:
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        assert benchmark.title
        assert (benchmark.names is None) != (benchmark.listing is None)
    titles = [benchmark.title for benchmark in BENCHMARKS.values()]
    assert len(set(titles)) == len(titles)


def test_results_of_the_got10k_package_lie_where_it_looks_for_them() -> None:
    folders = {name: BENCHMARKS[name].folder for name in ("otb2013", "otb50", "otb100", "uav123", "lasot")}
    assert folders == {
        "otb2013": "OTB2013",
        "otb50": "OTBtb50",
        "otb100": "OTB2015",
        "uav123": "UAV123",
        "lasot": "LaSOT",
    }


def test_a_root_is_given_or_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    benchmark = BENCHMARKS["otb50"]
    monkeypatch.delenv("OTB_ROOT", raising=False)
    with pytest.raises(ValueError, match=r"where is OTB-50\? Give --root DIR, or set OTB_ROOT=DIR"):
        root_of(benchmark)
    monkeypatch.setenv("OTB_ROOT", str(tmp_path))
    assert root_of(benchmark) == tmp_path
    assert root_of(benchmark, Path("elsewhere")) == Path("elsewhere")
    assert root_of(benchmark, Path("~/OTB")) == Path.home() / "OTB"


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "folder"])
def test_a_root_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    for root in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(ValueError, match=f"{root.name}: cannot read the folder of"):
            BENCHMARKS[name].find(root)


def test_a_root_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> object:
        raise PermissionError(13, os.strerror(13), str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ValueError, match="cannot read the folder of OTB-100: Permission denied"):
        BENCHMARKS["otb100"].find(tmp_path)


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if BENCHMARKS[name].names])
def test_an_empty_root_misses_every_sequence(tmp_path: Path, name: str) -> None:
    found = BENCHMARKS[name].find(tmp_path)
    assert found.sequences == []
    assert [problem.sequence for problem in found.problems] == list(found.benchmark.names or ())
    assert all(problem.found.startswith("none") for problem in found.problems)


def test_torch_is_not_imported_to_read_a_benchmark() -> None:
    code = "import sys; import benchmarks.datasets, benchmarks.datasets.download; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
