"""The shipped models' states on rendered clips: a target that is gone is LOST, one in full view is TRACKING."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tracker import SiamTracker, TrackState, open_source
from tracker.result import Box

DEMO = Path(__file__).parents[2] / "examples" / "demo.mp4"

pytestmark = pytest.mark.skipif(
    not resources.files("weights").joinpath("compact.safetensors").is_file(),
    reason="weights/compact.safetensors is not there yet: train it, or fetch it",
)


def _states(
    frames: Iterable[tuple[np.ndarray, Box | None]], model: str = "compact"
) -> tuple[list[TrackState], list[bool]]:
    """The state in each frame, and whether the target can be seen in it."""
    tracker = SiamTracker.from_pretrained(model)
    states: list[TrackState] = []
    visible: list[bool] = []
    for frame, box in frames:
        result = tracker.update(frame) if states else tracker.init(frame, box or ())
        states.append(result.state)
        visible.append(box is not None)
    return states, visible


def _rendered(
    render_demo: ModuleType, name: str, start: int, stop: int | None = None
) -> Iterable[tuple[np.ndarray, Box | None]]:
    scenario = render_demo.SCENARIOS[name]
    for index in range(start, stop or scenario.frames):
        yield render_demo.render_frame(index, scenario), render_demo.true_box(index, scenario)


@pytest.mark.parametrize("scenario", ["leaves", pytest.param("impostor", marks=pytest.mark.slow)])
def test_a_target_that_left_is_lost_within_a_second(render_demo: ModuleType, scenario: str) -> None:
    states, visible = _states(_rendered(render_demo, scenario, 80))
    gone = visible.index(False)
    assert gone > 25
    assert not any(visible[gone:])
    assert TrackState.LOST in states[gone : gone + 25]
    if scenario == "leaves":  # nothing in the picture looks like it any more
        afterwards = states[gone + 25 :]
        assert TrackState.TRACKING not in afterwards
        assert afterwards.count(TrackState.LOST) >= 0.9 * len(afterwards)


def test_a_target_that_left_is_lost_to_the_published_loop_too(render_demo: ModuleType) -> None:
    states, visible = _states(_rendered(render_demo, "leaves", 104, 160), "ciresnet22")
    gone = visible.index(False)
    assert gone > 25
    assert states[:gone].count(TrackState.LOST) == 0
    assert TrackState.LOST in states[gone : gone + 25]
    assert states[gone + 25 :].count(TrackState.TRACKING) == 0


def test_the_bundled_clips_target_is_tracked_until_it_is_hidden_and_not_while_it_is() -> None:
    truth = np.loadtxt(DEMO.with_name("demo_groundtruth.txt"), delimiter=",")
    boxes = [None if np.isnan(row).any() else tuple(row.tolist()) for row in truth]
    with open_source(DEMO) as source:
        states, visible = _states((frame.image, box) for frame, box in zip(source, boxes, strict=True))
    hidden = visible.index(False)
    assert states[:hidden].count(TrackState.TRACKING) >= 0.8 * hidden
    last_hidden = next(index for index, (now, then) in enumerate(pairwise(visible)) if not now and then)
    assert states[last_hidden] is not TrackState.TRACKING
