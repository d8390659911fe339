"""Detectors of three layouts, as tiny ONNX graphs whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.association.detector import Detector, DetectorError, suppress
from tracker.box import from_corners, overlap

onnx = pytest.importorskip("onnx", reason="detectors are ONNX files")
pytest.importorskip("onnxruntime", reason="detectors are run by onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

SIDE = 64
GREY = np.full((SIDE, SIDE, 3), 128, np.uint8)
GRIDS = {"yolox": (8, 16, 32), "yolov8": (8, 16, 32), "nanodet": (8, 16, 32, 64)}


def cell(layout: str, stride: int, column: int, row: int) -> int:
    """Number of a grid cell: those of the finer grids come first, row by row."""
    before = sum((SIDE // finer) ** 2 for finer in GRIDS[layout] if finer < stride)
    return before + row * (SIDE // stride) + column


def cells(layout: str) -> int:
    return sum((SIDE // stride) ** 2 for stride in GRIDS[layout])


def write(
    path: Path,
    output: np.ndarray,
    *,
    names: str = "",
    image: tuple[int | str, ...] = (1, 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    nodes: list | None = None,
    inputs: int = 1,
) -> Path:
    """A network that answers every image with `output`, or what `nodes` make of "image" and "output"."""
    constant = numpy_helper.from_array(output, "output" if nodes else "answer")
    value = helper.make_node("Constant", [], [constant.name], value=constant)
    graph = helper.make_graph(
        [value, *(nodes or [])],
        "detector",
        [helper.make_tensor_value_info(f"image{n or ''}", kind, image) for n in range(inputs)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if names:
        helper.set_model_props(model, {"names": names})
    onnx.save(model, path)
    return path


def yolov8(boxes: list[tuple[float, ...]], classes: int = 3) -> np.ndarray:
    """Rows of (cx, cy, w, h, class, score) in the first cells."""
    output = np.zeros((1, 4 + classes, cells("yolov8")), np.float32)
    for place, (cx, cy, w, h, kind, score) in enumerate(boxes):
        output[0, :4, place] = cx, cy, w, h
        output[0, 4 + int(kind), place] = score
    return output


def test_yolov8_gives_boxes_in_pixels(tmp_path: Path) -> None:
    path = write(
        tmp_path / "net.onnx", yolov8([(20, 30, 10, 24, 1, 0.9), (50, 40, 8, 8, 0, 0.4), (9, 9, 4, 4, 0, 0.2)])
    )
    detector = Detector(path)
    assert detector.layout == "yolov8"
    found = detector(7, GREY)
    np.testing.assert_allclose(found.xywh, [[15, 18, 10, 24], [46, 36, 8, 8]], atol=1e-4)
    np.testing.assert_allclose(found.score, [0.9, 0.4], atol=1e-6)
    assert found.class_id.tolist() == [1, 0]
    assert found.frame == 7
    assert found.image is not None


def test_yolox_gives_offsets_in_its_grid(tmp_path: Path) -> None:
    output = np.zeros((1, cells("yolox"), 5 + 80), np.float32)
    row = output[0, cell("yolox", 16, 2, 1)]
    row[:4] = 0.25, 0.5, np.log(1.5), np.log(2)  # centre (2.25, 1.5) cells, size (1.5, 2) cells of 16 pixels
    row[4], row[5 + 2] = 0.8, 0.75
    detector = Detector(write(tmp_path / "net.onnx", output), score=0.5)
    assert detector.layout == "yolox"
    assert detector.names[2] == "car"
    found = detector(0, GREY)
    np.testing.assert_allclose(found.xywh, [[36 - 12, 24 - 16, 24, 32]], atol=1e-3)
    np.testing.assert_allclose(found.score, [0.6], atol=1e-6)
    assert found.class_id.tolist() == [2]


def test_nanodet_gives_distributions_of_distances(tmp_path: Path) -> None:
    output = np.zeros((1, cells("nanodet"), 1 + 32), np.float32)
    row = output[0, cell("nanodet", 8, 4, 3)]
    row[0] = 0.7
    logits = row[1:].reshape(4, 8)
    logits[:] = -50
    logits[0, 2] = logits[1, 1] = logits[2, 3] = 50  # 2, 1 and 3 cells to the left, the top and the right
    logits[3, [1, 2]] = 50  # 1.5 cells to the bottom
    detector = Detector(write(tmp_path / "net.onnx", output))
    assert detector.layout == "nanodet"
    assert detector.names == ()
    np.testing.assert_allclose(detector(0, GREY).xywh, [[32 - 16, 24 - 8, 40, 20]], atol=1e-3)


def test_boxes_come_back_to_the_image_that_was_fitted_in(tmp_path: Path) -> None:
    image = np.zeros((128, 256, 3), np.uint8)  # shrunk by 4, to 64x32
    v8 = Detector(write(tmp_path / "v8.onnx", yolov8([(32, 32, 16, 8, 0, 0.9)])))
    np.testing.assert_allclose(v8(0, image).xywh, [[96, 48, 64, 32]], atol=1e-3)  # it lies in the middle
    output = np.zeros((1, cells("yolox"), 6), np.float32)
    output[0, cell("yolox", 32, 0, 0)] = (1, 0.5, np.log(0.5), np.log(0.25), 0.9, 1)  # centre (32, 16)
    x = Detector(write(tmp_path / "x.onnx", output))
    np.testing.assert_allclose(x(0, image).xywh, [[96, 48, 64, 32]], atol=1e-3)  # it lies in the corner


def test_boxes_are_cut_to_the_image_and_those_outside_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", yolov8([(2, 60, 10, 24, 0, 0.9), (200, 200, 8, 8, 0, 0.8)]))
    np.testing.assert_allclose(Detector(path)(0, GREY).xywh, [[0, 48, 7, 16]], atol=1e-4)


def seeing(channel: int) -> list:
    """Nodes that make the first class's score the mean of the input's channel."""
    ends = {"from": [channel], "to": [channel + 1], "axes": [1]}
    constants = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value), name))
        for name, value in ends.items()
    ]
    return [
        *constants,
        helper.make_node("Slice", ["image", "from", "to", "axes"], ["plane"]),
        helper.make_node("ReduceMean", ["plane"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["output", "mean"], ["answer"]),
    ]


@pytest.mark.parametrize(("channel", "share"), [(0, 200 / 255), (1, 100 / 255), (2, 50 / 255)])
def test_yolov8_is_fed_red_green_blue_in_0_to_1(tmp_path: Path, channel: int, share: float) -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:] = 50, 100, 200  # B, G, R
    output = yolov8([(32 / share, 32 / share, 8 / share, 8 / share, 0, 1)])
    found = Detector(write(tmp_path / "net.onnx", output, nodes=seeing(channel)), score=0.1)(0, image)
    np.testing.assert_allclose(found.score, [share], atol=1e-4)


def test_a_network_for_any_size_and_one_of_half_precision_are_run(tmp_path: Path) -> None:
    grid = sum((640 // stride) ** 2 for stride in (8, 16, 32))
    output = np.zeros((1, 5, grid), np.float32)
    output[0, :, 0] = 320, 320, 64, 64, 0.9
    free = Detector(write(tmp_path / "free.onnx", output, image=(1, 3, "h", "w")))
    np.testing.assert_allclose(free(0, GREY).xywh, [[28.8, 28.8, 6.4, 6.4]], atol=1e-3)
    half = write(tmp_path / "half.onnx", yolov8([(20, 30, 10, 24, 1, 0.9)]), kind=TensorProto.FLOAT16)
    assert len(Detector(half)(0, GREY)) == 1


def test_classes_are_kept_by_name_or_number(tmp_path: Path) -> None:
    boxes = [(10, 10, 8, 8, 0, 0.9), (30, 30, 8, 8, 1, 0.8), (50, 50, 8, 8, 2, 0.7)]
    path = write(tmp_path / "net.onnx", yolov8(boxes), names="{0: 'ball', 1: 'shoe', 2: 'goal'}")
    assert Detector(path).names == ("ball", "shoe", "goal")
    assert Detector(path, classes=["goal", 0])(0, GREY).class_id.tolist() == [0, 2]
    with pytest.raises(DetectorError, match="no class 'person'; there are ball, shoe, goal"):
        Detector(path, classes=["person"])
    with pytest.raises(DetectorError, match="no class '3'"):
        Detector(path, classes=["3"])


def test_names_that_are_no_names_are_passed_over(tmp_path: Path) -> None:
    for text in ("{0: 'ball'}", "__import__('os')", "[", "7"):
        path = write(tmp_path / "net.onnx", yolov8([]), names=text)
        assert Detector(path).names == ()


def test_boxes_of_one_thing_are_suppressed_within_their_class(tmp_path: Path) -> None:
    boxes = [(20, 20, 10, 10, 0, 0.7), (21, 20, 10, 10, 0, 0.9), (20, 20, 10, 10, 1, 0.6)]
    found = Detector(write(tmp_path / "net.onnx", yolov8(boxes)))(0, GREY)
    assert found.score.tolist() == pytest.approx([0.9, 0.6])
    assert found.class_id.tolist() == [0, 1]


boxes_of_a_frame = st.lists(
    st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 12)] * 2, st.integers(0, 100), st.integers(0, 1)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(boxes_of_a_frame, st.sampled_from([0.3, 0.5, 0.9]))
def test_suppression_keeps_what_nothing_surer_covers(rows: list[tuple[int, ...]], nms: float) -> None:
    table = np.array(rows, np.float64).reshape(-1, 6)
    corners = np.column_stack([table[:, :2], table[:, :2] + table[:, 2:4]])
    scores, classes = table[:, 4], table[:, 5].astype(np.int64)
    kept = suppress(corners, scores, classes, nms).tolist()
    expected: list[int] = []
    for row in sorted(range(len(table)), key=lambda r: -scores[r]):
        rivals = [k for k in expected if classes[k] == classes[row]]
        if all(overlap(from_corners(corners[row]), from_corners(corners[k])) <= nms for k in rivals):
            expected.append(row)
    assert kept == expected


def test_files_that_are_no_detectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="no such file"):
        Detector(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(DetectorError, match="not an ONNX model"):
        Detector(tmp_path / "text.onnx")
    with pytest.raises(DetectorError, match=r"output \(1, 7, 99\) for an input of 64x64 is none of the layouts"):
        Detector(write(tmp_path / "other.onnx", np.zeros((1, 7, 99), np.float32)))
    with pytest.raises(DetectorError, match="not the layout yolox"):
        Detector(write(tmp_path / "v8.onnx", yolov8([])), layout="yolox")
    with pytest.raises(DetectorError, match="expected float"):
        Detector(write(tmp_path / "grey.onnx", yolov8([]), image=(1, 1, SIDE, SIDE)))
    with pytest.raises(DetectorError, match="has 2 inputs"):
        Detector(write(tmp_path / "two.onnx", yolov8([]), inputs=2))


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", yolov8([]))
    for setting in ({"score": 1.1}, {"nms": 0.0}):
        with pytest.raises(DetectorError, match="must be in"):
            Detector(path, **setting)  # type: ignore[arg-type]
    with pytest.raises(DetectorError, match="unknown layout"):
        Detector(path, layout="ssd")
    with pytest.raises(ValueError, match="image"):
        Detector(path)(0, np.zeros((4, 4, 2), np.uint8))
