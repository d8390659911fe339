"""Compare association with its peers from the command line: ``python -m benchmarks.association``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.association.files import write_text
from benchmarks.association.gaps import LONGEST
from benchmarks.association.peers import PEERS, PYTHON, WorkerError
from benchmarks.association.sets import SETS
from benchmarks.association.speed import OURS, WEIGHTS
from tracker.arguments import positive, refuse_existing

HOSTILE = ("reader", "results", "arrays", "online", "flow")
DONE, INCOMPLETE, REFUSED, INTERRUPTED = 0, 1, 2, 130

EXAMPLES = """\
examples:
  %(prog)s run --root ../shared/data/mot --results runs/association
      every peer over every sequence, then gap filling and the oracle; the same command goes on where it stopped
  %(prog)s report --root ../shared/data/mot --results runs/association --ours online=runs/loso/online
      tables of all that is stored, ours beside it
  %(prog)s report --root ../shared/data/mot --results runs/association --output docs/results/association --overwrite
      the same as Markdown, CSV, JSON and a plot
  %(prog)s speed --root ../shared/data/mot --sequence MOT17val-04-SDP KITTI-13
      association only, ours and peers in turns: frames a second, ratios, memory
  %(prog)s growth --people 10 20 40 80 --frames 1000 10000 100000 --output docs/results/association
      what larger crowds and longer videos cost
  %(prog)s fuzz --inputs 100000
      hostile input for readers and trackers; what is found is named by kind and number

Peers run in .venv-mot (make mot-peers). Detections are <sequence>/det/det.txt, ground truth <sequence>/gt/gt.txt.

exit codes: 0 done; 1 done, but results are missing or something was found; 2 wrong arguments or files; 130 interrupted.
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
    _add_costs(command)
    return parser


def _add_costs(command: Callable[[str, str], Parser]) -> None:
    speed = command("speed", "time ours and peers in turns on stored detections")
    speed.add_argument("--root", type=Path, required=True, metavar="DIR", help="sequences in MOTChallenge's layout")
    speed.add_argument("--sequence", nargs="+", required=True, metavar="NAME", help="whose detections")
    speed.add_argument("--ours", nargs="*", choices=OURS, default=list(OURS), help="(default: all)")
    speed.add_argument("--peer", nargs="*", choices=PEERS, default=list(PEERS), help="(default: all)")
    speed.add_argument("--rounds", type=positive, default=5, help="turns (default: %(default)s)")
    speed.add_argument("--python", type=Path, default=PYTHON, metavar="FILE", help="of the peers' environment")
    growth = command("growth", "time ours on made-up crowds of growing size and length")
    growth.add_argument("--ours", nargs="+", choices=OURS, default=["online", "window"], help="(default: %(default)s)")
    growth.add_argument(
        "--people",
        type=positive,
        nargs="+",
        default=[10, 20, 40, 80, 160],
        help="in each of 300 frames (default: %(default)s)",
    )
    growth.add_argument(
        "--frames",
        type=positive,
        nargs="+",
        default=[1000, 2000, 4000, 8000],
        help="with 10 people each (default: %(default)s)",
    )
    for part in (speed, growth):
        part.add_argument("--weights", default=WEIGHTS, metavar="NAME|PATH", help="of ours (default: %(default)s)")
        part.add_argument("--output", type=Path, metavar="DIR", help="write tables and plots")
    speed.add_argument("--overwrite", action="store_true", help="replace files in --output")
    growth.add_argument("--overwrite", action="store_true", help="measure again what --output has; else go on there")
    hostile = command("fuzz", "try hostile input on readers and trackers")
    hostile.add_argument("--kind", nargs="+", choices=sorted(HOSTILE), default=list(HOSTILE), help="(default: all)")
    hostile.add_argument("--inputs", type=positive, default=1000, help="of each kind (default: %(default)s)")
    hostile.add_argument("--first", type=int, default=0, help="number of the first input (default: %(default)s)")
    hostile.add_argument("--json", action="store_true", help="print one JSON object in place of a table")


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"expected NAME=DIR, got {text}")
    return name, Path(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        return COMMANDS[options.command](options)
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
        _refuse_existing(options, *texts)
        for name, text in texts.items():
            write_text(options.output / name, text)
        (options.output / "scores.svg").write_bytes(render(draw_scores(rows, sets), "scores", "svg"))
    print(json.dumps(json.loads(machine)) if options.json else terminal(rows, sets))
    return INCOMPLETE if missing else DONE


def _speed(options: argparse.Namespace) -> int:
    from benchmarks.association.costs import SPEED_HEAD, speed_rows, table
    from benchmarks.association.speed import measure_speed, pin
    from benchmarks.provenance import commit, machine

    _refuse_existing(options, "speed.md")
    pin()
    page = [f"{machine()}, one processor, one thread; commit {commit()}; medians of {options.rounds} turns."]
    for sequence in options.sequence:
        timings = measure_speed(
            options.root, sequence, options.ours, options.peer, options.rounds, options.python, options.weights
        )
        print(f"{sequence}\n{table(SPEED_HEAD, speed_rows(timings))}\n", flush=True)
        page.append(f"### {sequence}\n\n{table(SPEED_HEAD, speed_rows(timings), markdown=True)}")
    if options.output:
        write_text(options.output / "speed.md", "\n\n".join(page) + "\n")
    return DONE


def _growth(options: argparse.Namespace) -> int:
    from benchmarks.association.costs import GROWTH_HEAD, draw_growth, growth_csv, growth_rows, read_growth, table
    from benchmarks.association.speed import FEW, SHORT, measure_growth, pin
    from benchmarks.report.plots import render

    path = options.output / "growth.csv" if options.output else None
    measured = read_growth(path) if path and not options.overwrite else []
    pin()
    sweeps: dict[str, list[Any]] = {}
    page = []
    for by, people, frames in (("people", options.people, [SHORT]), ("frames", [FEW], options.frames)):
        sweeps[by] = []
        for point in measure_growth(options.ours, sorted(people), sorted(frames), options.weights, tuple(measured)):
            sweeps[by].append(point)
            if path and point not in measured:  # kept at once, as long videos take their time
                measured.append(point)
                write_text(path, growth_csv(measured))
        print(table(GROWTH_HEAD, growth_rows(sweeps[by], by)) + "\n", flush=True)
        page.append(f"### By {by}\n\n{table(GROWTH_HEAD, growth_rows(sweeps[by], by), markdown=True)}")
    if options.output:
        write_text(options.output / "growth.md", "\n\n".join(page) + "\n")
        (options.output / "growth.svg").write_bytes(render(draw_growth(**sweeps), "growth", "svg"))
    return DONE


def _refuse_existing(options: argparse.Namespace, *names: str) -> None:
    """Before anything runs.

    Raises:
        ValueError: a file is there and may not be replaced.
    """
    for name in names if options.output else ():
        refuse_existing(options.output / name, options.overwrite)


def _fuzz(options: argparse.Namespace) -> int:
    import warnings
    from dataclasses import asdict

    from benchmarks.association.fuzz import fuzz, tally_rows
    from benchmarks.report.tables import aligned

    warnings.simplefilter("ignore")
    tallies = {kind: fuzz(kind, options.inputs, options.first) for kind in options.kind}
    print(
        json.dumps({kind: asdict(tally) for kind, tally in tallies.items()})
        if options.json
        else aligned(tally_rows(tallies))
    )
    found = [line for tally in tallies.values() for line in tally.found]
    for line in found:
        print(f"association: found: {line}", file=sys.stderr)
    return INCOMPLETE if found else DONE


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "report": _report,
    "speed": _speed,
    "growth": _growth,
    "fuzz": _fuzz,
}

if __name__ == "__main__":
    sys.exit(main())
