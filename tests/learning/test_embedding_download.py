"""Downloads from a server of this test's own."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from learning import embedding_download
from learning.embedding_download import SOURCES, Source, download


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address that it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()
    serving = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{serving.server_address[1]}/"
    serving.shutdown()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_files_are_checked_and_kept(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = server
    (folder / "a.gz").write_bytes(b"digits")
    monkeypatch.setitem(SOURCES, "mnist", Source(address, {"a.gz": _md5(b"digits")}, packed=False))
    said: list[str] = []
    download("mnist", tmp_path / "data", said.append)
    assert (tmp_path / "data" / "a.gz").read_bytes() == b"digits"
    assert said == ["fetching a.gz"]
    (folder / "a.gz").unlink()
    download("mnist", tmp_path / "data")  # it is there
    monkeypatch.setitem(SOURCES, "mnist", Source(address, {"b.gz": _md5(b"digits")}, packed=False))
    (folder / "b.gz").write_bytes(b"damage")
    with pytest.raises(ValueError, match="expected checksum"):
        download("mnist", tmp_path / "data")


def test_archives_are_unpacked_once(server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, address = server
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        packed.writestr("s1/1.pgm", b"face")
    monkeypatch.setitem(SOURCES, "orl", Source(address, {"a.zip": None}))
    download("orl", tmp_path / "data")
    assert (tmp_path / "data" / "s1" / "1.pgm").read_bytes() == b"face"
    assert not (tmp_path / "data" / "a.zip").exists()
    (folder / "a.zip").unlink()
    download("orl", tmp_path / "data")


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python cannot unpack tar files safely")
def test_a_tar_file_loses_its_outer_folder_and_cannot_leave_its_place(
    server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = server
    for file, member in (("1", "lfw/Ann_A/Ann_A_0001.jpg"), ("2", "../out.jpg")):
        with tarfile.open(folder / file, "w:gz") as packed:
            entry = tarfile.TarInfo(member)
            entry.size = 4
            packed.addfile(entry, io.BytesIO(b"face"))
    monkeypatch.setitem(SOURCES, "lfw", Source(address, {"1": None}))
    download("lfw", tmp_path / "data")
    assert (tmp_path / "data" / "Ann_A" / "Ann_A_0001.jpg").read_bytes() == b"face"
    monkeypatch.setitem(SOURCES, "lfw", Source(address, {"2": None}))
    with pytest.raises(ValueError, match="damaged archive"):
        download("lfw", tmp_path / "data")
    assert not (tmp_path / "out.jpg").exists()


def test_what_nobody_serves_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tlp cannot be fetched from here; there are mnist"):
        download("tlp", tmp_path)


def test_every_checksum_is_one() -> None:
    found = [each for source in embedding_download.SOURCES.values() for each in source.files.values() if each]
    assert {len(each) for each in found} <= {32, 64}
    assert len(set(found)) == len(found) == 11
