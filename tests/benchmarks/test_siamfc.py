"""SiamFC checkpoints of others as trackers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.alexnet import FDSIAMFC_WIDTHS, AlexNet
from benchmarks.siamfc import load_siamfc_tracker
from benchmarks.trackers import TrackerSpec
from tracker.box import overlap

PEER = Path(__file__).parents[3] / "shared" / "peers" / "fdsiamfc_30.pth"


def test_the_response_is_a_thousandth_of_the_correlation_of_rgb_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = AlexNet(FDSIAMFC_WIDTHS).eval()
    torch.save({f"backbone.{name}": value for name, value in backbone.state_dict().items()}, tmp_path / "net.pth")
    runtime = load_siamfc_tracker(tmp_path / "net.pth").model.runtime
    pixels = np.random.default_rng(0).integers(0, 256, (1, 255, 255, 3), np.uint8)
    exemplar = np.ascontiguousarray(pixels[:, 64:191, 64:191])
    response, _ = runtime.search(pixels, runtime.template(exemplar))
    with torch.no_grad():
        x, z = (
            backbone(torch.from_numpy(np.ascontiguousarray(crop[..., ::-1])).permute(0, 3, 1, 2).float())
            for crop in (pixels, exemplar)
        )
        expected = 0.001 * torch.nn.functional.conv2d(x, z)
    np.testing.assert_allclose(response, expected.numpy(), rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save({"backbone.conv1.0.weight": torch.zeros(7, 3, 11, 11)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="96 or 28 channels"):
        load_siamfc_tracker(tmp_path / "net.pth")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        TrackerSpec.parse(f"siamfc:{tmp_path / 'nowhere.pth'}").settings()


@pytest.mark.skipif(not PEER.exists(), reason="FDSiamFC's weights are not part of the project (../shared/peers)")
def test_fdsiamfc_follows_a_target(draw_textured: Callable[[float, float], np.ndarray]) -> None:
    spec = TrackerSpec.parse(f"siamfc:{PEER}")
    assert spec.name == "fdsiamfc_30"
    tracker = spec.load()
    tracker.init(draw_textured(100, 80), (100, 80, 40, 40))
    for step in range(1, 10):
        result = tracker.update(draw_textured(100 + 4 * step, 80 + 2 * step))
    assert overlap(result.box, (136, 98, 40, 40)) > 0.6


@pytest.fixture
def draw_textured() -> Callable[[float, float], np.ndarray]:
    """A frame of fixed noise with a textured square at (x, y)."""
    rng = np.random.default_rng(1)
    ground = np.kron(rng.integers(60, 120, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    target = np.kron(rng.integers(0, 256, (5, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)

    def draw(x: float, y: float) -> np.ndarray:
        frame = ground.copy()
        frame[int(y) : int(y) + 40, int(x) : int(x) + 40] = target
        return frame

    return draw
