"""Readers of annotated sets of video (LaSOT, TrackingNet, ImageNet VID, MOTChallenge) → `learning.footage.Footage`.

They are too large to be held whole: `stride` takes one frame in so many, `limit` so many videos, and `longest_side`
makes images smaller. As in `learning.readers`, boxes become ours (0-based, continuous) here and nowhere else.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import lasot
from benchmarks.datasets.reading import frames, numbers, require_frames
from benchmarks.frames import Frames
from benchmarks.mot import read_rows
from learning.footage import Footage
from learning.readers import (
    GOT10K_STRIDE,
    LONGEST_SIDE,
    SMALLEST_MOVING,
    SharedImage,
    add_sequence,
    check_sampling,
    existing_folder,
    not_empty,
    read_image,
    spread,
)
from tracker.box import from_corners

CORNERS = ("xmin", "ymin", "xmax", "ymax")
STRIDE = GOT10K_STRIDE  # three frames a second of most videos


def read_lasot(
    root: str | Path,
    longest_side: int = LONGEST_SIDE,
    stride: int = STRIDE,
    limit: int | None = None,
    exclude: Iterable[str] = lasot.LASOT.names or (),
) -> Footage:
    """LaSOT: ``<root>/airplane/airplane-1/img/00000001.jpg …, groundtruth.txt, full_occlusion.txt, out_of_view.txt``.

    Boxes count pixels from 1 (see `benchmarks.datasets.lasot`). Frames where the target is fully covered or out of view
    are left out. The kind of target is the tracks' category.

    Args:
        root: the folder with the kinds' folders, or with the sequences themselves.
        longest_side: longer images are scaled down to it.
        stride: decode every stride-th frame only.
        limit: at most so many sequences, evenly spread over the list; None takes all.
        exclude: names of sequences to leave out; by default those of LaSOT's own test set.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no sequence, or one that is damaged; the message names file and line.
    """
    hint = "airplane/airplane-1/groundtruth.txt and so on"
    root, left_out, footage = existing_folder(root, hint), set(exclude), Footage()
    check_sampling(stride, limit)
    found = {path.parent.name for pattern in ("*", "*/*") for path in root.glob(f"{pattern}/groundtruth.txt")}
    for name in spread(sorted(found - left_out), limit):
        sequence = lasot.read(root, name)
        kind = name.rpartition("-")[0]
        _add_seen(footage, f"LaSOT/{name}", sequence.frames, sequence.boxes, stride, longest_side, kind)
    return not_empty(footage, root, hint)


def read_trackingnet(
    root: str | Path,
    longest_side: int = LONGEST_SIDE,
    stride: int = STRIDE,
    limit: int | None = None,
    exclude: Iterable[str] = (),
) -> Footage:
    """TrackingNet's training chunks: ``<root>/TRAIN_0/frames/<video>/0.jpg …`` and ``<root>/TRAIN_0/anno/<video>.txt``.

    A line of the annotation is ``x,y,w,h`` of one frame. The pixels are counted from 0: the authors' development kit
    draws a line's box where its numbers say, and numbers the frames from 0. There are no labels of absence.

    Args:
        root: the folder of the chunks; those that are there are read, and never ``TEST``.
        longest_side: longer images are scaled down to it.
        stride: decode every stride-th frame only.
        limit: at most so many videos, evenly spread over the chunks; None takes all.
        exclude: names of videos to leave out.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no video, or one that is damaged; the message names file and line.
    """
    hint = "TRAIN_0/frames/<video>/0.jpg and TRAIN_0/anno/<video>.txt"
    root, left_out, footage = existing_folder(root, hint), set(exclude), Footage()
    check_sampling(stride, limit)
    tables = [path for path in sorted(root.glob("TRAIN_*/anno/*.txt")) if path.stem not in left_out]
    for table in spread(tables, limit):
        name = f"{table.parent.parent.name}/{table.stem}"
        boxes = numbers(table, name)
        seen = frames(table.parent.parent / "frames" / table.stem, name, images=".")
        require_frames(seen, len(boxes), name, f", one for each line of {table}")
        _add_seen(footage, f"TrackingNet/{name}", seen, boxes, stride, longest_side)
    return not_empty(footage, root, hint)


def _add_seen(
    footage: Footage,
    name: str,
    seen: Frames,
    boxes: NDArray[np.float64],
    stride: int,
    longest_side: int,
    category: str = "",
) -> None:
    """Append every stride-th frame that has a box; the others are not even decoded."""
    chosen = [index for index in range(0, len(boxes), stride) if np.isfinite(boxes[index]).all()]
    add_sequence(footage, name, (seen.at(index) for index in chosen), boxes[chosen], longest_side, category)


def read_imagenet_vid(
    root: str | Path,
    longest_side: int = LONGEST_SIDE,
    stride: int = STRIDE,
    limit: int | None = None,
    exclude: Iterable[str] = (),
    occluded: bool = True,
) -> Footage:
    """ImageNet's training videos: ``<root>/Data/VID/train/<pack>/<video>/000000.JPEG …`` with an XML file for each
    frame below ``<root>/Annotations/VID/train``.

    Each object of a video (``trackid``) is a track of its own, whose category is its WordNet number. A box is
    ``xmin, ymin, xmax, ymax`` of the rectangle that was drawn in the annotation tool, whose left edge may be 0: corners
    in pixels from 0, the last exclusive. An object that is out of view has no entry.

    Args:
        root: the folder ``ILSVRC2015``.
        longest_side: longer images are scaled down to it.
        stride: decode every stride-th frame only.
        limit: at most so many videos, evenly spread; None takes all.
        exclude: names of videos to leave out.
        occluded: keep objects marked as occluded; most of them are so in part only.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no video, a frame or its annotation is missing, or it is damaged; the message names the file.
    """
    hint = "Data/VID/train/<pack>/<video>/000000.JPEG and Annotations/VID/train/<pack>/<video>/000000.xml"
    root, left_out, footage = existing_folder(root, hint), set(exclude), Footage()
    check_sampling(stride, limit)
    labels = existing_folder(root / "Annotations" / "VID" / "train", hint)
    # Other trackers' scripts put links named a, b, … beside the packs: each video counts once.
    packs = {pack.resolve(): pack for pack in sorted(labels.iterdir(), reverse=True) if pack.is_dir()}
    videos = [video for pack in packs.values() for video in sorted(pack.iterdir()) if video.is_dir()]
    for video in spread(sorted(video for video in videos if video.name not in left_out), limit):
        images = root / "Data" / "VID" / "train" / video.parent.name / video.name
        _add_vid(footage, video, images, stride, longest_side, occluded)
    return not_empty(footage, root, hint)


def _add_vid(footage: Footage, labels: Path, images: Path, stride: int, longest_side: int, occluded: bool) -> None:
    """Append the objects of one video; `labels` and `images` are its two folders."""
    tracks: dict[tuple[str, str], list[tuple[int, NDArray[np.float64]]]] = defaultdict(list)
    stems = [
        {path.stem for path in folder.glob(pattern)} for folder, pattern in ((labels, "*.xml"), (images, "*.JPEG"))
    ]
    if alone := sorted(stems[0] ^ stems[1]):
        raise ValueError(f"{labels} and {images} must have the same frames, but {alone[0]} is in one of them only")
    for path in sorted(labels.glob("*.xml"))[::stride]:
        objects = [entry for entry in _vid_objects(path) if occluded or entry.findtext("occluded") != "1"]
        if not objects:
            continue
        image = SharedImage(read_image(images / f"{path.stem}.JPEG"), longest_side, SMALLEST_MOVING)
        for entry in objects:
            index, box = image.place(footage, _vid_box(entry, path))
            if index is not None:
                tracks[entry.findtext("trackid", ""), entry.findtext("name", "")].append((index, box))
    for (number, kind), places in tracks.items():
        indices, boxes = zip(*places, strict=True)
        footage.add_track(f"ImageNet-VID/{labels.name}/{number}", "video", indices, np.stack(boxes), kind)


def _vid_objects(path: Path) -> list[ElementTree.Element]:
    try:
        return ElementTree.parse(path).getroot().findall("object")
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not well-formed XML: {error}") from error


def _vid_box(entry: ElementTree.Element, path: Path) -> NDArray[np.float64]:
    """The box of one ``<object>`` of the file `path`."""
    texts = {part: entry.findtext(part) for part in ("trackid", *(f"bndbox/{side}" for side in CORNERS))}
    try:
        _, *corners = (float(text or "nothing") for text in texts.values())
    except ValueError:
        raise ValueError(f"{path}: an object needs a number in each of these, found {texts}") from None
    return from_corners(corners)


def read_mot(
    root: str | Path,
    longest_side: int = LONGEST_SIDE,
    stride: int = STRIDE,
    limit: int | None = None,
    exclude: Iterable[str] = (),
) -> Footage:
    """MOTChallenge's training videos: ``<root>/MOT17-02-SDP/img1/000001.jpg …`` (or ``frames.mp4``) and ``gt/gt.txt``.

    Each person is a track of its own; who walks beside them in the same frames is the look-alike that a tracker must
    tell them from. Boxes marked as not to count are left out. MOT17 has every video three times, once a detector:
    ``exclude`` or a folder of links takes one of them.

    Args:
        root: the folder of the videos; those without images are passed over.
        longest_side: longer images are scaled down to it.
        stride: take every stride-th frame only; all are decoded.
        limit: at most so many videos, evenly spread; None takes all.
        exclude: names of videos to leave out.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no video, or one that is damaged; the message names the file.
    """
    hint = "<video>/gt/gt.txt beside frames.mp4 or img1/"
    root, left_out, footage = existing_folder(root, hint), set(exclude), Footage()
    check_sampling(stride, limit)
    videos = [path.parent.parent for path in sorted(root.glob("*/gt/gt.txt"))]
    shown = [video for video in videos if (video / "frames.mp4").is_file() or (video / "img1").is_dir()]
    for video in spread([video for video in shown if video.name not in left_out], limit):
        seen, rows = frames(video, video.name, images="img1"), read_rows(video / "gt" / "gt.txt")
        tracks: dict[int, list[tuple[int, NDArray[np.float64]]]] = defaultdict(list)
        for number, frame in enumerate(seen):
            if number % stride:
                continue
            here = (rows.frame == number) & (rows.score > 0)
            image = SharedImage(frame, longest_side, SMALLEST_MOVING)
            for person, box in zip(rows.id[here].tolist(), rows.box[here], strict=True):
                index, scaled = image.place(footage, box)
                if index is not None:
                    tracks[person].append((index, scaled))
        for person, places in tracks.items():
            indices, boxes = zip(*places, strict=True)
            footage.add_track(f"MOT/{video.name}/{person}", "video", indices, np.stack(boxes), "person")
    return not_empty(footage, root, hint)
