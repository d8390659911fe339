"""What a result depends on and where it was made: hashes of files and code, versions, commit, machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
PACKAGES = ("backbones", "tracker")  # what decides about our boxes
ELSEWHERE = (
    "__main__",
    "adapters",
    "association",
    "multi",
    "overlay",
    "sinks",
    "sources",
    "viewers",
)  # of no boxes here


def versions(*distributions: str) -> dict[str, str]:
    """Versions of OpenCV, numpy, this package and other distributions, without importing them."""
    return {"opencv": cv2.__version__, "numpy": np.__version__} | {
        name: _version(name) for name in ("siamtrack", *distributions)
    }


def file_hash(path: Path | str) -> str:
    """SHA-256 of a file."""
    status = os.stat(path)
    return _file_hash(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _file_hash(path: str, changed: int, size: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def code_hash() -> str:
    """SHA-256 of the sources that our trackers' boxes depend on; it tells versions apart that are not committed."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.relative_to(ROOT / package).parts[0].removesuffix(".py") not in ELSEWHERE:
                digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def settings_hash(settings: Mapping[str, Any]) -> str:
    """A short name of settings: the same for the same settings, whatever their order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The commit of this checkout, with ``-dirty`` where files differ from it; ``None`` if this is not a checkout."""
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


@lru_cache(maxsize=4)
def machine(device: str = "cpu") -> str:
    """What a speed was measured on, e.g. "AMD EPYC 7763, 2 CPUs", with the GPU if the device is one."""
    cpu = f"{_processor()}, {os.cpu_count()} CPUs"
    if not device.startswith("cuda"):
        return cpu
    import torch  # here: it takes a second, and only who computes with it comes here

    return f"{torch.cuda.get_device_name(device)}, {cpu}"


def _processor() -> str:
    try:
        lines: Iterable[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"
