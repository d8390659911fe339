"""The command line of the benchmarks, from a folder of made-up sequences to a report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import DONE, INCOMPLETE, REFUSED, main

ROOT = Path(__file__).parents[2]
RESULTS = ROOT.parent / "shared" / "results"
STAYS, JUMPS = (3, 4, 10, 10), (40, 4, 10, 10)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sequences: in the first the target stands still, in the second it jumps away for the last of four frames."""
    for name, boxes in {"Ball": [STAYS] * 4, "Cup": [STAYS] * 3 + [JUMPS]}.items():
        images = tmp_path / "clips" / name / "img"
        images.mkdir(parents=True)
        for index in range(4):
            cv2.imwrite(str(images / f"{index + 1:04d}.jpg"), np.full((48, 64, 3), 40 * index, np.uint8))
        text = "".join(",".join(map(str, box)) + "\n" for box in boxes)
        (images.parent / "groundtruth_rect.txt").write_text(text)
    return tmp_path / "clips"


def data(root: Path, *more: str | Path) -> list[str]:
    return ["--benchmark", "folder", "--root", str(root), *map(str, more)]


def test_from_a_folder_of_clips_to_a_report(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, out = tmp_path / "results", tmp_path / "report"
    assert main(["run", *data(root), "--tracker", "still", "twin=still", "--results", str(results)]) == DONE
    assert "2 sequences" in capsys.readouterr().out
    assert main(["report", *data(root), "--results", str(results), "--json", "--output", str(out)]) == DONE
    report = json.loads(capsys.readouterr().out)
    still = next(each for each in report["trackers"] if each["tracker"] == "still")
    # a box that never moves: perfect is 20/21; three frames of four on the other
    assert still["headlines"]["auc"]["value"] == pytest.approx((20 / 21 + 0.75 * 20 / 21) / 2)
    assert still["headlines"]["precision_20"]["value"] == pytest.approx((1 + 0.75) / 2)
    assert (out / "report.html").is_file()
    assert (out / "trackers.csv").is_file()


def test_a_second_run_finds_everything_stored(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", *data(root), "--tracker", "still", "--results", str(tmp_path / "results")]
    assert main(command) == DONE
    file = next((tmp_path / "results").rglob("Ball.txt"))
    before = file.stat().st_mtime_ns
    assert main(command) == DONE
    assert "2 of 2 runs are stored already" in capsys.readouterr().err
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("protocol", ["sre", "tre"])
def test_other_protocols_have_folders_of_their_own(root: Path, tmp_path: Path, protocol: str) -> None:
    command = [*data(root), "--results", str(tmp_path / "results"), "--protocol", protocol]
    assert main(["run", *command, "--tracker", "still"]) == DONE
    folders = [path.name for path in (tmp_path / "results").iterdir()]
    assert len(folders) == 1
    assert folders[0].endswith(f"-{protocol.upper()}")
    assert main(["report", *command]) == DONE


def test_a_partial_benchmark_is_not_run_unless_asked_and_never_called_by_its_bare_name(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--benchmark", "otb2013", "--root", str(root), "--results", str(tmp_path / "results")]
    for index in range(5, 603):  # Basketball is official with 725 frames, Football1 with 74
        shutil.copy(root / "Ball" / "img" / "0001.jpg", root / "Ball" / "img" / f"{index:04d}.jpg")
    shutil.move(root / "Ball", root / "Crossing")
    (root / "Crossing" / "groundtruth_rect.txt").write_text("3,4,10,10\n" * 602)
    assert main(["check", *command[:4]]) == INCOMPLETE
    assert "Crossing" in capsys.readouterr().out  # 120 frames are official
    assert main(["run", *command, "--tracker", "still"]) == REFUSED
    assert "--partial" in capsys.readouterr().err
    for index in range(121, 603):
        (root / "Crossing" / "img" / f"{index:04d}.jpg").unlink()
    (root / "Crossing" / "groundtruth_rect.txt").write_text("3,4,10,10\n" * 120)
    assert main(["run", *command, "--tracker", "still", "--partial"]) == DONE
    assert capsys.readouterr().out.startswith("1 of 51 sequences of OTB-2013:")
    assert main(["report", *command]) == DONE
    assert "1 of 51 sequences of OTB-2013" in capsys.readouterr().out


def test_a_truncated_image_stops_the_run_before_it_begins(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = root / "Cup" / "img" / "0003.jpg"
    broken.write_bytes(broken.read_bytes()[:-20])
    assert main(["check", *data(root)]) == INCOMPLETE
    assert str(broken) in capsys.readouterr().out
    command = ["run", *data(root), "--tracker", "still", "--results", str(tmp_path / "results")]
    assert main(command) == REFUSED
    assert not list((tmp_path / "results").rglob("*.txt"))
    assert main([*command, "--partial"]) == DONE
    assert [path.stem for path in (tmp_path / "results").rglob("*.txt") if path.parent.name == "still"] == ["Ball"]


def test_raw_boxes_of_others_stand_beside_ours(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as archive:
        archive.writestr("ball.txt", "3\t4\t10\t10\n" * 4)
        archive.writestr("cup.txt", "3\t4\t10\t10\n" * 3)  # a row short
    command = [*data(root), "--results", str(tmp_path / "results")]
    assert main(["run", *command, "--tracker", "still"]) == DONE
    assert main(["report", *command, "--raw", f"oracle={tmp_path / 'theirs.zip'}", "--json"]) == DONE
    captured = capsys.readouterr().out
    report = json.loads(captured[captured.index("{") :])
    assert {each["tracker"] for each in report["trackers"]} == {"still", "oracle"}
    assert any("3 rows for 4 frames" in remark for remark in report["remarks"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--tracker", "nosuch"], "nosuch"),
        (["--tracker", "opencv:nosuch"], "nosuch"),
        (["--tracker", "still", "still"], "two trackers"),
        (["--tracker", "still", "--only", "Spoon"], "Spoon"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    root: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *data(root), "--results", str(tmp_path / "results"), *more]) == REFUSED
    error = capsys.readouterr().err.strip()
    assert said in error
    assert error.startswith("evaluate: error: ")
    assert "\n" not in error


def test_a_wrong_root_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--benchmark", "otb100", "--root", str(tmp_path / "nowhere")]) == REFUSED
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_root_without_permission_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:  # pragma: no cover
    root.chmod(0)
    try:
        assert main(["check", *data(root)]) == REFUSED
    finally:
        root.chmod(0o755)
    assert str(root) in capsys.readouterr().err


def test_results_of_other_settings_are_not_mixed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *data(root), "--tracker", "still", "--results", str(tmp_path / "results")]
    assert main(command) == DONE
    settings = next((tmp_path / "results").rglob("settings.json"))
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"format": 99}))
    assert main(command) == REFUSED
    assert "format = 99" in capsys.readouterr().err


def test_help_needs_no_heavy_imports() -> None:
    code = "import sys, benchmarks.__main__ as m; m.build_parser(); print({'torch', 'cv2', 'numpy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "set()"


def test_raw_boxes_need_no_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = "".join(f"{5 + frame},7,20,30\n" for frame in range(81))
    with zipfile.ZipFile(tmp_path / "truth.zip", "w") as archive:
        archive.writestr("Skiing/groundtruth_rect.txt", boxes)
    with zipfile.ZipFile(tmp_path / "oracle.zip", "w") as archive:
        archive.writestr("skiing.txt", boxes)
    command = ["report", "--benchmark", "otb2013", "--groundtruth", str(tmp_path / "truth.zip")]
    command += ["--results", str(tmp_path / "none"), "--raw", str(tmp_path / "oracle.zip"), "--json"]
    assert main([*command, "--output", str(tmp_path / "report")]) == DONE
    report = json.loads(capsys.readouterr().out)
    assert report["trackers"][0]["headlines"]["auc"]["value"] == pytest.approx(20 / 21)
    assert report["title"] == "1 of 51 sequences of OTB-2013"
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.skipif(not RESULTS.is_dir(), reason="needs the raw boxes in ../shared/results")
def test_the_scoring_command_gives_the_published_number() -> None:
    command = [sys.executable, "tools/evaluate.py", "score", str(RESULTS / "MDNet.zip"), "--benchmark", "otb100"]
    command += ["--groundtruth", str(RESULTS / "otb100_annotations.json.gz"), "--json"]
    scored = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert scored["auc"] == pytest.approx(0.678, abs=0.002)
    assert scored["precision"] == pytest.approx(0.909, abs=0.002)
    assert scored["sequences"] == 100
