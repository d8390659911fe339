"""Footage for int8: which sequences, which crops, and what the loss of overlap is made of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("optuna")

from learning import quantisation
from tracker.model import Model


def write_sequence(folder: Path, frames: int = 6, seed: int = 0) -> None:
    """A texture that moves by a pixel a frame, with the box of a target that stands still."""
    (folder / "img").mkdir(parents=True)
    image = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image = cv2.resize(image, (180, 120), interpolation=cv2.INTER_CUBIC)
    for index in range(frames):
        cv2.imwrite(str(folder / "img" / f"{index:04d}.png"), np.roll(image, index, 1))
    (folder / "groundtruth_rect.txt").write_text("61,41,32,32\n" * frames)


def test_what_is_kept_for_choosing_is_not_calibrated_on(tmp_path: Path):
    for name in ("VOT/ball1", "VOT/bag", "deep/er/one"):
        write_sequence(tmp_path / name, 1)
    assert quantisation.calibration_sequences(tmp_path) == ["VOT/bag", "deep/er/one"]
    with pytest.raises(ValueError, match="no sequence to calibrate on"):
        quantisation.calibration_sequences(tmp_path / "VOT" / "bag" / "img")


def test_benchmarks_are_not_calibrated_on(tmp_path: Path):
    write_sequence(tmp_path / "otb" / "Basketball", 1)
    with pytest.raises(ValueError, match="is for measuring"):
        quantisation.calibration_sequences(tmp_path / "otb")


def test_pairs_come_from_every_sequence(weights, tmp_path: Path):
    for seed, name in enumerate(("first", "second")):
        write_sequence(tmp_path / name, seed=seed)
    exemplars, searches = quantisation.calibration_pairs(weights["compact"], tmp_path, count=4)
    assert exemplars.shape == (4, 127, 127, 3)
    assert searches.shape == (4, 255, 255, 3)
    assert exemplars.dtype == searches.dtype == np.uint8
    colours = exemplars.reshape(4, -1, 3).mean(1)  # the two sequences are of different textures
    assert np.abs(colours[:2] - colours[2:]).max() > 1
    again = quantisation.calibration_pairs(weights["compact"], tmp_path, count=4)
    np.testing.assert_array_equal(again[1], searches)


def test_a_recorder_changes_nothing(weights):
    model = Model(weights["compact"], "torch-fp32", "cpu")
    recorder = quantisation.Recorder(model.runtime)
    random = np.random.default_rng(0)
    exemplar, search = (random.integers(0, 256, (1, side, side, 3), dtype=np.uint8) for side in (127, 255))
    kernels = recorder.template(exemplar)
    response, features = recorder.search(search, kernels)
    expected = model.runtime.search(search, model.runtime.template(exemplar))
    np.testing.assert_array_equal(response, expected[0])
    np.testing.assert_array_equal(features, expected[1])
    assert len(recorder.pairs) == 1
    np.testing.assert_array_equal(recorder.pairs[0][1], search[0])
    search[:] = 0
    assert recorder.pairs[0][1].any()  # a copy


def test_the_loss_is_the_difference_of_the_means():
    cost = quantisation.Cost(0.5, 0.47, {"a": (0.4, 0.4), "b": (0.6, 0.54)}, 0.99, 100)
    assert cost.loss == pytest.approx(0.03)


class Said:
    """A runtime that gives the responses it was told to, one after another."""

    name = "said"

    def __init__(self, peaks: list[int]) -> None:
        self.peaks = iter(peaks)

    def template(self, crops: np.ndarray) -> np.ndarray:
        return np.zeros((len(crops), 1, 1, 1), np.float32)

    def search(self, crops: np.ndarray, kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        response = np.zeros((len(crops), 1, 3, 3), np.float32)
        for row in response:
            row[0].flat[next(self.peaks)] = 1
        return response, response


def test_peaks_that_agree_are_counted_and_the_first_one_s_answers_are_given():
    compared = quantisation.Compared(Said([0, 4, 8, 2]), Said([0, 4, 7, 2]))
    crops = np.zeros((2, 8, 8, 3), np.uint8)
    kernels = compared.template(crops)
    compared.search(crops, kernels)
    response, _ = compared.search(crops, kernels)
    assert response[0, 0].argmax() == 8
    assert (compared.agreed, compared.searches) == (3, 4)
