"""Write a network as ONNX: `graphs.TemplateGraph` and `graphs.SearchGraph`, checked against torch before they are kept.

Each file says in its own metadata what it is: ``format``, ``graph``, ``precision``, ``card`` (the model's card),
``tensors`` (names, shapes and ranges of inputs and outputs), ``parity`` (how far from torch it was found to be).
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tracker.network import ModelCard, SiameseNetwork
from tracker.runtimes import Runtime, RuntimeMissing
from tracker.runtimes.files import EXPORT_FORMAT, GRAPHS, GraphFiles, cache_folder, identity_of
from tracker.runtimes.graphs import SearchGraph, TemplateGraph
from tracker.runtimes.parity import Crops, Parity, compare, textures

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the lowest that torch's exporter writes; TensorRT 10, onnxruntime 1.19 and OpenVINO 2024 read it
TOLERANCE = 1e-3  # of fp32 files, in shares of the largest value


class ExportError(RuntimeError):
    """An exported file does not compute what the network does; nothing was written."""


def export(
    network: SiameseNetwork, folder: Path, name: str, pairs: tuple[Crops, Crops] | None = None
) -> tuple[GraphFiles, Parity]:
    """Write both graphs in fp32.

    Args:
        network: the model.
        folder: where; it is made.
        name: of the model, for the files' names.
        pairs: exemplar and search crops to compare with torch on; textures if not given.

    Returns:
        The files, and how far they are from torch.

    Raises:
        RuntimeMissing: onnx, onnxscript or a runtime to check with is not installed.
        ExportError: the files differ from torch by more than 1e-3.
    """
    models = {graph: to_onnx(network, graph) for graph in GRAPHS}
    with staged(folder, name, identity_of(network), "fp32") as files:
        save(models, files)
        parity = compare(reference(network), _checker(files, network.card), *(pairs or textures(network.card)))
        if not parity.worst <= TOLERANCE:
            raise ExportError(f"{name}: the exported graphs are not the network: {parity}; nothing was written")
        for graph, model in models.items():
            describe(model, graph, "fp32", network.card, dataclasses.asdict(parity))
        save(models, files)
    return GraphFiles.named(folder, name, identity_of(network), "fp32"), parity


def cached_graphs(network: SiameseNetwork, name: str = "model") -> GraphFiles:
    """The fp32 files from the cache folder, exported into it at the first call (some seconds).

    Raises:
        RuntimeMissing, ExportError: see `export`.
    """
    folder = cache_folder() / "onnx"
    files = GraphFiles.named(folder, name, identity_of(network), "fp32")
    return files if files.exist() else export(network, folder, name)[0]


def to_onnx(network: SiameseNetwork, graph: str) -> onnx.ModelProto:
    """One of the two graphs, checked for form but not for content.

    Args:
        network: the model.
        graph: "template" or "search".

    Raises:
        RuntimeMissing: onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise RuntimeMissing(f"exporting needs {error.name}: pip install onnx onnxscript onnxruntime") from error
    card, fused = network.card, network.fused()
    side = card.exemplar_size if graph == "template" else card.search_size
    inputs = [torch.zeros(2, side, side, 3, dtype=torch.uint8)]  # two, so that the batch stays free
    if graph == "search":
        inputs.append(fused.template(torch.zeros(2, 3, card.exemplar_size, card.exemplar_size)))
    module = TemplateGraph(fused) if graph == "template" else SearchGraph(fused)
    batch = torch.export.Dim("batch", min=1)
    shapes: list[dict[int, Any]] = [{0: batch} for _ in inputs]
    if graph == "search" and not card.head_type.regresses_boxes:
        shapes[1][2] = inputs[1].shape[2] * torch.export.Dim("scales", min=1)
        inputs[1] = inputs[1].repeat(1, 1, 3, 1)
    with warnings.catch_warnings(), quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # deprecations inside torch's exporter
        program: Any = torch.onnx.export(
            module.eval(),
            tuple(inputs),
            dynamo=True,
            opset_version=OPSET,
            input_names=module.inputs,
            output_names=module.outputs,
            dynamic_shapes=tuple(shapes),
            verbose=False,
        )
    model = onnx.shape_inference.infer_shapes(program.model_proto, strict_mode=True)
    forget_sources(model)
    _count_features(model.graph.node)
    onnx.checker.check_model(model, full_check=True)
    return model


def forget_sources(model: onnx.ModelProto) -> None:
    """Remove where each operation stood in the source, with paths of this machine, and the shapes in between."""
    graph = model.graph
    del graph.value_info[:], graph.metadata_props[:]
    for entry in [*graph.node, *graph.input, *graph.output]:
        entry.ClearField("doc_string")
        del entry.metadata_props[:]


def _count_features(nodes: Any) -> None:
    """Take the batch's size from the features instead of the crops: TensorRT can only convert an input of uint8."""
    for counting in [node for node in nodes if node.op_type == "Shape" and list(node.input) == ["crops"]]:
        nodes.remove(counting)
        counting.input[0] = "features"
        producer = next(place for place, node in enumerate(nodes) if "features" in node.output)
        nodes.insert(producer + 1, counting)


def describe(model: onnx.ModelProto, graph: str, precision: str, card: ModelCard, parity: dict[str, Any]) -> None:
    """Write into the model's metadata what it is; entries that are there already are replaced."""
    batch = "any number"
    crop = card.exemplar_size if graph == "template" else card.search_size
    inputs = {"crops": f"uint8 ({batch}, {crop}, {crop}, 3), BGR, 0 to 255, as cut from the frame"}
    if graph == "search":
        inputs["kernels"] = "float32, what `template` gave for the target of each crop" + (
            "; those of several exemplars of a target one below another (axis 2), their responses in turn (axis 0)"
        ) * (not card.head_type.regresses_boxes)
        outputs = {
            "response": "float32; channel 0 is the logit of the target's centre being in a cell"
            + (", channels 1 to 4 the distances to its left, top, right and bottom side in pixels of the crop")
            * card.head_type.regresses_boxes,
            "features": "float32, the backbone's features of the search crop",
        }
    else:
        outputs = {"kernels": "float32, the exemplar as `search` takes it"}
    entries = {
        "format": str(EXPORT_FORMAT),
        "graph": graph,
        "precision": precision,
        "card": json.dumps(dataclasses.asdict(card)),
        "tensors": json.dumps({"inputs": inputs, "outputs": outputs}),
        "parity": json.dumps(parity),
    }
    del model.metadata_props[:]
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


def save(models: dict[str, onnx.ModelProto], files: GraphFiles) -> None:
    """Write both graphs."""
    for graph, model in models.items():
        path: Path = getattr(files, graph)
        path.write_bytes(model.SerializeToString())


@contextmanager
def staged(folder: Path, name: str, identity: str, precision: str) -> Iterator[GraphFiles]:
    """Files in a temporary folder, which move into `folder` together if nothing was raised.

    Two processes that export the same model do not see each other's halves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as temporary:
        files = GraphFiles.named(Path(temporary), name, identity, precision)
        yield files
        for graph in GRAPHS:
            path: Path = getattr(files, graph)
            os.replace(path, folder / path.name)


def reference(network: SiameseNetwork) -> Runtime:
    """Torch in fp32, whatever the card says."""
    from tracker.runtimes.torch import TorchRuntime

    exact = SiameseNetwork(dataclasses.replace(network.card, precision="fp32"))
    exact.load_state_dict(network.state_dict())
    return TorchRuntime(exact, "cpu")


def _checker(files: GraphFiles, card: ModelCard) -> Runtime:
    """Whichever runtime is installed that reads ONNX."""
    try:
        from tracker.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(files, "cpu", 1)
    except RuntimeMissing:
        from tracker.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(files, "fp32", "cpu", 1)


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Hold back a logger's warnings: torch's exporter reports which packages it could have used."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
