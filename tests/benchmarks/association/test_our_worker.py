from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.association import our_worker
from benchmarks.association.fuzz import MODEL
from tracker.association import FlowAssociator, OnlineAssociator


@pytest.fixture(autouse=True)
def small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is here without weights."""

    def build(kind: type) -> Any:
        return lambda name, frame_rate, window=None: kind(MODEL, frame_rate, **({"window": window} if window else {}))

    monkeypatch.setattr(our_worker.OnlineAssociator, "from_pretrained", build(OnlineAssociator))
    monkeypatch.setattr(our_worker.FlowAssociator, "from_pretrained", build(FlowAssociator))


@pytest.mark.parametrize(
    ("tracker", "settings"),
    [("online", {"name": "m"}), ("flow", {"name": "m"}), ("flow", {"name": "m", "window": 4.0})],
)
def test_a_crowd_is_followed(tracker: str, settings: dict[str, Any]):
    answer = our_worker.run({"tracker": tracker, "settings": settings, "people": 6, "frames": 200, "seed": 1})
    assert answer["seconds"] > 0
    assert answer["frames"] == 200
    assert answer["boxes"] > 0.7 * 6 * 200 * 0.9
    assert answer["peak_mib"] >= answer["start_mib"] > 0


def test_a_file_is_followed_and_what_is_wrong_is_an_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = root / "PETS09-S2L1" / "det" / "det.txt"
    task = {"tracker": "flow", "settings": {"name": "m"}, "detections": str(path), "frames": 4}
    wrong = {**task, "detections": "none.txt"}
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{json.dumps(task)}\n{json.dumps(wrong)}\n"))
    our_worker.main()
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["frames"] == 4
    assert "none.txt" in second["error"]
