"""Clips with a long absence: what is seen is where the truth says, nothing is seen while the target is away."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import absence
from benchmarks.absence import Tally, Window, compose
from benchmarks.metrics import success_auc
from benchmarks.results import Run
from benchmarks.sequence import Sequence

SIZE = WIDTH, HEIGHT = 200, 120
TARGET, OTHER = 230, 200  # grey values


@dataclass(frozen=True)
class Made:
    """Noise with a bright box, as a sequence's frames."""

    boxes: tuple[tuple[float, ...], ...]
    value: int

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.at(index) for index in range(len(self)))

    def at(self, index: int) -> np.ndarray:
        image = np.random.default_rng(index).integers(0, 60, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        if not np.isnan(self.boxes[index]).any():
            x, y, w, h = map(int, self.boxes[index])
            image[y : y + h, x : x + w] = self.value
        return image

    def part(self, start: int, stop: int) -> Made:
        return Made(self.boxes[start:stop], self.value)


def made(
    name: str = "a", frames: int = 130, value: int = TARGET, left: int = 20, absent: slice = slice(0, 0)
) -> Sequence:
    boxes = np.array([(left + frame // 4, 40 + frame % 5, 18, 14) for frame in range(frames)], float)
    boxes[absent] = np.nan
    return Sequence(name, boxes, Made(tuple(map(tuple, boxes.tolist())), value))


def seen(image: np.ndarray, value: int = TARGET) -> tuple[float, float, float, float] | None:
    """The box around what is as bright as the target."""
    rows, columns = np.nonzero((image == value).all(-1))
    if not len(rows):
        return None
    return columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1


@pytest.mark.parametrize("kind", absence.KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_the_truth_says_where_the_target_is_seen(kind: str, seed: int) -> None:
    clip = compose(made(absent=slice(20, 24)), made("b", value=OTHER), kind, seed)
    frames = list(clip.frames)
    assert len(frames) == len(clip)
    assert {frame.shape for frame in frames} == {frames[0].shape}
    for frame, box in zip(frames, clip.boxes, strict=True):
        if np.isnan(box).any():
            assert seen(frame) is None
            assert kind != "erased" or frame.max() < 100
        else:
            assert seen(frame) == tuple(box)
    assert any(seen(frame, OTHER) is not None for frame in frames) == (kind == "foreign")


@pytest.mark.parametrize("kind", absence.KINDS)
def test_the_absence_is_long_and_the_return_far_away(kind: str) -> None:
    lengths = set()
    for seed in range(8):
        clip = compose(made(), made("b"), kind, seed)
        visible = np.isfinite(clip.boxes).all(1)
        gone, back = np.flatnonzero(np.diff(visible.astype(int))) + 1
        assert visible[:gone].all()
        assert visible[back:].all()
        assert 25 <= gone <= 75
        assert gone == len(clip) - back
        assert 75 <= back - gone <= 250
        lengths.add(back - gone)
        moved = np.abs(clip.boxes[back, :2] - clip.boxes[gone - 1, :2]).max()
        assert moved > 0.4 * clip.frames.at(0).shape[1]
    assert len(lengths) > 4


def test_a_clip_is_the_same_again_and_another_seed_gives_another() -> None:
    first, again, other = (compose(made(), made("b"), "erased", seed) for seed in (3, 3, 4))
    assert first.name == again.name != other.name
    assert np.array_equal(first.boxes, again.boxes, equal_nan=True)
    assert all(np.array_equal(a, b) for a, b in zip(first.frames, again.frames, strict=True))
    assert len(first) != len(other) or not np.array_equal(first.boxes, other.boxes, equal_nan=True)


def test_frames_can_be_had_one_by_one_in_parts_and_from_a_pickle() -> None:
    clip = compose(made(), made("b"), "elsewhere", 1)
    frames = list(clip.frames)
    edge = int(np.flatnonzero(np.isnan(clip.boxes[:, 0]))[0])
    part = pickle.loads(pickle.dumps(clip)).part(edge - 3, edge + 4)
    assert len(part) == len(part.frames) == 7
    assert all(np.array_equal(a, b) for a, b in zip(part.frames, frames[edge - 3 : edge + 4], strict=True))
    assert np.array_equal(part.frames.part(2, 5).at(1), frames[edge])
    assert np.array_equal(clip.frames.at(len(clip) - 1), frames[-1])


def test_a_target_all_over_the_scene_is_erased_where_it_cannot_be_out_of_sight() -> None:
    boxes = [(90.0 - frame % 2, 50.0, 20.0, 20.0) for frame in range(80)]
    wide = Sequence("wide", np.array(boxes), Made(tuple(boxes), TARGET))
    assert absence._elsewhere(wide, SIZE, SIZE, 80) is not None  # a corner is free
    boxes = [(30.0, 20.0, 140.0, 80.0)] * 80
    large = Sequence("large", np.array(boxes), Made(tuple(boxes), TARGET))
    assert absence._elsewhere(large, SIZE, SIZE, 80) is None


def test_a_target_that_nothing_beside_it_can_cover_is_refused() -> None:
    boxes = [(10.0, 5.0, 180.0, 110.0)] * 130
    filling = Sequence("filling", np.array(boxes), Made(tuple(boxes), TARGET))
    assert absence.without_target(filling.frames.at(0), filling.boxes[0]) is None
    for kind in ("erased", "elsewhere"):
        with pytest.raises(ValueError, match="filling: its target leaves no room"):
            compose(filling, made(), kind)
    assert list(compose(filling, made("b", value=OTHER), "foreign").frames)


def test_a_long_video_has_its_absences_its_length_and_its_truth() -> None:
    sequence, foreign = made(), made("b", value=OTHER)
    video = absence.compose_long(sequence, foreign, minutes=1, absences=4, seed=1)
    frames = list(video.frames)
    assert len(frames) == len(video) == 60 * 25
    for frame, box in zip(frames, video.boxes, strict=True):
        assert seen(frame) == (None if np.isnan(box).any() else tuple(box))
    visible = np.isfinite(video.boxes[:, 0])
    edges = np.flatnonzero(np.diff(visible.astype(int))) + 1
    assert len(edges) == 8
    assert visible[0]
    assert visible[-1]
    away = edges[1::2] - edges[::2]
    assert ((away >= 75) & (away <= 250)).all()
    moves = np.abs(np.diff(video.boxes[:, :2], axis=0)).max(axis=1)
    assert np.nanmax(moves[visible[1:] & visible[:-1]]) <= 4  # it plays to and fro: no jump but over an absence
    there = np.abs(video.boxes[edges[1::2], :2] - video.boxes[edges[::2] - 1, :2]).max(axis=1)
    assert there.min() > 0.3 * frames[0].shape[1]
    again = absence.compose_long(sequence, foreign, minutes=1, absences=4, seed=1)
    assert np.array_equal(again.boxes, video.boxes, equal_nan=True)


def test_a_long_video_without_foreign_footage_shows_none() -> None:
    sequence, foreign = made(), made("b", value=OTHER)
    video = absence.compose_long(sequence, foreign, minutes=0.5, absences=2, kinds=("erased",))
    assert all(seen(frame, OTHER) is None for frame in video.frames)
    with pytest.raises(ValueError, match=r"9 absences of 75 to 250 frames do not fit into 0\.5 minutes"):
        absence.compose_long(sequence, foreign, minutes=0.5, absences=9)


def test_what_cannot_be_composed_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of absence 'magic'; there are elsewhere"):
        compose(made(), made(), "magic")
    with pytest.raises(ValueError, match="a: its target is nowhere in sight for 50 frames"):
        compose(made(frames=100, absent=slice(0, 100, 40)), made(), "erased")
    with pytest.raises(ValueError, match="two sequences"):
        next(absence.clips([made()]))


def test_a_window_shows_boxes_where_it_shows_their_pixels() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[30:50, 60:90] = TARGET
    box = np.array([[60.0, 30.0, 30.0, 20.0]])
    for mirror in (False, True):
        window = Window(40, 10, 100, 80, mirror)
        assert window.contains(box)
        assert seen(window.see(image, (100, 80))) == tuple(window.boxes(box)[0])
    assert not Window(61, 10, 100, 80).contains(box)
    assert not Window(0, 0, 60, 60).free_of(box)[0]  # its margin is still in sight
    assert Window(0, 0, 54, 60).free_of(box)[0]
    assert Window(0, 0, 54, 60).free_of(np.full((1, 4), np.nan))[0]


def test_painting_over_hides_the_target_and_touches_little_else() -> None:
    image = made().frames.at(0)
    painted = absence.without_target(image, made().boxes[0])
    assert painted is not None
    assert painted.dtype == np.uint8
    assert painted.max() < 100
    assert np.array_equal(painted[:30], image[:30])
    assert np.array_equal(painted[:, 70:], image[:, 70:])
    assert image.max() == TARGET, "the frame itself stays"


def test_a_target_that_fills_the_picture_cannot_be_painted_over() -> None:
    assert absence.without_target(np.zeros((50, 50, 3), np.uint8), np.array([5.0, 5, 40, 40])) is None


# ---------------------------------------------------------------- measuring


def _run(boxes: np.ndarray, states: list[str]) -> Run:
    return Run(boxes, np.full(len(boxes), 0.01), np.ones(len(boxes)), states)


def _truth() -> np.ndarray:
    truth = np.tile([10.0, 10.0, 20.0, 20.0], (140, 1))
    truth[40:100] = np.nan
    return truth


def test_a_tracker_that_is_always_right_has_nothing_against_it() -> None:
    truth = _truth()
    states = ["lost" if np.isnan(row).any() else "tracking" for row in truth]
    tally = Tally()
    tally.add(truth, _run(np.tile([10.0, 10.0, 20.0, 20.0], (140, 1)), states))
    best = round(20 / 21, 4)
    expected = (best, best, 1.0, 1.0, 0.0, 0.0)
    assert tuple(tally.summary().values()) == pytest.approx(expected)


def test_each_mistake_is_counted_once() -> None:
    truth = _truth()
    boxes = np.tile([10.0, 10.0, 20.0, 20.0], (140, 1))
    boxes[60:130] = (100.0, 100.0, 20.0, 20.0)  # on something else, until ten frames before the end
    states = ["tracking"] * 30 + ["lost"] * 10 + ["uncertain"] * 20 + ["tracking"] * 30 + ["lost"] + ["tracking"] * 49
    tally = Tally()
    tally.add(truth, _run(boxes, states))
    found = tally.summary()
    assert found["auc"] == pytest.approx(success_auc([1.0] * 39 + [0.0] * 30 + [1.0] * 10), abs=1e-4)
    assert found["auc after return"] == pytest.approx(success_auc([0.0] * 30 + [1.0] * 10), abs=1e-4)
    assert found["lost soon"] == 0
    assert found["found soon"] == 0
    assert found["right, but lost"] == pytest.approx(10 / 50)
    assert found["astray"] == 2  # 60 … 89, and 91 … 129


def test_every_return_of_a_long_video_counts_and_mistakes_are_counted_by_the_hour() -> None:
    truth = np.vstack([_truth()] * 3)
    boxes = np.tile([10.0, 10.0, 20.0, 20.0], (len(truth), 1))
    boxes[200:280] = (100.0, 100.0, 20.0, 20.0)  # on something else after the second departure
    states = ["tracking"] * 41 + ["lost"] * 159 + ["tracking"] * 220
    tally = Tally()
    tally.add(truth, _run(boxes, states))
    assert tally.lost_soon == [True, True, False]
    assert tally.found_soon == [True, False, True]
    assert tally.followed_soon == [False, False, True]  # first time on the target, but LOST
    # from 200 to 280 and during the third absence, 320 to 380
    found = tally.long_term()
    assert found["followed again in 1 s"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["wrong, times/h"] == pytest.approx(2 / (420 / 25 / 3600), abs=0.01)


def test_who_was_not_on_the_target_cannot_notice_that_it_leaves() -> None:
    truth = _truth()
    tally = Tally()
    tally.add(truth, _run(np.tile([100.0, 100.0, 20.0, 20.0], (140, 1)), ["lost"] * 140))
    assert tally.lost_soon == []
    assert np.isnan(tally.summary()["lost soon"])


# ---------------------------------------------------------------- command line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, left in (("first", 20), ("second", 60)):
        sequence = made(left=left, frames=60)
        folder = tmp_path / name / "img"
        folder.mkdir(parents=True)
        for index, frame in enumerate(sequence.frames):
            cv2.imwrite(str(folder / f"{index + 1:04d}.png"), frame)
        rows = sequence.boxes + (1, 1, 0, 0)
        (tmp_path / name / "groundtruth_rect.txt").write_text("\n".join(",".join(map(str, row)) for row in rows))
    return tmp_path


def test_the_command_line_compares_trackers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "--data",
        str(data),
        "--sequences",
        "first",
        "second",
        "--kinds",
        "erased",
        "--tracker",
        "still",
        "b=still",
    ]
    assert absence.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["still", "b"]
    assert found["still"]["right, but lost"] == 0
    assert found["still"]["astray"] >= 1
    assert found["still"] == {**found["b"], "frames/s": found["still"]["frames/s"]}
    assert absence.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 clips, ")
    assert [line.count("|") for line in lines[2:]] == [9] * 4
    assert [a.split("|")[1].strip() for a, _ in pairwise([*lines[4:], ""])] == ["still", "b"]


def test_the_command_line_makes_long_videos(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--data", str(data), "--sequences", "first", "second", "--tracker", "still"]
    assert absence.main([*command, "--minutes", "0.5", "--absences", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 clips, 1,500 frames"
    assert "followed again in 1 s | wrong, times/h | frames/s" in lines[2]
    assert absence.main([*command, "--minutes", "0.1"]) == 2
    assert "do not fit into 0.1 minutes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sequences", "third"], "third"),
        (["--sequences", "first"], "two sequences"),
        (["--sequences", "first", "second", "--tracker", "still"], "two trackers are called still"),
    ],
)
def test_the_command_line_says_in_one_line_what_is_wrong(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert absence.main(["--data", str(data), "--tracker", "still", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
