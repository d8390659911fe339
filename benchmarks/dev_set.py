"""Measure trackers on sequences at hand: ours and peers, in one process, on the same decoded frames.

    python -m benchmarks.dev_set --root ../shared/data/otb --trackers compact nanotrack vittrack csrt --results runs/dev
    python -m benchmarks.dev_set --root DIR --trackers mine=runs/x/model.safetensors --set window=0.4 --results runs/w4

One-pass evaluation as OTB defines it (`benchmarks.metrics`); every sequence is stored when it is finished and a
second call goes on from there, unless weights, configuration or threads are others (after changes of the code take
another folder). A tracker is a name in weights/, a path to a .safetensors file, or one of the peers
(nanotrack, vittrack, csrt, kcf); NAME=TRACKER gives it another name in the results. CSRT and KCF need the
environment of `make peers`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import torch

from benchmarks.datasets import read_sequences
from benchmarks.peers import PEERS, load_peer
from benchmarks.report import TrackerReport, report, sequence_table, table
from benchmarks.runner import Tracker, claim, evaluate


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dev_set", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--root", type=Path, nargs="+", required=True, help="folders of sequences, or sequences")
    add("--trackers", nargs="+", required=True, metavar="[NAME=]TRACKER", help="names in weights/, paths, or peers")
    add("--results", type=Path, required=True, metavar="DIR", help="where boxes, times and states are stored")
    add("--only", nargs="+", metavar="SEQUENCE", help="run on these sequences only")
    add("--max-frames", type=_positive, metavar="N", help="the first N frames of each sequence only")
    add("--one-based", action=argparse.BooleanOptionalAction, help="whether files count from 1 (default: OTB does)")
    add("--threads", type=_positive, default=1, metavar="N", help="CPU threads for every tracker (default: 1)")
    add("--runtime", default="auto", help="what runs our networks (default: auto)")
    add("--device", default="cpu", help="where it runs them (default: cpu)")
    add("--set", type=_setting, action="append", default=[], metavar="KEY=VALUE", help="override our configuration")
    add("--peer-weights", type=Path, default=Path("../shared/peers"), metavar="DIR", help="(default: %(default)s)")
    add("--sequences", action="store_true", help="also print a table of the sequences")
    add("--json", action="store_true", help="print JSON instead of tables")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = build_parser().parse_args(argv)
    cv2.setNumThreads(options.threads)
    torch.set_num_threads(options.threads)
    try:
        reports = measure(options)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"dev_set: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"machine": machine(options.threads), "trackers": [each.to_dict() for each in reports]}))
        return 0
    print(table(reports))
    if options.sequences:
        print(f"\n{sequence_table(reports)}")
    return 0


def measure(options: argparse.Namespace) -> list[TrackerReport]:
    """Run what is not stored yet, then score what is."""
    sequences = read_sequences(options.root, options.only, options.one_based)
    sequences = [sequence.head(options.max_frames) for sequence in sequences]
    overrides = dict(options.set)
    trackers: dict[str, Tracker] = {}
    for word in options.trackers:
        name, source = _name_and_source(word)
        if name in trackers:
            raise ValueError(f"two trackers are called {name}; write NAME={source} for one of them")
        wanted = settings(source, overrides, options)
        trackers[name] = load_tracker(source, overrides, options)
        claim(options.results / name, wanted)
    evaluate(trackers, sequences, options.results, announce=lambda message: print(message, file=sys.stderr, flush=True))
    return [report(options.results / name, sequences) for name in trackers]


def load_tracker(source: str, overrides: dict[str, Any], options: argparse.Namespace) -> Tracker:
    """A peer by its name, or ours by the name or path of its weights."""
    if source in PEERS:
        return load_peer(source, options.peer_weights)
    from tracker import SiamTracker

    return SiamTracker.from_pretrained(
        source, runtime=options.runtime, device=options.device, threads=options.threads, **overrides
    )


def settings(source: str, overrides: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What the stored boxes and times depend on: a folder that holds results of others must not be taken up again."""
    common = {
        "tracker": Path(source).stem,
        "threads": options.threads,
        "max_frames": options.max_frames,
        "one_based": options.one_based,
        "opencv": cv2.__version__,
    }
    if source in PEERS:
        return common
    ours = {"weights": _file_hash(source), "config": overrides, "runtime": options.runtime, "device": options.device}
    return common | ours | {"torch": torch.__version__}


def machine(threads: int) -> dict[str, Any]:
    """What a speed depends on besides the tracker."""
    return {
        "processor": _processor(),
        "threads": threads,
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _name_and_source(word: str) -> tuple[str, str]:
    name, separator, source = word.rpartition("=")
    return (name, source) if separator else (Path(source).stem, source)


def _file_hash(source: str) -> str:
    """sha256 of the weights file and its card: the card holds the configuration."""
    path = Path(source) if source.endswith(".safetensors") else Path(str(resources.files("weights"))) / source
    digest = hashlib.sha256()
    for suffix in (".safetensors", ".json"):
        file = path.with_name(path.name.removesuffix(".safetensors") + suffix)
        if not file.is_file():
            raise FileNotFoundError(f"no tracker {source!r}: no peer of that name ({', '.join(PEERS)}) and no {file}")
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _setting(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
