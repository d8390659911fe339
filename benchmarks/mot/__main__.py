"""Score multi-object tracking from the command line: ``python -m benchmarks.mot``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks.mot.evaluation import Evaluation, evaluate
from benchmarks.mot.rules import RULES, Rules
from benchmarks.mot.table import markdown, terminal
from tracker.arguments import refuse_existing

DONE, INCOMPLETE, REFUSED = 0, 1, 2

EXAMPLES = """\
examples:
  %(prog)s --groundtruth MOT17/train --results tracks --rules mot17
      HOTA, MOTA, IDF1 and their parts, sequence by sequence and together, as TrackEval counts them
  %(prog)s --groundtruth labels --results tracks --classes 3 --json scores.json
      one's own data, class 3 only; every number and HOTA's curves to a file
  %(prog)s --groundtruth labels --results tracks --markdown
      a table to paste

Ground truth is <sequence>/gt/gt.txt (seqinfo.ini beside gt/ says how many frames there are) or <sequence>.txt; results
are <sequence>.txt. Lines are frame,id,x,y,w,h,score,class with frames and pixels from 1.

exit codes: 0 done; 1 done, but sequences have no results (--partial); 2 wrong arguments or files.
"""


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"mot: error: {message} (--help shows examples)\n")


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.mot",
        description="Score multi-object tracking: CLEAR, IDF1 and HOTA of MOTChallenge text files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--groundtruth", type=Path, required=True, metavar="DIR", help="<sequence>/gt/gt.txt or <sequence>.txt")
    add("--results", type=Path, required=True, metavar="DIR", help="<sequence>.txt, or data/<sequence>.txt")
    add("--rules", choices=RULES, default="any", help="whose rules say which boxes count (default: any class does)")
    add("--classes", type=int, nargs="+", metavar="N", help="of the ground truth that count, in place of the rules'")
    add("--distractors", type=int, nargs="+", metavar="N", help="classes that take a result with them, likewise")
    add("--only", nargs="+", default=(), metavar="SEQUENCE", help="these sequences only")
    add("--partial", action="store_true", help="leave out sequences that have no results")
    add("--json", type=Path, metavar="FILE", help="write every number and curve; - is standard output, with no table")
    add("--markdown", action="store_true", help="print the table as Markdown")
    add("--overwrite", action="store_true", help="replace the JSON file")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = build_parser().parse_args(argv)
    rules = RULES[options.rules]
    rules = Rules(tuple(options.classes or rules.classes), tuple(options.distractors or rules.distractors))
    printed = options.json == Path("-")
    try:
        refuse_existing(None if printed else options.json, options.overwrite)
        evaluation = evaluate(options.groundtruth, options.results, rules, options.only, options.partial)
        _say(evaluation)
        if options.json and not printed:
            options.json.write_text(json.dumps(evaluation.to_json()) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"mot: error: {error}", file=sys.stderr)
        return REFUSED
    if printed:
        print(json.dumps(evaluation.to_json()))
    else:
        print((markdown if options.markdown else terminal)(evaluation))
    return INCOMPLETE if evaluation.missing else DONE


def _say(evaluation: Evaluation) -> None:
    """What was repaired or left out, one line each."""
    for note in evaluation.notes:
        print(f"mot: note: {note}", file=sys.stderr)
    if evaluation.missing:
        every = len(evaluation.missing) + len(evaluation.sequences)
        print(f"mot: note: {len(evaluation.sequences)} of {every} sequences have results", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
