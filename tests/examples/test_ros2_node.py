"""The ROS 2 node, against a stand-in for rclpy that is as strict as the real one (`ros2_stub`)."""

from __future__ import annotations

import array
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker import TrackResult, TrackState
from tracker.kinematics import follow

pytest.importorskip("rosbags")

HERE = Path(__file__).resolve()
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


class Follower:
    """SiamTracker's interface: moves 2 pixels to the right a frame, and is LOST when told."""

    runtime = "none"

    def __init__(self):
        self.images, self.lost, self.target = [], False, None

    def init(self, image, box, timestamp=None):
        if not 0 <= box[0] < image.shape[1]:
            raise ValueError(f"box {box} lies outside the image")
        self.target, self.motion = box, None
        return self._result(image, 1.0, timestamp)

    def update(self, image, timestamp=None):
        if self.target is None:
            raise RuntimeError("no target")
        x, y, w, h = self.target
        self.target = (x + 2, y, w, h)
        return self._result(image, 0.75, timestamp)

    def reset(self):
        self.target = None

    def _result(self, image, score, timestamp):
        self.images.append(image)
        state = TrackState.LOST if self.lost else TrackState.TRACKING
        self.motion = follow(self.motion, TrackState.TRACKING, self.target, score, state, timestamp)
        return TrackResult(self.target, np.float32(score), state, 0.0, timestamp, self.motion)


@pytest.fixture
def ros(monkeypatch, load_module):
    stub = load_module(HERE.with_name("ros2_stub.py"))
    world = stub.Ros()
    stub.install(world, monkeypatch.setitem)
    return world


@pytest.fixture
def example(ros, load_example):
    return load_example("ros2_node")


@pytest.fixture
def start(ros, example):
    """Make a node with these parameters and a `Follower`."""

    def make(**overrides):
        ros.running = True
        ros.overrides = overrides
        return example.TrackerNode(Follower())

    return make


def image(ros, number=0, encoding="bgr8"):
    message = ros.message("sensor_msgs/Image")()
    message.header.stamp.sec, message.header.stamp.nanosec = 1_700_000_000, number * 40_000_000
    message.header.frame_id = "camera_link"
    message.height, message.width, message.step = 48, 64, 64 * 3
    message.encoding = encoding
    message.data = array.array("B", IMAGE.tobytes())  # as rclpy hands it out
    return message


def box(ros, x, y, w, h):
    message = ros.message("vision_msgs/BoundingBox2D")()
    message.center.position.x, message.center.position.y = x + w / 2, y + h / 2
    message.size_x, message.size_y = w, h
    return message


def show(ros, *numbers):
    for number in numbers:
        ros.publish("/image", image(ros, number))
        ros.work()


def test_nothing_is_done_before_a_target_is_named(ros, start):
    node = start()
    show(ros, 0, 1)
    assert node._tracker.images == []
    assert ros.published["/siamtrack/detection"] == []


def test_a_box_starts_and_every_image_gives_a_detection(ros, start):
    node = start()
    ros.publish("/siamtrack/box", box(ros, 10.0, 20.0, 8.0, 6.0))
    ros.work()
    show(ros, 0, 1, 2)
    assert all(np.array_equal(seen, IMAGE) for seen in node._tracker.images)
    detections = ros.published["/siamtrack/detection"]
    assert [each.bbox.center.position.x for each in detections] == [14.0, 16.0, 18.0]
    last = detections[-1]
    assert (last.bbox.center.position.y, last.bbox.size_x, last.bbox.size_y, last.id) == (23.0, 8.0, 6.0, "1")
    assert (last.header.stamp.nanosec, last.header.frame_id) == (80_000_000, "camera_link")
    assert (last.results[0].hypothesis.class_id, last.results[0].hypothesis.score) == ("tracking", 0.75)
    assert [each.data for each in ros.published["/siamtrack/state"]] == ["tracking"] * 3


def test_velocity_is_that_of_the_images_stamps(ros, start):
    start()
    ros.publish("/siamtrack/box", box(ros, 10.0, 20.0, 8.0, 6.0))
    ros.work()
    show(ros, *range(20))
    velocity = ros.published["/siamtrack/velocity"][-1]
    assert velocity.vector.x == pytest.approx(2 / 0.04, rel=0.05)
    assert velocity.vector.y == pytest.approx(0, abs=1e-6)
    assert velocity.header.stamp.nanosec == 19 * 40_000_000


def test_services_start_and_stop(ros, start):
    node = start()
    response = ros.call("/siamtrack/start", ros.Trigger)
    assert not response.success
    assert "the parameter box is not" in response.message
    assert not ros.call("/siamtrack/stop", ros.Trigger).success
    node.set_parameter("box", [10.0, 20.0, 8.0, 6.0])
    assert ros.call("/siamtrack/start", ros.Trigger).success
    show(ros, 0, 1)
    assert len(ros.published["/siamtrack/detection"]) == 2
    assert ros.call("/siamtrack/stop", ros.Trigger).success
    assert node._tracker.target is None
    show(ros, 2, 3)
    assert len(ros.published["/siamtrack/detection"]) == 2
    ros.call("/siamtrack/start", ros.Trigger)
    show(ros, 4)
    assert len(ros.published["/siamtrack/detection"]) == 3


def test_a_lost_target_has_no_box_that_could_be_taken_for_one(ros, start):
    node = start()
    ros.publish("/siamtrack/box", box(ros, 10.0, 20.0, 8.0, 6.0))
    ros.work()
    show(ros, 0)
    node._tracker.lost = True
    show(ros, 1)
    lost = ros.published["/siamtrack/detection"][-1]
    assert (lost.bbox.size_x, lost.bbox.size_y) == (0.0, 0.0)
    assert lost.results[0].hypothesis.class_id == "lost"
    assert ros.published["/siamtrack/state"][-1].data == "lost"


def test_only_the_newest_image_waits(ros, start):
    node = start()
    ros.publish("/siamtrack/box", box(ros, 10.0, 20.0, 8.0, 6.0))
    ros.work()
    for number in range(5):
        ros.publish("/image", image(ros, number))
    ros.work()
    assert [each.header.stamp.nanosec for each in ros.published["/siamtrack/detection"]] == [160_000_000]
    (images,) = [each for each in node.subscriptions_ if each.topic == "/image"]
    assert images.qos.reliability == "best_effort"


def test_compressed_images_and_remapping(ros, start):
    ros.remaps = {"image": "/front/compressed"}
    node = start(compressed=True)
    message = ros.message("sensor_msgs/CompressedImage")()
    message.format = "png"
    message.data = array.array("B", cv2.imencode(".png", IMAGE)[1].tobytes())
    ros.publish("/siamtrack/box", box(ros, 10.0, 20.0, 8.0, 6.0))
    ros.work()
    ros.publish("/front/compressed", message)
    ros.work()
    assert np.array_equal(node._tracker.images[0], IMAGE)


def test_bad_images_and_boxes_are_logged_and_the_node_lives_on(ros, start):
    start()
    ros.publish("/siamtrack/box", box(ros, 500.0, 20.0, 8.0, 6.0))
    ros.work()
    show(ros, 0)
    assert "outside the image" in ros.logged[-1][1]
    show(ros, 1)  # it does not try that box again
    assert len(ros.logged) == 2
    ros.publish("/siamtrack/box", box(ros, 10.0, 20.0, 8.0, 6.0))
    ros.work()
    ros.publish("/image", image(ros, 2, encoding="unheard-of"))
    ros.work()
    assert ros.logged[-1][0] == "warning"
    assert "unheard-of" in ros.logged[-1][1]
    show(ros, 3)  # the box still waits for an image that can be read
    assert len(ros.published["/siamtrack/detection"]) == 1


def test_parameters_choose_model_and_runtime(ros, example, monkeypatch):
    asked = {}

    def from_pretrained(name, **options):
        asked.update(options, name=name)
        return Follower()

    monkeypatch.setattr(example.SiamTracker, "from_pretrained", from_pretrained)
    ros.running = True
    ros.overrides = {"model": "ciresnet22", "runtime": "onnxruntime", "threads": 2, "budget_ms": 30.0, "device": "cpu"}
    example.TrackerNode()
    assert asked == {
        "name": "ciresnet22",
        "runtime": "onnxruntime",
        "threads": 2,
        "budget_ms": 30.0,
        "device": "cpu",
    }


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, "external"])
def test_it_spins_and_leaves_cleanly(ros, example, monkeypatch, end):
    monkeypatch.setattr(example.SiamTracker, "from_pretrained", lambda name, **options: Follower())
    ros.end = ros.ExternalShutdownException if end == "external" else end

    def script(node):
        ros.publish("/siamtrack/box", box(ros, 10.0, 20.0, 8.0, 6.0))
        ros.work()
        show(ros, 0, 1)

    ros.script = script
    example.main(["ros2_node"])
    assert len(ros.published["/siamtrack/detection"]) == 2
    assert ros.nodes == []
    assert not ros.running


def test_the_stand_in_is_strict(ros):
    """It would be of no use otherwise."""
    detection = ros.message("vision_msgs/Detection2D")()
    with pytest.raises(AssertionError, match="float"):
        detection.bbox.size_x = 3
    with pytest.raises(AttributeError):
        detection.box = None
    with pytest.raises(AssertionError):
        detection.id = 1
