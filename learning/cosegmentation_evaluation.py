"""How good a network for co-segmentation is, on pairs that it was not trained on, and whether it uses both images.

Jaccard index J (intersection over union of the masks) and precision P (share of pixels labelled right), as papers on
co-segmentation report them, of four masks of each image: the network's; that of a network of the same size which sees
the image alone; all foreground; and the network's when the other image is swapped for an unrelated one, which should
leave nothing in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from learning.cosegmentation import Cosegmenter, overlay, write_picture
from learning.cosegmentation_data import CLASS_FOLDERS, TEST_CLASSES, Image, Mask, Photo, by_identity, read_split
from learning.cosegmentation_pairs import PairConfig, PairSampler, Scene

THRESHOLDS = tuple(round(0.2 + 0.05 * step, 2) for step in range(11))
METHODS = ("cosegmentation", "saliency", "foreground", "swapped")
LONGEST_SIDE = 320  # of the photographs that masks are compared on
COMPOSED_SIZE = 192  # side of composed test pictures
ATTEMPTS = 10  # to compose one
COMPOSED = 120  # composed pairs in the report


@dataclass(frozen=True, eq=False)
class EvaluationPair:
    """Two pictures with something in common, and one that has nothing in common with either.

    Attributes:
        group: what kind of pair it is.
        name: of the pictures.
        images: the two.
        masks: of what they have in common.
        unrelated: the third.
    """

    group: str
    name: str
    images: tuple[Image, Image]
    masks: tuple[Mask, Mask]
    unrelated: Image


def jaccard(predicted: Mask, true: Mask) -> float:
    """Intersection over union; 1 where both are empty."""
    union = np.count_nonzero(predicted | true)
    return np.count_nonzero(predicted & true) / union if union else 1.0


def precision(predicted: Mask, true: Mask) -> float:
    """Share of the pixels, foreground and background, that are labelled right."""
    return float(np.mean(predicted == true))


def natural_pairs(photos: Sequence[Photo], most: int = 12, seed: int = 0) -> list[EvaluationPair]:
    """Pairs of photographs as they are: MSRC's cows, sequences of DAVIS, held-out classes of COCO, Penn-Fudan's people.

    Args:
        photos: of one part of the split.
        most: pairs an identity; where there are more, they are drawn. Cows and people, of which there is one identity
            each, get three times as many.
        seed: of the drawing, and of the unrelated pictures.
    """
    rng = np.random.default_rng([seed, 1])
    pairs: list[EvaluationPair] = []
    for source in ("msrc_cow", "davis", "coco256", "pennfudan", CLASS_FOLDERS):
        own = [photo for photo in photos if photo.source == source]
        for identity, group in sorted(by_identity(own).items()):
            if source == "coco256" and identity not in TEST_CLASSES:
                continue
            wanted = most if source in ("davis", "coco256", CLASS_FOLDERS) else 3 * most
            for first, second in _couples(group, wanted, rng):
                if (unrelated := _unrelated(photos, first, second, rng)) is not None:
                    pairs.append(_natural(source, first, second, unrelated))
    return pairs


def _couples(group: Sequence[Photo], most: int, rng: np.random.Generator) -> list[tuple[Photo, Photo]]:
    """Up to `most` different couples of comparable photographs."""
    couples = [
        (first, second) for index, first in enumerate(group) for second in group[:index] if first.comparable(second)
    ]
    return [couples[index] for index in sorted(rng.permutation(len(couples))[:most])]


def _natural(source: str, a: Photo, b: Photo, unrelated: Image) -> EvaluationPair:
    shared = a.common(b)
    masks = [np.logical_or.reduce([photo.masks[identity] for identity in shared]) for photo in (a, b)]
    return EvaluationPair(source, f"{a.name} + {b.name}", (a.image, b.image), (masks[0], masks[1]), unrelated)


def _unrelated(photos: Sequence[Photo], a: Photo | Scene, b: Photo | Scene, rng: np.random.Generator) -> Image | None:
    """A photograph that shows nothing of what two pictures show, if there is one."""
    identities, classes = a.masks.keys() | b.masks.keys(), a.classes | b.classes
    for index in rng.permutation(len(photos)):
        if not (photos[index].masks.keys() & identities or photos[index].classes & classes):
            return photos[index].image
    return None


def composed_pairs(photos: Sequence[Photo], number: int, seed: int = 0) -> list[EvaluationPair]:
    """Pairs in which each picture also has an object pasted into it that the other has not.

    No single image tells which object is meant.
    """
    config = PairConfig(size=COMPOSED_SIZE, unrelated=0, composed=0.5, distractors=(0, 0.8, 0.2), second=0)
    sampler = PairSampler(photos, config=config)
    pairs: list[EvaluationPair] = []
    for index in range(ATTEMPTS * number):
        rng = np.random.default_rng([seed, 2, index])
        a, b = sampler.pair(rng)
        masks = a.common(b), b.common(a)
        if not all(_ambiguous(scene, mask) for scene, mask in zip((a, b), masks, strict=True)):
            continue
        if (unrelated := _unrelated(photos, a, b, rng)) is not None:
            pairs.append(EvaluationPair("composed", f"composed {index}", (a.image, b.image), masks, unrelated))
        if len(pairs) == number:
            break
    return pairs


def _ambiguous(scene: Scene, common: Mask) -> bool:
    """Whether the common object can be seen, and so can something else of a third of its size."""
    other = scene.salient & ~common
    return bool(common.mean() > 0.02 and other.sum() > common.sum() / 3)


Probabilities = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the network says of the two images of a pair: probabilities by method."""

    pair: EvaluationPair
    probabilities: Mapping[str, tuple[Probabilities, Probabilities]]


def ask(segmenter: Cosegmenter, pairs: Iterable[EvaluationPair]) -> list[Answers]:
    """Run the network on every pair."""
    answers = []
    for pair in pairs:
        first, second = pair.images
        common = segmenter.probabilities([first, second])
        swapped = [segmenter.probabilities([image, pair.unrelated])[0] for image in pair.images]
        alone = [segmenter.saliency(image) for image in pair.images]
        whole = [np.ones(image.shape[:2], np.float32) for image in pair.images]
        said = zip(METHODS, (common, alone, whole, swapped), strict=True)
        answers.append(Answers(pair, {name: (maps[0], maps[1]) for name, maps in said}))
    return answers


def scores(answers: Iterable[Answers], method: str, threshold: float) -> dict[str, NDArray[np.float64]]:
    """Group → (images, 2) Jaccard index and precision of a method's masks."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for answer in answers:
        for probability, true in zip(answer.probabilities[method], answer.pair.masks, strict=True):
            mask = probability > threshold
            rows.setdefault(answer.pair.group, []).append((jaccard(mask, true), precision(mask, true)))
    return {group: np.array(values) for group, values in rows.items()}


def best_threshold(answers: Sequence[Answers], method: str) -> float:
    """The threshold of the highest Jaccard index, each group of pairs counting the same."""
    means = [
        np.mean([values[:, 0].mean() for values in scores(answers, method, threshold).values()])
        for threshold in THRESHOLDS
    ]
    return THRESHOLDS[int(np.argmax(means))]


@dataclass(frozen=True)
class Row:
    """Mean scores of a group of pairs: J and P by method (see the module), and how many pairs there are."""

    group: str
    pairs: int
    jaccard: dict[str, float]
    precision: dict[str, float]


def table(answers: Sequence[Answers], thresholds: Mapping[str, float]) -> list[Row]:
    """A row a group of pairs, one of all natural groups and one of all groups, each group counting the same.

    Args:
        answers: of the network.
        thresholds: of "cosegmentation" and of "saliency".
    """
    cut = {**thresholds, "foreground": 0.5, "swapped": thresholds["cosegmentation"]}
    by_method = {method: scores(answers, method, cut[method]) for method in METHODS}
    groups = list(dict.fromkeys(answer.pair.group for answer in answers))
    rows = [
        Row(
            group,
            len(by_method["foreground"][group]) // 2,
            {method: float(by_method[method][group][:, 0].mean()) for method in METHODS},
            {method: float(by_method[method][group][:, 1].mean()) for method in METHODS},
        )
        for group in groups
    ]
    natural = [row for row in rows if row.group != "composed"]
    return [*rows, _mean("natural", natural), _mean("all", rows)] if len(rows) > 1 else rows


def _mean(name: str, rows: Sequence[Row]) -> Row:
    return Row(
        name,
        sum(row.pairs for row in rows),
        {method: float(np.mean([row.jaccard[method] for row in rows])) for method in METHODS},
        {method: float(np.mean([row.precision[method] for row in rows])) for method in METHODS},
    )


def held_out_pairs(data: str | Path, longest_side: int = LONGEST_SIDE) -> list[EvaluationPair]:
    """All pairs to report on.

    Raises:
        FileNotFoundError, ValueError: see `read_split`; or nothing below `data` is kept for the test.
    """
    photos = read_split(data, longest_side).test
    pairs = natural_pairs(photos)
    pairs += composed_pairs(photos, COMPOSED) if len(photos) > 1 else []
    if not pairs:
        raise ValueError(
            f"no pairs to test on below {data}: see learning/cosegmentation_data.py for what is kept apart"
        )
    return pairs


def evaluate(
    data: str | Path, weights: str | Path = "cosegment", device: str = "cpu", pictures: Path | None = None
) -> list[Row]:
    """The table of a trained network.

    Args:
        data: see `read_split`.
        weights: name or path of it.
        device: to compute on.
        pictures: file for a picture of some of the pairs.

    Raises:
        FileNotFoundError, ValueError: see `held_out_pairs` and `learning.cosegmentation.load`.
    """
    segmenter = Cosegmenter.from_pretrained(weights, device)
    answers = ask(segmenter, held_out_pairs(data))
    thresholds = {"cosegmentation": segmenter.threshold, "saliency": segmenter.saliency_threshold}
    if pictures is not None:
        write_picture(pictures, sheet(answers, thresholds))
    return table(answers, thresholds)


def as_json(rows: Sequence[Row]) -> dict[str, dict[str, object]]:
    """Group → number of pairs, and J and P by method."""
    return {
        row.group: {
            "pairs": row.pairs,
            "jaccard": {method: round(value, 4) for method, value in row.jaccard.items()},
            "precision": {method: round(value, 4) for method, value in row.precision.items()},
        }
        for row in rows
    }


def sheet(answers: Sequence[Answers], thresholds: Mapping[str, float], each: int = 4, height: int = 96) -> Image:
    """Some pairs of each group, a row a pair: the images with the true masks, and with the masks of both images
    together, of each alone, and of each with an unrelated image.

    Args:
        answers: of the network.
        thresholds: of "cosegmentation" and of "saliency".
        each: pairs a group, evenly spread.
        height: of a row in pixels.
    """
    groups: dict[str, list[Answers]] = {}
    for answer in answers:
        groups.setdefault(answer.pair.group, []).append(answer)
    cut = {**thresholds, "swapped": thresholds["cosegmentation"]}
    rows = []
    for group in groups.values():
        for index in range(min(each, len(group))):
            answer = group[index * len(group) // min(each, len(group))]
            shown = [list(answer.pair.masks)]
            shown += [
                [probability > cut[method] for probability in answer.probabilities[method]]
                for method in ("cosegmentation", "saliency", "swapped")
            ]
            tiles = [
                _tile(overlay(image, mask), height)
                for masks in shown
                for image, mask in zip(answer.pair.images, masks, strict=True)
            ]
            rows.append(np.hstack(tiles))
    return np.asarray(np.vstack(rows), np.uint8)


def _tile(image: Image, height: int) -> Image:
    """Fitted into 4:3, with a dark border."""
    width = round(height * 4 / 3)
    factor = min((height - 4) / image.shape[0], (width - 4) / image.shape[1])
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    tile = np.full((height, width, 3), 24, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return tile


TITLES = {
    "msrc_cow": "MSRC cows",
    "davis": "DAVIS, sequences kept out",
    "coco256": "COCO, classes kept out",
    "pennfudan": "Penn-Fudan, images kept out",
    "composed": "composed, with distractors",
    "natural": "mean of natural pairs",
    "all": "mean of all",
}


def as_markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown; J / P."""
    lines = [
        "| pairs | | both images | each alone | all foreground | other image swapped |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{row.jaccard[method]:.3f} / {row.precision[method]:.3f}" for method in METHODS]
        lines.append(f"| {TITLES.get(row.group, row.group)} | {row.pairs} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
