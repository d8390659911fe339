from __future__ import annotations

import json

import numpy as np
import pytest

from learning import gallery_speed


def test_all_ways_agree_and_are_reported(capsys: pytest.CaptureFixture[str]):
    assert gallery_speed.main(["--names", "300", "--dimensions", "16", "--k", "4", "--runs", "12"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["names"], found["dimensions"], found["k"], found["runs"]) == (300, 16, 4, 12)
    assert min(found["search_ms"], found["sort_times"], found["loop_times"], found["product_share"]) > 0


def test_the_ways_that_are_compared_with_sort_the_cosines():
    rng = np.random.default_rng(0)
    vectors, query = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32)
    expected = sorted(
        range(50), key=lambda i: -sum(a * b for a, b in zip(vectors[i].tolist(), query.tolist(), strict=True))
    )
    assert gallery_speed.by_sorting(vectors, query, 7) == expected[:7]
    assert gallery_speed.by_loop(vectors, query, 7) == expected[:7]


def test_a_search_that_is_wrong_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(gallery_speed, "by_loop", lambda vectors, query, k: [-1] * k)
    assert gallery_speed.main(["--names", "20", "--dimensions", "4", "--runs", "1"]) == 1
    assert "others" in capsys.readouterr().err
