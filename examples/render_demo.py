"""Render the bundled demonstration clip: a rally car followed from a drone, with exact ground truth.

Everything in the picture is drawn here from random numbers of a fixed seed, so the clip may be redistributed freely.
The world is a map in metres seen from straight above: ground, then shadows, vehicles, and three slices of whatever
stands higher (tree crowns, roofs, a railway bridge). The camera is a pinhole at a varying altitude, so high slices move
faster than the ground as they do in real footage, and its shutter stays open for part of a frame, which blurs motion.

    python examples/render_demo.py --output examples/demo.mp4 --overwrite
    python examples/render_demo.py --scenario leaves --output leaves.mp4

`demo`: the car passes beneath trees, meets a car of the same make in another colour, drives under the bridge, where it
is hidden for most of a second, and comes out again while the camera descends. `leaves`: the camera turns back and the
car drives out of the picture for good. `impostor`: the same, but a car of its make comes in where it went out.

Beside the video stand `<name>_groundtruth.txt`, one `x,y,w,h` a frame (0-based pixels of the whole car clipped to the
picture; `nan,nan,nan,nan` while less than a twentieth of it can be seen), and `<name>_box.json` with the first box.
Rendering needs numpy and OpenCV; encoding needs PyAV (`pip install av`), because OpenCV's own writer cannot be asked
for a small file.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Colour = tuple[float, float, float]  # blue, green, red in [0, 255]

SEED = 7
WIDTH, HEIGHT, FPS = 640, 360, 25
WORLD = (150.0, 96.0)  # metres
DENSITY = 16  # map pixels a metre
FOCAL = 600.0  # pixels
SLICES = (2.5, 4.5, 6.0)  # metres above ground
SUN = (0.62, 0.48)  # metres of shadow a metre of height
SHUTTER, EXPOSURES = 0.45, 3  # open share of a frame, samples in it
ROAD_X = (-70, -40, -10, 8, 26, 44, 64, 84, 100, 118, 138, 164, 190, 220)
ROAD_Y = (64, 68, 67, 63, 54, 43, 39, 44, 57, 64, 60, 48, 44, 50)
ROAD_WIDTH = 8.4
BRIDGE_AT, BRIDGE_WIDTH = 69.2, 7.4  # metres along the road from the map's left edge; metres
OVERHANGING = ((43.7, 5.2, 2.9), (86.2, 5.0, 2.7), (94.2, -6.2, 3.0))  # trees: along the road, to its side, radius
LANE = 1.95  # metres from the centre line


@dataclass(frozen=True)
class Scenario:
    """One story: how long it lasts, when the camera gives up the car and turns back, whether other cars drive."""

    seconds: float
    follow_until: float = math.inf
    traffic: bool = True

    @property
    def frames(self) -> int:
        return round(self.seconds * FPS)


SCENARIOS = {
    "demo": Scenario(12.0),
    "leaves": Scenario(8.0, follow_until=2.0, traffic=False),
    "impostor": Scenario(8.0, follow_until=2.0),
}


@dataclass(frozen=True)
class World:
    """Maps: the ground's BGR with the sunlight that reaches it (255: all) as fourth channel; one premultiplied BGRA
    slice a height; and the density of clouds in [0, 1] at an eighth of the others' resolution."""

    ground: Image
    slices: tuple[Image, ...]
    clouds: Floats


@dataclass(frozen=True)
class Vehicle:
    """A sprite and the way it drives: arc length along the road at time zero, speed and lane (metres, seconds)."""

    sprite: Image
    start: float
    speed: float
    lane: float

    def pose(self, t: float) -> tuple[float, float, float]:
        """Position in metres and heading in radians at time `t`."""
        sway = 0.15 * math.sin(0.9 * t + self.start)
        x, y, heading = along_road(self.start + self.speed * t)
        side = self.lane + sway
        facing = heading if self.speed > 0 else heading + math.pi
        return x - side * math.sin(heading), y + side * math.cos(heading), facing


# ---------------------------------------------------------------- geometry


@lru_cache(maxsize=1)
def road_path() -> NDArray[np.float64]:
    """The centre line as rows of (arc length from x = 0, x, y): a Catmull-Rom spline through the points above."""
    p = np.column_stack([ROAD_X, ROAD_Y]).astype(float)
    t = np.linspace(0, 1, 200, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    xy = np.concatenate(pieces)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    return np.column_stack([length - np.interp(0, xy[:, 0], length), xy])


def along_road(s: float) -> tuple[float, float, float]:
    """Position in metres and heading in radians at arc length `s`."""
    length, x, y = road_path().T
    at = np.array([s - 0.4, s, s + 0.4])
    px, py = np.interp(at, length, x), np.interp(at, length, y)
    return float(px[1]), float(py[1]), math.atan2(py[2] - py[0], px[2] - px[0])


def to_map(points: object) -> NDArray[np.int32]:
    """Metres to map pixels, as OpenCV's fixed-point drawing coordinates with 4 fractional bits."""
    return np.round((np.asarray(points, float) * DENSITY - 0.5) * 16).astype(np.int32)


def compose(*matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 2x3 affine matrix that applies the last of `matrices` first."""
    whole = np.eye(3)
    for matrix in matrices:
        whole = whole @ np.vstack([matrix, [0, 0, 1]])
    return whole[:2]


def similarity(scale: float, angle: float, x: float, y: float) -> NDArray[np.float64]:
    """Scale and turn about the origin, then move to (x, y)."""
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


# ---------------------------------------------------------------- textures


def fractal_noise(width: int, height: int, coarsest: float, rng: np.random.Generator, rough: float = 0.55) -> Floats:
    """Noise in [0, 1] whose largest features measure `coarsest` pixels and whose finest measure two."""
    total = np.zeros((height, width), np.float32)
    size, weight, sum_of_weights = coarsest, 1.0, 0.0
    while size >= 2:
        grid = rng.random((math.ceil(height / size) + 2, math.ceil(width / size) + 2), np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        sum_of_weights += weight
        size, weight = size / 2, weight * rough
    centred = (total / sum_of_weights - 0.5) * 1.9 + 0.5
    return np.clip(centred, 0, 1)


def blend(base: Floats, colour: object, share: NDArray[Any]) -> None:
    """Mix `colour` (BGR, or an image of it) into `base` in place by `share` in [0, 1]."""
    x, y, w, h = cv2.boundingRect((share > 0).astype(np.uint8))
    part = np.s_[y : y + h, x : x + w]
    paint = np.asarray(colour, np.float32)
    base[part] += ((paint[part] if paint.ndim == 3 else paint) - base[part]) * share[part][..., None]


def map_size() -> tuple[int, int]:
    return round(WORLD[0] * DENSITY), round(WORLD[1] * DENSITY)


def stroke(lines: list[NDArray[np.float64]], width: float) -> Floats:
    """Anti-aliased mask in [0, 1] of polylines in metres."""
    columns, rows = map_size()
    mask = np.zeros((rows, columns), np.uint8)
    for line in lines:
        cv2.polylines(mask, [to_map(line)], False, 255, max(1, round(width * DENSITY)), cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def fill(polygon: object) -> Floats:
    """Anti-aliased mask in [0, 1] of a polygon in metres."""
    columns, rows = map_size()
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [to_map(polygon)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def offset_line(side: float, start: float = -math.inf, stop: float = math.inf) -> NDArray[np.float64]:
    """The road's centre line moved sideways by `side` metres, between two arc lengths."""
    length = road_path()[:, 0]
    at = length[(length >= start) & (length <= stop)]
    poses = [along_road(s) for s in at[:: max(1, len(at) // 400)]]
    return np.array([(x - side * math.sin(a), y + side * math.cos(a)) for x, y, a in poses])


def rectangle(x: float, y: float, length: float, width: float, angle: float = 0.0) -> NDArray[np.float64]:
    """Corners of a rectangle about (x, y), turned by `angle`."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (length / 2, width / 2)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return corners @ turn + (x, y)


# ---------------------------------------------------------------- the ground


def paint_meadow(rng: np.random.Generator) -> Floats:
    """Grass of several kinds, worn patches and a ploughed field."""
    columns, rows = map_size()
    broad = fractal_noise(columns, rows, 420, rng)
    fine = fractal_noise(columns, rows, 12, rng, 0.8)
    ground = np.empty((rows, columns, 3), np.float32)
    ground[:] = (58, 112, 96)
    blend(ground, (44, 88, 62), np.clip((broad - 0.42) * 4, 0, 1))
    blend(ground, (92, 140, 148), np.clip((fractal_noise(columns, rows, 160, rng) - 0.64) * 5, 0, 0.8))
    ground *= (0.72 + 0.56 * fine)[..., None]

    field = fill([(52, 62), (92, 72), (84, 97), (40, 97)])
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / DENSITY
    furrows = 0.5 + 0.5 * np.sin(2 * np.pi * (x * 0.26 - y * 0.97) / 1.1 + 2.0 * broad)
    soil = np.array((86, 122, 158), np.float32) * (0.66 + 0.3 * furrows + 0.24 * (fine - 0.5))[..., None]
    blend(soil, (62, 128, 104), np.clip((broad - 0.5) * 3, 0, 0.55))
    blend(ground, soil, field)
    return ground


def paint_road(ground: Floats, rng: np.random.Generator) -> None:
    """Asphalt with verges, cracks, tyre tracks, edge lines and a broken centre line."""
    columns, rows = map_size()
    grain = fractal_noise(columns, rows, 6, rng, 0.9)
    patches = fractal_noise(columns, rows, 90, rng)
    ragged = fractal_noise(columns, rows, 24, rng)

    verge = cv2.GaussianBlur(stroke([offset_line(0)], ROAD_WIDTH + 2.6), (0, 0), 7)
    blend(ground, (112, 142, 152), np.clip(verge * 1.8 - 0.55 - 0.7 * ragged, 0, 0.9))
    asphalt = np.full_like(ground, (104, 100, 98))
    asphalt *= (0.82 + 0.2 * patches + 0.22 * (grain - 0.5))[..., None]
    for side in (-LANE - 0.75, -LANE + 0.75, LANE - 0.75, LANE + 0.75):
        tread = cv2.GaussianBlur(stroke([offset_line(side)], 0.5), (0, 0), 5)
        asphalt *= (1 - 0.14 * tread)[..., None]
    blend(ground, asphalt, stroke([offset_line(0)], ROAD_WIDTH))

    worn = 0.55 + 0.4 * patches
    edges = stroke([offset_line(side) for side in (-ROAD_WIDTH / 2 + 0.35, ROAD_WIDTH / 2 - 0.35)], 0.15)
    dashes = stroke([offset_line(0, s, s + 2.6) for s in np.arange(0, WORLD[0] * 1.2, 6.5)], 0.16)
    blend(ground, (214, 222, 224), np.maximum(edges, dashes) * worn)
    for s in rng.uniform(5, WORLD[0], 9):  # repaired cracks
        x, y, heading = along_road(s)
        steps = np.cumsum(rng.normal(0, 0.45, (7, 2)), axis=0)
        across = np.array([(-math.sin(heading), math.cos(heading))]) * np.linspace(-3.4, 3.4, 7)[:, None]
        blend(ground, (62, 60, 60), stroke([np.array([(x, y)]) + across + 0.5 * steps], 0.1) * 0.8)


def paint_yard(ground: Floats, rng: np.random.Generator) -> None:
    """A gravel yard with a drive, where cars are parked, and a footpath to the field."""
    columns, rows = map_size()
    gravel = np.full_like(ground, (150, 160, 166)) * (0.75 + 0.4 * fractal_noise(columns, rows, 5, rng, 0.9))[..., None]
    drive = stroke([np.array([(50, 28), (52.5, 35), (53, 39)])], 4.0)
    yard = np.maximum(fill(rectangle(47, 27.5, 21, 9, -0.12)), drive)
    blend(ground, gravel, cv2.GaussianBlur(yard, (0, 0), 3))
    path = stroke([np.array([(78, 46), (80, 55), (88, 66), (92, 80), (101, 97)])], 1.5)
    blend(ground, (128, 158, 172), cv2.GaussianBlur(path, (0, 0), 5) * 0.85)
    sprites = [vehicle_sprite(paint) for paint in ((196, 196, 192), (96, 92, 88), (70, 62, 48), (120, 150, 160))]
    for sprite, x in zip(sprites, (40.5, 44.2, 47.1, 55.3), strict=True):
        pose = similarity(1 / SPRITE_DENSITY, math.pi / 2 - 0.12, x, 31.2 - 0.12 * (x - 47))
        place = compose(similarity(DENSITY, 0, -0.5, -0.5), pose, similarity(1, 0, *SPRITE_ORIGIN))
        warped = cv2.warpAffine(sprite, place, (columns, rows), flags=cv2.INTER_AREA).astype(np.float32)
        shade = np.roll(warped[..., 3], (10, 12), (0, 1)) / 255
        ground *= (1 - 0.5 * cv2.GaussianBlur(shade, (0, 0), 2))[..., None]
        ground *= 1 - warped[..., 3:] / 255
        ground += warped[..., :3]


# ---------------------------------------------------------------- what stands on it


def add_tree(slices: list[Floats], x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A crown: three ragged discs of leaves, smaller and lighter towards the top."""
    hue = np.array((38, 84, 58), np.float32) * rng.uniform(0.75, 1.2) + rng.uniform(-8, 8, 3).astype(np.float32)
    for level, (share, bright) in enumerate(((1.0, 0.72), (0.8, 1.05), (0.48, 1.3))):
        reach = math.ceil(radius * 1.25 * DENSITY)
        cx, cy = round(x * DENSITY), round(y * DENSITY)
        rows, columns = slices[level].shape[:2]
        left, right = max(cx - reach, 0), min(cx + reach, columns)
        top, bottom = max(cy - reach, 0), min(cy + reach, rows)
        if left >= right or top >= bottom:
            continue
        side = 2 * reach
        leaves = fractal_noise(side, side, 14, rng, 0.85)
        lobes = fractal_noise(side, side, 0.55 * radius * DENSITY, rng)
        v, u = (np.mgrid[0:side, 0:side].astype(np.float32) - reach) / (radius * DENSITY)
        edge = share * (0.72 + 0.5 * lobes + 0.25 * (leaves - 0.5)) - np.hypot(u, v)
        alpha = np.clip(edge * 14, 0, 1)
        sunlit = 1 - 0.34 * (u * SUN[0] + v * SUN[1]) / share
        colour = hue * (bright * sunlit * (0.45 + 1.1 * leaves))[..., None]
        cut = np.s_[top - cy + reach : bottom - cy + reach, left - cx + reach : right - cx + reach]
        blend(slices[level][top:bottom, left:right], np.dstack([colour, np.full_like(alpha, 255)])[cut], alpha[cut])


def add_house(slices: list[Floats], x: float, y: float, size: Point, angle: float, tile: Colour) -> None:
    """Walls in the lower slices and a tiled saddle roof on top."""
    reach = math.hypot(*size)
    left, top = (round(max(at - reach, 0) * DENSITY) for at in (x, y))
    window = np.s_[top : round((y + reach) * DENSITY), left : round((x + reach) * DENSITY)]
    for level in (0, 1):
        blend(slices[level], (150, 168, 178, 255), fill(rectangle(x, y, size[0] - 0.6, size[1] - 0.6, angle)))
    roof = fill(rectangle(x, y, *size, angle))[window]
    v, u = np.mgrid[0 : roof.shape[0], 0 : roof.shape[1]].astype(np.float32) / DENSITY
    u, v = u + left / DENSITY - x, v + top / DENSITY - y
    along, across = u * math.cos(angle) + v * math.sin(angle), v * math.cos(angle) - u * math.sin(angle)
    courses = 0.9 + 0.1 * np.sin(2 * np.pi * across / 0.42) + 0.05 * np.sin(2 * np.pi * along / 0.5)
    ridge = 0.3 * np.exp(-((across / 0.14) ** 2))
    colour = np.array(tile, np.float32) * (np.where(across < 0, 1.12, 0.78) * courses + ridge)[..., None]
    blend(slices[2][window], np.dstack([colour, np.full_like(roof, 255)]), roof)
    stack = rectangle(x + 0.25 * size[0] * math.cos(angle), y + 0.25 * size[0] * math.sin(angle), 0.9, 0.9, angle)
    blend(slices[2], (92, 104, 140, 255), fill(stack))


def add_bridge(slices: list[Floats], rng: np.random.Generator) -> None:
    """A double-track railway across the road: girders below; ballast, sleepers, rails and parapets above."""
    rows, columns = slices[0].shape[:2]
    x, y, heading = along_road(BRIDGE_AT)
    angle = heading + math.pi / 2
    tangent, normal = np.array((math.cos(angle), math.sin(angle))), np.array((-math.sin(angle), math.cos(angle)))
    centre = np.array((x, y))

    def line(side: float) -> NDArray[np.float64]:
        return np.array([centre + normal * side - tangent * 120, centre + normal * side + tangent * 120])

    blend(slices[1], (58, 62, 66, 255), stroke([line(0)], BRIDGE_WIDTH - 0.8))

    deck = stroke([line(0)], BRIDGE_WIDTH)
    stones = 0.62 + 0.6 * fractal_noise(columns, rows, 5, rng, 0.95)
    colour = np.array((108, 116, 128), np.float32) * stones[..., None]
    steps = np.arange(-118, 118, 0.65)
    for track in (-1.85, 1.85):
        sleepers = [
            np.array([centre + normal * (track - 1.15) + tangent * k, centre + normal * (track + 1.15) + tangent * k])
            for k in steps
        ]
        blend(colour, (74, 84, 98), stroke(sleepers, 0.26) * 0.85)
        rails = [line(track - 0.72), line(track + 0.72)]
        blend(colour, (60, 72, 96), stroke(rails, 0.22))
        blend(colour, (206, 208, 210), stroke(rails, 0.07))
    for side in (-BRIDGE_WIDTH / 2 + 0.25, BRIDGE_WIDTH / 2 - 0.25):
        blend(colour, (168, 174, 178), stroke([line(side)], 0.5))
        blend(colour, (120, 124, 128), stroke([line(side)], 0.12))
    blend(slices[2], np.dstack([colour, np.full_like(deck, 255)]), deck)


def add_trees(slices: list[Floats], rng: np.random.Generator) -> None:
    """Woods and single trees clear of road, yard and bridge, and a few whose branches hang over the lane."""
    _, px, py = road_path()[::10].T
    x, y, heading = along_road(BRIDGE_AT)
    placed: list[tuple[float, float, float]] = []
    while len(placed) < 170:
        tx, ty, radius = rng.uniform(-2, WORLD[0] + 2), rng.uniform(-2, WORLD[1] + 2), rng.uniform(1.3, 3.4)
        wood = math.sin(tx * 0.09 + 1.0) + math.cos(ty * 0.13) + 0.6 * math.sin((tx + ty) * 0.05)
        off_road = np.hypot(px - tx, py - ty).min() > ROAD_WIDTH / 2 + 1.1 * radius + 0.9
        off_bridge = abs((tx - x) * math.cos(heading) + (ty - y) * math.sin(heading)) > BRIDGE_WIDTH / 2 + radius + 1
        off_yard = not (34 - radius < tx < 61 + radius and 14 - radius < ty < 39)
        off_field = not (44 < tx < 92 and ty > 64)
        apart = all(math.hypot(tx - a, ty - b) > 0.62 * (radius + c) for a, b, c in placed)
        if off_road and off_bridge and off_yard and off_field and apart and wood > rng.uniform(-1.2, 1.1):
            placed.append((tx, ty, radius))
    for s, side, radius in OVERHANGING:
        ox, oy, angle = along_road(s)
        placed.append((ox - side * math.sin(angle), oy + side * math.cos(angle), radius))
    for tx, ty, radius in sorted(placed, key=lambda tree: tree[2]):
        add_tree(slices, tx, ty, radius, rng)


@lru_cache(maxsize=1)
def build_world() -> World:
    """Draw the map once; about three seconds on one core."""
    rng = np.random.default_rng(SEED)
    columns, rows = map_size()
    ground = paint_meadow(rng)
    paint_yard(ground, rng)
    paint_road(ground, rng)
    slices = [np.zeros((rows, columns, 4), np.float32) for _ in SLICES]
    add_house(slices, 46, 20, (17, 9), -0.12, (66, 86, 168))
    add_house(slices, 57.5, 24, (7, 6), -0.12 + math.pi / 2, (84, 92, 112))
    add_house(slices, 112, 82, (12, 8), 0.3, (58, 74, 150))
    add_trees(slices, rng)
    add_bridge(slices, rng)
    shade = np.zeros((rows, columns), np.float32)
    for height, layer in zip(SLICES, slices, strict=True):
        move = similarity(1, 0, SUN[0] * height * DENSITY, SUN[1] * height * DENSITY)
        shade = np.maximum(shade, cv2.warpAffine(layer[..., 3] / 255, move, (columns, rows)))
    light = 1 - 0.52 * cv2.GaussianBlur(shade, (0, 0), 2.5)
    clouds = fractal_noise(columns // 8, rows // 8, 70, rng, 0.4)
    return World(
        ground=np.clip(np.dstack([ground, 255 * light]), 0, 255).astype(np.uint8),
        slices=tuple(np.clip(layer, 0, 255).astype(np.uint8) for layer in slices),
        clouds=np.clip((clouds - 0.35) * 3, 0, 1),
    )


# ---------------------------------------------------------------- vehicles

CAR_LENGTH, CAR_WIDTH = 4.5, 1.95
SPRITE_DENSITY, SPRITE_OVERSAMPLING = 24, 4
SPRITE_SIZE = (round(5.0 * SPRITE_DENSITY), round(2.6 * SPRITE_DENSITY))
SPRITE_ORIGIN = (-SPRITE_SIZE[0] / 2 + 0.5, -SPRITE_SIZE[1] / 2 + 0.5)  # moves the sprite's centre to (0, 0)


def body_outline() -> NDArray[np.float64]:
    """The car's outline in metres, front towards +x: a superellipse, nearly a rounded rectangle."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = np.sign(c) * np.abs(c) ** 0.42 * CAR_LENGTH / 2
    y = np.sign(s) * np.abs(s) ** 0.36 * CAR_WIDTH / 2
    return np.column_stack([x, y * (1 - 0.035 * x)])


def vehicle_sprite(paint: Colour, stripe: Colour | None = None, number: str = "") -> Image:
    """A car from above as premultiplied BGRA, front to the right."""
    density = SPRITE_DENSITY * SPRITE_OVERSAMPLING
    columns, rows = (SPRITE_OVERSAMPLING * side for side in SPRITE_SIZE)
    image = np.zeros((rows, columns, 3), np.float32)

    def mask(*polygons: object) -> Floats:
        canvas = np.zeros((rows, columns), np.uint8)
        for polygon in polygons:
            points = np.asarray(polygon, float) * density + (columns / 2, rows / 2)
            cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return canvas.astype(np.float32) / 255

    def mirrored(polygon: list[Point]) -> tuple[list[Point], list[Point]]:
        return polygon, [(x, -y) for x, y in polygon]

    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = (x - columns / 2) / density, (y - rows / 2) / density
    image[:] = paint
    if stripe is not None:
        blend(image, stripe, mask(*mirrored([(-2.3, 0.12), (2.3, 0.12), (2.3, 0.42), (-2.3, 0.42)])))
    rounding = np.clip(1.12 - 0.55 * np.abs(y / (CAR_WIDTH / 2)) ** 3 - 0.12 * np.abs(x / 2.25) ** 4, 0.4, 1.2)
    image *= (rounding * (1 - 0.1 * y))[..., None]
    blend(image, (30, 28, 28), mask(*mirrored([(2.1, 0.79), (0.95, 0.83), (0.95, 0.8), (2.1, 0.75)])) * 0.5)
    blend(image, (40, 34, 30), mask([(1.0, -0.74), (1.12, 0), (1.0, 0.74), (0.42, 0.62), (0.42, -0.62)]))  # windscreen
    blend(image, (190, 176, 160), mask([(0.95, -0.5), (1.04, -0.15), (0.5, -0.2), (0.47, -0.45)]) * 0.45)
    blend(image, (44, 38, 34), mask([(-1.1, -0.62), (-1.1, 0.62), (-1.55, 0.7), (-1.62, 0), (-1.55, -0.7)]))  # rear
    blend(image, (36, 32, 30), mask(*mirrored([(0.38, 0.67), (-1.0, 0.67), (-1.1, 0.8), (0.72, 0.82)])))  # sides
    blend(image, paint, mask(*mirrored([(-0.32, 0.66), (-0.42, 0.66), (-0.42, 0.83), (-0.32, 0.83)])))
    blend(image, (215, 240, 250), mask(*mirrored([(2.16, 0.5), (2.02, 0.86), (1.86, 0.86), (2.02, 0.5)])))  # lamps
    blend(image, (40, 30, 190), mask(*mirrored([(-2.16, 0.45), (-2.06, 0.85), (-1.98, 0.85), (-2.08, 0.45)])))
    if number:  # a rally car: roof plate and spoiler
        blend(image, (34, 32, 32), mask([(-1.86, -0.86), (-1.86, 0.86), (-2.02, 0.86), (-2.02, -0.86)]))
        blend(image, (240, 240, 240), np.clip((0.56 - np.hypot(x + 0.36, y)) * 40, 0, 1))
        text = np.zeros((rows, columns), np.uint8)
        origin = (round(columns / 2 - 0.6 * density), round(rows / 2 + 0.3 * density))
        cv2.putText(text, number, origin, cv2.FONT_HERSHEY_SIMPLEX, 2.6, 255, 13, cv2.LINE_AA)
        blend(image, (30, 26, 26), text.astype(np.float32) / 255)
    mirrors = mirrored([(0.62, 0.9), (0.74, 1.14), (0.86, 1.14), (0.84, 0.9)])
    alpha = mask(body_outline(), *mirrors)
    premultiplied = np.dstack([np.clip(image, 0, 255) * alpha[..., None], alpha * 255])
    return np.round(cv2.resize(premultiplied, SPRITE_SIZE, interpolation=cv2.INTER_AREA)).astype(np.uint8)


@lru_cache(maxsize=1)
def vehicles() -> tuple[Vehicle, ...]:
    """The target first, then the distractors of its make."""
    red, blue, silver = (44, 34, 196), (150, 78, 30), (186, 184, 178)
    return (
        Vehicle(vehicle_sprite(red, (235, 238, 240), "7"), start=28.2, speed=5.6, lane=LANE),
        Vehicle(vehicle_sprite(blue, (235, 238, 240), "4"), start=83.7, speed=-7.0, lane=-LANE),
        Vehicle(vehicle_sprite(silver), start=145.2, speed=-6.5, lane=-LANE),
    )


# ---------------------------------------------------------------- the camera


@dataclass(frozen=True)
class Camera:
    """A pinhole looking straight down: position and altitude in metres, turn in radians."""

    x: float
    y: float
    altitude: float
    turn: float

    def view(self, height: float = 0.0) -> NDArray[np.float64]:
        """The affine matrix from metres at `height` above the ground to continuous picture coordinates."""
        scale = FOCAL / (self.altitude - height)
        centred = similarity(1, 0, -self.x, -self.y)
        return compose(similarity(scale, self.turn, WIDTH / 2, HEIGHT / 2), centred)

    def warp(self, layer: NDArray[Any], height: float = 0.0, density: float = DENSITY) -> NDArray[Any]:
        """What this camera sees of a map at `height`."""
        to_metres = similarity(1 / density, 0, 0.5 / density, 0.5 / density)
        place = compose(similarity(1, 0, -0.5, -0.5), self.view(height), to_metres)
        return cv2.warpAffine(layer, place, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def wander(t: float, slowest: float, seed: int) -> float:
    """Smooth random motion about zero, of unit size: six sines whose amplitude falls with their frequency (hertz)."""
    rng = np.random.default_rng((SEED, seed))
    octave = 1.7 ** np.arange(6)
    return float(np.sum(np.sin(2 * np.pi * slowest * octave * t + rng.uniform(0, 2 * np.pi, 6)) / octave)) / 1.3


def camera_at(t: float, scenario: Scenario) -> Camera:
    """A hand on the stick: follows the car late and loosely, descends slowly, trembles."""
    target = vehicles()[0]
    lags = np.linspace(-1.6, 0.8, 13)
    turned = 2 * scenario.follow_until
    x, y = np.mean([target.pose(max(min(at, turned - at), 0))[:2] for at in t + lags], axis=0)
    descent = 0.5 - 0.5 * math.cos(math.pi * min(max((t - 1.0) / 9.5, 0), 1))
    return Camera(
        x=x + 2.6 * wander(t, 0.08, 1) + 0.09 * wander(t, 0.9, 2),
        y=y + 1.7 * wander(t, 0.09, 3) + 0.09 * wander(t, 0.8, 4),
        altitude=53.0 - 24.5 * descent + 0.25 * wander(t, 0.3, 5),
        turn=0.12 + 0.1 * wander(t, 0.06, 6) + 0.006 * wander(t, 0.8, 7),
    )


# ---------------------------------------------------------------- the picture


def place_sprite(vehicle: Vehicle, camera: Camera, t: float, shift: Point = (0.0, 0.0)) -> NDArray[np.float64]:
    """The affine matrix from sprite pixels to picture pixels; `shift` moves it over the ground, in metres."""
    x, y, heading = vehicle.pose(t)
    pose = similarity(1 / SPRITE_DENSITY, heading, x + shift[0], y + shift[1])
    return compose(similarity(1, 0, -0.5, -0.5), camera.view(0.8), pose, similarity(1, 0, *SPRITE_ORIGIN))


def add_vehicle(picture: Floats, vehicle: Vehicle, camera: Camera, t: float) -> None:
    """Darken the ground beneath a vehicle and lay the vehicle over it, where either is in the picture."""
    body = place_sprite(vehicle, camera, t)
    shadow = place_sprite(vehicle, camera, t, (0.9 * SUN[0], 0.9 * SUN[1]))
    corners = np.array([(0, 0), (SPRITE_SIZE[0], 0), SPRITE_SIZE, (0, SPRITE_SIZE[1])])
    reached = np.concatenate([corners @ place[:, :2].T + place[:, 2] for place in (body, shadow)])
    left, top = np.clip(np.floor(reached.min(axis=0)).astype(int) - 4, 0, (WIDTH, HEIGHT))
    right, bottom = np.clip(np.ceil(reached.max(axis=0)).astype(int) + 5, 0, (WIDTH, HEIGHT))
    if left >= right or top >= bottom:
        return
    window, size = picture[top:bottom, left:right], (int(right - left), int(bottom - top))
    to_window = similarity(1, 0, -left, -top)
    shade = cv2.warpAffine(vehicle.sprite[..., 3], compose(to_window, shadow), size).astype(np.float32)
    window *= (1 - 0.55 / 255 * cv2.GaussianBlur(shade, (0, 0), 1.2))[..., None]
    seen = cv2.warpAffine(vehicle.sprite, compose(to_window, body), size).astype(np.float32)
    window *= 1 - seen[..., 3:] / 255
    window += seen[..., :3]


def expose(t: float, scenario: Scenario) -> Floats:
    """One instant, before blur, lens and noise."""
    world, camera = build_world(), camera_at(t, scenario)
    ground = camera.warp(world.ground).astype(np.float32)
    picture = np.ascontiguousarray(ground[..., :3])
    for vehicle in vehicles() if scenario.traffic else vehicles()[:1]:
        add_vehicle(picture, vehicle, camera, t)
    picture *= ground[..., 3:] / 255
    for height, layer in zip(SLICES, world.slices, strict=True):
        seen = camera.warp(layer, height).astype(np.float32)
        picture *= 1 - seen[..., 3:] / 255
        picture += seen[..., :3]
    drift = Camera(camera.x + 5.0 * t - 20, camera.y + 1.5 * t, camera.altitude, camera.turn)
    picture *= (1.06 - 0.2 * drift.warp(world.clouds, density=DENSITY / 8))[..., None]
    return picture


def render_frame(index: int, scenario: Scenario) -> Image:
    """Frame `index` as a camera delivers it: uint8 HEIGHT x WIDTH x 3, BGR."""
    t = index / FPS
    instants = [t + SHUTTER / FPS * ((k + 0.5) / EXPOSURES - 0.5) for k in range(EXPOSURES)]
    picture: Floats = np.mean([expose(instant, scenario) for instant in instants], axis=0)
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    picture *= ((1.06 + 0.04 * wander(t, 0.15, 8)) * (1 - 0.1 * (x**2 + y**2)))[..., None]
    rng = np.random.default_rng((SEED, index))
    picture += rng.normal(0, 1.6, picture.shape)
    return np.clip(np.round(picture), 0, 255, out=picture).astype(np.uint8)


def true_box(index: int, scenario: Scenario) -> Box | None:
    """The whole target's box in frame `index`, clipped to the picture; None while it cannot be seen."""
    t = index / FPS
    camera, target, world = camera_at(t, scenario), vehicles()[0], build_world()
    x, y, heading = target.pose(t)
    to_picture = compose(camera.view(0.8), similarity(1, heading, x, y))
    outline = body_outline() @ to_picture[:, :2].T + to_picture[:, 2]
    whole_area = cv2.contourArea(outline.astype(np.float32))
    sprite = cv2.warpAffine(target.sprite[..., 3], place_sprite(target, camera, t), (WIDTH, HEIGHT))
    mask = sprite.astype(np.float32) / 255
    for height, layer in zip(SLICES, world.slices, strict=True):
        mask *= 1 - camera.warp(np.ascontiguousarray(layer[..., 3]), height).astype(np.float32) / 255
    if mask.sum() < whole_area / 20:
        return None
    left, top = np.maximum(outline.min(axis=0), 0)
    right, bottom = np.minimum(outline.max(axis=0), (WIDTH, HEIGHT))
    return float(left), float(top), float(right - left), float(bottom - top)


def render(name: str = "demo") -> Iterator[tuple[Image, Box | None]]:
    """Yield every frame of a scenario with the target's true box (None: not to be seen)."""
    scenario = SCENARIOS[name]
    for index in range(scenario.frames):
        yield render_frame(index, scenario), true_box(index, scenario)


# ---------------------------------------------------------------- files


def write_clip(name: str, output: Path, quality: int) -> None:
    """Encode a scenario as H.264 and write its ground truth beside it."""
    import av  # only the encoder needs it

    boxes: list[Box | None] = []
    with av.open(str(output), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": str(quality), "preset": "veryslow", "bf": "0", "threads": "1"}
        for image, box in render(name):
            boxes.append(box)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    lines = ["nan,nan,nan,nan" if box is None else ",".join(f"{value:.2f}" for value in box) for box in boxes]
    output.with_name(f"{output.stem}_groundtruth.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    first = [round(value, 2) for value in boxes[0] or ()]
    output.with_name(f"{output.stem}_box.json").write_text(json.dumps([first]) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the demonstration clip and its ground truth.")
    parser.add_argument("--scenario", choices=SCENARIOS, default="demo")
    parser.add_argument("--output", type=Path, required=True, help="an .mp4 file; ground truth is written beside it")
    parser.add_argument("--quality", type=int, default=20, help="H.264 rate factor: lower is better and larger")
    parser.add_argument("--overwrite", action="store_true")
    arguments = parser.parse_args()
    if arguments.output.exists() and not arguments.overwrite:
        parser.error(f"{arguments.output} exists; pass --overwrite to replace it")
    write_clip(arguments.scenario, arguments.output, arguments.quality)
    print(f"{arguments.output}: {SCENARIOS[arguments.scenario].frames} frames, {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
