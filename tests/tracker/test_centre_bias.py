"""No centre bias: the response follows the target as well at its border as in its middle.

What padding does to a Siamese tracker, and why SiamDW crops what the padding touched (Zhang & Peng, CVPR 2019,
sections 3 and 4): a network that sees where the border is learns the place instead of the target. Scenes are composed
here; the target stands at every cell of the response before one and the same background, and the exemplar shows it
before another one, so that the middle has no advantage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tracker.correlation import SiamFCHead
from tracker.network import available, load_network

Floats = NDArray[np.float32]
STRIDE = 8
FARTHEST = 1  # cells from the target's cell to the peak's
# Of the middle peak's height above the median of its response, by which other peaks may differ. Before plain grey only
# the place tells the cells apart; before a texture the target also has another surrounding at each of them, which may
# make little more of a difference than so many other surroundings do in the middle.
PLAIN, SURROUNDINGS, LITTLE_MORE = 0.01, 100, 1.25


def texture(size: int, grain: int, contrast: float, seed: int) -> Floats:
    """Smooth random colours, (size, size, 3), around mid-grey."""
    cells = np.random.default_rng(seed).uniform(-1, 1, (size // grain + 2, size // grain + 2, 3))
    smooth = cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC)
    return (128 + contrast * smooth / smooth.std()).astype(np.float32)


def disc(size: int) -> Floats:
    """(size, size, 1) opacity of a round cut-out with a soft edge."""
    across = np.arange(size) + 0.5 - size / 2
    radius = np.hypot(across[:, None], across[None, :]) / (size / 2)
    return np.clip((1 - radius) * size / 4, 0, 1)[..., None].astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """A round target before a background; everything is drawn from `seed`.

    Attributes:
        seed: of its textures.
        exemplar_size, search_size: sides of the crops in pixels.
        contrast: of the background; that of the target is 50.
    """

    seed: int
    exemplar_size: int = 127
    search_size: int = 255
    contrast: float = 25

    def exemplar(self) -> Floats:
        return self._composed(self.exemplar_size, 1, (0, 0))

    def search(self, *places: tuple[int, int], ground: int = 2) -> Floats:
        """The target so many pixels right and down of the middle of the search region, once or several times."""
        return self._composed(self.search_size, ground, *places)

    def _composed(self, side: int, ground_seed: int, *places: tuple[int, int]) -> Floats:
        image = texture(side, self.exemplar_size // 4, self.contrast, 3 * self.seed + ground_seed)
        size = self.exemplar_size // 2  # as much of the exemplar as context of one half leaves to it
        target, opacity = texture(size, self.exemplar_size // 8, 50, 3 * self.seed), disc(size)
        for right, down in places:
            left, top = (side - size) // 2 + right, (side - size) // 2 + down
            image[top : top + size, left : left + size] += opacity * (
                target - image[top : top + size, left : left + size]
            )
        return image


def crops(images: list[Floats]) -> Tensor:
    """(N, 3, S, S) in [0, 255]."""
    return torch.from_numpy(np.stack(images)).clamp(0, 255).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def follow(
    template: Callable[[Tensor], Tensor], search: Callable[[Tensor, Tensor], Tensor], scene: Scene, every: int = 1
) -> tuple[int, float]:
    """Place the target at every cell, or at every so many-th in both directions from the middle on.

    Returns:
        cells from the target to the peak of the response, at worst, and by how much of the middle peak's height above
        the median of its response a peak's height differs from it, at worst.
    """
    kernel = template(crops([scene.exemplar()]))
    middle = search(crops([scene.search((0, 0))]), kernel)[0, 0]
    reach = middle.shape[-1] // 2
    height = float(middle.max() - middle.median())
    shifts = [shift for shift in range(-reach, reach + 1) if shift % every == 0]
    farthest, difference = 0, 0.0
    for down in shifts:
        regions = crops([scene.search((STRIDE * right, STRIDE * down)) for right in shifts])
        responses = search(regions, kernel.expand(len(regions), -1, -1, -1).contiguous())[:, 0]
        for right, response in zip(shifts, responses, strict=True):
            row, column = divmod(int(response.argmax()), response.shape[-1])
            farthest = max(farthest, abs(row - reach - down), abs(column - reach - right))
            difference = max(difference, abs(float(response.max() - middle.max())) / height)
    return farthest, difference


@torch.no_grad()
def surroundings(
    template: Callable[[Tensor], Tensor], search: Callable[[Tensor, Tensor], Tensor], scene: Scene
) -> float:
    """`follow`'s difference, at worst, for a target that stays in the middle of ever other backgrounds."""
    kernel = template(crops([scene.exemplar()]))
    middle = search(crops([scene.search((0, 0))]), kernel)[0, 0]
    others = (search(crops([scene.search((0, 0), ground=1000 + k)]), kernel).max() for k in range(SURROUNDINGS))
    return max(abs(float(peak - middle.max())) for peak in others) / float(middle.max() - middle.median())


@pytest.mark.parametrize(
    ("name", "every"),
    [
        ("compact", 7),
        ("ciresnet22", 8),
        pytest.param("compact", 1, marks=pytest.mark.slow),
        pytest.param("ciresnet22", 1, marks=pytest.mark.slow),
    ],
)
def test_the_response_of_a_shipped_network_follows_the_target_to_the_border(name: str, every: int) -> None:
    if name not in available():
        pytest.skip(f"the weights of {name} are not here")
    network = load_network(name).fused()
    for scene in (Scene(0), Scene(1), Scene(2, contrast=0)):
        farthest, difference = follow(network.template, network.search, scene, every)
        tolerance = LITTLE_MORE * surroundings(network.template, network.search, scene) if scene.contrast else PLAIN
        assert farthest <= FARTHEST
        assert difference <= tolerance


class Control(nn.Module):
    """A small Siamese network, stride 8, of which nothing is cropped: padded, or not padded at all."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        strides, width = (2, 2, 2, 1, 1), 16
        layers = [
            layer
            for index, stride in enumerate(strides)
            for layer in (
                nn.Conv2d(3 if index == 0 else width, width, 3, stride, padding, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
        ]
        self.layers = nn.Sequential(*layers[:-1])
        self.head = SiamFCHead(width)

    def template(self, exemplar: Tensor) -> Tensor:
        return self.layers((exemplar - 128) / 64)

    def search(self, region: Tensor, kernel: Tensor) -> Tensor:
        return self.head.search(self.layers((region - 128) / 64), kernel)


def small_scene(seed: int) -> Scene:
    """Before plain grey, so that a response can differ by the place only."""
    return Scene(seed, exemplar_size=63, search_size=127, contrast=0)


def trained_on_centred_targets(padding: int) -> Control:
    """A control after 60 steps of SiamFC's loss, in scenes whose target in the middle has a twin near the border.

    The place is all that tells the two apart: what can learn the place will, and what cannot goes on seeing both.
    """
    torch.manual_seed(0)
    network = Control(padding).train()
    scenes = [small_scene(seed) for seed in range(100, 124)]
    far = 4 * STRIDE
    twins = [(far, 0), (0, far), (-far, 0), (0, -far), (far, far), (-far, -far), (far, -far), (-far, far)]
    exemplars = crops([scene.exemplar() for scene in scenes])
    regions = crops([scene.search((0, 0), twins[index % 8]) for index, scene in enumerate(scenes)])
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(60):
        chosen = [(8 * step + index) % len(scenes) for index in range(8)]
        response = network.search(regions[chosen], network.template(exemplars[chosen]))
        label = torch.zeros_like(response)
        label[..., response.shape[-2] // 2, response.shape[-1] // 2] = 1
        weight = torch.where(label > 0, 0.5, 0.5 / (label[0].numel() - 1))
        loss = F.binary_cross_entropy_with_logits(response, label, weight, reduction="sum") / len(chosen)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.mark.parametrize(("padding", "passes"), [(0, True), (1, False)])
def test_a_network_that_is_padded_would_be_noticed(padding: int, passes: bool) -> None:
    network = trained_on_centred_targets(padding)
    results = [follow(network.template, network.search, small_scene(seed), 2) for seed in range(3)]
    assert all(farthest <= FARTHEST and difference <= PLAIN for farthest, difference in results) == passes
