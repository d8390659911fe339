"""Every number against TrackEval's and py-motmetrics', made apart by ``golden/make.py``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks.mot import RULES, Score, compare, evaluate, parse_rows, pool, read_rows, score
from benchmarks.mot.text import read_length

GOLDEN = Path(__file__).parent / "golden"
REAL = Path(__file__).parents[4] / "shared" / "data" / "mot"
SETS = ("any", "mot17", "mot20")
CLOSE = 1e-6


@pytest.fixture(scope="module")
def make(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    """``golden/make.py``, for the damage that it does; it imports its peers only when it is run."""
    return load_module(GOLDEN / "make.py")


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name).read_text())


def assert_equal(found: Score, expected: dict[str, Any]) -> None:
    """Numbers beside numbers, curves beside curves."""
    numbers, curves = found.scores(), found.hota.curves()
    for name, value in expected.items():
        mine = curves[name] if isinstance(value, list) else numbers[name]
        assert np.abs(np.subtract(mine, value)).max() <= CLOSE, name


@pytest.mark.parametrize("rules", SETS)
def test_every_number_is_trackevals(rules: str):
    expected = golden(f"{rules}/golden.json")["trackeval"]
    found = evaluate(GOLDEN / rules / "groundtruth", GOLDEN / rules / "results", RULES[rules])
    assert found.sequences.keys() == expected.keys() - {"combined"}
    assert_equal(found.combined, expected["combined"])
    for name, part in found.sequences.items():
        assert_equal(part, expected[name])


def test_the_golden_scenes_are_not_easy():
    """Each count that the metrics tell apart occurs in them."""
    combined = golden("any/golden.json")["trackeval"]["combined"]
    for name in ("IDSW", "Frag", "MT", "PT", "ML", "CLR_FP", "CLR_FN", "IDFP", "IDFN"):
        assert combined[name] > 0, name
    assert 0.2 < np.mean(combined["AssA"]) < 0.8


def test_distractors_and_classes_change_the_golden_scores():
    """Otherwise the rules would not be tested."""
    for rules, others in (("mot17", "any"), ("mot17", "mot20"), ("mot20", "mot17")):
        folder = GOLDEN / rules
        with_rules, without = (
            evaluate(folder / "groundtruth", folder / "results", RULES[name]).combined.scores()
            for name in (rules, others)
        )
        assert with_rules["Dets"] != without["Dets"]


def test_py_motmetrics_agrees():
    """It counts fragments otherwise (only where the object is there and missed), and MOTP as a distance."""
    expected = golden("any/golden.json")["motmetrics"]
    names = {
        "IDF1": "idf1",
        "IDP": "idp",
        "IDR": "idr",
        "IDTP": "idtp",
        "IDFP": "idfp",
        "IDFN": "idfn",
        "CLR_Re": "recall",
        "CLR_Pr": "precision",
        "GT_IDs": "num_unique_objects",
        "MT": "mostly_tracked",
        "PT": "partially_tracked",
        "ML": "mostly_lost",
        "CLR_FP": "num_false_positives",
        "CLR_FN": "num_misses",
        "IDSW": "num_switches",
        "MOTA": "mota",
    }
    found = evaluate(GOLDEN / "any" / "groundtruth", GOLDEN / "any" / "results", only=list(expected))
    for name, row in expected.items():
        mine = found.sequences[name].scores()
        assert {key: mine[key] for key in names} == pytest.approx({key: row[theirs] for key, theirs in names.items()})
        assert 1 - mine["MOTP"] == pytest.approx(row["motp"])


@pytest.mark.slow
@pytest.mark.parametrize("rules", ["any", "mot17"])
def test_every_number_on_real_ground_truth_is_trackevals(rules: str, make: ModuleType):
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there")
    expected = golden("real.json")[rules]
    parts = []
    for name in expected.keys() - {"combined"}:
        path = REAL / name / "gt" / "gt.txt"
        rows = make.damage(np.loadtxt(path, delimiter=","), len(name))
        text = "".join(make.result_lines(rows)).encode()
        frames = read_length(REAL / name / "seqinfo.ini")
        part = score(compare(read_rows(path, frames), parse_rows(text, name, frames), RULES[rules], frames))
        assert_equal(part, expected[name])
        parts.append(part)
    assert_equal(pool(parts), expected["combined"])
