"""What users install and what they type: the wheel's contents, the public names, every tool's help."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("backbones", "tracker", "learning", "benchmarks", "weights")
TOOLS = sorted((ROOT / "tools").glob("*.py"))
PUBLIC = ("SiamTracker", "MultiTracker", "TrackResult", "TrackState", "open_source", "to_bgr8")


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a wheel built from a copy of the tracked files, so that nothing lands in the tree."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so what belongs to the project is unknown")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    built = run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".", cwd=source)
    assert built.returncode == 0, built.stderr
    (path,) = (source / "dist").glob("siamtrack-*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_wheel_holds_the_packages_and_nothing_else(wheel: list[str]) -> None:
    folders = {name.split("/")[0] for name in wheel}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == set(PACKAGES)


def test_wheel_holds_every_module_type_marker_and_trained_weight(wheel: list[str]) -> None:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {
        name for name in listed.stdout.split() if name.endswith((".py", "py.typed", ".safetensors", ".json", ".onnx"))
    }
    assert wanted
    assert wanted <= set(wheel)


def test_wheel_holds_the_licence(wheel: list[str]) -> None:
    assert any(re.fullmatch(r"siamtrack-.*\.dist-info/(licenses/)?LICENSE", name) for name in wheel)


def test_public_names_can_be_imported(tmp_path: Path) -> None:
    done = run("-c", f"from tracker import {', '.join(PUBLIC)}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_no_heavy_library(tmp_path: Path) -> None:
    heavy = ("torch", "cv2", "shapely", "numba", "lightning")
    done = run("-c", f"import sys, tracker; print([name for name in {heavy} if name in sys.modules])", cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.name)
def test_every_tool_explains_itself_with_examples(tool: Path) -> None:
    done = run(str(tool), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")
    assert "example" in done.stdout.lower()


def test_makefile_lists_its_targets() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "track", "test", "test-all", "lint", "peers", "results", "clean"):
        assert re.search(rf"^make {target} +\S", done.stdout, re.MULTILINE)
