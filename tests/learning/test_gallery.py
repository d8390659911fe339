from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from learning.gallery import Gallery, GalleryError, Match

METRICS = ["cosine", "euclidean"]


def plain_score(metric: str, vector: np.ndarray, template: np.ndarray) -> float:
    a, b = vector.astype(float), template.astype(float)
    if metric == "euclidean":
        return -float(np.sqrt(((a - b) ** 2).sum()))
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def filled(
    metric: Any = "cosine", names: int = 30, dimensions: int = 5, seed: int = 0
) -> tuple[Gallery, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    gallery, images = Gallery(dimensions, metric, "network 1", "compact"), {}
    for index in range(names):
        images[f"n{index}"] = rng.normal(size=(int(rng.integers(1, 4)), dimensions)).astype(np.float32)
        gallery.add(f"n{index}", images[f"n{index}"])
    return gallery, images


@pytest.mark.parametrize("metric", METRICS)
def test_a_template_is_the_mean_of_its_images(metric: str):
    gallery, images = filled(metric)
    for name, vectors in images.items():
        if metric == "cosine":
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        mean = vectors.mean(0)
        if metric == "cosine":
            mean /= np.linalg.norm(mean)
        assert gallery.template(name) == pytest.approx(mean, abs=1e-6)
        assert gallery.count(name) == len(vectors)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_a_search_is_a_sorted_list_of_plain_scores(metric: str, offset: float):
    """Far from the origin too, where single precision has no digits left for the distances."""
    rng = np.random.default_rng(1)
    gallery, vectors = Gallery(7, metric), (rng.normal(size=(300, 7)) + offset).astype(np.float32)
    for index, vector in enumerate(vectors):
        gallery.add(str(index), vector[None])
    for query in (rng.normal(size=(5, 7)) + offset).astype(np.float32):
        expected = sorted(
            ((plain_score(metric, query, vector), index) for index, vector in enumerate(vectors)),
            key=lambda pair: (-pair[0], pair[1]),
        )
        found = gallery.search(query, 10)
        if metric == "euclidean" or offset == 0:
            assert [match.name for match in found] == [str(index) for _, index in expected[:10]]
        assert [match.score for match in found] == pytest.approx([score for score, _ in expected[:10]], abs=1e-6)
        assert gallery.score(query, "17") == pytest.approx(plain_score(metric, query, vectors[17]), abs=1e-6)
        assert gallery.scores(query[None])[0] == pytest.approx(
            [plain_score(metric, query, vector) for vector in vectors], abs=1e-6
        )


def test_the_first_enrolled_of_equals_comes_first():
    gallery = Gallery(3)
    for name in ("d", "a", "c", "b"):
        gallery.add(name, [[1.0, 2.0, 3.0]])
    gallery.add("other", [[3.0, 2.0, 1.0]])
    assert [match.name for match in gallery.search([1, 2, 3], 3)] == ["d", "a", "c"]
    assert [match.name for match in gallery.search([3, 2, 1], 9)] == ["other", "d", "a", "c", "b"]
    assert gallery.search([1, 2, 3])[0].score == pytest.approx(1)


class Model:
    """What a gallery should do, by a dictionary of lists."""

    def __init__(self) -> None:
        self.images: dict[str, list[tuple[float, ...]]] = {}

    def nearest(self, query: tuple[float, ...]) -> list[Match]:
        templates = {name: np.mean(vectors, axis=0) for name, vectors in self.images.items()}
        found = [
            Match(name, -float(np.sqrt(((np.array(query) - template) ** 2).sum())))
            for name, template in templates.items()
        ]
        return sorted(found, key=lambda match: -match.score)


points = st.tuples(st.integers(-3, 3).map(float), st.integers(-3, 3).map(float))
actions = st.lists(st.tuples(st.sampled_from(["add", "remove", "search"]), st.sampled_from("abcdefgh"), points))


@settings(max_examples=60, deadline=None)
@given(actions)
def test_adding_removing_and_searching_in_any_order(steps: list[tuple[str, str, tuple[float, float]]]):
    gallery, model = Gallery(2, "euclidean"), Model()
    for action, name, point in steps:
        if action == "add":
            gallery.add(name, [point])
            model.images.setdefault(name, []).append(point)
        elif action == "remove":
            if name in model.images:
                gallery.remove(name)
                del model.images[name]
            else:
                with pytest.raises(KeyError, match=f"nobody is enrolled as '{name}'"):
                    gallery.remove(name)
        else:
            found, expected = gallery.search(point, 4), model.nearest(point)[:4]
            assert [match.score for match in found] == pytest.approx([match.score for match in expected], abs=1e-6)
        assert list(gallery) == list(model.images)
        assert [gallery.count(each) for each in gallery] == [len(images) for images in model.images.values()]


def test_several_names_are_removed_together_or_none():
    gallery, _ = filled(names=20)
    kept = {name: gallery.template(name) for name in gallery if name not in ("n0", "n7", "n19")}
    with pytest.raises(KeyError):
        gallery.remove("n3", "nobody")
    assert len(gallery) == 20
    gallery.remove("n7", "n19", "n0")
    assert list(gallery) == list(kept)
    for name, template in kept.items():
        assert (gallery.template(name) == template).all()
        assert gallery.search(template)[0].name == name


# ---------------------------------------------------------------- file


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_saved_is_loaded_and_can_be_gone_on_with(metric: str, tmp_path: Path):
    gallery, images = filled(metric)
    gallery.remove("n4")
    gallery.add("Zoë 张", images["n4"])
    gallery.settings = {"calibration": {"far": 0.01}, "note": "ü"}
    gallery.save(tmp_path / "people.safetensors")
    loaded = Gallery.load(tmp_path / "people.safetensors")
    assert list(loaded) == list(gallery)
    assert (loaded.metric, loaded.identity, loaded.source) == (metric, "network 1", "compact")
    assert loaded.settings == gallery.settings
    query = images["n9"][0]
    assert loaded.search(query, 99) == gallery.search(query, 99)
    for each in (gallery, loaded):
        each.add("n2", images["n9"])
    assert (loaded.template("n2") == gallery.template("n2")).all()


def test_an_empty_gallery_finds_nobody_and_is_kept(tmp_path: Path):
    gallery = Gallery(4)
    assert gallery.search([1, 0, 0, 0], 3) == []
    gallery.save(tmp_path / "empty.safetensors")
    assert len(Gallery.load(tmp_path / "empty.safetensors")) == 0


def test_nothing_is_overwritten_unasked_and_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    gallery, _ = filled()
    path = tmp_path / "people.safetensors"
    gallery.save(path)
    before = path.read_bytes()
    gallery.add("new", np.ones((1, 5)))
    with pytest.raises(FileExistsError, match="exists"):
        gallery.save(path)

    def full(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        gallery.save(path, overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["people.safetensors"]


def rewritten(path: Path, header: dict[str, Any] | None = None, **tensors: np.ndarray) -> None:
    """The gallery at `path` with some entries of its header or some tensors replaced; a value of ... removes it."""
    from safetensors import safe_open

    with safe_open(str(path), "numpy") as file:
        entries = json.loads(file.metadata()["gallery"])
    entries |= header or {}
    entries = {key: value for key, value in entries.items() if value is not ...}
    content = {**load_file(path), **tensors}
    save_file({k: v for k, v in content.items() if v is not None}, path, {"gallery": json.dumps(entries)})


@pytest.mark.parametrize(
    ("header", "tensors", "words"),
    [
        ({"kind": "embedding"}, {}, "header is not a gallery's"),
        ({"format": 2}, {}, "newer than 1"),
        ({"format": "1"}, {}, "header is not a gallery's"),
        ({"names": ...}, {}, "`names` in its header must be of type list, got None"),
        ({"names": "abc"}, {}, "`names` in its header must be of type list"),
        ({"names": ["a", "b", "a"]}, {}, "none twice"),
        ({"names": ["a", "b", ""]}, {}, "none empty"),
        ({"names": ["a", "b", 7]}, {}, "must be texts"),
        ({"names": ["a", "b"]}, {}, r"float64 \(2, 5\)"),
        ({"metric": "manhattan"}, {}, "manhattan"),
        ({"metric": ["cosine"]}, {}, "`metric` in its header must be of type str"),
        ({"dimensions": 0}, {"sums": np.zeros((3, 0))}, "1 or more dimensions"),
        ({"dimensions": 6}, {}, r"float64 \(3, 6\)"),
        ({"dimensions": True}, {}, "must be of type int"),
        ({"dimensions": 10**12}, {}, r"float64 \(3, 1000000000000\)"),
        ({"settings": None}, {}, "`settings`"),
        ({"identity": 5}, {}, "`identity`"),
        ({}, {"sums": np.zeros((3, 5))}, "without a direction"),
        ({}, {"sums": np.full((3, 5), np.nan)}, "not finite"),
        ({}, {"sums": np.ones((3, 5), np.float32)}, "float32"),
        ({}, {"counts": np.zeros(3, np.int64)}, "1 or more for each name"),
        ({}, {"counts": np.ones(4, np.int64)}, "1 or more for each name"),
        ({}, {"counts": np.ones(3)}, "int64"),
        ({}, {"counts": None}, "no gallery"),
        ({}, {"more": np.ones(3)}, "no gallery"),
    ],
)
def test_a_malformed_gallery_is_refused(header: dict[str, Any], tensors: dict[str, Any], words: str, tmp_path: Path):
    path = tmp_path / "people.safetensors"
    filled(names=3)[0].save(path)
    rewritten(path, header, **tensors)
    with pytest.raises(GalleryError, match=words) as caught:
        Gallery.load(path)
    assert str(path) in str(caught.value)


def test_foreign_files_are_refused_and_not_executed(tmp_path: Path):
    path = tmp_path / "people.safetensors"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    for content in (
        b"",
        b"junk" * 99,
        pickle.dumps(Trap()),
        (2**62).to_bytes(8, "little") + b"{}",
        b"\2" + b"\0" * 7 + b"{}",
    ):
        path.write_bytes(content)
        with pytest.raises(GalleryError, match="people"):
            Gallery.load(path)
    assert not (tmp_path / "executed").exists()
    save_file({"sums": np.ones((1, 2)), "counts": np.ones(1, np.int64)}, path, {"gallery": "[" * 100_000})
    with pytest.raises(GalleryError, match="not JSON"):
        Gallery.load(path)
    save_file({"weights": np.ones(3)}, path)
    with pytest.raises(GalleryError, match="no gallery"):
        Gallery.load(path)
    with pytest.raises(FileNotFoundError, match="no such gallery"):
        Gallery.load(tmp_path / "none.safetensors")
    with pytest.raises(GalleryError, match=r"is a \.safetensors file"):
        Gallery.load(tmp_path / "people.npz")


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_refused_or_a_gallery(place: int, value: int, cut: bool):
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "people.safetensors"
        filled(names=3)[0].save(path)
        content = bytearray(path.read_bytes())
        place %= len(content)
        content = content[:place] if cut else content[:place] + bytes([value]) + content[place + 1 :]
        path.write_bytes(content)
        try:
            loaded = Gallery.load(path)
        except GalleryError:
            return
        assert all(np.isfinite(match.score) for match in loaded.search(np.ones(loaded.dimensions), 3))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.ones(5), r"\(k, 5\) with k of 1 or more, got shape \(5,\)"),
        (np.ones((2, 4)), r"got shape \(2, 4\)"),
        (np.ones((0, 5)), r"got shape \(0, 5\)"),
        (np.full((1, 5), np.nan), "not finite"),
        (np.full((1, 5), np.inf), "not finite"),
        (np.full((1, 5), 1e30), "beyond"),
        (np.zeros((1, 5)), "no direction"),
        ([[1.0] * 5, [-1.0] * 5], "opposite directions"),
        ([["a"] * 5], "must be numbers"),
        (None, "must be numbers|got shape"),
    ],
)
def test_vectors_that_are_none_change_nothing(vectors: Any, words: str):
    gallery, _ = filled()
    before = {name: gallery.template(name) for name in gallery}
    for name in ("n3", "new") if "opposite" not in words else ("new",):
        with pytest.raises(ValueError, match=words):
            gallery.add(name, vectors)
    assert list(gallery) == list(before)
    assert all((gallery.template(name) == template).all() for name, template in before.items())


def test_names_and_questions_that_are_none_are_refused():
    gallery, _ = filled()
    for name in ("", None, 7):
        with pytest.raises(ValueError, match="must be a text"):
            gallery.add(name, np.ones((1, 5)))  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="nobody is enrolled as 'x'"):
        gallery.score(np.ones(5), "x")
    with pytest.raises(ValueError, match="k must be 1 or more"):
        gallery.search(np.ones(5), 0)
    with pytest.raises(ValueError, match="1 or more dimensions"):
        Gallery(0)
