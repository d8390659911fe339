"""Trackers in turns: who takes part, what is timed, what is left out, and how it is written down."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import latency, speed_report
from benchmarks.budget import Budget, measure_budget
from benchmarks.ceiling import Ceiling
from benchmarks.clip import Clip
from benchmarks.latency import Entry, Speeds, Targets
from benchmarks.soak import Soak
from benchmarks.trackers import StillTracker, TrackerSpec
from tracker import SiamTracker
from tracker.result import TrackResult
from tracker.runtimes import choices

CLIP = Clip([np.full((64, 96, 3), value, np.uint8) for value in range(5)], (30, 20, 20, 16), 1.5)
QUIET = Ceiling(1, {"fp32": 100.0}, 10.0)


class Recorder(StillTracker):
    """Notes who was called with which frame; `fails` at its update of that number."""

    def __init__(self, name: str, log: list[tuple[str, int]], fails: int = 0) -> None:
        super().__init__()
        self.name, self.log, self.fails = name, log, fails

    def update(self, frame: np.ndarray) -> TrackResult:
        self.log.append((self.name, int(frame[0, 0, 0])))
        if len(self.log) == self.fails:
            raise RuntimeError("broken\nby itself")
        return super().update(frame)


def entry(name: str, tracker: object = None, rounds: list[list[float]] | None = None, threads: int = 1) -> Entry:
    return Entry(TrackerSpec.parse(f"{name}=still"), threads, tracker or StillTracker(), rounds=rounds or [])


def test_turns_alternate_and_each_starts_anew():
    log: list[tuple[str, int]] = []
    entries = [entry(name, Recorder(name, log)) for name in "AB"]
    latency.compare(entries, CLIP, rounds=2, updates=4, seconds=9, say=lambda _: None)
    length = latency.WARM_UP + 4
    assert [name for name, _ in log] == ["A"] * length + ["B"] * length + ["A"] * length + ["B"] * length
    assert [value for _, value in log] == [1, 2, 3, 4, 3, 2, 1] * 4
    assert [[len(times) for times in each.rounds] for each in entries] == [[4, 4], [4, 4]]


def test_one_that_fails_leaves_the_others_alone():
    good, bad = entry("good"), entry("bad", Recorder("bad", [], fails=6))
    latency.compare([bad, good], CLIP, 2, 4, 9, lambda _: None)
    assert bad.tracker is None
    assert bad.failure == "failed while tracking: broken by itself"
    assert len(good.rounds) == 2


def test_a_turn_ends_early_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch):
    ticks = iter(range(10_000))  # a second passes at each look at the clock
    monkeypatch.setattr(latency, "perf_counter", lambda: float(next(ticks)))
    assert latency.time_updates(StillTracker(), CLIP, 100, seconds=7.5) == [1.0] * 8
    assert latency.time_updates(StillTracker(), CLIP, 100, seconds=0.0) == [1.0] * 2


def test_rates_and_percentiles_and_ratios():
    one = entry("one", rounds=[[0.01, 0.03], [0.1, 0.1], [0.02, 0.02]])
    other = entry("other", rounds=[[0.02, 0.06], [0.4, 0.4], [0.01, 0.01]])
    assert one.rate == pytest.approx(50)  # 2 / 0.04; of the turns with 50, 10 and 50
    assert one.percentile(50) == pytest.approx(25)
    assert one.ratio(other) == pytest.approx(2)  # of 2, 4 and 0.5


def test_threads_are_set_for_a_turn_only():
    before = cv2.getNumThreads(), torch.get_num_threads()
    with latency.threads_of(before[1] + 2):
        assert torch.get_num_threads() == before[1] + 2
        assert cv2.getNumThreads() == before[1] + 2
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before


def test_ours_take_part_with_every_runtime_and_others_once(weights: dict[str, Path]):
    ours = str(weights["compact"])
    found = latency.enter([ours, f"{ours},runtime=torch-fp32", "still"], ["torch-fp32", "onnxruntime-int8"], [1])
    assert [(each.runtime, each.precision) for each in found] == [
        ("torch", "fp32"),
        ("onnxruntime-int8", ""),  # there are no such files
        ("torch", "fp32"),
        ("", ""),
    ]
    assert "int8" in found[1].failure
    assert [bool(each.tracker) for each in found] == [True, False, True, True]
    with pytest.raises(ValueError, match="expected"):
        latency.enter(["a:b:c"], [], [1])


def test_the_default_runtimes_are_known():
    assert set(latency.default_runtimes()) | set(latency.default_runtimes("cuda")) <= set(choices())
    assert "torch-fp32" in latency.default_runtimes()


def test_a_budget_is_made_of_every_stage(weights: dict[str, Path]):
    tracker = SiamTracker.from_pretrained(weights["compact"], runtime="torch-fp32", online_share=0.5, redetect_every=0)
    budget = measure_budget(tracker, CLIP, 6)
    parts = {"decode the response", "state", "filter: answer", "look at colours"}
    assert parts <= budget.parts.keys() <= parts | {"filter: learn"}
    assert sum(budget.parts.values()) == pytest.approx(budget.take, rel=0.01)
    assert budget.around == pytest.approx(budget.convert + budget.crop + budget.take)
    assert budget.forward > budget.crop > 0


def test_many_targets_are_as_many_in_one_update(weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    tracker = SiamTracker.from_pretrained(weights["compact"], runtime="torch-fp32", redetect_every=0)
    counts = []
    search = tracker.model.runtime.search
    monkeypatch.setattr(
        tracker.model.runtime, "search", lambda crops, kernels: (counts.append(len(crops)), search(crops, kernels))[1]
    )
    found = latency.many_targets(tracker, CLIP, 3, rounds=1, updates=2)
    updates = latency.WARM_UP + 2
    assert counts.count(3) == updates
    assert (found.targets, found.ratio) == (3, pytest.approx(found.all_ms / found.one_ms))


def measured(load: float = 0.0) -> Speeds:
    """A made-up measurement: ours can only be told by its type, so a tracker is made without its network."""
    ours = SiamTracker.__new__(SiamTracker)
    ours.model = type("Fake", (), {"runtime": type("Run", (), {"name": "quick", "precision": "int8"})})  # type: ignore
    first = entry("mine", ours, [[0.004] * 50, [0.005] * 50])
    first.budget = Budget(0.0, 0.2, 3.0, 0.6, {"decode the response": 0.4, "state": 0.2})
    first.gflop, first.reached = 0.69, 0.5
    peer = entry("peer", rounds=[[0.008] * 50, [0.010] * 50])
    absent = Entry(TrackerSpec.parse("opencv:csrt"), 1, failure="not | here")
    run, many = Soak(100, 4.0, 6.0, 1.0, 0.5, 0.75), Targets(16, 5.0, 60.0, 12.0)
    return Speeds([first, peer, absent], {1: QUIET}, CLIP, load, run, many)


def test_the_tables_say_what_was_measured():
    text = speed_report.terminal(measured(), profile=True)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "mine quick int8 1 4.50 5.00 5.00 225.0 2.00 3.00 0.80 0.69 50%" in rows
    assert "peer – – 1 9.00 10.00 10.00 112.5 1.00 – – – –" in rows
    assert "mine quick int8 ×1 0.000 0.200 3.000 0.400 0.200 0.800" in rows
    for said in (
        "left out: csrt ×1: not | here",
        "p99 / p50 is 1.25 (6.00 / 4.00 ms, 1.00 ms of it an empty loop's)",
        "memory grew by +0.50 MiB",
        "16 targets cost 12.00 × one (60.00 and 5.00 ms)",
        "100 fp32 GFLOP/s in a matrix product, 10.0 GB/s in a copy",
    ):
        assert said in text
    assert "other work" not in text
    assert "other work was running (load 4.0" in speed_report.terminal(measured(load=4.0))


def test_the_page_has_whole_tables():
    page = speed_report.markdown(measured(), "python tools/benchmark.py mine")
    tables = [line for line in page.splitlines() if line.startswith("|")]
    columns = [line.replace(r"\|", "").count("|") for line in tables]
    assert sum(a != b for a, b in pairwise(columns)) == 1  # two tables
    assert "```sh\npython tools/benchmark.py mine\n```" in page
    assert r"not \| here" in page


def test_json_has_no_nan_and_every_entry():
    speeds = measured()
    speeds.entries[0].reached = float("nan")
    found = json.loads(json.dumps(speed_report.as_json(speeds), allow_nan=False))
    assert [each["tracker"] for each in found["entries"]] == ["mine", "peer", "csrt"]
    assert found["entries"][0]["frames_per_second"] == pytest.approx(225)
    assert found["entries"][0]["ratio"] == pytest.approx(2)
    assert found["entries"][0]["budget_ms"]["around"] == pytest.approx(0.8)
    assert found["entries"][2]["failure"] == "not | here"
    assert found["soak"]["evenness"] == pytest.approx(1.25)
    assert found["targets"]["ratio"] == 12


def test_the_plot_has_a_row_for_each_that_ran(tmp_path: Path):
    pytest.importorskip("matplotlib")
    speed_report.save_plot(measured(), tmp_path / "speed.svg")
    text = (tmp_path / "speed.svg").read_text()
    assert "mine quick int8 ×1" in text
    assert "peer ×1" in text
    assert "csrt" not in text
