"""What this machine's processor can do by itself: Linux says so, of other systems nothing is assumed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def instructions() -> frozenset[str]:
    """Names of its instruction sets, as /proc/cpuinfo spells them; empty where there is no such file."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()


def has_bf16() -> bool:
    """Whether it multiplies bf16; elsewhere that is emulated, which is slower than fp32."""
    return not instructions().isdisjoint({"avx512_bf16", "amx_bf16"})
