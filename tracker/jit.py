"""Compiling by numba, where the compiled code may have nowhere to be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function`, compiled at its first call and kept beside its module or in numba's cache folder.

    Where neither can be written, as in a read-only installation without a home, each process compiles for itself
    instead of failing. Other threads run meanwhile. Rounding is IEEE's, so that every processor gives the same numbers.
    """
    try:
        return njit(cache=True, nogil=True)(function)  # type: ignore[return-value]
    except RuntimeError:  # "no locator available"
        return njit(nogil=True)(function)  # type: ignore[return-value]
