"""Pair networks: what goes in and comes out, and that each can learn."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from backbones.pair import PATCH_SIZE, TOPOLOGIES, build_pair_network

SMALL = (32, 16)


def some_patches(count: int, size: tuple[int, int] = SMALL, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 5, *size), generator=torch.Generator().manual_seed(seed)).float()


@pytest.fixture(params=list(TOPOLOGIES))
def topology(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("size", [PATCH_SIZE, SMALL, (16, 16), (64, 48)])
def test_any_size_of_patches_gives_one_number_a_pair(topology: str, size: tuple[int, int]) -> None:
    network = build_pair_network(topology, size).eval()
    assert network(some_patches(3, size), some_patches(3, size, 1)).shape == (3,)


def test_a_batch_is_the_same_as_its_pairs_one_by_one(topology: str) -> None:
    network = build_pair_network(topology, SMALL).eval()
    a, b = some_patches(4), some_patches(4, seed=1)
    single = torch.cat(
        [network.compare(network.embed(x[None]), network.embed(y[None])) for x, y in zip(a, b, strict=False)]
    )
    torch.testing.assert_close(network(a, b), single, rtol=1e-4, atol=1e-5)


def test_integer_patches_are_the_same_as_float_ones(topology: str) -> None:
    network = build_pair_network(topology, SMALL).eval()
    a, b = some_patches(2), some_patches(2, seed=1)
    torch.testing.assert_close(network(a.to(torch.uint8), b.to(torch.uint8)), network(a, b))


def test_towers_measure_a_distance() -> None:
    network = build_pair_network("towers", SMALL).eval()
    a, b = some_patches(5), some_patches(5, seed=1)
    there, back = network(a, b), network(b, a)
    torch.testing.assert_close(there, back)
    assert (network(a, a) < 1e-5).all()
    assert (there > 1e-5).all()
    assert (there <= 2).all()
    torch.testing.assert_close(network.embed(a).norm(dim=1), torch.ones(5))


def test_the_distance_of_equal_patches_has_a_gradient() -> None:
    network = build_pair_network("towers", SMALL)
    a = some_patches(2)
    network.eval()(a, a).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)


def test_every_channel_and_both_patches_count(topology: str) -> None:
    network = build_pair_network(topology, SMALL).eval()
    a, b = some_patches(1), some_patches(1, seed=1)
    before = network(a, b)
    for channel in range(5):
        for changed in range(2):
            pair = [a.clone(), b.clone()]
            pair[changed][:, channel] = 255 - pair[changed][:, channel]
            assert not torch.equal(network(*pair), before)


def test_it_learns_to_tell_bright_from_dark(topology: str) -> None:
    torch.manual_seed(0)
    network = build_pair_network(topology, SMALL)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    kind = torch.arange(32) % 2
    other = torch.arange(32) // 2 % 2
    same = kind == other

    def look(kinds: torch.Tensor, seed: int) -> torch.Tensor:
        return some_patches(32, seed=seed) / 4 + 120 * kinds[:, None, None, None]

    for step in range(25):
        found = network(look(kind, 2 * step), look(other, 2 * step + 1))
        logits = 5 * (0.7 - found) if network.distance else found
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(logits, same.float()).backward()
        optimiser.step()
    found = network.eval()(look(kind, 1000), look(other, 1001))
    likeness = -found if network.distance else found
    assert likeness[same].min() > likeness[~same].max()


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown topology 'triplet'; there are towers, in_network, joint"):
        build_pair_network("triplet")
    with pytest.raises(ValueError, match="16 pixels a side or more, got 15x40"):
        build_pair_network("joint", (15, 40))
