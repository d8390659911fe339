"""FlowAssociator: identities by minimum-cost flow over a whole video, or over a window that moves along it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.association.appearance_cue import AppearanceCue
from tracker.association.camera import Camera
from tracker.association.costs import Costs
from tracker.association.detections import Detections
from tracker.association.gaps import fill_gaps
from tracker.association.graph import build_graph, longest
from tracker.association.min_cost_flow import EmptySolution, explain_empty
from tracker.association.model import AssociationModel
from tracker.association.scene import Scene
from tracker.association.smoothing import smooth
from tracker.association.track import Track
from tracker.association.trail import TRAIL, Floats, Integers, extend
from tracker.frame import Image


@dataclass
class _Target:
    """A track whose last decided detection may still be followed."""

    id: int
    point: Floats
    frame: int
    category: int
    trail: Floats
    patch: NDArray[Any] | None


@dataclass
class _Frame:
    """A frame of which identities are not decided."""

    detections: Detections
    offset: Floats
    patches: NDArray[Any] | None


@dataclass
class _Memory:
    """Of what was decided: the tracks that go on, and the next free id."""

    targets: list[_Target] = field(default_factory=list)
    next_id: int = 1


class FlowAssociator:
    """Identities by exact minimum-cost flow.

    Args:
        model: what was learned.
        frame_rate: frames per second of the video.
        appearance: compares pixels, where there are images and the model was trained with it.
        window: seconds of video that are looked at together; by default all. Half of it is decided at a time, so that
            an identity is known `latency` frames after its detection at the latest.
        smooth: steady the boxes of whole tracks (`tracker.association.smoothing`); otherwise they are the detections'.
        costs: of the model, some of them changed by name (see `Costs`).

    Raises:
        ValueError: a frame rate that is not positive, a window shorter than twice the longest gap, an unknown cost.
    """

    def __init__(
        self,
        model: AssociationModel,
        frame_rate: float = 25.0,
        appearance: AppearanceCue | None = None,
        window: float | None = None,
        smooth: bool = True,
        **costs: float,
    ) -> None:
        if not 0 < frame_rate < math.inf:
            raise ValueError(f"frame_rate must be a positive number of frames per second, got {frame_rate}")
        self.model = model
        self.frame_rate = float(frame_rate)
        self.costs = Costs.of(vars(model.costs), **costs)
        if window is not None and not 2 * self.costs.longest_gap <= window < math.inf:
            raise ValueError(
                f"the window must be at least twice the longest gap ({self.costs.longest_gap} s) to decide "
                f"over gaps, got {window} s"
            )
        self.window, self.smooth = window, smooth
        self._cue = model.check_cue(appearance)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "association",
        frame_rate: float = 25.0,
        appearance: AppearanceCue | None = None,
        window: float | None = None,
        smooth: bool = True,
        **costs: float,
    ) -> FlowAssociator:
        """With a shipped model by name, or one's own by the path of its card.

        Raises:
            ModelError: it cannot be used.
            ValueError: as above.
        """
        return cls(AssociationModel.read(name), frame_rate, appearance, window, smooth, **costs)

    @property
    def latency(self) -> int | None:
        """Frames after a detection at which its identity is known; ``None``: when all of the video is."""
        return None if self.window is None else max(2, round(self.window * self.frame_rate))

    def run(
        self, detections_by_frame: Mapping[int, Detections], images: Iterable[Image | None] | None = None
    ) -> list[Track]:
        """Identities of a video's detections.

        Args:
            detections_by_frame: frame number → its detections; frames without any may be missing.
            images: those of frames 0, 1, 2, …, read once; by default those in the detections, if there are any.

        Returns:
            Tracks by rising id, smoothed, with gaps filled as `Costs.fill` says.

        Raises:
            EmptySolution: there are detections that the learned probabilities hold for targets, and the costs are such
                that no track is worth it; the message says which.
        """
        rows = [(frame, ids) for frame, ids in self.stream(_frames(detections_by_frame, images))]
        tracks = collect_tracks(rows)
        if not tracks:
            self._refuse_costs([frame for frame, _ in rows])
        filled = fill_all(tracks, self.costs, self.frame_rate)
        return smooth(filled) if self.smooth else filled

    def stream(self, frames: Iterable[Detections]) -> Iterator[tuple[Detections, Integers]]:
        """The same frame by frame, `latency` frames late; boxes as they were detected, without filled gaps.

        Args:
            frames: by rising number; their images are used where they have some.

        Yields:
            Each frame's detections with their ids (N,), −1: none.

        Raises:
            ValueError: frame numbers do not rise.
        """
        latency, camera, memory = self.latency, Camera(), _Memory()
        waiting: list[_Frame] = []
        last, before = -1, None
        for detections in frames:
            if detections.frame <= last:
                raise ValueError(f"frames must rise, got {detections.frame} after {last}")
            last = detections.frame
            if latency is not None:
                while waiting and last - waiting[0].detections.frame >= latency:
                    decided = waiting[0].detections.frame + latency // 2
                    yield from self._decide(waiting, memory, decided)
            offset = camera.update(detections, detections.image)
            patches = None
            if self._cue is not None and detections.image is not None:
                patches = self._cue.patches(detections.image, before, detections.xywh)
            before = detections.image
            waiting.append(_Frame(_without_image(detections), offset, patches))
        yield from self._decide(waiting, memory, last + 1)

    def _decide(self, waiting: list[_Frame], memory: _Memory, until: int) -> list[tuple[Detections, Integers]]:
        """Solve what waits, and take from it the frames before `until`."""
        scene, patches = self._scene(waiting, memory)
        graph = build_graph(scene, self.model, longest(self.costs, self.frame_rate), self._cue, patches)
        track = graph.tracks(self.model, self.costs)
        heads = len(memory.targets)
        ids = self._identities(track, scene, memory, until)
        self._remember(ids, scene, patches, memory, until)
        done = [frame for frame in waiting if frame.detections.frame < until]
        del waiting[: len(done)]
        bounds = heads + np.cumsum([0, *(len(frame.detections) for frame in done)])
        return [
            (frame.detections, ids[low:high]) for frame, low, high in zip(done, bounds[:-1], bounds[1:], strict=True)
        ]

    def _scene(self, waiting: list[_Frame], memory: _Memory) -> tuple[Scene, NDArray[Any] | None]:
        """The tracks that go on and what waits, and their patches."""
        fresh = Scene.of([frame.detections for frame in waiting], self.frame_rate, [frame.offset for frame in waiting])
        targets = sorted(memory.targets, key=lambda target: target.frame)
        memory.targets = targets
        scene = Scene(
            np.concatenate([np.array([target.frame for target in targets], np.int64), fresh.frame]),
            np.concatenate([np.array([target.point for target in targets]).reshape(-1, 6), fresh.points]),
            np.concatenate([np.array([target.category for target in targets], np.int64), fresh.category]),
            self.frame_rate,
            np.array([target.trail for target in targets]).reshape(-1, TRAIL),
        )
        if self._cue is None or any(frame.patches is None for frame in waiting if len(frame.detections)):
            return scene, None
        old = [target.patch for target in targets]
        if any(patch is None for patch in old):
            return scene, None
        parts = [np.stack(old)] if old else []  # type: ignore[arg-type]
        parts += [frame.patches for frame in waiting if frame.patches is not None and len(frame.detections)]
        return scene, np.concatenate(parts) if parts else None

    def _identities(self, track: Integers, scene: Scene, memory: _Memory, until: int) -> Integers:
        """Id of each detection (N,), −1: none; tracks without a detection before `until` get none yet."""
        ids = np.full(len(scene), -1, np.int64)
        heads = len(memory.targets)
        names = {int(track[row]): memory.targets[row].id for row in range(heads)}
        for row in np.flatnonzero((track >= 0) & (scene.frame < until)):
            number = int(track[row])
            if number not in names:
                names[number] = memory.next_id
                memory.next_id += 1
            ids[row] = names[number]
        return ids

    def _remember(self, ids: Integers, scene: Scene, patches: NDArray[Any] | None, memory: _Memory, until: int) -> None:
        """Carry tracks on by what was decided, and forget those that nothing can follow any more."""
        targets = {target.id: target for target in memory.targets}
        for row in range(len(memory.targets), len(ids)):
            if ids[row] < 0:
                continue
            number, point = int(ids[row]), scene.points[row]
            old = targets.get(number)
            trail = np.zeros(TRAIL) if old is None else old.trail
            extend(trail, *point)
            patch = None if patches is None else patches[row]
            targets[number] = _Target(number, point, int(scene.frame[row]), int(scene.category[row]), trail, patch)
        oldest = until - longest(self.costs, self.frame_rate)
        memory.targets = [target for target in targets.values() if target.frame >= oldest]

    def _refuse_costs(self, frames: list[Detections]) -> None:
        """Raise where it is the costs that leave no track, not the detections.

        Raises:
            EmptySolution: which cost it is.
        """
        scene = Scene.of([frame for frame in frames if len(frame)], self.frame_rate)
        if not len(scene):
            return
        graph = build_graph(scene, self.model, longest(self.costs, self.frame_rate))
        free = Costs(entry=0, exit=0, miss=0, skip=0, doubt=0, longest_gap=self.costs.longest_gap)
        if (graph.tracks(self.model, free) >= 0).any():
            odds: Floats = np.zeros(int(graph.chain.max()) + 1)
            np.add.at(odds, graph.chain, self.costs.doubt - graph.detection_odds)
            raise EmptySolution(f"no track is worth its cost: {explain_empty(odds, self.costs.entry, self.costs.exit)}")


def fill_all(tracks: Iterable[Track], costs: Costs, rate: float) -> list[Track]:
    """The tracks with gaps filled as `Costs.fill` says, at so many frames per second."""
    return [fill_gaps(track, max(1, round(costs.fill * rate))) for track in tracks]


def collect_tracks(frames: Iterable[tuple[Detections, Integers]]) -> list[Track]:
    """Tracks by rising id of frames' detections with their ids (N,), −1: none.

    Args:
        frames: by rising number, as `FlowAssociator.stream` yields them, or collected from `OnlineAssociator.update`.
    """
    rows = [(part, ids) for part, ids in frames if (ids >= 0).any()]
    if not rows:
        return []
    ids = np.concatenate([found for _, found in rows])
    frame = np.repeat([part.frame for part, _ in rows], [len(part) for part, _ in rows])
    xywh = np.concatenate([part.xywh for part, _ in rows])
    score = np.concatenate([part.score for part, _ in rows])
    category = np.concatenate([part.class_id for part, _ in rows])
    order = np.lexsort((frame, ids))
    order = order[np.searchsorted(ids[order], 0) :]
    starts = np.flatnonzero(np.r_[True, np.diff(ids[order]) > 0])
    return [
        Track(int(ids[r[0]]), frame[r], xywh[r], score[r], np.zeros(len(r), np.bool_), int(category[r[0]]))
        for r in np.split(order, starts[1:])
    ]


def _frames(detections: Mapping[int, Detections], images: Iterable[Image | None] | None) -> Iterator[Detections]:
    """By rising number, each with its image; with images also the frames without detections, which show the camera."""
    if images is None:
        yield from (detections[number] for number in sorted(detections))
        return
    last = max(detections, default=-1)
    seen = -1
    for seen, image in enumerate(images):
        if seen > last:
            break
        found = detections.get(seen)
        if found is None:
            yield Detections(seen, np.empty((0, 4)), image=image)
        else:
            yield Detections(seen, found.xywh, found.score, found.class_id, image)
    yield from (detections[number] for number in sorted(detections) if number > seen)


def _without_image(detections: Detections) -> Detections:
    """A window may be long, and images are large."""
    if detections.image is None:
        return detections
    return Detections(detections.frame, detections.xywh, detections.score, detections.class_id)
