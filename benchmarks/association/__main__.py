"""Compare association with its peers from the command line: ``python -m benchmarks.association``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from benchmarks.association.files import write_text
from benchmarks.association.gaps import LONGEST
from benchmarks.association.peers import PEERS, PYTHON, WorkerError
from benchmarks.association.sets import SETS

DONE, INCOMPLETE, REFUSED, INTERRUPTED = 0, 1, 2, 130

EXAMPLES = """\
examples:
  %(prog)s run --root ../shared/data/mot --results runs/association
      every peer over every sequence, then gap filling and the oracle; the same command goes on where it stopped
  %(prog)s report --root ../shared/data/mot --results runs/association --ours online=runs/loso/online
      tables of all that is stored, ours beside it
  %(prog)s report --root ../shared/data/mot --results runs/association --output docs/results/association --overwrite
      the same as Markdown, CSV, JSON and a plot
  %(prog)s speed --detections det.txt --frames 524
      ours and peers in turns on one file

Peers run in .venv-mot (make mot-peers). Detections are <sequence>/det/det.txt, ground truth <sequence>/gt/gt.txt.

exit codes: 0 done; 1 done, but results are missing; 2 wrong arguments or files; 130 interrupted.
"""


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"association: error: {message} (--help shows examples)\n")


def build_parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.association",
        description="Tracking by detection beside its peers, on the same detections.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="COMMAND")

    def command(name: str, text: str) -> Parser:
        return commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=EXAMPLES.replace("%(prog)s", parser.prog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    run = command("run", "have peers track what is not stored yet")
    report = command("report", "score what is stored")
    for part in (run, report):
        part.add_argument("--root", type=Path, required=True, metavar="DIR", help="sequences in MOTChallenge's layout")
        part.add_argument("--results", type=Path, required=True, metavar="DIR", help="what is stored")
        part.add_argument("--set", nargs="+", choices=SETS, default=list(SETS), dest="sets", help="(default: all)")
    run.add_argument(
        "--peer",
        nargs="+",
        choices=PEERS,
        default=list(PEERS),
        metavar="NAME",
        help=f"of {', '.join(PEERS)} (default: all)",
    )
    run.add_argument("--python", type=Path, default=PYTHON, metavar="FILE", help="of the peers' environment")
    run.add_argument(
        "--longest", type=int, default=LONGEST, metavar="FRAMES", help="gap to fill (default: %(default)s)"
    )
    report.add_argument(
        "--ours",
        nargs="+",
        default=[],
        type=_named,
        metavar="NAME=DIR",
        help="more results to compare; a NAME with flow or filled in it knows the future",
    )
    report.add_argument("--output", type=Path, metavar="DIR", help="write tables and plots")
    report.add_argument("--json", action="store_true", help="print one JSON object in place of tables")
    report.add_argument("--overwrite", action="store_true", help="replace files in --output")
    return parser


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"expected NAME=DIR, got {text}")
    return name, Path(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        return {"run": _run, "report": _report}[options.command](options)
    except (ImportError, OSError, ValueError, WorkerError) as error:
        print(f"association: error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("association: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    from benchmarks.association.peers import worker
    from benchmarks.association.run import fill_results, run_oracle, run_peers

    chosen = [SETS[key] for key in options.sets]

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    done = run_peers(options.root, options.results, chosen, options.peer, say, partial(worker, options.python))
    run_oracle(options.root, options.results, chosen)
    for name in options.peer:
        fill_results(options.results, name, options.longest)
    print(f"{done} sequences tracked, the others were stored already; results are in {options.results}")
    return DONE


def _report(options: argparse.Namespace) -> int:
    from benchmarks.association.report import as_csv, as_json, markdown, measure, our_entry, stored_entries, terminal
    from benchmarks.provenance import commit, versions

    sets = {key: SETS[key] for key in options.sets}
    if not options.results.is_dir():
        raise ValueError(f"{options.results}: no such folder; the command run fills it")
    entries = [*(our_entry(name, folder) for name, folder in options.ours), *stored_entries(options.results)]
    rows, missing = measure(options.root, sets, entries)
    if not rows:
        raise ValueError(f"{options.results}: nothing stored is complete for {', '.join(options.sets)}")
    for line in missing:
        print(f"association: note: {line}", file=sys.stderr)
    machine = as_json(rows, entries, {"commit": commit(), "versions": versions("scipy", "lightgbm")})
    if options.output:
        from benchmarks.association.plot import draw_scores
        from benchmarks.report.plots import render

        texts = {"scores.md": markdown(rows, sets), "scores.csv": as_csv(rows), "scores.json": machine}
        if not options.overwrite and (there := [name for name in texts if (options.output / name).exists()]):
            raise ValueError(f"{options.output / there[0]} exists; --overwrite replaces it")
        for name, text in texts.items():
            write_text(options.output / name, text)
        (options.output / "scores.svg").write_bytes(render(draw_scores(rows, sets), "scores", "svg"))
    print(json.dumps(json.loads(machine)) if options.json else terminal(rows, sets))
    return INCOMPLETE if missing else DONE


if __name__ == "__main__":
    sys.exit(main())
