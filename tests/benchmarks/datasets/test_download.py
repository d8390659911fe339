"""Fetching: checked, resumed and complete or not there, against a server on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.datasets import BENCHMARKS, download, lasot
from benchmarks.datasets.download import fetch, unpack


class Server:
    """Serves files from memory, with ranges; may close a connection early, or know no ranges."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.cut: int | None = None  # bytes after which the connection closes, once
        self.ranges = True
        self.address = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.requests.append((handler.path, asked))
        data = self.files.get(handler.path)
        if data is None:
            handler.send_error(404)
            return
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.ranges else 0
        if start >= len(data) and asked and self.ranges:
            handler.send_error(416)
            return
        handler.send_response(206 if asked and self.ranges else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        stop, self.cut = len(data) if self.cut is None else start + self.cut, None
        handler.wfile.write(data[start:stop])
        handler.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    served.address = f"http://127.0.0.1:{listener.server_port}"
    yield served
    listener.shutdown()
    listener.server_close()
    thread.join()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# ---------------------------------------------------------------- one file


DATA = bytes(range(256)) * 4000


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256"])
def test_a_file_is_checked_and_not_fetched_again(server: Server, tmp_path: Path, method: str) -> None:
    server.files["/a.bin"] = DATA
    checksum = hashlib.new(method, DATA).hexdigest()
    for _ in range(2):
        fetch(f"{server.address}/a.bin", tmp_path / "a.bin", checksum.upper())
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert len(server.requests) == 1


def test_another_checksum_throws_the_file_away(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = DATA
    with pytest.raises(ValueError, match=r"a\.bin: expected checksum 0+, found [0-9a-f]+; what came was thrown away"):
        fetch(f"{server.address}/a.bin", tmp_path / "a.bin", "0" * 32)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no MD5, SHA-1 or SHA-256"):
        fetch(f"{server.address}/a.bin", tmp_path / "a.bin", "0")


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_transfer_goes_on(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.files["/a.bin"], server.cut, server.ranges = DATA, 300_000, ranges
    url, checksum = f"{server.address}/a.bin", hashlib.md5(DATA).hexdigest()
    with pytest.raises(ValueError, match=r"closed after 300000 of 1024000 bytes; call again to go on"):
        fetch(url, tmp_path / "a.bin", checksum)
    assert not (tmp_path / "a.bin").exists(), "nothing that looks complete"
    fetch(url, tmp_path / "a.bin", checksum)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert server.requests[1] == ("/a.bin", "bytes=300000-")


def test_a_transfer_that_was_complete_but_for_its_name_is_kept(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = DATA
    (tmp_path / "a.bin.partial").write_bytes(DATA)
    fetch(f"{server.address}/a.bin", tmp_path / "a.bin", hashlib.md5(DATA).hexdigest())
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_no_answer_is_an_error_that_names_the_address(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"/none\.bin: the server says 404"):
        fetch(f"{server.address}/none.bin", tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:1/a: .*refused; call again to go on"):
        fetch("http://127.0.0.1:1/a", tmp_path / "a.bin")
    with pytest.raises(ValueError, match="not an address"):
        fetch("file:///etc/hostname", tmp_path / "a.bin")


def test_an_archive_stays_within_its_folder(tmp_path: Path) -> None:
    for name in ("../escaped.txt", "/escaped.txt"):
        (tmp_path / "a.zip").write_bytes(zipped({name: b"x"}))
        with pytest.raises(ValueError, match="would lie outside"):
            unpack(tmp_path / "a.zip", tmp_path / "inside")
    (tmp_path / "a.zip").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="damaged zip file"):
        unpack(tmp_path / "a.zip", tmp_path / "inside")
    assert not (tmp_path / "escaped.txt").exists()


# ---------------------------------------------------------------- benchmarks


def serve_vot(server: Server, names: tuple[str, ...] = ("bag", "ball")) -> str:
    """VOT's layout: a description, annotations beside it, channels elsewhere; returns its address."""
    entries = []
    for name in names:
        annotations = zipped({"groundtruth.txt": b"1,2,30,40\n2,2,30,40\n", "occlusion.tag": b"0\n1\n"})
        images = zipped({f"{number:08d}.jpg": b"" for number in (1, 2)})
        server.files[f"/vot2018/main/{name}.zip"] = annotations
        server.files[f"/sequences/{name}.zip"] = images
        checksums = [hashlib.sha1(data).hexdigest() for data in (annotations, images)]
        channel = {"url": f"../../sequences/{name}.zip", "checksum": checksums[1], "pattern": "%08d.jpg"}
        entry = {"name": name, "fps": 30, "annotations": {"url": f"{name}.zip", "checksum": checksums[0]}}
        entries.append({**entry, "channels": {"color": channel}})
    server.files["/vot2018/main/description.json"] = json.dumps({"name": "VOT", "sequences": entries}).encode()
    return f"{server.address}/vot2018/main/description.json"


def test_vot_is_fetched_and_can_be_read(server: Server, tmp_path: Path) -> None:
    benchmark, told = BENCHMARKS["vot2018"], []
    download.download(benchmark, tmp_path, serve_vot(server), told.append)
    found = benchmark.find(tmp_path)
    assert found.problems == []
    assert {each.name: (len(each), each.fps) for each in found.sequences} == {"bag": (2, 30), "ball": (2, 30)}
    assert told == ["fetching bag", "fetching ball"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "ball", "description.json", "list.txt"]
    before = len(server.requests)
    download.download(benchmark, tmp_path, serve_vot(server))
    assert len(server.requests) == before, "nothing is fetched twice"


def test_an_interrupted_download_goes_on_with_what_is_missing(server: Server, tmp_path: Path) -> None:
    benchmark, address = BENCHMARKS["vot2018"], serve_vot(server)
    whole = server.files.pop("/sequences/ball.zip")
    with pytest.raises(ValueError, match=r"ball\.zip: the server says 404"):
        download.download(benchmark, tmp_path, address)
    assert (tmp_path / "bag").is_dir()
    assert not (tmp_path / "ball").exists()
    assert not (tmp_path / "list.txt").exists(), "only a complete set has its list"
    server.files["/sequences/ball.zip"] = whole
    before = len(server.requests)
    download.download(benchmark, tmp_path, address)
    assert [path for path, _ in server.requests[before:]] == ["/sequences/ball.zip"]
    assert len(benchmark.find(tmp_path).sequences) == 2


def test_a_description_of_something_else_is_refused(server: Server, tmp_path: Path) -> None:
    for text in ("{}", "nonsense", '{"sequences": [{"name": "bag"}]}'):
        server.files["/description.json"] = text.encode()
        with pytest.raises(ValueError, match=r"description\.json is not a description of VOT sequences"):
            download.download(BENCHMARKS["vot2018"], tmp_path, f"{server.address}/description.json")
        (tmp_path / "description.json").unlink()
    server.files["/description.json"] = b'{"sequences": [{"name": "../bag"}]}'
    with pytest.raises(ValueError, match="not a name of a sequence"):
        download.download(BENCHMARKS["vot2018"], tmp_path, f"{server.address}/description.json")


def test_lasot_is_fetched_and_can_be_read(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = dataclasses.replace(lasot.LASOT, names=("airplane-1", "bird-2"))
    members = {"LaSOTTesting/testing_set.txt": b"airplane-1\nbird-2\n"}
    for name in benchmark.names or ():
        inside = {"groundtruth.txt": b"1,2,3,4\n", "full_occlusion.txt": b"0", "out_of_view.txt": b"0"}
        members |= {f"LaSOTTesting/{name}/{file}": data for file, data in inside.items()}
        members[f"LaSOTTesting/{name}/img/00000001.jpg"] = b""
    server.files["/LaSOTTesting.zip"] = zipped(members)
    monkeypatch.setattr(lasot, "LASOT", benchmark)
    address = f"{server.address}/LaSOTTesting.zip"
    with pytest.raises(ValueError, match="expected checksum a9038384fd94d30e7ad6a1b7cf32ec73"):
        download.download(benchmark, tmp_path, address)
    monkeypatch.setattr(download, "LASOT_MD5", hashlib.md5(server.files["/LaSOTTesting.zip"]).hexdigest())
    download.download(benchmark, tmp_path, address)
    assert benchmark.find(tmp_path).title == "LaSOT"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["airplane-1", "bird-2"]
    before = len(server.requests)
    download.download(benchmark, tmp_path, address)
    assert len(server.requests) == before


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in ("lasot", *download.VOT_ADDRESSES)])
def test_the_others_say_where_they_are_to_be_had(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be fetched from here") as error:
        download.download(BENCHMARKS[name], tmp_path)
    assert ("http" in str(error.value)) == (name != "folder")
