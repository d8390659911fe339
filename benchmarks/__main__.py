"""Benchmark trackers from the command line: ``python -m benchmarks``, which is ``tools/evaluate.py``.

Running and scoring are apart: `run` stores what the trackers say, `report` and `score` read stored boxes only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tracker.arguments import positive, setting

if TYPE_CHECKING:
    from benchmarks.datasets import Benchmark, Found
    from benchmarks.results import Run
    from benchmarks.score import TrackerScore
    from benchmarks.sequence import Sequence as Footage

DONE, INCOMPLETE, REFUSED, INTERRUPTED = 0, 1, 2, 130
PROTOCOLS = ("ope", "sre", "tre")

EXAMPLES = """\
examples:
  %(prog)s check --benchmark otb2013 --root ~/OTB
      what is missing or damaged, before anything runs
  %(prog)s run --benchmark otb2013 --root ~/OTB --tracker compact opencv:csrt --results results
      one pass over all sequences; the same command goes on where it was stopped
  %(prog)s run --benchmark folder --root clips --tracker mine=my.safetensors,window_influence=0.4 --results results
      any folder of sequences; a tracker under another name, with another configuration
  %(prog)s report --benchmark otb2013 --root ~/OTB --results results --output report
      tables, plots and one HTML page from what is stored
  %(prog)s report --benchmark otb100 --groundtruth gt.zip --results results --raw MDNet.zip CCOT.zip --output report
      the same of somebody's raw boxes, without the videos
  %(prog)s score MDNet.zip --benchmark otb100 --groundtruth groundtruth.zip --json
      somebody's raw boxes, no videos needed

trackers: a name in weights/, a .safetensors file, opencv:NAME (csrt, kcf, mosse, mil, nano, vit ...), or
package.module:Class for a class with the got10k package's interface; NAME=TRACKER gives it another name.

exit codes: 0 done; 1 done, but sequences are missing or failed; 2 wrong arguments or unreadable input; 130 stopped by
Ctrl-C: what was stored by then is whole.
"""


class Parser(argparse.ArgumentParser):
    """An argparse parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"evaluate: error: {message} (--help shows examples)\n")


def program() -> str:
    """How this command was started."""
    started = sys.argv[0]
    return "python -m benchmarks" if os.path.basename(started) == "__main__.py" else f"python {started}"


def build_parser() -> Parser:
    parser = Parser(
        prog=program(),
        description="Compare trackers on OTB, TLP, GOT-10k and other benchmarks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_run(commands.add_parser("run", help="run trackers and store their boxes"))
    _add_report(commands.add_parser("report", help="tables, plots and a page from stored boxes"))
    _add_check(commands.add_parser("check", help="what is missing or damaged in a benchmark's folder"))
    _add_score(commands.add_parser("score", help="score raw boxes against ground truth, without videos"))
    _add_download(commands.add_parser("download", help="fetch a benchmark whose official address is still served"))
    _add_submit(commands.add_parser("submit", help="the zip that a benchmark's server takes"))
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--benchmark",
        required=True,
        metavar="NAME",
        help="otb2013, otb50, otb100, tlp, tinytlp, got10k-val, folder ...",
    )
    add("--root", type=Path, metavar="DIR", help="its folder (default: the benchmark's environment variable)")
    add("--only", nargs="+", metavar="SEQUENCE", help="these sequences only")


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    add = parser.add_argument
    add("--tracker", nargs="+", action="extend", required=True, metavar="[NAME=]TRACKER", help="see `--help` above")
    add("--results", type=Path, required=True, metavar="DIR", help="where boxes, times and states are stored")
    add(
        "--protocol", choices=PROTOCOLS, default="ope", help="one pass, or other starts in space or time (default: ope)"
    )
    add("--partial", action="store_true", help="run although sequences are missing; the report then says how many")
    add("--max-frames", type=positive, metavar="N", help="the first N frames of each sequence only")
    add("--workers", type=positive, default=1, metavar="N", help="processes on this machine (default: 1)")
    add("--ray", action="store_true", help="run on the Ray cluster that RAY_ADDRESS names, or on one of this machine")
    add("--threads", type=positive, default=1, metavar="N", help="CPU threads of each tracker (default: 1)")
    add("--runtime", default="auto", help="what runs our networks (default: auto)")
    add("--device", default="cpu", help="where it runs them (default: cpu)")
    add("--set", type=setting, action="append", default=[], metavar="KEY=VALUE", help="override our configuration")
    add("--peers", type=Path, default=Path("../shared/peers"), metavar="DIR", help="weights of OpenCV's trackers")
    add("--json", action="store_true", help="print what was run and what failed as one JSON object")


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    add = parser.add_argument
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="what `run` stored (default: results)")
    add("--tracker", nargs="+", action="extend", metavar="NAME", help="these trackers only, the first one first")
    add("--groundtruth", type=Path, metavar="FILE", help="instead of --root: ground truth alone, as `score` takes it")
    add(
        "--raw",
        nargs="+",
        type=named_path,
        action="extend",
        default=[],
        metavar="NAME=PATH",
        help="somebody's folder or zip of boxes",
    )
    add("--protocol", choices=PROTOCOLS, default="ope", help="(default: %(default)s)")
    add("--max-frames", type=positive, metavar="N", help="as it was run")
    add("--output", type=Path, metavar="DIR", help="write the page, plots and tables there")
    add(
        "--formats",
        nargs="+",
        default=["html", "csv", "json"],
        metavar="FORMAT",
        help="html csv json latex markdown png svg pdf",
    )
    add("--no-filmstrips", action="store_true", help="leave the videos' frames out of the page")
    add("--sequences", action="store_true", help="also print a table of the sequences")
    add("--json", action="store_true", help="print JSON instead of tables")


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument("--decode", action="store_true", help="decode every frame, which takes its time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_score(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("boxes", type=Path, metavar="RESULTS", help="folder or zip of SEQUENCE.txt, 1-based x,y,w,h a line")
    add("--benchmark", required=True, metavar="NAME", help="otb2013, otb50, otb100, tlp, tinytlp")
    add(
        "--groundtruth", type=Path, required=True, metavar="FILE", help="folder or zip of SEQUENCE/groundtruth_rect.txt"
    )
    add("--json", action="store_true", help="print one JSON object")


def _add_download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--benchmark", required=True, metavar="NAME")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR")


def _add_submit(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    add = parser.add_argument
    add("--results", type=Path, required=True, metavar="DIR", help="what `run` stored")
    add("--tracker", required=True, metavar="NAME", help="whose results")
    add("--output", type=Path, required=True, metavar="ZIP", help="the file to write")


# ---------------------------------------------------------------- arguments


def named_path(text: str) -> tuple[str, Path]:
    """``NAME=PATH``, or a path whose last part without its suffix is the name."""
    name, separator, path = text.partition("=")
    return (name, Path(path)) if separator else (Path(text).stem, Path(text))


def find(options: argparse.Namespace) -> Found:
    """The sequences that the options name, cut to the number of frames that they ask for."""
    from dataclasses import replace

    from benchmarks.datasets import open_benchmark, root_of

    benchmark = open_benchmark(options.benchmark)
    if getattr(options, "groundtruth", None):
        from benchmarks.score import read_found

        return read_found(options.groundtruth, benchmark)
    found = benchmark.find(root_of(benchmark, options.root), options.only)
    frames = getattr(options, "max_frames", None)
    return replace(found, sequences=[sequence.part(0, frames) for sequence in found.sequences])


def results_folder(options: argparse.Namespace, benchmark: Benchmark) -> Path:
    """``<results>/OTB2013``, or ``<results>/OTB2013-SRE``."""
    protocol = getattr(options, "protocol", "ope")
    suffix = "" if protocol == "ope" else f"-{protocol.upper()}"
    folder: Path = options.results / f"{benchmark.folder}{suffix}"
    return folder


# ---------------------------------------------------------------- commands


def run(options: argparse.Namespace) -> int:
    """Run trackers; what is stored already is not run again."""
    from benchmarks.datasets import check
    from benchmarks.runner import evaluate
    from benchmarks.trackers import TrackerSpec, check_names

    common = {name: getattr(options, name) for name in ("runtime", "device", "threads", "peers")}
    specs = [TrackerSpec.parse(text, overrides=dict(options.set), **common) for text in options.tracker]
    check_names(specs)
    for spec in specs:
        spec.settings()  # a tracker that cannot be had is refused before the data are looked at
    found = check(find(options))
    if found.problems and not options.partial:
        announce(problem_table(found))
        raise ValueError(f"{found.title} only; --partial runs what is there")
    if not found.sequences:
        raise ValueError(f"nothing to run: {found.title}")
    announce(f"{found.title}: {', '.join(spec.name for spec in specs)}")
    folder = results_folder(options, found.benchmark)
    failures = evaluate(specs, found.sequences, folder, options.protocol, options.workers, options.ray, announce)
    if options.json:
        print(json.dumps({"title": found.title, "results": str(folder), "failures": [str(each) for each in failures]}))
    else:
        print(f"{found.title}: results in {folder}" + (f", {len(failures)} runs failed" if failures else ""))
    return INCOMPLETE if failures else DONE


def report(options: argparse.Namespace) -> int:
    """Score what is stored; print tables, and write a report if an output folder is given."""
    from benchmarks.report import build_report, save_report, terminal, terminal_sequences
    from benchmarks.report.exports import to_json

    found = find(options)
    sequences = _variants(found, options.protocol)
    runs, notes = stored_runs(options, found.benchmark, sequences)
    scores = [_score(name, runs[name], sequences, found, notes.get(name, [])) for name in runs]
    machine = _machines(results_folder(options, found.benchmark), list(runs))
    built = build_report(
        scores, sequences, found.title, found.benchmark.attributes, machine, options.protocol, found.problems
    )
    if options.json:
        print(to_json(built))
    else:
        print(terminal(built))
        if options.sequences:
            print(f"\n{terminal_sequences(built)}")
    if options.output:
        shown = [] if options.no_filmstrips or options.groundtruth else sequences
        for path in save_report(built, options.output, options.formats, shown, runs):
            announce(f"wrote {path}")
    return DONE


def check_command(options: argparse.Namespace) -> int:
    """List what is missing or damaged."""
    from benchmarks.datasets import check

    found = check(find(options), options.decode)
    if options.json:
        problems = [problem._asdict() for problem in found.problems]
        print(json.dumps({"title": found.title, "sequences": len(found.sequences), "problems": problems}))
    else:
        frames = sum(len(sequence) for sequence in found.sequences)
        print("\n".join(filter(None, [problem_table(found), f"{found.title}: {frames:,} frames are whole"])))
    return INCOMPLETE if found.problems else DONE


def score(options: argparse.Namespace) -> int:
    """Score raw boxes."""
    from benchmarks.score import score_files

    scored = score_files(options.boxes, options.benchmark, options.groundtruth)
    if options.json:
        print(json.dumps(scored))
        return DONE
    print(
        f"{scored['title']}: success AUC {scored['auc']:.3f}, precision at 20 px {scored['precision']:.3f} "
        f"({scored['sequences']} sequences, {scored['frames']:,} frames)"
    )
    for note in scored["notes"]:
        print(f"  {note}")
    return DONE


def download_command(options: argparse.Namespace) -> int:
    """Fetch a benchmark."""
    from benchmarks.datasets import open_benchmark
    from benchmarks.datasets.download import download

    download(open_benchmark(options.benchmark), options.root, announce=announce)
    return DONE


def submit(options: argparse.Namespace) -> int:
    """Write what a benchmark's server takes."""
    from benchmarks.datasets.got10k import GOT10K_TEST, write_submission

    benchmark = find(options).benchmark
    if benchmark is not GOT10K_TEST:
        raise ValueError(f"{benchmark.title} has no server; {GOT10K_TEST.name} has")
    write_submission(results_folder(options, benchmark) / options.tracker, benchmark.names or (), options.output)
    print(f"wrote {options.output}")
    return DONE


COMMANDS = {
    "run": run,
    "report": report,
    "check": check_command,
    "score": score,
    "download": download_command,
    "submit": submit,
}


# ---------------------------------------------------------------- parts of commands


def stored_runs(
    options: argparse.Namespace, benchmark: Benchmark, sequences: list[Footage]
) -> tuple[dict[str, dict[str, Run]], dict[str, list[str]]]:
    """Tracker → sequence → run, of what is stored and of raw results, and what there is to say about the latter.

    Raises:
        ValueError: there are none, or a tracker that was asked for is not there.
    """
    from benchmarks.results import load
    from benchmarks.score import read_runs

    folder = results_folder(options, benchmark)
    there = sorted(path.parent.name for path in folder.glob("*/settings.json"))
    wanted = options.tracker or there
    if missing := [name for name in wanted if name not in there]:
        raise ValueError(f"{folder} has no results of {', '.join(missing)}; there are {', '.join(there) or 'none'}")
    runs: dict[str, dict[str, Run]] = {
        name: {each.name: load(folder / name, each.name) for each in sequences if _is_there(folder / name, each.name)}
        for name in wanted
    }
    notes: dict[str, list[str]] = {}
    for name, path in options.raw:
        if name in runs:
            raise ValueError(f"two trackers are called {name}; write --raw NAME={path} for one of them")
        runs[name], notes[name] = read_runs(path, benchmark, [each.name for each in sequences])
    if not runs:
        raise ValueError(f"no results in {folder}: `run` stores them there, --raw reads somebody else's")
    return runs, notes


def _is_there(folder: Path, name: str) -> bool:
    return (folder / f"{name}.txt").is_file()


def _variants(found: Found, protocol: str) -> list[Footage]:
    from benchmarks.protocols import variants

    return [variant for sequence in found.sequences for variant in variants(sequence, protocol)]


def _score(name: str, runs: dict[str, Run], sequences: list[Footage], found: Found, notes: list[str]) -> TrackerScore:
    from benchmarks.score import score_runs

    return score_runs(name, runs, sequences, found.title, found.benchmark.rules, notes)


def _machines(folder: Path, names: list[str]) -> dict[str, str]:
    """Where results were made, with how many threads, by which version; several of a kind beside each other."""
    from benchmarks.results import RECORD, read_settings

    facts: dict[str, list[str]] = {}
    for name in names:
        if not (folder / name / "settings.json").is_file():
            continue  # somebody else's raw boxes
        settings = read_settings(folder / name)
        said = {**settings.get(RECORD, {}), "threads": [str(settings.get("threads"))]}
        for key in ("machine", "threads", "commit"):
            known = facts.setdefault(key, [])
            known += [value for value in said.get(key, []) if value not in known]
    return {key: "; ".join(values) for key, values in facts.items() if values}


def problem_table(found: Found) -> str:
    """What is missing or damaged: sequence, expected, found."""
    if not found.problems:
        return ""
    width = max(len(problem.sequence) for problem in found.problems)
    return "\n".join(f"{name:<{width}}  expected {expected}, found {what}" for name, expected, what in found.problems)


def announce(message: str) -> None:
    """Progress goes to the standard error, so that results can be piped."""
    print(message, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = build_parser().parse_args(argv)
    try:
        return COMMANDS[options.command](options)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"evaluate: error: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print(
            "evaluate: interrupted; what is stored is whole, and the same command goes on from there", file=sys.stderr
        )
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
