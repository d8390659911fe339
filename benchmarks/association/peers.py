"""Trackers of others, as their packages offer them: nothing tuned here, and nothing of their code here.

They run in an environment of their own, through ``worker.py``, a script that imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.provenance import ROOT

WORKER = Path(__file__).with_name("worker.py")
SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")  # one thread a tracker
PYTHON = ROOT / ".venv-mot" / "bin" / "python"


@dataclass(frozen=True)
class Peer:
    """One tracker with one configuration.

    Attributes:
        title: for tables.
        kind: how ``worker.py`` calls it.
        package: that it comes from, as pip knows it.
        licence: of that package.
        settings: what differs from the package's defaults.
    """

    title: str
    kind: str
    package: str
    licence: str
    settings: Mapping[str, Any] = field(default_factory=dict)


SORT = ("sort", "sort-tracker-py", "GPL-3")
BOXMOT = ("boxmot", "boxmot", "AGPL-3")
ROBOFLOW = ("roboflow", "trackers", "Apache-2")
NORFAIR = ("norfair", "norfair", "BSD-3")

PEERS = {
    "sort": Peer("SORT", *SORT),
    "sort-30": Peer("SORT, max_age 30", *SORT, {"max_age": 30}),
    "ocsort": Peer("OC-SORT (boxmot)", *BOXMOT, {"name": "OcSort"}),
    "bytetrack": Peer("ByteTrack (boxmot)", *BOXMOT, {"name": "ByteTrack"}),
    "roboflow-sort": Peer("SORT (roboflow)", *ROBOFLOW, {"name": "SORTTracker"}),
    "roboflow-ocsort": Peer("OC-SORT (roboflow)", *ROBOFLOW, {"name": "OCSORTTracker"}),
    "roboflow-bytetrack": Peer("ByteTrack (roboflow)", *ROBOFLOW, {"name": "ByteTrackTracker"}),
    "roboflow-cbiou": Peer("C-BIoU (roboflow)", *ROBOFLOW, {"name": "CBIoUTracker"}),
    "roboflow-botsort": Peer(
        "BoT-SORT, no images (roboflow)", *ROBOFLOW, {"name": "BoTSORTTracker", "enable_cmc": False}
    ),
    # norfair has no default distance: overlap as in its demonstrations
    "norfair": Peer("norfair, IoU", *NORFAIR, {"distance_function": "iou", "distance_threshold": 0.7}),
}


class WorkerError(RuntimeError):
    """What a peer, or the process it runs in, stopped at."""


class Worker:
    """A process of a peers' environment that does one task after another."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, task: Mapping[str, Any]) -> dict[str, Any]:
        """Hand over a task and wait for its answer; ``worker.py`` says what both hold.

        Raises:
            WorkerError: the peer raised, or the process ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise WorkerError("the process has no pipes")
        try:
            stdin.write(json.dumps(task) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"the process for {task.get('tracker')} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(str(answer["error"]))
        return answer


@contextlib.contextmanager
def worker(python: Path = PYTHON, script: Path = WORKER) -> Iterator[Worker]:
    """A process for tasks, ended when done.

    Args:
        python: interpreter of the environment that the peers are installed in.
        script: that does the tasks.

    Raises:
        WorkerError: there is no such environment.
    """
    if not python.exists():
        raise WorkerError(f"{python} is not there; make mot-peers makes the environment that other trackers run in")
    process = subprocess.Popen(
        [str(python), "-I", str(script)],  # isolated: no module of this folder stands before one of the peers'
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | dict.fromkeys(SINGLE, "1"),
    )
    try:
        yield Worker(process)
    finally:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
