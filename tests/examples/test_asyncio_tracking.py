from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from tracker import TrackResult, TrackState
from tracker.capture import CaptureThread
from tracker.frame import Frame

IMAGE = np.zeros((40, 100, 3), np.uint8)


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("asyncio_tracking")


class Follower:
    """SiamTracker's interface; notes in which threads it was called, and whether two calls overlapped."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.busy = threading.Lock()

    def init(self, image, box, timestamp=None):
        self._box = box
        return self.update(image, timestamp)

    def update(self, image, timestamp=None):
        assert self.busy.acquire(blocking=False)
        self.threads.add(threading.get_ident())
        time.sleep(0.002)
        self.busy.release()
        return TrackResult(self._box, 0.5, TrackState.TRACKING, timestamp=timestamp)


def test_the_event_loop_stays_free(example: ModuleType) -> None:
    follower, ticks = Follower(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def run() -> list[int]:
        ticking = asyncio.create_task(tick())
        with CaptureThread((Frame(index, index * 0.01, IMAGE) for index in range(10)), paced=True) as capture:
            seen = [frame.index async for frame, _ in example.results(capture, follower, (1, 2, 3, 4))]
        ticking.cancel()
        assert len(seen) + capture.dropped == 10
        return seen

    seen = asyncio.run(run())
    assert seen == sorted(set(seen))
    assert ticks > len(seen)
    assert threading.get_ident() not in follower.threads


def test_clients_get_lines_of_json_until_the_end(example: ModuleType, tmp_path: Path, capsys) -> None:
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"{index}.png"), IMAGE)

    async def client() -> list[dict]:
        while not (where := capsys.readouterr().err):
            await asyncio.sleep(0.005)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(where.rpartition(",")[2].strip(" )\n")))
        lines = [json.loads(line) async for line in reader]
        writer.close()
        return lines

    async def run() -> tuple[int, list[dict]]:
        with CaptureThread(tmp_path) as capture:
            connected = asyncio.create_task(client())
            handled = await example.serve(capture, Follower(), (1, 2, 3, 4), 0)
            return handled, await asyncio.wait_for(connected, 30)

    handled, lines = asyncio.run(run())
    assert 0 < len(lines) <= handled
    frames = [line["frame"] for line in lines]
    assert frames == sorted(set(frames))
    assert lines[0] == {
        "frame": frames[0],
        "time": pytest.approx(frames[0] / 25),
        "box": [1, 2, 3, 4],
        "score": 0.5,
        "state": "tracking",
        "velocity": None,
    }


def test_a_client_that_leaves_does_no_harm(example: ModuleType) -> None:
    async def run() -> None:
        broadcast = example.Broadcast()
        server = await asyncio.start_server(broadcast.serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await asyncio.sleep(0.01)
            await broadcast.put(b"one\n")
            assert await reader.readline() == b"one\n"
            writer.transport.abort()
            for _ in range(20):
                await broadcast.put(b"x" * 100_000 + b"\n")
                await asyncio.sleep(0.001)
            await broadcast.end()

    asyncio.run(run())
