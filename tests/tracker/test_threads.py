"""What may be shared between threads and processes, and what may not (docs/robots.md)."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from tracker import MultiTracker, SiamTracker

pytestmark = pytest.mark.slow  # some 15 seconds

BOX = (60.0, 40.0, 30.0, 24.0)
FRAMES = 6


def clip(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3), np.uint8), (0, 0), 2)
    return [np.roll(texture, seed + 2 * index, axis=1) for index in range(FRAMES)]


def boxes(tracker: SiamTracker, frames: list[np.ndarray]) -> list[tuple]:
    tracker.init(frames[0], BOX)
    return [tracker.update(frame).box for frame in frames[1:]]


@pytest.fixture(params=["torch", "onnxruntime", "openvino"])
def model(request, networks, fake_model):
    """One model of each runtime, to be shared."""
    network = networks["compact"]
    if request.param == "torch":
        from tracker.runtimes.torch import TorchRuntime

        return fake_model(network.card, TorchRuntime(network, "cpu"))
    pytest.importorskip(request.param)
    files = request.getfixturevalue("exported")["compact"]
    if request.param == "onnxruntime":
        from tracker.runtimes.onnxruntime import OnnxRuntime

        return fake_model(network.card, OnnxRuntime(files, "cpu", 1))
    from tracker.runtimes.openvino import OpenVinoRuntime

    return fake_model(network.card, OpenVinoRuntime(files, "fp32", "cpu", 1))


def test_trackers_of_one_model_may_run_in_threads_at_once(model):
    clips = [clip(seed) for seed in range(4)]
    alone = [boxes(SiamTracker(model), frames) for frames in clips]
    together: list = [None] * 4
    ready = threading.Barrier(4)

    def run(number: int) -> None:
        tracker = SiamTracker(model)
        ready.wait(60)
        together[number] = boxes(tracker, clips[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for own, expected in zip(together, alone, strict=True):
        assert np.allclose(own, expected, atol=1e-3)


def test_a_tracker_may_move_from_thread_to_thread(model):
    frames = clip(1)
    expected = boxes(SiamTracker(model), frames)
    tracker, found = SiamTracker(model), []
    tracker.init(frames[0], BOX)
    for frame in frames[1:]:
        thread = threading.Thread(target=lambda frame=frame: found.append(tracker.update(frame).box))
        thread.start()
        thread.join(60)
    assert np.allclose(found, expected, atol=1e-3)


def test_one_tracker_in_two_threads_at_once_is_refused_and_stays_usable(fake_model, networks):
    """Hammered by threads: every call either does its frame or says that it is in use; nothing is mixed."""
    from tracker.runtimes.torch import TorchRuntime

    network = networks["compact"]
    tracker = MultiTracker(fake_model(network.card, TorchRuntime(network, "cpu")))
    frames = clip(2)
    for _ in range(2):
        tracker.add(frames[0], BOX)
    done, refused, wrong = [], [], []

    def hammer() -> None:
        for frame in frames:
            try:
                done.append(set(tracker.update(frame)))
            except RuntimeError as error:
                (refused if "another thread" in str(error) else wrong).append(str(error))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong
    assert len(done) + len(refused) == 4 * FRAMES
    assert done
    assert all(ids == {1, 2} for ids in done)
    assert set(tracker.update(frames[0])) == {1, 2}


PROGRAM = """
import json, pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    tracker = pickle.load(file)
rows = []
for index, frame in enumerate(np.load(sys.argv[2])):
    result = tracker.update(frame, (3 + index) * 0.04)
    rows.append([*result.box, *result.motion.velocity])
print(json.dumps(rows))
"""


def test_a_pickled_tracker_goes_on_in_another_process(weights, tmp_path):
    """With its target and its motion, in a process that was started afresh."""
    tracker = SiamTracker.from_pretrained(weights["compact"], runtime="torch", threads=1)
    frames = clip(3)
    tracker.init(frames[0], BOX, 0.0)
    for index in (1, 2):
        tracker.update(frames[index], index * 0.04)
    (tmp_path / "tracker.pickle").write_bytes(pickle.dumps(tracker))
    np.save(tmp_path / "frames.npy", np.stack(frames[3:]))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "tracker.pickle"), str(tmp_path / "frames.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = []
    for index, frame in enumerate(frames[3:]):
        result = tracker.update(frame, (3 + index) * 0.04)
        expected.append([*result.box, *result.motion.velocity])
    assert np.allclose(json.loads(done.stdout), expected, atol=1e-3)


WORK = """
import os, sys
from pathlib import Path
import numpy as np
from tracker import SiamTracker

def ticks():  # of the processor: all threads', the main one's
    stats = [path.read_text().rsplit(")", 1)[1].split() for path in Path("/proc/self/task").glob("[0-9]*/stat")]
    own = Path(f"/proc/self/task/{os.getpid()}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(fields[place]) for fields in stats for place in (11, 12)), int(own[11]) + int(own[12])

frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
tracker = SiamTracker.from_pretrained(sys.argv[1], runtime="torch", device="cpu", threads=1, online_share=0.3)
tracker.init(frame, (40, 30, 32, 32))
tracker.update(frame)
before, own_before = ticks()
while ticks()[1] - own_before < 60:
    tracker.update(frame)
every, own = ticks()
print((every - before) - (own - own_before), own - own_before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the processor's time of a thread is read in /proc")
@pytest.mark.parametrize("model", ["compact", "ciresnet22"])
def test_a_tracker_of_one_thread_keeps_no_other_one_busy(weights, model: str):
    """BLAS waits for the next product by spinning, if one of them was large enough for it to share out."""
    done = subprocess.run([sys.executable, "-c", WORK, weights[model]], capture_output=True, text=True, check=True)
    others, own = map(int, done.stdout.split())
    assert others <= 0.2 * own
