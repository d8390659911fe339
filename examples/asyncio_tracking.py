"""Track inside an asyncio program: results are streamed as JSON lines to everybody who connects.

    python examples/asyncio_tracking.py --video 0 --box 280,200,80,80 --port 9000
    nc localhost 9000                                          # in another terminal; as many as you like

The tracker runs in a thread of its own, one frame at a time: the event loop stays free for the robot's other business,
and a client that reads too slowly misses results instead of holding up the tracker. `results` is the part to copy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator

from tracker import SiamTracker, TrackResult
from tracker.arguments import box
from tracker.capture import CaptureThread
from tracker.endings import exit_code
from tracker.frame import Frame
from tracker.result import Box


async def results(capture: CaptureThread, tracker: SiamTracker, box: Box) -> AsyncIterator[tuple[Frame, TrackResult]]:
    """Every frame that the tracker had time for, with its result; waiting and tracking leave the event loop free."""
    frame = await asyncio.to_thread(capture.read)
    if frame is not None:
        yield frame, await asyncio.to_thread(tracker.init, frame.image, box, frame.timestamp)
    while (frame := await asyncio.to_thread(capture.read)) is not None:
        yield frame, await asyncio.to_thread(tracker.update, frame.image, frame.timestamp)


class Broadcast:
    """The newest line for every client; those that a client did not take in time are gone."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._line, self._number, self._ended = b"", 0, False

    async def put(self, line: bytes) -> None:
        """Replace the newest line."""
        async with self._changed:
            self._line, self._number = line, self._number + 1
            self._changed.notify_all()

    async def end(self) -> None:
        """Let all clients go."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def _newer_than(self, sent: int) -> tuple[bytes, int]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._number > sent)
            return self._line, self._number

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it leaves or the end comes."""
        sent = self._number
        try:
            while True:
                line, number = await self._newer_than(sent)
                if number == sent:
                    return
                sent = number
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def describe(frame: Frame, result: TrackResult) -> bytes:
    """One line of JSON."""
    values = {
        "frame": frame.index,
        "time": frame.timestamp,
        "box": result.box,
        "score": result.score,
        "state": result.state.value,
        "velocity": result.motion.velocity if result.motion else None,
    }
    return json.dumps(values).encode() + b"\n"


async def serve(capture: CaptureThread, tracker: SiamTracker, box: Box, port: int) -> int:
    """Track to the end of the source and stream the results; returns the number of frames handled."""
    broadcast, handled = Broadcast(), 0
    async with await asyncio.start_server(broadcast.serve, "127.0.0.1", port) as server:
        print(f"results on {server.sockets[0].getsockname()}", file=sys.stderr)
        async for frame, result in results(capture, tracker, box):
            handled += 1
            await broadcast.put(describe(frame, result))
        await broadcast.end()
        await asyncio.sleep(0)  # clients take the last line
    return handled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="0", help="camera index, file, URL or robot log (default: camera 0)")
    parser.add_argument("--box", type=box, required=True, metavar="X,Y,W,H", help="the target in the first frame")
    parser.add_argument("--port", type=int, default=0, help="of the local address to serve on (default: a free one)")
    parser.add_argument("--weights", default="compact", help="trained model (default: %(default)s)")
    options = parser.parse_args()

    def run() -> None:
        tracker = SiamTracker.from_pretrained(options.weights)
        with CaptureThread(options.video) as capture:
            handled = asyncio.run(serve(capture, tracker, options.box, options.port))
        print(f"{handled} frames handled, {capture.dropped} dropped", file=sys.stderr)

    return exit_code("asyncio_tracking", run)


if __name__ == "__main__":
    sys.exit(main())
