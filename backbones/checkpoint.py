"""Foreign checkpoints: read without running their code, and loaded completely or not at all."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

StateDict = dict[str, Tensor]
StateSource = str | os.PathLike[str] | Mapping[str, Any]


def read_state_dict(path: str | os.PathLike[str]) -> StateDict:
    """Read the tensors of a ``.safetensors`` file or of a file written by ``torch.save``.

    The wrappers that training scripts add, a ``state_dict`` entry and a ``module.`` before each name, are taken off.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, of another format, or holding more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights at {path}")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _read_torch_file(path)
    except Exception as error:  # foreign bytes make an unpickler raise anything, struct.error and AssertionError too
        raise ValueError(
            f"{path} cannot be read as weights: it is damaged, of another format, or holds more than tensors and plain "
            f"values ({type(error).__name__})"
        ) from error
    return _unwrap(content, str(path))


def _read_torch_file(path: Path) -> Any:
    # The one place that unpickles: published checkpoints (.pth, .model) exist in no other format. `weights_only`
    # restricts the unpickler to tensors and plain values, so that a file cannot run code.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("compressed, as torch.save's files never are: a small one may unpack to any size")
    return torch.load(path, map_location="cpu", weights_only=True)


def state_dict_of(source: StateSource) -> StateDict:
    """The tensors of `source`, a file (see `read_state_dict`) or a state dict, without wrappers."""
    return _unwrap(source, "the state dict") if isinstance(source, Mapping) else read_state_dict(source)


def _unwrap(content: object, origin: str) -> StateDict:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise ValueError(f"{origin} should map names to tensors, it is a {type(content).__name__}")
    strange = [name for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strange:
        raise ValueError(f"{origin} should map names to tensors, these are not: {_listing(strange)}")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], expected: str) -> None:
    """Load `state` into `model`; any difference is refused before the model is touched.

    Only ``num_batches_tracked`` may be missing: PyTorch before 0.4.1 did not write it, and nothing here reads it.

    Args:
        model: changed in place.
        state: tensors by the model's names.
        expected: what `state` should have been, for the error.

    Raises:
        ValueError: lists the names that are missing or unexpected and the shapes that differ.
    """
    own = model.state_dict()
    faults = {
        "missing": [name for name in own if name not in state and not name.endswith(".num_batches_tracked")],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in own.items()
            if name in state and state[name].shape != tensor.shape
        ],
    }
    if any(faults.values()):
        raise ValueError(
            f"these weights are not {expected}: "
            + "; ".join(f"{len(names)} {fault}: {_listing(names)}" for fault, names in faults.items() if names)
        )
    model.load_state_dict(state, strict=False)


def _listing(names: Sequence[object], limit: int = 8) -> str:
    more = f", … and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(str(name) for name in names[:limit]) + more
