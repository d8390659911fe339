"""Search the tracker's configuration on footage that its network was not trained on.

A trial is one configuration: the tracker follows every sequence from several starts, and the mean success AUC is what
is maximised. Boxes of every state count, and the tracker never gives up, so that the result does not hang on how its
score is calibrated, which comes afterwards. Nothing can be stored from one trial for the next but the decoded frames:
what the network sees depends on where the tracker went.

The search is Optuna's TPE (Bergstra et al. 2011) with the median stopping rule (Golovin et al. 2017). The configuration
that the model has now is always the first trial. The best of many trials is better than the default by luck, too;
`Tuning.better` says by which rule it is taken for more than that.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from benchmarks.datasets import BENCHMARKS
from benchmarks.datasets.tlp import identity
from benchmarks.metrics import success_auc
from benchmarks.provenance import code_hash, settings_hash
from benchmarks.significance import bootstrap_interval
from benchmarks.trackers import Tracker
from learning.calibration import STARTS, Video, Witness, read_video
from tracker import SiamTracker, TrackResult
from tracker.box import overlap
from tracker.model import Model
from tracker.network import ModelCard, find_weights
from tracker.siam import RANGES, TrackerConfig

log = logging.getLogger(__name__)

Config = dict[str, float]
Judge = Callable[[Config, str], float]  # a configuration on a sequence → success AUC

MEASURED_ON = {"otb100": "OTB", "tlp": "TLP"}  # benchmarks whose footage is for measuring, by name and by what they are
MEASURED_SETS = re.compile(r"(otb([-_]?(2013|2015|50|100|cvpr13))?|(tiny[-_]?)?tlp(attr)?)", re.IGNORECASE)
RANDOM_TRIALS = 10  # before the search learns from them
UNPRUNED = 5  # whole trials before one is stopped early, which none is before half of its sequences
SHOWN = 5  # best configurations in the table
LEAST_FOR_IMPORTANCE = 20  # whole trials

# ---------------------------------------------------------------- what is searched


@dataclass(frozen=True)
class Range:
    """Where an entry of the configuration is searched.

    Attributes:
        low, high: both included.
        log: by ratios rather than by differences.
    """

    low: float
    high: float
    log: bool = False


BOXES = {
    "window_influence": Range(0.0, 0.6),
    "scale_penalty": Range(0.0, 0.5),
    "scale_rate": Range(0.05, 0.8),
    "online_share": Range(0.0, 0.9),
    "online_rate": Range(0.003, 0.2, log=True),
    "online_spread": Range(0.02, 0.3, log=True),
    "online_ridge": Range(0.003, 3.0, log=True),
}
SPACES: dict[str, dict[str, Range]] = {  # by the model's head
    "box": BOXES,
    "siamfc_box": BOXES,
    "pixel": BOXES,
    "siamfc": {
        "scale_step": Range(1.01, 1.12),
        "scale_penalty": Range(0.85, 1.0),
        "scale_rate": Range(0.2, 1.0),
        "window_influence": Range(0.0, 0.6),
    },
}


def parse_space(words: Iterable[str], head: str) -> dict[str, Range]:
    """The space that words like ``window_influence`` or ``online_rate=0.001:0.1:log`` describe.

    Args:
        words: ``NAME`` takes the range that is known for the head, ``NAME=LOW:HIGH`` and ``NAME=LOW:HIGH:log`` any
            that the tracker takes; none of them: the whole of `SPACES`.
        head: of the model, for `SPACES`.

    Raises:
        ValueError: an unknown entry, no numbers, an empty range, or one beyond what the tracker takes.
    """
    return dict(_range(word, SPACES[head]) for word in words) or SPACES[head]


def _range(word: str, known: Mapping[str, Range]) -> tuple[str, Range]:
    name, separator, limits = word.partition("=")
    if name not in RANGES:
        raise ValueError(f"space {word!r}: no such entry of the configuration; there are {', '.join(RANGES)}")
    if not separator:
        if name not in known:
            raise ValueError(f"space {word!r}: no range is known for it; write {name}=LOW:HIGH")
        return name, known[name]
    match = re.fullmatch(r"([^:]+):([^:]+?)(:log)?", limits)
    try:
        low, high = (float(text) for text in match.groups()[:2]) if match else (math.nan, math.nan)
    except ValueError:
        low = high = math.nan
    if not low < high:
        raise ValueError(f"space {word!r}: expected {name}=LOW:HIGH or {name}=LOW:HIGH:log with LOW < HIGH")
    least, most = RANGES[name]
    if low < least or high > most:
        raise ValueError(f"space {word!r}: {name} must lie from {least:g} to {most:g}")
    ratio = limits.endswith(":log")
    if ratio and low <= 0:
        raise ValueError(f"space {word!r}: a range by ratios starts above 0")
    return name, Range(low, high, ratio)


def _is_whole(name: str) -> bool:
    """Whether the tracker takes whole numbers only; the limits of `RANGES` are of the type that it takes."""
    return isinstance(RANGES[name][0], int)


def _suggest(trial: Trial, space: Mapping[str, Range]) -> Config:
    """Values for a trial, to three digits, so that what is tried is what is written into a card."""
    config: Config = {}
    for name, limits in space.items():
        if _is_whole(name):
            config[name] = trial.suggest_int(name, int(limits.low), int(limits.high), log=limits.log)
        else:
            config[name] = float(f"{trial.suggest_float(name, limits.low, limits.high, log=limits.log):.3g}")
    return config


# ---------------------------------------------------------------- what it is searched on


def read_videos(data: Path, names: Sequence[str]) -> list[Video]:
    """Sequences to tune on, decoded, short ones first: a bad trial is stopped before the long ones.

    Raises:
        ValueError: there is no such sequence, it is damaged, or it belongs to a benchmark.
    """
    for name in names:
        refuse_benchmark(data / name)
    return sorted((read_video(data, name) for name in names), key=lambda video: len(video.frames))


def refuse_benchmark(folder: Path) -> None:
    """Refuse a sequence that trackers are measured on: what is chosen on it would be measured too well.

    It belongs to OTB or TLP if its ``sequence.json`` says so, or a folder above it is called so, or, where there is no
    such file, if it has the name of one of their targets.

    Raises:
        ValueError: it does; the message says why it is thought to.
    """
    note, path = folder / "sequence.json", folder.resolve()
    said = re.search(r'"benchmark"\s*:\s*"([^"]*)"', note.read_text(encoding="utf-8")) if note.is_file() else None
    above = next((part for part in path.parts[:-1] if MEASURED_SETS.fullmatch(part)), None)
    if said and MEASURED_SETS.fullmatch(said[1]):
        reason = f"{note} says that it belongs to {said[1]}"
    elif above:
        reason = f"it lies in {above}/"
    elif said is None and (title := _measured(path.name)):
        reason = f"{path.name} is a target of {title}"
    else:
        return
    raise ValueError(f"{folder}: a benchmark's footage is for measuring, not for tuning: {reason}")


def _measured(name: str) -> str | None:
    """The benchmark that has a target of that name."""
    for benchmark, title in MEASURED_ON.items():
        if identity(name) in (BENCHMARKS[benchmark].names or ()):
            return title
    return None


class Steadfast(SiamTracker):
    """Follows one target and never gives up: all states are TRACKING."""

    def init(self, *args: Any, **kwargs: Any) -> TrackResult:
        """See `SiamTracker.init`."""
        result = super().init(*args, **kwargs)
        assert self.target is not None
        self.target.confidence = Witness(self.config)
        return result


def success(tracker: Tracker, video: Video) -> float:
    """Mean success AUC of runs from the first frame and from later ones to the end: a short sequence says more so.

    The frames in which a run starts do not count, nor do those without the target.
    """
    visible, values = np.flatnonzero(video.visible), []
    for part in range(STARTS):
        start = int(visible[len(visible) * part // STARTS])
        x, y, w, h = video.boxes[start].tolist()
        tracker.init(video.frames[start], (x, y, w, h))
        found = np.array([tracker.update(frame).box for frame in video.frames[start + 1 :]]).reshape(-1, 4)
        shown = video.visible[start + 1 :]
        if shown.any():
            values.append(success_auc(overlap(found[shown], video.boxes[start + 1 :][shown])))
    if not values:
        raise ValueError(f"{video.name}: the target can be seen in a single frame; nothing can be tuned on that")
    return float(np.mean(values))


def judge_of(model: Model, videos: Sequence[Video], states: bool = False) -> Judge:
    """Success on the videos by name, of a tracker with that model.

    Args:
        model: the network; each call has a tracker of its own.
        videos: see `read_videos`.
        states: let the score's calibration decide when the tracker gives up, as it does in use.
    """
    by_name = {video.name: video for video in videos}
    kind = SiamTracker if states else Steadfast
    _ = model.runtime  # before threads ask for it at once

    def judge(config: Config, name: str) -> float:
        return success(kind(model, **config), by_name[name])

    return judge


# ---------------------------------------------------------------- search


def open_study(storage: Path, name: str) -> optuna.Study:
    """The study of that name in a journal, which is made where there is none; several processes may share it.

    Raises:
        OSError: the file cannot be written.
        ValueError: it is something else.
    """
    storage.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            journal = JournalStorage(JournalFileBackend(str(storage)))
            return optuna.create_study(storage=journal, study_name=name, direction="maximize", load_if_exists=True)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{storage} is not a journal of trials ({error}); give another --storage") from error


def study_name(model: Model, space: Mapping[str, Range], videos: Sequence[Video], states: bool = False) -> str:
    """A name for all that a trial's value depends on: trials of other weights, code or footage are not gone on from."""
    ranges = {name: dataclasses.astuple(limits) for name, limits in space.items()}
    footage = [[video.name, len(video.frames), int(video.visible.sum())] for video in videos]
    settings = [model.card.sha256, model.card.config, ranges, footage, STARTS, states, code_hash()]
    return f"{model.name}-{settings_hash({'settings': settings})}"


def tune(
    study: optuna.Study,
    judge: Judge,
    sequences: Sequence[str],
    space: Mapping[str, Range],
    default: Config,
    trials: int = 100,
    seed: int = 0,
    jobs: int = 1,
) -> None:
    """Try configurations until the study has so many finished trials.

    Stopped and started again with one job, it tries what it would have tried without the break.

    Args:
        study: from `open_study`, with what was tried before.
        judge: success AUC of a configuration on a sequence.
        sequences: in the order in which a trial takes them.
        space: where to search.
        default: the configuration to start from; the first trial.
        trials: whole and stopped ones together.
        seed: of the search.
        jobs: trials at a time, in threads.
    """
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=(len(sequences) - 1) // 2)
    while (done := _finished(study)) < trials:
        count = 1 if _default_trial(study) is None else min(jobs, trials - done)
        asked = [_ask(study, space, default, seed + 1000 * (done + place)) for place in range(count)]
        if jobs == 1:
            _run(study, judge, sequences, *asked[0])
        else:
            with ThreadPoolExecutor(jobs) as pool:
                list(pool.map(lambda each: _run(study, judge, sequences, *each), asked))


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _default_trial(study: optuna.Study) -> FrozenTrial | None:
    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((trial for trial in whole if trial.user_attrs.get("default")), None)


def _ask(study: optuna.Study, space: Mapping[str, Range], default: Config, seed: int) -> tuple[Trial, Config]:
    """The next trial; its seed is its own, so that what it tries depends on the trials before it and nothing else."""
    study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
    first = _default_trial(study) is None
    if first:
        within = {name: min(max(default[name], limits.low), limits.high) for name, limits in space.items()}
        study.enqueue_trial(within, user_attrs={"default": True})
    trial = study.ask()
    config = _suggest(trial, space)
    if first:
        config = {name: default[name] for name in space}  # which may lie outside of the space
    trial.set_user_attr("config", config)
    return trial, config


def _run(study: optuna.Study, judge: Judge, sequences: Sequence[str], trial: Trial, config: Config) -> None:
    """Judge a configuration, sequence by sequence, until it is clear that it is none of the good ones.

    What is compared at each step is the sum so far: the pruner takes a trial by the best that it ever reported, and a
    mean can fall.
    """
    values: dict[str, float] = {}
    try:
        for step, name in enumerate(sequences):
            values[name] = judge(config, name)
            trial.report(sum(values.values()) / len(sequences), step)
            if step < len(sequences) - 1 and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                log.info("trial %d: stopped after %s", trial.number, name)
                return
        trial.set_user_attr("success", values)
        study.tell(trial, sum(values.values()) / len(sequences))
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    log.info("trial %d: AUC %.3f, the best is %.3f", trial.number, np.mean(list(values.values())), study.best_value)


# ---------------------------------------------------------------- what came out


@dataclass(frozen=True)
class Row:
    """One configuration beside the default.

    Attributes:
        trial: its number.
        config: what was tried.
        success: AUC by sequence.
        auc: their mean.
        gain: over the default's.
        interval: 95 % bootstrap interval of the gain, over sequences.
    """

    trial: int
    config: Config
    success: dict[str, float]
    auc: float
    gain: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Tuning:
    """What came out.

    Attributes:
        default: the configuration that the model has now.
        best: the best others, best first.
        unseen_gain: mean gain on each sequence of the configuration that is the best on all the others: the gain to
            expect on footage that had no say in the choice; `None` for a single sequence.
        importance: share of each entry in what makes good trials good (PED-ANOVA); empty where trials are few.
        whole, stopped: trials of either kind.
    """

    default: Row
    best: list[Row]
    unseen_gain: float | None
    importance: dict[str, float]
    whole: int
    stopped: int

    @property
    def better(self) -> bool:
        """Whether the best configuration beats the default by more than noise.

        The interval of its gain over sequences lies above 0, and so does the gain on sequences that had no say.
        """
        return bool(self.best) and self.best[0].interval[0] > 0 and (self.unseen_gain or 0) > 0


def result(study: optuna.Study) -> Tuning:
    """The trials of a study, the best first.

    Raises:
        ValueError: the default was not tried yet.
    """
    first = _default_trial(study)
    if first is None:
        raise ValueError(f"{study.study_name}: the default configuration was not tried yet")
    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    stopped = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    rows = {trial.number: _row(trial, first) for trial in whole}
    others = [row for row in rows.values() if row.trial != first.number and row.config != rows[first.number].config]
    best = sorted(others, key=lambda row: -row.auc)[:SHOWN]
    gain = unseen_gain(rows[first.number], list(rows.values()))
    return Tuning(rows[first.number], best, gain, _importance(study, len(whole)), len(whole), len(stopped))


def _row(trial: FrozenTrial, default: FrozenTrial) -> Row:
    values, before = trial.user_attrs["success"], default.user_attrs["success"]
    gains = [values[name] - before[name] for name in before]
    auc, gain = float(np.mean(list(values.values()))), float(np.mean(gains))
    return Row(trial.number, trial.user_attrs["config"], values, auc, gain, bootstrap_interval(gains))


def unseen_gain(default: Row, rows: Sequence[Row]) -> float | None:
    """Mean over sequences of the gain there of the row that is the best on all others (see `Tuning`)."""
    names = list(default.success)
    if len(names) < 2:
        return None
    values = np.array([[row.success[name] for name in names] for row in rows])
    elsewhere = values.sum(1, keepdims=True) - values
    chosen = values[elsewhere.argmax(0), np.arange(len(names))]
    return float(chosen.mean() - default.auc)


def _importance(study: optuna.Study, whole: int) -> dict[str, float]:
    if whole < LEAST_FOR_IMPORTANCE:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the measure is young, and that pruned trials do not count
        return {name: round(share, 3) for name, share in _ped_anova(study).items()}


def _ped_anova(study: optuna.Study) -> dict[str, float]:
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def table(tuning: Tuning) -> str:
    """The best configurations beside the default, a column each, and the entries for the card, as text."""
    rows = [tuning.default, *tuning.best]
    lines = [_line("trial", ["default", *(str(row.trial) for row in tuning.best)])]
    lines.append(_line("AUC", [f"{row.auc:.3f}" for row in rows]))
    lines.append(_line("gain", ["", *(f"{row.gain:+.3f}" for row in tuning.best)]))
    for end, name in enumerate(("at least (95 %)", "at most (95 %)")):
        lines.append(_line(name, ["", *(f"{row.interval[end]:+.3f}" for row in tuning.best)]))
    lines.append("")
    for name in tuning.default.config:
        share = f"  {tuning.importance.get(name, 0):4.0%} of what matters" if tuning.importance else ""
        lines.append(_line(name, [f"{row.config[name]:g}" for row in rows]) + share)
    lines += ["", f"{tuning.whole} whole trials, {tuning.stopped} stopped early"]
    if tuning.best:
        verdict = "better than the default by more than noise" if tuning.better else "not better by more than noise"
        gain = "unknown" if tuning.unseen_gain is None else f"{tuning.unseen_gain:+.3f}"
        lines.append(f"gain on sequences that had no say in the choice: {gain}; {verdict}")
    return "\n".join([*lines, json.dumps(entries_for_card(tuning))])


def _line(label: str, values: Iterable[str]) -> str:
    return f"{label:<18}" + "".join(f"{value:>10}" for value in values)


def entries_for_card(tuning: Tuning) -> Config:
    """The best configuration, as the card's `config` takes it; the default where nothing beats it."""
    return tuning.best[0].config if tuning.best and tuning.best[0].gain > 0 else tuning.default.config


def write(weights: str | Path, tuning: Tuning) -> Path | None:
    """Put the best configuration into the card, and what it comes from into its training, if it is `Tuning.better`.

    Returns:
        the card's path; `None` where nothing was written.
    """
    if not tuning.better:
        return None
    best, path = tuning.best[0], find_weights(weights).with_suffix(".json")
    card = ModelCard.read(path)
    record = {
        "sequences": list(best.success),
        "trials": tuning.whole + tuning.stopped,
        "default_auc": round(tuning.default.auc, 3),
        "auc": round(best.auc, 3),
        "gain_interval_95": [round(end, 3) for end in best.interval],
        "unseen_gain": round(tuning.unseen_gain or 0, 3),
    }
    config, training = {**card.config, **best.config}, {**card.training, "tuning": record}
    dataclasses.replace(card, config=config, training=training).write(path)
    return path


def default_of(card: ModelCard, space: Mapping[str, Range]) -> Config:
    """What the card says, or the tracker's defaults where it says nothing, of the entries that are searched."""
    config = TrackerConfig.of(card)
    return {name: getattr(config, name) for name in space}
