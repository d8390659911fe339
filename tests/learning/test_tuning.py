"""Tuning: the search finds the top of a known function, goes on where it stopped, and never looks at a benchmark."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import optuna
import pytest

from benchmarks.datasets import read_sequence
from learning import tuning
from learning.calibration import Video
from learning.tuning import Config, Range
from tracker import SiamTracker, TrackResult, TrackState
from tracker.model import Model
from tracker.network import ModelCard
from tracker.result import Box

SPACE = {"window_influence": Range(0.0, 1.0), "online_rate": Range(0.001, 0.1, log=True), "patience": Range(1, 20)}
DEFAULT: Config = {"window_influence": 0.9, "online_rate": 0.002, "patience": 15}
NAMES = ["easy", "fair", "hard"]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _known(config: Config, name: str) -> float:
    """A hill with its top, 0.9, 0.8 or 0.7 high, at window 0.3, rate 0.02 and patience 8."""
    away = (config["window_influence"] - 0.3) ** 2 + (np.log10(config["online_rate"] / 0.02) / 2) ** 2
    return 0.9 - 0.1 * NAMES.index(name) - float(away) - ((config["patience"] - 8) / 20) ** 2


def _study(folder: Path) -> optuna.Study:
    return tuning.open_study(folder / "deep" / "tune.log", "known")


def _tried(study: optuna.Study) -> list[Config]:
    return [trial.user_attrs["config"] for trial in study.trials if trial.state.is_finished()]


# ---------------------------------------------------------------- search


def test_the_search_finds_the_top_of_a_known_function_and_says_how_much_was_gained(tmp_path: Path) -> None:
    study = _study(tmp_path)
    tuning.tune(study, _known, NAMES, SPACE, DEFAULT, 80)
    found = tuning.result(study)
    before = np.mean([_known(DEFAULT, name) for name in NAMES])
    assert found.whole + found.stopped == 80
    assert found.default.config == DEFAULT
    assert found.default.auc == pytest.approx(before)
    best = found.best[0]
    assert best.auc > 0.77, "of 0.8 at the top"
    assert best.gain == pytest.approx(best.auc - before)
    assert best.success == {name: _known(best.config, name) for name in NAMES}
    assert best.interval == pytest.approx((best.gain, best.gain)), "each sequence gains the same here"
    assert found.unseen_gain == pytest.approx(best.gain)
    assert found.better
    assert [row.auc for row in found.best] == sorted((row.auc for row in found.best), reverse=True)
    assert sum(found.importance.values()) == pytest.approx(1, abs=0.01)
    assert f"{best.gain:+.3f}" in tuning.table(found)
    assert json.loads(tuning.table(found).splitlines()[-1]) == best.config


def test_the_default_is_the_first_trial_even_where_the_space_leaves_it_out(tmp_path: Path) -> None:
    study = _study(tmp_path)
    narrow = {"window_influence": Range(0.1, 0.3)}
    tuning.tune(study, _known_window, NAMES, narrow, {"window_influence": 0.9}, 3)
    assert _tried(study)[0] == {"window_influence": 0.9}
    assert all(0.1 <= config["window_influence"] <= 0.3 for config in _tried(study)[1:])
    assert tuning.result(study).default.auc == pytest.approx(0.1)


def _known_window(config: Config, name: str) -> float:
    return 1 - config["window_influence"]


def test_stopped_and_gone_on_tries_what_it_would_have_tried_without_the_break(tmp_path: Path) -> None:
    whole, parts = _study(tmp_path / "whole"), _study(tmp_path / "parts")
    tuning.tune(whole, _known, NAMES, SPACE, DEFAULT, 25, seed=3)
    tuning.tune(parts, _known, NAMES, SPACE, DEFAULT, 4, seed=3)

    def interrupted(config: Config, name: str) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuning.tune(_study(tmp_path / "parts"), interrupted, NAMES, SPACE, DEFAULT, 25, seed=3)
    again = _study(tmp_path / "parts")
    tuning.tune(again, _known, NAMES, SPACE, DEFAULT, 25, seed=3)
    done = [trial.user_attrs["config"] for trial in again.trials if trial.state != optuna.trial.TrialState.FAIL]
    assert done == _tried(whole)


def test_another_seed_tries_something_else(tmp_path: Path) -> None:
    first, second = _study(tmp_path / "1"), _study(tmp_path / "2")
    for seed, study in enumerate((first, second)):
        tuning.tune(study, _known, NAMES, SPACE, DEFAULT, 3, seed=seed)
    assert _tried(first)[0] == _tried(second)[0]
    assert _tried(first)[1:] != _tried(second)[1:]


def test_a_default_that_was_interrupted_is_tried_again(tmp_path: Path) -> None:
    def broken(config: Config, name: str) -> float:
        raise OSError("no more disk")

    study = _study(tmp_path)
    with pytest.raises(OSError, match="no more disk"):
        tuning.tune(study, broken, NAMES, SPACE, DEFAULT, 2)
    with pytest.raises(ValueError, match="was not tried yet"):
        tuning.result(study)
    tuning.tune(study, _known, NAMES, SPACE, DEFAULT, 2)
    assert tuning.result(study).default.config == DEFAULT


def test_bad_trials_are_stopped_before_the_last_sequence_and_never_good_ones(tmp_path: Path) -> None:
    judged: list[tuple[float, str]] = []

    def judge(config: Config, name: str) -> float:
        judged.append((config["window_influence"], name))
        return _known_window(config, name)

    study = _study(tmp_path)
    tuning.tune(study, judge, NAMES, {"window_influence": Range(0, 1)}, {"window_influence": 0.5}, 40)
    found = tuning.result(study)
    assert found.stopped > 5
    assert len(judged) < 40 * 3
    best = min(window for window, _ in judged)
    assert found.best[0].config == {"window_influence": best}, "the best was not among the stopped"


def test_several_jobs_make_as_many_trials(tmp_path: Path) -> None:
    study = _study(tmp_path)
    tuning.tune(study, _known, NAMES, SPACE, DEFAULT, 10, jobs=3)
    found = tuning.result(study)
    assert found.whole + found.stopped == 10
    assert len({tuple(config.values()) for config in _tried(study)}) == 10


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_text("milk, bread\n")
    with pytest.raises(ValueError, match="not a journal of trials"):
        tuning.open_study(tmp_path / "notes.log", "known")


# ---------------------------------------------------------------- luck


def _row(*success: float) -> tuning.Row:
    return tuning.Row(0, {}, dict(zip("abcd", success, strict=False)), float(np.mean(success)), 0.0, (0.0, 0.0))


def test_the_gain_of_sequences_without_a_say_is_that_of_leaving_one_out() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((30, 4))
    default, *others = rows = [_row(*line) for line in values]
    gains = []
    for left in range(4):
        rest = [name for name in range(4) if name != left]
        chosen = max(range(30), key=lambda row: values[row, rest].sum())
        gains.append(values[chosen, left] - values[0, left])
    assert tuning.unseen_gain(default, rows) == pytest.approx(np.mean(gains))
    assert tuning.unseen_gain(_row(0.5), [_row(0.5), _row(0.9)]) is None
    assert len(others) == 29


def test_luck_on_one_sequence_is_not_taken_for_better(tmp_path: Path) -> None:
    def lucky(config: Config, name: str) -> float:
        """Each configuration has one sequence on which it is good."""
        return 0.4 + 0.4 * (int(config["window_influence"] * 1000) % 3 == NAMES.index(name))

    study = _study(tmp_path)
    tuning.tune(study, lucky, NAMES, {"window_influence": Range(0, 1)}, {"window_influence": 0.3}, 30)
    found = tuning.result(study)
    assert not found.better
    assert "not better by more than noise" in tuning.table(found)


# ---------------------------------------------------------------- space


def test_a_space_is_read_as_written() -> None:
    assert tuning.parse_space([], "box") == tuning.SPACES["box"]
    assert tuning.parse_space(["scale_rate"], "box") == {"scale_rate": tuning.SPACES["box"]["scale_rate"]}
    found = tuning.parse_space(["online_rate=0.001:1e-1:log", "patience=2:9"], "siamfc")
    assert found == {"online_rate": Range(0.001, 0.1, log=True), "patience": Range(2, 9)}


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("speed", "no such entry of the configuration; there are .*scale_rate"),
        ("patience", "no range is known"),
        ("scale_rate=0.1", "expected scale_rate=LOW:HIGH"),
        ("scale_rate=a:b", "expected scale_rate=LOW:HIGH"),
        ("scale_rate=0.5:0.1", "LOW < HIGH"),
        ("scale_rate=0.1:2", "must lie from 0 to 1"),
        ("online_rate=0:1:log", "starts above 0"),
        ("online_rate=0.1:1:lin", "expected online_rate=LOW:HIGH"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(word: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tuning.parse_space([word], "box")


@pytest.mark.parametrize("head", ["box", "siamfc"])
def test_the_tracker_takes_both_ends_of_every_known_range(head: str, weights: dict[str, Path]) -> None:
    model = Model(weights["compact" if head == "box" else "ciresnet22"])
    for name, limits in tuning.SPACES[head].items():
        for value in (limits.low, limits.high):
            assert getattr(SiamTracker(model, **{name: value}).config, name) == value


# ---------------------------------------------------------------- footage


def _sequence(folder: Path, note: str | None = None, frames: int = 9, absent: tuple[int, ...] = ()) -> Path:
    """A bright square that moves to the right over noise."""
    (folder / "img").mkdir(parents=True)
    lines = []
    for index in range(frames):
        image = np.random.default_rng(index).integers(0, 60, (60, 90, 3), dtype=np.uint8)
        image[20:36, 10 + 2 * index : 26 + 2 * index] = 230
        cv2.imwrite(str(folder / "img" / f"{index:04d}.png"), image)
        lines.append("nan,nan,nan,nan" if index in absent else f"{11 + 2 * index},21,16,16")
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines))
    if note is not None:
        (folder / "sequence.json").write_text(json.dumps({"benchmark": note}))
    return folder


@pytest.mark.parametrize(
    ("place", "note", "words"),
    [
        ("mine/Basketball", None, "Basketball is a target of OTB"),
        ("mine/Jogging.1", None, "is a target of OTB"),
        ("mine/KinBall3", None, "is a target of TLP"),
        ("mine/sv_KinBall3_120", None, "is a target of TLP"),
        ("otb/clip", None, "lies in otb/"),
        ("OTB100/deeper/clip", "VOT", "lies in OTB100/"),
        ("tinytlp/clip", None, "lies in tinytlp/"),
        ("mine/clip", "OTB", "says that it belongs to OTB"),
        ("mine/clip", "TinyTLP", "says that it belongs to TinyTLP"),
    ],
)
def test_benchmarks_are_refused(tmp_path: Path, place: str, note: str | None, words: str) -> None:
    folder = _sequence(tmp_path / place, note, frames=1)
    with pytest.raises(ValueError, match=f"for measuring, not for tuning: .*{words}"):
        tuning.read_videos(folder.parent, [folder.name])


@pytest.mark.parametrize(("place", "note"), [("mine/clip", None), ("mine/Girl", "SegTrack2"), ("notbotb/clip", None)])
def test_other_footage_is_not(tmp_path: Path, place: str, note: str | None) -> None:
    folder = _sequence(tmp_path / place, note, frames=2)
    (video,) = tuning.read_videos(folder.parent, [folder.name])
    assert video.name == folder.name
    assert len(video.frames) == 2


def test_a_link_to_a_benchmark_is_refused_too(tmp_path: Path) -> None:
    folder = _sequence(tmp_path / "otb" / "clip", frames=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday").symlink_to(folder)
    with pytest.raises(ValueError, match="lies in otb/"):
        tuning.read_videos(tmp_path / "mine", ["holiday"])


def test_the_shared_holdout_can_be_tuned_on_and_the_shared_benchmarks_cannot() -> None:
    from learning.readers import HOLDOUT

    data = Path(__file__).parents[3] / "shared" / "data"
    if not (data / "video").is_dir():
        pytest.skip("the research data is not here")
    for name in HOLDOUT:
        tuning.refuse_benchmark(data / "video" / name)
    for folder in [*(data / "otb").iterdir(), *(data / "tinytlp").iterdir()]:
        with pytest.raises(ValueError, match="not for tuning"):
            tuning.refuse_benchmark(folder)


class Fake:
    """Answers with the true box, moved to the right by `error` pixels from the frame `late` after the start on."""

    def __init__(self, video: Video, error: float, late: int) -> None:
        self.video, self.error, self.late = video, error, late
        self.starts: list[int] = []
        self.age = 0

    def _frame(self, image: np.ndarray) -> int:
        return next(index for index, frame in enumerate(self.video.frames) if frame is image)

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.starts.append(self._frame(frame))
        self.age = 0
        assert box == tuple(self.video.boxes[self.starts[-1]])

    def update(self, frame: np.ndarray) -> TrackResult:
        self.age += 1
        x, y, w, h = np.nan_to_num(self.video.boxes[self._frame(frame)], nan=5.0).tolist()
        return TrackResult((x + self.error * (self.age > self.late), y, w, h), 0.5, TrackState.LOST)


def test_success_is_the_mean_over_three_starts_of_frames_that_show_the_target(tmp_path: Path) -> None:
    folder = _sequence(tmp_path / "clip", absent=(3, 8))
    (video,) = tuning.read_videos(folder.parent, [folder.name])
    fake = Fake(video, 4.0, 2)  # an overlap of 12 / 20, above the thresholds 0, 0.05, … 0.55
    shares = []
    for start in (0, 2, 5):
        late = [frame for frame in range(start + 1, 9) if frame not in (3, 8)]
        shares.append(np.mean([20 / 21 if frame - start <= 2 else 12 / 21 for frame in late]))
    assert tuning.success(fake, video) == pytest.approx(np.mean(shares))
    assert fake.starts == [0, 2, 5]


def test_a_sequence_that_shows_its_target_once_is_refused(tmp_path: Path) -> None:
    folder = _sequence(tmp_path / "clip", frames=3, absent=(1, 2))
    (video,) = tuning.read_videos(folder.parent, [folder.name])
    with pytest.raises(ValueError, match=r"clip: .* in a single frame"):
        tuning.success(Fake(video, 0, 0), video)


# ---------------------------------------------------------------- models


def test_the_states_have_no_say_unless_asked(weights: dict[str, Path], tmp_path: Path) -> None:
    folder = _sequence(tmp_path / "clip")
    sequence = read_sequence(folder)
    frames = list(sequence.frames)
    model = Model(weights["compact"])
    config = {"hopeless": 0.5, "doubtful": 0.9, "certain": 0.95, "patience": 1, "weights": (0.0, 0.0, 0.0, -9.0)}
    for kind, states in (
        (SiamTracker, {TrackState.UNCERTAIN, TrackState.LOST}),
        (tuning.Steadfast, {TrackState.TRACKING}),
    ):
        tracker = kind(model, **config)  # type: ignore[arg-type]
        tracker.init(frames[0], sequence.boxes[0])
        assert {tracker.update(frame).state for frame in frames[1:]} <= states


def test_a_model_is_judged_by_what_it_does_with_the_configuration(weights: dict[str, Path], tmp_path: Path) -> None:
    folder = _sequence(tmp_path / "clip", frames=4)
    videos = tuning.read_videos(folder.parent, [folder.name])
    model = Model(weights["ciresnet22"])
    judge = tuning.judge_of(model, videos)
    values = []
    for window in (0.0, 1.0):
        config: Config = {"window_influence": window, "scale_rate": 0.0}
        values.append(judge(config, "clip"))
        assert values[-1] == tuning.success(tuning.Steadfast(model, **config), videos[0])  # type: ignore[arg-type]
    assert values[1] > values[0], "the untrained one had better stay where it is"


def test_a_study_is_named_after_all_that_its_values_depend_on(weights: dict[str, Path], tmp_path: Path) -> None:
    folder = _sequence(tmp_path / "clip")
    videos = tuning.read_videos(folder.parent, [folder.name])
    model, other = Model(weights["compact"]), Model(weights["ciresnet22"])
    longer = [dataclasses.replace(videos[0], frames=videos[0].frames * 2, boxes=np.tile(videos[0].boxes, (2, 1)))]
    names = [
        tuning.study_name(model, SPACE, videos),
        tuning.study_name(other, SPACE, videos),
        tuning.study_name(model, SPACE, longer),
        tuning.study_name(model, SPACE, videos, states=True),
        tuning.study_name(model, {"scale_rate": Range(0, 1)}, videos),
    ]
    assert len(set(names)) == 5
    assert tuning.study_name(Model(weights["compact"]), SPACE, videos) == names[0]


def _tuned(folder: Path) -> tuning.Tuning:
    study = _study(folder)
    tuning.tune(study, _known, NAMES, SPACE, DEFAULT, 20)
    return tuning.result(study)


def test_the_card_takes_the_best_and_keeps_the_rest(weights: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(weights["compact"].read_bytes())
    card = json.loads(weights["compact"].with_suffix(".json").read_text())
    card["config"], card["training"] = {"scale_rate": 0.4, "window_influence": 0.1}, {"pairs": 7}
    path.with_suffix(".json").write_text(json.dumps(card))
    found = _tuned(tmp_path)
    assert tuning.write(path, found) == path.with_suffix(".json")
    written = ModelCard.read(path.with_suffix(".json"))
    assert written.config == {"scale_rate": 0.4, **found.best[0].config}
    assert SiamTracker.from_pretrained(path).config.patience == found.best[0].config["patience"]
    assert written.training["pairs"] == 7
    assert written.training["tuning"]["sequences"] == NAMES
    assert written.training["tuning"]["auc"] == round(found.best[0].auc, 3)
    assert written.training["tuning"]["trials"] == 20


@pytest.mark.parametrize("change", ["no gain elsewhere", "interval around 0", "one sequence", "nothing else tried"])
def test_the_card_is_left_alone_where_the_best_may_be_luck(
    weights: dict[str, Path], tmp_path: Path, change: str
) -> None:
    found = _tuned(tmp_path)
    assert found.better
    found = {
        "no gain elsewhere": dataclasses.replace(found, unseen_gain=-0.01),
        "interval around 0": dataclasses.replace(
            found, best=[dataclasses.replace(found.best[0], interval=(-0.01, 0.2)), *found.best[1:]]
        ),
        "one sequence": dataclasses.replace(found, unseen_gain=None),
        "nothing else tried": dataclasses.replace(found, best=[]),
    }[change]
    before = weights["compact"].with_suffix(".json").read_text()
    assert tuning.write(weights["compact"], found) is None
    assert weights["compact"].with_suffix(".json").read_text() == before


def test_the_default_is_what_the_card_or_else_the_tracker_says() -> None:
    card = ModelCard("compact", "box", config={"window_influence": 0.17})
    found = tuning.default_of(card, {"window_influence": Range(0, 1), "scale_rate": Range(0, 1)})
    assert found == {"window_influence": 0.17, "scale_rate": tuning.TrackerConfig().scale_rate}
