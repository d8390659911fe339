"""Photographs with masks: what is read, what is kept apart, and which can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from learning.cosegmentation_data import (
    CALTECH_CLASSES,
    CALTECH_LEFT_OUT,
    DAVIS_CLASSES,
    TEST_SEQUENCES,
    VALIDATION_SEQUENCES,
    Photo,
    by_identity,
    read_annotated_photos,
    read_backgrounds,
    read_class_folders,
    read_mask_folder,
    read_split,
    shown_by,
)

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def root(make_photos: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


def test_the_parts_share_no_picture_sequence_or_held_out_class(root: Path) -> None:
    split = read_split(root, 100)
    names = {part: {photo.name for photo in getattr(split, part)} for part in ("train", "validation", "test")}
    assert (
        not names["train"] & names["validation"] | names["train"] & names["test"] | names["validation"] & names["test"]
    )
    identities = {part: set(by_identity(getattr(split, part))) for part in names}
    assert {"davis/bear", "davis/cows", "car", "person"} <= identities["train"]
    assert "davis/goat" in identities["validation"]
    assert {"davis/camel", "dog", "cow"} <= identities["test"]
    assert not {"dog", "cow", "davis/goat", "davis/camel"} & identities["train"]
    assert sum(name.startswith("ecssd") for name in names["test"]) == 2
    assert sum(name.startswith("ecssd") for name in names["validation"]) == 2


def test_masks_are_those_of_the_files_and_polygons(root: Path) -> None:
    truth = cv2.imread(str(root / "ecssd/masks/0003.png"), cv2.IMREAD_GRAYSCALE) > 0
    photo = next(photo for photo in read_annotated_photos(root / "ecssd", 100) if photo.name.endswith("0003.png"))
    np.testing.assert_array_equal(photo.masks["ecssd/0003"], truth)
    dog = next(photo for photo in read_annotated_photos(root / "coco256", 100) if "dog" in photo.masks)
    assert dog.masks["dog"].sum() == 21 * 21  # a polygon's outline belongs to it
    assert dog.masks["dog"][8:29, 10:31].all()


def test_a_mask_is_scaled_with_its_image(root: Path) -> None:
    whole = read_annotated_photos(root / "davis", 100)[0]
    small = read_annotated_photos(root / "davis", 24)[0]
    assert small.image.shape == (20, 24, 3)
    assert small.masks["davis/bear"].shape == (20, 24)
    assert small.masks["davis/bear"].mean() == pytest.approx(whole.masks["davis/bear"].mean(), rel=0.15)


def test_only_what_is_masked_in_both_is_compared() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    mask = np.ones((8, 8), bool)

    def photo(masked: tuple[str, ...], shown: tuple[str, ...] = ()) -> Photo:
        return Photo("", "", image, dict.fromkeys(masked, mask), frozenset((*masked, *shown)))

    assert photo(("dog",)).comparable(photo(("cat",)))
    assert photo(("dog", "cat")).common(photo(("cat", "dog", "cup"))) == ["cat", "dog"]
    assert photo(("dog",)).comparable(photo(("dog",)))
    assert not photo(("dog",), ("car",)).comparable(photo(("dog",), ("car",))), "a car without a mask in both"
    assert not photo(("dog",)).comparable(photo((), ("dog",))), "a dog without a mask in one"
    frames = Photo("", "davis", image, {"davis/libby": mask}, frozenset({"dog"}))
    assert frames.comparable(frames), "the sequence's own mask is of that dog"
    assert not frames.comparable(photo(("dog",))), "another dog, but not the same identity"


def test_folders_of_classes_are_read_but_those_kept_for_the_test(tmp_path: Path) -> None:
    for folder, number in (("anchor", 2), ("ferry", 1), ("elephant", 3)):
        (tmp_path / folder).mkdir()
        for index in range(number):
            cv2.imwrite(str(tmp_path / folder / f"{index}.png"), np.full((30, 40, 3), 9, np.uint8))
    found = list(read_class_folders(tmp_path, 20))
    assert [(name, path) for name, path, _ in found] == [
        ("anchor", f"{tmp_path.name}/anchor/0.png"),
        ("anchor", f"{tmp_path.name}/anchor/1.png"),
        ("ferry", f"{tmp_path.name}/ferry/0.png"),
    ]
    assert found[0][2].shape == (15, 20, 3)
    with pytest.raises(ValueError, match="no photographs in folders"):
        list(read_class_folders(tmp_path / "anchor", 20))


def test_relatives_are_not_compared() -> None:
    image, mask = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool)
    ferry, ketch, boat, anchor = (
        Photo("", "", image, {name: mask}, frozenset(shown_by([name]))) for name in ("ferry", "ketch", "boat", "anchor")
    )
    assert ferry.classes == {"ferry", "boat"}
    assert ferry.comparable(ferry)
    assert ferry.comparable(anchor)
    assert not ferry.comparable(ketch), "two boats, but not of one name"
    assert not ferry.comparable(boat)


@pytest.mark.skipif(not (SHARED / "images/caltech101").is_dir(), reason="Caltech-101 of ../shared/data is not here")
def test_the_named_folders_of_caltech_are_there() -> None:
    folders = {path.name for path in (SHARED / "images/caltech101").iterdir()}
    assert {*CALTECH_CLASSES, *CALTECH_LEFT_OUT} - folders == set()


def test_a_class_without_all_its_polygons_is_not_masked(root: Path) -> None:
    photo = next(photo for photo in read_annotated_photos(root / "coco256", 100) if photo.name.endswith("3.png"))
    assert "person" in photo.classes
    assert "person" not in photo.masks


@pytest.mark.parametrize("longest_side", [20, 200])
def test_backgrounds_are_pictures_without_masks(tmp_path: Path, longest_side: int) -> None:
    assert read_backgrounds(tmp_path, longest_side) == []
    (tmp_path / "images/bsds").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/bsds/a.png"), np.zeros((30, 40, 3), np.uint8))
    (image,) = read_backgrounds(tmp_path, longest_side)
    assert max(image.shape) == min(longest_side, 40)


def test_what_is_wrong_with_the_data_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_split(tmp_path / "nowhere", 100)
    with pytest.raises(ValueError, match="no photographs with masks"):
        read_split(tmp_path, 100)
    folder = tmp_path / "cows"
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images/a.png"), np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(FileNotFoundError, match=r"no such mask: .*a\.png"):
        read_mask_folder(folder, "cow", 100)
    (folder / "masks").mkdir()
    cv2.imwrite(str(folder / "masks/a.png"), np.zeros((40, 30), np.uint8))
    with pytest.raises(ValueError, match="30×40 pixels, its image 40×30"):
        read_mask_folder(folder, "cow", 100)
    (folder / "masks/a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="not an image"):
        read_mask_folder(folder, "cow", 100)


def test_the_lists_of_sequences_agree() -> None:
    assert not set(TEST_SEQUENCES) & set(VALIDATION_SEQUENCES)
    assert set(TEST_SEQUENCES) | set(VALIDATION_SEQUENCES) <= set(DAVIS_CLASSES)


@pytest.mark.skipif(not (SHARED / "davis").is_dir(), reason="the sequences of ../shared/data are not here")
def test_every_sequence_of_davis_is_described() -> None:
    entries = json.loads((SHARED / "davis/annotations.json").read_text())["annotations"]
    assert {entry["seq"] for entry in entries} == set(DAVIS_CLASSES)
