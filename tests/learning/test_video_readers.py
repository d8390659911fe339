"""Readers of public sets of video, on tiny folders in the authors' own layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from learning.cache import open_footage
from learning.footage import Footage
from learning.video_readers import read_imagenet_vid, read_lasot, read_mot, read_trackingnet

BOX = "11,6,20,15"


def _write_image(path: Path, grey: int, width: int = 64, height: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), grey, np.uint8))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _grey_levels(footage: Footage, track: int = 0) -> list[int]:
    """What frames a track has: frame i is an image of grey level 20 i."""
    return [round(float(footage.images[index].mean())) // 20 for index in footage.tracks[track].images]


def _lasot(root: Path, name: str = "bear-1", frames: int = 5) -> Path:
    folder = root / name.rpartition("-")[0] / name
    for index in range(frames):
        _write_image(folder / "img" / f"{index + 1:08d}.jpg", 20 * index)
    _write(folder / "groundtruth.txt", "".join(f"{11 + index},6,20,15\n" for index in range(frames)))
    for labels in ("full_occlusion.txt", "out_of_view.txt"):
        _write(folder / labels, ",".join("0" * frames) + "\n")
    _write(folder / "nlp.txt", "a bear that is walking")
    return folder


class TestReadLasot:
    def test_reads_every_strideth_frame_with_zero_based_boxes(self, tmp_path: Path) -> None:
        _lasot(tmp_path)
        footage = read_lasot(tmp_path, stride=2)
        (track,) = footage.tracks
        assert (track.name, track.group, track.category) == ("LaSOT/bear-1", "video", "bear")
        np.testing.assert_array_equal(track.boxes, [[10, 5, 20, 15], [12, 5, 20, 15], [14, 5, 20, 15]])
        assert _grey_levels(footage) == [0, 2, 4]

    def test_leaves_out_covered_and_absent_frames(self, tmp_path: Path) -> None:
        folder = _lasot(tmp_path)
        _write(folder / "full_occlusion.txt", "0,1,0,0,0")
        _write(folder / "out_of_view.txt", "0,0,0,1,0")
        footage = read_lasot(tmp_path, stride=1)
        assert _grey_levels(footage) == [0, 2, 4]
        assert len(footage.images) == 3

    def test_absent_frames_do_not_shift_the_stride(self, tmp_path: Path) -> None:
        folder = _lasot(tmp_path)
        _write(folder / "out_of_view.txt", "0,1,0,0,0")
        assert _grey_levels(read_lasot(tmp_path, stride=2)) == [0, 2, 4]

    def test_the_test_set_is_never_trained_on(self, tmp_path: Path) -> None:
        for name in ("bear-1", "bear-2", "bear-17", "bear-3"):  # 2 and 17 are of the test set
            _lasot(tmp_path, name, 1)
        assert [track.name for track in read_lasot(tmp_path).tracks] == ["LaSOT/bear-1", "LaSOT/bear-3"]
        assert len(read_lasot(tmp_path, exclude=()).tracks) == 4

    def test_kinds_folders_may_be_left_out(self, tmp_path: Path) -> None:
        _lasot(tmp_path).rename(tmp_path / "bear-1")
        (tmp_path / "bear").rmdir()
        assert [track.name for track in read_lasot(tmp_path).tracks] == ["LaSOT/bear-1"]

    def test_scales_images_and_boxes_together_and_spreads_the_limit(self, tmp_path: Path) -> None:
        for number in (1, 3, 5, 7):
            _lasot(tmp_path, f"bear-{number}", 1)
        footage = read_lasot(tmp_path, longest_side=32, limit=2)
        assert [track.name for track in footage.tracks] == ["LaSOT/bear-1", "LaSOT/bear-5"]
        assert footage.images[0].shape == (24, 32, 3)
        np.testing.assert_array_equal(footage.tracks[0].boxes, [[5, 2.5, 10, 7.5]])

    def test_names_what_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"nowhere .*airplane-1/groundtruth\.txt"):
            read_lasot(tmp_path / "nowhere")
        with pytest.raises(ValueError, match=r"nothing found under .*airplane-1/groundtruth\.txt"):
            read_lasot(tmp_path)
        folder = _lasot(tmp_path)
        for wrong in ({"stride": 0}, {"limit": 0}):
            with pytest.raises(ValueError, match="stride and limit"):
                read_lasot(tmp_path, **wrong)  # type: ignore[arg-type]
        _write(folder / "full_occlusion.txt", "0,0,0,0")
        with pytest.raises(ValueError, match=r"bear-1: expected 5 zeros and ones in .*full_occlusion\.txt, found 4"):
            read_lasot(tmp_path)
        _write(folder / "full_occlusion.txt", "0,0,0,0,0")
        _write(folder / "groundtruth.txt", f"{BOX}\n{BOX}\n1,2,x,4\n{BOX}\n{BOX}\n")
        with pytest.raises(ValueError, match=r"4 numbers a line in .*groundtruth\.txt, found '1,2,x,4' in line 3"):
            read_lasot(tmp_path)
        _write(folder / "groundtruth.txt", f"{BOX}\n" * 5)
        (folder / "img" / "00000003.jpg").unlink()
        with pytest.raises(ValueError, match=r"bear-1: .*00000003\.jpg is missing"):
            read_lasot(tmp_path)


def _trackingnet(root: Path, name: str = "TRAIN_0/abc", frames: int = 12) -> None:
    chunk, video = name.split("/")
    for index in range(frames):
        _write_image(root / chunk / "frames" / video / f"{index}.jpg", 20 * index)
    rows = "".join(f"{10.5 + index},5,20,15\n" for index in range(frames))
    _write(root / chunk / "anno" / f"{video}.txt", rows)


class TestReadTrackingnet:
    def test_frames_are_ordered_by_number_and_boxes_taken_as_they_are(self, tmp_path: Path) -> None:
        _trackingnet(tmp_path)
        footage = read_trackingnet(tmp_path, stride=1)
        (track,) = footage.tracks
        assert (track.name, track.group, track.category) == ("TrackingNet/TRAIN_0/abc", "video", "")
        assert _grey_levels(footage) == list(range(12))  # 2.jpg before 10.jpg
        np.testing.assert_array_equal(track.boxes[:, 0], 10.5 + np.arange(12))
        np.testing.assert_array_equal(track.boxes[0], [10.5, 5, 20, 15])

    def test_chunks_stride_limit_and_exclude(self, tmp_path: Path) -> None:
        for name in ("TRAIN_0/a", "TRAIN_0/b", "TRAIN_1/c", "TRAIN_11/d", "TEST/e"):
            _trackingnet(tmp_path, name, 4)
        footage = read_trackingnet(tmp_path, stride=3, exclude=("b",), longest_side=32)
        names = ["TrackingNet/TRAIN_0/a", "TrackingNet/TRAIN_1/c", "TrackingNet/TRAIN_11/d"]
        assert [track.name for track in footage.tracks] == names
        assert _grey_levels(footage, 2) == [0, 3]
        assert footage.images[0].shape == (24, 32, 3)
        limited = read_trackingnet(tmp_path, limit=2)
        assert [track.name for track in limited.tracks] == ["TrackingNet/TRAIN_0/a", "TrackingNet/TRAIN_1/c"]

    def test_names_what_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"nowhere .*TRAIN_0/frames"):
            read_trackingnet(tmp_path / "nowhere")
        _trackingnet(tmp_path, "TEST/e")
        with pytest.raises(ValueError, match=r"nothing found under .*TRAIN_0/frames"):
            read_trackingnet(tmp_path)
        _trackingnet(tmp_path, frames=3)
        with pytest.raises(ValueError, match="stride and limit"):
            read_trackingnet(tmp_path, stride=0)
        table = tmp_path / "TRAIN_0" / "anno" / "abc.txt"
        _write(table, f"{BOX}\n1,2,3\n{BOX}\n")
        with pytest.raises(ValueError, match=r"TRAIN_0/abc: .*anno/abc\.txt, found '1,2,3' in line 2"):
            read_trackingnet(tmp_path)
        _write(table, f"{BOX}\n{BOX}\n")
        with pytest.raises(ValueError, match=r"TRAIN_0/abc: expected 2 frames, one for each line of .*, found 3"):
            read_trackingnet(tmp_path)
        _write(table, f"{BOX}\n{BOX}\n{BOX}\n")
        (tmp_path / "TRAIN_0" / "frames" / "abc" / "0.jpg").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"0\.jpg"):
            read_trackingnet(tmp_path)


def _object(number: int, corners: tuple[int, ...], occluded: int = 0, name: str = "n02084071") -> str:
    xmin, ymin, xmax, ymax = corners
    return f"""
	<object>
		<trackid>{number}</trackid>
		<name>{name}</name>
		<bndbox>
			<xmax>{xmax}</xmax>
			<xmin>{xmin}</xmin>
			<ymax>{ymax}</ymax>
			<ymin>{ymin}</ymin>
		</bndbox>
		<occluded>{occluded}</occluded>
		<generated>0</generated>
	</object>"""


def _vid(
    root: Path, frames: list[str], video: str = "ILSVRC2015_train_00000000", pack: str = "ILSVRC2015_VID_train_0000"
) -> Path:
    """One video whose frame i has the objects frames[i]; returns the folder of its annotations."""
    labels = root / "Annotations" / "VID" / "train" / pack / video
    for index, objects in enumerate(frames):
        _write_image(root / "Data" / "VID" / "train" / pack / video / f"{index:06d}.JPEG", 20 * index)
        head = f"<folder>{pack}/{video}</folder>\n\t<filename>{index:06d}</filename>"
        size = "<size>\n\t\t<width>64</width>\n\t\t<height>48</height>\n\t</size>"
        _write(labels / f"{index:06d}.xml", f"<annotation>\n\t{head}\n\t{size}{objects}\n</annotation>\n")
    return labels


class TestReadImagenetVid:
    def test_every_object_of_a_video_is_a_track(self, tmp_path: Path) -> None:
        first, second = _object(0, (0, 5, 20, 30)), _object(1, (30, 8, 64, 48), name="n02129165")
        _vid(tmp_path, [first, first + second, second, ""])
        footage = read_imagenet_vid(tmp_path, stride=1)
        prefix = "ImageNet-VID/ILSVRC2015_train_00000000"
        assert [(t.name, t.group, t.category) for t in footage.tracks] == [
            (f"{prefix}/0", "video", "n02084071"),
            (f"{prefix}/1", "video", "n02129165"),
        ]
        assert _grey_levels(footage, 0) == [0, 1]
        assert _grey_levels(footage, 1) == [1, 2]
        assert len(footage.images) == 3  # one that is shared, none without objects
        np.testing.assert_array_equal(footage.tracks[0].boxes[0], [0, 5, 20, 25])
        np.testing.assert_array_equal(footage.tracks[1].boxes[0], [30, 8, 34, 40])  # to the image's corner, not beyond

    def test_occluded_objects_can_be_left_out(self, tmp_path: Path) -> None:
        _vid(tmp_path, [_object(0, (0, 5, 20, 30), occluded) for occluded in (0, 1, 0)])
        assert _grey_levels(read_imagenet_vid(tmp_path, stride=1)) == [0, 1, 2]
        assert _grey_levels(read_imagenet_vid(tmp_path, stride=1, occluded=False)) == [0, 2]

    def test_stride_limit_exclude_and_scale(self, tmp_path: Path) -> None:
        for number in range(4):
            pack = f"ILSVRC2015_VID_train_000{number // 2}"
            _vid(tmp_path, [_object(0, (0, 5, 20, 30))] * 5, f"video{number}", pack)
        footage = read_imagenet_vid(tmp_path, stride=2, limit=2, longest_side=32)
        assert [track.name for track in footage.tracks] == ["ImageNet-VID/video0/0", "ImageNet-VID/video2/0"]
        assert _grey_levels(footage, 1) == [0, 2, 4]
        np.testing.assert_array_equal(footage.tracks[0].boxes[0], [0, 2.5, 10, 12.5])
        assert len(read_imagenet_vid(tmp_path, exclude=("video1",)).tracks) == 3

    def test_a_pack_that_is_linked_again_counts_once(self, tmp_path: Path) -> None:
        labels = _vid(tmp_path, [_object(0, (0, 5, 20, 30))])
        (labels.parent.parent / "a").symlink_to(labels.parent, target_is_directory=True)
        assert len(read_imagenet_vid(tmp_path).tracks) == 1

    def test_specks_are_left_out(self, tmp_path: Path) -> None:
        _vid(tmp_path, [_object(0, (0, 5, 20, 30)) + _object(1, (0, 0, 4, 4)) + _object(2, (9, 9, 9, 30))])
        assert [track.name[-2:] for track in read_imagenet_vid(tmp_path).tracks] == ["/0"]

    def test_names_what_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"Annotations/VID/train .*000000\.xml"):
            read_imagenet_vid(tmp_path)
        labels = _vid(tmp_path, [_object(0, (0, 5, 20, 30))] * 2)
        with pytest.raises(ValueError, match="stride and limit"):
            read_imagenet_vid(tmp_path, limit=0)
        whole = (labels / "000000.xml").read_text()
        for wrong in (whole.replace("<xmin>0</xmin>", ""), whole.replace(">0</xmin>", ">left</xmin>")):
            _write(labels / "000000.xml", wrong)
            with pytest.raises(
                ValueError, match=r"000000\.xml: an object needs a number .*'bndbox/xmin': (None|'left')"
            ):
                read_imagenet_vid(tmp_path)
        _write(labels / "000000.xml", whole.replace("<trackid>0</trackid>", ""))
        with pytest.raises(ValueError, match=r"000000\.xml: an object needs a number .*'trackid': None"):
            read_imagenet_vid(tmp_path)
        _write(labels / "000000.xml", whole[:200])
        with pytest.raises(ValueError, match=r"000000\.xml is not well-formed XML: .*line \d+"):
            read_imagenet_vid(tmp_path)
        (labels / "000000.xml").unlink()
        with pytest.raises(ValueError, match="the same frames, but 000000 is in one of them only"):
            read_imagenet_vid(tmp_path)


def _mot(root: Path, name: str = "MOT17-02-SDP", frames: int = 5) -> Path:
    """Two people and a car that does not count; the second person comes in the third frame."""
    folder = root / name
    for index in range(frames):
        _write_image(folder / "img1" / f"{index + 1:06d}.jpg", 20 * index)
    rows = [f"{number},1,{10 + number},6,20,15,1,1,1" for number in range(1, frames + 1)]
    rows += [f"{number},2,40,6,10,15,1,1,.5" for number in range(3, frames + 1)]
    _write(folder / "gt" / "gt.txt", "\n".join([*rows, "1,9,1,1,30,30,0,3,1"]) + "\n")
    return folder


class TestReadMot:
    def test_every_person_is_a_track_and_images_are_shared(self, tmp_path: Path) -> None:
        _mot(tmp_path)
        footage = read_mot(tmp_path, stride=2)
        assert [track.name for track in footage.tracks] == ["MOT/MOT17-02-SDP/1", "MOT/MOT17-02-SDP/2"]
        assert [_grey_levels(footage, track) for track in (0, 1)] == [[0, 2, 4], [2, 4]]
        assert footage.tracks[0].boxes.tolist() == [[10, 5, 20, 15], [12, 5, 20, 15], [14, 5, 20, 15]], "from 0"
        assert len(footage.images) == 3
        assert {track.category for track in footage.tracks} == {"person"}

    def test_videos_without_images_are_passed_over(self, tmp_path: Path) -> None:
        _mot(tmp_path, "a")
        _write(tmp_path / "b" / "gt" / "gt.txt", "1,1,1,1,20,20,1,1,1\n")
        assert {track.name.split("/")[1] for track in read_mot(tmp_path, stride=1).tracks} == {"a"}
        with pytest.raises(ValueError, match="beside frames"):
            read_mot(tmp_path, exclude=("a",))

    def test_names_what_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_mot(tmp_path / "nowhere")
        folder = _mot(tmp_path)
        _write(folder / "gt" / "gt.txt", "1,1,one,1,20,20\n")
        with pytest.raises(ValueError, match=r"gt\.txt"):
            read_mot(tmp_path)


@pytest.mark.parametrize(
    ("layout", "make"),
    [
        ("mot", _mot),
        ("lasot", _lasot),
        ("trackingnet", lambda root: _trackingnet(root, frames=5)),
        ("imagenet-vid", lambda root: _vid(root, [_object(0, (0, 5, 20, 30))] * 5)),
    ],
)
def test_training_reads_the_layout_by_its_name(tmp_path: Path, layout: str, make: Callable[[Path], object]) -> None:
    make(tmp_path / "data")
    footage = open_footage(tmp_path / "data", layout, tmp_path / "cache", stride=2, longest_side=32, limit=1)
    assert _grey_levels(footage) == [0, 2, 4]
    assert footage.images[0].shape == (24, 32, 3)
