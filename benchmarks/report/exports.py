"""A report for spreadsheets and programs: CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.report.content import Report, attribute_auc, is_known, sequence_value
from benchmarks.score import TrackerScore

PER_SEQUENCE = ("auc", "precision_20", "normalised_auc", "normalised_20", "sr_50", "sr_75", "ao", "lsm")


def csv_trackers(report: Report) -> str:
    """One row a tracker: headline numbers with their intervals, and speed."""
    head = ["tracker", "sequences", "of"]
    for key in report.columns:
        head += [key, f"{key}_low", f"{key}_high"]
    rows: list[list[Any]] = [[*head, "fps", "p50_ms", "p95_ms", "p99_ms"]]
    for score in report.scores:
        row: list[Any] = [score.tracker, len(score.sequences), len(report.sequences)]
        for key in report.columns:
            headline = score.headlines.get(key)
            values = (headline.value, headline.low, headline.high) if is_known(headline) else None
            row += [f"{value:.6f}" for value in values] if values else [""] * 3
        speed = score.speed
        row += [f"{x:.3f}" for x in (speed.fps, speed.p50_ms, speed.p95_ms, speed.p99_ms)] if speed else [""] * 4
        rows.append(row)
    return csv_text(rows)


def csv_sequences(report: Report) -> str:
    """One row for each tracker on each sequence that it was scored on."""
    counts = ("frames", "absent", "missing", "surplus")
    rows: list[list[Any]] = [["tracker", "sequence", *counts, *PER_SEQUENCE]]
    for score in report.scores:
        for name, result in score.sequences.items():
            values = (sequence_value(score, name, key) for key in PER_SEQUENCE)
            numbers = ["" if value is None else f"{value:.6f}" for value in values]
            rows.append([score.tracker, name, *(getattr(result, count) for count in counts), *numbers])
    return csv_text(rows)


def csv_text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as comma-separated text."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def to_json(report: Report) -> str:
    """Everything but the frames: headlines, curves, sequences, attributes, comparisons. Unknown numbers are null."""
    content = {
        "title": report.title,
        "protocol": report.protocol,
        "main": report.main.tracker,
        "machine": dict(report.machine),
        "sequences": report.sequences,
        "trackers": [json_tracker(score) for score in report.scores],
        "attributes": [
            {
                "short": attribute.short,
                "name": attribute.name,
                "sequences": list(attribute.sequences),
                "auc": {score.tracker: attribute_auc(score, attribute) for score in report.scores},
            }
            for attribute in report.attributes
        ],
        "comparisons": [
            {
                "a": comparison.a,
                "b": comparison.b,
                "metric": comparison.metric,
                "difference": comparison.difference,
                "p": comparison.p,
                "sentence": comparison.sentence,
            }
            for comparison in report.comparisons
        ],
        "remarks": report.remarks,
        "failures": report.failures,
    }
    return json.dumps(finite(content), allow_nan=False, ensure_ascii=False) + "\n"


def json_tracker(score: TrackerScore) -> dict[str, Any]:
    """One tracker for `to_json`."""
    sequences = {
        name: {
            "frames": result.frames,
            "absent": result.absent,
            "missing": result.missing,
            "surplus": result.surplus,
            **{key: sequence_value(score, name, key) for key in PER_SEQUENCE},
            "success": result.success.round(6).tolist(),
            "precision": result.precision.round(6).tolist(),
        }
        for name, result in score.sequences.items()
    }
    return {
        "tracker": score.tracker,
        "headlines": {key: asdict(headline) for key, headline in score.headlines.items()},
        "speed": asdict(score.speed) if score.speed else None,
        "notes": score.notes,
        "sequences": sequences,
    }


def finite(value: Any) -> Any:
    """The same with ``None`` for NaN and ∞, which JSON has no words for."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
