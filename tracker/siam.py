"""`SiamTracker`: the tracking loop of SiamFC (Bertinetto et al. 2016, section 4) and its one-scale variant.

One look at the exemplar gives a kernel; in each frame the kernel is compared with a search region around the last
place, and the peak of the response is the new place. A head that regresses boxes needs one search region, SiamFC's
correlation one per scale, or one search region and an exemplar per scale.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.appearance import SURE, AppearanceModel
from tracker.box import validate_box
from tracker.budget import Budget, BudgetConfig
from tracker.colour import ColourConfig, ColourModel
from tracker.confidence import Confidence, ConfidenceConfig, probability
from tracker.crop import centre_of, crop, crops, exemplar_side, mean_colour
from tracker.decode import (
    PYRAMIDS,
    DecodeConfig,
    Decoded,
    decode_boxes,
    decode_pyramid,
    equally_long,
    exemplar_factors,
    search_factors,
)
from tracker.exclusive import Exclusive
from tracker.frame import to_bgr8
from tracker.kinematics import Motion, follow
from tracker.model import Model, refuse_name
from tracker.network import ModelCard, available
from tracker.online import CorrelationFilter, OnlineConfig
from tracker.redetection import Redetection, RedetectionConfig, Sighting, hills, tiles, zoom_for
from tracker.result import Box, TrackResult, TrackState

Image = NDArray[np.uint8]
SIDES = (1.0, 1e6)  # pixels: a box's side is followed as if it lay between these, so that no arithmetic overflows
RANGES: dict[str, tuple[float, float]] = {  # of what can be set; whole numbers where the limits are
    "scales": (1, 99),
    "scale_step": (1.0, 4.0),
    "scale_penalty": (0.0, 100.0),
    "scale_rate": (0.0, 1.0),
    "window_influence": (0.0, 1.0),
    "certain": (0.0, 1.0),
    "doubtful": (0.0, 1.0),
    "hopeless": (0.0, 1.0),
    "patience": (1, 10**9),
    "memory": (0.0, 1.0),
    "smallest": (1.0, 1e6),
    "passing": (0.0, 1.0),
    "colour_gate": (0.0, 1e6),
    "appearance_enough": (-1.0, 1.0),
    "appearance_weight": (0.0, 1e6),
    "looks": (1, 10**9),
    "redetect_every": (0, 10**9),
    "redetect_after": (0, 10**9),
    "budget_ms": (0.0, 1e9),
    "online_share": (0.0, 1.0),
    "online_rate": (0.0, 1.0),
    "online_spread": (0.0, 10.0),
    "online_ridge": (0.0, 1e6),
}


@dataclass(frozen=True)
class TrackerConfig(DecodeConfig, ConfidenceConfig, ColourConfig, OnlineConfig, RedetectionConfig, BudgetConfig):
    """All that can be set on a tracker; a model's card overrides the defaults, keywords override the card.

    Attributes:
        smallest: no side of a box is estimated below this many pixels (or the first box's, where that is smaller).
    """

    smallest: float = 6.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value: Any = getattr(self, name)
            number: type[Any] = Integral if isinstance(low, int) else Real
            if not isinstance(value, number) or not low <= value <= high:
                kind = "whole number" if number is Integral else "number"
                raise ValueError(f"{name} must be a {kind} from {low:g} to {high:g}, got {value!r}")
        if self.pyramid not in PYRAMIDS:
            raise ValueError(f"pyramid must be {' or '.join(PYRAMIDS)}, got {self.pyramid!r}")
        weights: Any = self.weights
        if not isinstance(weights, tuple) or len(weights) != 4:
            raise ValueError(f"weights must be four numbers, got {weights!r}")
        if not all(isinstance(value, Real) and math.isfinite(value) for value in weights):
            raise ValueError(f"weights must be finite numbers, got {weights!r}")

    @classmethod
    def of(cls, card: ModelCard, **overrides: Any) -> TrackerConfig:
        """The configuration of a model, with keywords put over it.

        Raises:
            ValueError: an unknown key or a value that makes no sense, in the card or among the keywords.
        """
        known = {entry.name for entry in dataclasses.fields(cls)}
        if unknown := sorted((card.config.keys() | overrides.keys()) - known):
            raise ValueError(f"unknown configuration: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        values = {**card.config, **overrides}
        if isinstance(values.get("weights"), list):
            values["weights"] = tuple(values["weights"])
        config = cls(**values)
        if card.head_type.regresses_boxes and config.scales != 1:
            raise ValueError(f"a head that regresses boxes searches one scale, got scales={config.scales}")
        return config


LONG_TERM: Mapping[str, Any] = MappingProxyType({"appearance_weight": 10.0, "redetect_after": 25, "looks": 2})
"""Settings of `TrackerConfig` where a target leaves for long and comes back among things like it.

A second network has a say in what is the target, one that is long in doubt is looked for elsewhere, and what was found
is believed sooner.
"""


@dataclass
class Target:
    """The state of one target.

    Attributes:
        centre: (x, y) in image pixels.
        size: (w, h) in image pixels.
        first_size: (w, h) at `init`.
        border: colour beyond the first frame's border.
        trusted_size: (w, h) when it was TRACKING last.
        kernel: (S or 1, K, k, k) of the exemplar, at each scale if the pyramid is of exemplars.
        confidence: the state machine.
        colours: that it has; `None` if the configuration does not ask for them.
        appearance: what kind of thing it is; `None` if the configuration does not ask for it.
        filter: what is learned of target and background in this video; `None` if the configuration asks for none.
        redetection: the search over the whole frame; `None` if the configuration asks for none.
        motion: how it moves, as far as known; watched only, no part of the search.
    """

    centre: tuple[float, float]
    size: tuple[float, float]
    first_size: tuple[float, float]
    border: tuple[float, ...]
    trusted_size: tuple[float, float]
    kernel: NDArray[np.float32]
    confidence: Confidence
    colours: ColourModel | None = None
    appearance: AppearanceModel | None = None
    filter: CorrelationFilter | None = None
    redetection: Redetection | None = None
    motion: Motion | None = None

    @property
    def box(self) -> Box:
        """``(x, y, w, h)`` in image pixels."""
        (x, y), (w, h) = self.centre, self.size
        return x - w / 2, y - h / 2, w, h


class SiamTracker:
    """Follows one target.

    One object has its own state; it must be used by one thread at a time. It can be pickled: the target's state goes
    along, the network is loaded again at first use.

    Args:
        model: the weights, which several trackers may share.
        config: overrides of the model's configuration.

    Raises:
        TypeError: a model's name instead of the model, see `from_pretrained`.
        ValueError: an unknown configuration key, or a value that makes no sense.
    """

    def __init__(self, model: Model, **config: Any) -> None:
        refuse_name(model, type(self))
        self.model = model
        self.config = TrackerConfig.of(model.card, **config)
        self.target: Target | None = None
        self._budget = Budget(self.config.budget_ms)
        self._exclusive = Exclusive()
        self._searched = np.empty((0, 0, 0, 3), np.uint8)  # the search regions of the frame

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "compact",
        *,
        runtime: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        **config: Any,
    ) -> SiamTracker:
        """A tracker with trained weights.

        Args:
            name_or_path: a name of `available()`, or a .safetensors file with its card beside it.
            runtime: "auto", "torch", "onnxruntime", "openvino", "tensorrt" (see `tracker.runtimes.open_runtime`).
            device: "auto" (CUDA where there is one), "cpu", "cuda", …
            threads: CPU threads, for torch in the whole process; `None` leaves them alone.
            config: overrides, see `TrackerConfig`.

        Raises:
            WeightsError: the weights are missing, damaged or foreign.
            ValueError: an unknown runtime, device or configuration key.
        """
        tracker = cls(Model(name_or_path, runtime, device, threads), **config)
        _ = tracker.model.runtime  # fail here, not in the first frame
        return tracker

    @staticmethod
    def available() -> dict[str, ModelCard]:
        """The models that ship with the package: name → card."""
        return available()

    @property
    def runtime(self) -> str:
        """Name of the runtime in use."""
        return self.model.runtime.name

    def __getstate__(self) -> dict[str, Any]:
        """Without the frame's search regions, which the next one overwrites."""
        return {**self.__dict__, "_searched": np.empty((0, 0, 0, 3), np.uint8)}

    def init(self, frame: Any, box: Iterable[float], timestamp: float | None = None) -> TrackResult:
        """Start on a target, forgetting any other.

        Args:
            frame: (H, W, 3) uint8 BGR, or what `to_bgr8` takes.
            box: ``(x, y, w, h)`` in 0-based pixels, at least partly in the image.
            timestamp: seconds at which it was taken; handed through, and what velocities are estimated by.

        Returns:
            The box as given, score 1, TRACKING.

        Raises:
            ValueError: a bad frame or box.
            RuntimeError: another thread is using this tracker.
        """
        with self._exclusive:
            since = time.perf_counter()
            image = to_bgr8(frame)
            valid = validate_box(box, image.shape[1], image.shape[0])
            border = mean_colour(image)
            centre = centre_of(valid)
            size = min(max(valid[2], SIDES[0]), SIDES[1]), min(max(valid[3], SIDES[0]), SIDES[1])
            kernel = self._look(image, centre, size, border)
            confidence = Confidence(self.config)
            self.target = Target(centre, size, size, border, size, kernel, confidence)
            if self.config.colour_gate:
                self.target.colours = ColourModel(image, centre, size, self.config.colour_gate)
            if self.config.appearance_weight:
                self.target.appearance = AppearanceModel(image, centre, size, border)
            if self.config.online_share:
                began = time.perf_counter()
                self.target.filter = self._first_filter(self.target, image)
                self._budget.begin(began)  # so that it is known what learning costs
                with self._budget.measured("learning"):
                    self._learn(self.target, (0.0, 0.0), self._crop_size(size))
            if self.config.redetect_every:
                self.target.redetection = self._first_redetection(self.target, image)
            self.target.motion = follow(None, confidence.state, valid, 1.0, TrackState.TRACKING, timestamp)
            elapsed = time.perf_counter() - since
            return TrackResult(valid, 1.0, TrackState.TRACKING, elapsed, timestamp, self.target.motion)

    def update(self, frame: Any, timestamp: float | None = None) -> TrackResult:
        """Find the target in the next frame.

        Args:
            frame: as for `init`; another size is allowed.
            timestamp: as for `init`. With it the result has a motion, and predicts (`TrackResult.at`).

        Returns:
            Box, score and state. In LOST the box is a best guess: the search goes on around it.

        Raises:
            ValueError: a bad frame.
            RuntimeError: no target (`init` was not called), or another thread is using this tracker.
        """
        with self._exclusive:
            since = time.perf_counter()
            image = to_bgr8(frame)
            regions = self.search_crops(image)
            assert self.target is not None
            response, features = self.model.runtime.search(regions, self.target.kernel)
            return self.take(response, features, image, since, timestamp)

    def reset(self) -> None:
        """Forget the target."""
        with self._exclusive:
            self.target = None

    def search_crops(self, image: Image) -> NDArray[np.uint8]:
        """(S or 1, 255, 255, 3) search regions around the last place; the first half of `update`.

        There is one for each scale, unless the pyramid is of exemplars. The next call writes to the same array.
        """
        target = self._tracked()
        return self._regions(image, target.centre, target.size, target.border)

    def take(
        self,
        response: NDArray[np.float32],
        features: NDArray[np.float32],
        image: Image,
        since: float,
        timestamp: float | None,
        targets: int = 1,
    ) -> TrackResult:
        """Decode the response of the search crops and move the target; the second half of `update`.

        Args:
            response: (S, C, R, R) of one target.
            features: (S or 1, F, s, s) of its search crops.
            image: the frame that the crops were cut from.
            since: `time.perf_counter()` at which work on this frame began.
            timestamp: see `update`.
            targets: that were searched for since then.
        """
        target, budget = self._tracked(), self._budget
        budget.begin(since, targets)
        decoded = self._decode(target, response, features, target.size)
        if decoded.finite:  # in LOST too: following the best guess finds more targets again than waiting for them
            target.centre, target.size = self._moved(target, target.centre, target.size, decoded, image)
        before = target.confidence.state
        colours = target.colours
        familiar = colours is None or colours.agrees(image, target.centre, target.size, before)
        likeness = self._likeness(target, decoded, image, target.centre, target.size, before)
        score, state = target.confidence.judge(decoded, familiar, likeness)
        if colours and state is TrackState.TRACKING and score >= self.config.certain:
            colours.watch()
        if target.appearance and target.confidence.proven and familiar and probability(decoded, self.config) >= SURE:
            target.appearance.learn()
        if state is TrackState.TRACKING and decoded.finite:
            target.trusted_size = target.size
            if budget.allows("learning"):
                with budget.measured("learning"):
                    self._learn(target, decoded.shift, decoded.size)
        if (redetection := target.redetection) is not None and redetection.wanted(state):
            held = None if state is TrackState.LOST else Sighting(target.centre, target.size, score)
            if found := self._redetect(target, redetection, image, response.shape[-1], held):
                target.centre, target.size = found.centre, found.size
                score, state = target.confidence.trust(found.score)
        target.motion = follow(target.motion, before, target.box, score, state, timestamp)
        return TrackResult(target.box, score, state, time.perf_counter() - since, timestamp, target.motion)

    def _decode(
        self,
        target: Target,
        response: NDArray[np.float32],
        features: NDArray[np.float32],
        size: tuple[float, float],
    ) -> Decoded:
        """What the response to search regions around a target of `size` says."""
        middle = features[len(features) // 2]  # the search region at scale 1
        answer = target.filter.respond(middle, response.shape[-1]) if target.filter else None
        decode = decode_boxes if self.model.card.head_type.regresses_boxes else decode_pyramid
        config = self.config
        return decode(response, self._crop_size(size), self.model.card.stride, config, answer, config.online_share)

    def _likeness(
        self,
        target: Target,
        decoded: Decoded,
        image: Image,
        centre: tuple[float, float],
        size: tuple[float, float],
        before: TrackState,
    ) -> float | None:
        """Likeness of a place to the target's views; `None` if it is not asked for, or the response alone says no.

        The latter is for a target that was LOST `before`: its place could not pass, whatever it looks like.
        """
        if target.appearance is None:
            return None
        if before is not TrackState.LOST:
            return target.appearance.watch(image, centre, size, closely=before is TrackState.UNCERTAIN)
        hopeful = probability(decoded, self.config) >= self.config.passing
        return target.appearance.likeness(image, centre, size) if hopeful else None

    def _regions(
        self, image: Image, centre: tuple[float, float], size: tuple[float, float], border: tuple[float, ...]
    ) -> NDArray[np.uint8]:
        """(S or 1, 255, 255, 3) search regions around a place, see `search_crops`."""
        card = self.model.card
        side = exemplar_side(*size) * card.search_size / card.exemplar_size
        sides = side * search_factors(self.config)
        shape = len(sides), card.search_size, card.search_size, 3
        if self._searched.shape != shape:
            self._searched = np.empty(shape, np.uint8)
        return crops(image, centre, sides, card.search_size, border, self._searched)

    def _crop_size(self, size: tuple[float, float]) -> tuple[float, float]:
        """(w, h) in image pixels → in pixels of the crops around it."""
        step = exemplar_side(*size) / self.model.card.exemplar_size
        return size[0] / step, size[1] / step

    def _learn(self, target: Target, shift: tuple[float, float], size: tuple[float, float]) -> None:
        """Let the filter take in the search region that it saw last; `shift` and `size` in pixels of the crop."""
        if target.filter is not None:
            stride = self.model.card.stride
            target.filter.learn((shift[0] / stride, shift[1] / stride), (size[0] / stride, size[1] / stride))

    def _first_filter(self, target: Target, image: Image) -> CorrelationFilter:
        """A filter that has seen the first frame, and is about to learn it."""
        _, features = self.model.runtime.search(self.search_crops(image), target.kernel)
        first = CorrelationFilter(self.config)
        first.respond(features[len(features) // 2], 1)
        return first

    def _moved(
        self,
        target: Target,
        centre: tuple[float, float],
        size: tuple[float, float],
        decoded: Decoded,
        image: Image,
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """The decoded centre and size, clipped to what makes sense in the image, from those that were looked around."""
        height, width = image.shape[:2]
        step = exemplar_side(*size) / self.model.card.exemplar_size  # image pixels in a crop pixel
        x = min(max(centre[0] + decoded.shift[0] * step, 0.0), float(width))
        y = min(max(centre[1] + decoded.shift[1] * step, 0.0), float(height))
        low = [min(self.config.smallest, side) for side in target.first_size]
        w = min(max(decoded.size[0] * step, low[0]), max(float(width), target.first_size[0]))
        h = min(max(decoded.size[1] * step, low[1]), max(float(height), target.first_size[1]))
        return (x, y), (w, h)

    def _first_redetection(self, target: Target, image: Image) -> Redetection:
        """A search over the whole frame that knows the exemplar."""
        card = self.model.card
        reach = (card.search_size - card.exemplar_size) / card.exemplar_size
        zoom = zoom_for((image.shape[1], image.shape[0]), target.size, reach)
        exemplar = crop(image, target.centre, exemplar_side(*target.size) * zoom, card.exemplar_size, target.border)
        return Redetection(self.config, self.model.runtime.template(exemplar[None]), zoom)

    def _redetect(
        self, target: Target, redetection: Redetection, image: Image, cells: int, held: Sighting | None
    ) -> Sighting | None:
        """Look for a target over the whole frame; `cells` is the side of a response, `held` see `Redetection.look`."""
        card, search, budget = self.model.card, self.model.runtime.search, self._budget
        # image pixels in a pixel of a coarse region
        step = exemplar_side(*target.trusted_size) / card.exemplar_size * redetection.zoom

        def cover() -> list[tuple[float, float]]:
            return tiles((image.shape[1], image.shape[0]), cells * card.stride * step, target.centre)

        def scan(centre: tuple[float, float]) -> list[tuple[float, tuple[float, float]]]:
            if not budget.allows("scan"):
                redetection.ahead.insert(0, centre)  # it waits for the next frame
                return []
            with budget.measured("scan"):
                region = crop(image, centre, card.search_size * step, card.search_size, target.border)
                return hills(search(region[None], redetection.kernel)[0][0], centre, step, card.stride)

        def sight(centre: tuple[float, float], size: tuple[float, float]) -> Sighting:
            with budget.measured("sight"):
                regions = self._regions(image, centre, size, target.border)
                decoded = self._decode(target, *search(regions, target.kernel), size)
                if decoded.finite:
                    centre, size = self._moved(target, centre, size, decoded, image)
                colours = target.colours
                if colours and not colours.familiar(colours.likeness(image, centre, size), lost=True):
                    return Sighting(centre, size, 0.0)
                likeness = self._likeness(target, decoded, image, centre, size, TrackState.LOST)
            return Sighting(centre, size, probability(decoded, self.config, likeness))

        return redetection.look(target.trusted_size, cover, scan, sight, held) if budget.allows("sight") else None

    def _look(
        self, image: Image, centre: tuple[float, float], size: tuple[float, float], border: tuple[float, ...]
    ) -> NDArray[np.float32]:
        """(S or 1, K, k, k) kernel of what is at a place, see `Target.kernel`."""
        side, pixels = exemplar_side(*size), self.model.card.exemplar_size
        exemplars = crops(image, centre, side * exemplar_factors(self.config), pixels, border)
        kernels = self.model.runtime.template(exemplars)
        return equally_long(kernels) if len(kernels) > 1 else kernels

    def _tracked(self) -> Target:
        if self.target is None:
            raise RuntimeError("no target: call init(frame, box) before update(frame)")
        return self.target
