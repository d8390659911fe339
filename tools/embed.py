"""Train, judge and use embeddings: networks that put what is alike side by side.

examples:
  python tools/embed.py train triplet mnist --data ../shared/data/mnist --output runs/mnist.safetensors --animation runs/mnist.gif
  python tools/embed.py train contrastive folder --data ~/flowers --network compact --size 127 --output flowers.safetensors
  python tools/embed.py show runs/mnist.safetensors mnist --data ../shared/data/mnist --output runs/mnist-pictures

`python tools/embed.py COMMAND --help` has more of each.
"""  # noqa: E501

from __future__ import annotations

import argparse
import importlib
import logging
import sys

COMMANDS = {  # each module has add_arguments(parser) and run(options) → text to print; loaded only when asked for
    "train": ("learning.embedding_command", "train a network by softmax, contrastive, bce or triplet loss"),
    "show": ("learning.embedding_show", "draw the latent space, neighbours, hardest pairs, ROC; export to TensorBoard"),
    "mining": ("learning.mining_effect", "accuracy against epochs with each way of mining, from the same start"),
    "table": ("learning.embedding_table", "loss × mining × data set, every measure, in one table"),
    "search": ("learning.search", "the images of a folder that are most like one image"),
    "verify": ("learning.faces", "enrol names, verify and identify images"),
}


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, words) in COMMANDS.items():
        asked = name in arguments[:1]
        implementation = importlib.import_module(module) if asked else None
        command = commands.add_parser(
            name,
            help=words,
            description=implementation.__doc__ if implementation else words,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if implementation:
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser.parse_args(arguments)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        answer = options.run(options)
    except (ImportError, OSError, ValueError) as error:
        print(f"embed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("embed: stopped; the same command goes on from the last checkpoint, if there is one", file=sys.stderr)
        return 130
    if isinstance(answer, str):  # what the command has to say
        print(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
