"""The RTSP server against those who know better: FFmpeg as its client, OpenCV as the decoder, the RFCs' numbers."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from benchmarks.reliability import rtsp
from benchmarks.reliability.rtsp import Server, dissect, packets
from tracker.sources import SourceError, open_source


def scenery(index: int = 0, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """Smooth, so that no decoder's way to enlarge the colours shows, with noise in its light; brighter every time."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    noise = np.random.default_rng(index).normal(0, 6, rows.shape)
    channels = [40 + columns / 4 + noise, 70 + rows / 4 + noise, 100 + (columns + rows) / 8 + noise]
    return np.clip(np.dstack(channels) + 2 * index, 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


@contextmanager
def listening(fps: float = 25.0) -> Iterator[int]:
    """The port of a server in a thread."""
    with Server(0, fps) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_ffmpeg_decodes_what_opencv_decodes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rtsp, "picture", scenery)
    with listening() as port:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 10_000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 10_000]
        capture = cv2.VideoCapture(f"rtsp://127.0.0.1:{port}/live", cv2.CAP_FFMPEG, limits)
        got = [capture.read()[1] for _ in range(3)]
        times = [capture.get(cv2.CAP_PROP_POS_MSEC) for _ in range(5) if capture.grab()]
        capture.release()
    wanted = [cv2.imdecode(np.frombuffer(jpeg(scenery(index)), np.uint8), cv2.IMREAD_COLOR) for index in range(3)]
    for image, same in zip(got, wanted, strict=True):
        assert np.abs(image.astype(int) - same).max() <= 4
    assert np.abs(got[0].astype(int) - wanted[2]).max() > 4  # pictures differ by more than decoders do
    assert np.diff(times) == pytest.approx(1000 / 25)


def test_packets_are_those_of_the_rfcs():
    data = jpeg(scenery())
    found = list(packets(data, 2**32 + 3600, 2**16 - 1))
    assert len(found) > 2
    assert {packet[0] for packet in found} == {0x80}
    assert [packet[1] for packet in found] == [26] * (len(found) - 1) + [128 + 26]  # the marker ends the picture
    assert [int.from_bytes(packet[2:4], "big") for packet in found] == [65535, *range(len(found) - 1)]
    assert {int.from_bytes(packet[4:8], "big") for packet in found} == {3600}
    assert {packet[16:20] for packet in found} == {bytes([1, 255, 320 // 8, 240 // 8])}
    tables, parts = found[0][24 : 24 + 128], [found[0][24 + 128 :], *(packet[20:] for packet in found[1:])]
    assert found[0][20:24] == b"\0\0\0\x80"
    assert tables[:64] in data
    assert tables[64:] in data
    assert data.endswith(b"".join(parts) + b"\xff\xd9")
    offsets = [int.from_bytes(packet[12:16], "big") for packet in found]
    assert offsets == [0, *itertools.accumulate(map(len, parts[:-1]))]


@pytest.mark.parametrize(
    "data",
    [
        jpeg(scenery(size=(324, 240))),
        jpeg(scenery(size=(2048, 16))),
        jpeg(scenery()[..., 0]),
        jpeg(scenery(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        jpeg(scenery(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    ],
)
def test_what_rtp_cannot_send_is_refused(data: bytes):
    with pytest.raises(ValueError, match="RTP takes"):
        dissect(data)


def test_requests_are_answered_as_their_state_allows():
    with listening() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answers = connection.makefile("rb")

        def ask(request: str, header: str = "") -> str:
            connection.sendall(f"{request} rtsp://127.0.0.1/live RTSP/1.0\r\nCSeq: 7\r\n{header}\r\n".encode())
            lines = list(iter(answers.readline, b"\r\n"))
            assert b"CSeq: 7\r\n" in lines
            return lines[0].decode().split(" ", 2)[1]

        assert ask("OPTIONS") == "200"
        assert ask("RECORD") == "501"
        assert ask("PLAY") == "455"
        assert ask("SETUP", "Transport: RTP/AVP/UDP;unicast;client_port=5000-5001\r\n") == "461"
        assert ask("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=4-5\r\n") == "200"
        assert ask("PLAY") == "200"
        assert answers.read(2) == b"$\x04"  # a packet, on the channel that was asked for
        connection.sendall(b"$\x05\x00\x04abcd")  # a report of what was received, which is not answered


def test_the_end_is_confirmed():
    with listening() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"TEARDOWN rtsp://127.0.0.1/live RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n")  # up to the end


def test_a_server_that_plays_and_then_falls_silent_is_an_error():
    with listening(fps=0.001) as port, open_source(f"rtsp://127.0.0.1:{port}/live", timeout=0.5) as source:
        assert next(source).image.shape == (240, 320, 3)
        with pytest.raises(SourceError, match=r"no frame for 0\.5 s from rtsp:"):
            next(source)
