"""Find the object that images have in common, and where it is in each.

examples:
  python tools/cosegment.py predict a.jpg b.jpg --output common
  python tools/cosegment.py predict holiday/*.jpg --output common --json
  python tools/cosegment.py train --data ../shared/data --init efficientnet-lite0-57934424.pth --output mine.safetensors
  python tools/cosegment.py evaluate --data ../shared/data --weights mine.safetensors

predict takes two images, or a group (a folder stands for the images in it), and writes NAME_mask.png (255 where the
common object is) and NAME_overlay.png of each. Where nothing is common the masks are empty.
A training that was stopped goes on from its checkpoint in --run. evaluate compares the masks with those of the
network's second decoder, which sees each image alone, with all foreground, and with an unrelated image in the other's
place.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from pathlib import Path

from tracker.arguments import natural, positive, refuse_existing


def fraction(text: str) -> float:
    """A number between 0 and 1, neither of them."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, got {text!r}")
    return value


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True)

    add = commands.add_parser("predict", help="masks of what images have in common").add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="two image files or more, or folders of them")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for masks and overlays")
    add("--weights", default="cosegment", help="name in weights/ or .safetensors file (default: %(default)s)")
    add("--threshold", type=fraction, help="probability from which a pixel belongs to it (default: the weights' own)")
    add(
        "--partners", type=positive, default=8, help="each image is compared with so many others (default: %(default)s)"
    )
    add("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    add("--threads", type=positive, help="CPU threads of torch")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--overwrite", action="store_true", help="replace what is in --output already")

    add = commands.add_parser("train", help="train a network").add_argument
    add("--data", type=Path, required=True, help="folder with ecssd, davis, coco256, pennfudan, coseg/msrc_cow")
    add("--output", type=Path, required=True, help=".safetensors file to write, its card beside it")
    add("--run", type=Path, default=Path("runs/cosegment"), help="folder of the checkpoint (default: %(default)s)")
    add("--pairs", type=positive, help="length of the training in pairs (default: the recipe's)")
    add("--batch-size", type=positive, help="pairs a step (default: the recipe's)")
    add("--learning-rate", type=float, help="peak (default: the recipe's)")
    add("--size", type=positive, help="side of the network's images, a multiple of 16 (default: the recipe's)")
    add("--encoder", choices=["efficientnet_lite0", "plain"], help="plain: a small one (default: efficientnet_lite0)")
    add("--init", metavar="FILE", help=".pth: ImageNet's EfficientNet-Lite0; .safetensors: an earlier network")
    add("--frozen", action=argparse.BooleanOptionalAction, help="of --init, leave the encoder as it is (default: so)")
    add("--classes", metavar="DIR", help="photographs without masks, a folder a class, masked by the --init network")
    add("--seed", type=natural, default=0)
    add("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    add("--precision", choices=["auto", "fp32", "bf16"], default="auto", help="auto: bf16 where the processor has it")
    add("--threads", type=positive, help="CPU threads of torch")
    add("--workers", type=natural, default=1, help="processes that compose pictures (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace an existing --output")

    add = commands.add_parser("evaluate", help="masks against ground truth, on pairs not trained on").add_argument
    add("--data", type=Path, required=True, help="as for train")
    add("--weights", default="cosegment", help="name in weights/ or .safetensors file (default: %(default)s)")
    add("--pictures", type=Path, metavar="FILE", help="also draw some of the pairs and masks into one picture")
    add("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    add("--threads", type=positive, help="CPU threads of torch")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add("--overwrite", action="store_true", help="replace an existing --pictures")
    return parser.parse_args(argv)


def predict(options: argparse.Namespace) -> None:
    """Write masks and overlays, and say how much of each image is in common."""
    from learning.cosegmentation import gather, predict_files

    found = predict_files(
        gather(options.images),
        options.output,
        options.weights,
        threshold=options.threshold,
        partners=options.partners,
        device=options.device,
        overwrite=options.overwrite,
    )
    if options.json:
        print(json.dumps({"threshold": found.threshold, "images": found.images}))
        return
    for entry in found.images:
        print(f"{entry['image']}: {entry['share']:.1%} in common, {entry['mask']}")
    if not any(entry["share"] for entry in found.images):
        print(f"nothing in common was found; a --threshold below {found.threshold:g} finds more")


def train(options: argparse.Namespace) -> None:
    """Train a network."""
    from learning.cosegmentation_training import Recipe, train

    names = ("pairs", "batch_size", "learning_rate", "size", "encoder", "init", "frozen", "classes")
    changes = {name: getattr(options, name) for name in names}
    recipe = Recipe(seed=options.seed, **{name: value for name, value in changes.items() if value is not None})
    card = train(
        options.data,
        options.output,
        options.run,
        recipe,
        device=options.device,
        half={"auto": None, "fp32": False, "bf16": True}[options.precision],
        threads=options.threads,
        workers=options.workers,
        command=options.typed,
    )
    print(f"wrote {options.output} and its card (sha256 {card.sha256[:16]}…)")


def evaluate(options: argparse.Namespace) -> None:
    """Print the table."""
    from learning.cosegmentation_evaluation import as_json, as_markdown, evaluate

    rows = evaluate(options.data, options.weights, options.device, options.pictures)
    print(json.dumps(as_json(rows)) if options.json else as_markdown(rows), end="\n" if options.json else "")


def refuse(options: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything heavy is loaded.

    Raises:
        ValueError: another suffix than what is written, or a result that is there.
    """
    if options.command == "train" and options.output.suffix != ".safetensors":
        raise ValueError(f"--output must end in .safetensors, got {options.output}")
    written = {"train": "output", "evaluate": "pictures"}.get(options.command)
    refuse_existing(getattr(options, written) if written else None, options.overwrite)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    options.typed = shlex.join(["python", "tools/cosegment.py", *(sys.argv[1:] if argv is None else argv)])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        refuse(options)
        if options.threads is not None:
            import torch  # here: so that --help and wrong arguments need no torch

            torch.set_num_threads(options.threads)
        {"predict": predict, "train": train, "evaluate": evaluate}[options.command](options)
    except (OSError, ValueError, RuntimeError, FloatingPointError) as error:
        print(f"cosegment: {str(error).splitlines()[0] if str(error) else type(error).__name__}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cosegment: stopped; a training goes on from its last checkpoint with the same command", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
