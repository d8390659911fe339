"""Hard negatives across scenes: which tracks does a network take for each other?

Pairs of a batch that stand beside each other are negatives of each other (`learning.pairs`). Tracks of one kind are
look-alikes by name only; here a trained network says which ones it confuses. The first stage compares kernels by their
cosine, which costs one look at each track. The second, if asked for, searches each track's own region with the kernels
of the first stage's candidates, as a tracker would, and goes by the peak of the response.

Tracks that share images, or are joined by a third that does, are of one scene and never neighbours. Neither are
synthetic tracks of any: they are pasted from the same cut-outs, and the nearest would be the object itself.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.crops import Cropper
from learning.footage import Footage, Track
from learning.footage import scenes as scenes_of
from tracker.crop import crop_matrix, exemplar_side, mean_colour
from tracker.network import SiameseNetwork

NOBODY = -1
GROUPS = ("video", "still")
SAME = 0.98  # cosine of kernels beyond which two tracks are rather the same object than look-alikes


def nearest_tracks(
    footage: Footage,
    network: SiameseNetwork,
    k: int,
    shortlist: int = 0,
    groups: Collection[str] = GROUPS,
    same: float = SAME,
    batch: int = 64,
    device: torch.device | str = "cpu",
) -> NDArray[np.int64]:
    """The tracks of other scenes that the network finds most like each track.

    Args:
        footage: images and T tracks.
        network: the model; it is left in evaluation mode on `device`.
        k: neighbours of each track.
        shortlist: candidates of the first stage that are searched for by the second; 0: no second stage.
        groups: tracks of other groups neither have neighbours nor are any.
        same: cosine of kernels beyond which two tracks are taken for one object; 1.01 takes none for that.
        batch: crops at a time.
        device: to compute on.

    Returns:
        (T, k) indices of tracks, the nearest first; −1 where there are fewer.

    Raises:
        ValueError: k < 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    network = network.eval().to(device)
    chosen = [index for index, track in enumerate(footage.tracks) if track.group in groups]
    tracks = [footage.tracks[index] for index in chosen]
    neighbours = np.full((len(footage.tracks), k), NOBODY)
    if not tracks:
        return neighbours
    cropper = Cropper(footage.images, device)
    scenes = torch.tensor(scenes_of(footage.tracks))[chosen]
    kernels = kernels_of(cropper, tracks, network, batch)
    order = _by_cosine(kernels.flatten(1), scenes.to(kernels.device), max(k, shortlist), same, batch)
    if shortlist:
        order = _by_response(cropper, tracks, network, kernels, order)
    found = order[:, :k].cpu().numpy()
    neighbours[np.array(chosen), : found.shape[1]] = np.where(found == NOBODY, NOBODY, np.array(chosen)[found])
    return neighbours


@torch.no_grad()
def kernels_of(cropper: Cropper, tracks: list[Track], network: SiameseNetwork, batch: int = 64) -> Tensor:
    """(T, K, k, k) kernels of each track's middle frame."""
    size = network.card.exemplar_size
    return torch.cat(
        [
            network.template(_crops(cropper, tracks[start : start + batch], size, 1.0))
            for start in range(0, len(tracks), batch)
        ]
    )


def _crops(cropper: Cropper, tracks: list[Track], size: int, context: float) -> Tensor:
    """(n, 3, size, size) crops of the tracks' middle frames, `context` exemplars wide."""
    images, maps = [], []
    for track in tracks:
        middle = len(track) // 2
        x, y, w, h = track.boxes[middle].tolist()
        images.append(int(track.images[middle]))
        maps.append(crop_matrix((x + w / 2, y + h / 2), exemplar_side(w, h) * context, size))
    borders = torch.tensor([mean_colour(cropper.images[image]) for image in images], dtype=torch.float32)
    return cropper(torch.tensor(images), torch.from_numpy(np.stack(maps)), borders, size)


def _by_cosine(kernels: Tensor, scenes: Tensor, count: int, same: float, batch: int) -> Tensor:
    """(T, count) indices of the kernels of other scenes with the largest cosine; −1 where there are fewer.

    The mean of all kernels is taken off before: it is what all crops have in common, not what tells them apart.
    """
    units = torch.nn.functional.normalize(kernels - kernels.mean(0), dim=1)
    count, rows = min(count, len(units)), []
    for start in range(0, len(units), batch):
        cosines = units[start : start + batch] @ units.T
        foreign = scenes[start : start + batch, None] != scenes
        best = torch.where(foreign & (cosines <= same), cosines, -torch.inf).topk(count)
        rows.append(best.indices.masked_fill(best.values == -torch.inf, NOBODY))
    return torch.cat(rows)


@torch.no_grad()
def _by_response(
    cropper: Cropper, tracks: list[Track], network: SiameseNetwork, kernels: Tensor, candidates: Tensor
) -> Tensor:
    """The candidates of each track, ordered by the peak of its own search region's response to them."""
    card, ordered = network.card, torch.full_like(candidates, NOBODY)
    for row, track in enumerate(tracks):
        others = candidates[row][candidates[row] != NOBODY]
        if len(others):
            crop = _crops(cropper, [track], card.search_size, card.search_size / card.exemplar_size)
            features = network.features(crop).expand(len(others), -1, -1, -1)
            peaks = network.head.search(features, kernels[others])[:, 0].amax((1, 2))
            ordered[row, : len(others)] = others[peaks.argsort(descending=True)]
    return ordered
