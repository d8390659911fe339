"""Every peer over every sequence, each stored once: what is there and made in the same way is not made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.association.files import (
    length,
    locked,
    read_detections,
    read_record,
    write_record,
    write_rows,
)
from benchmarks.association.gaps import LONGEST, fill_gaps
from benchmarks.association.oracle import MATCHED, with_true_identities
from benchmarks.association.peers import PEERS, Peer, Worker, worker
from benchmarks.association.sets import DetectionSet
from benchmarks.mot import read_rows
from benchmarks.provenance import file_hash

FILLED = "+filled"
ORACLE = "oracle"

Say = Callable[[str], None]
Start = Callable[[], AbstractContextManager[Worker]]


def run_peers(
    root: Path, results: Path, sets: Iterable[DetectionSet], names: Iterable[str], say: Say, start: Start = worker
) -> int:
    """Have peers track; returns how many sequences were tracked, which were not stored yet.

    Args:
        root: ``<sequence>/det/det.txt`` and ``seqinfo.ini``.
        results: gets ``<peer>/<sequence>.txt``, and ``<peer>/run.json`` with versions, settings and times.
        sets: whose sequences.
        names: keys of `PEERS`.
        say: hears of each sequence.
        start: the process that a peer runs in.

    Raises:
        OSError, ValueError: a file is missing or damaged.
        WorkerError: a peer raised, or its environment is not there.
    """
    sequences = list(dict.fromkeys(sequence for part in sets for sequence in part.sequences))
    with locked(results):
        return sum(_run_peer(PEERS[name], root, results / name, sequences, say, start) for name in names)


def _run_peer(peer: Peer, root: Path, folder: Path, sequences: Iterable[str], say: Say, start: Start) -> int:
    made_by = {"tracker": peer.kind, "settings": dict(peer.settings)}
    record = read_record(folder)
    if {key: record.get(key) for key in made_by} != made_by:
        record = made_by | {"title": peer.title, "package": peer.package, "licence": peer.licence, "sequences": {}}
    stored: dict[str, Any] = record["sequences"]
    wanted = {}
    for sequence in sequences:
        digest = file_hash(root / sequence / "det" / "det.txt")
        if stored.get(sequence, {}).get("detections") != digest or not (folder / f"{sequence}.txt").exists():
            wanted[sequence] = digest
    if not wanted:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    with start() as process:
        for sequence, digest in wanted.items():
            where = {
                "detections": str(root / sequence / "det" / "det.txt"),
                "frames": length(root, sequence),
                "output": str(folder / f"{sequence}.txt"),
            }
            answer = process.ask(made_by | where)
            stored[sequence] = answer | {"detections": digest}
            write_record(folder, record)
            rate = answer["frames"] / max(answer["seconds"], 1e-9)
            say(f"{peer.title}: {sequence}, {answer['frames']} frames, {rate:.0f} frames/s")
    return len(wanted)


def run_oracle(root: Path, results: Path, sets: Iterable[DetectionSet]) -> None:
    """Store what association could reach: every detection with the identity of the object it overlaps with.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """
    with locked(results):
        for part in sets:
            for sequence in part.sequences:
                truth = read_rows(root / sequence / "gt" / "gt.txt")
                detections = read_detections(root / sequence / "det" / "det.txt")
                write_rows(results / ORACLE / f"{sequence}.txt", with_true_identities(detections, truth, part.rules))
        write_record(results / ORACLE, {"title": "oracle identities", "settings": {"matched": MATCHED}})


def fill_results(results: Path, name: str, longest: int = LONGEST) -> None:
    """Store a tracker's results again with its gaps filled, under its name with `FILLED`.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """
    folder, filled = results / name, results / f"{name}{FILLED}"
    record = read_record(folder)
    for path in sorted(folder.glob("*.txt")):
        rows, _ = fill_gaps(read_rows(path), longest)
        write_rows(filled / path.name, rows)
    title = f"{record.get('title', name)} + gap filling"
    write_record(filled, {"title": title, "settings": {"longest": longest}, "of": name})
