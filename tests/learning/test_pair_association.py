"""The match probability with pixels: which detections its pairs are of, and that pixels tell what motion cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="trees are grown by LightGBM")

from learning import pair_association
from learning.association_footage import Footage, read_footage
from learning.pair_association import (
    ALONE,
    Fit,
    cut_patches,
    judge,
    main,
    pair_rows,
    stretch,
    with_appearance,
)
from tracker.association.features import NAMES
from tracker.association.model import AssociationModel
from tracker.box import to_mot

FRAMES, RATE = 120, 10


class Greys:
    """An appearance cue: how far the mean greys of two boxes are apart."""

    names = ("grey_distance",)

    def patches(self, image: np.ndarray, previous_image: Any, xywh: np.ndarray) -> np.ndarray:
        middle = (xywh[:, :2] + xywh[:, 2:] / 2).astype(int)
        return image[middle[:, 1], middle[:, 0], :1].astype(np.float32).reshape(len(xywh), 1)

    def compare(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.abs(a - b).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Walkers of different greys who turn back at random; the detector misses a fifth of them, and sees ghosts."""
    root = tmp_path_factory.mktemp("mot") / "Walk"
    for name in ("gt", "det"):
        (root / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    place, speed = random.uniform(20, 250, (5, 2)), random.uniform(-4, 4, (5, 2))
    writer = cv2.VideoWriter(
        str(root / "frames.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), RATE, (320, 320)
    )
    truth, found = [], []
    for index in range(FRAMES):
        image = np.full((320, 320, 3), 20, np.uint8)
        turned = (random.random((5, 2)) < 0.03) | (place < 5) & (speed < 0) | (place > 260) & (speed > 0)
        speed = np.where(turned, -speed, speed)
        place = place + speed
        for id, (x, y) in enumerate(place):
            image[int(y) : int(y) + 50, int(x) : int(x) + 20] = 60 + 40 * id
            box = ",".join(f"{value:.2f}" for value in to_mot([x, y, 20, 50]))
            truth.append(f"{index + 1},{id + 1},{box},1,1,1")
            if random.random() < 0.8:
                noisy = to_mot([x, y, 20, 50] + random.normal(0, 1, 4))
                found.append(f"{index + 1},-1,{','.join(f'{value:.2f}' for value in noisy)},{random.uniform(0.6, 1)}")
        if random.random() < 0.2:
            found.append(f"{index + 1},-1,{random.uniform(0, 250):.1f},{random.uniform(0, 250):.1f},20,50,0.55")
        writer.write(image)
    writer.release()
    (root / "gt" / "gt.txt").write_text("\n".join(truth))
    (root / "det" / "det.txt").write_text("\n".join(found))
    (root / "seqinfo.ini").write_text(f"[Sequence]\nframeRate={RATE}\nseqLength={FRAMES}\n")
    return root


@pytest.fixture(scope="module")
def footage(folder: Path) -> Footage:
    return read_footage(folder)


def test_the_rows_are_those_of_the_detections_that_the_pairs_are_of(footage: Footage) -> None:
    examples = with_appearance(footage, 3, None, None, 0)
    rows = pair_rows(footage, 3)
    assert len(rows) == len(examples) > 3
    points = footage.scene.points
    for part, (earlier, later) in zip(examples, rows, strict=True):
        assert len(part) == len(earlier)
        seconds = points[later, 0] - points[earlier, 0]
        np.testing.assert_allclose(part.features[:, NAMES.index("gap_seconds")], seconds, rtol=1e-5)
        np.testing.assert_allclose(part.features[:, NAMES.index("score_later")], points[later, 5], rtol=1e-5)
        ids = footage.identity
        assert (part.same == (ids[earlier] == ids[later])).all()


def test_pairs_get_what_the_cue_says_of_their_patches(footage: Footage) -> None:
    cue = Greys()
    patches = cut_patches(footage, cue)
    assert patches.shape == (len(footage.scene), 1)
    for part, (earlier, later) in zip(with_appearance(footage, 3, cue, patches, 1), pair_rows(footage, 3), strict=True):
        found = part.features[:, len(NAMES)]
        if part.kind == ALONE:
            assert np.isnan(found).all()
        else:
            np.testing.assert_allclose(found, np.abs(patches[earlier] - patches[later])[:, 0])
    blind = with_appearance(footage, 3, cue, None, 1)
    assert all(np.isnan(part.features[:, len(NAMES)]).all() for part in blind)


def test_a_stretch_has_its_own_frames_only(footage: Footage) -> None:
    part, kept = stretch(footage, 30, 59, "half")
    assert {found.frame for found in part.frames} <= set(range(30, 60))
    assert part.scene.frame.min() >= 30
    assert part.scene.frame.max() <= 59
    assert len(part.scene) == len(part.identity) == kept.sum() == sum(len(found) for found in part.frames)
    assert part.group == "half"
    assert set(part.truth.frame.tolist()) == set(range(30, 60))


def test_pixels_tell_what_motion_cannot(footage: Footage) -> None:
    cue = Greys()
    scores = {}
    for name, eyes in (("blind", None), ("seeing", cue)):
        patches = None if eyes is None else cut_patches(footage, eyes)
        fit = Fit([], footage, 0, 79, eyes, patches, repeats=1)
        _, _, model, error = fit.finish()
        assert error < 0.15
        assert model.appearance_names == (() if eyes is None else cue.names)
        scores[name] = judge(model, footage, 80, FRAMES - 1, eyes)
    assert scores["seeing"]["flow"]["IDF1"] >= scores["blind"]["flow"]["IDF1"]
    assert scores["seeing"]["flow"]["IDF1"] > 0.8


def test_the_command_learns_writes_and_judges(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pair_association.PairAppearance, "from_pretrained", classmethod(lambda cls, name: Greys()))
    output = tmp_path / "mine.json"
    command = ["--data", str(folder.parent), "--video", "Walk", "--frames", "1-80", "--output", str(output)]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["frames 81-120"]) == {"flow", "online"}
    model = AssociationModel.read(output)
    assert model.appearance_names == ("grey_distance",)
    assert "frames 1 to 80" in model.card["training"]["appearance"]
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    (folder / "frames.mp4").rename(folder / "hidden.mp4")
    try:
        assert main([*command, "--overwrite"]) == 2
    finally:
        (folder / "hidden.mp4").rename(folder / "frames.mp4")
    assert "there is no frames.mp4" in capsys.readouterr().err


def test_what_ships_asks_for_the_cue_that_ships() -> None:
    from tracker.association.__main__ import APPEARANCES
    from tracker.association.appearance import PairAppearance

    model = AssociationModel.read("association_pets")
    cue = PairAppearance.from_pretrained(APPEARANCES[model.appearance_names])
    assert model.check_cue(cue) is cue
    assert "frames 1 to 450" in model.card["training"]["appearance"]
