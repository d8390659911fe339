from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.metrics import Rules
from benchmarks.protocols import base_name
from benchmarks.report.content import Attribute, attribute_auc, mean_curve


def test_trackers_are_ranked_and_the_first_one_given_is_the_main_one(make):
    report = make().report
    assert [score.tracker for score in report.scores] == ["good", "ours", "bad"]
    assert report.main.tracker == "ours"
    assert report.sequences == {"Ball": 20, "Cup": 30}
    assert [(each.a, each.b) for each in report.comparisons] == [("ours", "good"), ("ours", "bad")]
    assert list(report.styles) == ["ours", "good", "bad"]


def test_a_tracker_that_lacks_a_sequence_says_so_wherever_it_is_named(make):
    report = make(skip={"good": "Cup"}).report
    assert [report.label(score) for score in report.scores] == ["good (1 of 2)", "ours", "bad"]
    assert any("good: no results of Cup" in remark for remark in report.remarks)


def test_trackers_with_no_sequence_in_common_are_not_compared(make):
    report = make({"ours": 0, "other": 0}, skip={"ours": "Cup", "other": "Ball"}).report
    assert report.comparisons == []
    assert any("no sequence in common" in remark for remark in report.remarks)


def test_attributes_come_in_the_benchmarks_order_with_their_sequences(make, sequence):
    report = make(sequences=[sequence("A", attributes="FM new"), sequence("B", attributes="OCC FM")]).report
    assert report.attributes == [
        Attribute("OCC", "Occlusion", ("B",)),
        Attribute("FM", "Fast motion", ("A", "B")),
        Attribute("new", "new", ("A",)),
    ]


def test_the_auc_of_an_attribute_is_the_mean_over_its_sequences(make):
    made = make({"ours": 4.0}, skip={"ours": "Ball"})
    score = made.scores[0]
    assert attribute_auc(score, Attribute("FM", "", ("Cup", "Ball"))) == pytest.approx(score.sequences["Cup"].auc)
    assert math.isnan(attribute_auc(score, Attribute("OV", "", ("Ball",))))


def test_curves_weigh_frames_where_the_benchmark_pools_them(make):
    score = make({"ours": 15.0}).scores[0]  # 1 of 20 and 1 of 30 frames are hits at high thresholds
    ball, cup = (score.sequences[name].success for name in ("Ball", "Cup"))
    assert mean_curve(score, "success") == pytest.approx((ball + cup) / 2)
    pooled = replace(score, rules=Rules(pooled=True))
    assert mean_curve(pooled, "success") == pytest.approx((20 * ball + 30 * cup) / 50)
    assert not np.allclose(ball, cup)


def test_variants_of_a_sequence_count_as_one(make, sequence):
    report = make(sequences=[sequence("Ball@1"), sequence("Ball@2"), sequence("Cup@1")]).report
    assert report.sequences == {"Ball": 40, "Cup": 20}
    assert base_name("Ball@1") == "Ball"
    assert report.label(report.main) == "ours"
