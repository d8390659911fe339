"""Benchmark trackers: ``python tools/evaluate.py run|report|check|score …``; the same as ``python -m benchmarks``."""

from __future__ import annotations

import sys

from benchmarks.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
