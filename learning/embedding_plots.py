"""Pictures of embeddings: the latent space and how it develops, neighbours, hardest pairs, ROC.

Classes differ by colour and by marker, and small sets of them are named where they lie, so that nobody needs to tell
colours apart.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.report.style import INK, MARKERS, PALETTE
from benchmarks.verification import Pairs, auc, equal_error_rate, roc
from learning.embedding_data import LabelledImages

Floats = NDArray[np.floating]
Indices = NDArray[np.int64]
Image = NDArray[np.uint8]

SHOWN = 12  # classes of which the latent space is drawn; more cannot be told apart
RIGHT, WRONG = (178, 114, 0), (0, 94, 213)  # blue and vermilion of the palette, BGR
TILE = 56  # pixels of an image in a sheet
GAP = 4


def flatten(embeddings: Floats, how: str = "pca", seed: int = 0, fitted: Floats | None = None) -> Floats:
    """(n, D) embeddings in two dimensions; those of two stay as they are.

    Args:
        embeddings: (n, D).
        how: "pca", principal components, or "t-sne" (van der Maaten, Hinton 2008).
        seed: of t-SNE.
        fitted: for "pca", the embeddings whose components are taken, so that several pictures share their axes.

    Raises:
        ValueError: another `how`, or fewer than three embeddings.
        ImportError: no scikit-learn for t-SNE.
    """
    if how not in ("pca", "t-sne"):
        raise ValueError(f"embeddings are flattened by 'pca' or 't-sne', not by {how!r}")
    if embeddings.ndim != 2 or len(embeddings) < 3:
        raise ValueError(f"expected (n, D) embeddings of three images or more, got {embeddings.shape}")
    if embeddings.shape[1] <= 2:
        return np.pad(embeddings, ((0, 0), (0, 2 - embeddings.shape[1])))
    if how == "pca":
        of = embeddings if fitted is None else fitted
        centre = of.mean(0)
        axes = np.linalg.svd(of - centre, full_matrices=False)[2][:2]
        return (embeddings - centre) @ axes.T
    manifold = _module("sklearn.manifold", "scikit-learn")
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    return np.asarray(manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(embeddings))


def draw_latent(points: Floats, labels: Indices, classes: Sequence[str], path: Path, title: str = "") -> None:
    """A map of the latent space.

    Args:
        points: (n, 2).
        labels: (n,) classes.
        classes: their names; of more than `SHOWN`, that many evenly spaced are drawn.
        path: .png, .svg or .pdf.
        title: above it.
    """
    figure = _figure(6.4, 5.6)
    _scatter(figure.subplots(), points, labels, classes, _limits(points), title)
    figure.savefig(path)


def animate(folder: Path, test: LabelledImages, watched: Indices, path: Path, fps: float = 8.0) -> None:
    """An animation of the latent space as it develops.

    Args:
        folder: of the moments that a training has kept (`learning.embedding.EmbeddingTraining`).
        test: the test part.
        watched: (n,) the test images whose embeddings were kept.
        path: .gif or .mp4.
        fps: moments a second; the last one stays for two seconds.

    Raises:
        ValueError: another suffix, no moments, or the file cannot be written.
    """
    frames = _frames(folder, test.labels[watched], test.classes)
    frames += [frames[-1]] * round(2 * fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        pillow = _module("PIL.Image", "pillow")
        pictures = [pillow.fromarray(frame).quantize(64) for frame in frames]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
    elif path.suffix == ".mp4":
        size = (frames[0].shape[1], frames[0].shape[0])
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not writer.isOpened():
            raise ValueError(f"{path} cannot be written as a video")
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
    else:
        raise ValueError(f"an animation is written as .gif or .mp4, not as {path}")


def draw_epochs(folder: Path, test: LabelledImages, watched: Indices, steps: int, output: Path) -> None:
    """The latent space after each epoch, one picture each: ``latent_epoch_00.png``, …

    Args:
        folder, test, watched: see `animate`.
        steps: of an epoch.
        output: folder; made if it is missing.
    """
    output.mkdir(parents=True, exist_ok=True)
    moments = _moments(folder)
    last = moments[max(moments)]
    for step, embeddings in moments.items():
        if step % steps == 0:
            points = flatten(embeddings, fitted=last)
            name = output / f"latent_epoch_{step // steps:02d}.png"
            draw_latent(points, test.labels[watched], test.classes, name, f"epoch {step // steps}")


def _frames(folder: Path, labels: Indices, classes: Sequence[str]) -> list[Image]:
    moments = _moments(folder)
    last = moments[max(moments)]
    points = {step: flatten(embeddings, fitted=last) for step, embeddings in moments.items()}
    limits = _limits(points[max(points)])
    frames = []
    for step, each in points.items():
        figure = _figure(5.6, 5.0, dpi=90)
        # until the space has its final extent the view is wider
        now = _limits(each)
        view = tuple((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(limits, now, strict=True))
        _scatter(figure.subplots(), each, labels, classes, view, f"step {step:,}")
        figure.canvas.draw()
        frame = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        frames.append(frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2])  # video wants even sides
    return frames


def _moments(folder: Path) -> dict[int, Floats]:
    found = {int(path.stem): np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}
    if not found:
        raise ValueError(f"{folder} has no moments of a training; train anew with --animation or --pictures")
    return found


def _scatter(axes: Any, points: Floats, labels: Indices, classes: Sequence[str], view: Any, title: str) -> None:
    present = np.unique(labels)
    shown = present[np.linspace(0, len(present) - 1, min(SHOWN, len(present))).astype(int)]
    for number, label in enumerate(shown):
        own = points[labels == label]
        colour = PALETTE[number % len(PALETTE)]
        axes.scatter(
            own[:, 0], own[:, 1], s=11, marker=MARKERS[number % len(MARKERS)], color=colour, alpha=0.55, linewidths=0
        )
    for number, label in enumerate(shown):  # above all points
        x, y = np.median(points[labels == label], axis=0)
        box = {
            "boxstyle": "round,pad=0.2",
            "facecolor": "white",
            "edgecolor": PALETTE[number % len(PALETTE)],
            "alpha": 0.85,
        }
        axes.annotate(_short(classes[label]), (x, y), ha="center", va="center", fontsize=9, color=INK, bbox=box)
    axes.set(xlim=view[0], ylim=view[1], title=title, xticks=[], yticks=[])
    if len(shown) < len(present):
        axes.set_xlabel(f"{len(shown)} of {len(present)} classes")


def _limits(points: Floats) -> tuple[tuple[float, float], ...]:
    """What 99 % of the points lie within, and a margin around it."""
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    pad = 0.08 * np.maximum(high - low, 1e-6)
    return tuple((float(a), float(b)) for a, b in zip(low - pad, high + pad, strict=True))


def neighbour_sheet(queries: LabelledImages, chosen: Indices, gallery: LabelledImages, neighbours: Indices) -> Image:
    """Rows of a query and its nearest images: framed blue where they are of its class, vermilion and crossed where not.

    Args:
        queries: part of the images that were looked up.
        chosen: (q,) which of them.
        gallery: images among which the neighbours are.
        neighbours: (q, k) indices into the gallery, the nearest first.

    Returns:
        The sheet, BGR.
    """
    rows = []
    for query, found in zip(chosen, neighbours, strict=True):
        name = queries.classes[queries.labels[query]]
        tiles = [_tile(queries, query, None), np.full((TILE + 2 * GAP, 3 * GAP, 3), 255, np.uint8)]
        tiles += [_tile(gallery, index, gallery.classes[gallery.labels[index]] == name) for index in found]
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def pair_sheet(images: LabelledImages, pairs: Pairs, scores: Floats, count: int = 12) -> Image:
    """The hardest pairs: above those of one class that look most unlike to the network, below the opposite.

    Args:
        images: that the pairs are of.
        pairs: judged.
        scores: (m,) how alike; larger is more.
        count: of either kind.

    Returns:
        The sheet, BGR.
    """
    alike, unlike = np.flatnonzero(pairs.same), np.flatnonzero(~pairs.same)
    worst = [
        alike[np.argsort(scores[alike], kind="stable")[:count]],
        unlike[np.argsort(-scores[unlike], kind="stable")[:count]],
    ]
    rows = []
    for kind, same in zip(worst, (True, False), strict=True):
        title = "one class, taken for two" if same else "two classes, taken for one"
        columns = [
            np.vstack([_tile(images, int(pairs.first[each]), same), _tile(images, int(pairs.second[each]), same)])
            for each in kind
        ]
        columns += [np.full((2 * (TILE + 2 * GAP), TILE + 2 * GAP, 3), 255, np.uint8)] * (count - len(columns))
        row = np.hstack(columns)
        head = np.full((26, row.shape[1], 3), 255, np.uint8)
        cv2.putText(head, title, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (28, 27, 26), 1, cv2.LINE_AA)
        rows += [head, row]
    return np.vstack(rows)


def _tile(images: LabelledImages, index: int, right: bool | None) -> Image:
    """One image with its frame; wrong ones have a corner cut off as well, as colour alone is not enough."""
    pixels = images.images[int(index)].permute(1, 2, 0).numpy()
    image = cv2.resize(np.repeat(pixels, 3 // pixels.shape[2], 2), (TILE, TILE), interpolation=cv2.INTER_AREA)
    if right is False:
        cv2.fillPoly(image, [np.array([[TILE, 0], [TILE - 14, 0], [TILE, 14]])], WRONG)
    colour = (255, 255, 255) if right is None else RIGHT if right else WRONG
    framed = cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=colour)
    edge = GAP - 2
    return cv2.copyMakeBorder(framed, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(255, 255, 255))  # type: ignore[return-value]


def draw_roc(scores: Floats, same: NDArray[np.bool_], path: Path, title: str = "") -> None:
    """True against false accept rate of pairs, the latter on a logarithmic axis, with the equal error rate."""
    curve, error = roc(scores, same), equal_error_rate(scores, same)
    figure = _figure(5.2, 4.6)
    axes = figure.subplots()
    least = 1 / max(int((~same).sum()), 1)
    axes.plot(
        np.maximum(curve.far, least), curve.tar, color=PALETTE[0], linewidth=2, label=f"AUC {auc(scores, same):.4f}"
    )
    axes.plot([error], [1 - error], "o", color=PALETTE[1], label=f"equal error rate {error:.2%}")
    ends = np.geomspace(least, 1, 50)
    axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":", label="chance")
    axes.set(xscale="log", xlim=(least, 1), ylim=(0, 1.01), xlabel="false accept rate", ylabel="true accept rate")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", framealpha=1, edgecolor="none")
    figure.savefig(path)


def draw_curves(curves: dict[str, list[float]], path: Path, title: str = "") -> None:
    """Errors against epochs, on a logarithmic axis, one line a name."""
    figure = _figure(6.0, 4.2)
    axes = figure.subplots()
    for number, (name, accuracies) in enumerate(curves.items()):
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        epochs = np.arange(1, len(accuracies) + 1)
        errors = 100 * (1 - np.array(accuracies))
        axes.plot(epochs, np.maximum(errors, 1e-2), color=colour, marker=marker, linewidth=1.6, label=name)
    axes.set(xlabel="epoch", ylabel="nearest neighbour wrong, %", yscale="log", title=title, xticks=epochs)
    ticker = _module("matplotlib.ticker", "matplotlib")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path)


def export_projector(embeddings: Floats, images: LabelledImages, folder: Path) -> None:
    """Files for TensorBoard's projector (`tensorboard --logdir FOLDER`, or projector.tensorflow.org).

    ``tensors.tsv``, ``metadata.tsv``, ``sprite.png`` (row by row, at most 8192 pixels a side) and
    ``projector_config.pbtxt``.

    Args:
        embeddings: (n, D).
        images: the n that they are of.
        folder: made if it is missing.

    Raises:
        ValueError: different numbers of embeddings and images.
    """
    if len(embeddings) != len(images):
        raise ValueError(f"{len(embeddings)} embeddings of {len(images)} images")
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "tensors.tsv", embeddings, fmt="%.6g", delimiter="\t")
    names = [images.classes[label].replace("\t", " ").replace("\n", " ") for label in images.labels]
    (folder / "metadata.tsv").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    columns = int(np.ceil(np.sqrt(len(images))))
    side = min(images.size, 8192 // columns)
    sprite = np.full((columns * side, columns * side, 3), 255, np.uint8)
    for index, pixels in enumerate(images.images):
        tile = np.repeat(pixels.permute(1, 2, 0).numpy(), 3 // images.channels, 2)
        row, column = divmod(index, columns)
        sprite[row * side : (row + 1) * side, column * side : (column + 1) * side] = cv2.resize(tile, (side, side))
    cv2.imwrite(str(folder / "sprite.png"), sprite)
    (folder / "projector_config.pbtxt").write_text(
        "embeddings {\n"
        '  tensor_name: "embedding"\n'
        '  tensor_path: "tensors.tsv"\n'
        '  metadata_path: "metadata.tsv"\n'
        "  sprite {\n"
        '    image_path: "sprite.png"\n'
        f"    single_image_dim: {side}\n"
        f"    single_image_dim: {side}\n"
        "  }\n"
        "}\n",
        encoding="utf-8",
    )


def _figure(width: float, height: float, dpi: int = 130) -> Any:
    """A figure of its own, without pyplot's state; it can be drawn without a display."""
    figure = _module("matplotlib.figure", "matplotlib").Figure((width, height), dpi=dpi, layout="constrained")
    _module("matplotlib.backends.backend_agg", "matplotlib").FigureCanvasAgg(figure)
    return figure


def _short(name: str, most: int = 16) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _module(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"drawing embeddings needs {package}: pip install 'siamtrack[train]' ({error})") from error


def as_floats(embeddings: torch.Tensor) -> Floats:
    """A tensor of embeddings as float64, which matplotlib and scikit-learn like."""
    return embeddings.double().cpu().numpy()
