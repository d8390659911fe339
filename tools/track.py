"""Track objects through a video: ``python tools/track.py --video clip.mp4``; the same as ``python -m tracker``."""

from __future__ import annotations

import sys

from tracker.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
