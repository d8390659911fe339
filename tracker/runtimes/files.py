"""Where the exported graphs of a model are, and what their names say.

A model is exported as two ONNX files, ``NAME.IDENTITY.PRECISION.template.onnx`` and ``….search.onnx``. The identity is
a hash of the weights and of everything on the card that the graphs depend on, so that files of other weights are never
taken for these: they are simply not found. They are looked for beside the weights and in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from tracker.network import SiameseNetwork, tensor_hash

EXPORT_FORMAT = 2  # raised when the graphs' inputs, outputs or meaning change
GRAPHS = ("template", "search")


@dataclass(frozen=True)
class GraphFiles:
    """The two graphs of a model.

    Attributes:
        template, search: ONNX files.
        precision: of the files: "fp32", "int8" or "int8-symmetric".
    """

    template: Path
    search: Path
    precision: str

    @classmethod
    def named(cls, folder: Path, name: str, identity: str, precision: str) -> GraphFiles:
        """The files of that name, whether or not they are there."""
        template, search = (folder / f"{name}.{identity}.{precision}.{graph}.onnx" for graph in GRAPHS)
        return cls(template, search, precision)

    def exist(self) -> bool:
        """Whether both files are there."""
        return self.template.is_file() and self.search.is_file()


def identity_of(network: SiameseNetwork) -> str:
    """Twelve hexadecimal digits that differ when the graphs do."""
    card = network.card
    what = [EXPORT_FORMAT, card.backbone, card.head, card.exemplar_size, card.search_size, card.mean, card.scale]
    tensors = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    return hashlib.sha256(json.dumps([*what, tensor_hash(tensors)]).encode()).hexdigest()[:12]


def cache_folder() -> Path:
    """Where exported files and engines are kept: ``siamtrack`` in $XDG_CACHE_HOME, or in ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "siamtrack"


def find_graphs(network: SiameseNetwork, weights: Path | None, precision: str) -> GraphFiles | None:
    """The files of that precision which ship with the weights, if there are any.

    Args:
        network: the model.
        weights: its .safetensors file; `None`: it has none.
        precision: "fp32", "int8" or "int8-symmetric".
    """
    if weights is None:
        return None
    files = GraphFiles.named(weights.parent, weights.stem, identity_of(network), precision)
    return files if files.exist() else None
