from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learning.footage import INDEX, PIXELS, Footage, Track


def _footage(seed: int = 0) -> Footage:
    rng = np.random.default_rng(seed)
    footage = Footage()
    for size in ((20, 30), (17, 9), (8, 8), (31, 12)):
        footage.add_image(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    footage.add_track("set/über", "video", [0, 1, 3], rng.uniform(1, 8, (3, 4)))
    footage.add_track("still/7", "still", 1, (0.25, 0.5, 3, 4), "person")
    footage.unlabelled.append(2)
    return footage


def _assert_same(a: Footage, b: Footage) -> None:
    assert len(a.images) == len(b.images)
    assert all(np.array_equal(x, y) for x, y in zip(a.images, b.images, strict=True))
    assert a.unlabelled == b.unlabelled
    for x, y in zip(a.tracks, b.tracks, strict=True):
        assert (x.name, x.group, x.category) == (y.name, y.group, y.category)
        np.testing.assert_array_equal(x.images, y.images)
        np.testing.assert_array_equal(x.boxes, y.boxes)


def test_a_saved_store_comes_back_as_it_was(tmp_path: Path) -> None:
    footage = _footage()
    footage.save(tmp_path / "cache")
    _assert_same(Footage.load(tmp_path / "cache"), footage)


def test_loaded_images_are_views_of_one_mapped_file_and_cannot_be_written(tmp_path: Path) -> None:
    _footage().save(tmp_path)
    images = Footage.load(tmp_path).images
    first = images[0].__array_interface__["data"][0]
    assert images[1].__array_interface__["data"][0] == first + images[0].nbytes
    with pytest.raises(ValueError, match="read-only"):
        images[0][0, 0] = 1


@pytest.mark.parametrize("content", ["nothing", "images", "tracks"])
def test_stores_without_some_of_the_content_survive(tmp_path: Path, content: str) -> None:
    footage = Footage() if content == "nothing" else _footage()
    if content == "images":
        footage.tracks.clear()
    if content == "tracks":
        footage.unlabelled.clear()
    footage.save(tmp_path)
    _assert_same(Footage.load(tmp_path), footage)


def test_saving_over_the_cache_that_is_mapped_keeps_both_intact(tmp_path: Path) -> None:
    _footage(0).save(tmp_path)
    mapped = Footage.load(tmp_path)
    mapped.merge(_footage(1)).save(tmp_path)
    _assert_same(mapped, _footage(0).merge(_footage(1)))
    _assert_same(Footage.load(tmp_path), mapped)


def test_merge_moves_indices_along() -> None:
    a, b = _footage(0), _footage(1)
    expected = [b.images[index] for track in b.tracks for index in track.images]
    merged = a.merge(b)
    assert merged is a
    found = [merged.images[index] for track in merged.tracks[2:] for index in track.images]
    assert all(x is y for x, y in zip(found, expected, strict=True))
    assert merged.unlabelled == [2, 6]
    assert len(b.images) == 4
    assert b.unlabelled == [2]


def test_summary_counts() -> None:
    assert _footage().summary() == {
        "images": 4,
        "unlabelled": 1,
        "bytes": 3 * (600 + 153 + 64 + 372),
        "still tracks": 1,
        "still boxes": 1,
        "video tracks": 1,
        "video boxes": 3,
    }


def test_missing_cache_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.npz is missing"):
        Footage.load(tmp_path)
    _footage().save(tmp_path)
    (tmp_path / PIXELS).unlink()
    with pytest.raises(FileNotFoundError, match=r"pixels\.npy is missing"):
        Footage.load(tmp_path)


@pytest.mark.parametrize("name", [INDEX, PIXELS])
@pytest.mark.parametrize("keep", [0, 60, 0.5])
def test_a_truncated_cache_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    _footage().save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(ValueError, match="build it again"):
        Footage.load(tmp_path)


def test_pixels_of_another_cache_are_refused(tmp_path: Path) -> None:
    _footage().save(tmp_path / "a")
    _footage().merge(_footage()).save(tmp_path / "b")
    (tmp_path / "b" / PIXELS).replace(tmp_path / "a" / PIXELS)
    with pytest.raises(ValueError, match="do not fit"):
        Footage.load(tmp_path / "a")


def test_pickled_arrays_are_never_opened(tmp_path: Path) -> None:
    _footage().save(tmp_path)
    np.savez(tmp_path / INDEX, format=np.array([object()]))
    with pytest.raises(ValueError, match="build it again"):
        Footage.load(tmp_path)


@pytest.mark.parametrize(
    ("indices", "boxes", "message"),
    [
        ([], np.zeros((0, 4)), "n >= 1"),
        ([0, 1], [(1, 1, 2, 2)], "n >= 1"),
        ([0], [(1, 1, 0, 2)], "no area"),
        ([0], [(1, np.nan, 2, 2)], "not finite"),
        ([4], [(1, 1, 2, 2)], "images 4..4 of 4"),
        ([-1], [(1, 1, 2, 2)], "images -1"),
    ],
)
def test_wrong_tracks_are_refused(indices: list[int], boxes: list[tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _footage().add_track("x", "video", indices, boxes)


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 1), (0, 5, 3)])
def test_wrong_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        Footage().add_image(np.zeros(shape, np.uint8))


def test_a_track_is_as_long_as_its_images() -> None:
    assert len(Track("x", "video", np.arange(3), np.ones((3, 4), np.float32))) == 3


# ---------------------------------------------------------------- shares


def _many(scenes: int = 8) -> Footage:
    """Each video scene has two frames with two tracks that overlap in one of them; stills, and images without boxes."""
    footage = Footage()
    for scene in range(scenes):
        a, b, still, bare = (footage.add_image(np.full((4, 4, 3), 4 * scene + k, np.uint8)) for k in range(4))
        footage.add_track(f"v{scene}/1", "video", [a, b], [(0, 0, 2, 2)] * 2)
        footage.add_track(f"v{scene}/2", "video", [b], [(1, 1, 2, 2)])
        footage.add_track(f"s{scene}", "still", still, (0, 0, 3, 3))
        footage.unlabelled.append(bare)
    return footage


def _grey(footage: Footage, indices: list[int]) -> list[int]:
    """What the images show, which is their number in `_many`."""
    return [int(footage.images[index][0, 0, 0]) for index in indices]


@pytest.mark.parametrize(("fraction", "scenes"), [(0.01, 1), (0.25, 2), (0.3, 3), (0.5, 4), (1.0, 8)])
def test_a_share_keeps_whole_scenes_of_every_kind(fraction: float, scenes: int) -> None:
    whole = _many()
    part = whole.share(fraction, seed=1)
    names = {track.name for track in part.tracks}
    videos = {name[1] for name in names if name[0] == "v"}
    assert names == {f"v{scene}/{track}" for scene in videos for track in (1, 2)} | {n for n in names if n[0] == "s"}
    assert len(videos) == len([name for name in names if name[0] == "s"]) == len(part.unlabelled) == scenes
    assert len(part.images) == 4 * scenes, "others would fill the memory"
    originals = {track.name: track for track in whole.tracks}
    for track in part.tracks:
        original = originals[track.name]
        assert _grey(part, track.images.tolist()) == _grey(whole, original.images.tolist())
        np.testing.assert_array_equal(track.boxes, original.boxes)
    assert set(_grey(part, part.unlabelled)) <= set(_grey(whole, whole.unlabelled))


def test_a_smaller_share_lies_within_a_larger_one_and_the_seed_chooses() -> None:
    def shown(fraction: float, seed: int) -> set[int]:
        return {int(image[0, 0, 0]) for image in _many(40).share(fraction, seed).images}

    assert shown(0.25, 0) < shown(0.5, 0) < shown(1.0, 0)
    assert shown(0.25, 0) != shown(0.25, 1)
    assert shown(0.25, 0) == shown(0.25, 0)


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, float("nan")])
def test_a_share_outside_of_the_whole_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        _many().share(fraction)


def test_a_share_of_nothing_is_nothing() -> None:
    assert Footage().share(0.5).summary() == {"images": 0, "unlabelled": 0, "bytes": 0}
