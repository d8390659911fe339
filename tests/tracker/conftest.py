"""Models that see without having been trained: what a tracker does with a response can then be tested exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tracker.frame import Frame
from tracker.network import ModelCard, SiameseNetwork
from tracker.result import Box
from tracker.runtimes import Array, Runtime
from tracker.runtimes.files import GraphFiles
from tracker.sources import Source, SourceError

GROUND, BRIGHT = 40.0, 220.0
CELLS = 17
TURN = 10.0  # logarithm of the area in a kernel that is turned by one radian


def draw_target(size: tuple[int, int], *boxes: Box) -> NDArray[np.uint8]:
    """A grey image of (width, height) with bright boxes, each pixel as bright as the share of it that is covered."""
    width, height = size
    covered = np.zeros((height, width))
    for x, y, w, h in boxes:
        across, down = (
            np.clip(np.minimum(start + length, np.arange(count) + 1) - np.maximum(start, np.arange(count)), 0, 1)
            for start, length, count in ((x, w, width), (y, h, height))
        )
        covered = np.maximum(covered, np.outer(down, across))
    grey = np.rint(GROUND + (BRIGHT - GROUND) * covered).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


@dataclass
class SeeingRuntime:
    """Finds the bright box of `draw_target` in a crop by its moments and answers as a perfect head would.

    The kernel is a direction that stands for the box's size in the exemplar: as with a correlation, its length says
    nothing of what it matches. A response's logits fall off with the distance from the box's centre, and for SiamFC's
    head also with the mismatch of the size.
    """

    card: ModelCard
    name: str = "seeing"

    def template(self, crops: NDArray[np.uint8]) -> Array:
        angles = [np.log(max(np.prod(self._measure(crop)[2:4]), 1e-3)) / TURN for crop in crops]
        return np.array([np.cos(angles), np.sin(angles)], np.float32).T.reshape(-1, 2, 1, 1)

    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        count = max(len(crops), len(kernels))
        shown, known = (np.repeat(each, count // len(each), axis=0) for each in (crops, kernels.reshape(-1, 2)))
        areas = np.exp(TURN * np.arctan2(known[:, 1], known[:, 0]))
        response = np.stack([self._respond(crop, area) for crop, area in zip(shown, areas, strict=True)])
        return response, crops[:, 3::12, 3::12].transpose(0, 3, 1, 2).astype(np.float32)

    def _respond(self, crop: NDArray[np.uint8], area: float) -> Array:
        cells = (np.arange(CELLS) - CELLS // 2) * float(self.card.stride)
        x, y, w, h, seen = self._measure(crop)
        if not seen:
            return np.full((5 if self.card.head == "box" else 1, CELLS, CELLS), -8.0, np.float32)
        right, down = np.meshgrid(x - cells, y - cells)  # from each cell to the box's centre
        mismatch = np.log(w * h / area) / 2 if self.card.head == "siamfc" else 0.0
        hill = np.exp(-(right**2 + down**2) / (2 * (1.5 * self.card.stride) ** 2))
        logits = -8.0 + (14.0 - min(400 * mismatch**2, 14.0)) * hill
        if self.card.head == "siamfc":
            return logits[None].astype(np.float32)
        return np.stack([logits, w / 2 - right, h / 2 - down, w / 2 + right, h / 2 + down]).astype(np.float32)

    @staticmethod
    def _measure(crop: NDArray[np.uint8]) -> tuple[float, float, float, float, bool]:
        """(x, y) of the bright pixels' centre from the crop's centre, their width and height, whether there are any."""
        bright = np.clip(2 * (crop[..., 0] - GROUND) / (BRIGHT - GROUND) - 0.5, 0, 1)  # steeper, with edges in place
        mass = bright.sum()
        if mass < 1:
            return 0.0, 0.0, 1.0, 1.0, False
        pixels = np.arange(len(bright)) + 0.5 - len(bright) / 2
        across, down = bright.sum(0), bright.sum(1)
        return across @ pixels / mass, down @ pixels / mass, down.max(), across.max(), True


@dataclass
class FakeModel:
    """What trackers need of `tracker.model.Model`."""

    card: ModelCard
    runtime: Runtime
    name: str = "fake"


@pytest.fixture
def draw() -> Callable[..., NDArray[np.uint8]]:
    """See `draw_target`."""
    return draw_target


@pytest.fixture(params=["box", "siamfc", "siamfc, exemplars"])
def seeing(request: pytest.FixtureRequest) -> FakeModel:
    """A model of either head, and of either pyramid, that sees the boxes of `draw`."""
    head, _, exemplars = request.param.partition(", ")
    config = {} if head == "box" else {"scales": 3, "scale_penalty": 0.97, "window_influence": 0.2}
    card = ModelCard("compact", head, config={**config, "pyramid": "exemplar"} if exemplars else config)
    return FakeModel(card, SeeingRuntime(card))


@pytest.fixture
def fake_model() -> type[FakeModel]:
    """`FakeModel(card, runtime)`, for a runtime of the test's own."""
    return FakeModel


@pytest.fixture(scope="session")
def exported(networks: dict[str, SiameseNetwork], tmp_path_factory: pytest.TempPathFactory) -> dict[str, GraphFiles]:
    """The untrained networks' graphs in fp32, by backbone."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from tracker.runtimes.export import export

    folder = tmp_path_factory.mktemp("exported")
    return {name: export(networks[name], folder, name)[0] for name in ("compact", "ciresnet22", "lite")}


@pytest.fixture(scope="session")
def quantised(networks: dict[str, SiameseNetwork], tmp_path_factory: pytest.TempPathFactory) -> GraphFiles:
    """The untrained compact network's graphs in int8, calibrated on four pairs of textures."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from tracker.runtimes.parity import textures
    from tracker.runtimes.quantise import quantise

    network = networks["compact"]
    return quantise(network, tmp_path_factory.mktemp("int8"), "compact", textures(network.card, 4))[0]


class Stream(Source):
    """A live source of `count` frames that then ends, or fails; its index and clock begin at 0, as `open_source`'s."""

    def __init__(self, count: int, failure: str = "", dropped: int = 0) -> None:
        self._count, self._failure = count, failure
        super().__init__("rtsp://camera", 0, None, fps=None, count=None, live=True)
        self.dropped = dropped

    def _read(self, start: int) -> Generator[Frame]:
        began = time.monotonic()
        for index in range(self._count):
            yield Frame(index, time.monotonic() - began, np.zeros((4, 6, 3), np.uint8))
            time.sleep(0.005)
        if self._failure:
            raise SourceError(self._failure)


@pytest.fixture
def stream() -> type[Stream]:
    """The class of live sources that end or fail."""
    return Stream
