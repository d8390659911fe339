"""Stored tracks to numbers: a table a set, for readers and for machines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.association.files import read_record
from benchmarks.association.run import FILLED, ORACLE
from benchmarks.association.sets import DetectionSet
from benchmarks.mot import evaluate
from benchmarks.report.tables import NO_VALUE, aligned, escape_markdown, markdown_table

SHARES = ("MOTA", "IDF1", "HOTA", "DetA", "AssA")  # shown in per cent
COUNTS = ("IDSW", "FP", "FN", "Frag")
KEYS = {"FP": "CLR_FP", "FN": "CLR_FN"}  # by TrackEval's names
JUDGED = ("MOTA", "IDF1", "HOTA")
ONLINE, OFFLINE, BOUND = "online", "offline", "bound"


@dataclass(frozen=True)
class Row:
    """One tracker on one set.

    Attributes:
        set: key of the set.
        tracker: name of the folder.
        title: for readers.
        mode: "online": answers frame by frame; "offline": knows the future; "bound": the oracle.
        ours: whether it is this project's.
        scores: by name; shares from 0 to 1.
    """

    set: str
    tracker: str
    title: str
    mode: str
    ours: bool
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Entry:
    """A folder of results that takes part.

    Attributes:
        folder: ``<sequence>.txt`` each.
        title: for readers.
        mode: see `Row`.
        ours: whether it is this project's.
    """

    folder: Path
    title: str
    mode: str
    ours: bool = False


def our_entry(name: str, folder: Path) -> Entry:
    """Results of this project; what is called "flow" or "filled" knows the future.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder with results of {name}")
    return Entry(
        folder, name, OFFLINE if any(word in name.lower() for word in ("flow", "filled")) else ONLINE, ours=True
    )


def stored_entries(results: Path) -> list[Entry]:
    """What `run` stored, in alphabetical order.

    Raises:
        ValueError: a folder's record is damaged.
    """
    entries = []
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        if record := read_record(folder):
            offline = OFFLINE if folder.name.endswith(FILLED) else ONLINE
            entries.append(Entry(folder, record["title"], BOUND if folder.name == ORACLE else offline))
    return entries


def measure(root: Path, sets: Mapping[str, DetectionSet], entries: Iterable[Entry]) -> tuple[list[Row], list[str]]:
    """Score every tracker on every set, and say where results are missing.

    Args:
        root: ``<sequence>/gt/gt.txt``.
        sets: by key.
        entries: trackers.

    Raises:
        OSError, ValueError: a file is missing or wrong; the message names it.
    """
    rows, missing = [], []
    for entry in entries:
        for key, part in sets.items():
            without = [name for name in part.sequences if not (entry.folder / f"{name}.txt").is_file()]
            if without:
                missing.append(f"{entry.title} on {part.title}: no results for {', '.join(without)}")
                continue
            found = evaluate(root, entry.folder, part.rules, part.sequences).combined.scores()
            scores = {name: float(found[KEYS.get(name, name)]) for name in (*SHARES, *COUNTS)}
            rows.append(Row(key, entry.folder.name, entry.title, entry.mode, entry.ours, scores))
    return rows, missing


def of_set(rows: Iterable[Row], key: str) -> list[Row]:
    """Rows of one set by falling IDF1, the bound last."""
    return sorted((row for row in rows if row.set == key), key=lambda row: (row.mode == BOUND, -row.scores["IDF1"]))


def best(rows: Iterable[Row], metric: str) -> float:
    """The highest value; what no tracker reaches by itself does not count."""
    return max((row.scores[metric] for row in rows if row.mode != BOUND), default=float("nan"))


def cells(row: Row) -> list[str]:
    """Numbers as readers know them."""
    shares = [f"{100 * row.scores[name]:.1f}" for name in SHARES]
    return [row.title, row.mode, *shares, *(f"{row.scores[name]:.0f}" for name in COUNTS)]


HEADER = ["tracker", "mode", *SHARES, *COUNTS]


def terminal(rows: Sequence[Row], sets: Mapping[str, DetectionSet]) -> str:
    """A table a set."""
    return "\n\n".join(
        f"{part.title} ({len(part.sequences)} sequences)\n{aligned([HEADER, *map(cells, of_set(rows, key))])}"
        for key, part in sets.items()
        if of_set(rows, key)
    )


def summary(rows: Sequence[Row], sets: Mapping[str, DetectionSet]) -> list[list[str]]:
    """MOTA / IDF1 / HOTA of ours, of the best peers metric by metric (which may be three), and of the oracle."""
    shown = {key: part for key, part in sets.items() if of_set(rows, key)}
    kinds: dict[str, Callable[[Row], bool]] = {row.title: partial(_is, row.title) for row in rows if row.ours} | {
        "best online peer, each": lambda row: not row.ours and row.mode == ONLINE,
        "best peer of any kind, each": lambda row: not row.ours and row.mode != BOUND,
        "oracle identities": lambda row: row.mode == BOUND,
    }
    table = [["", *(part.title for part in shown.values())]]
    for title, belongs in kinds.items():
        line = [title]
        for key in shown:
            mine = [row for row in rows if row.set == key and belongs(row)]
            values = (f"{100 * max(row.scores[metric] for row in mine):.1f}" for metric in JUDGED)
            line.append(" / ".join(values) if mine else NO_VALUE)
        table.append(line)
    return table


def _is(title: str, row: Row) -> bool:
    return row.title == title


def markdown(rows: Sequence[Row], sets: Mapping[str, DetectionSet]) -> str:
    """A table a set: the best of each column is bold, and so are the names of ours."""
    head, *lines = summary(rows, sets)
    parts = [f"MOTA / IDF1 / HOTA:\n\n{markdown_table(head, lines)}"]
    for key, part in sets.items():
        if not (mine := of_set(rows, key)):
            continue
        table = []
        for row in mine:
            line = [escape_markdown(cell) for cell in cells(row)]
            for metric in JUDGED:
                if row.mode != BOUND and row.scores[metric] >= best(mine, metric):
                    column = HEADER.index(metric)
                    line[column] = f"**{line[column]}**"
            line[0] = f"**{line[0]}**" if row.ours else line[0]
            table.append(line)
        parts.append(f"### {part.title}\n\n{part.note}\n\n{markdown_table(HEADER, table)}")
    return "\n\n".join(parts) + "\n"


def as_csv(rows: Iterable[Row]) -> str:
    """One line a tracker and set, shares from 0 to 1."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["set", "tracker", "title", "mode", "ours", *SHARES, *COUNTS])
    for row in rows:
        shares = [f"{row.scores[name]:.6f}" for name in SHARES]
        counts = [f"{row.scores[name]:.0f}" for name in COUNTS]
        writer.writerow([row.set, row.tracker, row.title, row.mode, int(row.ours), *shares, *counts])
    return file.getvalue()


def as_json(rows: Iterable[Row], entries: Iterable[Entry], origin: Mapping[str, Any]) -> str:
    """Everything, with what made it."""
    records = {entry.folder.name: read_record(entry.folder) for entry in entries}
    for record in records.values():
        record["versions"] = next(
            (s["versions"] for s in record.pop("sequences", {}).values() if "versions" in s), None
        )
    return json.dumps({**origin, "trackers": records, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"
