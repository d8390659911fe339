"""Small sequences on disk, and a stand-in for a peers' environment."""

from __future__ import annotations

from pathlib import Path

import pytest

STAND_IN = """
import json, sys
from pathlib import Path
for line in sys.stdin:
    task = json.loads(line)
    log = Path(task["detections"]).parent / "asked.txt"
    log.write_text((log.read_text() if log.exists() else "") + task["tracker"] + chr(10))
    rows = [row.split(",") for row in Path(task["detections"]).read_text().split()]
    if task["settings"].get("max_age") == 30:
        print(json.dumps({"error": "ValueError: no"}), flush=True)
        continue
    text = "".join(f"{r[0]},{n % 2 + 1},{','.join(r[2:7])},-1,-1,-1" + chr(10) for n, r in enumerate(rows))
    Path(task["output"]).write_text(text)
    answer = {"seconds": 0.5, "frames": task["frames"], "boxes": len(rows), "dropped": 0, "versions": {"peer": "1.0"}}
    print(json.dumps(answer), flush=True)
"""


def put_sequence(root: Path, name: str) -> None:
    """Two people who stand still for four frames; the detector misses the first one in frames 2 and 3."""
    truth, found = [], []
    for frame in range(1, 5):
        for person, x in ((1, 11), (2, 101)):
            truth.append(f"{frame},{person},{x},21,20,40,1,1,1\n")
            if person == 2 or frame in (1, 4):
                found.append(f"{frame},-1,{x},21,20,40,0.{frame},-1,-1,-1\n")
    for part, lines in (("gt", truth), ("det", found)):
        (root / name / part).mkdir(parents=True)
        (root / name / part / f"{part}.txt").write_text("".join(lines))
    (root / name / "seqinfo.ini").write_text("[Sequence]\nseqLength=4\nframeRate=10\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the sequence PETS09-S2L1, made up."""
    put_sequence(tmp_path / "data", "PETS09-S2L1")
    return tmp_path / "data"


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A script that answers like ``worker.py``: ids 1 and 2 in turn; SORT with max_age 30 always fails."""
    path = tmp_path / "stand_in.py"
    path.write_text(STAND_IN)
    return path
