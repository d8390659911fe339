"""Images to feature maps: the networks that a Siamese tracker embeds its crops with."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def build_backbone(name: str) -> nn.Module:
    """A freshly initialised backbone.

    There are ``compact``, ``lite``, ``alexnet`` and SiamDW's ``ciresnet16``, ``ciresnet22``, ``ciresnet22w``,
    ``ciresinception22`` and ``ciresnext22``.

    Each maps (N, 3, H, W) float images in 0-255 to (N, ``out_channels``, h, w) features.

    Raises:
        ValueError: an unknown name.
    """
    from backbones.alexnet import alexnet  # here: so that a program loads the networks it builds, and no more
    from backbones.ciresinception import ciresinception22
    from backbones.ciresnet import ciresnet16, ciresnet22, ciresnet22w
    from backbones.ciresnext import ciresnext22
    from backbones.compact import compact
    from backbones.lite import Lite

    builders: dict[str, Callable[[], nn.Module]] = {
        "compact": compact,
        "lite": Lite,
        "ciresnet16": ciresnet16,
        "ciresnet22": ciresnet22,
        "ciresnet22w": ciresnet22w,
        "ciresinception22": ciresinception22,
        "ciresnext22": ciresnext22,
        "alexnet": alexnet,
    }
    if name not in builders:
        raise ValueError(f"unknown backbone {name!r}; there are {', '.join(builders)}")
    return builders[name]()
