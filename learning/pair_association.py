"""Learn the match probability with pixels: context of many videos, appearance of the one that has images.

    python -m learning.pair_association --data ../shared/data/mot --video PETS09-S2L1 --frames 1-450 \\
        --appearance towers --output weights/association_pets.json

The trees learn context from all sequences and, where their detections have no pixels, that appearance may be missing.
Calibration and costs come from the two halves of the training frames, each judged by trees that learned without it.
Frames behind --frames are tracked, scored and never learned from.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import shlex
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.association_calibration import expected_calibration_error
from learning.association_costs import FLOW_GRID, Trial, choose_costs, score_tracks
from learning.association_fit import Judged, calibrate
from learning.association_footage import Footage, read_all
from learning.association_pairs import Examples, detection_examples, examples_of
from learning.association_trees import grow_detections, grow_pairs, pooled
from learning.pair_train import parse_frames
from tracker.association.appearance import PairAppearance
from tracker.association.appearance_cue import AppearanceCue
from tracker.association.features import NAMES
from tracker.association.flow import FlowAssociator, collect_tracks
from tracker.association.graph import Graph, build_graph
from tracker.association.model import AssociationModel, write_model
from tracker.association.online import OnlineAssociator
from tracker.association.scene import Scene
from tracker.association.trees import Trees

Integers = NDArray[np.int64]

SCORE = 5  # column of a scene's points
EARLIER, LATER = (NAMES.index(f"score_{side}") for side in ("earlier", "later"))
ALONE = "alone"  # the kind of pairs that the associators judge before they look at pixels


def pair_rows(footage: Footage, seed: int) -> list[tuple[Integers, Integers]]:
    """The detections that the pairs of `examples_of` are of, as rows of the footage's scene.

    The features repeat both detections' scores, and nothing that chooses the pairs looks at a score: so where each
    detection's score is its own row, the features of the same choice say which rows they are of.
    """
    points = footage.scene.points.copy()
    points[:, SCORE] = np.arange(len(points))
    numbered = dataclasses.replace(footage, scene=dataclasses.replace(footage.scene, points=points))
    found = examples_of(numbered, np.random.default_rng(seed))
    return [tuple(part.features[:, column].astype(np.int64) for column in (EARLIER, LATER)) for part in found]  # type: ignore[misc]


def with_appearance(
    footage: Footage, seed: int, cue: AppearanceCue | None, patches: NDArray[Any] | None, columns: int
) -> list[Examples]:
    """Pairs of a footage, with what the cue says of them in further columns; NaN where there are no pixels.

    Args:
        footage: where from.
        seed: chooses them.
        cue: compares patches.
        patches: (N, …) of the scene's detections; ``None``: it has no images.
        columns: how many numbers the cue gives.
    """
    found = examples_of(footage, np.random.default_rng(seed))
    rows = pair_rows(footage, seed) if patches is not None else []
    judged = []
    for number, part in enumerate(found):
        more = np.full((len(part), columns), np.nan, np.float32)
        if cue is not None and patches is not None and part.kind != ALONE:
            earlier, later = rows[number]
            more = cue.compare(patches[earlier], patches[later])
        judged.append(dataclasses.replace(part, features=np.concatenate([part.features, more], axis=1)))
    return judged


def cut_patches(footage: Footage, cue: AppearanceCue) -> NDArray[Any]:
    """(N, …) patches of the scene's detections, from the footage's video.

    Raises:
        ValueError: the video has fewer frames than there are detections of.
    """
    wanted = {part.frame: part for part in footage.frames}
    parts: list[NDArray[Any]] = []
    previous = None
    for index, image in enumerate(footage.images()):
        if index in wanted:
            parts.append(cue.patches(image, previous, wanted[index].xywh))
        previous = image
    if len(parts) < len(wanted):
        raise ValueError(f"{footage.name}: its video ends before its detections do")
    return np.concatenate(parts)


def stretch(footage: Footage, first: int, last: int, name: str) -> tuple[Footage, NDArray[np.bool_]]:
    """The frames from `first` to `last`, both included, as a footage of its own group; and which detections they have.

    Frame numbers stay; `learning.association_costs.score_tracks` needs `truth_of` for them.
    """
    kept = (footage.scene.frame >= first) & (footage.scene.frame <= last)
    scene = Scene(footage.scene.frame[kept], footage.scene.points[kept], footage.scene.category[kept], footage.rate)
    rows = (footage.truth.frame >= first) & (footage.truth.frame <= last)
    truth = footage.truth
    truth = dataclasses.replace(
        truth, **{key: getattr(truth, key)[rows] for key in ("frame", "id", "box", "score", "category", "line")}
    )
    frames = tuple(part for part in footage.frames if first <= part.frame <= last)
    part = dataclasses.replace(
        footage, name=name, group=name, frames=frames, scene=scene, identity=footage.identity[kept], truth=truth
    )
    return part, kept


class SeenTrial(Trial):
    """A trial whose flow sees pixels."""

    def __init__(self, footage: Footage, model: AssociationModel, cue: AppearanceCue, patches: NDArray[Any]) -> None:
        super().__init__(footage, model)
        self._cue, self._patches = cue, patches

    @cached_property
    def graph(self) -> Graph:
        """See `Trial.graph`."""
        longest = max(1, round(max(FLOW_GRID["longest_gap"]) * self.footage.rate))
        return build_graph(self.footage.scene, self.model, longest, self._cue, self._patches)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A footage with its patches and its pairs."""

    footage: Footage
    patches: NDArray[Any] | None
    examples: list[Examples]
    detections: Any


class Fit:
    """Grows trees over context and appearance.

    Args:
        others: sequences without images.
        footage: the one with a video.
        first, last: its frames to learn from, both included.
        cue: compares pixels; ``None`` learns from context alone, for comparison.
        patches: (N, …) of the footage's detections by the cue.
        seed: of choices and trees.
        repeats: times that the footage with images is drawn from, with other failures of the detector.
    """

    def __init__(
        self,
        others: Sequence[Footage],
        footage: Footage,
        first: int,
        last: int,
        cue: AppearanceCue | None,
        patches: NDArray[Any] | None,
        seed: int = 0,
        repeats: int = 3,
    ) -> None:
        self.cue, self.seed = cue, seed
        self.names = () if cue is None else tuple(cue.names)
        self.others = [self._part(other, None, 1) for other in others]
        middle = (first + last) // 2
        self.halves = []
        for low, high in ((first, middle), (middle + 1, last)):
            half, kept = stretch(footage, low, high, f"{footage.name} {low + 1}-{high + 1}")
            self.halves.append(self._part(half, None if patches is None else patches[kept], repeats))

    def _part(self, footage: Footage, patches: NDArray[Any] | None, repeats: int) -> Part:
        seeds = range(self.seed, self.seed + repeats)
        found = [with_appearance(footage, seed, self.cue, patches, len(self.names)) for seed in seeds]
        examples = [part for parts in found for part in parts]
        return Part(footage, patches, examples, detection_examples(footage))

    def grow(self, halves: Sequence[Part]) -> tuple[str, str]:
        """Trees for pairs and detections, as LightGBM's text."""
        parts = [*self.others, *halves]
        footages = [part.footage for part in parts]
        pair = grow_pairs(footages, [part.examples for part in parts], self.names, self.seed)
        return pair, grow_detections(footages, [part.detections for part in parts], self.seed)

    def finish(self) -> tuple[str, str, AssociationModel, float]:
        """Texts of the trees of all footage, the model that they make with calibration and costs, and its ECE.

        The error (expected calibration error) is of pairs of one half by trees that learned without it.
        """
        judged, models = [], []
        for number, half in enumerate(self.halves):
            pair, detection = self.grow([other for place, other in enumerate(self.halves) if place != number])
            model = AssociationModel(Trees.parse(pair, "pair"), Trees.parse(detection, "detection"))
            features, same, weight = pooled([half.footage], [half.examples])
            gap = np.concatenate([part.gap for part in half.examples])
            odds = model.pair(features.astype(np.float64))
            judged.append(Judged(half.footage.name, odds, same, weight, gap))
            models.append(model)
        calibration = calibrate(judged)
        trials: list[Trial] = []
        for half, model in zip(self.halves, models, strict=True):
            calibrated = dataclasses.replace(model, calibration=calibration)
            if self.cue is not None and half.patches is not None:
                trials.append(SeenTrial(half.footage, calibrated, self.cue, half.patches))
            else:
                trials.append(Trial(half.footage, calibrated))
        costs = choose_costs(trials)
        pair, detection = self.grow(self.halves)
        model = AssociationModel(Trees.parse(pair, "pair"), Trees.parse(detection, "detection"), calibration, costs)
        slope, intercept = calibration
        odds, same = (np.concatenate([getattr(part, name) for part in judged]) for name in ("odds", "same"))
        return pair, detection, model, expected_calibration_error(1 / (1 + np.exp(-slope * odds - intercept)), same)


def judge(
    model: AssociationModel, footage: Footage, first: int, last: int, cue: AppearanceCue | None
) -> dict[str, dict[str, float]]:
    """Scores of both associators on frames that were not learned from, both included, with pixels if there is a cue."""
    part, _ = stretch(footage, first, last, footage.name)
    detections = {found.frame - first: dataclasses.replace(found, frame=found.frame - first) for found in part.frames}
    truth = dataclasses.replace(part.truth, frame=part.truth.frame - first)
    part = dataclasses.replace(part, truth=truth, length=last - first + 1)

    def images() -> Any:
        return (image for index, image in enumerate(footage.images()) if first <= index <= last)

    flow = FlowAssociator(model, footage.rate, cue).run(detections, None if cue is None else images())
    online = OnlineAssociator(model, footage.rate, cue)
    pictures = images() if cue is not None else (None for _ in range(last - first + 1))
    rows = []
    for index, image in enumerate(pictures):
        if index in detections:
            rows.append((detections[index], online.update(detections[index], image)))
    found = {"flow": score_tracks(part, flow), "online": score_tracks(part, collect_tracks(rows))}
    wanted = ("MOTA", "IDF1", "HOTA", "AssA", "IDSW", "CLR_FP", "CLR_FN")
    return {name: {key: round(float(score.scores()[key]), 4) for key in wanted} for name, score in found.items()}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m learning.pair_association",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of sequences: det/det.txt, gt/gt.txt, seqinfo.ini")
    add("--video", required=True, metavar="SEQUENCE", help="the one with frames.mp4")
    add("--frames", type=parse_frames, required=True, metavar="FIRST-LAST", help="of it to learn from, counted from 1")
    add("--appearance", default="towers", metavar="NAME|PATH|none", help="pair network (default: %(default)s)")
    add("--only", nargs="+", default=(), metavar="SEQUENCE", help="other sequences to learn from (default: all)")
    add("--output", type=Path, metavar="MODEL.json", help="write the model; without it the scores are only printed")
    add("--seed", type=int, default=0)
    add("--overwrite", action="store_true", help="replace an existing --output")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = parse(argv)
    try:
        if options.output and (options.output.suffix != ".json" or (options.output.exists() and not options.overwrite)):
            raise ValueError(f"{options.output} must end in .json and not exist yet, or give --overwrite")
        only = [options.video, *options.only] if options.only else ()
        footages = {footage.name: footage for footage in read_all(options.data, only)}
        if options.video not in footages or footages[options.video].video is None:
            raise ValueError(f"{options.data / options.video}: there is no frames.mp4")
        footage = footages.pop(options.video)
        cue = None if options.appearance == "none" else PairAppearance.from_pretrained(options.appearance)
        patches = None if cue is None else cut_patches(footage, cue)
        first, last = options.frames
        fit = Fit(list(footages.values()), footage, first, last, cue, patches, options.seed)
        pair, detection, model, error = fit.finish()
        end = int(footage.truth.frame.max())
        scores = judge(model, footage, last + 1, end, cue) if last < end else {}
        result = {"ece_of_left_out_pairs": round(error, 4), f"frames {last + 2}-{end + 1}": scores}
        if options.output:
            learned = {"calibration": model.calibration, "costs": dataclasses.asdict(model.costs)}
            write_model(options.output, pair, detection, {**learned, **_card(options, fit, result, argv)})
    except (OSError, ValueError) as error_:
        print(f"pair_association: {error_}", file=sys.stderr)
        return 2
    print(json.dumps({"costs": dataclasses.asdict(model.costs), **result}))
    return 0


def _card(options: argparse.Namespace, fit: Fit, result: dict[str, Any], argv: Sequence[str] | None) -> dict[str, Any]:
    first, last = options.frames
    arguments = sys.argv[1:] if argv is None else argv
    return {
        "training": {
            "sequences": [part.footage.name for part in fit.others],
            "appearance": f"{options.appearance}, on {options.video}, frames {first + 1} to {last + 1}",
            "command": shlex.join(["python", "-m", "learning.pair_association", *arguments]),
        },
        "results": result,
        "licence": "trained on research footage (MOTChallenge, KITTI, PETS): for research; see the data's own terms",
        "date": datetime.date.today().isoformat(),
    }


if __name__ == "__main__":
    sys.exit(main())
