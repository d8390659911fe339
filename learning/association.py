"""Train and judge association from the command line: ``python -m learning.association``."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import fnmatch
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from benchmarks.mot import pool
from benchmarks.mot.evaluation import Score
from learning.association_calibration import expected_calibration_error, reliability
from learning.association_costs import score_tracks
from learning.association_fit import Fold, Learner, even_folds, probabilities
from learning.association_footage import Footage, read_all
from tracker.arguments import refuse_existing
from tracker.association.flow import FlowAssociator, collect_tracks
from tracker.association.model import write_model
from tracker.association.mot_text import write_tracks
from tracker.association.online import OnlineAssociator

DONE, REFUSED = 0, 2
SCORES = ("MOTA", "IDF1", "HOTA", "DetA", "AssA", "IDSW", "CLR_FP", "CLR_FN", "Frag")

EXAMPLES = """\
examples:
  %(prog)s loso --data ../shared/data/mot --extra 'KITTI-trk-*' --output runs/loso
      learn without each video in turn and track it: flow/SEQUENCE.txt, online/SEQUENCE.txt and loso.json with scores,
      reliability and what was learned; videos of --extra sequences are learned from and not scored
  %(prog)s train --data ../shared/data/mot --output mine.json
      learn from all of it: mine.txt, mine_detection.txt and the card mine.json, for from_pretrained("mine.json")

Footage is <data>/<sequence>/det/det.txt, gt/gt.txt and seqinfo.ini (frameRate). Sequences of one video, as MOT17's
three detectors' versions, are told by their names and are never on both sides.

exit codes: 0 done; 2 wrong arguments or files.
"""


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"association: error: {message} (--help shows examples)\n")


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m learning.association",
        description="Learn to associate detections from footage with ground truth.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{loso,train}")
    for name, text in (
        ("loso", "leave one video out: track it with what the others taught"),
        ("train", "learn a model"),
    ):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add = command.add_argument
        add("--data", type=Path, required=True, metavar="DIR", help="<sequence>/det/det.txt, gt/gt.txt, seqinfo.ini")
        add("--only", nargs="+", default=(), metavar="SEQUENCE", help="these sequences only")
        add("--seed", type=int, default=0, help="of what is left out and of the trees (default: 0)")
        add("--threads", type=int, default=1, help="for growing trees (default: 1)")
        add("--overwrite", action="store_true", help="replace what is there")
        if name == "loso":
            add("--output", type=Path, required=True, metavar="DIR", help="folder for results and scores")
            add("--extra", nargs="+", default=(), metavar="PATTERN", help="sequences to learn from and not to score")
            add("--save", type=Path, metavar="FILE", help="also the model of all footage: its card, .json")
        else:
            add(
                "--output", type=Path, required=True, metavar="FILE", help="the model's card, .json; trees go beside it"
            )
            add("--folds", type=int, default=5, help="that calibration and costs are learned by (default: 5)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        target = options.output / "loso.json" if options.command == "loso" else options.output
        models = [options.output] if options.command == "train" else [options.save] if options.save else []
        if any(model.suffix != ".json" for model in models):
            raise ValueError(f"{models[0]}: a model's card ends in .json")
        for path in (target, *models):
            refuse_existing(path, options.overwrite)
        footages = read_all(options.data, options.only)
        if options.command == "loso":
            _leave_one_out(options, footages)
        else:
            learner = Learner(footages, options.seed, options.threads, _say)
            folds = learner.cross_fit(even_folds(footages, options.folds))
            _save(options, learner, folds, options.output)
    except (OSError, ValueError) as error:
        print(f"association: error: {error}", file=sys.stderr)
        return REFUSED
    return DONE


def _leave_one_out(options: argparse.Namespace, footages: Sequence[Footage]) -> None:
    extra = {
        footage.group for footage in footages for pattern in options.extra if fnmatch.fnmatch(footage.name, pattern)
    }
    groups = sorted({footage.group for footage in footages} - extra)
    learner = Learner(footages, options.seed, options.threads, _say, options.output / "trees")
    folds = learner.cross_fit([{group} for group in groups])
    for name in ("flow", "online"):
        (options.output / name).mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    scores: dict[str, dict[str, Score]] = {"flow": {}, "online": {}}
    for fold in folds:
        for trial, judged in zip(fold.trials, fold.judged, strict=True):
            footage = trial.footage
            costs = dataclasses.asdict(fold.model.costs)
            detections = {part.frame: part for part in footage.frames}
            flow = FlowAssociator(fold.model, footage.rate, **costs).run(detections)
            associator = OnlineAssociator(fold.model, footage.rate, **costs)
            online = collect_tracks((part, associator.update(part)) for part in footage.frames)
            for name, tracks in (("flow", flow), ("online", online)):
                write_tracks(options.output / name / f"{footage.name}.txt", tracks, overwrite=True)
                scores[name][footage.name] = score_tracks(footage, tracks)
            rows[footage.name] = _row(fold, judged, scores, footage.name)
            _say(_line(footage.name, rows[footage.name]))
    whole = _together(folds, scores)
    result = {"sequences": rows, "together": whole, "command": _command()}
    (options.output / "loso.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _say(_line("together", whole))
    if options.save:
        _save(options, learner, folds, options.save)


def _row(fold: Fold, judged: Any, scores: dict[str, dict[str, Score]], name: str) -> dict[str, Any]:
    """What is said of one sequence."""
    probability = probabilities(fold, judged)
    learned = judged.gap <= 30
    return {
        **{kind: _scores(found[name]) for kind, found in scores.items()},
        "ece": expected_calibration_error(probability[learned], judged.same[learned]),
        "pairs": int(np.count_nonzero(learned)),
        "calibration": fold.model.calibration,
        "costs": dataclasses.asdict(fold.model.costs),
        "trained_on": fold.trained_on,
    }


def _together(folds: Sequence[Fold], scores: dict[str, dict[str, Score]]) -> dict[str, Any]:
    """All sequences as one."""
    parts = [(probabilities(fold, part), part) for fold in folds for part in fold.judged]
    probability = np.concatenate([found[part.gap <= 30] for found, part in parts])
    same = np.concatenate([part.same[part.gap <= 30] for _, part in parts])
    mean, share, count = reliability(probability, same)
    return {
        **{kind: _scores(pool(found.values())) for kind, found in scores.items()},
        "ece": expected_calibration_error(probability, same),
        "pairs": len(same),
        "reliability": {"mean": _finite(mean), "share": _finite(share), "count": count.tolist()},
    }


def _finite(values: NDArray[np.float64]) -> list[float | None]:
    """JSON has no NaN."""
    return [round(float(value), 6) if np.isfinite(value) else None for value in values]


def _save(options: argparse.Namespace, learner: Learner, folds: Sequence[Fold], path: Path) -> None:
    learned = learner.finish(folds)
    probability = np.concatenate([probabilities(fold, part) for fold in folds for part in fold.judged])
    same = np.concatenate([part.same for fold in folds for part in fold.judged])
    card = {
        "calibration": learned.calibration,
        "costs": dataclasses.asdict(learned.costs),
        "training": {
            "sequences": [footage.name for footage in learner.footages],
            "command": _command(),
            "folds": [sorted(fold.left_out) for fold in folds],
        },
        "results": {"ece_of_left_out_pairs": expected_calibration_error(probability, same)},
        "licence": "trained on research footage (MOTChallenge, KITTI): for research; see the data's own terms",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }
    write_model(path, learned.pair, learned.detection, card)
    _say(f"wrote {path}")


def _scores(score: Score) -> dict[str, float]:
    values = score.scores()
    return {name: round(float(values[name]), 6) for name in SCORES}


def _line(name: str, row: dict[str, Any]) -> str:
    parts = [
        f"{kind} " + " ".join(f"{metric} {100 * row[kind][metric]:.1f}" for metric in SCORES[:3])
        for kind in ("flow", "online")
    ]
    return f"{name}: {'; '.join(parts)}; ECE {row['ece']:.3f}"


def _command() -> str:
    return "python -m learning.association " + shlex.join(sys.argv[1:])


def _say(line: str) -> None:
    print(f"association: {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
