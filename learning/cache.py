"""Build the cache that a training run opens: research data and synthetic clips in one store."""

from __future__ import annotations

import json
import logging
import mmap
from collections.abc import Callable, Iterable
from pathlib import Path

from learning.footage import Footage
from learning.readers import (
    DAVIS_LEFT_OUT,
    GOT10K_STRIDE,
    HOLDOUT,
    LONGEST_SIDE,
    load_shared,
    read_coco,
    read_got10k,
    read_images,
    read_sequences,
)
from learning.synthetic import Cutout, compose_footage, read_cutouts
from learning.video_readers import read_imagenet_vid, read_lasot, read_mot, read_trackingnet

log = logging.getLogger(__name__)

# Layout → its reader, and what of `open_footage` the reader takes beside the folder.
READERS: dict[str, tuple[Callable[..., Footage], set[str]]] = {
    "got10k": (read_got10k, {"longest_side", "stride", "limit"}),
    "lasot": (read_lasot, {"longest_side", "stride", "limit"}),
    "trackingnet": (read_trackingnet, {"longest_side", "stride", "limit"}),
    "imagenet-vid": (read_imagenet_vid, {"longest_side", "stride", "limit"}),
    "mot": (read_mot, {"longest_side", "stride", "limit"}),
    "coco": (read_coco, {"longest_side", "limit"}),
    "sequences": (read_sequences, {"longest_side"}),
    "images": (read_images, {"longest_side"}),
}


def shared_cutouts(root: str | Path) -> list[Cutout]:
    """Every cut-out that the masks and polygons of the research data give; of videos every sixth frame.

    Raises:
        FileNotFoundError: a part of the data is missing.
    """
    root = Path(root)
    cutouts = [cutout for name in ("ecssd", "coco256", "pennfudan") for cutout in read_cutouts(root / name)]
    return cutouts + read_cutouts(root / "davis", DAVIS_LEFT_OUT, stride=6)


def build_cache(
    shared_root: str | Path,
    out: str | Path,
    clips: int = 2000,
    holdout: Iterable[str] = HOLDOUT,
    frames: int = 6,
    seed: int = 0,
    longest_side: int = LONGEST_SIDE,
    extra: Iterable[Footage] = (),
) -> Footage:
    """Read all training footage, compose synthetic clips, save both to `out` and open it.

    Args:
        shared_root: the research data, e.g. ``../shared/data``.
        out: folder of the cache; an older one in it is replaced.
        clips: number of synthetic clips; 0 makes none.
        holdout: names of sequences to keep out of training.
        frames: frames of each synthetic clip.
        seed: of the synthetic clips.
        longest_side: longer images are scaled down to it.
        extra: footage of the user's own to put in as well, e.g. what ``read_got10k`` or ``read_coco`` returned.

    Returns:
        the saved footage, mapped from the file.

    Raises:
        FileNotFoundError: a part of the data is missing.
        ValueError: a part of it is damaged.
        OSError: `out` cannot be written.
    """
    root = Path(shared_root)
    footage = load_shared(root, holdout, longest_side)
    for more in extra:
        footage.merge(more)
    if clips:
        backgrounds = [read_images(root / name, longest_side) for name in ("images/bsds", "coco256/images")]
        images = [image for background in backgrounds for image in background.images]
        videos = [[footage.images[i] for i in track.images] for track in footage.tracks if track.group == "video"]
        footage.merge(compose_footage(shared_cutouts(root), images, clips, seed, frames, videos=videos))
    footage.save(out)
    log.info("%s: %s", out, footage.summary())
    return Footage.load(out)


def open_footage(
    data: str | Path,
    layout: str,
    cache: str | Path,
    clips: int = 2000,
    longest_side: int = LONGEST_SIDE,
    stride: int = GOT10K_STRIDE,
    limit: int | None = None,
) -> Footage:
    """Training footage of any known layout, decoded once into `cache` and read from there the next time.

    Args:
        data: folder of the data.
        layout: "shared" or one of `READERS`.
        cache: folder of the decoded footage; delete it to decode again.
        clips: number of synthetic clips for the layout "shared".
        longest_side: longer images are scaled down to it.
        stride: decode every stride-th frame only, of the layouts whose readers take a stride.
        limit: at most so many sequences, or images of "coco"; None takes all.

    Raises:
        OSError: `data` is missing or `cache` cannot be written.
        ValueError: an unknown layout or an option that it does not have, damaged data, or a cache made otherwise.
    """
    if layout != "shared" and layout not in READERS:
        raise ValueError(f"unknown layout {layout!r}; there are shared, {', '.join(READERS)}")
    defaults = {"longest_side": LONGEST_SIDE, "stride": GOT10K_STRIDE, "limit": None}
    wanted = {"longest_side": longest_side, "stride": stride, "limit": limit}
    changed = {name: value for name, value in wanted.items() if value != defaults[name]}
    read, options = READERS.get(layout, (None, {"longest_side"}))
    if foreign := sorted(changed.keys() - options):
        raise ValueError(f"the layout {layout!r} has no {' or '.join(foreign)}")

    cache = Path(cache)
    source = json.dumps({"data": str(Path(data).resolve()), "layout": layout, "clips": clips, **changed})
    note = cache / "source.json"
    if note.is_file():
        if (made_from := note.read_text(encoding="utf-8")) != source:
            raise ValueError(
                f"{cache} was made from other data or with other options ({note}: {made_from}); "
                "give another --cache or delete it"
            )
        return _read_ahead(Footage.load(cache))
    if read is None:
        build_cache(data, cache, clips, longest_side=longest_side)
    else:
        read(data, **changed).save(cache)
    note.write_text(source, encoding="utf-8")
    return _read_ahead(Footage.load(cache))


def _read_ahead(footage: Footage) -> Footage:
    """Touch every page of the pixels, in the order of the file, so that a training does not wait for the disk.

    The pages stay in the file's cache, which all processes share: two that train hold the footage once.
    """
    for image in footage.images:
        image.reshape(-1)[:: mmap.PAGESIZE].max(initial=0)
    return footage
