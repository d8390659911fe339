"""Draw what the network sees in training: a sheet of pairs, augmented, the target outlined in the search region.

python -m learning.sheet compact --cache runs/cache --output runs/pairs.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from learning.augment import augment_pairs
from learning.crops import Cropper
from learning.footage import Footage
from learning.pairs import PairBatches
from learning.siamese import RECIPES, Recipe

Image = NDArray[np.uint8]


def sheet(footage: Footage, recipe: Recipe, seed: int = 0, columns: int = 4) -> Image:
    """One batch of pairs as one picture.

    Args:
        footage: the training data.
        recipe: how pairs are drawn.
        seed: of pairs and augmentation.
        columns: pairs in a row.
    """
    exemplar_size, search_size = recipe.card.exemplar_size, recipe.search_size
    batches = PairBatches(footage, recipe.batch_size, 1, seed, exemplar_size, search_size, recipe.data)
    batch, cropper = next(iter(batches)), Cropper(footage.images)
    exemplars = cropper(batch.exemplar_images, batch.exemplar_maps, batch.exemplar_borders, exemplar_size)
    behind = cropper(batch.behind_images, batch.behind_maps, batch.behind_borders, search_size)
    searches = cropper(batch.search_images, batch.search_maps, behind, search_size)
    exemplars, searches = augment_pairs(exemplars, searches, batch.boxes, torch.Generator().manual_seed(seed))
    tiles = [_tile(z, x, box) for z, x, box in zip(exemplars, searches, batch.boxes.tolist(), strict=True)]
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles) - columns + 1, columns)]
    return np.vstack(rows)


def _tile(exemplar: torch.Tensor, search: torch.Tensor, box: Sequence[float]) -> Image:
    """Exemplar beside search region."""
    left, right = (np.ascontiguousarray(crop.permute(1, 2, 0).to(torch.uint8).numpy()) for crop in (exemplar, search))
    x, y, w, h = box
    cv2.rectangle(right, (round(x), round(y)), (round(x + w), round(y + h)), (0, 200, 0), 2)
    left = cv2.copyMakeBorder(left, 0, len(right) - len(left), 0, 2, cv2.BORDER_CONSTANT)
    return np.hstack([left, right])


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m learning.sheet", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="the decoded footage of a training run")
    parser.add_argument("--output", type=Path, required=True, help="picture to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    picture = sheet(Footage.load(options.cache), RECIPES[options.model], options.seed)
    if not cv2.imwrite(str(options.output), picture):
        raise SystemExit(f"{options.output} cannot be written")


if __name__ == "__main__":
    main()
