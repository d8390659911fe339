"""The file that trackers compare looks by: made by one command from published weights and a few boxes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from backbones.appearance import Appearance, load_imagenet
from backbones.efficientnet_lite import EfficientNetLite0
from learning import appearance
from learning.footage import Footage
from tracker.appearance import SIZE, read_network


@pytest.fixture
def footage() -> Footage:
    """A video of 40 frames, and three still objects, each a square of one grey in the middle of its own grey."""
    rng = np.random.default_rng(0)
    footage = Footage()
    frames = [footage.add_image(np.full((60, 80, 3), 6 * n, np.uint8)) for n in range(40)]
    footage.add_track("moving", "video", frames, [(30.0, 20.0, 20.0, 20.0)] * 40)
    for name in "abc":
        footage.add_track(
            name, "still", [footage.add_image(rng.integers(0, 256, (60, 80, 3), np.uint8))], [(30, 20, 9, 9)]
        )
    return footage


@pytest.fixture
def published(imagenet_names: Callable[[EfficientNetLite0], dict[str, Tensor]], tmp_path: Path) -> Path:
    """A file in the published layout."""
    torch.manual_seed(0)
    path = tmp_path / "published.pth"
    torch.save(imagenet_names(EfficientNetLite0()), path)
    return path


def test_crops_are_of_all_kinds_of_tracks(footage: Footage) -> None:
    crops = appearance.target_crops(footage)
    assert crops.shape == (16 + 3, SIZE, SIZE, 3)
    assert crops.dtype == np.uint8
    greys = np.unique(crops[:16].reshape(16, -1), axis=1)
    assert sorted(greys[:, 0]) == [6 * int(n) for n in np.linspace(0, 39, 16).astype(int)]  # spread over the video
    assert np.array_equal(crops, appearance.target_crops(footage))


def test_too_little_footage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot be standardised by 0 box\(es\)"):
        appearance.target_crops(Footage())


def test_the_command_writes_what_torch_computes(
    footage: Footage, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="torch's exporter needs it")
    monkeypatch.setattr(appearance, "open_footage", lambda *_: footage)
    path = tmp_path / "new" / "appearance.onnx"
    assert appearance.main([str(published), "--data", str(tmp_path), "--output", str(path)]) == 0
    network = Appearance().eval()
    load_imagenet(network, published)
    crops = appearance.target_crops(footage)
    network.standardise_by(torch.from_numpy(crops))
    read = read_network(path)
    for crop in crops[::4]:
        read.setInput(crop[None])
        with torch.inference_mode():
            expected = network(torch.from_numpy(crop[None])).numpy()
        np.testing.assert_allclose(read.forward(), expected, atol=2e-3)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["training"] == {"imagenet": "published.pth", "layout": "shared", "crops": 19}
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = appearance.main([str(tmp_path / "no.pth"), "--data", str(tmp_path), "--output", str(tmp_path / "a.onnx")])
    assert code == 2
    assert capsys.readouterr().err.startswith(f"appearance: {tmp_path / 'no.pth'}: not a file of weights")
