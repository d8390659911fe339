from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from tracker import SiamTracker, open_source

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "multiprocess_tracking.py"
BOX = (20.0, 15.0, 24.0, 20.0)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Importable by its name, as a spawned process finds what it has to run."""
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    spec = importlib.util.spec_from_file_location("multiprocess_tracking", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "multiprocess_tracking", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    made = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        texture = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), np.uint8), (0, 0), 2)
        for index in range(4):
            cv2.imwrite(str(folder / f"{index}.png"), np.roll(texture, 2 * index, axis=1))
        made.append(folder)
    return made


def test_two_processes_give_what_one_gives(example: ModuleType, weights: dict[str, Path], folders: list[Path]) -> None:
    tracker = SiamTracker.from_pretrained(weights["compact"], runtime="torch", threads=1)
    rows = list(example.track_all([(str(folder), BOX) for folder in folders], tracker))
    for folder in folders:
        alone = SiamTracker.from_pretrained(weights["compact"], runtime="torch", threads=1)
        first, *rest = open_source(folder)
        expected = [alone.init(first.image, BOX)] + [alone.update(frame.image) for frame in rest]
        own = [row for row in rows if row[0] == str(folder)]
        assert [row[1] for row in own] == [0, 1, 2, 3]
        for row, result in zip(own, expected, strict=True):
            assert row[3] == pytest.approx(result.box, abs=1e-4)
            assert row[5] == result.state.value


def test_what_fails_is_said_in_one_line(weights: dict[str, Path], folders: list[Path]) -> None:
    command = [sys.executable, str(EXAMPLE), "--weights", str(weights["compact"])]
    command += ["--video", str(folders[0]), "--box", "20,15,24,20", "--video", "missing.mp4", "--box", "1,2,3,4"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "multiprocess_tracking: error: no such file or folder: missing.mp4"
    assert all(json.loads(line)["video"] == str(folders[0]) for line in done.stdout.splitlines())
