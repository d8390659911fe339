"""The command line: ``python -m benchmarks.reliability [FAULT ...]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import benchmarks.reliability
from benchmarks.reliability.faults import FAULTS, Outcome

VERDICTS = {True: "yes", False: "no", None: "not made here"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code: 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability",
        description=benchmarks.reliability.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("fault", nargs="*", metavar="FAULT", help=f"all if none is given, else of {', '.join(FAULTS)}")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.fault if name not in FAULTS]:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    if not options.json:
        print("| fault | what happened | kept |\n|---|---|---|")
    kept = True
    for name in options.fault or FAULTS:
        outcome = make(name)
        kept = kept and outcome.kept is not False
        row = f"| {outcome.fault} | {outcome.happened.replace('|', chr(92) + '|')} | {VERDICTS[outcome.kept]} |"
        print(json.dumps({"name": name} | asdict(outcome)) if options.json else row, flush=True)
    return 0 if kept else 1


def make(name: str) -> Outcome:
    """One fault, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        try:
            return FAULTS[name](Path(folder))
        except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
            return Outcome(name, f"{type(error).__name__}: {error}", False)


if __name__ == "__main__":
    sys.exit(main())
