"""Streams on the loopback that can be frozen, cut off and killed: MJPEG over HTTP here, RTSP in `rtsp`.

python -m benchmarks.reliability.servers PORT [--sizes 320x240 160x120] [--every 60] [--freeze-after 20] [--still 75]
"""

from __future__ import annotations

import argparse
import http.server
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.arguments import natural, positive

BOUNDARY = "frame"
FPS = 25.0
DISC = (40, 200, 230)  # BGR


def picture(index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frame `index` of the stream: a disc that goes round, (H, W, 3) uint8 BGR of `size` (width, height)."""
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    angle = index / 20
    centre = (round(width * (0.5 + 0.25 * np.cos(angle))), round(height * (0.5 + 0.25 * np.sin(angle))))
    cv2.circle(image, centre, max(min(size) // 8, 2), DISC, -1)
    return image


class _Mjpeg(http.server.BaseHTTPRequestHandler):
    """One client's stream. The class attributes say what it is like."""

    sizes: Sequence[tuple[int, int]] = ((320, 240),)
    every = 60
    freeze_after: int | None = None
    still = 0

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.end_headers()
        began = time.monotonic()
        index = 0
        try:
            while True:
                size = self.sizes[index // self.every % len(self.sizes)]
                data = cv2.imencode(".jpg", picture(max(index - self.still, 0), size))[1].tobytes()
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                index += 1
                if index == self.freeze_after:
                    time.sleep(3600)  # the connection stays open and says nothing
                time.sleep(max(began + index / FPS - time.monotonic(), 0.0))
        except OSError:
            return  # the client has left

    def log_message(self, *_: object) -> None:
        pass


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.servers", description=__doc__)
    parser.add_argument("port", type=positive)
    parser.add_argument("--sizes", nargs="+", type=_size, default=[(320, 240)], metavar="WxH")
    parser.add_argument("--every", type=positive, default=60, metavar="N", help="frames of a size, until the next")
    parser.add_argument("--freeze-after", type=positive, metavar="N", help="send N frames and then nothing")
    parser.add_argument("--still", type=natural, default=0, metavar="N", help="frames for which the disc stands first")
    options = parser.parse_args(argv)
    _Mjpeg.sizes, _Mjpeg.every, _Mjpeg.freeze_after = options.sizes, options.every, options.freeze_after
    _Mjpeg.still = options.still
    with http.server.ThreadingHTTPServer(("127.0.0.1", options.port), _Mjpeg) as server:
        server.serve_forever()
    return 0


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(port: int, *arguments: str, rtsp: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, which listens; killed (SIGKILL) at the end, if it still lives.

    Raises:
        RuntimeError: it does not listen within 30 s.
    """
    module = f"benchmarks.reliability.{'rtsp' if rtsp else 'servers'}"
    command = [sys.executable, "-m", module, str(port), *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"no server on port {port}: exit code {process.poll()}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return positive(width), positive(height)


if __name__ == "__main__":
    sys.exit(main())
