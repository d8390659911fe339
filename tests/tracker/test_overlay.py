"""The overlay shows where a target is, how sure that is, and nothing where it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.overlay import COLOURS, draw
from tracker.result import TrackResult, TrackState

GREY = 110


def canvas(width=640, height=480):
    return np.full((height, width, 3), GREY, np.uint8)


def result(box, state=TrackState.TRACKING, score=0.87):
    return TrackResult(box, score, state)


def is_colour(image, state):
    """HxW mask of the pixels that have the colour of a state."""
    return np.abs(image.astype(int) - COLOURS[state]).max(axis=2) <= 24


def share_of_outline(image, box, state):
    """How much of the box's outline is drawn in the colour of `state`."""
    x, y, w, h = (round(value) for value in box)
    mask = is_colour(image, state)
    near = np.maximum.reduce([np.roll(mask, shift, axis) for axis in (0, 1) for shift in (-1, 0, 1)])
    sides = [near[y, x : x + w], near[y + h, x : x + w], near[y : y + h, x], near[y : y + h, x + w]]
    return float(np.concatenate(sides).mean())


def test_the_image_given_is_not_changed():
    image = canvas()
    drawn = draw(image, {1: result((100, 100, 80, 60))})
    assert (image == GREY).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert not np.shares_memory(drawn, image)


def test_no_target_is_a_plain_copy():
    image = canvas()
    drawn = draw(image, {})
    assert drawn is not image
    assert np.array_equal(drawn, image)


def test_a_tracked_box_is_solid_an_uncertain_one_dashed_a_lost_one_absent():
    box = (200.0, 150.0, 160.0, 120.0)
    shares = {state: share_of_outline(draw(canvas(), {1: result(box, state)}), box, state) for state in TrackState}
    assert shares[TrackState.TRACKING] > 0.97
    assert 0.4 < shares[TrackState.UNCERTAIN] < 0.75
    assert shares[TrackState.LOST] < 0.35


def test_a_lost_box_shows_neither_of_the_good_colours():
    drawn = draw(canvas(), {1: result((200, 150, 160, 120), TrackState.LOST)})
    assert not is_colour(drawn, TrackState.TRACKING).any()
    assert not is_colour(drawn, TrackState.UNCERTAIN).any()
    assert is_colour(drawn, TrackState.LOST).any()
    assert (drawn[205:215, 200:202] == GREY).all()  # the middle of its left side


@pytest.mark.parametrize(("width", "height"), [(320, 240), (640, 480), (1920, 1080), (3840, 2160)])
def test_lines_are_centred_on_the_edges_and_grow_with_the_image(width, height):
    left, top = 0.25 * width, 0.5 * height
    drawn = draw(canvas(width, height), {1: result((left, top, 0.25 * width, 0.25 * height))})
    line = np.flatnonzero(is_colour(drawn, TrackState.TRACKING)[round(0.6 * height), : round(0.3 * width)])
    assert (line[0] + line[-1] + 1) / 2 == pytest.approx(left, abs=0.51)
    assert 0.002 < len(line) / min(width, height) < 0.01


def label_height(drawn):
    dark = drawn.max(axis=2) < 70
    return int(dark.sum(axis=0).max())


def test_labels_grow_with_the_image():
    target = {1: result((0, 0, 1, 1), TrackState.LOST)}
    small, large = (label_height(draw(canvas(*size), target)) for size in ((640, 480), (2560, 1920)))
    assert large > 2.5 * small


def test_the_label_differs_with_id_score_and_state():
    box = (100, 100, 80, 60)
    labels = [
        draw(canvas(), {1: result(box)}),
        draw(canvas(), {2: result(box)}),
        draw(canvas(), {1: result(box, score=0.12)}),
    ]
    for a, b in ((0, 1), (0, 2)):
        different = np.argwhere((labels[a] != labels[b]).any(axis=2))
        assert len(different)
        assert different[:, 0].max() < 100  # only above the box


@pytest.mark.parametrize("box", [(5, 2, 80, 60), (560, 2, 80, 60), (0, 0, 640, 480), (-50, 430, 80, 60)])
def test_a_label_stays_inside_the_image(box):
    whole = draw(canvas(), {1: result((200, 200, 80, 60))})
    light = (whole.min(axis=2) > 200).sum()  # the pixels of the letters
    drawn = draw(canvas(), {1: result(box)})
    assert (drawn.min(axis=2) > 200).sum() == light


@given(
    st.tuples(*[st.floats(-1e30, 1e30)] * 4) | st.tuples(*[st.floats(-50, 150)] * 4),
    st.sampled_from(TrackState),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
def test_any_box_in_any_image_is_drawn_without_a_crash(box, state, size):
    assert draw(canvas(*size), {1: result(box, state)}).shape == (size[1], size[0], 3)


def test_a_box_outside_the_image_draws_no_line():
    drawn = draw(canvas(), {1: result((5000, 200, 80, 60))})
    assert is_colour(drawn, TrackState.TRACKING)[:, 460:].sum() > 0  # the bar of its label
    assert not is_colour(drawn, TrackState.TRACKING)[240:, :].any()
    assert (drawn[:, :400] == GREY).all()


def test_a_good_box_lies_over_a_lost_one():
    box = (200.0, 150.0, 160.0, 120.0)
    for order in ((TrackState.LOST, TrackState.TRACKING), (TrackState.TRACKING, TrackState.LOST)):
        drawn = draw(canvas(), dict(enumerate(result(box, state) for state in order)))
        assert share_of_outline(drawn, box, TrackState.TRACKING) > 0.97


def test_grey_images_are_drawn_in_colour():
    drawn = draw(np.full((480, 640), GREY, np.uint8), {1: result((200, 200, 80, 60))})
    assert is_colour(drawn, TrackState.TRACKING).any()


def linear(colour):
    """BGR 0…255 → linear RGB."""
    return (np.array(colour[::-1]) / 255) ** 2.2


@pytest.mark.parametrize(
    "seen",
    [
        np.eye(3),
        # Viénot, Brettel and Mollon (1999): what protanopes and deuteranopes see, in linear RGB
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    ],
)
def test_colours_stay_apart_for_colour_blind_viewers(seen):
    colours = [np.clip(np.array(seen) @ linear(COLOURS[state]), 0, 1) ** (1 / 2.2) * 255 for state in TrackState]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(colours[a] - colours[b]) > 50
