"""What the browser's page of ``python -m tracker --web`` costs, and how soon it shows something.

    python -m benchmarks.page

The command tracks a video in turns without a page, with one that nobody looks at, and with one that a viewer takes
every picture from as fast as it is given, as the page's own script does. Printed as JSON:

- ``first_picture_seconds``: from the start of the command to its first picture, the median of all turns with a viewer;
- ``pictures_per_second``: that the viewer got while the tracker ran;
- ``frames_per_second``: of the tracker, for each of the three (median of the turns);
- ``slowed``: by how much a viewer slows it, as a share, compared with either of the others.

The video is the bundled clip there and back again, `--frames` long, resized to `--size`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from time import monotonic
from urllib.parse import urlsplit

import cv2

from benchmarks.clip import Clip, read_clip

RATE = re.compile(r"([\d.]+) frames/s in the tracker")
PATIENCE = 60.0  # seconds for the page to appear


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1500, help="of the video (default: %(default)s)")
    parser.add_argument("--size", default="1280x720", help="of its frames (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each kind (default: %(default)s)")
    parser.add_argument("--runtime", default="auto", help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of the tracker (default: its own choice)")
    options = parser.parse_args(argv)
    width, height = map(int, options.size.split("x"))
    clip = read_clip("examples/demo.mp4", "examples/demo_box.json", 150, (width, height))
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.avi"
        write(video, clip, options.frames, (width, height))
        command = [sys.executable, "-m", "tracker", "--video", str(video), f"--box={','.join(map(str, clip.box))}"]
        command += ["--save", f"{folder}/out.csv", "--overwrite", "--runtime", options.runtime]
        command += ["--threads", str(options.threads)] if options.threads else []
        rates: dict[str, list[float]] = {"without": [], "unwatched": [], "watched": []}
        firsts, previews = [], []
        for _ in range(options.rounds):
            rates["without"].append(run(command)[0])
            rates["unwatched"].append(run([*command, "--web", "127.0.0.1:0"])[0])
            rate, first, preview = run([*command, "--web", "127.0.0.1:0"], watch=True)
            rates["watched"].append(rate)
            firsts.append(first)
            previews.append(preview)
    found = {name: median(values) for name, values in rates.items()}
    report = {
        "first_picture_seconds": round(median(firsts), 2),
        "pictures_per_second": round(median(previews), 1),
        "frames_per_second": {name: round(rate, 1) for name, rate in found.items()},
        "slowed": {name: round(1 - found["watched"] / found[name], 3) for name in ("without", "unwatched")},
    }
    print(json.dumps(report, indent=1))
    return 0


def write(path: Path, clip: Clip, count: int, size: tuple[int, int]) -> None:
    """Write a video of `count` frames of the clip."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, size)
    writer.write(clip.frames[0])
    for frame in islice(clip.onwards(), count - 1):
        writer.write(frame)
    writer.release()


def run(command: Sequence[str], watch: bool = False) -> tuple[float, float, float]:
    """Run the tracker, looking at its page if it is to be watched.

    Returns:
        Frames a second in the tracker; seconds to the first picture and pictures a second, 0 if nobody looked.

    Raises:
        RuntimeError: the command failed, or its page did not appear.
    """
    since = monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None  # it was asked for
    first = preview = 0.0
    said = ""
    if watch:
        while "http://" not in said:
            line = process.stdout.readline()
            if not line or monotonic() - since > PATIENCE:
                raise RuntimeError(f"no page: {said}{line}")
            said += line
        address = re.search(r"http://\S+", said)
        assert address is not None  # it was waited for
        loading, tracking = look(urlsplit(address[0]).netloc)
        first = (loading + tracking)[0] - since
        preview = (len(tracking) - 1) / (tracking[-1] - tracking[0])
    said += process.communicate()[0]
    rate = RATE.search(said)
    if process.returncode or rate is None:
        raise RuntimeError(f"`{' '.join(command)}` failed: {said}")
    return float(rate[1]), first, preview


def look(address: str) -> tuple[list[float], list[float]]:
    """When each picture of a page came while the weights were loaded, and while the target was followed."""
    connection, number = http.client.HTTPConnection(address, timeout=PATIENCE), ""
    times: dict[str, list[float]] = {"loading": [], "tracking": [], "over": []}
    with suppress(OSError, http.client.HTTPException):  # the command has ended, and its page with it
        while not times["over"]:
            connection.request("GET", f"/view?after={number}")
            reply = connection.getresponse()
            reply.read()
            state = json.loads(reply.headers["X-State"])
            number = str(state["number"])
            times[state["phase"]].append(monotonic())
    if len(times["tracking"]) < 2:
        raise RuntimeError(f"the page showed {len(times['tracking'])} pictures")
    return times["loading"], times["tracking"]


if __name__ == "__main__":
    sys.exit(main())
