"""Mining: neighbours are those of a plain loop over all tracks, never of one's own scene, and look-alikes indeed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learning import mining
from learning.footage import Footage
from learning.mining import NOBODY
from tracker.crop import centre_of, crop, exemplar_side, mean_colour
from tracker.network import SiameseNetwork

Z, X = 127, 255


def _footage() -> Footage:
    """Five images with one or two tracks each: seven of them, video, still and synthetic."""
    rng, footage = np.random.default_rng(0), Footage()
    for number in range(5):
        image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) // (number + 1)
        first, second = footage.add_image(image), footage.add_image(image[::-1].copy())
        group = "synthetic" if number == 4 else "video"
        footage.add_track(f"{number}/a", group, [first, second], [(20.0, 30.0, 30.0, 20.0), (40.0, 20.0, 20.0, 30.0)])
        if number < 2:
            footage.add_track(f"{number}/b", "still", second, (70.0, 40.0, 24.0, 24.0))
    return footage


def _crop(footage: Footage, index: int, size: int, context: float) -> torch.Tensor:
    """(1, 3, size, size) of a track's middle frame, cut out as the tracker does it."""
    track = footage.tracks[index]
    middle = len(track) // 2
    image, box = footage.images[track.images[middle]], tuple(track.boxes[middle].tolist())
    side = exemplar_side(*box[2:]) * context
    cut = crop(image, centre_of(box), side, size, mean_colour(image))  # type: ignore[arg-type]
    return torch.from_numpy(cut).permute(2, 0, 1)[None].float()


@pytest.fixture(scope="module")
def found(networks: dict[str, SiameseNetwork]) -> dict[str, np.ndarray]:
    """A plain loop's cosines and peaks, (7, 7), of the compact network."""
    footage, network = _footage(), networks["compact"]
    with torch.no_grad():
        kernels = [network.template(_crop(footage, index, Z, 1.0)) for index in range(7)]
        vectors = [kernel.flatten().numpy() for kernel in kernels]
        peaks = np.array(
            [
                [float(network.search(_crop(footage, one, X, X / Z), kernels[two])[0, 0].max()) for two in range(7)]
                for one in range(7)
            ]
        )
    chosen = [index for index, track in enumerate(footage.tracks) if track.group != "synthetic"]
    mean = np.mean([vectors[index] for index in chosen], axis=0)
    cosines = np.zeros((7, 7))
    for one in range(7):
        for two in range(7):
            a, b = vectors[one] - mean, vectors[two] - mean
            cosines[one, two] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return {"cosine": cosines, "peak": peaks}


SCENES = [0, 0, 1, 1, 2, 3, 4]  # of the tracks 0/a, 0/b, 1/a, 1/b, 2/a, 3/a, 4/a


def _expected(scores: np.ndarray, track: int, candidates: list[int], k: int) -> list[int]:
    others = [other for other in candidates if SCENES[other] != SCENES[track]]
    best = sorted(others, key=lambda other: -scores[track, other])[:k]
    return best + [NOBODY] * (k - len(best))


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("batch", [2, 64])
def test_neighbours_are_those_of_a_plain_loop(
    networks: dict[str, SiameseNetwork], found: dict[str, np.ndarray], k: int, batch: int
) -> None:
    neighbours = mining.nearest_tracks(_footage(), networks["compact"], k, same=1.0, batch=batch)
    assert neighbours.shape == (7, k)
    for track in range(6):
        assert neighbours[track].tolist() == _expected(found["cosine"], track, list(range(6)), k)
    assert (neighbours[6] == NOBODY).all(), "synthetic"


def test_the_second_stage_orders_the_first_ones_candidates_by_their_peaks(
    networks: dict[str, SiameseNetwork], found: dict[str, np.ndarray]
) -> None:
    neighbours = mining.nearest_tracks(_footage(), networks["compact"], 2, shortlist=3, same=1.0)
    for track in range(6):
        shortlist = _expected(found["cosine"], track, list(range(6)), 3)
        assert neighbours[track].tolist() == _expected(found["peak"], track, shortlist, 2)


def test_the_siamfc_head_can_be_asked_too(networks: dict[str, SiameseNetwork]) -> None:
    neighbours = mining.nearest_tracks(_footage(), networks["ciresnet22"], 2, shortlist=2)
    for track in range(6):
        assert NOBODY not in neighbours[track]
        assert all(SCENES[other] != SCENES[track] for other in neighbours[track])


def test_the_same_object_in_another_scene_is_no_neighbour(networks: dict[str, SiameseNetwork]) -> None:
    footage = _footage()
    original = footage.tracks[5]
    twin = footage.add_image(footage.images[original.images[1]].copy())
    footage.add_track("twin", "still", twin, original.boxes[1])
    assert mining.nearest_tracks(footage, networks["compact"], 1, same=1.01)[5, 0] == 7
    assert mining.nearest_tracks(footage, networks["compact"], 1)[5, 0] not in (7, NOBODY)


def test_groups_choose_who_takes_part(networks: dict[str, SiameseNetwork]) -> None:
    neighbours = mining.nearest_tracks(_footage(), networks["compact"], 2, groups=("still",))
    assert neighbours.tolist() == [[-1, -1], [3, -1], [-1, -1], [1, -1], [-1, -1], [-1, -1], [-1, -1]]


def test_nothing_to_mine_is_no_error_and_no_neighbours_is(networks: dict[str, SiameseNetwork]) -> None:
    assert mining.nearest_tracks(Footage(), networks["compact"], 3).shape == (0, 3)
    with pytest.raises(ValueError, match="k must be at least 1"):
        mining.nearest_tracks(_footage(), networks["compact"], 0)
