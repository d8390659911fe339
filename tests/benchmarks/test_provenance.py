from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import provenance
from benchmarks.provenance import code_hash, commit, file_hash, machine, settings_hash, versions

ROOT = Path(__file__).parents[2]


def test_a_files_hash_is_sha256_of_what_is_in_it_now(tmp_path: Path):
    path = tmp_path / "net.pth"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        assert file_hash(path) == hashlib.sha256(content).hexdigest()


def test_settings_have_one_hash_whatever_their_order():
    assert settings_hash({"a": 1, "b": [2, 3]}) == settings_hash({"b": [2, 3], "a": 1})
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})
    assert re.fullmatch("[0-9a-f]{16}", settings_hash({}))


def test_versions_are_of_what_is_installed():
    import numpy
    import torch

    found = versions("torch", "no-such-distribution")
    assert found["numpy"] == numpy.__version__
    assert found["torch"] == str(torch.__version__)
    assert found["no-such-distribution"] == "not installed"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in ("backbones/net.py", "tracker/siam.py", "tracker/runtimes/torch.py", "tracker/viewers.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("pass\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("backbones/net.py", True),
        ("tracker/siam.py", True),
        ("tracker/runtimes/torch.py", True),
        ("tracker/viewers.py", False),
    ],
)
def test_the_code_is_what_boxes_depend_on(packages: Path, file: str, matters: bool):
    before = code_hash()
    (packages / file).write_text("pass  # changed\n")
    assert (code_hash() != before) is matters


def test_what_is_left_out_of_the_code_exists():
    names = {path.stem for path in (ROOT / "tracker").iterdir()}
    assert set(provenance.ELSEWHERE) - {"association"} <= names


def test_the_commit_is_gits():
    asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip("not a git checkout")
    commit.cache_clear()
    assert asked.stdout.startswith((commit() or "").removesuffix("-dirty"))
    assert len(commit() or "") >= 12


def test_no_checkout_no_commit(packages: Path):
    commit.cache_clear()
    assert commit() is None
    commit.cache_clear()


def test_a_machine_is_named_with_its_processors():
    assert re.fullmatch(r".+, \d+ CPUs", machine())
