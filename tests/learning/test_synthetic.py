from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from learning import synthetic
from learning.cache import build_cache
from learning.footage import Footage
from learning.synthetic import LEAST_VISIBLE, Clip, Cutout, compose_clip, compose_footage, cut_out, read_cutouts

SIZE = (192, 144)
CLIPS = 40


def _disc(radius: int, colour: tuple[int, int, int], category: str = "disc") -> Cutout:
    side = 4 * radius
    mask = cv2.circle(np.zeros((side, side), np.uint8), (2 * radius, 2 * radius), radius, 1, -1) > 0
    made = cut_out(np.full((side, side, 3), colour, np.uint8), mask, category)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def cutouts() -> list[Cutout]:
    return [_disc(25, (255, 255, 255)), _disc(40, (200, 240, 255)), _disc(30, (255, 200, 240), "other")]


@pytest.fixture(scope="module")
def black() -> list[np.ndarray]:
    return [np.zeros((60, 90, 3), np.uint8)]


@pytest.fixture(scope="module")
def clips(cutouts: list[Cutout], black: list[np.ndarray]) -> list[Clip]:
    return [compose_clip(cutouts, black, np.random.default_rng(seed), size=SIZE) for seed in range(CLIPS)]


def _box_by_loop(mask: np.ndarray) -> tuple[int, int, int, int]:
    points = [(x, y) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]
    xs, ys = {x for x, _ in points}, {y for _, y in points}
    return min(xs), min(ys), max(xs) + 1 - min(xs), max(ys) + 1 - min(ys)


class TestCutOut:
    def test_keeps_the_object_and_its_alpha(self) -> None:
        image = np.zeros((100, 120, 3), np.uint8)
        image[20:80, 30:90] = (10, 120, 240)
        mask = image[..., 2] > 0
        made = cut_out(image, mask, "square")
        assert made is not None
        assert max(made.alpha.shape) == 60
        assert made.image.shape == (*made.alpha.shape, 3)
        assert made.alpha[30, 30] == 1
        assert tuple(made.image[30, 30]) == (10, 120, 240)
        assert made.alpha[0].max() < 0.5  # the edge is soft and lies inside

    def test_large_objects_are_scaled_down(self) -> None:
        mask = np.zeros((500, 700), bool)
        mask[50:450, 50:650] = True
        made = cut_out(np.zeros((500, 700, 3), np.uint8), mask)
        assert made is not None
        assert max(made.alpha.shape) == 200

    @pytest.mark.parametrize(
        "parts",
        [
            [],
            [(slice(40, 70), slice(40, 70))],  # too small
            [(slice(20, 180), slice(40, 48))],  # a line
            [(slice(0, 60), slice(0, 200))],  # truncated by three borders
            [(slice(20, 80), slice(20, 80)), (slice(100, 160), slice(20, 80))],  # two objects
        ],
    )
    def test_refuses_what_is_not_one_whole_object(self, parts: list[tuple[slice, slice]]) -> None:
        mask = np.zeros((200, 200), bool)
        for part in parts:
            mask[part] = True
        assert cut_out(np.zeros((200, 200, 3), np.uint8), mask) is None


def _annotated(root: Path) -> None:
    """A labelled mask with two objects, a mask of 0 and 255, a polygon, and a box without either."""
    root.mkdir()
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    labels = np.zeros((120, 160), np.uint8)
    labels[10:70, 10:60], labels[20:110, 80:140] = 1, 2
    for name, picture in (("image.png", image), ("labels.png", labels), ("mask.png", 255 * (labels == 1))):
        assert cv2.imwrite(str(root / name), picture.astype(np.uint8))
    box = {"image": "image.png", "box": [0, 0, 50, 50], "seq": "0", "frame": 0}
    entries = [
        {**box, "obj": 1, "cat": "a", "mask": "labels.png"},
        {**box, "obj": 2, "cat": "b", "mask": "labels.png"},
        {**box, "obj": 1, "cat": "c", "mask": "mask.png"},
        {**box, "obj": 1, "cat": "d", "polygon": [20, 30, 120, 30, 120, 80, 20, 80]},
        {**box, "obj": 1, "cat": "e", "polygon": None},
        {**box, "obj": 1, "cat": "f", "mask": "mask.png", "seq": "left out"},
    ]
    (root / "annotations.json").write_text(json.dumps({"annotations": entries}))


def test_read_cutouts_takes_masks_labels_and_polygons(tmp_path: Path) -> None:
    _annotated(tmp_path / "set")
    found = {cutout.category: cutout.alpha.shape for cutout in read_cutouts(tmp_path / "set", exclude=("left out",))}
    assert set(found) == {"set/a", "set/b", "set/c", "set/d"}
    for category, (height, width) in {"a": (60, 50), "b": (90, 60), "c": (60, 50), "d": (50, 100)}.items():
        assert found[f"set/{category}"] == pytest.approx((height, width), abs=1)
    assert len(read_cutouts(tmp_path / "set", stride=2)) == 2


def test_annotations_without_masks_give_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text('{"annotations": [{"image": "a.png", "box": [0, 0, 9, 9]}]}')
    with pytest.raises(ValueError, match="mask or polygon"):
        read_cutouts(tmp_path)


class TestComposeClip:
    def test_boxes_are_exact_against_the_pixels(self, cutouts: list[Cutout], black: list[np.ndarray]) -> None:
        """A bright object alone on black: what is brighter than half of its colour is what alpha > 0.5 covers."""
        checked = 0
        for seed in range(5 * CLIPS):
            clip = compose_clip(cutouts[:1], black, np.random.default_rng(seed), size=SIZE)
            if len(clip.boxes) > 1:
                continue
            for image, box, visible in zip(clip.images, clip.boxes[0], clip.visibility[0], strict=True):
                bright = image.max(2) > image.max() / 2
                alone = cv2.connectedComponents(bright.astype(np.uint8))[0] == 2  # and no occluder beside it
                # 255 may be clipped, and half of it not half of the colour
                if visible == 1 and alone and image.max() < 255:
                    np.testing.assert_allclose(box, _box_by_loop(bright), atol=1)
                    checked += 1
        assert checked >= 10

    def test_layer_boxes_equal_a_loop_over_alpha(self, cutouts: list[Cutout]) -> None:
        for seed in range(20):
            rng = np.random.default_rng(seed)
            actor = synthetic._act(cutouts[0], 50, synthetic._path(rng, 4, SIZE), rng, shutter=0.8)
            layer = synthetic._layer(actor, 2, SIZE)
            alpha = np.zeros(SIZE[::-1], np.float32)
            alpha[layer.y : layer.y + layer.alpha.shape[0], layer.x : layer.x + layer.alpha.shape[1]] = layer.alpha
            covered = synthetic._paste(np.zeros((*SIZE[::-1], 3), np.uint8), layer)
            np.testing.assert_array_equal(covered, alpha > 0.5)
            assert tuple(synthetic._tight_box(covered)) == _box_by_loop(alpha > 0.5)

    def test_an_upright_disc_is_centred_where_it_was_put(self, cutouts: list[Cutout]) -> None:
        rng = np.random.default_rng(0)
        centres = np.array([[70.25, 60.5], [71.75, 61.0], [72.5, 61.5]])
        actor = replace(synthetic._act(cutouts[0], 60, centres, rng), bends=None)
        for frame, centre in enumerate(centres):
            layer = synthetic._layer(actor, frame, SIZE)
            ys, xs = np.mgrid[: layer.alpha.shape[0], : layer.alpha.shape[1]] + 0.5
            mass = layer.alpha.sum()
            found = (xs * layer.alpha).sum() / mass + layer.x, (ys * layer.alpha).sum() / mass + layer.y
            np.testing.assert_allclose(found, centre, atol=0.25)

    def test_a_bend_moves_pixels_as_far_as_it_says(self) -> None:
        """The same displacement at every control point is a shift; none is nothing."""
        image = np.random.default_rng(0).random((40, 60)).astype(np.float32)
        np.testing.assert_array_equal(synthetic._bent(image, np.zeros((4, 4, 2))), image)
        moved = synthetic._bent(image, np.full((4, 4, 2), (3, -2)))
        np.testing.assert_allclose(moved[5:-5, 5:-5], image[3:-7, 8:-2], atol=1e-5)

    def test_boxes_enclose_a_body_that_bends(self, cutouts: list[Cutout]) -> None:
        rng = np.random.default_rng(0)
        rigid = replace(synthetic._act(cutouts[0], 60, np.full((2, 2), 70.0), rng), bends=None)
        wide = np.zeros((2, 4, 4, 2))
        wide[:, :, :2, 0], wide[:, :, 2:, 0] = 6, -6  # looked up further in on both sides: drawn wider
        bent = replace(rigid, bends=wide)
        boxes = [
            synthetic._tight_box(synthetic._paste(np.zeros((144, 192, 3), np.uint8), synthetic._layer(actor, 0, SIZE)))
            for actor in (rigid, bent)
        ]
        assert boxes[1][2] > boxes[0][2] + 6
        assert boxes[1][3] == pytest.approx(boxes[0][3], abs=3)

    def test_half_of_the_backgrounds_are_videos_in_their_order(self, black: list[np.ndarray]) -> None:
        video = [np.full((30, 40, 3), value, np.uint8) for value in range(1, 21)]
        moving = []
        for seed in range(200):
            chosen = synthetic._background(black, [video], 6, np.random.default_rng(seed))
            values = [int(image[0, 0, 0]) for image in chosen]
            if values != [0]:
                assert len(values) == 6
                steps = np.diff(values)
                assert (steps == steps[0]).all()
                moving.append(steps[0])
        assert 70 < len(moving) < 130
        assert set(moving) == {1, 2, 3}  # twenty frames have no room for six at a distance of four

    def test_a_video_too_short_starts_again(self, black: list[np.ndarray]) -> None:
        video = [np.full((30, 40, 3), value, np.uint8) for value in (100, 200)]
        shots = synthetic._film(video, SIZE, np.zeros((5, 2)), np.random.default_rng(0))
        brightness = np.array([shot.mean() for shot in shots])
        assert brightness[[1, 3]].min() > 1.5 * brightness[[0, 2, 4]].max()

    def test_the_same_seed_gives_the_same_clip(self, cutouts: list[Cutout], black: list[np.ndarray]) -> None:
        a, b, other = (compose_clip(cutouts, black, np.random.default_rng(seed), size=SIZE) for seed in (3, 3, 4))
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.boxes, b.boxes)
        assert not np.array_equal(a.images, other.images)

    def test_shapes_and_ranges(self, clips: list[Clip]) -> None:
        for clip in clips:
            objects = len(clip.boxes)
            assert [image.shape for image in clip.images] == [(144, 192, 3)] * 6
            assert {image.dtype for image in clip.images} == {np.dtype(np.uint8)}
            assert clip.boxes.shape == (objects, 6, 4)
            assert clip.visibility.shape == (objects, 6)
            assert clip.visibility.min() >= 0
            assert clip.visibility.max() <= 1
            seen = clip.boxes[clip.visibility > 0]
            assert (seen[:, :2] >= 0).all()
            assert (seen[:, :2] + seen[:, 2:] <= SIZE).all()

    def test_distractors_never_sit_on_the_target(self, clips: list[Clip]) -> None:
        met = 0
        for clip in clips:
            whole = (clip.visibility[0] >= LEAST_VISIBLE) & (clip.visibility[1:] == 1)
            for distractor, frames in zip(clip.boxes[1:], whole, strict=True):
                target, other = clip.boxes[0][frames], distractor[frames]
                centre = other[:, :2] + other[:, 2:] / 2
                inside = (centre > target[:, :2]) & (centre < target[:, :2] + target[:, 2:])
                assert not inside.all(1).any()
                met += len(other)
        assert met >= 20

    def test_clips_vary_in_what_they_should_teach(self, clips: list[Clip]) -> None:
        assert {len(clip.boxes) for clip in clips} == {1, 2, 3}
        ratios, steps = [], []
        for clip in clips:
            seen = clip.boxes[0][clip.visibility[0] == 1]
            if len(seen) == 6:
                ratios.append(np.sqrt(seen[-1, 2:].prod() / seen[0, 2:].prod()))
                steps.append(np.linalg.norm(np.diff(seen[:, :2] + seen[:, 2:] / 2, axis=0), axis=1).max())
        assert min(ratios) < 0.85
        assert max(ratios) > 1.15
        assert max(max(ratios), 1 / min(ratios)) < 1.6  # ±40 % and what rotation and blur add to a box
        assert min(steps) < 3
        assert max(steps) > 10
        assert any(0 < visible < 0.8 for clip in clips for visible in clip.visibility[0])

    def test_visibility_counts_what_is_not_covered(self, cutouts: list[Cutout]) -> None:
        """Half of a disc beyond the left border: half of it is visible, and its box ends at the border."""
        rng = np.random.default_rng(0)
        actor = synthetic._act(cutouts[0], 60, np.tile([[0.0, 70.0]], (3, 1)), rng)
        layer = synthetic._layer(actor, 1, SIZE)
        covered = synthetic._paste(np.zeros((*SIZE[::-1], 3), np.uint8), layer)
        assert covered.sum() / layer.area == pytest.approx(0.5, abs=0.03)
        assert synthetic._tight_box(covered)[0] == 0

    def test_an_object_beyond_the_image_has_no_box(self, cutouts: list[Cutout]) -> None:
        actor = synthetic._act(cutouts[0], 60, np.full((3, 2), -500.0), np.random.default_rng(0))
        covered = synthetic._paste(np.zeros((*SIZE[::-1], 3), np.uint8), synthetic._layer(actor, 1, SIZE))
        assert not covered.any()
        assert np.isnan(synthetic._tight_box(covered)).all()

    def test_refuses_nothing_to_compose(self, cutouts: list[Cutout], black: list[np.ndarray]) -> None:
        rng = np.random.default_rng(0)
        for arguments in (([], black, rng), (cutouts, [], rng), (cutouts, black, rng, 1)):
            with pytest.raises(ValueError, match="a clip needs"):
                compose_clip(*arguments)


class TestComposeFootage:
    def test_tracks_hold_the_visible_frames_of_their_clip(self, cutouts: list[Cutout], black: list[np.ndarray]) -> None:
        footage = compose_footage(cutouts, black, clips=12, seed=5, size=SIZE)
        assert len(footage.images) == 72
        tracks = {track.name: track for track in footage.tracks}
        assert {track.group for track in footage.tracks} == {"synthetic"}
        for number in range(12):
            clip = compose_clip(cutouts, black, np.random.default_rng([5, number]), size=SIZE)
            for member, visibility in enumerate(clip.visibility):
                frames = np.flatnonzero(visibility >= LEAST_VISIBLE)
                track = tracks.pop(f"synthetic/5/{number}/{member}", None)
                if len(frames) < 2:
                    assert track is None
                else:
                    assert track is not None
                    np.testing.assert_array_equal(track.images, 6 * number + frames)
                    np.testing.assert_array_equal(track.boxes, clip.boxes[member, frames])
                    assert track.category == clip.category
        assert not tracks

    def test_a_longer_run_begins_with_the_shorter_one(self, cutouts: list[Cutout], black: list[np.ndarray]) -> None:
        short, long = (compose_footage(cutouts, black, clips=n, size=SIZE) for n in (2, 4))
        np.testing.assert_array_equal(short.images, long.images[:12])


def test_the_cache_holds_everything_in_one_store(
    tmp_path: Path, cutouts: list[Cutout], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.full((60, 90, 3), 7, np.uint8)
    for name in ("images/bsds", "coco256/images"):
        (tmp_path / name).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / name / "0.png"), image)
    real, users = Footage(), Footage()
    real.add_track("VOT/bag", "video", real.add_image(image), (1, 2, 30, 20))
    users.add_track("mine", "still", users.add_image(image + 1), (1, 2, 30, 20))
    monkeypatch.setattr("learning.cache.load_shared", lambda root, holdout, longest_side: real)
    monkeypatch.setattr("learning.cache.shared_cutouts", lambda root: cutouts)
    cache = build_cache(tmp_path, tmp_path / "cache", clips=2, frames=3, extra=[users])
    assert [track.name for track in cache.tracks[:2]] == ["VOT/bag", "mine"]
    assert {track.group for track in cache.tracks[2:]} == {"synthetic"}
    assert len(cache.images) == 2 + 2 * 3
