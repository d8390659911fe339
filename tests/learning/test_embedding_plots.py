"""Pictures: that they are there, and show what they should."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.verification import Pairs
from learning.embedding_plots import (
    GAP,
    RIGHT,
    TILE,
    WRONG,
    animate,
    draw_curves,
    draw_epochs,
    draw_latent,
    draw_roc,
    export_projector,
    flatten,
    neighbour_sheet,
    pair_sheet,
)
from learning.glyphs import draw_glyphs

IMAGES = draw_glyphs(4, 5, 16)


def test_principal_components_are_those_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 5)) * [1, 9, 2, 5, 0.1] + 3
    found = flatten(points)
    values = np.sort(np.linalg.eigvalsh(np.cov(points.T)))[::-1]
    assert np.var(found, axis=0, ddof=1).tolist() == pytest.approx(values[:2].tolist())
    assert abs(np.corrcoef(found[:, 0], points[:, 1])[0, 1]) > 0.99
    others = flatten(points[:50], fitted=points)
    assert np.allclose(others, found[:50]), "axes of the whole"


def test_two_dimensions_stay_and_one_gets_a_second() -> None:
    points = np.random.default_rng(0).normal(size=(5, 2))
    assert np.array_equal(flatten(points), points)
    assert flatten(points[:, :1])[:, 1].tolist() == [0] * 5


def test_tsne_keeps_clusters_apart() -> None:
    pytest.importorskip("sklearn", reason="t-SNE is scikit-learn's")
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(at, 0.1, (20, 6)) for at in (0, 10)])
    found = flatten(points, "t-sne")
    assert np.linalg.norm(found[:20].mean(0) - found[20:].mean(0)) > 2 * found[:20].std()


@pytest.mark.parametrize(
    ("points", "how", "words"), [(np.zeros((5, 3)), "umap", "not by 'umap'"), (np.zeros((2, 3)), "pca", "three images")]
)
def test_what_cannot_be_flattened_is_refused(points: np.ndarray, how: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        flatten(points, how)


def test_the_latent_space_and_curves_are_drawn(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(20, 2))
    draw_latent(points, IMAGES.labels, IMAGES.classes, tmp_path / "latent.png", "test")
    draw_curves({"random": [0.5, 0.9], "batch-hard": [0.7, 1.0]}, tmp_path / "curves.png", "both")
    draw_roc(np.array([0.9, 0.8, 0.4, 0.1]), np.array([True, True, False, False]), tmp_path / "roc.png")
    for name in ("latent", "curves", "roc"):
        assert len(np.unique(cv2.imread(str(tmp_path / f"{name}.png")))) > 20


def _moments(folder: Path) -> np.ndarray:
    folder.mkdir()
    watched = np.arange(20)
    for step in (0, 5, 10):
        np.save(folder / f"{step:07d}.npy", np.random.default_rng(step).normal(size=(20, 3)) * (step + 1))
    return watched


def test_the_animation_has_a_frame_a_moment_and_a_pause(tmp_path: Path) -> None:
    watched = _moments(tmp_path / "moments")
    animate(tmp_path / "moments", IMAGES, watched, tmp_path / "a" / "a.mp4", fps=4)
    capture = cv2.VideoCapture(str(tmp_path / "a" / "a.mp4"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == 3 + 8
    animate(tmp_path / "moments", IMAGES, watched, tmp_path / "a.gif", fps=4)
    assert (tmp_path / "a.gif").read_bytes()[:6] == b"GIF89a"
    with pytest.raises(ValueError, match=r".gif or .mp4"):
        animate(tmp_path / "moments", IMAGES, watched, tmp_path / "a.avi")
    with pytest.raises(ValueError, match="no moments"):
        animate(tmp_path, IMAGES, watched, tmp_path / "b.gif")


def test_every_epoch_has_its_picture(tmp_path: Path) -> None:
    watched = _moments(tmp_path / "moments")
    draw_epochs(tmp_path / "moments", IMAGES, watched, 5, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"latent_epoch_{epoch:02d}.png" for epoch in range(3)
    ]


def test_neighbours_are_framed_by_whether_they_are_right() -> None:
    sheet = neighbour_sheet(IMAGES, np.array([0, 6]), IMAGES, np.array([[1, 5], [7, 8]]))
    side = TILE + 2 * GAP
    assert sheet.shape == (2 * side, 3 * side + 3 * GAP, 3)
    frames = [
        sheet[row * side + GAP - 1, side + 3 * GAP + column * side + side // 2] for row in (0, 1) for column in (0, 1)
    ]
    assert [tuple(map(int, frame)) for frame in frames] == [RIGHT, WRONG, RIGHT, RIGHT]


def test_the_hardest_pairs_come_first() -> None:
    pairs = Pairs(np.array([0, 0, 0, 1]), np.array([1, 2, 5, 6]), np.array([True, True, False, False]))
    sheet = pair_sheet(IMAGES, pairs, np.array([-1.0, -9.0, -2.0, -0.5]), count=2)
    side, head = TILE + 2 * GAP, 26

    def shown(row: int, column: int) -> np.ndarray:
        top = head + (row // 2) * (2 * side + head) + (row % 2) * side + GAP
        return sheet[top : top + TILE, column * side + GAP : column * side + GAP + TILE, 0]

    def of(index: int) -> np.ndarray:
        return cv2.resize(IMAGES.images[index, 0].numpy(), (TILE, TILE), interpolation=cv2.INTER_AREA)

    assert np.array_equal(shown(0, 0), of(0))
    assert np.array_equal(shown(1, 0), of(2)), "the pair of one class that is farther apart"
    middle = slice(16, None)  # beside the corner that marks what is wrong
    assert np.array_equal(shown(2, 0)[middle], of(1)[middle])
    assert np.array_equal(shown(3, 0)[middle], of(6)[middle]), "the pair of two classes that is nearer"


def test_the_projectors_files_fit_each_other(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    export_projector(points, IMAGES, tmp_path / "projector")
    assert np.allclose(np.loadtxt(tmp_path / "projector" / "tensors.tsv"), points, atol=1e-4)
    assert (tmp_path / "projector" / "metadata.tsv").read_text().splitlines() == [
        IMAGES.classes[k] for k in IMAGES.labels
    ]
    sprite = cv2.imread(str(tmp_path / "projector" / "sprite.png"))
    assert sprite.shape == (80, 80, 3), "20 images of 16 pixels, 5 a row"
    assert np.array_equal(sprite[16:32, 32:48, 0], IMAGES.images[7, 0].numpy())
    assert "single_image_dim: 16" in (tmp_path / "projector" / "projector_config.pbtxt").read_text()
    with pytest.raises(ValueError, match="19 embeddings of 20 images"):
        export_projector(points[:19], IMAGES, tmp_path)
