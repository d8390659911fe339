"""What exported files need of footage: crops to calibrate eight bits on, and sequences to see what a runtime changes.

Crops are what a tracker cuts while it follows the targets of training footage. What a runtime changes is said by the
peaks of the response and by the success AUC of the same tracker with either, on sequences kept out of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import read_sequence
from benchmarks.datasets.folder import GROUND_TRUTH
from learning.readers import HOLDOUT
from learning.tuning import judge_of, read_videos, refuse_benchmark
from tracker import SiamTracker
from tracker.model import Model
from tracker.network import find_weights, load_network
from tracker.runtimes import Array, Runtime
from tracker.runtimes.export import export
from tracker.runtimes.files import GraphFiles, cache_folder, identity_of
from tracker.runtimes.onnxruntime import OnnxRuntime
from tracker.runtimes.openvino import OpenVinoRuntime
from tracker.runtimes.parity import Parity
from tracker.runtimes.quantise import quantise

Crops = NDArray[np.uint8]
STRETCH = 8  # frames followed from a start, at most


class Recorder:
    """A runtime that keeps a copy of every pair of crops that goes through it.

    Args:
        runtime: what computes.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.name = runtime.name
        self.pairs: list[tuple[Crops, Crops]] = []
        self._runtime = runtime
        self._exemplar: Crops | None = None

    def template(self, crops: Crops) -> Array:
        """See `tracker.runtimes.Runtime`."""
        self._exemplar = crops[0].copy()
        return self._runtime.template(crops)

    def search(self, crops: Crops, kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        assert self._exemplar is not None
        self.pairs.append((self._exemplar, crops[len(crops) // 2].copy()))
        return self._runtime.search(crops, kernels)


def calibration_sequences(root: Path, left_out: Sequence[str] = HOLDOUT) -> list[str]:
    """The sequences below a folder that may be calibrated on: none that is kept for choosing, none of a benchmark.

    Raises:
        ValueError: there is none.
    """
    names = sorted(str(path.parent.relative_to(root)) for path in root.rglob(GROUND_TRUTH))
    names = [name for name in names if name not in left_out]
    for name in names:
        refuse_benchmark(root / name)
    if not names:
        raise ValueError(f"{root}: no sequence to calibrate on; expected SEQUENCE/{GROUND_TRUTH} beside its frames")
    return names


def calibration_pairs(weights: str | Path, root: Path, count: int = 32, seed: int = 0) -> tuple[Crops, Crops]:
    """Crops that a tracker cut on the sequences below a folder.

    Args:
        weights: the model, run by torch.
        root: of the sequences, in the layout of OTB, at any depth.
        count: pairs, the same share of each sequence.
        seed: of the choice of frames.

    Returns:
        (count, 127, 127, 3) exemplars and (count, 255, 255, 3) search regions of the model's sizes.
    """
    names, random = calibration_sequences(root), np.random.default_rng(seed)
    model = Model(weights, "torch-fp32", "cpu")
    pairs: list[tuple[Crops, Crops]] = []
    for place, name in enumerate(names):
        wanted = count * (place + 1) // len(names) - len(pairs)
        pairs += _pairs_of(model, root / name, wanted, random)
    exemplars, searches = zip(*pairs, strict=True)
    return np.stack(exemplars), np.stack(searches)


def _pairs_of(model: Model, folder: Path, count: int, random: np.random.Generator) -> list[tuple[Crops, Crops]]:
    """`count` pairs of one sequence, each the last of a short run from the target's place in a random frame."""
    sequence = read_sequence(folder)
    frames, visible = list(sequence.frames), np.flatnonzero(np.isfinite(sequence.boxes).all(1))
    visible = visible[visible < len(frames) - 1]
    recorder = Recorder(model.runtime)
    tracker = SiamTracker(Substitute(model, recorder), redetect_every=0)  # type: ignore[arg-type]
    pairs: list[tuple[Crops, Crops]] = []
    while len(pairs) < count:
        start = int(random.choice(visible))
        x, y, w, h = sequence.boxes[start].tolist()
        recorder.pairs.clear()
        tracker.init(frames[start], (x, y, w, h))
        for frame in frames[start + 1 : start + 1 + int(random.integers(1, STRETCH + 1))]:
            tracker.update(frame)
        pairs.append(recorder.pairs[-1])
    return pairs


class Compared:
    """A runtime beside another: the answers are the first one's, and it is counted how often the second agrees.

    Args:
        runtime, other: of one model.
    """

    def __init__(self, runtime: Runtime, other: Runtime) -> None:
        self.name = runtime.name
        self.searches = self.agreed = 0
        self._runtime, self._other = runtime, other

    def template(self, crops: Crops) -> Array:
        """See `tracker.runtimes.Runtime`."""
        return self._runtime.template(crops)

    def search(self, crops: Crops, kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        response, features = self._runtime.search(crops, kernels)
        other, _ = self._other.search(crops, kernels)
        peaks, others = (array[:, 0].reshape(len(array), -1).argmax(1) for array in (response, other))
        self.searches += len(peaks)
        self.agreed += int((peaks == others).sum())
        return response, features


class Substitute:
    """A model with another runtime."""

    def __init__(self, model: Model, runtime: Runtime) -> None:
        self.name, self.card, self.runtime = model.name, model.card, runtime


@dataclass(frozen=True)
class Cost:
    """One tracker with two runtimes.

    Attributes:
        before, after: mean success AUC of all sequences.
        by_sequence: name → before, after.
        same_peak: share of the first one's searches in which the response of both has its peak in the same cell.
        searches: how many those were, one for each crop.
    """

    before: float
    after: float
    by_sequence: dict[str, tuple[float, float]]
    same_peak: float
    searches: int

    @property
    def loss(self) -> float:
        """AUC that the second lacks; negative if it has more."""
        return self.before - self.after


def cost(
    weights: str | Path, root: Path, files: GraphFiles, runtime: str = "onnxruntime", names: Sequence[str] = HOLDOUT
) -> Cost:
    """What exported files cost on sequences that the network was not trained on, compared with torch in fp32.

    Args:
        weights: the model.
        root: of the sequences.
        files: the exported files.
        runtime: that runs them, "onnxruntime" or "openvino".
        names: sequences below `root`.
    """
    videos, model = read_videos(root, names), Model(weights, "torch-fp32", "cpu")
    whole: Runtime = OpenVinoRuntime(files, files.precision) if runtime == "openvino" else OnnxRuntime(files)
    compared = Compared(model.runtime, whole)
    judges = [judge_of(Substitute(model, each), videos) for each in (compared, whole)]  # type: ignore[arg-type]
    found = {video.name: tuple(judge({}, video.name) for judge in judges) for video in videos}
    means = np.mean(list(found.values()), axis=0)
    by_sequence = {name: (pair[0], pair[1]) for name, pair in found.items()}
    return Cost(
        float(means[0]), float(means[1]), by_sequence, compared.agreed / max(compared.searches, 1), compared.searches
    )


# ---------------------------------------------------------------- the command


@dataclass(frozen=True)
class Made:
    """What was exported.

    Attributes:
        files: ONNX files, or engines.
        parity: how far from torch they are; `None` for engines.
        cost: what the files change on sequences, if that was asked for.
    """

    files: list[Path]
    parity: Parity | None = None
    cost: Cost | None = None


def export_model(
    weights: str | Path,
    runtime: str,
    precision: str,
    output: Path | None,
    calibrate: Path | None,
    pairs: int,
    check: Path | None,
    overwrite: bool,
) -> Made:
    """What ``tools/export.py`` does; see there.

    Raises:
        ValueError: the model, runtime or footage cannot be used, or files are there and may not be replaced.
        ExportError: what was exported is not the network.
    """
    network, path = load_network(weights), find_weights(weights)
    kind = ("int8-symmetric" if runtime == "tensorrt" else "int8") if precision == "int8" else "fp32"
    folder = output or cache_folder() / "onnx"
    files = GraphFiles.named(folder, path.stem, identity_of(network), kind)
    if files.exist() and not overwrite and runtime != "tensorrt":
        raise ValueError(f"{files.search} is there already; --overwrite replaces it")
    if precision == "int8":
        assert calibrate is not None
        crops = calibration_pairs(weights, calibrate, pairs)
        files, parity = quantise(network, folder, path.stem, crops, kind == "int8-symmetric")
    else:
        files, parity = export(network, folder, path.stem)
    made = [files.template, files.search]
    if runtime == "tensorrt":
        from tracker.runtimes.tensorrt import TensorRtRuntime

        TensorRtRuntime(files, precision)
    found = cost(weights, check, files, runtime) if check else None
    return Made(made, parity, found)
