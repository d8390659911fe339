"""Benchmarks on disk → sequences; one file a layout."""

from benchmarks.datasets.otb import Sequence, read_sequence, read_sequences

__all__ = ["Sequence", "read_sequence", "read_sequences"]
