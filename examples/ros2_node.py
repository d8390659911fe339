"""A ROS 2 node that follows a target in an image topic.

    python examples/ros2_node.py --ros-args -r image:=/camera/image_raw -p model:=compact -p runtime:=onnxruntime

Subscribes to
    image               sensor_msgs/Image, or sensor_msgs/CompressedImage with the parameter compressed: true
    ~/box               vision_msgs/BoundingBox2D: start on this box, in the image that comes next
Publishes, for every image that was tracked in, with that image's header
    ~/detection         vision_msgs/Detection2D; the size is 0 when LOST
    ~/state             std_msgs/String: tracking, uncertain or lost
    ~/velocity          geometry_msgs/Vector3Stamped: of the centre, pixels per second to the right and down
Offers
    ~/start             std_srvs/Trigger: start on the box of the parameter `box`
    ~/stop              std_srvs/Trigger: forget the target
Parameters
    model, runtime, device, threads (0: the runtime's choice), budget_ms (0: none), compressed; read at the start
    box                 [x, y, w, h] in pixels, 0-based; read by ~/start

Only the newest image waits (depth 1, best effort): a node slower than the camera skips images, it does not queue them.
Needs a sourced ROS 2 (Humble or later) with vision_msgs, and this package in the same Python.
"""

from __future__ import annotations

import sys
from typing import Any

import rclpy
from geometry_msgs.msg import Vector3Stamped  # type: ignore[import-not-found]
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image  # type: ignore[import-not-found]
from std_msgs.msg import String  # type: ignore[import-not-found]
from std_srvs.srv import Trigger  # type: ignore[import-not-found]
from vision_msgs.msg import BoundingBox2D, Detection2D, ObjectHypothesisWithPose  # type: ignore[import-not-found]

from tracker import SiamTracker, TrackResult, TrackState
from tracker.result import Box
from tracker.ros_images import decode_image

NEWEST = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class TrackerNode(Node):  # type: ignore[misc]  # rclpy is not typed
    """See above.

    Args:
        tracker: used instead of loading the parameters' model.
    """

    def __init__(self, tracker: SiamTracker | None = None) -> None:
        super().__init__("siamtrack")
        defaults = {
            "model": "compact",
            "runtime": "auto",
            "device": "auto",
            "threads": 0,
            "budget_ms": 0.0,
            "compressed": False,
            "box": [0.0, 0.0, 0.0, 0.0],
        }
        for name, value in defaults.items():
            self.declare_parameter(name, value)
        self._tracker = tracker or self._load()
        self._wanted: Box | None = None  # to start on in the next image
        self._following = False

        self._detection = self.create_publisher(Detection2D, "~/detection", 10)
        self._state = self.create_publisher(String, "~/state", 10)
        self._velocity = self.create_publisher(Vector3Stamped, "~/velocity", 10)
        kind = CompressedImage if self._parameter("compressed") else Image
        self.create_subscription(kind, "image", self._on_image, NEWEST)
        self.create_subscription(BoundingBox2D, "~/box", self._on_box, 10)
        self.create_service(Trigger, "~/start", self._on_start)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.get_logger().info(f"{self._parameter('model')} on {self._tracker.runtime} is ready")

    def _parameter(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _load(self) -> SiamTracker:
        return SiamTracker.from_pretrained(
            self._parameter("model"),
            runtime=self._parameter("runtime"),
            device=self._parameter("device"),
            threads=self._parameter("threads") or None,
            budget_ms=self._parameter("budget_ms"),
        )

    def _on_box(self, message: Any) -> None:
        centre = message.center.position
        w, h = message.size_x, message.size_y
        self._wanted = (centre.x - w / 2, centre.y - h / 2, w, h)

    def _on_start(self, request: Any, response: Any) -> Any:
        box = tuple(float(value) for value in self._parameter("box"))
        response.success = len(box) == 4 and min(box[2:]) > 0
        if response.success:
            self._wanted = box  # type: ignore[assignment]  # the length was checked
        response.message = (
            f"starts on {box} in the next image"
            if response.success
            else f"the parameter box is not [x, y, w, h] with a positive size: {list(box)}"
        )
        return response

    def _on_stop(self, request: Any, response: Any) -> Any:
        response.success = self._following or self._wanted is not None
        response.message = "the target is forgotten" if response.success else "there was no target"
        self._wanted, self._following = None, False
        self._tracker.reset()
        return response

    def _on_image(self, message: Any) -> None:
        if self._wanted is None and not self._following:
            return
        stamp = message.header.stamp
        try:
            image, timestamp = decode_image(message), stamp.sec + stamp.nanosec * 1e-9
            if self._wanted is not None:
                box, self._wanted = self._wanted, None
                self._following = False
                result = self._tracker.init(image, box, timestamp)
                self._following = True
            else:
                result = self._tracker.update(image, timestamp)
        except ValueError as error:  # a damaged image, or a box outside it: the node lives on
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return
        self._publish(message.header, result)

    def _publish(self, header: Any, result: TrackResult) -> None:
        x, y, w, h = result.box
        lost = result.state is TrackState.LOST
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = result.state.value
        hypothesis.hypothesis.score = float(result.score)
        detection = Detection2D()
        detection.header = header
        detection.id = "1"
        detection.results = [hypothesis]
        detection.bbox.center.position.x = float(x + w / 2)
        detection.bbox.center.position.y = float(y + h / 2)
        detection.bbox.size_x = 0.0 if lost else float(w)
        detection.bbox.size_y = 0.0 if lost else float(h)
        self._detection.publish(detection)

        state = String()
        state.data = result.state.value
        self._state.publish(state)

        if result.motion is not None:
            velocity = Vector3Stamped()
            velocity.header = header
            velocity.vector.x, velocity.vector.y = result.motion.velocity
            self._velocity.publish(velocity)


def main(arguments: list[str] | None = None) -> None:
    """Spin until Ctrl-C or until ROS is shut down."""
    rclpy.init(args=arguments)
    node = TrackerNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main(sys.argv)
