"""Data sets of labelled images, made up in each layout that is read, and what may be wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from learning.embedding_data import Reading, read_dataset, read_folder, read_idx
from learning.glyphs import draw_glyphs


def _idx(path: Path, values: np.ndarray, packed: bool = True) -> None:
    header = b"\0\0\x08" + bytes([values.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in values.shape)
    data = header + values.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if packed else data)


def _digits(root: Path, count: int = 20, packed: bool = True, dot: bool = False) -> np.ndarray:
    rng, joint, end = np.random.default_rng(0), "." if dot else "-", ".gz" if packed else ""
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for part, few in (("train", count), ("t10k", count // 2)):
        _idx(root / f"{part}-images{joint}idx3-ubyte{end}", images[:few], packed)
        _idx(root / f"{part}-labels{joint}idx1-ubyte{end}", np.arange(few) % 10, packed)
    return images


@pytest.mark.parametrize(
    ("inner", "packed", "dot"), [("", True, False), ("MNIST/raw", False, False), ("raw", True, True)]
)
def test_digits_are_read_wherever_they_are_usually_put(tmp_path: Path, inner: str, packed: bool, dot: bool) -> None:
    images = _digits(tmp_path / inner, packed=packed, dot=dot)
    train, test = read_dataset("mnist", tmp_path)
    assert np.array_equal(train.images[:, 0].numpy(), images)
    assert train.labels.tolist() == [*range(10), *range(10)]
    assert train.classes == test.classes == tuple("0123456789")
    assert len(test) == 10


def test_clothes_have_digits_format_and_their_own_names(tmp_path: Path) -> None:
    _digits(tmp_path)
    train, _ = read_dataset("fashion-mnist", tmp_path, Reading(size=14, channels=3))
    assert train.images.shape == (20, 3, 14, 14)
    assert train.classes[9] == "ankle boot"


def test_a_damaged_idx_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a-idx3-ubyte"
    _idx(path, np.zeros((3, 2, 2)), packed=False)
    assert read_idx(path).shape == (3, 2, 2)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut off: 11 of 12"):
        read_idx(path)
    path.write_bytes(b"PK\x03\x04" + bytes(20))
    with pytest.raises(ValueError, match="not an IDX file"):
        read_idx(path)
    packed = tmp_path / "b.gz"
    packed.write_bytes(gzip.compress(bytes(100))[:-12])
    with pytest.raises(ValueError, match="cannot be read"):
        read_idx(packed)


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    _digits(tmp_path)
    _idx(tmp_path / "train-labels-idx1-ubyte.gz", np.arange(19) % 10)
    with pytest.raises(ValueError, match="do not fit"):
        read_dataset("mnist", tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match=r"has no train-labels.*; fetch it with --download"):
        read_dataset("mnist", tmp_path)


def _drawing(path: Path, ink: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((105, 105), 255, np.uint8)
    image[ink[0] - 6 : ink[0] + 7, ink[1] - 6 : ink[1] + 7] = 0
    cv2.imwrite(str(path), image)


def test_characters_are_read_from_drawings_and_packed_alike(tmp_path: Path) -> None:
    for part in ("background", "evaluation"):
        for alphabet, character in (("Greek", 1), ("Greek", 2), ("Latin", 1)):
            for drawer in (1, 2):
                place = (20 + 20 * character, 30 + 30 * drawer)
                name = f"0001_{drawer:02d}.png"
                _drawing(tmp_path / "drawn" / f"images_{part}" / alphabet / f"character{character:02d}" / name, place)
    drawn, _ = read_dataset("omniglot", tmp_path / "drawn", Reading(size=35))
    (tmp_path / "packed").mkdir()
    whole, _ = read_dataset("omniglot", tmp_path / "drawn", Reading(size=105))
    for part in ("background", "evaluation"):
        np.savez(
            tmp_path / "packed" / f"images_{part}.npz",
            images_packed=np.packbits(whole.images.numpy().reshape(6, -1) > 0, axis=1),
            shape=np.array([6, 105, 105]),
            label=whole.labels,
            drawer=whole.makers,
            characters=np.array(whole.classes),
        )
    packed, _ = read_dataset("omniglot", tmp_path / "packed", Reading(size=35))
    assert drawn.classes == packed.classes == ("Greek/character01", "Greek/character02", "Latin/character01")
    assert drawn.groups is not None
    assert drawn.groups.tolist() == [0, 0, 1]
    assert drawn.makers is not None
    assert drawn.makers.tolist() == [1, 2] * 3
    assert np.array_equal(drawn.images, packed.images)
    assert drawn.images[0, 0, 40 // 3, 60 // 3] == 255, "strokes are light"
    assert drawn.images[0, 0, 0, 0] == 0
    with pytest.raises(ValueError, match="neither images_background"):
        read_dataset("omniglot", tmp_path)
    framed, _ = read_dataset("omniglot", tmp_path / "packed", Reading(size=35, framing="ink"))
    assert (framed.images == framed.images[0]).all(), "the same square, drawn in several places"
    assert not (packed.images == packed.images[0]).all()


def test_only_drawings_are_framed_by_their_ink(tmp_path: Path) -> None:
    _digits(tmp_path)
    with pytest.raises(ValueError, match=r"only the drawings of omniglot .* not mnist"):
        read_dataset("mnist", tmp_path, Reading(framing="ink"))


def test_alphabets_held_out_are_large_ones_of_the_background(tmp_path: Path) -> None:
    """The evaluation's are not even read."""
    sizes = {f"alphabet{k}": 20 + k for k in range(7)} | {"small": 19}
    names = [f"{alphabet}/character{k:02d}" for alphabet, size in sizes.items() for k in range(size)]
    np.savez(
        tmp_path / "images_background.npz",
        images_packed=np.zeros((2 * len(names), 8 * 8 // 8), np.uint8),
        shape=np.array([2 * len(names), 8, 8]),
        label=np.repeat(np.arange(len(names)), 2),
        drawer=np.tile([1, 2], len(names)),
        characters=np.array(names),
    )
    train, test = read_dataset("omniglot", tmp_path, Reading(size=8, held_out="alphabets"))
    of = [{name.partition("/")[0] for name in part.classes} for part in (train, test)]
    assert not of[0] & of[1]
    assert of[0] | of[1] == set(sizes)
    assert len(of[1]) == 6
    assert "small" in of[0]
    assert len(train) + len(test) == 2 * len(names)


def _folders(root: Path, counts: dict[str, int]) -> None:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / name / f"{number:03d}.png"), np.full((12, 9, 3), 10 * label + number, np.uint8))


def test_a_folder_a_class_holds_out_images_or_classes(tmp_path: Path) -> None:
    _folders(
        tmp_path, {"ant": 6, "bee": 10, "cow": 5, "dog": 5, "elk": 5, "fox": 5, "gnu": 5, "hen": 5, "ibex": 5, "jay": 9}
    )
    train, test = read_dataset("folder", tmp_path, Reading(size=8))
    assert train.classes == test.classes
    assert train.images.shape[1:] == (3, 8, 8)
    assert len(train) + len(test) == 60
    assert np.bincount(test.labels).tolist() == [1, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert not {int(x[0, 0, 0]) for x in train.images[train.labels == 1]} & {
        int(x[0, 0, 0]) for x in test.images[test.labels == 1]
    }, "no image is in both"
    train, test = read_dataset("folder", tmp_path, Reading(held_out="classes"))
    assert test.classes == ("elk", "jay")
    assert len(train.classes) == 8
    assert np.bincount(test.labels).tolist() == [5, 9]


def test_folders_of_train_and_test_are_taken_as_they_are(tmp_path: Path) -> None:
    _folders(tmp_path / "train", {"ant": 2, "bee": 3})
    _folders(tmp_path / "test", {"ant": 1, "bee": 1})
    train, test = read_dataset("folder", tmp_path)
    assert (len(train), len(test)) == (5, 2)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"ant": 3, "bee": 0}, "without an image: bee"),
        ({"ant": 3, "bee": 1}, "with one image, which have no pair: bee"),
        ({"ant": 3}, "1 classes with enough images"),
        ({}, "has no folders"),
    ],
)
def test_classes_that_cannot_teach_are_named(tmp_path: Path, counts: dict[str, int], words: str) -> None:
    _folders(tmp_path, counts)
    with pytest.raises(ValueError, match=words):
        read_folder(tmp_path, Reading())


def test_small_classes_are_left_out_if_asked(tmp_path: Path) -> None:
    _folders(tmp_path, {"ant": 3, "bee": 1, "cow": 2, "dog": 0})
    assert read_folder(tmp_path, Reading(min_images=2)).classes == ("ant", "cow")


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    _folders(tmp_path, {"ant": 3, "bee": 3})
    (tmp_path / "bee" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    with pytest.raises(ValueError, match=r"bee/broken.jpg is not an image"):
        read_folder(tmp_path, Reading())


def test_faces_hold_out_the_last_people(tmp_path: Path) -> None:
    _folders(tmp_path / "att_faces", {f"s{person}": 3 for person in range(1, 13)})
    train, test = read_dataset("orl", tmp_path)
    assert train.classes == tuple(f"s{person}" for person in range(1, 10))
    assert test.classes == ("s10", "s11", "s12")
    assert train.channels == 1


def test_lfw_takes_its_authors_lists(tmp_path: Path) -> None:
    _folders(tmp_path, {"Ann_A": 2, "Bob_B": 1, "Cid_C": 3, "Dan_D": 2, "Eve_E": 2})
    (tmp_path / "peopleDevTrain.txt").write_text("3\nAnn_A\t2\nBob_B\t1\nCid_C\t3\n")
    (tmp_path / "peopleDevTest.txt").write_text("2\nDan_D\t2\nEve_E\t2\n")
    train, test = read_dataset("lfw", tmp_path)
    assert train.classes == ("Ann_A", "Cid_C"), "a person with one image cannot teach"
    assert test.classes == ("Dan_D", "Eve_E")


def test_targets_of_videos_are_classes_and_their_ends_are_for_testing(tmp_path: Path) -> None:
    for label, name in enumerate(("ball", "car")):
        (tmp_path / name / "img").mkdir(parents=True)
        for number in range(1, 21):
            cv2.imwrite(
                str(tmp_path / name / "img" / f"{number:04d}.png"), np.full((40, 50, 3), 100 * label + number, np.uint8)
            )
        (tmp_path / name / "groundtruth_rect.txt").write_text("10,10,20,20\n" * 20)
    train, test = read_dataset("sequences", tmp_path, Reading(size=16, every=2))
    assert train.classes == test.classes == ("ball", "car")
    assert train.images.shape == (14, 3, 16, 16)
    assert train.images[:, 0, 8, 8].tolist() == [1, 3, 5, 7, 9, 11, 13, *range(101, 114, 2)]
    assert test.images[:, 0, 8, 8].tolist() == [15, 17, 19, 115, 117, 119]
    grey, _ = read_dataset("sequences", tmp_path, Reading(size=16, channels=1, every=2))
    assert grey.images.shape == (14, 1, 16, 16)
    with pytest.raises(ValueError, match="fewer than two crops: ball, car; take a smaller --every"):
        read_dataset("sequences", tmp_path, Reading(every=15))


def test_unknown_names_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data set 'cifar'; there are mnist"):
        read_dataset("cifar", tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        read_dataset("mnist", tmp_path / "nowhere")


def test_multiplied_classes_are_classes_of_their_own() -> None:
    images = draw_glyphs(3, 2, 20)
    turned = images.multiplied("turned")
    assert len(turned) == 24
    assert len(turned.classes) == 12
    assert np.array_equal(turned.images[6:12, 0].numpy(), np.rot90(images.images[:, 0].numpy(), axes=(1, 2)))
    assert turned.labels[6:12].tolist() == [3, 3, 4, 4, 5, 5]


@pytest.mark.skipif(not Path("../shared/data/mnist").is_dir(), reason="research data are not here")
def test_the_digits_here_are_mnist() -> None:
    train, test = read_dataset("mnist", Path("../shared/data/mnist"))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
