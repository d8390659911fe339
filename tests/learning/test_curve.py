"""Learning curves: cards are read, the right points are fitted together, and laws lead where they must."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from learning import curve
from learning.calibration import Video
from learning.curve import DAY, GOT10K_TRACKS, Gpu, Point, over_pairs, over_share, point, projections
from learning.curve_plot import draw
from learning.curve_report import against, repeats
from tracker.network import ModelCard, SiameseNetwork, save_network

NAMES = ("a", "b")
GPU = Gpu(1000.0, "as given")


def _auc(pairs: float, share: float) -> float:
    """The law that the made-up trainings follow."""
    return 1 - 3 * pairs**-0.1 * share**-0.05


def _point(pairs: int, share: float = 1.0, seed: int = 0, ended: bool = True, tracks: int = 50) -> Point:
    name = f"p{pairs}s{share:g}"
    success = dict.fromkeys(NAMES, _auc(pairs, share))
    return Point(name, pairs, share, seed, 1.0, round(tracks * share), 1000, ended, success)


# ---------------------------------------------------------------- cards


def test_a_card_says_how_weights_were_trained() -> None:
    training = {
        "pairs": 640,
        "minutes": 2.5,
        "command": "python tools/train.py compact --data 'my data' --share 0.25 --seed 3 --compile",
        "data": {"video tracks": 12, "video boxes": 900},
    }
    found = point("x", ModelCard("compact", "box", training=training), {"a": 0.4, "b": 0.6})
    assert (found.pairs, found.share, found.seed, found.minutes) == (640, 0.25, 3, 2.5)
    assert (found.tracks, found.boxes, found.ended, found.auc) == (12, 900, True, pytest.approx(0.5))
    assert found.interval == pytest.approx((0.4, 0.6)), "of two sequences, the mean is theirs or between"


def test_a_command_without_share_and_seed_took_all_with_the_first_seed() -> None:
    found = point("x", ModelCard("compact", "box", training={"pairs": 1, "learning_rate_share": 0.8}), {})
    assert (found.share, found.seed, found.ended, found.tracks) == (1.0, 0, False, 0)


def test_a_snapshot_may_say_its_seed_itself() -> None:
    training = {"pairs": 1, "seed": 4, "share": 0.5, "command": "train --seed 1"}
    found = point("x", ModelCard("compact", "box", training=training), {})
    assert (found.share, found.seed) == (0.5, 4)


def test_a_card_without_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match="how many pairs"):
        point("x", ModelCard("compact", "box"), {})


def test_a_command_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        point("x", ModelCard("compact", "box", training={"pairs": 1, "command": "train --share much"}), {})


# ---------------------------------------------------------------- curves


def test_trainings_that_ended_are_not_mixed_with_those_under_way() -> None:
    ended = [_point(1000), _point(4000), _point(2000)]
    others = [_point(500, ended=False), _point(1500, ended=False), _point(700, ended=False), _point(1000, 0.5)]
    assert over_pairs(ended + others).x == [1000, 2000, 4000]
    few = over_pairs(ended[:2] + others)
    assert few.x == [500, 700, 1500]
    assert "peak" in few.title
    alone = over_pairs(ended[:2])
    assert (alone.x, alone.law) == ([1000, 4000], None)


def test_shares_are_compared_at_one_length() -> None:
    points = [_point(1000, share) for share in (0.25, 0.5, 1.0)] + [_point(4000, 1.0), _point(4000, 0.5)]
    found = over_share(points)
    assert found.x == [0.25, 0.5, 1.0]
    assert found.law is not None
    assert found.law.exponent == pytest.approx(0.05)


def test_the_projections_follow_the_laws() -> None:
    points = [_point(pairs) for pairs in (1000, 2000, 4000, 8000)] + [_point(8000, share) for share in (0.25, 0.5)]
    time, data = over_pairs(points), over_share(points)
    day, footage, both = projections(time, data, GPU)
    far, ratio = 1000 * DAY, GOT10K_TRACKS / 50
    assert day.auc == pytest.approx(_auc(far, 1))
    assert footage.auc == pytest.approx(_auc(8000, ratio))
    assert both.auc == pytest.approx(_auc(far, ratio)), "the gains are multiplied"
    assert both.interval == pytest.approx((both.auc, both.auc)), "both sequences say the same"
    assert (both.pairs, both.tracks) == (far, GOT10K_TRACKS)
    assert "10,800 × the pairs" in both.reach
    assert "187 × the tracks" in both.reach


def test_there_is_no_projection_without_a_law() -> None:
    points = [_point(1000), _point(2000), _point(2000, 0.5)]
    assert projections(over_pairs(points), over_share(points), GPU) == []
    nothing_known = [_point(1000, share, tracks=0) for share in (0.25, 0.5, 1.0)]
    assert projections(over_pairs(nothing_known), over_share(nothing_known), GPU) == [], "of how many tracks?"


def test_operations_are_those_of_the_convolutions_three_times() -> None:
    card, counted = ModelCard("compact", "siamfc"), []

    def count(module: nn.Conv2d, inputs: Any, output: Any) -> None:
        counted.append(2 * output.numel() * module.weight[0].numel())

    network = SiameseNetwork(card).eval().to("meta")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    side = {size: _features(network, size) for size in (card.exemplar_size, card.search_size)}
    z, x = side[card.exemplar_size], side[card.search_size]
    correlation = 2 * (x[2] - z[2] + 1) ** 2 * z[1] * z[2] ** 2
    assert curve.operations(card) == pytest.approx(3 * (sum(counted) + correlation), rel=0.02)
    rate = curve.assumed_gpu(card, peak=100, share=0.5)
    assert rate.pairs_per_second == pytest.approx(50e12 / curve.operations(card))
    assert "50% of a peak of 100 TFLOP/s" in rate.reason


def _features(network: SiameseNetwork, size: int) -> Any:
    return network.features(torch.empty(1, 3, size, size, device="meta")).shape


# ---------------------------------------------------------------- report


def test_seeds_are_compared_where_all_else_is_alike() -> None:
    first, second, other = _point(1000), _point(1000, seed=1), _point(2000, seed=1)
    moved = Point(**{**vars(second), "success": {"a": 0.5, "b": 0.53}})
    (line,) = repeats([first, moved, other])
    assert "seed 0" in line
    assert f"apart by {abs(first.auc - 0.515):.3f}" in line
    assert repeats([first, other]) == []


@pytest.mark.parametrize(("auc", "word"), [(0.485, "yes"), (0.9, "yes"), (0.475, "no")])
def test_a_retraining_reaches_its_reference_within_two_hundredths(auc: float, word: str) -> None:
    reference = Point(**{**vars(_point(1)), "success": {"a": 0.5, "b": 0.5}})
    again = Point(**{**vars(_point(1)), "success": {"a": auc - 0.1, "b": auc + 0.1}})
    assert against([again], reference)[-1].rstrip(" |").endswith(word)


def test_the_plot_shows_every_point_and_both_laws() -> None:
    points = [_point(pairs, share) for pairs in (1000, 2000, 4000) for share in (0.25, 0.5, 1.0)]
    drawn = draw([over_pairs(points), over_share(points)])
    assert drawn == draw([over_pairs(points), over_share(points)]), "the same twice"
    text = drawn.decode()
    assert "x^−0.100" in text
    assert "x^−0.050" in text
    assert "pairs seen" in text


# ---------------------------------------------------------------- command


def _weights(folder: Path, pairs: int, share: float = 1.0, seed: int = 0) -> str:
    path = folder / f"p{pairs}s{share:g}r{seed}.safetensors"
    training = {
        "pairs": pairs,
        "data": {"video tracks": round(50 * share)},
        "command": f"python tools/train.py compact --share {share} --seed {seed}",
    }
    save_network(SiameseNetwork(ModelCard("alexnet", "siamfc")), path, half=True, training=training)
    return str(path)


def test_the_command_measures_once_and_writes_table_numbers_and_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []

    def measure(path: Path, videos: Any, device: str, threads: int | None) -> dict[str, float]:
        measured.append(path.stem)
        card = json.loads(path.with_suffix(".json").read_text())["training"]
        share = float(card["command"].split()[4])
        return {video.name: _auc(card["pairs"], share) for video in videos}

    frames = [np.zeros((8, 8, 3), np.uint8)]
    videos = [Video(name, frames, np.array([[1.0, 1, 2, 2]])) for name in NAMES]
    monkeypatch.setattr(curve, "read_videos", lambda data, names: videos)
    monkeypatch.setattr(curve, "success_by_sequence", measure)
    files = [_weights(tmp_path, 1000, 0.25), _weights(tmp_path, 1000), _weights(tmp_path, 1000, seed=1)]
    files += [_weights(tmp_path, 1000, 0.5), _weights(tmp_path, 2000), _weights(tmp_path, 4000)]
    end = ["--data", str(tmp_path), "--output", str(tmp_path / "out"), "--gpu-pairs-per-second", "1000"]
    assert curve.main([*files[:3], *end]) == 0
    assert "Too few points" in (tmp_path / "out" / "curve.md").read_text()
    assert curve.main([*files, *end, "--reference", files[1]]) == 0
    assert len(measured) == len(files), "nothing twice"
    text = (tmp_path / "out" / "curve.md").read_text()
    for words in ("## Seeds", "Against p1000s1r0", "GOT-10k and one GPU-day", "1,000 pairs/s, as given", "86,400,000"):
        assert words in text
    content = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert [each["pairs"] for each in content["points"]] == [1000, 1000, 1000, 1000, 2000, 4000]
    assert content["laws"]["pairs seen"]["exponent"] == pytest.approx(0.1)
    assert (tmp_path / "out" / "curve.svg").read_bytes().startswith(b"<?xml")
    assert "AUC" in capsys.readouterr().out

    (tmp_path / "out" / "curve.json").write_text("[]")
    assert curve.main([*files, *end]) == 2
    assert "not from learning.curve" in capsys.readouterr().err
    assert curve.main([*files, *end[:-1], "0"]) == 2
    assert "more than 0 pairs a second" in capsys.readouterr().err


def test_footage_of_benchmarks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = _weights(tmp_path, 1000)
    data = ["--data", str(tmp_path / "otb"), "--sequences", "Basketball"]
    assert curve.main([weights, *data, "--output", str(tmp_path / "out")]) == 2
    assert "for measuring, not for tuning" in capsys.readouterr().err
