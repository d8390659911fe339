"""Synthetic clips: objects cut out of images by their masks, moved over other images.

Labelled video of many kinds of objects is scarce; masks are not. A clip has one target, at most one occluder, and
usually a distractor of the same kind, the thing that a tracker most often jumps to: half of the time it is the target's
own cut-out in another colour and size. Everything moves smoothly and by itself, half of the bodies bend, and the camera
pans and shakes over a still scene or over a real video, whose own moving things are then clutter. The
idea of pasting cut-outs is that of Dwibedi et al., "Cut, Paste and Learn", ICCV 2017; distractors as negatives are
those of Zhu et al., "Distractor-aware Siamese Networks", ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from learning.footage import Footage, Image
from learning.readers import read_annotations, read_image

Floats = NDArray[np.float32]

T = TypeVar("T")

LEAST_VISIBLE = 0.4  # below it a frame is not part of a track: no one could say where the target is
SMALLEST_CUTOUT, LARGEST_CUTOUT = 40, 200  # longest side in pixels as read
SMALLEST_PASTED, LARGEST_PASTED = 28, 160  # longest side in pixels at the start of a clip
LARGEST_BEND = 0.1  # of the control points of a body that bends, in shorter sides of its cut-out
LARGEST_PART = 0.8  # share of a mask that its largest connected part must have
LEAST_SOLID = 0.1  # area over the longest side squared: less is a line
MOST_TRUNCATED = 0.1  # share of its box's outline at which a cut-out may end at the border of its image


@dataclass(frozen=True)
class Cutout:
    """An object and nothing else.

    Attributes:
        image: uint8 (h, w, 3) BGR.
        alpha: float32 (h, w) in [0, 1], 1 on the object, with an edge about a pixel soft.
        category: objects of one category can be mistaken for each other.
    """

    image: Image
    alpha: Floats
    category: str


@dataclass(frozen=True)
class Clip:
    """A composed clip of n frames and m objects; object 0 is the target, the others are its distractors.

    Attributes:
        images: n uint8 (H, W, 3) BGR frames.
        boxes: (m, n, 4) float32 ``(x, y, w, h)`` around each object's part inside the image, occluded or not; nan
            where it is outside.
        visibility: (m, n) float32 share of each object that is inside the image and not occluded.
        category: of the target.
    """

    images: list[Image]
    boxes: Floats
    visibility: Floats
    category: str


def read_cutouts(root: str | Path, exclude: Iterable[str] = (), stride: int = 1) -> list[Cutout]:
    """Cut-outs of a folder with ``annotations.json`` whose entries have a ``mask`` or a ``polygon``.

    Small objects and those that the border of their image truncates are left out.

    Args:
        root: the folder that holds annotations.json.
        exclude: ``seq`` values to leave out.
        stride: take every stride-th entry only: neighbouring frames of a video look alike.

    Raises:
        FileNotFoundError: no annotations, image or mask.
        ValueError: no entry gives a cut-out.
    """
    root, left_out = Path(root), set(exclude)
    entries = [entry for entry in read_annotations(root) if entry.get("seq") not in left_out]
    cutouts = []
    for entry in entries[::stride]:
        if entry.get("mask") or entry.get("polygon"):
            image = read_image(root / entry["image"])
            category = entry.get("cat", "")
            cutout = cut_out(image, _mask(root, entry, image), f"{root.name}/{category}")
            if cutout is not None:
                cutouts.append(cutout)
    if not cutouts:
        raise ValueError(f"no entry of {root / 'annotations.json'} has a mask or polygon of a whole, large object")
    return cutouts


def _mask(root: Path, entry: dict[str, Any], image: Image) -> NDArray[np.bool_]:
    if entry.get("mask"):
        labels = read_image(root / entry["mask"])[..., 0]
        return labels == 255 if labels.max() == 255 else labels == entry.get("obj", 1)
    mask = np.zeros(image.shape[:2], np.uint8)
    corners = np.asarray(entry["polygon"], np.float64).reshape(-1, 2)
    cv2.fillPoly(mask, [np.round(corners - 0.5).astype(np.int32)], 1)
    return mask > 0


def cut_out(image: Image, mask: NDArray[np.bool_], category: str = "") -> Cutout | None:
    """Cut the object under `mask` out of an image.

    Args:
        image: uint8 (H, W, 3) BGR.
        mask: (H, W) bool; its largest connected part is the object.
        category: objects of one category can be mistaken for each other.

    Returns:
        None if the object is too small, a mere line, in several large parts, or truncated by the image's border.
    """
    parts, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if parts < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    if stats[largest, cv2.CC_STAT_AREA] < LARGEST_PART * mask.sum():
        return None
    mask = labels == largest
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    width, height = int(xs[-1] + 1 - xs[0]), int(ys[-1] + 1 - ys[0])
    if max(width, height) < SMALLEST_CUTOUT or mask.sum() < LEAST_SOLID * max(width, height) ** 2:
        return None
    truncated = mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum()
    if truncated > MOST_TRUNCATED * 2 * (width + height):
        return None
    # A margin of 2 px for the soft edge; eroded first, because the outermost pixels are mixed with their background.
    rows, columns = slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
    picture = cv2.copyMakeBorder(image[rows, columns], 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    inside = cv2.copyMakeBorder(mask[rows, columns].astype(np.float32), 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    alpha = cv2.GaussianBlur(cv2.erode(inside, np.ones((3, 3), np.uint8)), (5, 5), 0.8)
    shape = _fit(width, height, min(LARGEST_CUTOUT, max(width, height)))
    return Cutout(_resized(picture, shape), np.clip(_resized(alpha, shape), 0, 1), category)


def _fit(width: float, height: float, longest: float) -> tuple[int, int]:
    factor = longest / max(width, height)
    return max(4, round(width * factor)), max(4, round(height * factor))


def _resized(image: NDArray, size: tuple[int, int]) -> NDArray:
    smaller = size[0] < image.shape[1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))


@dataclass(frozen=True)
class _Actor:
    """A cut-out with its way through n frames: centres (n, 2), scales (n, 2), angles (n,), colour gains (n, 3), and
    bends (n, 4, 4, 2): displacements of a grid of control points over its patch, in pixels.
    """

    image: Image
    alpha: Floats
    centres: NDArray
    scales: NDArray
    angles: NDArray
    gains: NDArray
    shutter: float  # share of a frame's time in which motion blurs
    bends: NDArray | None = None  # None: rigid

    @property
    def extents(self) -> NDArray:
        """(n,) diagonals in pixels."""
        height, width = self.alpha.shape
        return np.hypot(width * self.scales[:, 0], height * self.scales[:, 1])


@dataclass(frozen=True)
class _Layer:
    """An actor in one frame: its patch and alpha at (x, y) of the canvas, inside it, and its area with the rest."""

    x: int
    y: int
    patch: Floats
    alpha: Floats
    area: int


def _drift(rng: np.random.Generator, frames: int, spread: float, shape: tuple[int, ...] = ()) -> NDArray:
    """(frames, *shape) smooth way from one value to another, both uniform in ±spread, with a bend."""
    time = np.linspace(0, 1, frames).reshape(-1, *[1] * len(shape))
    start, end = rng.uniform(-spread, spread, (2, *shape))
    bend = rng.uniform(-spread, spread, shape) * 0.3
    return np.clip(start + (end - start) * time + bend * np.sin(np.pi * time), -spread, spread)


def _path(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> NDArray:
    """(frames, 2) centres of something that crosses the canvas slowly or fast, on a bent line."""
    start = rng.uniform(0.2, 0.8, 2) * size
    end = start + (rng.uniform(0.1, 0.9, 2) * size - start) * rng.uniform(0, 1)
    time = np.linspace(0, 1, frames)[:, None]
    across = (end - start)[::-1] * (1, -1)
    return start + (end - start) * time + across * rng.uniform(-0.3, 0.3) * np.sin(np.pi * time)


def _act(
    cutout: Cutout,
    longest: float,
    centres: NDArray,
    rng: np.random.Generator,
    gain: NDArray | float = 1.0,
    shutter: float = 0.0,
) -> _Actor:
    """Give a cut-out, `longest` pixels large at its mean, a smooth change of size, shape, angle and colour."""
    frames = len(centres)
    # A size drift of ±17 % on either side of the mean is one of up to 40 % between the ends of the clip.
    scales = np.exp(_drift(rng, frames, np.log(1.4) / 2)[:, None] + _drift(rng, frames, 0.08)[:, None] * (1, -1))
    flipped = rng.random() < 0.5
    picture, alpha = (part[:, ::-1] if flipped else part for part in (cutout.image, cutout.alpha))
    shape = _fit(alpha.shape[1], alpha.shape[0], longest * scales.max())
    gains = gain * np.exp(_drift(rng, frames, 0.2)[:, None] + _drift(rng, frames, 0.06, (3,)))
    bends = _drift(rng, frames, LARGEST_BEND * min(shape), (4, 4, 2)) if rng.random() < 0.5 else None
    return _Actor(
        _resized(np.ascontiguousarray(picture), shape),
        _resized(np.ascontiguousarray(alpha), shape),
        centres,
        scales / scales.max(),
        np.radians(_drift(rng, frames, rng.choice([3, 20]))),
        gains,
        shutter,
        bends,
    )


def _layer(actor: _Actor, frame: int, size: tuple[int, int]) -> _Layer:
    """Turn an actor into the pixels that it covers in one frame of `size` (width, height)."""
    height, width = actor.alpha.shape
    cos, sin = np.cos(actor.angles[frame]), np.sin(actor.angles[frame])
    turn = np.array([[cos, -sin], [sin, cos]]) * actor.scales[frame]
    blur = _blur_kernel(actor, frame)
    reach = np.abs(turn) @ (width / 2, height / 2) + 2 + (len(blur) / 2 if blur is not None else 0)
    low = np.floor(actor.centres[frame] - reach).astype(int)
    extent = np.ceil(2 * reach).astype(int) + 1
    # Pixel i covers [i, i + 1): its centre is i + 0.5 in the source as in the patch.
    shift = turn @ (0.5 - width / 2, 0.5 - height / 2) + actor.centres[frame] - 0.5 - low
    warp = np.column_stack([turn, shift])
    target = int(extent[0]), int(extent[1])
    patch = cv2.warpAffine(actor.image, warp, target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(actor.alpha, warp, target, flags=cv2.INTER_LINEAR)
    if actor.bends is not None:
        patch, alpha = _bent(patch, actor.bends[frame]), _bent(alpha, actor.bends[frame])
    if blur is not None:
        patch, alpha = cv2.filter2D(patch, -1, blur), cv2.filter2D(alpha, -1, blur)
    top_left, bottom_right = np.clip(low, 0, size), np.clip(low + extent, 0, size)
    (x0, y0), (x1, y1) = top_left - low, np.maximum(bottom_right, top_left) - low
    painted = np.clip(patch[y0:y1, x0:x1] * actor.gains[frame].astype(np.float32), 0, 255)
    area = int((alpha > 0.5).sum())
    return _Layer(int(top_left[0]), int(top_left[1]), painted, np.asarray(alpha[y0:y1, x0:x1], np.float32), area)


def _bent(image: NDArray, bend: NDArray) -> NDArray:
    """Move the pixels smoothly: `bend` (4, 4, 2) displaces a grid of control points spread over the image."""
    height, width = image.shape[:2]
    field = cv2.resize(bend.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    x = np.arange(width, dtype=np.float32) + field[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + field[..., 1]
    border = cv2.BORDER_REPLICATE if image.ndim == 3 else cv2.BORDER_CONSTANT
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=border))


def _blur_kernel(actor: _Actor, frame: int) -> Floats | None:
    """A line along the actor's velocity; at most half of its smaller side, so that something solid remains."""
    velocity = np.gradient(actor.centres, axis=0)[frame] * actor.shutter
    longest = min(*actor.alpha.shape) * actor.scales[frame].min() / 2
    length = min(float(np.hypot(*velocity)), longest)
    if length < 2:
        return None
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    step = velocity / np.hypot(*velocity) * length / 2
    ends = [tuple(int(v) for v in np.round(half + sign * step)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return kernel / kernel.sum()


def _paste(canvas: Image, layer: _Layer) -> NDArray[np.bool_]:
    """Blend a layer into the canvas and return (H, W) where it covers more than half of a pixel."""
    covered = np.zeros(canvas.shape[:2], bool)
    height, width = layer.alpha.shape
    if height and width:
        place = (slice(layer.y, layer.y + height), slice(layer.x, layer.x + width))
        below, alpha = canvas[place].astype(np.float32), layer.alpha[..., None]
        canvas[place] = np.rint(below + (layer.patch - below) * alpha).astype(np.uint8)
        covered[place] = layer.alpha > 0.5
    return covered


def _tight_box(mask: NDArray[np.bool_]) -> NDArray:
    """``(x, y, w, h)`` around the true pixels, nan if there are none."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        return np.full(4, np.nan)
    return np.array([xs[0], ys[0], xs[-1] + 1 - xs[0], ys[-1] + 1 - ys[0]], np.float64)


def _film(background: Sequence[Image], size: tuple[int, int], shake: NDArray, rng: np.random.Generator) -> list[Image]:
    """A camera that pans, zooms, turns and shakes over a still background or a video: n frames of `size` (w, h)."""
    frames, (width, height) = len(shake), size
    rows, columns = background[0].shape[:2]
    cover = max(width / columns, height / rows) * rng.uniform(1.1, 1.6)
    extent = round(columns * cover), round(rows * cover)
    mirrored = rng.random() < 0.5
    slack = np.array(extent) - size
    centres = (slack + size) / 2 + _drift(rng, frames, 0.5, (2,)) * slack * rng.uniform(0, 1) + shake
    zooms = np.exp(_drift(rng, frames, 0.06))
    turns = np.degrees(_drift(rng, frames, 0.03))
    light = np.exp(rng.uniform(-0.5, 0.2) + _drift(rng, frames, 0.1))
    scenes = [_resized(image[:, ::-1] if mirrored else image, extent) for image in background]
    shots = []
    for frame, (centre, zoom, turn, gain) in enumerate(zip(centres, zooms, turns, light, strict=True)):
        warp = cv2.getRotationMatrix2D((float(centre[0]) - 0.5, float(centre[1]) - 0.5), float(turn), float(zoom))
        warp[:, 2] += (width / 2, height / 2) - centre
        scene = np.ascontiguousarray(scenes[frame % len(scenes)])
        shot = cv2.warpAffine(scene, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        shots.append(np.asarray(cv2.convertScaleAbs(shot, alpha=float(gain)), np.uint8))
    return shots


def _background(
    images: Sequence[Image], videos: Sequence[Sequence[Image]], frames: int, rng: np.random.Generator
) -> Sequence[Image]:
    """A still image, or in one half, where there are videos, as many frames of one of them."""
    if not videos or rng.random() < 0.5:
        return [_pick(images, rng)]
    video = _pick(videos, rng)
    step = int(rng.integers(1, max(1, min(4, (len(video) - 1) // (frames - 1))) + 1))
    first = int(rng.integers(max(1, len(video) - step * (frames - 1))))
    return list(video[first : first + step * (frames - 1) + 1 : step])


def _apart(centres: NDArray, target: _Actor, extent: float) -> NDArray:
    """Push (n, 2) centres away from the target's, so that a distractor touches it but never sits on it."""
    offset = centres - target.centres
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    direction = np.divide(offset, distance, out=np.tile([[1.0, 0.0]], (len(offset), 1)), where=distance > 1e-6)
    nearest = (target.extents * 0.55 + extent * 0.3)[:, None]
    return target.centres + direction * np.maximum(distance, nearest)


def _distractor(
    target: _Actor,
    own: Cutout,
    kin: Sequence[Cutout],
    longest: float,
    size: tuple[int, int],
    shake: NDArray,
    rng: np.random.Generator,
) -> _Actor:
    """Something like the target that moves by itself: its own cut-out in another colour and size, or one of its kin."""
    gain: NDArray | float = np.exp(rng.uniform(-0.25, 0.25))
    cutout, scale = own, np.exp(rng.uniform(-0.4, 0.4))
    if kin and rng.random() < 0.5:
        cutout = _pick(kin, rng)
    else:  # it must differ from the target somewhere, or nobody could tell which one is meant
        gain = np.exp(rng.permutation([rng.uniform(0.2, 0.4), rng.uniform(-0.1, 0.1), rng.uniform(-0.5, -0.2)]))
    actor = _act(cutout, longest * scale, _path(rng, len(shake), size) - shake, rng, gain, target.shutter)
    return replace(actor, centres=_apart(actor.centres, target, actor.extents.max()))


def _occluder(target: _Actor, cutout: Cutout, longest: float, rng: np.random.Generator) -> _Actor:
    """Something that passes in front of the target in the middle of the clip and covers part of it."""
    frames = len(target.centres)
    meeting = rng.uniform(0.3, 0.7)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    passing = (np.linspace(0, 1, frames) - meeting)[:, None] * along * rng.uniform(1, 4) * longest
    aside = along[::-1] * (1, -1) * rng.uniform(0.2, 0.6) * longest
    return _act(cutout, longest * rng.uniform(0.5, 1.0), target.centres + passing + aside, rng, shutter=target.shutter)


def compose_clip(
    cutouts: Sequence[Cutout],
    backgrounds: Sequence[Image],
    rng: np.random.Generator,
    frames: int = 6,
    size: tuple[int, int] = (384, 288),
    videos: Sequence[Sequence[Image]] = (),
) -> Clip:
    """Compose a clip of one target with distractors, an occluder and a moving camera.

    Args:
        cutouts: to draw target, distractors and occluder from; at least one.
        backgrounds: uint8 (H, W, 3) BGR images; at least one.
        rng: decides everything: the same generator state gives the same clip.
        frames: number of frames, at least 2.
        size: width and height of the frames in pixels.
        videos: moving backgrounds, each the frames of a real video, all of one size; taken for half of the clips.

    Raises:
        ValueError: no cut-outs, no backgrounds, or fewer than two frames.
    """
    if not cutouts or not backgrounds or frames < 2:
        raise ValueError(
            "a clip needs cut-outs, backgrounds and at least 2 frames, "
            f"got {len(cutouts)}, {len(backgrounds)} and {frames}"
        )
    shake = rng.normal(0, rng.choice([0.0, 1.0, 3.0]), (frames, 2))
    objects, occluders, category = _cast(cutouts, shake, size, rng)
    order = _depth_order(len(objects), rng)
    shots = _film(_background(backgrounds, videos, frames, rng), size, shake, rng)
    softness = rng.uniform(0.4, 1.0) if rng.random() < 0.3 else 0.0
    boxes = np.full((len(objects), frames, 4), np.nan, np.float32)
    visibility = np.zeros((len(objects), frames), np.float32)
    for frame, canvas in enumerate(shots):
        layers = [_layer(actor, frame, size) for actor in objects]
        masks = {index: _paste(canvas, layers[index]) for index in order}
        hidden = np.zeros(canvas.shape[:2], bool)
        for occluder in occluders:
            hidden |= _paste(canvas, _layer(occluder, frame, size))
        for index in reversed(order):  # from the front to the back
            boxes[index, frame] = _tight_box(masks[index])
            visibility[index, frame] = (masks[index] & ~hidden).sum() / max(layers[index].area, 1)
            hidden |= masks[index]
        if softness:
            cv2.GaussianBlur(canvas, (0, 0), softness, dst=canvas)
    return Clip(shots, boxes, visibility, category)


def _cast(
    cutouts: Sequence[Cutout], shake: NDArray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[list[_Actor], list[_Actor], str]:
    """The target and its distractors, the occluders, and the target's category."""
    own = _pick(cutouts, rng)
    kin = [other for other in cutouts if other.category == own.category and other is not own]
    longest = float(np.exp(rng.uniform(np.log(SMALLEST_PASTED), np.log(LARGEST_PASTED))))
    gain, shutter = np.exp(rng.uniform(-0.3, 0.2)), rng.choice([0.0, 0.3, 0.8])
    target = _act(own, longest, _path(rng, len(shake), size) - shake, rng, gain, shutter)
    count = rng.choice([0, 1, 2], p=[0.25, 0.5, 0.25])
    distractors = [_distractor(target, own, kin, longest, size, shake, rng) for _ in range(count)]
    occluders = [_occluder(target, _pick(cutouts, rng), longest, rng)] if rng.random() < 0.35 else []
    return [target, *distractors], occluders, own.category


def _depth_order(objects: int, rng: np.random.Generator) -> list[int]:
    """The objects from the back to the front: each distractor is behind or before the target, object 0."""
    behind = rng.random(objects - 1) < 0.5
    back = [index + 1 for index in np.flatnonzero(behind).tolist()]
    front = [index + 1 for index in np.flatnonzero(~behind).tolist()]
    return [*back, 0, *front]


def _pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


def compose_footage(
    cutouts: Sequence[Cutout],
    backgrounds: Sequence[Image],
    clips: int = 500,
    seed: int = 0,
    frames: int = 6,
    size: tuple[int, int] = (384, 288),
    videos: Sequence[Sequence[Image]] = (),
) -> Footage:
    """Compose `clips` clips; target and distractors become tracks of the frames in which they can be seen.

    Clip i depends on `seed` and i only. For the other arguments and errors see :func:`compose_clip`.
    """
    footage = Footage()
    for number in range(clips):
        clip = compose_clip(cutouts, backgrounds, np.random.default_rng([seed, number]), frames, size, videos)
        indices = np.array([footage.add_image(image) for image in clip.images])
        for member, (boxes, visibility) in enumerate(zip(clip.boxes, clip.visibility, strict=True)):
            seen = visibility >= LEAST_VISIBLE
            if seen.sum() >= 2:
                name = f"synthetic/{seed}/{number}/{member}"
                footage.add_track(name, "synthetic", indices[seen], boxes[seen], clip.category)
    return footage
