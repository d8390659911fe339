"""The public names, which users' programs rely on: none may disappear, and importing them must stay cheap."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import tracker

NAMES = {"SiamTracker", "MultiTracker", "TrackResult", "TrackState", "open_source", "to_bgr8"}
ADAPTERS = {"as_opencv", "as_got10k"}
MEMBERS = {
    "SiamTracker": {"from_pretrained", "available", "init", "update", "reset", "runtime"},
    "MultiTracker": {"from_pretrained", "add", "remove", "update"},
    "TrackResult": {"box", "score", "state", "elapsed", "timestamp"},
    "TrackState": {"TRACKING", "UNCERTAIN", "LOST"},
}
PARAMETERS = {
    ("SiamTracker", "from_pretrained"): ["name_or_path", "runtime", "device", "threads", "config"],
    ("SiamTracker", "init"): ["self", "frame", "box", "timestamp"],
    ("SiamTracker", "update"): ["self", "frame", "timestamp"],
    ("SiamTracker", "reset"): ["self"],
    ("MultiTracker", "from_pretrained"): ["name_or_path", "runtime", "device", "threads", "config"],
    ("MultiTracker", "add"): ["self", "frame", "box", "id", "timestamp"],
    ("MultiTracker", "remove"): ["self", "id"],
    ("MultiTracker", "update"): ["self", "frame", "timestamp"],
}


@pytest.mark.parametrize("name", sorted(NAMES | ADAPTERS))
def test_names_are_there(name):
    assert name in tracker.__all__
    assert name in dir(tracker)
    assert getattr(tracker, name).__name__ == name


def documentation(name):
    """Of a class or function its docstring, of a constant the string that follows it in its module."""
    value = getattr(tracker, name)
    if callable(value):
        return inspect.getdoc(value)
    body = ast.parse(inspect.getsource(sys.modules[tracker._HOMES[name]])).body
    (place,) = (i for i, node in enumerate(body) if isinstance(node, ast.AnnAssign) and node.target.id == name)
    return ast.literal_eval(body[place + 1].value)


def test_every_name_that_is_announced_exists_and_is_documented():
    for name in tracker.__all__:
        assert documentation(name), name


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_members_are_there(name):
    assert MEMBERS[name] <= set(dir(getattr(tracker, name)))


@pytest.mark.parametrize(("owner", "method"), PARAMETERS)
def test_parameters_keep_their_names_and_order(owner, method):
    signature = inspect.signature(getattr(getattr(tracker, owner), method))
    assert list(signature.parameters) == PARAMETERS[owner, method]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'SiamTraker'"):
        tracker.SiamTraker  # noqa: B018


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import tracker", ("torch", "cv2", "numpy")),
        ("import tracker; dir(tracker)", ("torch", "cv2")),
        ("from tracker import TrackResult, TrackState", ("torch", "cv2")),
        ("from tracker import to_bgr8", ("torch",)),
        ("from tracker import SiamTracker, MultiTracker", ("shapely", "lightning", "PIL")),
    ],
)
def test_importing_loads_no_more_than_is_asked_for(statement, heavy):
    program = f"import sys; {statement}; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
