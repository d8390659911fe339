"""Every tracker behind two methods, `init` and `update`: ours, OpenCV's, and any class made for the got10k package.

A tracker is named by a line of text, ``[NAME=]SOURCE[,KEY=VALUE…]``:

    compact                                       a model in weights/
    wide=runs/x.safetensors,window_influence=0.3  a file, with what of its configuration to override
    compact,runtime=torch,device=cuda,threads=4   with what runs it, where, on how many CPU threads
    opencv:csrt                                   OpenCV's: mil, kcf, csrt, mosse, medianflow, dasiamrpn, nano, vit
    opencv:nano,backbone=a.onnx,neckhead=b.onnx   its weights by path; folder=DIR looks for well-known file names
    siamfc:siamfc_alexnet.pth                     a checkpoint of siamfc-pytorch or FDSiamFC, in our loop
    package.module:Class,net_path=net.pth         a got10k-style class, with keywords for its constructor
    still                                         says that nothing moves: what any tracker has to beat

`TrackerSpec` is that line taken apart. It can be pickled and loads the tracker in whatever process or machine it is.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.opencv import OPENCV_TRACKERS, create, factory, weight_files
from benchmarks.provenance import code_hash, file_hash, settings_hash, versions
from tracker.box import from_got10k, to_got10k
from tracker.result import Box, TrackResult, TrackState

Image = NDArray[np.uint8]

PEERS = Path("../shared/peers")
CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
CARD = (
    "backbone",
    "head",
    "exemplar_size",
    "search_size",
    "stride",
    "mean",
    "scale",
    "precision",
)  # what tracking reads of a card


class Tracker(Protocol):
    """What every tracker here does; `tracker.SiamTracker` is one.

    `TrackResult.elapsed`, where it is not 0, is taken for the time of the frame: a tracker that has to convert frames
    first leaves that out. All others are timed from outside.
    """

    def init(self, frame: Image, box: Box) -> object:
        """Start to follow what `box` ``(x, y, w, h)``, 0-based, encloses in `frame`, uint8 H×W×3 BGR."""

    def update(self, frame: Image) -> TrackResult:
        """Find it in the next frame."""


@dataclass(frozen=True)
class TrackerSpec(ABC):
    """Which tracker, and how it is run.

    Attributes:
        name: of its results folder.
        source: what it is, see above; a file by its absolute path.
        options: key and value, as text, of what else was said.
        runtime, device: what runs our networks, and where; other trackers are told by their own options.
        threads: CPU threads of OpenCV and torch, process-wide; ``None`` leaves them alone.
        peers: folder with the weights of OpenCV's trackers.
    """

    name: str
    source: str
    options: tuple[tuple[str, str], ...] = ()
    runtime: str = "auto"
    device: str = "cpu"
    threads: int | None = 1
    peers: Path = PEERS

    @staticmethod
    def parse(
        text: str,
        *,
        runtime: str = "auto",
        device: str = "cpu",
        threads: int | None = 1,
        overrides: Mapping[str, Any] | None = None,
        peers: Path = PEERS,
    ) -> TrackerSpec:
        """Take ``[NAME=]SOURCE[,KEY=VALUE…]`` apart.

        Args:
            text: as typed.
            runtime, device, threads, peers: where the text says nothing of them.
            overrides: configuration of our trackers, where the text says nothing of it.

        Raises:
            ValueError: it is no such line; the message says what was expected.
        """
        head, *rest = re.split(r",(?=[A-Za-z_]\w*=)", text)
        name, separator, source = head.rpartition("=")
        if not source or "," in source:
            raise ValueError(f"tracker {text!r}: expected [NAME=]SOURCE[,KEY=VALUE…], such as compact or opencv:csrt")
        options = {key: _absolute(value) for key, _, value in (part.partition("=") for part in rest)}
        kind = _kind(source)
        if kind is OurSpec:
            options = {key: _as_text(value) for key, value in (overrides or {}).items()} | options
            runtime, device = options.pop("runtime", runtime), options.pop("device", device)
        threads = _threads(text, options.pop("threads")) if "threads" in options else threads
        name = name if separator else kind.default_name(source)
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"tracker {text!r}: {name!r} cannot name a results folder; use letters, digits, . _ + -")
        if kind is SiamFCSpec:
            source = f"siamfc:{Path(source.partition(':')[2]).absolute()}"
        source = str(Path(source).absolute()) if source.endswith(".safetensors") else source
        return kind(name, source, tuple(options.items()), runtime, device, threads, Path(peers).absolute())

    @abstractmethod
    def load(self) -> Tracker:
        """The tracker itself.

        Raises:
            ValueError, ImportError, OSError, RuntimeError: it cannot be had here; the message says what to do.
        """

    def settings(self) -> dict[str, Any]:
        """What its boxes and times depend on. Cheap, and fails where `load` would for want of a file or a name.

        Raises:
            ValueError, ImportError, OSError, RuntimeError: it cannot be had here; the message says what to do.
        """
        return {"tracker": self.source, "device": self.device, "threads": self.threads}

    @staticmethod
    def default_name(source: str) -> str:
        """What a tracker is called where nobody gave it a name."""
        return source

    @property
    def keywords(self) -> dict[str, Any]:
        """The options, with numbers and the like as what they are."""
        return {key: _value(text) for key, text in self.options}


class OurSpec(TrackerSpec):
    """`tracker.SiamTracker` with weights by name or path."""

    @staticmethod
    def default_name(source: str) -> str:
        return Path(source).name.removesuffix(".safetensors")

    def load(self) -> Tracker:
        from tracker import SiamTracker  # here: torch takes a second

        return SiamTracker.from_pretrained(
            self.source, runtime=self.runtime, device=self.device, threads=self.threads, **self.keywords
        )

    def settings(self) -> dict[str, Any]:
        from tracker.network import ModelCard, WeightsError, find_weights
        from tracker.siam import TrackerConfig

        try:
            weights = find_weights(self.source)
        except WeightsError as error:
            known = f"opencv:{{{','.join(OPENCV_TRACKERS)}}}, package.module:Class or still"
            raise ValueError(f"no tracker {self.source!r}: {error}; nor is it {known}") from error
        card = ModelCard.read(weights.with_suffix(".json"))
        config = asdict(TrackerConfig.of(card, **self.keywords))
        return super().settings() | {
            "tracker": weights.stem,
            "weights": file_hash(weights),
            "card": settings_hash({key: getattr(card, key) for key in CARD} | config),
            "overrides": self.keywords,
            "runtime": self.runtime,
            "device": _resolved(self.device),
            "code": code_hash(),
            **versions("torch"),
        }


class OpenCVSpec(TrackerSpec):
    """``opencv:NAME``."""

    @staticmethod
    def default_name(source: str) -> str:
        return source.partition(":")[2].lower()

    def load(self) -> Tracker:
        return create(self.default_name(self.source), self._files())

    def settings(self) -> dict[str, Any]:
        files = {key: file_hash(path) for key, path in self._files().items()}
        return super().settings() | {"tracker": self.source.lower(), "device": "cpu", "files": files, **versions()}

    def _files(self) -> dict[str, Path]:
        name = self.default_name(self.source)
        factory(name)  # an OpenCV that lacks the tracker is the first thing to say
        return weight_files(name, dict(self.options), self.peers)


class SiamFCSpec(TrackerSpec):
    """``siamfc:PATH``."""

    @staticmethod
    def default_name(source: str) -> str:
        return Path(source.partition(":")[2]).stem

    def load(self) -> Tracker:
        from benchmarks.siamfc import load_siamfc_tracker  # here: torch takes a second

        return load_siamfc_tracker(self._file, self.device, self.threads)

    def settings(self) -> dict[str, Any]:
        if not self._file.is_file():
            raise FileNotFoundError(f"tracker {self.source!r}: no such file")
        files = {"weights": file_hash(self._file), "code": code_hash()}
        return super().settings() | files | {"device": _resolved(self.device), **versions("torch")}

    @property
    def _file(self) -> Path:
        return Path(self.source.partition(":")[2])


class ClassSpec(TrackerSpec):
    """``package.module:Class``."""

    @staticmethod
    def default_name(source: str) -> str:
        return source.partition(":")[2]

    def load(self) -> Tracker:
        return Got10kStyleTracker(self._class()(**self.keywords))

    def settings(self) -> dict[str, Any]:
        code = inspect.getsourcefile(self._class())
        files = {key: file_hash(text) for key, text in self.options if Path(text).is_file()}
        return super().settings() | {
            "code": file_hash(code) if code else "",
            "files": files,
            "options": {key: value for key, value in self.keywords.items() if key not in files},
            **versions("torch"),
        }

    def _class(self) -> Any:
        module, _, name = self.source.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ImportError(
                f"tracker {self.source!r} cannot be imported: {error}; is its folder on PYTHONPATH, and what it needs "
                "installed?"
            ) from error
        for method in ("init", "update"):
            if not callable(getattr(found, method, None)):
                raise ImportError(f"tracker {self.source!r} has no {method}(); a got10k-style one has init and update")
        return found


class StillSpec(TrackerSpec):
    """``still``."""

    def load(self) -> Tracker:
        return StillTracker()


class Got10kStyleTracker:
    """A tracker that gets RGB PIL images and 1-based boxes, and gives such boxes, behind `init` and `update`.

    Args:
        tracker: has ``init(image, box)`` and ``update(image) → box``; a ``track`` of its own is not called.

    Raises:
        ImportError: Pillow is missing.
    """

    def __init__(self, tracker: Any) -> None:
        try:
            from PIL import Image as Pillow  # here: only such trackers need it
        except ImportError as error:
            raise ImportError("got10k-style trackers need Pillow: pip install 'siamtrack[benchmarks]'") from error
        self._to_image = Pillow.fromarray
        self._tracker = tracker

    def init(self, frame: Image, box: Box) -> TrackResult:
        """Start on `box` ``(x, y, w, h)``, 0-based."""
        image = self._to_image(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        since = perf_counter()
        self._tracker.init(image, to_got10k(box))
        return TrackResult(box, 1.0, TrackState.TRACKING, perf_counter() - since)

    def update(self, frame: Image) -> TrackResult:
        """Find the target in the next frame.

        Raises:
            ValueError: it answers with something else than a box of four finite numbers.
        """
        image = self._to_image(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        since = perf_counter()
        answer = self._tracker.update(image)
        elapsed = perf_counter() - since
        values = np.asarray(answer, np.float64).reshape(-1)
        if len(values) != 4:
            raise ValueError(f"expected a box of four numbers, got {answer!r}")
        x, y, w, h = from_got10k(values).tolist()
        return TrackResult((x, y, w, h), 1.0, TrackState.TRACKING, elapsed)


class StillTracker:
    """Says that nothing moves."""

    def __init__(self) -> None:
        self._result: TrackResult | None = None

    def init(self, frame: Image, box: Box) -> TrackResult:
        """Remember the box."""
        self._result = TrackResult(box, 1.0, TrackState.TRACKING)
        return self._result

    def update(self, frame: Image) -> TrackResult:
        """The box as it was given.

        Raises:
            RuntimeError: `init` was not called.
        """
        if self._result is None:
            raise RuntimeError("update() before init(): start with a frame and a box")
        return self._result


def check_names(specs: Iterable[TrackerSpec]) -> None:
    """Refuse trackers that would be stored in one folder.

    Raises:
        ValueError: two have the same name, or names that only differ in case, which not every file system tells apart.
    """
    seen: set[str] = set()
    for spec in specs:
        if spec.name.lower() in seen:
            raise ValueError(f"two trackers are called {spec.name}; write NAME={spec.source} for one of them")
        seen.add(spec.name.lower())


def _kind(source: str) -> type[TrackerSpec]:
    """What a source is.

    Raises:
        ValueError: a colon, but neither OpenCV's tracker nor a class.
    """
    if source == "still":
        return StillSpec
    if source.endswith(".safetensors"):
        return OurSpec
    if source.lower().startswith("opencv:"):
        return OpenCVSpec
    if source.startswith("siamfc:"):
        return SiamFCSpec
    if CLASS.fullmatch(source):
        return ClassSpec
    if ":" in source:
        raise ValueError(
            f"tracker {source!r}: expected opencv:NAME, siamfc:FILE or package.module:Class around a colon"
        )
    return OurSpec


def _resolved(device: str) -> str:
    """A device, with "auto" as what it means here: CUDA where there is one."""
    if device != "auto":
        return device
    import torch  # here: it takes a second

    return "cuda" if torch.cuda.is_available() else "cpu"


def _absolute(text: str) -> str:
    """A path that exists here as one that is understood from any folder; other text as it is."""
    path = Path(text)
    return str(path.absolute()) if path.exists() else text


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _threads(text: str, value: str) -> int:
    if not value.isdecimal() or int(value) == 0:
        raise ValueError(f"tracker {text!r}: threads must be a whole number, 1 or more, got {value!r}")
    return int(value)
