"""Track by detection: ``python tools/associate.py --detections det.txt``; or ``python -m tracker.association``."""

from __future__ import annotations

import sys

from tracker.association.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
