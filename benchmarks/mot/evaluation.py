"""Folders of ground truth and results to scores, sequence by sequence and pooled."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.mot.clear import Clear, clear
from benchmarks.mot.hota import ALPHAS, Hota, hota
from benchmarks.mot.identity import Identity, identity
from benchmarks.mot.pairs import Comparison
from benchmarks.mot.rules import ANY, Rules, compare
from benchmarks.mot.text import read_length, read_rows


@dataclass(frozen=True, eq=False)
class Score:
    """All metrics of one sequence, or of several together.

    Attributes:
        clear: MOTA and its relatives.
        identity: IDF1 and its relatives.
        hota: HOTA and its relatives.
        counts: boxes and identities of the results (Dets, IDs) and of the ground truth (GT_Dets, GT_IDs).
    """

    clear: Clear
    identity: Identity
    hota: Hota
    counts: dict[str, int]

    def scores(self) -> dict[str, float]:
        """Every number by TrackEval's name; shares, not percent."""
        return self.hota.scores() | self.clear.scores() | self.identity.scores() | self.counts

    def to_json(self) -> dict[str, object]:
        """The same, and HOTA's curves."""
        curves = {name: [float(value) for value in curve] for name, curve in self.hota.curves().items()}
        return {**self.scores(), "curves": curves}


class Files(NamedTuple):
    """Where one sequence is.

    Attributes:
        truth: its ground truth.
        results: what a tracker said; ``None``: nothing is stored.
        info: its ``seqinfo.ini``, which need not exist.
    """

    truth: Path
    results: Path | None
    info: Path


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a tracker on a folder of sequences.

    Attributes:
        sequences: name → its score.
        combined: all of them together, as TrackEval combines them: counts are added up, HOTA's means are weighed.
        notes: what was repaired or left out.
        missing: sequences without results.
    """

    sequences: dict[str, Score]
    combined: Score
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """One object for machines."""
        return {
            "alphas": [round(float(alpha), 2) for alpha in ALPHAS],
            "sequences": {name: score.to_json() for name, score in self.sequences.items()},
            "combined": self.combined.to_json(),
            "notes": self.notes,
            "missing": self.missing,
        }


def score(comparison: Comparison) -> Score:
    """All metrics of one sequence."""
    counts = {
        "Dets": len(comparison.result_frame),
        "GT_Dets": len(comparison.truth_frame),
        "IDs": len(comparison.result_count),
        "GT_IDs": len(comparison.truth_count),
    }
    return Score(clear(comparison), identity(comparison), hota(comparison), counts)


def pool(scores: Iterable[Score]) -> Score:
    """Several sequences as one, in which no identity occurs in two of them."""
    scores = list(scores)
    counts = {name: sum(part.counts[name] for part in scores) for name in ("Dets", "GT_Dets", "IDs", "GT_IDs")}
    return Score(
        Clear.pooled(part.clear for part in scores),
        Identity.pooled(part.identity for part in scores),
        Hota.pooled(part.hota for part in scores),
        counts,
    )


def evaluate(
    groundtruth: Path,
    results: Path,
    rules: Rules = ANY,
    only: Collection[str] = (),
    partial: bool = False,
) -> Evaluation:
    """Score a tracker's folder of text files.

    Args:
        groundtruth: folder with ``<sequence>/gt/gt.txt``, beside it perhaps ``seqinfo.ini``; or with
            ``<sequence>.txt``.
        results: folder with ``<sequence>.txt``, itself or below ``data/``.
        rules: what counts.
        only: names of sequences; by default all.
        partial: whether sequences without results are left out; otherwise they are refused.

    Raises:
        OSError: a file cannot be read.
        ValueError: something is missing or wrong; the message names it.
    """
    found = find(groundtruth, results, only)
    missing = [name for name, files in found.items() if files.results is None]
    if missing and (not partial or len(missing) == len(found)):
        raise ValueError(
            f"{results}: no {missing[0]}.txt; {len(missing)} of {len(found)} sequences have no results"
            + ("" if len(missing) == len(found) else "; --partial scores the others")
        )
    names = {path.stem for path in _folder(results).glob("*.txt")}
    notes = [
        f"{_folder(results) / name}.txt: no such sequence" for name in sorted(names - found.keys() if not only else ())
    ]
    scores = {}
    for name, files in found.items():
        if files.results is not None:
            scores[name], repaired = score_files(files, rules)
            notes += repaired
    return Evaluation(scores, pool(scores.values()), notes, missing)


def score_files(files: Files, rules: Rules = ANY) -> tuple[Score, list[str]]:
    """Score one sequence; returns what was repaired too.

    Raises:
        OSError: a file cannot be read.
        ValueError: there are no results, or something in a file is wrong; the message names file and line.
    """
    if files.results is None:
        raise ValueError(f"{files.truth}: no results beside it")
    frames = read_length(files.info)
    truth, results = read_rows(files.truth, frames), read_rows(files.results, frames)
    notes = [*truth.notes, *results.notes]
    notes += [f"{rows.source}: no boxes" for rows in (truth, results) if not len(rows)]
    return score(compare(truth, results, rules, frames)), notes


def find(groundtruth: Path, results: Path, only: Collection[str] = ()) -> dict[str, Files]:
    """Sequences by name, in alphabetical order.

    Raises:
        ValueError: a folder is missing, there is no ground truth, or a wanted sequence has none.
    """
    for folder in (groundtruth, results):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
    truths = {path.parent.parent.name: path for path in groundtruth.glob("*/gt/gt.txt")}
    truths = truths or {path.stem: path for path in groundtruth.glob("*.txt")}
    if not truths:
        raise ValueError(f"{groundtruth}: no ground truth, expected <sequence>/gt/gt.txt or <sequence>.txt")
    if unknown := sorted(set(only) - truths.keys()):
        raise ValueError(f"{groundtruth}: no sequence {', '.join(unknown)}; there are {', '.join(sorted(truths))}")
    found = {}
    for name in sorted(only or truths):
        stored = _folder(results) / f"{name}.txt"
        info = groundtruth / name / "seqinfo.ini"
        found[name] = Files(truths[name], stored if stored.is_file() else None, info)
    return found


def _folder(results: Path) -> Path:
    """Where the text files are: TrackEval keeps them below ``data/``."""
    return results / "data" if (results / "data").is_dir() else results
