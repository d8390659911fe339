"""Search the tracker's configuration on sequences that were kept out of training.

examples:
  python tools/tune.py compact --data ../shared/data/video --trials 100
  python tools/tune.py mine.safetensors --space window_influence scale_rate online_rate=0.001:0.1:log --write
  python tools/tune.py ciresnet22 --sequences VOT/ball1 VOT/book TLD/car --jobs 2 --json

The configuration that the model has now is tried first. A search that was stopped goes on where it was, and so does
one that is asked for more trials, as long as weights, code, sequences and space are the same. Tune before
`python -m learning.calibration`, which fits the score to the boxes that the tracker gives.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path

from tracker.arguments import positive


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model", metavar="NAME|PATH", help="a shipped model or a .safetensors file")
    add("--data", type=Path, default=Path("../shared/data/video"), help="folder of sequences (default: %(default)s)")
    add("--sequences", nargs="+", metavar="NAME", help="in it (default: those kept out of training)")
    add("--trials", type=positive, default=100, help="in all, with those tried before (default: %(default)s)")
    add("--jobs", type=positive, default=1, help="trials at a time; 1 is repeatable by --seed (default: %(default)s)")
    add("--storage", type=Path, default=Path("runs/tune.log"), help="journal of all trials (default: %(default)s)")
    add(
        "--space",
        nargs="+",
        default=[],
        metavar="NAME[=LOW:HIGH[:log]]",
        help="entries of the configuration to search (default: what its head knows)",
    )
    add("--states", action="store_true", help="let the tracker give up when it is LOST; otherwise it never does")
    add("--device", default="auto", help="cpu, cuda, auto")
    add("--threads", type=positive, help="CPU threads of torch")
    add("--seed", type=int, default=0)
    add("--write", action="store_true", help="put the best into the card, if it is better by more than noise")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        import optuna  # here, as what follows: --help and wrong arguments need none of it
    except ImportError:
        print("tune: Optuna is missing: pip install 'siamtrack[tune]'", file=sys.stderr)
        return 2
    from learning import tuning
    from learning.readers import HOLDOUT
    from tracker.model import Model

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        model = Model(options.model, device=options.device, threads=options.threads)
        space = tuning.parse_space(options.space, model.card.head)
        default = tuning.default_of(model.card, space)
        videos = tuning.read_videos(options.data, options.sequences or HOLDOUT)
        study = tuning.open_study(options.storage, tuning.study_name(model, space, videos, options.states))
        judge, names = tuning.judge_of(model, videos, options.states), [video.name for video in videos]
        tuning.tune(study, judge, names, space, default, options.trials, options.seed, options.jobs)
        found = tuning.result(study)
        written = tuning.write(options.model, found) if options.write else None
    except (OSError, ValueError) as error:
        print(f"tune: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"tune: stopped; the same command goes on from {options.storage}", file=sys.stderr)
        return 130
    if options.json:
        more = {"better": found.better, "config": tuning.entries_for_card(found), "written": written and str(written)}
        print(json.dumps(dataclasses.asdict(found) | more))
        return 0
    print(tuning.table(found))
    if options.write:
        print(f"wrote {written}" if written else "nothing written: the card keeps its configuration")
    return 0


if __name__ == "__main__":
    sys.exit(main())
