"""Types of arguments that more than one command line takes, for `argparse`."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from tracker.result import Box


def natural(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, got {text!r}")
    return int(text)


def box(text: str) -> Box:
    """``X,Y,W,H``: four finite numbers, the last two positive."""
    try:
        x, y, w, h = (float(value) for value in text.split(","))
    except ValueError:
        x = y = w = h = math.nan
    if not all(map(math.isfinite, (x, y, w, h))) or min(w, h) <= 0:
        raise argparse.ArgumentTypeError(f"expected X,Y,W,H with a positive width and height, got {text!r}")
    return x, y, w, h


def seconds(text: str) -> float:
    """A time from 0 on; ``inf`` is one."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, or inf, got {text!r}")
    return value


def refuse_existing(path: Path | None, overwrite: bool) -> None:
    """Check a result that is about to be written; without a path nothing is.

    Raises:
        ValueError: it exists, and `overwrite` is not set.
    """
    if path is not None and path.exists() and not overwrite:
        raise ValueError(f"{path} exists; give another name or --overwrite")


def share(text: str) -> float:
    """A number above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and at most 1, got {text!r}")
    return value


def setting(text: str) -> tuple[str, Any]:
    """``KEY=VALUE``; the value is JSON where it can be, otherwise text."""
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
