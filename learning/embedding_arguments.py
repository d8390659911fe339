"""Arguments that the commands of embeddings share: which data, how they are read, and how a network is trained."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from backbones.embedding import KOCH, NETWORKS
from learning.embedding import EmbeddingRecipe
from learning.embedding_augment import DISTORTIONS
from learning.embedding_data import DATASETS, Parts, Reading, read_dataset
from learning.embedding_download import download
from learning.embedding_network import FRAMINGS, INK, ONE_VIEW, VIEWS, WHOLE, EmbeddingCard
from learning.embedding_scores import evenly
from learning.triplets import MINING
from tracker.arguments import natural, positive

log = logging.getLogger(__name__)
PHOTO = "photo"
AUGMENT = {"mnist": "shift", "fashion-mnist": "none", "omniglot": "strong"}  # all others: photographs
PER_CLASS = {"mnist": 12, "fashion-mnist": 12}  # all others: 4
DRAWN = ("mnist", "fashion-mnist")  # embedded in 2 dimensions, to be looked at
WIDE = 64  # dimensions of all others
SOFT = "soft"
HOLD_OUT = "what to test on, of folders images (default) or classes (lfw: default); omniglot: background alphabets"
# what a training takes where nothing is said, and what it takes of one loss on one data set instead
USUAL: dict[str, Any] = {
    "network": "embeddingnet",
    "dimensions": None,
    "size": None,
    "framing": WHOLE,
    "normalise": False,
    "views": ONE_VIEW,
    "lr": 2e-3,
    "weight_decay": None,
    "epochs": 5,
    "batch_size": None,
    "per_class": None,
    "grouped": 0.0,
    "multiplied": ONE_VIEW,
    "average": 0.0,
}
SUITED: dict[tuple[str, str], dict[str, Any]] = {
    ("nca", "omniglot"): {
        "network": "embeddingnet_fine",
        "dimensions": 128,
        "size": 40,
        "framing": INK,
        "augment": "framed",
        "normalise": True,
        "views": "all",
        "lr": 4e-3,
        "weight_decay": 5e-4,
        "epochs": 15,
        "batch_size": 240,  # four alphabets or so
        "per_class": 2,
        "grouped": 1.0,
        "multiplied": "all",
        "average": 0.1,
    },
}


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data set, and how it is read."""
    add = parser.add_argument
    add("dataset", metavar="DATASET", choices=sorted(DATASETS), help=", ".join(DATASETS))
    add("--data", type=Path, required=True, metavar="DIR", help="its folder")
    add("--download", action="store_true", help="fetch it into --data first: mnist, fashion-mnist, omniglot, orl, lfw")
    add("--min-images", type=positive, metavar="N", help="of folders: leave classes with fewer images out (lfw: 2)")
    add("--hold-out", choices=["images", "classes", "alphabets"], help=HOLD_OUT)
    add("--limit", type=positive, metavar="N", help="learn from N of the training images only, for a quick trial")
    add("--every", type=positive, default=15, metavar="N", help="of videos: every so many-th frame (default: 15)")


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """What network is trained, and how; see `suited` and `recipe_of` for what is not given."""
    add = parser.add_argument
    add("--network", help=f"{', '.join(NETWORKS)}, {KOCH}, or a tracker's backbone (default: embeddingnet)")
    add("--dimensions", type=positive, metavar="D", help="of the embedding (default: 2 for mnist, 64 for others)")
    add("--size", type=positive, metavar="PIXELS", help="side of the images (default: the data set's)")
    add("--grey", action="store_true", help="of colour images: read them grey")
    add("--framing", choices=FRAMINGS, help="the whole image (default), or of a drawing the part with ink")
    add("--normalise", action=argparse.BooleanOptionalAction, help="scale embeddings to length 1")
    add("--views", choices=VIEWS, help="of an image, joined: as it is (default), mirrored, turned by 90°, …, all eight")
    add("--mining", choices=MINING, help="which pairs or triplets to learn from (default: semi-hard; bce: random)")
    add("--warm-up", type=natural, default=0, metavar="N", help="epochs that mine semi-hard ones first (default: 0)")
    add("--margin", type=margin, metavar="M", help="a number, or 'soft' for the triplet loss (its default; others: 1)")
    add("--squared", action="store_true", help="of the triplet loss: compare squared distances, as FaceNet does")
    add("--lr", type=float, help="peak learning rate (default: 0.002)")
    add("--weight-decay", type=float, metavar="λ", help="default: 1e-4; bce: 1e-5, the λ of Koch's term")
    add("--epochs", type=positive, help="default: 5")
    add("--batch-size", type=positive, metavar="N", help="images a step: P classes with K each (default: 120 or less)")
    add("--per-class", type=positive, metavar="K", help="images of a class in a batch (default: 12 for mnist, 4)")
    add("--grouped", type=float, metavar="SHARE", help="omniglot: batches of whole alphabets (default: 0)")
    add(
        "--multiplied",
        choices=VIEWS,
        help="learn each class also mirrored, turned by 90°, …, or both, as other classes",
    )
    add("--average", type=float, metavar="SHARE", help="average the weights over so much of the training (default: 0)")
    add("--augment", choices=sorted(DISTORTIONS), help="distortion (default: what suits the data set)")
    add("--precision", choices=["bf16", "fp32"], help="of the convolutions (default: bf16 where it is the faster one)")
    add("--device", default="cpu", help="default: %(default)s")
    add("--threads", type=positive, help="CPU threads of torch; small networks are fastest with 1")
    add("--seed", type=int, default=0)


def margin(text: str) -> float | str:
    """A positive number or ``soft``."""
    if text == SOFT:
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number or {SOFT!r}, got {text!r}")
    return value


def suited(loss: str, options: argparse.Namespace) -> argparse.Namespace:
    """The options with what suits the loss and the data set where nothing was said.

    Args:
        loss: one of `LOSSES`.
        options: with what both functions above added; left as they are.
    """
    found = USUAL | SUITED.get((loss, options.dataset), {})
    said = {name: value for name, value in vars(options).items() if value is not None}
    return argparse.Namespace(**{**vars(options), **found, **said})


def read_data(
    options: argparse.Namespace, size: int | None = None, channels: int | None = None, framing: str = WHOLE
) -> Parts:
    """The data set that is asked for, fetched first if that is asked for, too.

    Args:
        options: with what `add_data_arguments` added.
        size: side of the images; ``None``: the data set's own.
        channels: 1 or 3; ``None``: the data set's own.
        framing: what of an image is looked at.

    Raises:
        ValueError: see `learning.embedding_data.read_dataset` and `learning.embedding_download.download`.
    """
    if options.download:
        download(options.dataset, options.data, log.info)
    reading = Reading(size, channels, options.min_images, options.hold_out, options.every, framing)
    parts = read_dataset(options.dataset, options.data, reading)
    if options.limit:
        parts = Parts(parts.train.subset(evenly(len(parts.train), options.limit)), parts.test)
    for name, part in zip(("train", "test"), parts, strict=True):
        log.info("%s: %d images of %d classes, %d pixels", name, len(part), len(part.classes), part.size)
    return parts


def read_to_learn(options: argparse.Namespace) -> Parts:
    """The data set as what is trained on it looks at it; see `read_data`."""
    said = suited(options.loss, options)
    return read_data(options, said.size, 1 if options.grey else None, said.framing)


def recipe_of(loss: str, options: argparse.Namespace, classes: int) -> EmbeddingRecipe:
    """The recipe that is asked for, completed by what suits the loss and the data.

    Args:
        loss: one of `LOSSES`.
        options: with what both functions above added.
        classes: of the training part.

    Raises:
        ValueError: a batch size that is no multiple of K, or values that the recipe refuses.
    """
    options = suited(loss, options)
    images = options.per_class or PER_CLASS.get(options.dataset, 4)
    if options.batch_size and options.batch_size % images:
        raise ValueError(f"a batch of {options.batch_size} images cannot hold {images} of each class: not a multiple")
    soft = options.margin == SOFT or (options.margin is None and loss == "triplet")
    return EmbeddingRecipe(
        loss=loss,
        mining=options.mining or ("random" if loss == "bce" else "semi-hard"),
        classes=options.batch_size // images if options.batch_size else max(2, min(classes, 120 // images)),
        images=images,
        epochs=options.epochs,
        learning_rate=options.lr,
        weight_decay=(1e-5 if loss == "bce" else 1e-4) if options.weight_decay is None else options.weight_decay,
        margin=None if soft else options.margin or 1.0,
        squared=options.squared,
        augment=options.augment or AUGMENT.get(options.dataset, PHOTO),
        grouped=options.grouped,
        precision=options.precision or fastest_precision(options.device),
        multiplied=options.multiplied,
        seed=options.seed,
        warm_up=options.warm_up,
        average=options.average,
    )


def fastest_precision(device: str) -> str:
    """ "bf16" where the device has instructions for it, else "fp32"."""
    import torch

    from tracker.processor import has_bf16

    kind = torch.device(device).type
    fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported() if kind == "cuda" else has_bf16()
    return "bf16" if fast else "fp32"


def card_of(loss: str, options: argparse.Namespace, data: Parts) -> EmbeddingCard:
    """The card of the untrained network that is asked for."""
    options = suited(loss, options)
    classes = len(data.train.classes) * VIEWS[options.multiplied]
    return EmbeddingCard(
        options.network,
        channels=data.train.channels,
        size=data.train.size,
        dimensions=options.dimensions or (2 if options.dataset in DRAWN and loss != "bce" else WIDE),
        normalise=options.normalise,
        views=options.views,
        invert=options.dataset == "omniglot",
        framing=options.framing,
        loss=loss,
        classes=classes if loss == "softmax" else 0,
    )
