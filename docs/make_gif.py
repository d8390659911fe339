"""Make an animated GIF of a tracked video, as in the README:

    make track && .venv/bin/python docs/make_gif.py runs/demo_tracked.mp4 docs/demo.gif

Needs Pillow (it comes with the `benchmarks` extra).
"""

from __future__ import annotations

import argparse

import cv2
from PIL import Image

from tracker import open_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("gif")
    parser.add_argument("--every", type=int, default=5, help="take every n-th frame")
    parser.add_argument("--last", type=int, default=210, help="frame to stop at")
    parser.add_argument("--width", type=int, default=320)
    options = parser.parse_args()
    frames = []
    with open_source(options.video, max_frames=options.last) as source:
        for frame in source:
            if frame.index % options.every == 0:
                height = round(options.width * frame.image.shape[0] / frame.image.shape[1])
                small = cv2.resize(frame.image, (options.width, height), interpolation=cv2.INTER_AREA)
                frames.append(
                    Image.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)).quantize(
                        64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
                    )
                )
        period = 1000 * options.every / (source.fps or 25)
    frames[0].save(options.gif, save_all=True, append_images=frames[1:], duration=round(period), loop=0, optimize=True)


if __name__ == "__main__":
    main()
