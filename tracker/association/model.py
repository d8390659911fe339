"""What was learned: match and detection probabilities and the costs beside them, in two text files and a card.

A model is three files of one name: `NAME.txt` holds the boosted trees for pairs, `NAME_detection.txt` those for single
detections, both as LightGBM writes them, and `NAME.json` is the card: calibration, costs, training, results. Nothing in
them is code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.association.appearance_cue import AppearanceCue
from tracker.association.costs import Costs
from tracker.association.features import NAMES
from tracker.association.trail import LASTING, SEEN, SURE, Floats
from tracker.association.trees import Trees

FORMAT = 1
DETECTION_NAMES = ("score", "sure", "seen", "lasting")
SUREST = 12.0  # log odds beyond which no probability is believed


class ModelError(ValueError):
    """A model's files cannot be used; the message says which file, why, and what to do."""


@dataclass(frozen=True, eq=False)
class AssociationModel:
    """Boosted trees with their calibration, and costs.

    Attributes:
        pair: trees over context features and, where it was trained with one, an appearance cue's.
        detection: trees over `DETECTION_NAMES`.
        calibration: slope and intercept of Platt's scaling of the pair's log odds.
        costs: as they were learned.
        card: everything else the card says.
    """

    pair: Trees
    detection: Trees
    calibration: tuple[float, float] = (1.0, 0.0)
    costs: Costs = field(default_factory=Costs)
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def appearance_names(self) -> tuple[str, ...]:
        """Of the columns behind the context features."""
        return self.pair.names[len(NAMES) :]

    def check_cue(self, cue: AppearanceCue | None) -> AppearanceCue | None:
        """Whether the trees know what an appearance cue tells; returns it.

        Raises:
            ModelError: they know nothing of it, or of another one.
        """
        if cue is not None and tuple(cue.names) != self.appearance_names:
            raise ModelError(
                f"the model was trained with the appearance features {self.appearance_names or 'of none'}, the cue has "
                f"{tuple(cue.names)}; leave it out, or train with it (docs/association.md)"
            )
        return cue

    def pair_log_odds(self, context: Floats, appearance: NDArray[Any] | None = None) -> Floats:
        """Calibrated log odds (P,) that pairs are one target.

        Args:
            context: (P, 32) of `tracker.association.features`.
            appearance: (P, K) of the cue; ``None``: unknown.
        """
        missing = len(self.appearance_names)
        if missing:
            more = np.full((len(context), missing), np.nan) if appearance is None else appearance
            context = np.concatenate([context, more], axis=1)
        slope, intercept = self.calibration
        return np.clip(slope * self.pair(context) + intercept, -SUREST, SUREST)

    def detection_log_odds(self, score: Floats, known: Floats | None = None) -> Floats:
        """Log odds (N,) that detections are targets.

        Args:
            score: (N,) of the detections.
            known: (N, CONTEXT) of their tracks (`tracker.association.trail`); by default nothing is known of them.
        """
        more = np.full((len(score), 3), np.nan) if known is None else known[:, [SURE, SEEN, LASTING]]
        features = np.column_stack([score, more])
        return np.clip(self.detection(features), -SUREST, SUREST)

    @classmethod
    def read(cls, name_or_path: str | os.PathLike[str] = "association") -> AssociationModel:
        """Read a shipped model by name, or one's own by the path of its ``.json`` or ``.txt``.

        Raises:
            ModelError: files are missing, of a newer format, or do not belong together.
        """
        card_path = find_model(name_or_path)
        try:
            card = json.loads(card_path.read_text(encoding="utf-8"))
            if card["format"] != FORMAT:
                raise ModelError(f"{card_path} has format {card['format']}, this version reads {FORMAT}: update it")
            texts = {
                part: card_path.with_name(card_path.stem + suffix + ".txt").read_text(encoding="utf-8")
                for part, suffix in (("pair", ""), ("detection", "_detection"))
            }
            for part, text in texts.items():
                if _hash(text) != card["sha256"][part]:
                    raise ModelError(f"{card_path}: the trees for {part} are not those that the card describes")
            slope, intercept = card["calibration"]
            model = cls(
                Trees.parse(texts["pair"], str(card_path)),
                Trees.parse(texts["detection"], str(card_path)),
                (float(slope), float(intercept)),
                Costs.of(card["costs"]),
                card,
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"{card_path} cannot be used: {error}") from error
        if model.pair.names[: len(NAMES)] != NAMES or model.detection.names != DETECTION_NAMES:
            raise ModelError(f"{card_path}: its trees ask for other features than this version has; train it again")
        return model


def write_model(path: Path, pair: str, detection: str, card: Mapping[str, Any]) -> None:
    """Write a model.

    Args:
        path: of the card, ``.json``; the trees go beside it.
        pair, detection: LightGBM's text of both ensembles.
        card: "calibration", "costs" and what is to be said of training and results.

    Raises:
        OSError: they cannot be written.
    """
    path.with_name(path.stem + ".txt").write_text(pair, encoding="utf-8")
    path.with_name(path.stem + "_detection.txt").write_text(detection, encoding="utf-8")
    stored = {"format": FORMAT, "sha256": {"pair": _hash(pair), "detection": _hash(detection)}, **card}
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """Path of a model's card.

    Raises:
        ModelError: there is none.
    """
    path = Path(name_or_path)
    if path.suffix in (".json", ".txt"):
        path = path.with_suffix(".json")
        if not path.is_file():
            raise ModelError(f"{path}: no such model")
        return path
    shipped = Path(str(resources.files("weights"))) / f"{name_or_path}.json"
    if not shipped.is_file():
        raise ModelError(f"no model {name_or_path!r} in {shipped.parent}; give the path of a .json for one's own")
    return shipped


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
