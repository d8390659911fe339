"""How pair networks are judged: the pairs, the numbers, the figure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backbones.pair import build_pair_network
from learning import pair_score
from learning.pair_data import FALSE_ALARM, PairFootage
from learning.pair_score import GAPS, Pairs, draw_pairs, histogram_likeness, main, score_pairs
from tracker.association.appearance import PairCard, save_pair_network

SIZE = (32, 16)


def footage(frames: int = 40) -> PairFootage:
    """Three people in colours of their own, a false alarm, and boxes that no detector found."""
    identity = np.tile([0, 1, 2, FALSE_ALARM, 0], frames)
    noise = np.random.default_rng(0).integers(0, 20, (len(identity), 5, 38, 18))
    patches = (noise + 60 * (identity[:, None, None, None] + 1)).astype(np.uint8)
    detected = np.tile([True, True, True, True, False], frames)
    return PairFootage(patches, np.repeat(np.arange(frames), 5), identity, detected, SIZE)


def test_pairs_are_detections_in_order_of_every_gap_and_both_kinds() -> None:
    given = footage()
    pairs = draw_pairs(given, 800)
    assert given.detected[pairs.first].all()
    assert given.detected[pairs.second].all()
    assert (given.frame[pairs.second] - given.frame[pairs.first] == pairs.gap).all()
    ids = given.identity[pairs.first], given.identity[pairs.second]
    assert (pairs.same == (ids[0] == ids[1])).all()
    assert not ((ids[0] == FALSE_ALARM) & (ids[1] == FALSE_ALARM)).any()
    for low, high in GAPS:
        kept = (pairs.gap >= low) & (pairs.gap <= high)
        assert pairs.same[kept].sum() == (~pairs.same[kept]).sum() == 100
    assert len(np.unique(np.column_stack([pairs.first, pairs.second]), axis=0)) == 800
    with pytest.raises(ValueError, match="nothing to judge"):
        draw_pairs(footage(1))


def test_scores_are_the_share_of_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(1)
    same = random.random(300) < 0.4
    gap = random.integers(1, 31, 300)
    found = np.round(random.normal(same, 1), 1)  # with ties
    pairs = Pairs(np.arange(300), np.arange(300), gap, same)
    scores = score_pairs(found, pairs)

    def plain(kept: np.ndarray) -> float:
        alike, other = found[kept & same], found[kept & ~same]
        return float(np.mean([(a > b) + 0.5 * (a == b) for a in alike for b in other]))

    assert scores["auc"] == pytest.approx(plain(np.ones(300, bool)))
    for low, high in GAPS:
        assert scores[f"auc_gap_{low}-{high}"] == pytest.approx(plain((gap >= low) & (gap <= high)))
    errors = [max(np.mean(found[~same] >= t), np.mean(found[same] < t)) for t in np.unique(found)]
    assert scores["eer"] == pytest.approx(min(errors), abs=0.03)
    few = score_pairs(found, Pairs(pairs.first, pairs.second, np.full(300, 3), same))
    assert np.isnan(few["auc_gap_1-1"])


def test_histograms_tell_colours_apart() -> None:
    given = footage()
    pairs = draw_pairs(given, 400)
    found = histogram_likeness(given, pairs)
    assert 0 <= found.min() <= found.max() <= 1 + 1e-9
    assert score_pairs(found, pairs)["auc"] > 0.99


def test_the_command_prints_a_table_and_draws_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="figures are drawn by matplotlib")
    monkeypatch.setattr(pair_score, "read_pair_footage", lambda folder, size: footage())
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("towers", "joint")]
    for path, topology in zip(paths, ("towers", "joint"), strict=True):
        save_pair_network(build_pair_network(topology, SIZE), Path(path), PairCard(topology))
    figure = tmp_path / "roc.svg"
    command = [*paths, "--data", "PETS", "--frames", "11-40", "--pairs", "80", "--plot", str(figure)]
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == {"pairs", "towers", "joint", "colour histogram"}
    assert 0 <= rows["joint"]["auc"] <= 1
    assert rows["towers"]["ms_per_pair"] > 0
    assert "AUC" in figure.read_text()
    assert main(command) == 2
    assert main([*command, "--overwrite"]) == 0
    captured = capsys.readouterr()
    assert "exists" in captured.err
    assert captured.out.startswith("| | auc |")
    assert main(["nobody", "--data", "PETS"]) == 2
