"""A model that trackers share: its card now, its network and runtime when first needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.network import ModelCard, WeightsError, find_weights, load_network
from tracker.runtimes import Runtime, open_runtime


class Model:
    """Weights by name, and what runs them.

    Pickling keeps the name (of a file: its absolute path) and the hash; the runtime is built again at first use.

    Args:
        name_or_path: a shipped model's name or a .safetensors file.
        runtime, device, threads: see `tracker.runtimes.open_runtime`.

    Attributes:
        name: of the model, without folder and suffix.
        card: what it is.

    Raises:
        WeightsError: the weights cannot be used.
        ValueError: the runtime or device cannot.
    """

    def __init__(
        self, name_or_path: str | Path, runtime: str = "auto", device: str = "auto", threads: int | None = None
    ) -> None:
        weights = find_weights(name_or_path)
        self.name = weights.stem
        self.card: ModelCard = ModelCard.read(weights.with_suffix(".json"))
        # a shipped model is found by name wherever the package lies; a file from whatever folder the process is in
        self._source = str(weights.absolute()) if Path(name_or_path).suffix else self.name
        self._options = (runtime, device, threads)
        self._runtime: Runtime | None = None

    @property
    def runtime(self) -> Runtime:
        """The runtime, built at first use."""
        if self._runtime is None:
            network = load_network(self._source)
            if network.card.sha256 != self.card.sha256:
                raise WeightsError(f"{self._source}: the weights have changed since this tracker was made")
            self._runtime = open_runtime(network, *self._options, find_weights(self._source))
        return self._runtime

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runtime": None}


def refuse_name(model: object, owner: type) -> None:
    """Raise `TypeError` for the name of a model where `owner` takes the model itself."""
    if isinstance(model, (str, Path)):
        raise TypeError(f"{owner.__name__} takes a Model; by name: {owner.__name__}.from_pretrained({str(model)!r})")
