"""Fetch the data sets of labelled images that anyone may fetch, each file checked by its checksum.

MNIST's and Fashion-MNIST's checksums are those that torchvision checks, Omniglot's too; LFW's is scikit-learn's. The
AT&T laboratories publish none. There was no network when this was written: the transfers were tried against a local
server.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.datasets.download import fetch, unpack

Announce = Callable[[str], None]
IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class Source:
    """Where a data set is to be had.

    Attributes:
        address: what the files' names follow.
        files: name → MD5 or SHA-256; ``None``: not published.
        packed: the files are archives, to be unpacked and removed.
    """

    address: str
    files: dict[str, str | None]
    packed: bool = True


SOURCES = {
    "mnist": Source(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        dict(
            zip(
                IDX,
                (
                    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    "d53e105ee54ea40749a09fcbcd1e9432",
                    "9fb629c4189551a2d022fa330f9573f3",
                    "ec29112dd5afa0611ce80d1b7f02629c",
                ),
                strict=True,
            )
        ),
        packed=False,
    ),
    "fashion-mnist": Source(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        dict(
            zip(
                IDX,
                (
                    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    "25c81989df183df01b3e8a0aad5dffbe",
                    "bef4ecab320f06d8554ea6380940ec79",
                    "bb300cfdad3c16e7a12a480ee83cd310",
                ),
                strict=True,
            )
        ),
        packed=False,
    ),
    "omniglot": Source(
        "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",
        {
            "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
            "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
        },
    ),
    "orl": Source("https://www.cl.cam.ac.uk/research/dtg/attarchive/pub/data/", {"att_faces.zip": None}),
    # the authors' own server is gone; this is the copy that scikit-learn fetches
    "lfw": Source(
        "https://ndownloader.figshare.com/files/",
        {"5976018": "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0"},
    ),
}


def download(name: str, root: Path, announce: Announce = lambda words: None, address: str | None = None) -> None:
    """Fetch a data set into `root`; files that are there with the right checksum stay.

    Args:
        name: of the data set, one of `SOURCES`.
        root: its folder; made if it is missing.
        announce: told what is being fetched.
        address: a mirror.

    Raises:
        ValueError: it is not to be had by anyone, an address does not answer, or a file is damaged.
    """
    if name not in SOURCES:
        raise ValueError(f"{name} cannot be fetched from here; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    for file, checksum in source.files.items():
        marker = root / f".{file}.unpacked"
        if source.packed and marker.exists():
            continue
        announce(f"fetching {file}")
        fetch((address or source.address) + file, root / file, checksum)
        if source.packed:
            _unpack(root / file, root)
            (root / file).unlink()
            marker.touch()


def _unpack(archive: Path, root: Path) -> None:
    """Unpack a zip file, or LFW's tar file without its outer folder."""
    if not tarfile.is_tarfile(archive):
        unpack(archive, root)
        return
    if not hasattr(tarfile, "data_filter"):  # what refuses members that would lie outside
        version = ".".join(map(str, sys.version_info[:3]))
        raise ValueError(f"Python {version} cannot unpack {archive} safely; unpack it by hand")
    whole = root / ".unpacking"
    shutil.rmtree(whole, ignore_errors=True)
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(whole, filter="data")
    except tarfile.TarError as error:
        raise ValueError(f"{archive}: damaged archive: {error}") from error
    for folder in sorted(whole.glob("*/*")):
        if not (root / folder.name).exists():
            shutil.move(str(folder), root / folder.name)
    shutil.rmtree(whole)
