"""The machine's ceiling, and the work of a forward pass counted by hand."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from benchmarks.ceiling import Ceiling, Work, measure_ceiling, work_of


def test_the_longer_of_computing_and_moving_counts():
    ceiling = Ceiling(1, {"fp32": 100.0}, 10.0)
    assert ceiling.reached(Work(1.0, 1.0), "fp32", 0.02) == pytest.approx(0.5)  # 10 ms of operations in 20
    assert ceiling.reached(Work(0.001, 50.0), "fp32", 0.02) == pytest.approx(0.25)  # 5 ms of bytes in 20
    assert math.isnan(ceiling.reached(Work(1.0, 1.0), "int8", 0.02))


def test_the_higher_of_two_measurements_is_taken():
    best = Ceiling(1, {"fp32": 90.0, "int8": 400.0}, 12.0).best(Ceiling(1, {"fp32": 100.0, "int8": 300.0}, 9.0))
    assert best == Ceiling(1, {"fp32": 100.0, "int8": 400.0}, 12.0)


def test_threads_are_as_before_and_what_cannot_be_done_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.ceiling.COPIED", 2**16)
    monkeypatch.setattr(torch, "_int_mm", lambda *_: (_ for _ in ()).throw(RuntimeError("none")))
    before = torch.get_num_threads()
    ceiling = measure_ceiling(("fp32", "fp16", "int8"), before + 1, side=64)
    assert torch.get_num_threads() == before
    assert set(ceiling.gflops) == {"fp32"}
    assert ceiling.threads == before + 1
    assert ceiling.gflops["fp32"] > 0
    assert ceiling.bandwidth > 0


def test_a_product_that_is_emulated_is_left_out_after_a_small_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.ceiling.COPIED", 2**16)
    sides = []

    def emulated(left: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        sides.append(len(left))
        time.sleep(0.01)
        return left

    monkeypatch.setattr(torch, "_int_mm", emulated)
    assert set(measure_ceiling(("fp32", "int8"), 1, side=512).gflops) == {"fp32"}
    assert set(sides) == {64}


def test_work_counts_every_scale_by_where_it_is(networks):
    network = networks["alexnet"]
    crops, kernel = np.zeros((1, 255, 255, 3), np.uint8), np.zeros((1, 256, 6, 6), np.float32)
    one = work_of(network, crops, kernel)
    # AlexNet without padding (Bertinetto et al. 2016, table 1), groups of two; then a 6×6×256 kernel at 17×17 places
    layers = [(11, 3, 96, 123), (5, 48, 256, 57), (3, 256, 384, 26), (3, 192, 384, 24), (3, 192, 256, 22)]
    macs = [side**2 * inputs * outputs * cells**2 for side, inputs, outputs, cells in layers]
    head = 17**2 * 36 * 256
    assert one.gflop == pytest.approx(2e-9 * (sum(macs) + head), rel=0.01)
    searches = work_of(network, crops.repeat(3, 0), kernel)
    exemplars = work_of(network, crops, kernel.repeat(3, 0))
    assert searches.gflop == pytest.approx(3 * one.gflop)
    assert exemplars.gflop == pytest.approx(one.gflop + 2 * 2e-9 * head)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert one.megabytes - work_of(network, crops, kernel, "int8").megabytes == pytest.approx(3e-6 * parameters)
