"""Train a tracker's network.

examples:
  python tools/train.py compact --data ../shared/data --output weights/compact.safetensors
  python tools/train.py compact --data ~/GOT-10k/train --layout got10k --longest-side 256 --output mine.safetensors
  python tools/train.py ciresnet22 --data ~/coco --layout coco --init resnet50.pth --output mine.safetensors
  python tools/train.py lite --data ../shared/data --init efficientnet-lite0-57934424.pth --output mine.safetensors

The footage is decoded once into --cache and held in memory: all of GOT-10k's training split takes about 60 GB, or 15 GB
with --longest-side 256; --stride and --limit take less of it.
A run that was stopped goes on from its last checkpoint in --run.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from tracker.arguments import positive, refuse_existing, share

# The names of learning.siamese.RECIPES, which needs torch.
MODELS = [
    "compact",
    "ciresnet22",
    "lite",
    "ciresnet16",
    "ciresnet22w",
    "ciresinception22",
    "ciresnext22",
    "alexnet",
    "compact_box",
    "compact_pixel",
]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS, help="what to train")
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    layouts = ["shared", "got10k", "lasot", "trackingnet", "imagenet-vid", "mot", "coco", "sequences", "images"]
    parser.add_argument("--layout", choices=layouts, default="shared", help="of the data; shared = ../shared/data's")
    parser.add_argument("--output", type=Path, required=True, help=".safetensors file to write, its card beside it")
    parser.add_argument("--run", type=Path, help="folder of checkpoints and log (default: runs/MODEL)")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder of the decoded footage")
    parser.add_argument("--clips", type=int, default=2000, help="synthetic clips composed from masks (layout shared)")
    parser.add_argument("--longest-side", type=positive, help="longer images are scaled down to it (default: 512)")
    parser.add_argument("--stride", type=positive, help="of public video: decode every so many-th frame (default: 10)")
    parser.add_argument("--limit", type=positive, help="of public data: at most so many sequences or images")
    parser.add_argument("--share", type=share, help="of the footage, whole scenes, for a learning curve (default: all)")
    start = (
        "weights to start from: our own .safetensors of the same kind, or ImageNet's: torchvision's ResNet-50 for "
        "ciresnet22, EfficientNet-Lite0 for lite"
    )
    parser.add_argument("--init", type=Path, help=start)
    frozen = "parts that stay as they are given, as backbone.early (default: the recipe's)"
    parser.add_argument("--frozen", nargs="+", metavar="PART", help=frozen)
    parser.add_argument("--teacher", type=Path, help="to learn from: ONNX backbone (features), SiamFC .pth (responses)")
    parser.add_argument("--pairs", type=positive, help="length of the training in pairs (default: the recipe's)")
    parser.add_argument("--batch-size", type=positive, help="pairs a step (default: the recipe's)")
    parser.add_argument("--learning-rate", type=float, help="peak (default: the recipe's)")
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu, auto")
    parser.add_argument("--devices", default="auto", help="how many, or auto")
    parser.add_argument("--precision", default="bf16-mixed", help="bf16-mixed, 32-true, 16-mixed")
    parser.add_argument("--threads", type=positive, help="CPU threads of torch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="fuse the backbone with torch.compile")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --output")
    return parser.parse_args(argv)


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that the user gave; the others' defaults are not this file's business."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    if options.output.suffix != ".safetensors":
        print(f"train: --output must end in .safetensors, got {options.output}", file=sys.stderr)
        return 2
    try:
        refuse_existing(options.output, options.overwrite)
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from learning.cache import open_footage  # here: so that --help and wrong arguments need no torch
    from learning.siamese import RECIPES, train_and_save

    changes = _given(options, "pairs", "batch_size", "learning_rate", "frozen")
    recipe = dataclasses.replace(RECIPES[options.model], **changes)
    reading = _given(options, "longest_side", "stride", "limit")
    run = options.run or Path("runs") / options.model
    try:
        footage = open_footage(options.data, options.layout, options.cache, options.clips, **reading)
        if options.share is not None:
            footage = footage.share(options.share, options.seed)
        card = train_and_save(
            recipe,
            footage,
            run,
            options.output,
            command=shlex.join(["python", "tools/train.py", *(sys.argv[1:] if argv is None else argv)]),
            init=options.init,
            teacher=options.teacher,
            accelerator=options.accelerator,
            devices=options.devices,
            precision=options.precision,
            threads=options.threads,
            seed=options.seed,
            compiled=options.compile,
        )
    except (OSError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"train: stopped; the same command goes on from the last checkpoint in {run}, if there is one",
            file=sys.stderr,
        )
        return 130
    if card is not None:
        print(f"wrote {options.output} and its card (sha256 {card.sha256[:16]}…)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
