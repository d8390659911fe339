"""Follow a target from a robot's control loop: always on the newest frame, slower when unsure, searching when lost.

    python examples/control_loop.py --video 0 --box 280,200,80,80 --seconds 60
    python examples/control_loop.py --video clip.mp4 --box 120,80,64,48 --budget 30 --delay 0.15
    python examples/control_loop.py --video rtsp://robot/front --box 280,200,80,80 --camera front.yaml

`CaptureThread` hands out the newest frame and opens a stream again that failed; a file is played at its own rate, as
if it were a camera. A motor answers late, so the robot aims at where the target will be by then. `control_loop` is the
part to copy; `react` is where a robot's own commands go.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable

from tracker import SiamTracker, TrackResult, TrackState
from tracker.arguments import box
from tracker.camera import Camera
from tracker.capture import CaptureThread
from tracker.endings import exit_code
from tracker.frame import Frame
from tracker.result import Box


def control_loop(
    frames: Iterable[Frame], tracker: SiamTracker, box: Box, react: Callable[[Frame, TrackResult], None], seconds: float
) -> int:
    """Follow the target for at most so many seconds of the source's clock; returns the number of frames handled."""
    handled, began = 0, None
    for frame in frames:
        if began is None:
            result, began = tracker.init(frame.image, box, frame.timestamp), frame.timestamp
        else:
            result = tracker.update(frame.image, frame.timestamp)
        react(frame, result)
        handled += 1
        if frame.timestamp - began >= seconds:
            break
    return handled


REACTIONS = {  # share of full speed, and what it means
    TrackState.TRACKING: (1.0, "follow"),
    TrackState.UNCERTAIN: (0.3, "slow down"),
    TrackState.LOST: (0.0, "stop and search"),
}


class Robot:
    """A robot that turns towards the target. It prints instead of driving.

    Args:
        delay: seconds from a frame to the motors' answer.
        camera: its intrinsics; without them turning goes by the place in the picture.
    """

    def __init__(self, delay: float = 0.0, camera: Camera | None = None) -> None:
        self.state: TrackState | None = None
        self.speed = self.turn = 0.0
        self._delay, self._camera = delay, camera

    def react(self, frame: Frame, result: TrackResult) -> None:
        """Set speed (0 to 1) and turn (-1 left to 1 right)."""
        offset = self._offset(frame, result)
        self.speed, words = REACTIONS[result.state]
        if result.state is not TrackState.LOST:
            self.turn = self.speed * offset
        else:  # the box is no observation now: look where the target was last seen to go
            self.turn = 0.5 if self.turn >= 0 else -0.5
        if result.state is not self.state:
            self.state = result.state
            print(
                f"{frame.timestamp:8.2f} s  {result.state.value:9}  score {result.score:.2f}  "
                f"{words}: speed {self.speed:.1f}, turn {self.turn:+.2f}"
            )

    def _offset(self, frame: Frame, result: TrackResult) -> float:
        """Where the target will be when the motors answer: -1 at the left, 1 at the right (of the picture, or a right
        angle to the camera).
        """
        x, y, w, h = result.box
        place = x + w / 2, y + h / 2
        if result.motion is not None:
            place = result.at(frame.timestamp + self._delay).centre
        if self._camera is not None:
            return self._camera.bearing(place)[0] / (math.pi / 2)
        return max(-1.0, min(1.0, 2 * place[0] / frame.image.shape[1] - 1))


def run(video: str, box: Box, seconds: float, tracker: SiamTracker, robot: Robot) -> tuple[int, int]:
    """Follow the target in `video`; returns the numbers of frames handled and dropped."""
    with CaptureThread(video) as frames:
        handled = control_loop(frames, tracker, box, robot.react, seconds)
    return handled, frames.dropped


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="0", help="camera index, file, or URL (default: camera 0)")
    parser.add_argument("--box", type=box, required=True, metavar="X,Y,W,H", help="the target in the first frame")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--weights", default="compact", help="trained model (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=0.0, metavar="MS", help="milliseconds a frame may take")
    parser.add_argument("--delay", type=float, default=0.0, metavar="S", help="seconds until the motors answer")
    parser.add_argument("--camera", metavar="FILE", help="calibration, of ROS or OpenCV: turn by angles")
    options = parser.parse_args()

    def follow() -> None:
        robot = Robot(options.delay, Camera.from_file(options.camera) if options.camera else None)
        tracker = SiamTracker.from_pretrained(options.weights, budget_ms=options.budget)
        handled, dropped = run(options.video, options.box, options.seconds, tracker, robot)
        print(f"{handled} frames handled, {dropped} dropped")

    return exit_code("control_loop", follow)


if __name__ == "__main__":
    sys.exit(main())
