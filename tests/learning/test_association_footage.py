"""Which footage is the same video, and which detection is whose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learning.association_footage import footage_group, read_all, read_footage

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "mot"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mot" / "Walk-1"
    for name in ("det", "gt"):
        (root / name).mkdir(parents=True)
    (root / "seqinfo.ini").write_text("[Sequence]\nframeRate=10\nseqLength=3\n", encoding="utf-8")
    (root / "gt" / "gt.txt").write_text(
        "1,7,11,11,10,20,1,1,1\n1,8,101,11,10,20,1,1,1\n2,7,13,11,10,20,1,1,1\n3,9,50,50,10,20,0,1,1\n",
        encoding="utf-8",
    )
    (root / "det" / "det.txt").write_text(
        "1,-1,101,12,10,20,2.0\n1,-1,12,11,10,20,1.5\n1,-1,11,11,10,22,0.5\n2,-1,40,11,10,20,3\n"
        "2,-1,13,11,10,20,-1\n3,-1,50,50,10,20,2\n",
        encoding="utf-8",
    )
    return root


def test_identities_are_the_best_assignment_and_log_odds_become_probabilities(folder: Path) -> None:
    footage = read_footage(folder)
    assert footage.scene.frame.tolist() == [0, 0, 0, 1, 2]  # the detection below 0 is left out
    assert footage.identity.tolist() == [8, -1, 7, -1, -1]  # one box an identity; a flag of 0 counts for nothing
    assert ((footage.scene.points[:, 5] > 0.5) & (footage.scene.points[:, 5] < 1)).all()
    assert (footage.rate, footage.length) == (10, 3)


@pytest.mark.parametrize(
    ("names", "same"),
    [
        (("MOT17val-11-SDP", "MOT17val-11-DPM", "MOT17-11-FRCNN", "MOT16-11"), True),
        (("MOT17val-02-SDP", "Venice-2", "MOT16-02"), True),
        (("MOT17val-02-SDP", "MOT17val-04-SDP"), False),
        (("KITTI-13", "KITTI-trk-Pedestrian-0016", "PETS09-S2L1", "TUD-Campus", "TUD-Stadtmitte"), False),
    ],
)
def test_versions_of_one_video_are_one_group(names: tuple[str, ...], same: bool) -> None:
    groups = {footage_group(name) for name in names}
    assert len(groups) == (1 if same else len(names))


def test_nothing_to_read_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="no <sequence>"):
        read_all(tmp_path)
    with pytest.raises(ValueError, match="Nobody"):
        read_all(folder.parent, ["Nobody"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/mot")
def test_venice_2_and_mot17_02_are_the_same_street() -> None:
    """Persons standing there have the same boxes: the newer ground truth was drawn anew, so only nearly."""
    from benchmarks.mot import read_rows

    old, new = (read_rows(SHARED / name / "gt" / "gt.txt") for name in ("Venice-2", "MOT17val-02-SDP"))
    standing = {}
    for rows, frame in ((old, 300), (new, 0)):
        box = rows.box[rows.frame == frame]
        standing[frame] = box[np.argsort(box[:, 0])]
    near = np.abs(standing[300][:, None] - standing[0][None]).max(-1).min(1)
    assert np.count_nonzero(near <= 8) >= 5
