"""What users install and what they type: the wheel's contents, the public names, every tool's help."""

from __future__ import annotations

import ast
import json
import os
import re
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("backbones", "tracker", "learning", "benchmarks", "weights")
TOOLS = sorted((ROOT / "tools").glob("*.py"))
PUBLIC = ("SiamTracker", "MultiTracker", "TrackResult", "TrackState", "open_source", "to_bgr8")


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked files, so that nothing lands in the tree."""
    folder = tmp_path_factory.mktemp("source")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so what belongs to the project is unknown")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def build_wheel(folder: Path) -> Path:
    """The wheel of the project in a folder, built without a network."""
    built = run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".", cwd=folder)
    assert built.returncode == 0, built.stderr
    (path,) = (folder / "dist").glob("siamtrack-*.whl")
    return path


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def wheel_file(source: Path) -> Path:
    return build_wheel(source)


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> list[str]:
    """Names of the files in the wheel."""
    return names_in(wheel_file)


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


@pytest.mark.slow
def test_the_source_distribution_builds_the_same_wheel(source: Path, wheel: list[str], tmp_path: Path) -> None:
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    built = run("-c", code, str(tmp_path), cwd=source)
    assert built.returncode == 0, built.stderr
    (archive,) = tmp_path.glob("siamtrack-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    (unpacked,) = (folder for folder in tmp_path.iterdir() if folder.is_dir())
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= set(os.listdir(unpacked))
    assert sorted(names_in(build_wheel(unpacked))) == sorted(wheel)


@pytest.mark.slow
def test_the_wheel_runs_on_its_own(wheel_file: Path, tmp_path: Path) -> None:
    """Installed into a new environment, which takes what it needs from this one, and run in another folder."""
    environment, away = tmp_path / "environment", tmp_path / "away"
    away.mkdir()
    made = run("-m", "venv", "--without-pip", str(environment))
    assert made.returncode == 0, made.stderr
    python = str(environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    done = run("-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", str(wheel_file))
    assert done.returncode == 0, done.stderr
    (installed,) = environment.rglob("site-packages")
    # a path in a .pth file adds what is installed there, but not its editable installs, such as this project
    dependencies = [Path(path) for path in site.getsitepackages() if Path(path).is_dir()]
    (installed / "dependencies.pth").write_text("".join(f"{path}\n" for path in dependencies))

    def there(*arguments: str) -> str:
        ran = subprocess.run([python, *arguments], cwd=away, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    code = "from importlib.util import find_spec as f; print([f(n) and f(n).origin for n in ('tracker', 'weights')])"
    for origin in ast.literal_eval(there("-c", code)):
        assert Path(origin).is_relative_to(installed)
    examples = ROOT / "examples"
    words = ["-m", "tracker", "--video", str(examples / "demo.mp4"), "--box", str(examples / "demo_box.json")]
    summary = json.loads(there(*words, "--max-frames", "20", "--threads", "1", "--save", "boxes.csv", "--json"))
    assert summary["frames"] == 20
    assert summary["tracking"] > 0.9
    boxes = np.loadtxt(away / "boxes.csv", delimiter=",", skiprows=1, usecols=range(3, 7))
    truth = np.loadtxt(examples / "demo_groundtruth.txt", delimiter=",")[:20]
    assert np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2).max() < 10
    assert sorted(path.name for path in away.iterdir()) == ["boxes.csv"]


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
