"""Scores of multi-object tracking, class-agnostic: CLEAR, IDF1 and HOTA of MOTChallenge text files.

    evaluation = evaluate(Path("MOT17/train"), Path("tracks"), RULES["mot17"])
    evaluation.combined.scores()["HOTA"]

The numbers are TrackEval's to 1e-6. `compare` and `score` do the same for one sequence.
"""

from benchmarks.mot.evaluation import Evaluation, Score, evaluate, pool, score
from benchmarks.mot.pairs import Comparison
from benchmarks.mot.rules import RULES, Rules, compare
from benchmarks.mot.text import Rows, parse_rows, read_rows

__all__ = [
    "RULES",
    "Comparison",
    "Evaluation",
    "Rows",
    "Rules",
    "Score",
    "compare",
    "evaluate",
    "parse_rows",
    "pool",
    "read_rows",
    "score",
]
