"""Images to feature maps: the networks that a Siamese tracker embeds its crops with."""

from __future__ import annotations

from torch import nn


def build_backbone(name: str) -> nn.Module:
    """A freshly initialised backbone: ``compact``, ``ciresnet16``, ``ciresnet22`` or ``alexnet``.

    Each maps (N, 3, H, W) float images in 0-255 to (N, ``out_channels``, h, w) features.

    Raises:
        ValueError: an unknown name.
    """
    from backbones.alexnet import alexnet  # here: so that a program loads the networks it builds, and no more
    from backbones.ciresnet import ciresnet16, ciresnet22
    from backbones.compact import compact

    builders = {"compact": compact, "ciresnet16": ciresnet16, "ciresnet22": ciresnet22, "alexnet": alexnet}
    if name not in builders:
        raise ValueError(f"unknown backbone {name!r}; there are {', '.join(builders)}")
    return builders[name]()
