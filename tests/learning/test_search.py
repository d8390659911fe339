from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from learning import search
from learning.descriptor import Descriptor
from learning.gallery import GalleryError, Match
from learning.search import ImageIndex


class Counting:
    """A descriptor of mean colours in a 2×2 grid that counts what it is asked for."""

    def __init__(self, identity: str = "network 1", metric: Any = "euclidean") -> None:
        self.seen = 0

        def embed(batch: torch.Tensor) -> torch.Tensor:
            self.seen += len(batch)
            return batch.flatten(1).float()

        def prepare(image: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(cv2.resize(image, (2, 2), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)

        self.describe = Descriptor("means", identity, 12, metric, prepare, embed)


def paint(path: Path, grey: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((*size, 3), grey, np.uint8)
    assert cv2.imwrite(str(path), image)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "pictures"
    for grey in range(0, 250, 10):
        paint(place / ("dark" if grey < 100 else "light") / f"{grey:03d}.png", grey)
    return place


def test_the_most_alike_come_first(folder: Path):
    index = ImageIndex(folder, Counting().describe)
    assert index.refresh() == search.Refreshed(25, 0, 0, ())
    found = index.search(np.full((7, 9, 3), 101, np.uint8), 4)
    assert [match.name for match in found] == ["light/100.png", "light/110.png", "dark/090.png", "light/120.png"]
    assert found[0].score == pytest.approx(-np.sqrt(12))


def test_only_what_is_new_or_changed_is_described_again(folder: Path):
    assert ImageIndex(folder, Counting().describe).refresh().added == 25
    counting = Counting()
    index = ImageIndex(folder, counting.describe)
    assert index.refresh() == search.Refreshed(0, 0, 25, ())
    assert counting.seen == 0
    (folder / "dark/000.png").unlink()
    (folder / "dark/010.png").unlink()
    paint(folder / "dark/020.png", 255)
    paint(folder / "new/deep/er.jpg", 33)
    done = index.refresh()
    assert (done.added, done.removed, done.kept) == (2, 2, 22)
    assert counting.seen == 2
    assert index.search(np.full((4, 4, 3), 255, np.uint8), 1)[0].name == "dark/020.png"
    assert index.search(np.full((4, 4, 3), 33, np.uint8), 1)[0].name == "new/deep/er.jpg"
    again = ImageIndex(folder, Counting().describe)
    assert again.refresh().added == 0
    query = np.full((4, 4, 3), 77, np.uint8)
    assert again.search(query, 99) == index.search(query, 99)


def test_a_change_of_the_same_size_is_seen_by_its_time(folder: Path):
    index = ImageIndex(folder, Counting().describe)
    index.refresh()
    status = (folder / "dark/050.png").stat()
    os.utime(folder / "dark/050.png", ns=(status.st_atime_ns, status.st_mtime_ns + 5))
    assert index.refresh().added == 1


def test_what_cannot_be_read_is_named_and_not_tried_again_until_it_changes(folder: Path):
    (folder / "dark/broken.png").write_bytes(b"no picture")
    (folder / "dark/empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("not an image, by its name")
    (folder / ".hidden.png").write_bytes(b"hidden")
    paint(folder / ".cache/hidden.png", 7)
    (folder / "lost.png").symlink_to(folder / "nowhere.png")
    index = ImageIndex(folder, Counting().describe)
    assert index.refresh() == search.Refreshed(25, 0, 0, ("dark/broken.png", "dark/empty.jpg"))
    assert index.refresh() == search.Refreshed(0, 0, 25, ("dark/broken.png", "dark/empty.jpg"))
    paint(folder / "dark/broken.png", 5)
    assert index.refresh() == search.Refreshed(1, 0, 25, ("dark/empty.jpg",))


def test_an_interrupted_indexing_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "BATCH", 5)
    monkeypatch.setattr(search, "SAVE_EVERY", -1.0)
    index = ImageIndex(folder, Counting().describe)
    real, calls = search.read_image, []

    def interrupted(path: Path) -> Any:
        calls.append(path)
        if len(calls) > 12:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(search, "read_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index.refresh()
    monkeypatch.setattr(search, "read_image", real)
    counting = Counting()
    assert ImageIndex(folder, counting.describe).refresh().kept == 10
    assert counting.seen == 15


def test_each_network_has_its_own_index_and_none_reads_anothers(folder: Path, tmp_path: Path):
    one, two = (ImageIndex(folder, Counting(identity).describe) for identity in ("one", "two"))
    assert one.path != two.path
    assert one.path.parent == folder
    one.refresh()
    shared = tmp_path / "shared.safetensors"
    ImageIndex(folder, Counting("one").describe, shared).refresh()
    with pytest.raises(GalleryError, match=r"shared\.safetensors was made by means .* give another --index"):
        ImageIndex(folder, Counting("two").describe, shared)


def test_an_index_that_is_none_is_refused(folder: Path):
    index = ImageIndex(folder, Counting().describe)
    index.path.write_bytes(b"junk")
    with pytest.raises(GalleryError, match="remove the file, and the index is made anew"):
        ImageIndex(folder, Counting().describe)
    from learning.gallery import Gallery

    Gallery(12, "euclidean", "network 1").save(index.path, overwrite=True)
    with pytest.raises(GalleryError, match="no index of images"):
        ImageIndex(folder, Counting().describe)


def test_names_that_are_no_text_to_the_system_are_kept(folder: Path):
    name = os.fsdecode(b"caf\xe9.png")  # Latin-1, not UTF-8
    try:
        (folder / name).write_bytes((folder / "dark/050.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    index = ImageIndex(folder, Counting().describe)
    index.refresh()
    assert name in ImageIndex(folder, Counting().describe).gallery


# ---------------------------------------------------------------- sheet


def test_the_sheet_shows_the_query_and_what_was_found(folder: Path):
    query = np.full((40, 40, 3), (0, 0, 255), np.uint8)
    matches = [Match("light/200.png", 0.75), Match("dark/030.png", 0.5), Match("gone.png", 0.1)]
    picture = search.sheet(query, folder, matches)
    middle = search.TILE // 2
    assert picture.shape == (search.TILE + search.CAPTION, 4 * search.TILE, 3)
    colours = [picture[middle, middle + search.TILE * place].tolist() for place in range(4)]
    assert colours == [[0, 0, 255], [200] * 3, [30] * 3, [128] * 3]
    for place in range(4):
        caption = picture[search.TILE :, place * search.TILE : (place + 1) * search.TILE]
        assert (caption < 128).any(), "nothing is written below"
    assert search.sheet(query, folder, matches * 3).shape[0] == 2 * (search.TILE + search.CAPTION)


# ---------------------------------------------------------------- command


def options(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    search.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "open_descriptor", lambda name, device: Counting().describe)


@pytest.mark.usefixtures("quick")
def test_the_command_prints_and_draws(folder: Path, tmp_path: Path):
    paint(tmp_path / "query.png", 100)
    (folder / "bad.png").write_bytes(b"bad")
    sheet = tmp_path / "sheet.jpg"
    arguments = (folder, "--query", tmp_path / "query.png", "--top", 3, "--output", sheet)
    text = search.run(options(*arguments))
    assert text.splitlines()[0].split()[-1] == str(folder / "light/100.png")
    assert "25 images, 25 described now" in text
    assert cv2.imread(str(sheet)).shape[1] == 4 * search.TILE
    with pytest.raises(ValueError, match=r"exists; give another name or --overwrite"):
        search.run(options(*arguments))
    answer = json.loads(search.run(options(*arguments, "--overwrite", "--json")))
    assert (answer["images"], answer["added"], answer["unreadable"]) == (25, 0, ["bad.png"])
    assert [Path(match["path"]).name for match in answer["matches"]] == ["100.png", "090.png", "110.png"]
    assert answer["matches"][0]["score"] == 0


@pytest.mark.usefixtures("quick")
def test_the_command_says_what_is_wrong(folder: Path, tmp_path: Path):
    paint(tmp_path / "query.png", 100)
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "empty").mkdir()
    for arguments, words in (
        ((folder, "--query", tmp_path / "none.png"), r"none\.png: no such file"),
        ((folder, "--query", tmp_path / "text.png"), r"text\.png: not a readable image"),
        ((folder, "--query", tmp_path / "query.png", "--output", tmp_path / "sheet.txt"), "the sheet is an image"),
        ((folder, "--query", tmp_path / "query.png", "--output", tmp_path / "no/s.jpg"), "make it first"),
        ((tmp_path / "empty", "--query", tmp_path / "query.png"), "no readable image in it"),
    ):
        with pytest.raises(ValueError, match=words):
            search.run(options(*arguments))
    with pytest.raises(NotADirectoryError, match="no such folder"):
        search.run(options(tmp_path / "nowhere", "--query", tmp_path / "query.png"))


@pytest.mark.usefixtures("quick")
def test_where_the_folder_cannot_be_written_another_place_is_asked_for(folder: Path, tmp_path: Path):
    paint(tmp_path / "query.png", 100)
    arguments = (folder, "--query", tmp_path / "query.png", "--index", tmp_path / "no/such/index.safetensors")
    with pytest.raises(OSError, match=r"cannot be written .*; give a place by --index"):
        search.run(options(*arguments))


def test_a_shipped_tracker_finds_a_picture_again(tmp_path: Path):
    """Cut, scaled and darkened, it is still the nearest of ten."""
    rng = np.random.default_rng(0)
    for number in range(10):
        image = cv2.resize(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), (180, 140), interpolation=cv2.INTER_CUBIC)
        (tmp_path / "pictures").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"pictures/{number}.png"), image)
    query = cv2.resize(cv2.imread(str(tmp_path / "pictures/4.png"))[8:130, 8:170], (120, 90)) // 2 + 30
    cv2.imwrite(str(tmp_path / "query.jpg"), query)
    answer = json.loads(search.run(options(tmp_path / "pictures", "--query", tmp_path / "query.jpg", "--json")))
    assert Path(answer["matches"][0]["path"]).name == "4.png"
