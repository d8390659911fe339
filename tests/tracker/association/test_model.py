"""A model's files: read back as written, refused where something does not belong together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tracker.association.costs import Costs
from tracker.association.features import NAMES
from tracker.association.model import DETECTION_NAMES, AssociationModel, ModelError, find_model, write_model
from tracker.association.trail import CONTEXT

lightgbm = pytest.importorskip("lightgbm")


def text(names: tuple[str, ...]) -> str:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, len(names)))
    data = lightgbm.Dataset(x, (x[:, 0] > 0).astype(float), feature_name=list(names))
    return str(lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 3).model_to_string())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    write_model(path, text(NAMES), text(DETECTION_NAMES), {"calibration": [0.5, 1.0], "costs": {"entry": 2.0}})
    return path


def test_what_was_written_is_read(files: Path) -> None:
    model = AssociationModel.read(files)
    assert model.costs == Costs(entry=2.0)
    context = np.random.default_rng(1).normal(size=(9, len(NAMES)))
    booster = lightgbm.Booster(model_str=files.with_name("mine.txt").read_text(encoding="utf-8"))
    expected = 0.5 * booster.predict(context, raw_score=True) + 1.0
    np.testing.assert_allclose(model.pair_log_odds(context), expected)
    assert AssociationModel.read(files.with_suffix(".txt")).costs == model.costs


def test_a_model_of_pixels_does_without_them(tmp_path: Path) -> None:
    path = tmp_path / "pixels.json"
    write_model(path, text((*NAMES, "likeness")), text(DETECTION_NAMES), {"calibration": [1, 0], "costs": {}})
    model = AssociationModel.read(path)
    assert model.appearance_names == ("likeness",)
    context = np.zeros((4, len(NAMES)))
    missing = model.pair_log_odds(context, np.full((4, 1), np.nan))
    np.testing.assert_array_equal(model.pair_log_odds(context), missing)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card | {"format": 2}, "format 2"),
        (lambda card: card | {"costs": {"speed": 1}}, "no cost speed"),
        (lambda card: card | {"costs": {"skip": -1}}, "skip"),
        (lambda card: {**card, "sha256": {"pair": "0", "detection": "0"}}, "not those that the card describes"),
        (lambda card: {key: value for key, value in card.items() if key != "calibration"}, "calibration"),
    ],
)
def test_cards_that_do_not_fit_are_refused(files: Path, change, message: str) -> None:
    files.write_text(json.dumps(change(json.loads(files.read_text(encoding="utf-8")))), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        AssociationModel.read(files)


def test_trees_of_other_features_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    write_model(path, text(("a", "b")), text(DETECTION_NAMES), {"calibration": [1, 0], "costs": {}})
    with pytest.raises(ModelError, match="train it again"):
        AssociationModel.read(path)


def test_missing_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model 'nobody'"):
        find_model("nobody")
    with pytest.raises(ModelError, match=r"none\.json"):
        find_model(tmp_path / "none.json")


def test_the_shipped_model_knows_what_it_must() -> None:
    model = AssociationModel.read()
    near, far = np.full((2, len(NAMES)), np.nan)
    for row, error in ((near, 0.02), (far, 1.5)):
        row[:] = 0
        row[[NAMES.index(name) for name in ("gap_seconds", "gap_frames", "past_seen", "past_seconds")]] = (
            0.2,
            5,
            9,
            0.4,
        )
        row[[NAMES.index(name) for name in ("forward_error", "shift_x", "forward_error_x")]] = error
        row[NAMES.index("speed")] = error / 0.2
        row[[NAMES.index(name) for name in ("overlap", "forward_overlap")]] = max(0.0, 0.95 - error)
    odds = model.pair_log_odds(np.array([near, far]))
    assert odds[0] > 0 > odds[1]
    known = np.zeros((2, CONTEXT))
    known[:, 0] = (1, 20)  # seen
    known[:, 2] = (0.3, 0.99)  # mean score
    worse, better = model.detection_log_odds(np.array([0.3, 0.99]), known)
    assert worse < better
