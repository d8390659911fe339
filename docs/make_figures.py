"""Make the pictures of docs/method.md and docs/gallery.md with the project's own code:

    .venv/bin/python docs/make_figures.py              # docs/figures/*.png, about a minute
    .venv/bin/python docs/make_figures.py --gallery    # docs/gallery/*.gif too; renders the clips, some minutes more

Needs matplotlib and Pillow (both come with the `benchmarks` extra). Everything is drawn from the bundled clip and from
clips that `examples/render_demo.py` renders, so all of it may be redistributed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tracker import SiamTracker, TrackResult, TrackState, open_source
from tracker.box import overlap
from tracker.crop import centre_of, crop, exemplar_side, mean_colour
from tracker.decode import cosine_window
from tracker.overlay import COLOURS, draw
from tracker.redetection import tiles

matplotlib.use("agg")
import matplotlib.pyplot as plt  # after the backend is chosen
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

Image = NDArray[np.uint8]

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
CLIP = EXAMPLES / "demo.mp4"
LOOK = 60  # the frame of the clip whose search is shown
CLIPS = ("impostor",)  # the gallery has, beside docs/demo.gif
EVERY, WIDTH = 6, 320
COLOURS_OF_GIF = 64  # by octree: the median cut would spend them on the meadow, and paint the red car grey
ORANGE, BLUE, GREEN = "#e69f00", "#0072b2", "#009e73"  # Okabe and Ito's, told apart without colour vision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", action="store_true", help="also render, track and draw the clips of the gallery")
    parser.add_argument("--threads", type=int, help="CPU threads of the network")
    options = parser.parse_args()
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130})
    (DOCS / "figures").mkdir(exist_ok=True)
    images, truth = read_clip()
    box = tuple(json.loads((EXAMPLES / "demo_box.json").read_text())[0])
    tracker = SiamTracker.from_pretrained("compact", threads=options.threads)
    draw_crops(tracker, images, box)
    results = follow(tracker, images, box)
    draw_states(results, truth)
    draw_redetection(tracker, images, results)
    if options.gallery:
        (DOCS / "gallery").mkdir(exist_ok=True)
        for name in CLIPS:
            draw_clip(tracker, name)


def read_clip() -> tuple[list[Image], NDArray[np.float64]]:
    """The frames of the bundled clip and their true boxes, NaN where the target is hidden."""
    with open_source(CLIP) as source:
        images = [frame.image for frame in source]
    return images, np.genfromtxt(EXAMPLES / "demo_groundtruth.txt", delimiter=",")


def follow(tracker: SiamTracker, images: list[Image], box: Any) -> list[TrackResult]:
    return [tracker.init(images[0], box), *(tracker.update(image) for image in images[1:])]


def draw_crops(tracker: SiamTracker, images: list[Image], box: Any) -> None:
    """What the network sees, and what it answers."""
    follow(tracker, images[:LOOK], box)
    target, card = tracker.target, tracker.model.card
    assert target is not None
    image, before = images[LOOK], target.box
    region = tracker.search_crops(image)
    response, _ = tracker.model.runtime.search(region, target.kernel)
    exemplar = crop(images[0], centre_of(box), exemplar_side(*box[2:]), card.exemplar_size, mean_colour(images[0]))
    result = tracker.update(image)
    figure, axes = plt.subplots(1, 5, figsize=(12, 2.9), width_ratios=[1, 2, 1.6, 1.6, 1.6])
    show(axes[0], exemplar, f"exemplar, {card.exemplar_size} pixels\n(first frame)")
    show(axes[1], image, f"frame {LOOK}: last box, search region")
    side = exemplar_side(*before[2:]) * card.search_size / card.exemplar_size
    x, y = centre_of(before)
    outline(axes[1], before, ORANGE)
    outline(axes[1], (x - side / 2, y - side / 2, side, side), BLUE)
    show(axes[2], region[0], f"search region, {card.search_size} pixels\nand the new box")
    step = side / card.search_size
    found = [(result.box[k] - (x, y)[k] + side / 2) / step for k in (0, 1)]
    outline(axes[2], (*found, result.box[2] / step, result.box[3] / step), GREEN)
    logits = response[0, 0]
    heat(figure, axes[3], logits, f"response, {logits.shape[0]} × {logits.shape[1]} logits", "viridis")
    window = cosine_window(logits.shape[0])
    share = tracker.config.window_influence
    scores = 1 / (1 + np.exp(-logits))
    heat(figure, axes[4], (1 - share) * scores / scores.max() + share * window, "with the cosine window", "viridis")
    row, column = np.unravel_index(logits.argmax(), logits.shape)
    axes[3].plot(column, row, "+", color="white", markersize=10)
    save(figure, "crops")


def draw_states(results: list[TrackResult], truth: NDArray[np.float64]) -> None:
    """The score over the clip, beside how good the box really is."""
    figure, axes = plt.subplots(figsize=(9, 2.8))
    frames = np.arange(len(results))
    boxes = np.array([result.box for result in results])
    axes.fill_between(frames, 0, 1, np.isnan(truth[:, 0]), color="0.88", linewidth=0, label="target hidden", step="mid")
    axes.plot(frames, overlap(boxes, truth), color=BLUE, linewidth=1, label="overlap with the true box")
    axes.plot(frames, [result.score for result in results], color="black", linewidth=1.4, label="score")
    for state, marker in zip(TrackState, "sDx", strict=True):
        chosen = [index for index, result in enumerate(results) if result.state is state]
        colour = tuple(value / 255 for value in COLOURS[state][::-1]) if state is not TrackState.LOST else "0.35"
        axes.plot(chosen, np.full(len(chosen), -0.06), marker, color=colour, markersize=3, label=state.value.upper())
    axes.set(xlabel="frame", xlim=(0, len(results) - 1), ylim=(-0.12, 1.03))
    axes.legend(ncols=3, fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1))
    save(figure, "states")


def draw_redetection(tracker: SiamTracker, images: list[Image], results: list[TrackResult]) -> None:
    """How a frame is covered by coarse looks when the target is lost."""
    lost = next((index for index, result in enumerate(results) if result.state is TrackState.LOST), None)
    target = tracker.target
    if lost is None or target is None or target.redetection is None:
        raise SystemExit("the bundled clip is tracked without a loss: docs/method.md needs another example")
    image, card, redetection = images[lost], tracker.model.card, target.redetection
    size, centre = results[lost - 1].box[2:], centre_of(results[lost].box)
    step = exemplar_side(*size) / card.exemplar_size * redetection.zoom
    region = crop(image, centre, card.search_size * step, card.search_size, target.border)
    response = tracker.model.runtime.search(region[None], redetection.kernel)[0][0, 0]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[2, 1.2])
    show(axes[0], image, f"frame {lost}: LOST, the first looks of a round")
    reach = response.shape[0] * card.stride * step
    for number, (x, y) in enumerate(tiles((image.shape[1], image.shape[0]), reach, centre), start=1):
        outline(axes[0], (x - reach / 2, y - reach / 2, reach, reach), BLUE, 0.8)
        axes[0].text(x, y, str(number), color="white", ha="center", va="center", fontsize=8)
    axes[0].set(xlim=(-20, image.shape[1] + 20), ylim=(image.shape[0] + 20, -20))
    heat(figure, axes[1], response, f"response of a look that is {redetection.zoom:.1f} × as wide", "viridis")
    save(figure, "redetection")


def draw_clip(tracker: SiamTracker, name: str) -> None:
    """An animated GIF of a rendered clip as it is tracked, and the share of its frames in each state."""
    pictures = []
    for index, (image, result) in enumerate(track_rendered(tracker, name)):
        if index % EVERY == 0:
            drawn = draw(image, {1: result})
            small = cv2.resize(drawn, (WIDTH, WIDTH * drawn.shape[0] // drawn.shape[1]), interpolation=cv2.INTER_AREA)
            rgb = Pillow.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
            pictures.append(rgb.quantize(COLOURS_OF_GIF, Pillow.Quantize.FASTOCTREE, dither=Pillow.Dither.NONE))
    path = DOCS / "gallery" / f"{name}.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40 * EVERY, loop=0, optimize=True)


def track_rendered(tracker: SiamTracker, name: str) -> Iterator[tuple[Image, TrackResult]]:
    """A clip of examples/render_demo.py, frame by frame, with what the tracker says of it."""
    spec = importlib.util.spec_from_file_location("render_demo", EXAMPLES / "render_demo.py")
    assert spec is not None
    assert spec.loader is not None
    import sys

    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # dataclasses look their module up
    spec.loader.exec_module(script)
    counts: Mapping[TrackState, list[bool]] = {state: [] for state in TrackState}
    for index, (image, box) in enumerate(script.render(name)):
        result = tracker.update(image) if index else tracker.init(image, box)
        counts[result.state].append(box is not None)
        yield image, result
    for state, seen in counts.items():
        print(f"{name}: {len(seen)} frames {state.value}, the target in sight in {sum(seen)} of them")


def show(axes: Axes, image: Image, title: str) -> None:
    """A BGR image; its pixels' edges are at whole numbers, as boxes count them."""
    axes.imshow(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), extent=(0, image.shape[1], image.shape[0], 0))
    axes.set_title(title, fontsize=8.5)
    axes.axis("off")


def heat(figure: Any, axes: Axes, values: NDArray[Any], title: str, colours: str) -> None:
    picture = axes.imshow(values, cmap=colours)
    axes.set_title(title, fontsize=8.5)
    axes.axis("off")
    figure.colorbar(picture, ax=axes, fraction=0.046).ax.tick_params(labelsize=7)


def outline(axes: Axes, box: Any, colour: str, width: float = 1.5) -> None:
    axes.add_patch(Rectangle(box[:2], box[2], box[3], fill=False, edgecolor=colour, linewidth=width))


def save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(DOCS / "figures" / f"{name}.png", bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
