"""Fetch the benchmarks that their authors serve to anyone, without a form: LaSOT's test set and VOT 2013 to 2019.

Every archive is checked against its authors' checksum (LaSOT: MD5; VOT: SHA-1, by its description.json), an interrupted
transfer goes on where it stopped, and a sequence's folder appears in one step when it is complete, so that a second
call takes up what is missing. For the other benchmarks `download` says where they are to be had.

The addresses and LaSOT's checksum are those that others report (VOT's toolkit; scripts that fetch LaSOTTesting.zip).
They were never opened when this was written, as there was no network: the transfers were tried against a local server
in the same layout.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

from benchmarks.datasets import lasot, vot
from benchmarks.datasets.benchmark import Benchmark
from benchmarks.results import replace_text

LASOT_ADDRESS = "http://vision.cs.stonybrook.edu/~lasot/data/LaSOTTesting.zip"
LASOT_MD5 = "a9038384fd94d30e7ad6a1b7cf32ec73"
VOT_ADDRESSES = {
    f"vot{year}": f"https://data.votchallenge.net/vot{year}/{'dataset' if year < 2016 else 'main'}/description.json"
    for year in vot.YEARS
}
PAGES = {  # where the others are to be had by hand
    "OTB_ROOT": "http://cvlab.hanyang.ac.kr/tracker_benchmark/datasets.html (that server is down for long times)",
    "TLP_ROOT": "https://amoudgl.github.io/tlp/",
    "TINYTLP_ROOT": "https://amoudgl.github.io/tlp/",
    "TLPATTR_ROOT": "https://amoudgl.github.io/tlp/",
    "GOT10K_ROOT": "http://got-10k.aitestunion.com/downloads (after registration)",
    "UAV123_ROOT": "https://cemse.kaust.edu.sa/ivul/uav123",
    "VOT_ROOT": f"https://www.votchallenge.net, or one year's by {', '.join(VOT_ADDRESSES)}",
}
TIMEOUT = 60.0  # seconds without an answer
BLOCK = 1 << 20  # bytes
HASHES = {32: "md5", 40: "sha1", 64: "sha256"}  # by the number of hexadecimal digits

Announce = Callable[[str], None]


def download(
    benchmark: Benchmark, root: Path, address: str | None = None, announce: Announce = lambda message: None
) -> None:
    """Fetch a benchmark into `root`, or what of it is not there yet.

    Args:
        benchmark: which.
        root: its folder; made if it is missing.
        address: a mirror of the authors' archive (LaSOT) or description.json (VOT).
        announce: told what is being fetched.

    Raises:
        ValueError: the benchmark is not served to anyone, an address does not answer, or an archive is damaged.
    """
    if benchmark.name == "lasot":
        _fetch_lasot(root, address or LASOT_ADDRESS, announce)
    elif benchmark.name in VOT_ADDRESSES:
        _fetch_vot(root, address or VOT_ADDRESSES[benchmark.name], announce)
    else:
        page = PAGES.get(benchmark.variable)
        where = f"; it is to be had at {page}" if page else ""
        raise ValueError(f"{benchmark.title} cannot be fetched from here{where}")


def fetch(url: str, path: Path, checksum: str | None = None) -> None:
    """Fetch a file in one step, going on with what an interrupted transfer has left.

    Args:
        url: http or https.
        path: where to; a file that is there with the right checksum stays.
        checksum: MD5, SHA-1 or SHA-256 in hexadecimal digits.

    Raises:
        ValueError: no answer, an interruption (call again to go on), or another length or checksum than announced.
    """
    if path.exists() and (checksum is None or _digest(path, checksum) == checksum.lower()):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        total = _transfer(url, partial)
    except urllib.error.HTTPError as error:
        raise ValueError(f"{url}: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(f"{url}: {getattr(error, 'reason', None) or error}; call again to go on") from error
    if total is not None and (size := partial.stat().st_size) < total:
        raise ValueError(f"{url}: the connection closed after {size} of {total} bytes; call again to go on")
    if checksum is not None and (found := _digest(partial, checksum)) != checksum.lower():
        partial.unlink()
        raise ValueError(f"{url}: expected checksum {checksum.lower()}, found {found}; what came was thrown away")
    os.replace(partial, path)


def unpack(archive: Path, folder: Path, inner: str = "") -> None:
    """Unpack a zip file, or one folder in it, into a folder.

    Raises:
        ValueError: it is damaged, or has a file that would lie outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                if member.is_dir() or not member.filename.startswith(inner):
                    continue
                place = PurePosixPath(member.filename[len(inner) :])
                if place.is_absolute() or ".." in place.parts:
                    raise ValueError(f"{archive}: {member.filename} would lie outside of {folder}")
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, open(folder / place, "wb") as target:
                    shutil.copyfileobj(source, target, BLOCK)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive}: damaged zip file: {error}") from error


def _fetch_lasot(root: Path, address: str, announce: Announce) -> None:
    missing = [name for name in lasot.LASOT.names or () if not lasot.folder_of(root, name).is_dir()]
    if not missing:
        return
    archive = root / PurePosixPath(address).name
    announce(f"fetching {address}")
    fetch(address, archive, LASOT_MD5)
    with zipfile.ZipFile(archive) as packed:
        parents = {parent for member in packed.namelist() for parent in PurePosixPath(member).parents}
    inner = {parent.name: f"{parent}/" for parent in parents}
    for name in missing:
        if name not in inner:
            raise ValueError(f"{archive} has no {name}")
        announce(f"unpacking {name}")
        with _Complete(root / name) as folder:
            unpack(archive, folder, inner[name])
    archive.unlink()


def _fetch_vot(root: Path, address: str, announce: Announce) -> None:
    description = root / "description.json"
    fetch(address, description)
    try:
        entries = json.loads(description.read_text(encoding="utf-8"))["sequences"]
        names = [_plain(entry["name"]) for entry in entries]
        for name, entry in zip(names, entries, strict=True):
            if not (root / name).is_dir():
                announce(f"fetching {name}")
                _fetch_vot_sequence(root / name, entry, address)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{description} is not a description of VOT sequences: {error!r}; remove it") from error
    replace_text(root / "list.txt", "".join(f"{name}\n" for name in names))


def _fetch_vot_sequence(folder: Path, entry: dict[str, Any], address: str) -> None:
    parts = {"": entry["annotations"], "color": entry["channels"]["color"]}
    archives = [folder.with_name(f"{folder.name}{kind and '-'}{kind}.zip") for kind in parts]
    for archive, part in zip(archives, parts.values(), strict=True):
        fetch(urljoin(address, part["url"]), archive, part["checksum"])
    with _Complete(folder) as unfinished:
        for archive, kind in zip(archives, parts, strict=True):
            unpack(archive, unfinished / kind)
        properties = f"name={folder.name}\nfps={entry.get('fps', 30)}\nchannels.color=color/%08d.jpg\n"
        (unfinished / "sequence").write_text(properties, encoding="utf-8")
    for archive in archives:
        archive.unlink()


class _Complete:
    """A folder that gets its name when everything is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.unfinished = folder, folder.with_name(f".{folder.name}.partial")

    def __enter__(self) -> Path:
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir(parents=True)
        return self.unfinished

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            os.replace(self.unfinished, self.folder)
        else:
            shutil.rmtree(self.unfinished, ignore_errors=True)


def _transfer(url: str, partial: Path) -> int | None:
    """Append to a file what it lacks of an address; returns the whole length, where the server says it."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url}: not an address that begins with http:// or https://")
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = answer.status == 206
            length = answer.headers.get("Content-Length")
            with open(partial, "ab" if resumed else "wb") as file:
                shutil.copyfileobj(answer, file, BLOCK)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is lacking
            return have
        raise
    return None if length is None else int(length) + (have if resumed else 0)


def _digest(path: Path, like: str) -> str:
    """Checksum of a file, by the method that the number of digits of `like` tells."""
    if len(like) not in HASHES:
        raise ValueError(f"{like!r} is no MD5, SHA-1 or SHA-256 checksum")
    digest = hashlib.new(HASHES[len(like)], usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _plain(name: str) -> str:
    """Refuse a name that leads out of its folder."""
    if PurePosixPath(name).name != name or name.startswith("."):
        raise ValueError(f"not a name of a sequence: {name!r}")
    return name
