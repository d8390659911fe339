"""Patches with identities, and the pairs that are drawn of them."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
import pytest

from learning.pair_data import (
    FALSE_ALARM,
    PairFootage,
    PairSampler,
    augment,
    disguise,
    identities,
    read_pair_footage,
)
from tracker.association.appearance import pair_patches
from tracker.box import overlap, to_mot

SIZE = (32, 16)
WIDE = (5, 38, 18)


def footage(frames: int = 40, people: int = 4, false: int = 1, seed: int = 0) -> PairFootage:
    """Each person in every frame, in a grey of their own; false alarms black."""
    identity = np.tile([*range(people), *[FALSE_ALARM] * false], frames)
    frame = np.repeat(np.arange(frames), people + false)
    patches = np.zeros((len(frame), *WIDE), np.uint8) + (40 * (identity + 1))[:, None, None, None].astype(np.uint8)
    return PairFootage(patches, frame, identity, np.ones(len(frame), bool), SIZE)


def test_identities_are_given_one_for_one_by_the_most_overlap() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        real = random.uniform(0, 30, (3, 4)) + (0, 0, 10, 10)
        boxes = np.concatenate([real[:2] + random.normal(0, 3, (2, 4)), random.uniform(0, 30, (1, 4)) + (0, 0, 9, 9)])
        found = identities(boxes, real, np.array([7, 8, 9]))
        shared = np.where((table := overlap(boxes[:, None], real[None])) >= 0.5, table, 0)
        best = max(sum(shared[row, column] for row, column in enumerate(order)) for order in permutations(range(3)))
        used = [(row, id - 7) for row, id in enumerate(found) if id != FALSE_ALARM]
        assert sum(shared[row, column] for row, column in used) == pytest.approx(best)
        assert all(shared[row, column] >= 0.5 for row, column in used)
        assert len({column for _, column in used}) == len(used)
    assert identities(np.empty((0, 4)), real, np.array([7, 8, 9])).shape == (0,)
    assert identities(real, np.empty((0, 4)), np.empty(0, np.int64)).tolist() == [FALSE_ALARM] * 3


def test_pairs_are_named_rightly_and_are_half_of_one_person() -> None:
    sampler = PairSampler(footage(), pairs=60)
    for seed in range(5):
        batch = sampler.draw(np.random.default_rng(seed))
        assert batch.patches.shape[1:] == (5, *SIZE)
        greys = batch.patches[:, 4].mean((1, 2))  # that channel is only noised
        close = (greys[batch.first] - greys[batch.second]).abs() < 20
        assert (close == batch.same).all()
        assert batch.same.sum() == 30
        assert len(batch.same) == 60
        assert ((greys[batch.first] > 20) | (greys[batch.second] > 20)).all()  # two false alarms are no pair
        assert (batch.first != batch.second).all()


def test_the_same_random_numbers_draw_the_same_batch() -> None:
    sampler = PairSampler(footage(), pairs=20)
    one, two, other = (sampler.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one.patches == two.patches).all()
    assert (one.first == two.first).all()
    assert one.patches.shape != other.patches.shape or (one.patches != other.patches).any()


def test_footage_without_pairs_is_refused() -> None:
    for nobody in (footage(people=1), footage(frames=1), footage(people=0)):
        with pytest.raises(ValueError, match="pairs need two people or more"):
            PairSampler(nobody)


def test_mirroring_turns_the_motion_around() -> None:
    patches = np.full((2, *WIDE), 128, np.uint8)
    patches[:, 3] = 150
    patches[:, :3, :, :9] = 30  # dark at the left
    mirrored = set()
    for seed in range(12):
        cut = augment(patches, SIZE, np.random.default_rng(seed))
        assert cut.dtype == np.float32
        assert 0 <= cut.min() <= cut.max() <= 255
        right_is_dark = cut[0, 1, :, -4:].mean() < cut[0, 1, :, :4].mean()
        assert cut[0, 3].mean() == pytest.approx(106 if right_is_dark else 150, abs=1)
        assert cut[0, 4].mean() == pytest.approx(128, abs=1)
        mirrored.add(bool(right_is_dark))
    assert mirrored == {True, False}


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Six frames of two patches that walk; of one of them the detector sees half of the frames, and a false alarm."""
    random = np.random.default_rng(0)
    texture = cv2.resize(random.integers(0, 256, (60, 80, 3)).astype(np.uint8), (320, 240))
    for folder in ("img1", "gt", "det"):
        (tmp_path / folder).mkdir()
    coats = {id: cv2.resize(random.integers(0, 256, (24, 12, 3)).astype(np.uint8), (48, 96)) for id in (1, 2)}
    truth, found = [], []
    for index in range(6):
        image = texture.copy()
        for id, (x, y) in enumerate([(40 + 8 * index, 60), (200 - 4 * index, 80)], 1):
            image[y : y + 96, x : x + 48] = coats[id]
            bx, by, bw, bh = to_mot([x, y, 48, 96])
            truth.append(f"{index + 1},{id},{bx},{by},{bw},{bh},1")
            if id == 1 or index % 2:
                found.append(f"{index + 1},-1,{bx + 1},{by},{bw},{bh},0.9")
        found.append(f"{index + 1},-1,1,1,10,10,0.6")
        truth.append(f"{index + 1},9,50,90,10,20,0")  # does not count
        cv2.imwrite(str(tmp_path / "img1" / f"{index:06d}.png"), image)
    (tmp_path / "gt" / "gt.txt").write_text("\n".join(truth))
    (tmp_path / "det" / "det.txt").write_text("\n".join(found))
    return tmp_path


def test_a_sequence_is_cut_into_patches_with_identities(sequence: Path) -> None:
    read = read_pair_footage(sequence, SIZE)
    assert len(read) == 6 + 3 + 6 + 12  # detections of one, of the other, false alarms; ground truth
    detected = read.identity[read.detected]
    assert [int((detected == id).sum()) for id in (1, 2, FALSE_ALARM)] == [6, 3, 6]
    assert (np.bincount(read.identity[~read.detected]) == [0, 6, 6]).all()
    later = read.between(2, 3)
    assert set(later.frame.tolist()) == {2, 3}
    row = np.flatnonzero((later.identity == 2) & ~later.detected)[0]
    image = cv2.imread(str(sequence / "img1" / "000002.png"))
    assert image is not None
    flow = np.zeros((*image.shape[:2], 2), np.float32)
    expected = pair_patches(image, flow, np.array([[192.0, 80, 48, 96]]), SIZE)[0]
    assert np.abs(later.middle[row][:3].astype(int) - expected[:3]).max() <= 3
    moving = np.median(later.middle[row][3, 8:24, 4:12]) - 128.0  # four pixels to the left in a box 96 high
    assert moving == pytest.approx(-4 / 96 * 256, abs=3)


def test_people_are_dressed_alike_in_all_their_patches_and_the_background_stays() -> None:
    identity = np.array([1, 1, 2, 2, FALSE_ALARM])
    patches = np.full((5, *WIDE), 128, np.uint8)
    patches[:, 1:3] = np.array([97, 138])[:, None, None]  # grey has no hue to turn: only the shift is seen
    patches[:, 3:] = 77
    changed, differed = 0, 0
    for seed in range(10):
        dressed = disguise(patches, identity, np.random.default_rng(seed))
        assert (dressed[:, 3:] == 77).all()  # the motion is not touched
        assert (dressed[0] == dressed[1]).all()
        assert (dressed[2] == dressed[3]).all()
        assert np.abs(dressed[:, :3, :, [0, -1]].astype(int) - patches[:, :3, :, [0, -1]]).max() <= 2
        middle = dressed[:, :3, 8, 9].astype(int), dressed[:, :3, 30, 9].astype(int)
        changed += bool(np.abs(middle[0][0] - patches[0, :3, 8, 9]).max() > 2)
        differed += bool(np.abs(middle[0][0] - middle[1][0]).max() > 2) and bool((middle[0][0] != middle[0][2]).any())
    assert changed >= 5
    assert differed >= 4
