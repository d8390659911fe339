"""MOTChallenge text in and out, whatever order and gaps it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.mot import read_rows
from tracker.association.mot_text import read_detections, read_frame_rate, write_tracks
from tracker.association.track import Track


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_frames_and_pixels_count_from_zero_inside(tmp_path: Path) -> None:
    found = read_detections(write(tmp_path / "det.txt", "1,-1,1,1,10,20,0.5,-1,-1,-1\n"))
    assert list(found) == [0]
    assert found[0].xywh.tolist() == [[0, 0, 10, 20]]
    assert found[0].score.tolist() == [0.5]


def test_lines_in_any_order_gaps_and_ids_of_any_size(tmp_path: Path) -> None:
    huge = 2**80
    found = read_detections(
        write(tmp_path / "det.txt", f"\ufeff90000;{huge};5;5;2;2\r\n\r\n3 -1 1 1 2 2 .9 4\n\n3\t7\t9\t9\t2\t2\n")
    )
    assert list(found) == [2, 89999]
    assert len(found[2]) == 2
    assert sorted(found[2].class_id.tolist()) == [-1, 4]


def test_repairs_are_said_once_a_kind(tmp_path: Path) -> None:
    notes: list[str] = []
    text = "".join(f"{frame},-1,1,1,0,5,1\n{frame},-1,1,1,4,5,1\n" for frame in (1, 2, 3)) + "3,-1,nan,1,4,4,1\n"
    found = read_detections(write(tmp_path / "det.txt", text), notes)
    assert [len(part) for part in found.values()] == [1, 1, 1]
    assert len(notes) == 2
    assert "positive width" in notes[0]
    assert "2 other frames" in notes[0]
    assert "not finite" in notes[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,-1,2,3,4", "line 2 has 5 columns"),
        ("1,-1,2,3,4,x", "line 2 is not numbers"),
        ("0,-1,2,3,4,5", "line 2: frames are whole, from 1, got 0"),
        ("1.5,-1,2,3,4,5", "frames are whole"),
        ("nan,-1,2,3,4,5", "frames are whole"),
        ("1e300,-1,2,3,4,5", "frames are whole"),
        ("1,-1,2,3,4,5,1,0.5", "classes are whole"),
    ],
)
def test_what_cannot_be_repaired_is_refused_by_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_detections(write(tmp_path / "det.txt", f"1,-1,1,1,2,2\n{line}\n"))


def test_an_empty_file_has_no_detections(tmp_path: Path) -> None:
    assert read_detections(write(tmp_path / "det.txt", "")) == {}


def test_tracks_come_back_from_what_evaluation_reads(tmp_path: Path) -> None:
    large = 2**40
    tracks = [
        Track(
            large, np.array([4, 6]), np.array([[0.25, 0, 3, 4], [1, 2, 3, 4]]), np.array([0.5, 1]), np.zeros(2, bool)
        ),
        Track(1, np.array([4]), np.array([[7.0, 8, 9, 10]]), np.array([1.0]), np.ones(1, bool)),
    ]
    path = tmp_path / "tracks.txt"
    write_tracks(path, tracks)
    rows = read_rows(path)
    assert rows.frame.tolist() == [4, 4, 6]
    assert rows.id.tolist() == [1, large, large]
    np.testing.assert_allclose(rows.box, [[7, 8, 9, 10], [0.25, 0, 3, 4], [1, 2, 3, 4]])
    with pytest.raises(FileExistsError):
        write_tracks(path, tracks)
    write_tracks(path, [], overwrite=True)
    assert path.read_text(encoding="utf-8") == ""


def test_frame_rate(tmp_path: Path) -> None:
    assert read_frame_rate(write(tmp_path / "seqinfo.ini", "[Sequence]\nframeRate=14\n")) == 14
    for text in ("[Sequence]\n", "[Sequence]\nframeRate=fast\n", "[Sequence]\nframeRate=0\n", "frameRate=3"):
        with pytest.raises(ValueError, match=r"seqinfo\.ini"):
            read_frame_rate(write(tmp_path / "seqinfo.ini", text))
