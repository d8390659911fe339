from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from learning import readers
from learning.footage import Footage
from learning.readers import (
    HOLDOUT,
    load_shared,
    read_annotated,
    read_coco,
    read_got10k,
    read_image,
    read_images,
    read_sequences,
)

Rows = list[tuple[float, ...]]
NAN = (float("nan"),) * 4


def _picture(grey: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def _write_rows(path: Path, rows: Rows, separator: str = ",") -> None:
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))


def _sequence(folder: Path, boxes: Rows, separator: str = ",", frames: int | None = None) -> None:
    """Frame i is an image of grey level 10 i, so that a test sees which frames were kept."""
    for index in range(len(boxes) if frames is None else frames):
        _write_image(folder / "img" / f"{index + 1:04d}.png", _picture(10 * index))
    _write_rows(folder / "groundtruth_rect.txt", boxes, separator)


def _grey_levels(footage: Footage, track: int = 0) -> list[int]:
    return [int(footage.images[index][0, 0, 0]) for index in footage.tracks[track].images]


class TestReadSequences:
    @pytest.mark.parametrize("separator", [",", "\t", " "])
    def test_reads_nested_folders_as_written(self, tmp_path: Path, separator: str) -> None:
        boxes: Rows = [(1.5, 2, 20, 15), (3, 4.25, 21, 16)]
        _sequence(tmp_path / "set" / "a", boxes, separator)
        _sequence(tmp_path / "b", boxes[:1], separator)
        footage = read_sequences(tmp_path)
        assert [(track.name, track.group) for track in footage.tracks] == [("b", "video"), ("set/a", "video")]
        np.testing.assert_array_equal(footage.tracks[1].boxes, np.float32(boxes))
        assert _grey_levels(footage, 1) == [0, 10]

    def test_one_based_boxes(self, tmp_path: Path) -> None:
        _sequence(tmp_path / "a", [(1, 1, 20, 15)])
        np.testing.assert_array_equal(read_sequences(tmp_path, one_based=True).tracks[0].boxes, [[0, 0, 20, 15]])

    def test_leaves_out_frames_without_a_usable_box(self, tmp_path: Path) -> None:
        good = (10, 10, 20, 15)
        unusable: Rows = [NAN, (10, 10, 0, 15), (10, 10, 20, -3), (10, 10, 5, 5), (60, 10, 20, 15), (10, -14, 20, 15)]
        boxes: Rows = [good, *unusable, (50, 10, 20, 15)]
        _sequence(tmp_path / "a", boxes)
        footage = read_sequences(tmp_path)
        assert _grey_levels(footage) == [0, 70]
        assert len(footage.images) == 2

    def test_scales_images_and_boxes_together(self, tmp_path: Path) -> None:
        image = _picture(0, 200, 100)
        image[20:60, 100:180] = 255
        _write_image(tmp_path / "a" / "img" / "1.png", image)
        _write_rows(tmp_path / "a" / "groundtruth_rect.txt", [(100, 20, 80, 40)])
        footage = read_sequences(tmp_path, longest_side=50)
        assert footage.images[0].shape == (25, 50, 3)
        x, y, w, h = footage.tracks[0].boxes[0].astype(int)
        assert (x, y, w, h) == (25, 5, 20, 10)
        assert footage.images[0][y : y + h, x : x + w].min() == 255
        assert footage.images[0].sum(dtype=np.int64) == 255 * 3 * w * h

    def test_reads_video(self, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        folder.mkdir()
        writer = cv2.VideoWriter(str(folder / "frames.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
        for index in range(5):
            writer.write(_picture(50 * index))
        writer.release()
        _write_rows(folder / "groundtruth_rect.txt", [(10, 10, 20, 15)] * 5)
        np.testing.assert_allclose(_grey_levels(read_sequences(tmp_path)), [0, 50, 100, 150, 200], atol=10)

    def test_exclude(self, tmp_path: Path) -> None:
        _sequence(tmp_path / "set" / "a", [(1, 2, 20, 15)])
        _sequence(tmp_path / "set" / "b", [(1, 2, 20, 15)])
        assert [track.name for track in read_sequences(tmp_path, exclude=("set/a",)).tracks] == ["set/b"]

    @pytest.mark.parametrize("frames", [1, 3])
    def test_refuses_a_count_of_boxes_that_is_not_that_of_frames(self, tmp_path: Path, frames: int) -> None:
        _sequence(tmp_path / "a", [(1, 2, 20, 15)] * 2, frames=frames)
        with pytest.raises(ValueError, match=f"a has {frames} frames but 2 boxes"):
            read_sequences(tmp_path)

    def test_refuses_text_that_is_not_boxes(self, tmp_path: Path) -> None:
        _sequence(tmp_path / "a", [(1, 2, 20)])
        with pytest.raises(ValueError, match=r"groundtruth_rect.txt must hold rows of 4 numbers"):
            read_sequences(tmp_path)

    def test_names_what_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            read_sequences(tmp_path / "nowhere")
        with pytest.raises(ValueError, match="nothing found"):
            read_sequences(tmp_path)
        _write_rows(tmp_path / "groundtruth_rect.txt", [(1, 2, 20, 15)])
        with pytest.raises(FileNotFoundError, match=r"neither frames\.mp4 nor img"):
            read_sequences(tmp_path)

    def test_says_so_when_a_sequence_has_nothing_usable(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        _sequence(tmp_path / "a", [NAN])
        _sequence(tmp_path / "b", [(1, 2, 20, 15)])
        with caplog.at_level(logging.WARNING):
            assert [track.name for track in read_sequences(tmp_path).tracks] == ["b"]
        assert "a: no frame has a usable box" in caplog.text


def _annotated(root: Path, entries: list[dict[str, Any]]) -> None:
    for number, image in enumerate(sorted({entry["image"] for entry in entries})):
        _write_image(root / image, _picture(10 * number))
    (root / "annotations.json").write_text(json.dumps({"dataset": "X", "annotations": entries}))


class TestReadAnnotated:
    def test_stills_share_an_image_and_keep_their_category(self, tmp_path: Path) -> None:
        root = tmp_path / "things"
        _annotated(
            root,
            [
                {"image": "i/0.png", "box": [1.5, 2, 21.5, 30], "seq": "0", "frame": 0, "obj": 1, "cat": "dog"},
                {"image": "i/0.png", "box": [30, 2, 60, 30], "seq": "0", "frame": 0, "obj": 2, "cat": "salient"},
                {"image": "i/0.png", "box": [30, 2, 36, 8], "seq": "0", "frame": 0, "obj": 3, "cat": "speck"},
            ],
        )
        footage = read_annotated(root)
        assert len(footage.images) == 1
        found = [(track.name, track.group, track.category) for track in footage.tracks]
        assert found == [("things/0/1", "still", "dog"), ("things/0/2", "still", "")]
        np.testing.assert_array_equal(footage.tracks[0].boxes, [[1.5, 2, 20, 28]])

    def test_several_frames_are_a_track_in_time_order(self, tmp_path: Path) -> None:
        entries = [
            {"image": f"i/{frame}.png", "box": [frame, 2, 20 + frame, 30], "seq": "swan", "frame": frame, "obj": 1}
            for frame in (2, 0, 1)
        ]
        _annotated(tmp_path, [*entries, {**entries[0], "seq": "other"}])
        footage = read_annotated(tmp_path, exclude=("other",))
        assert [(track.group, track.category) for track in footage.tracks] == [("video", "")]
        assert _grey_levels(footage) == [0, 10, 20]
        np.testing.assert_array_equal(footage.tracks[0].boxes[:, 0], [0, 1, 2])

    def test_names_what_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"annotations\.json"):
            read_annotated(tmp_path)
        (tmp_path / "annotations.json").write_text('{"annotations": [{"image": "gone.png"}]}')
        with pytest.raises(ValueError, match="'image' and 'box'"):
            read_annotated(tmp_path)
        (tmp_path / "annotations.json").write_text('{"annotations": [{"image": "gone.png", "box": [0, 0, 20, 20]}]}')
        with pytest.raises(FileNotFoundError, match=r"gone\.png"):
            read_annotated(tmp_path)


def test_read_images_takes_every_image_and_nothing_else(tmp_path: Path) -> None:
    _write_image(tmp_path / "a" / "0.png", _picture(1, 100, 40))
    _write_image(tmp_path / "1.JPG", _picture(2))
    (tmp_path / "notes.txt").write_text("not an image")
    footage = read_images(tmp_path, longest_side=50)
    assert [image.shape for image in footage.images] == [(38, 50, 3), (20, 50, 3)]
    assert footage.unlabelled == [0, 1]
    assert footage.tracks == []


def test_an_undecodable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"bad\.jpg is not an image"):
        read_image(tmp_path / "bad.jpg")


def _got10k(root: Path, names: list[str], frames: int = 6) -> None:
    for name in names:
        for index in range(frames):
            _write_image(root / name / f"{index + 1:08d}.jpg", _picture(40 * index))
        _write_rows(root / name / "groundtruth.txt", [(11 + index, 6, 20, 15) for index in range(frames)])
        _write_rows(root / name / "absence.label", [(0,)] * frames)
        _write_rows(root / name / "cover.label", [(8,)] * frames)
    (root / "list.txt").write_text("\n".join(names) + "\n")


class TestReadGot10k:
    def test_reads_every_strideth_frame_with_zero_based_boxes(self, tmp_path: Path) -> None:
        _got10k(tmp_path, ["GOT-10k_Train_000001"])
        footage = read_got10k(tmp_path, stride=2)
        assert footage.tracks[0].name == "GOT-10k/GOT-10k_Train_000001"
        assert _grey_levels(footage) == [0, 80, 160]
        np.testing.assert_array_equal(footage.tracks[0].boxes, [[10, 5, 20, 15], [12, 5, 20, 15], [14, 5, 20, 15]])

    def test_leaves_out_absent_and_covered_frames(self, tmp_path: Path) -> None:
        _got10k(tmp_path, ["a"])
        _write_rows(tmp_path / "a" / "absence.label", [(0,), (1,), (0,), (0,), (0,), (0,)])
        _write_rows(tmp_path / "a" / "cover.label", [(8,), (8,), (0,), (1,), (8,), (8,)])
        assert _grey_levels(read_got10k(tmp_path, stride=1)) == [0, 120, 160, 200]

    def test_a_split_without_labels_and_list(self, tmp_path: Path) -> None:
        _got10k(tmp_path, ["b", "a"])
        for path in (*tmp_path.glob("*/*.label"), tmp_path / "list.txt"):
            path.unlink()
        footage = read_got10k(tmp_path, stride=1)
        assert [(track.name, len(track)) for track in footage.tracks] == [("GOT-10k/a", 6), ("GOT-10k/b", 6)]

    def test_limit_spreads_over_the_list(self, tmp_path: Path) -> None:
        _got10k(tmp_path, ["a", "b", "c", "d"], frames=1)
        footage = read_got10k(tmp_path, limit=2)
        assert [track.name for track in footage.tracks] == ["GOT-10k/a", "GOT-10k/c"]
        assert len(read_got10k(tmp_path, limit=9, exclude=("b",)).tracks) == 3

    def test_names_what_is_wrong(self, tmp_path: Path) -> None:
        _got10k(tmp_path, ["a"])
        with pytest.raises(ValueError, match="stride and limit"):
            read_got10k(tmp_path, stride=0)
        (tmp_path / "a" / "00000003.jpg").unlink()
        with pytest.raises(ValueError, match=r"a: the counts differ: .*'frames': 5"):
            read_got10k(tmp_path)
        (tmp_path / "list.txt").write_text("a\ngone\n")
        with pytest.raises(FileNotFoundError, match=r"gone .*list\.txt"):
            read_got10k(tmp_path, exclude=("a",))


def _coco(root: Path, images: Path, annotations: list[dict[str, Any]]) -> None:
    for number in (1, 2, 3):
        _write_image(images / f"{number:012d}.jpg", _picture(50 * number))
    content = {
        "images": [{"id": number, "file_name": f"{number:012d}.jpg"} for number in (1, 2, 3)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))


def _instance(number: int, image: int, kind: int, box: list[float], crowd: int = 0) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": kind, "bbox": box, "iscrowd": crowd, "segmentation": []}


class TestReadCoco:
    @pytest.mark.parametrize("folder", ["val2017", "images/val2017"])
    def test_objects_become_stills_of_their_category(self, tmp_path: Path, folder: str) -> None:
        instances = [
            _instance(7, 1, 1, [1.5, 2, 20, 30]),
            _instance(8, 3, 18, [10, 2, 20, 30]),
            _instance(9, 1, 18, [30, 2, 20, 30]),
            _instance(10, 1, 1, [30, 2, 20, 30], crowd=1),
            _instance(11, 2, 1, [30, 2, 4, 4]),
        ]
        _coco(tmp_path, tmp_path / folder, instances)
        footage = read_coco(tmp_path, "val2017")
        found = {
            track.name: (track.category, track.images.tolist(), track.boxes[0].tolist()) for track in footage.tracks
        }
        assert found == {
            "COCO/val2017/7": ("person", [0], [1.5, 2, 20, 30]),
            "COCO/val2017/9": ("dog", [0], [30, 2, 20, 30]),
            "COCO/val2017/8": ("dog", [1], [10, 2, 20, 30]),
        }
        assert [int(image[0, 0, 0]) for image in footage.images] == [
            50,
            150,
        ]  # the image with nothing usable is not kept

    def test_limit_counts_images(self, tmp_path: Path) -> None:
        instances = [_instance(number, number, 1, [1, 2, 20, 30]) for number in (1, 2, 3)]
        _coco(tmp_path, tmp_path / "val2017", instances)
        assert [track.name for track in read_coco(tmp_path, "val2017", limit=1).tracks] == ["COCO/val2017/1"]

    def test_names_what_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="instances_val2017"):
            read_coco(tmp_path, "val2017")
        _coco(tmp_path, tmp_path / "elsewhere", [_instance(1, 1, 1, [1, 2, 20, 30])])
        with pytest.raises(FileNotFoundError, match="images/val2017"):
            read_coco(tmp_path, "val2017")
        (tmp_path / "annotations" / "instances_val2017.json").write_text('{"images": []}')
        with pytest.raises(ValueError, match="lacks"):
            read_coco(tmp_path, "val2017")


def _shared(root: Path) -> Path:
    """The research data in small: every part has one object that is named after it."""
    for name in ("VOT/bag", *HOLDOUT):
        _sequence(root / "video" / name, [(1, 2, 20, 15)])
    for part in ("davis", "ecssd", "coco256", "pennfudan", "kangaroo"):
        entry = {"image": "i/0.png", "box": [1, 2, 30, 40], "seq": "0", "frame": 0, "obj": 1, "cat": part}
        _annotated(root / part, [entry, {**entry, "seq": "paragliding-launch"}][: 2 if part == "davis" else 1])
    for part in ("bsds", "caltech101"):
        _write_image(root / "images" / part / "0.jpg", _picture(9))
    for part in ("otb", "tinytlp", "mot"):
        _sequence(root / part / "forbidden", [(1, 2, 20, 15)])
    return root


def test_shared_footage_leaves_out_what_is_measured_on(tmp_path: Path) -> None:
    footage = load_shared(_shared(tmp_path))
    names = {"VOT/bag", "davis/0/1", "ecssd/0/1", "coco256/0/1", "pennfudan/0/1", "kangaroo/0/1"}
    assert {track.name for track in footage.tracks} == names
    assert len(footage.unlabelled) == 2
    everything = load_shared(tmp_path, holdout=())
    assert {track.name for track in everything.tracks} == names | set(HOLDOUT)


def test_every_held_out_sequence_is_in_the_research_data() -> None:
    root = Path(__file__).parents[2] / ".." / "shared" / "data" / "video"
    if not root.is_dir():
        pytest.skip("needs the research data at ../shared/data")
    assert [name for name in HOLDOUT if not (root / name / "groundtruth_rect.txt").is_file()] == []
    assert readers.DAVIS_LEFT_OUT == ("paragliding-launch",)
