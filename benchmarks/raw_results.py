"""Result files and ground truth as other toolkits leave them: folders and archives of text files, read fast.

Results are ``<sequence>.txt`` in a folder or a zip; ground truth is ``<sequence>/groundtruth_rect.txt`` in a folder or
a zip, or the JSON of old toolkits (name → ``gt_rect``), packed or not. A line is ``x,y,w,h``, counted from 1, with
commas, tabs, semicolons or spaces between. Everything returned here is 0-based.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.plain_numbers import parse_plain
from benchmarks.sequence import parse_lines
from tracker.box import from_otb

Floats = NDArray[np.float64]

TRUTH_FILE = re.compile(
    r"(?:(?:.*/)?(?P<folder>[^/]+)/)?groundtruth(?:_rect)?(?:\.(?P<target>\d+))?\.txt", re.IGNORECASE
)
TOGETHER = 8  # files parsed in one go
LARGEST = 2**28  # bytes that an archive may unpack to; all of OTB-100's boxes take 2 million
SIX_COLUMNS = 6  # frame, x, y, w, h, isLost: TLP


def read_results(path: Path) -> dict[str, Floats]:
    """Boxes of one tracker: name of each file → (N, 4), 0-based; an empty file has no rows.

    Files whose names end in ``_time.txt`` are passed over, and so are subfolders of a folder.

    Raises:
        ValueError: `path` is neither a folder nor a zip that can be read, it holds no results or two files of one name,
            or a line is not four finite numbers; the message names file and line.
    """
    files: dict[str, tuple[str, bytes]] = {}
    for name, content in _text_files(path, _is_result, deep=False):
        sequence = name.rpartition("/")[2].removesuffix(".txt")
        if sequence in files:
            raise ValueError(f"{path}: two files are called {sequence}.txt")
        files[sequence] = f"{path}/{name}", content
    if not files:
        raise ValueError(f"{path}: no results, expected a folder or a zip of <sequence>.txt")
    return dict(zip(files, _parse_files(list(files.values())), strict=True))


def read_groundtruth(path: Path, first_pixel: float = 1) -> dict[str, Floats]:
    """Ground truth: name of each sequence → (N, 4), 0-based, NaN where the target is absent.

    Several targets in one folder, ``groundtruth_rect.1.txt`` and so on, are called ``<folder>.1``; a file without a box
    is passed over, as it stands in for none (Human4). Rows of six columns are TLP's ``frame,x,y,w,h,isLost``.

    Args:
        path: folder, zip, ``.json`` or ``.json.gz``.
        first_pixel: coordinate of the leftmost and topmost pixel in the files.

    Raises:
        ValueError: `path` cannot be read or has no ground truth, or a line is not a box; the message names it.
    """
    if path.name.endswith((".json", ".json.gz")):
        return {name: _zero_based(boxes, first_pixel) for name, boxes in _read_annotations(path).items()}
    found: dict[str, Floats] = {}
    for file, content in _text_files(path, _is_truth, deep=True):
        match = TRUTH_FILE.fullmatch(file)
        if match is None or not content.strip():
            continue
        name = (match["folder"] or path.stem) + (f".{match['target']}" if match["target"] else "")
        if name in found:
            raise ValueError(f"{path}: two sequences are called {name}")
        found[name] = _zero_based(_boxes_of(content, f"{path}/{file}"), first_pixel)
    if not found:
        raise ValueError(f"{path}: no ground truth, expected <sequence>/groundtruth_rect.txt in a folder or a zip")
    return found


class Matched(NamedTuple):
    """Which of the names found belongs to which of those wanted.

    Attributes:
        found: wanted name → name found, in the order of the wanted ones.
        missing: wanted names that nothing belongs to.
        unknown: names found that belong to nothing.
    """

    found: dict[str, str]
    missing: list[str]
    unknown: list[str]


def match_names(names: Iterable[str], wanted: Iterable[str], aliases: Mapping[str, str] | None = None) -> Matched:
    """Match names without regard to case, ``-``, ``_``, ``.`` and spaces: ``jogging_1`` is Jogging.1.

    Args:
        names: as files or folders are called.
        wanted: as the benchmark calls its sequences.
        aliases: other names → wanted names, e.g. Human4-2 → Human4.

    Raises:
        ValueError: two names belong to one sequence.
    """
    wanted = list(wanted)
    known = {_key(name): name for name in wanted}
    known |= {_key(alias): name for alias, name in (aliases or {}).items() if name in wanted}
    found: dict[str, str] = {}
    unknown = []
    for name in names:
        sequence = known.get(_key(name))
        if sequence is None:
            unknown.append(name)
        elif sequence in found:
            raise ValueError(f"{found[sequence]} and {name} could both be {sequence}; remove one of them")
        else:
            found[sequence] = name
    ordered = {name: found[name] for name in wanted if name in found}
    return Matched(ordered, [name for name in wanted if name not in found], unknown)


def parse_rows(content: bytes, source: str, columns: int = 4) -> Floats:
    """Numbers of a text, (N, columns).

    Raises:
        ValueError: a line that is not so many numbers; the message names `source` and the line.
    """
    content = _normalised(content)
    if not content:
        return np.empty((0, columns))
    plain = parse_plain(content, columns)
    return _parse_lines(content, source, columns) if plain is None else plain


def _normalised(content: bytes) -> bytes:
    """Without a byte order mark, carriage returns, and line ends after the last row."""
    content = content.removeprefix(b"\xef\xbb\xbf").rstrip()
    return content.replace(b"\r\n", b"\n") if b"\r" in content else content


def _parse_files(files: list[tuple[str, bytes]]) -> list[Floats]:
    """0-based boxes of result files, each a source and its content.

    Several at a time, since numpy's calls cost more than a short text, but no more than the processor's cache holds.
    """
    found: list[Floats] = []
    for begin in range(0, len(files), TOGETHER):
        some = files[begin : begin + TOGETHER]
        texts = [_normalised(content) for _, content in some]
        together = parse_plain(b"\n".join(texts), columns=4) if all(texts) else None
        if together is None:
            found += [_finite(from_otb(parse_rows(content, source)), source) for source, content in some]
        else:
            found += np.split(from_otb(together), np.cumsum([text.count(b"\n") + 1 for text in texts])[:-1])
    return found


def _finite(boxes: Floats, source: str) -> Floats:
    finite = np.isfinite(boxes).all(1)
    if not finite.all():
        line = int(np.argmin(finite)) + 1
        raise ValueError(f"{source}: line {line} is not four finite numbers; a frame without an answer is 0,0,0,0")
    return boxes


def _parse_lines(content: bytes, source: str, columns: int) -> Floats:
    return parse_lines(content.decode("utf-8", "replace").splitlines(), columns, source)


def _boxes_of(content: bytes, source: str) -> Floats:
    """(N, 4) ground truth as it stands in a text file, NaN where the target is absent."""
    first = content.lstrip().splitlines()[0].decode("utf-8", "replace")
    if len(re.split(r"[,;\s]+", first.strip(" ,;\t"))) != SIX_COLUMNS:
        return parse_rows(content, source)
    rows = parse_rows(content, source, SIX_COLUMNS)
    rows[rows[:, 5] != 0] = np.nan
    return rows[:, 1:5]


def _zero_based(boxes: Floats, first_pixel: float) -> Floats:
    return boxes - (first_pixel, first_pixel, 0, 0)


def _read_annotations(path: Path) -> dict[str, Floats]:
    try:
        content = path.read_bytes()
        annotations = json.loads(_unpacked(content) if path.name.endswith(".gz") else content)
        return {name: np.array(each["gt_rect"], np.float64).reshape(-1, 4) for name, each in annotations.items()}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (AttributeError, EOFError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected JSON of name → gt_rect with rows of four numbers: {error}") from error


def _unpacked(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(LARGEST + 1)
    if len(unpacked) > LARGEST:
        raise ValueError(f"it unpacks to more than {LARGEST} bytes")
    return unpacked


def _text_files(path: Path, wanted: Callable[[str], bool], deep: bool) -> Iterator[tuple[str, bytes]]:
    """Name and content of the wanted files of a zip or a folder (`deep`: and of its subfolders), in order.

    Names are as in a zip: what is in a subfolder is ``subfolder/name``. Hidden files are passed over.
    """
    try:
        if path.is_dir():
            names = os.listdir(path)
            if deep:
                names += [f"{file.parent.name}/{file.name}" for file in path.glob("*/*.txt")]
            for name in sorted(filter(wanted, names)):
                if not _is_hidden(name):
                    yield name, (path / name).read_bytes()
            return
        with zipfile.ZipFile(path) as archive:
            names = [name for name in sorted(filter(wanted, archive.namelist())) if not _is_hidden(name)]
            if sum(archive.getinfo(name).file_size for name in names) > LARGEST:  # which bounds what `read` gives
                raise ValueError(f"{path}: unpacks to more than {LARGEST} bytes")
            for name in names:
                yield name, archive.read(name)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:  # damaged, or encrypted
        raise ValueError(f"{path}: expected a folder or a zip: {error}") from error


def _is_result(name: str) -> bool:
    return name.endswith(".txt") and not name.endswith("_time.txt")


def _is_truth(name: str) -> bool:
    return TRUTH_FILE.fullmatch(name) is not None


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX/")) or "/." in name


def _key(name: str) -> str:
    return re.sub(r"[-_. ]", "", name).lower()
