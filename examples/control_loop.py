"""Follow a target from a robot's control loop: always on the newest frame, slower when unsure, searching when lost.

    python examples/control_loop.py --video 0 --box 280,200,80,80 --seconds 60
    python examples/control_loop.py --video clip.mp4 --box 120,80,64,48

A tracker slower than the camera must skip frames, not queue them: a robot that reacts to the past oscillates. So a
thread reads every frame as it comes, keeps the newest and counts the others. A file is played at its own rate, as if it
were a camera. `control_loop` is the part to copy; `react` is where a robot's own commands go.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from tracker import SiamTracker, TrackResult, TrackState, open_source
from tracker.frame import Frame
from tracker.result import Box


class NewestFrame:
    """Hands out the newest frame of a source; frames nobody asked for in time are dropped and counted.

    A context manager and an iterator: each step waits for a frame newer than the last one, and iteration ends with the
    source. An error of the source is raised by the iterator.

    Args:
        frames: what to read.
        paced: deliver each frame when its timestamp is due, not as fast as it can be read (for files).

    Attributes:
        dropped: frames that were replaced by a newer one before anybody took them.
    """

    def __init__(self, frames: Iterable[Frame], paced: bool = False) -> None:
        self.dropped = 0
        self._frames, self._paced = frames, paced
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._error: Exception | None = None
        self._ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._capture, name="capture", daemon=True)

    def __enter__(self) -> NewestFrame:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            newest, self._newest = self._newest, None
        if newest is not None:
            return newest
        if self._error is not None:
            raise self._error
        raise StopIteration

    def _capture(self) -> None:
        try:
            for frame in self._on_time() if self._paced else self._frames:
                if self._stop.is_set():
                    break
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify()
        except Exception as error:  # belongs to the thread that iterates
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def _on_time(self) -> Iterator[Frame]:
        began: float | None = None
        for frame in self._frames:
            began = time.monotonic() - frame.timestamp if began is None else began
            self._stop.wait(began + frame.timestamp - time.monotonic())
            yield frame


def control_loop(
    frames: Iterable[Frame], tracker: SiamTracker, box: Box, react: Callable[[Frame, TrackResult], None], seconds: float
) -> int:
    """Follow the target for at most so many seconds of the source's clock; returns the number of frames handled."""
    handled, began = 0, None
    for frame in frames:
        if began is None:
            result, began = tracker.init(frame.image, box), frame.timestamp
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
    """A robot that turns towards the target. It prints instead of driving."""

    def __init__(self) -> None:
        self.state: TrackState | None = None
        self.speed = self.turn = 0.0

    def react(self, frame: Frame, result: TrackResult) -> None:
        """Set speed (0 to 1) and turn (-1 left to 1 right)."""
        x, _, w, _ = result.box
        width = frame.image.shape[1]
        offset = max(-1.0, min(1.0, 2 * (x + w / 2) / width - 1))
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


def run(video: str, box: Box, seconds: float, tracker: SiamTracker) -> tuple[int, int]:
    """Follow the target in `video`; returns the numbers of frames handled and dropped."""
    with open_source(video) as source, NewestFrame(source, paced=not source.live) as frames:
        handled = control_loop(frames, tracker, box, Robot().react, seconds)
    return handled, frames.dropped + source.dropped


def parse_box(text: str) -> Box:
    try:
        x, y, w, h = (float(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a box X,Y,W,H of four numbers") from None
    return x, y, w, h


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="0", help="camera index, file, or URL (default: camera 0)")
    parser.add_argument("--box", type=parse_box, required=True, metavar="X,Y,W,H", help="the target in the first frame")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    parser.add_argument("--weights", default="compact", help="trained model (default: %(default)s)")
    options = parser.parse_args()
    try:
        handled, dropped = run(
            options.video, options.box, options.seconds, SiamTracker.from_pretrained(options.weights)
        )
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print(f"control_loop: error: {error}", file=sys.stderr)
        return 2
    print(f"{handled} frames handled, {dropped} dropped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
