"""The colours of a target: against plain loops, and as what keeps a lost target from being found in a look-alike."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.colour import AGEING, BINS, EVERY, FLOOR, INSIDE, PLACES, STEADIEST, ColourModel
from tracker.result import TrackState

RED, BLUE, GREEN = (30, 40, 200), (200, 60, 40), (60, 150, 60)
CENTRE, SIZE = (60.0, 50.0), (20.0, 30.0)


def scene(colour: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """(100, 160, 3) noisy green with an upright rectangle of another colour at `CENTRE`."""
    image = np.empty((100, 160, 3), np.float64)
    image[:] = GREEN
    image[35:65, 50:70] = colour
    noise = np.random.default_rng(seed).normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_the_ratio_is_that_of_two_histograms():
    """Bin by bin by a loop over pixels, each shared among its neighbours."""
    image = scene(RED)
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)

    def shares(pixels: list[np.ndarray]) -> np.ndarray:
        found = np.zeros(BINS)
        for pixel in pixels:
            place = [value / 256 * count - 0.5 for value, count in zip(pixel.tolist(), BINS, strict=True)]
            for corner in np.ndindex(2, 2, 2):
                share, at = 1.0, []
                for value, step, count in zip(place, corner, BINS, strict=True):
                    below = int(np.floor(value))
                    share *= value - below if step else 1 - (value - below)
                    at.append(min(max(below + step, 0), count - 1))
                found[tuple(at)] += share
        return found / len(pixels)

    def places(side: float, count: int) -> list[tuple[float, float]]:
        steps = [(k + 0.5) / count - 0.5 for k in range(count)]
        return [(x * side, y * side) for y in steps for x in steps]  # in sides of the box

    def looked_at(chosen: list[tuple[float, float]]) -> list[np.ndarray]:
        return [lab[int(CENTRE[1] + y * SIZE[1]), int(CENTRE[0] + x * SIZE[0])] for x, y in chosen]

    target = shares(looked_at(places(INSIDE, PLACES)))
    around = shares(looked_at([(x, y) for x, y in places(2.0, 2 * PLACES) if max(abs(x), abs(y)) > 0.625]))
    expected = np.log((target + FLOOR) / (around + FLOOR))
    np.testing.assert_allclose(ColourModel(image, CENTRE, SIZE).ratio, expected, atol=1e-5)


def test_another_colour_in_the_same_shape_is_unfamiliar():
    model = ColourModel(scene(RED), CENTRE, SIZE)
    assert model.likeness(scene(RED, 1), CENTRE, SIZE) > 2
    assert model.likeness(scene(BLUE, 1), CENTRE, SIZE) < 0.1
    assert model.familiar(model.likeness(scene(RED, 1), CENTRE, SIZE), lost=True)
    assert not model.familiar(model.likeness(scene(BLUE, 1), CENTRE, SIZE), lost=True)
    assert not model.familiar(model.likeness(scene(RED, 1), (120.0, 50.0), SIZE), lost=True)  # what was around it


def test_how_much_a_target_varies_is_learned():
    """What a steady target may not do, one that changes may."""
    paler = tuple(int(0.6 * a + 0.4 * b) for a, b in zip(RED, GREEN, strict=True))
    steady, changing = (ColourModel(scene(RED), CENTRE, SIZE) for _ in range(2))
    for index in range(60 * EVERY):
        for model, colour in ((steady, RED), (changing, RED if index // EVERY % 2 else paler)):
            model.agrees(scene(colour, index), CENTRE, SIZE, TrackState.TRACKING)
            model.watch()
    seen = steady.likeness(scene(paler, 999), CENTRE, SIZE)
    assert steady.variance**0.5 < STEADIEST < changing.variance**0.5
    assert not steady.familiar(seen, lost=True)
    assert changing.familiar(seen, lost=True)


def test_colours_are_believed_less_the_longer_they_were_not_seen():
    model = ColourModel(scene(RED), CENTRE, SIZE)
    model.variance = 0.0
    seen = model.mean - 4.0
    frames = 0
    while not model.familiar(seen, lost=True):
        model.agrees(scene(RED), CENTRE, SIZE, TrackState.UNCERTAIN)
        frames += 1
    assert frames == math.ceil((4 / 3) ** 2 / AGEING - 1e-6)


def test_what_was_unfamiliar_is_looked_at_until_it_is_familiar():
    """Red, blue in one of the frames that are looked at and the three after it, red again."""
    model = ColourModel(scene(RED), CENTRE, SIZE)
    model.variance = 0.0
    shown = [RED] * (EVERY - 1) + [BLUE] * EVERY + [RED] * (EVERY + 1)  # a look is the last
    found = [model.agrees(scene(colour), CENTRE, SIZE, TrackState.TRACKING) for colour in shown]
    assert found == [colour is RED for colour in shown]
    assert all(model.agrees(scene(BLUE), CENTRE, SIZE, TrackState.TRACKING) for _ in range(EVERY - 1))
    assert not model.agrees(scene(BLUE), CENTRE, SIZE, TrackState.TRACKING)


def test_what_was_followed_may_lose_twice_as_much():
    model = ColourModel(scene(RED), CENTRE, SIZE)
    model.variance = 0.25
    within, beyond = model.mean - 5.9 * 0.5, model.mean - 6.1 * 0.5
    assert not model.familiar(within, lost=True)
    assert model.familiar(within, lost=False)
    assert not model.familiar(beyond, lost=False)


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
    st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)),
    st.sampled_from([(1, 1), (2, 300), (100, 160)]),
)
def test_any_box_in_any_image_has_a_likeness(
    centre: tuple[float, float], size: tuple[float, float], shape: tuple[int, int]
):
    image = np.full((*shape, 3), 77, np.uint8)
    model = ColourModel(image, centre, size)
    assert all(model.agrees(image, centre, size, state) for state in TrackState)
    model.watch()
    assert model.likeness(image, centre, size) == pytest.approx(0, abs=1e-5)  # of one colour: nothing to tell apart
