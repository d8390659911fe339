"""The command that measures speed: what it takes, prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "benchmark.py"
QUICK = ["--frames", "4", "--rounds", "1", "--updates", "2", "--threads", "1", "--runtime", "torch-fp32"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose ceiling is found at once."""
    monkeypatch.setattr("benchmarks.ceiling.SIDE", 64)
    monkeypatch.setattr("benchmarks.ceiling.COPIED", 2**16)


@pytest.mark.usefixtures("small")
def test_everything_is_written(command, weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("matplotlib")
    files = {
        name: tmp_path / f"speed.{suffix}" for name, suffix in (("json", "json"), ("markdown", "md"), ("plot", "svg"))
    }
    output = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    arguments = [str(weights["compact"]), "still", "opencv:nano", "--peers", str(tmp_path), *QUICK, *output]
    assert command.main([*arguments, "--soak", "20", "--targets", "2", "--profile", "--size", "320x180"]) == 0
    printed = capsys.readouterr().out
    for said in ("of ceiling", "decode the response", "20 updates", "2 targets cost", "left out: nano", "320x180"):
        assert said in printed
    found = json.loads(files["json"].read_text())
    assert [each.get("failure", "") == "" for each in found["entries"]] == [True, True, False]
    assert found["entries"][0]["of_ceiling"] > 0
    assert "| compact | torch | fp32 | 1 |" in files["markdown"].read_text()
    assert "<svg" in files["plot"].read_text()
    with pytest.raises(SystemExit, match="2"):
        command.main([*arguments])
    assert "exists; give another name or --overwrite" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_json_alone_is_all_that_is_printed(command, capsys: pytest.CaptureFixture[str]):
    assert command.main(["still", *QUICK, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["entries"][0]["updates"] == 2
    assert found["size"] == [640, 360]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "compact"], "must end in .json"),
        (["--plot", "x.gif"], "must end in .png or .svg or .pdf"),
        (["--video", "clip.mp4"], "--video and --box go together"),
        (["--size", "640"], "expected WxH"),
        (["--rounds", "0"], "must be a whole number, 1 or more"),
        (["--markdown", "no/such/folder/x.md"], "there is no such folder"),
    ],
)
def test_wrong_arguments_are_refused(command, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "no-such-model: neither a model"),
        (["still", "--video", "none.mp4", "--box", "1,2,3,4"], "none.mp4"),
        (["compact", "--runtime", "magic"], "unknown runtime 'magic'"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(
    command, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert command.main([*arguments, "--threads", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmark: ")
    assert error.count("\n") == 1
    assert message in error
