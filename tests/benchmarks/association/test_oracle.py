from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.association.files import read_detections
from benchmarks.association.oracle import with_true_identities
from benchmarks.mot import RULES, compare, parse_rows, read_rows, score


def test_who_is_who_is_told(root: Path):
    truth = read_rows(root / "PETS09-S2L1" / "gt" / "gt.txt")
    detections = read_detections(root / "PETS09-S2L1" / "det" / "det.txt")
    found = with_true_identities(detections, truth, RULES["any"])
    assert sorted(zip(found.frame.tolist(), found.id.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 2),
        (2, 2),
        (3, 1),
        (3, 2),
    ]
    np.testing.assert_array_equal(found.box, detections.box)
    scores = score(compare(truth, found, RULES["any"])).scores()
    assert scores["IDSW"] == 0
    assert scores["IDF1"] == 2 * 6 / (8 + 6)


def test_false_alarms_and_what_does_not_count_are_each_somebody_else():
    truth = parse_rows(b"1,1,1,1,10,10,1,1\n1,2,51,1,10,10,0,1\n1,3,101,1,10,10,1,7\n", "gt")
    boxes = b"1,1,1,1,10,10,1\n1,2,51,1,10,10,1\n1,3,101,1,10,10,1\n1,4,500,1,10,10,1\n1,5,1,1,10,19,1\n"
    found = with_true_identities(parse_rows(boxes, "det"), truth, RULES["mot17"])
    assert found.id[0] == 1
    assert len(set(found.id.tolist())) == 5
    assert set(found.id[1:].tolist()).isdisjoint({1, 2, 3} - {2, 3})
