"""Tracking watched in Rerun: frames, boxes, scores, responses and latency on one timeline.

    with RerunViewer("clip.mp4", "run.rrd") as viewer:
        viewer.overhear(tracker)
        viewer.write(frame, tracker.update(frame.image, frame.timestamp))

It goes into a viewer that is started here, into one that runs elsewhere, or into a file for later (``rerun run.rrd``).
Entities: ``camera`` (the pictures), ``camera/target/ID`` (boxes; of a lost target only the corners), ``score/ID`` in
[0, 1], ``latency/ID`` and ``latency/loop`` in milliseconds, ``response/ID`` (R, R) as the network gave it; timelines:
``frame`` (the source's index) and ``time`` (its seconds).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.frame import Frame
from tracker.overlay import COLOURS
from tracker.result import TrackResult, TrackState
from tracker.sinks import DISK_RESERVE, SinkError

if TYPE_CHECKING:
    from tracker.model import Model
    from tracker.multi import MultiTracker
    from tracker.network import ModelCard
    from tracker.runtimes import Runtime

SUFFIX, SCHEMES = ".rrd", ("rerun://", "rerun+http://", "rerun+https://")
QUALITY = 85  # of the pictures' JPEG
PICTURE_PERIOD = 1 / 25  # seconds between pictures for somebody who watches; a recording has them all
INSTALL = "pip install 'rerun-sdk>=0.26'"

Array = NDArray[np.float32]


def is_address(target: str) -> bool:
    """Whether `target` is the address of a running viewer, not a file's name."""
    return target.startswith(SCHEMES)


class RerunViewer:
    """A context manager with a sink's `write`.

    Args:
        name: of what is tracked, shown as the recording's title.
        target: a ``.rrd`` file to record into, the address of a running viewer (``rerun+http://HOST:9876/proxy``), or
            ``""`` to start a viewer on this machine.
        overwrite: replace an existing file.

    Raises:
        ImportError: Rerun is not installed; the message has the line that installs it.
        SinkError: the file exists already, its folder does not, or its name does not end in ``.rrd``; there is no
            display to start a viewer on, or it does not start; from `write`: the disk is nearly full.
    """

    def __init__(self, name: str, target: str | os.PathLike[str] = "", overwrite: bool = False) -> None:
        self._rerun = _import_rerun()
        self._target = os.fspath(target)
        self._path = Path(target) if self._target and not is_address(self._target) else None
        if self._path is None:
            if not self._target and (problem := _no_display()):
                raise SinkError(
                    f"Rerun's viewer cannot be opened: {problem}; a file to record into, ending in .rrd, can"
                )
        elif self._path.suffix != SUFFIX:
            raise SinkError(f"{self._path}: a Rerun recording ends in {SUFFIX}")
        elif not self._path.parent.is_dir():
            raise SinkError(f"the folder of {self._path} does not exist; make it first")
        elif self._path.exists() and not overwrite:
            raise SinkError(f"{self._path} exists; choose another name or allow overwriting")
        self._name = name
        self._stream: Any = None
        self._listener: Listener | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._picture: Future[None] | None = None
        self._next_picture = 0.0  # `time.monotonic()` from which a picture is due
        self._last_write: float | None = None
        self._seen: set[int] = set()

    def __enter__(self) -> RerunViewer:
        rerun = self._rerun
        self._stream = rerun.RecordingStream("siamtrack")
        try:
            if self._path:
                self._path.open("wb").close()  # Rerun would only log that it failed, not raise
                self._stream.save(self._path, default_blueprint=self._layout())
            elif self._target:
                self._stream.connect_grpc(self._target, default_blueprint=self._layout())
            else:
                self._stream.spawn(default_blueprint=self._layout(), executable_path=_executable())
        except OSError as error:
            raise SinkError(f"{self._path} cannot be written: {error.strerror}") from error
        except (RuntimeError, ValueError) as error:
            raise SinkError(f"Rerun cannot show {self._target or 'its viewer'}: {error}") from error
        self._stream.send_recording_name(self._name)
        self._worker = ThreadPoolExecutor(1, "rerun-pictures")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Complete the recording; a second call does nothing."""
        if self._worker is not None:
            self._worker.shutdown()
            self._worker = None
        if self._stream is not None:
            with suppress(RuntimeError):  # a viewer that was closed by the user takes nothing any more
                self._stream.flush()
            self._stream.disconnect()
            self._stream = None

    def overhear(self, tracker: MultiTracker) -> None:
        """Show the responses of this tracker's network too; to be called before targets are added.

        A tracker that has no network of ours is left alone.
        """
        if getattr(tracker, "model", None) is not None:
            model = tracker.model
            self._listener = Listener(model.runtime)
            tracker.model = cast("Model", Overheard(model.name, model.card, self._listener))

    def write(self, frame: Frame, results: Mapping[int, TrackResult]) -> None:
        """Add one frame, with the targets' results by their ids.

        Raises:
            SinkError: not entered, or the disk is nearly full.
        """
        if self._stream is None:
            raise SinkError("the Rerun viewer is not open; use it in a with statement")
        if self._path and shutil.disk_usage(self._path.parent).free < DISK_RESERVE:
            self.close()
            raise SinkError(f"{self._path}: the disk is nearly full; what was recorded until now is there")
        self._set_time(frame)
        self._show(frame)
        for gone in self._seen - results.keys():
            self._log(f"camera/target/{gone}", self._rerun.Clear(recursive=True))
        for id, result in results.items():
            self._log_box(id, result)
            self._log(f"score/{id}", self._rerun.Scalars(result.score))
            self._log(f"latency/{id}", self._rerun.Scalars(1000 * result.elapsed))
        self._log_loop()
        self._log_responses(list(results))
        self._seen = set(results)

    def _layout(self) -> Any:
        """The picture on the left, numbers and response beside it."""
        views = self._rerun.blueprint
        numbers = views.Vertical(
            views.TimeSeriesView(origin="score", name="score"),
            views.TimeSeriesView(origin="latency", name="latency in ms"),
            views.TensorView(origin="response/1", name="response of target 1"),
        )
        picture = views.Spatial2DView(origin="camera", name="frames and boxes")
        return views.Blueprint(views.Horizontal(picture, numbers, column_shares=[2, 1]), collapse_panels=True)

    def _set_time(self, frame: Frame) -> None:
        """Of what the calling thread logs next."""
        self._stream.set_time("frame", sequence=frame.index)
        self._stream.set_time("time", duration=frame.timestamp)

    def _log(self, path: str, what: Any) -> None:
        self._stream.log(path, what)

    def _show(self, frame: Frame) -> None:
        """The frame's picture: always into a recording, to somebody who watches as often as he can see."""
        assert self._worker is not None
        if self._path is None:
            now = time.monotonic()
            if now < self._next_picture or not (self._picture is None or self._picture.done()):
                return
            self._next_picture = now + PICTURE_PERIOD
        if self._picture is not None:
            self._picture.result()  # one waits at most: a slow disk slows down instead of filling memory
        self._picture = self._worker.submit(self._log_picture, frame)

    def _log_picture(self, frame: Frame) -> None:
        """In the worker's thread: compressing takes as long as a fifth of a look of the network."""
        written, jpeg = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if written:
            self._set_time(frame)
            self._log("camera", self._rerun.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))

    def _log_box(self, id: int, result: TrackResult) -> None:
        """A box in the state's colour; of a lost target the corners, as what is there is no observation."""
        rerun, path = self._rerun, f"camera/target/{id}"
        x, y, w, h = result.box
        colour = COLOURS[result.state][::-1]
        if result.state is TrackState.LOST:
            corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
            self._log(f"{path}/box", rerun.Clear(recursive=False))
            self._log(f"{path}/corners", rerun.Points2D(corners, colors=colour))
        else:
            label = f"{id}  {result.score:.2f}  {result.state.value.upper()}"
            box = rerun.Boxes2D(mins=[(x, y)], sizes=[(w, h)], colors=colour, labels=label)
            self._log(f"{path}/corners", rerun.Clear(recursive=False))
            self._log(f"{path}/box", box)

    def _log_loop(self) -> None:
        """Milliseconds from frame to frame, whatever they were spent on."""
        now = time.perf_counter()
        if self._last_write is not None:
            self._log("latency/loop", self._rerun.Scalars(1000 * (now - self._last_write)))
        self._last_write = now

    def _log_responses(self, ids: list[int]) -> None:
        responses = self._listener.take() if self._listener else None
        if responses is None or not ids or not self._seen or len(responses) % len(ids):
            return  # on the first frame nothing was searched for
        for id, response in zip(ids, np.split(responses, len(ids)), strict=True):
            logits = response[:, 0]  # of each scale
            best = logits[int(logits.max(axis=(1, 2)).argmax())]
            self._log(f"response/{id}", self._rerun.Tensor(best.astype(np.float32), dim_names=("y", "x")))


@dataclass
class Overheard:
    """What trackers need of a model, around a runtime that is listened to."""

    name: str
    card: ModelCard
    runtime: Listener


class Listener:
    """A runtime that passes everything on, and keeps what the network said first of each frame.

    A tracker's first search in a frame is the one around the last places of all its targets; the later ones, of a
    whole frame for a lost target, are not kept.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.name = runtime.name
        self._runtime = runtime
        self._first: Array | None = None

    def template(self, crops: NDArray[np.uint8]) -> Array:
        """See `tracker.runtimes.Runtime`."""
        return self._runtime.template(crops)

    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        response, features = self._runtime.search(crops, kernels)
        if self._first is None:
            self._first = response
        return response, features

    def take(self) -> Array | None:
        """The first response, (targets times scales, C, R, R), since this was called last; ``None`` if none."""
        first, self._first = self._first, None
        return first


def _import_rerun() -> ModuleType:
    try:
        import rerun
        import rerun.blueprint
    except ImportError as error:
        raise ImportError(f"Rerun is not installed: {INSTALL}") from error
    return rerun  # type: ignore[no-any-return]


def _executable() -> str | None:
    """The viewer that was installed beside this Python: it is on the PATH only of an activated environment."""
    return shutil.which("rerun", path=os.path.dirname(sys.executable))


def _no_display() -> str | None:
    """Why no viewer can be opened here, as a phrase; ``None`` if nothing is known against it."""
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return None
    return "there is no display (DISPLAY is not set)"
