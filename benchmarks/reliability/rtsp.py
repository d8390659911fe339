"""A small RTSP 1.0 server (RFC 2326) on the loopback: JPEG in RTP (RFC 2435), interleaved with RTSP's own connection.

python -m benchmarks.reliability.rtsp PORT [--fps 25] [--still 75]

Every client is played the pictures of `benchmarks.reliability.servers` from the first. UDP is refused with 461, so that
a client asks for TCP.
"""

from __future__ import annotations

import argparse
import http.client
import re
import select
import socket
import socketserver
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import cv2

from benchmarks.reliability.servers import FPS, picture
from tracker.arguments import natural, positive

SIZE = (320, 240)
CLOCK = 90_000  # of RTP's timestamps for video, 1/s
JPEG = 26  # RTP's number for this payload
PART = 1400  # bytes of a picture in a packet
SOURCE = 0x51A17  # RTP's name for who sends; any number does
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
REASONS = {200: "OK", 455: "Method Not Valid in This State", 461: "Unsupported Transport", 501: "Not Implemented"}
DESCRIPTION = f"""v=0
o=- 0 0 IN IP4 127.0.0.1
s=live
t=0 0
m=video 0 RTP/AVP {JPEG}
c=IN IP4 0.0.0.0
a=rtpmap:{JPEG} JPEG/{CLOCK}
a=framerate:%g
a=control:video
""".replace("\n", "\r\n")


def dissect(data: bytes) -> tuple[int, int, bytes, bytes]:
    """Width, height, both quantisation tables (64 bytes each) and the scan of a JPEG file: all of it that RTP sends.

    Raises:
        ValueError: it is none that RFC 2435 calls type 1 (baseline, 8 bits, 4:2:0) with sides of 8, 16, … 2040 pixels.
    """
    tables: dict[int, bytes] = {}
    width, height, kind, position, marker = 0, 0, b"", 2, 0
    while marker != 0xFFDA:  # the header of the scan, which goes up to the last two bytes
        marker, length = struct.unpack_from(">HH", data, position)
        segment = data[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == 0xFFDB:
            tables |= {segment[at]: segment[at + 1 : at + 65] for at in range(0, len(segment), 65)}
        elif marker == 0xFFC0:
            height, width = struct.unpack_from(">HH", segment, 1)
            kind = segment[:1] + segment[7::3] + segment[8::3]  # bits, then each component's sampling and table
    if kind != b"\x08\x22\x11\x11\x00\x01\x01":
        raise ValueError("RTP takes baseline JPEG of 8 bits, 4:2:0, with a table for luma and one for chroma only")
    if width % 8 or height % 8 or max(width, height) > 2040:
        raise ValueError(f"RTP takes sides of 8, 16, … 2040 pixels, got {width}×{height}")
    return width, height, tables[0] + tables[1], data[position:-2]


def packets(data: bytes, timestamp: int, number: int) -> Iterator[bytes]:
    """The RTP packets of a JPEG file (`dissect`) with standard Huffman tables, as `cv2.imencode` writes it.

    They are numbered from `number` on, and all have the `timestamp`, in ticks of `CLOCK`.
    """
    width, height, tables, scan = dissect(data)
    for offset in range(0, len(scan), PART):
        last = offset + PART >= len(scan)
        rtp = struct.pack(">BBHII", 0x80, last << 7 | JPEG, number % 2**16, timestamp % 2**32, SOURCE)
        jpeg = struct.pack(">IBBBB", offset, 1, 255, width // 8, height // 8)  # type 1, tables in the first packet
        quantisation = b"" if offset else struct.pack(">HH", 0, len(tables)) + tables
        yield rtp + jpeg + quantisation + scan[offset : offset + PART]
        number += 1


class Server(socketserver.ThreadingTCPServer):
    """Listens on a port of the loopback, for `fps` pictures a second, the first `still` of which are alike."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, fps: float = FPS, still: int = 0) -> None:
        self.fps, self.still = fps, still
        super().__init__(("127.0.0.1", port), _Client)


class _Client(socketserver.StreamRequestHandler):
    """One client: its requests are answered between one picture and the next."""

    rbufsize = 0  # what is not read yet must be there for select()
    server: Server

    def setup(self) -> None:
        super().setup()
        self._channel: int | None = None  # of RTP within the connection, once it is set up
        self._began: float | None = None  # of time.monotonic(), when it was told to play
        self._index = self._number = 0  # of the next picture and packet

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # the client has left, or it speaks no RTSP
            going = True
            while going:
                wait = None
                if self._began is not None:
                    wait = max(self._began + self._index / self.server.fps - time.monotonic(), 0.0)
                if select.select([self.connection], [], [], wait)[0]:
                    going = self._answer()
                else:
                    self._send_picture()

    def _send_picture(self) -> None:
        image = picture(max(self._index - self.server.still, 0), SIZE)
        data = cv2.imencode(".jpg", image)[1].tobytes()
        for packet in packets(data, round(self._index * CLOCK / self.server.fps), self._number):
            self.wfile.write(struct.pack(">cBH", b"$", self._channel, len(packet)) + packet)
            self._number += 1
        self._index += 1

    def _answer(self) -> bool:
        """Answer one request; False if it was the last."""
        if self.connection.recv(1, socket.MSG_PEEK) == b"$":  # RTCP: how well the client receives
            _, length = struct.unpack(">HH", self.connection.recv(4, socket.MSG_WAITALL))
            self.connection.recv(length, socket.MSG_WAITALL)
            return True
        method, url, _ = self.rfile.readline().decode().split()  # ValueError at the end of the connection
        request = http.client.parse_headers(self.rfile)
        sequence, transport = request.get("CSeq", "0"), request.get("Transport", "")
        match method:
            case "OPTIONS":
                self._reply(sequence, Public=METHODS)
            case "DESCRIBE":
                self._reply(sequence, DESCRIPTION % self.server.fps, Content_Base=f"{url}/")
            case "SETUP" if found := re.search(r"RTP/AVP/TCP.*interleaved=(\d+)", transport):
                self._channel = int(found[1])
                self._reply(sequence, Transport=transport, Session="1")
            case "SETUP":
                self._reply(sequence, status=461)
            case "PLAY" if self._channel is not None:
                self._began = time.monotonic()
                self._reply(sequence, Session="1")
            case "PLAY":
                self._reply(sequence, status=455)
            case "GET_PARAMETER" | "TEARDOWN":
                self._reply(sequence, Session="1")
            case _:
                self._reply(sequence, status=501)
        return method != "TEARDOWN"

    def _reply(self, sequence: str, body: str = "", status: int = 200, **headers: str) -> None:
        if body:
            headers |= {"Content_Type": "application/sdp", "Content_Length": str(len(body))}
        lines = [f"RTSP/1.0 {status} {REASONS[status]}", f"CSeq: {sequence}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.wfile.write("\r\n".join([*lines, "", body]).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.rtsp", description=__doc__)
    parser.add_argument("port", type=positive)
    parser.add_argument("--fps", type=positive, default=FPS)
    parser.add_argument(
        "--still", type=natural, default=0, metavar="N", help="pictures for which the disc stands first"
    )
    options = parser.parse_args(argv)
    with Server(options.port, options.fps, options.still) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
