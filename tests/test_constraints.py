"""What is installed is what `constraints.txt` says, and all of it is pinned."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"siamtrack", "pip", "setuptools"}  # the environment brings the last two


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Distribution → version, of every line that is no comment.

    Raises:
        ValueError: a line does not name one version.
    """
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, version = line.partition("==")
        if not separator or not version.strip() or "*" in version:
            raise ValueError(f"constraints.txt: {line!r} does not name one version, as name==1.2.3 does")
        found[normal(name)] = version.strip()
    return found


def deviations(pinned: dict[str, str], installed: dict[str, str]) -> list[str]:
    """What is installed in another version than pinned, or not pinned; a local part such as ``+cpu`` is left aside."""
    return [
        f"{name} {version} is installed, and {'pinned to ' + pinned[name] if name in pinned else 'not pinned'}"
        for name, version in sorted(installed.items())
        if name not in OURS and pinned.get(name) != version.split("+")[0]
    ]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="make applies constraints.txt on Python 3.11 and later")
def test_what_is_installed_is_what_is_pinned():
    if not (ROOT / ".venv" / ".ready").is_file() or Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not the environment that make setup makes, so nothing is promised about it")
    installed = {normal(each.metadata["Name"]): each.version for each in metadata.distributions()}
    found = deviations(pins((ROOT / "constraints.txt").read_text("utf-8")), installed)
    assert not found, "\n".join([*found, "`make setup` installs what is pinned"])


def test_every_requirement_is_pinned():
    """What setup.py names can be installed by nobody in a version that was not tested, but where pins do not apply."""
    named = set(re.findall(r'"([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?>=', (ROOT / "setup.py").read_text("utf-8")))
    pinned = pins((ROOT / "constraints.txt").read_text("utf-8"))
    assert len(named) > 15
    assert {name for name in named if normal(name) not in pinned} <= {"tensorrt"}  # from its vendor's index


def test_what_integration_installs_is_what_is_pinned_with_a_hash_each():
    """`.ci/requirements.txt` has every pin of what `make setup` installs, but torch, whose builds share a version."""
    rows = [line.split() for line in (ROOT / ".ci" / "requirements.txt").read_text("utf-8").splitlines()[1:]]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for _, digest in rows)
    hashed, pinned = pins("\n".join(pin for pin, _ in rows)), pins((ROOT / "constraints.txt").read_text("utf-8"))
    assert {name: version for name, version in hashed.items() if pinned.get(name) != version} == {}
    named = set(re.findall(r'"([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?>=', (ROOT / "setup.py").read_text("utf-8")))
    docs = {"mike", "mkdocs", "mkdocs-material", "mkdocstrings", "pymdown-extensions"}
    missing = {normal(name) for name in named} & pinned.keys() - hashed.keys() - docs
    assert missing <= {"torch"}, "`python .ci/pin_hashes.py` writes it anew"


def test_deviations_are_seen():
    pinned = pins("# comment\n\nTorch==2.1.0\nruff_x==1.0\n")
    assert pinned == {"torch": "2.1.0", "ruff-x": "1.0"}
    assert deviations(pinned, {"torch": "2.1.0+cpu", "ruff-x": "1.0", "pip": "1"}) == []
    assert deviations(pinned, {"torch": "2.2.0"}) == ["torch 2.2.0 is installed, and pinned to 2.1.0"]
    assert deviations(pinned, {"new": "1"}) == ["new 1 is installed, and not pinned"]


@pytest.mark.parametrize("line", ["torch>=2.0", "torch", "torch==2.*", "torch=="])
def test_a_line_that_pins_nothing_is_refused(line):
    with pytest.raises(ValueError, match="does not name one version"):
        pins(line)
