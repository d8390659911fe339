"""Tracks drawn onto frames: colours that stay, trails that fade, boxes where they belong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.association.annotate import AnnotatedVideo, Annotator, TrackedBox, colour_of
from tracker.frame import Frame
from tracker.sinks import SinkError


def frame(index: int = 0, size: tuple[int, int] = (240, 320)) -> Frame:
    return Frame(index, index / 10, np.full((*size, 3), 90, np.uint8))


def painted(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(image.astype(int) - colour).max(-1) <= 2).nonzero()  # type: ignore[return-value]


def test_colours_stay_and_differ_for_twenty_ids() -> None:
    colours = [colour_of(id) for id in range(1, 22)]
    assert len(set(colours)) == 21
    assert colours == [colour_of(id + 21) for id in range(1, 22)]
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    assert colour_of(2**62) in colours


def test_a_box_is_drawn_in_its_colour_where_it_is() -> None:
    given = frame()
    drawn = Annotator(10).draw(given, [TrackedBox(3, (100.0, 80.0, 60.0, 100.0))])
    rows, columns = painted(drawn, colour_of(3))
    assert abs(columns.min() - 100) <= 2
    assert abs(columns.max() - 159) <= 2
    assert abs(rows.max() - 179) <= 2
    assert rows.min() < 80
    assert (given.image == 90).all()
    assert drawn.shape == given.image.shape
    assert (drawn[100:160, 110:150] == 90).all()


def test_what_fills_a_gap_is_thinner() -> None:
    box = (100.0, 80.0, 60.0, 100.0)
    size = (1080, 1440)
    seen, filled = (
        len(painted(Annotator(10).draw(frame(0, size), [TrackedBox(3, box, interpolated=kind)]), colour_of(3))[0])
        for kind in (False, True)
    )
    assert filled < 0.8 * seen


def test_a_trail_leads_from_where_the_feet_were_and_ends_after_its_time() -> None:
    annotator = Annotator(10, trail=1.0)
    annotator.draw(frame(0), [TrackedBox(1, (20.0, 20.0, 20.0, 60.0))])
    drawn = annotator.draw(frame(1), [TrackedBox(1, (220.0, 120.0, 20.0, 60.0))])
    middle = drawn[125:136, 125:136]  # between the feet at (30, 80) and (230, 180)
    assert len(painted(middle, colour_of(1))[0])
    gone = annotator.draw(frame(13), [])
    assert (gone == 90).all()
    assert (Annotator(10, trail=0).draw(frame(1), []) == 90).all()


def test_boxes_far_outside_and_images_too_small_for_a_label_do_no_harm() -> None:
    boxes = [TrackedBox(1, (-1e7, -1e7, 3e7, 3e7)), TrackedBox(2**62, (1e6, 5.0, 4.0, 4.0))]
    for size in ((240, 320), (3, 3)):
        assert Annotator(10).draw(frame(0, size), boxes).shape == (*size, 3)


def test_a_video_of_it_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with AnnotatedVideo(path, 10) as video:
        for index in range(5):
            video.add(frame(index), [TrackedBox(1, (100.0 + index, 80.0, 60.0, 100.0))])
    capture = cv2.VideoCapture(str(path))
    images = []
    while (read := capture.read())[0]:
        images.append(read[1])
    assert len(images) == 5
    assert np.abs(images[2].astype(int) - 90).max() > 50  # something is drawn
    with pytest.raises(SinkError, match="exists"):
        AnnotatedVideo(path, 10)
