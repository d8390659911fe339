"""A small folder in the layout of the photographs that co-segmentation is trained on, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 48, 40


def _picture(path: Path, mask: Path | None, seed: int, value: int = 255) -> None:
    """Noise with a bright disc in it, and the disc's mask."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    centre = int(rng.integers(14, 34)), int(rng.integers(14, 26))
    cv2.circle(image, centre, 9, (40 * (seed % 5) + 60, 250, 40 * (seed % 3) + 100), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    if mask is not None:
        truth = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.circle(truth, centre, 9, value, -1)
        mask.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(mask), truth)


def _annotate(folder: Path, entries: list[dict[str, object]]) -> None:
    (folder / "annotations.json").write_text(json.dumps({"annotations": entries}))


def make(root: Path) -> Path:
    """ECSSD (20 pictures), DAVIS (bear and cows to train on, goat to choose by, camel to test on; 3 frames each), COCO
    (dogs, a class kept out, cars and cups), Penn-Fudan (10) and two cows of MSRC.
    """
    entries: list[dict[str, object]] = []
    for n in range(1, 21):
        _picture(root / f"ecssd/images/{n:04d}.png", root / f"ecssd/masks/{n:04d}.png", n)
        names = {"image": f"images/{n:04d}.png", "mask": f"masks/{n:04d}.png", "seq": f"{n:04d}"}
        entries.append({**names, "box": [0, 0, 9, 9], "cat": "salient"})
    _annotate(root / "ecssd", entries)
    entries = []
    for number, sequence in enumerate(("bear", "cows", "goat", "camel")):
        for frame in range(3):
            name = f"{sequence}/{frame:05d}.png"
            _picture(root / "davis/images" / name, root / "davis/masks" / name, 100 * number + frame)
            names = {"image": f"images/{name}", "mask": f"masks/{name}", "seq": sequence, "cat": sequence}
            entries.append({**names, "box": [0, 0, 9, 9], "frame": frame})
    _annotate(root / "davis", entries)
    square = [10.0, 8.0, 30.0, 8.0, 30.0, 28.0, 10.0, 28.0]
    entries = []
    for n, category in enumerate(("dog", "dog", "cup", "car", "car", "car")):
        _picture(root / f"coco256/images/{n}.png", None, 500 + n)
        entries.append({"image": f"images/{n}.png", "box": [10, 8, 30, 28], "cat": category, "polygon": square})
    entries.append({"image": "images/3.png", "box": [0, 0, 4, 4], "cat": "person"})  # no polygon: not masked
    _annotate(root / "coco256", entries)
    entries = []
    for n in range(10):
        _picture(root / f"pennfudan/images/{n}.png", root / f"pennfudan/masks/{n}.png", 600 + n, value=1)
        names = {"image": f"images/{n}.png", "mask": f"masks/{n}.png"}
        entries.append({**names, "box": [0, 0, 9, 9], "cat": "person", "seq": str(n)})
    _annotate(root / "pennfudan", entries)
    for n in range(2):
        cows = root / "coseg/msrc_cow"
        _picture(cows / f"images/{n}.png", cows / f"masks/{n}.png", 700 + n)
    return root
