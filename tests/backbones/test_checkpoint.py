"""Foreign checkpoints: what is read, what is refused, and that a refusal leaves the model alone."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from backbones.checkpoint import load_exactly, read_state_dict, state_dict_of


@pytest.fixture
def state() -> dict[str, Tensor]:
    return {"0.weight": torch.randn(4, 3), "0.bias": torch.randn(4)}


def assert_same(read: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(read) == list(expected)
    assert all(torch.equal(read[name], expected[name]) for name in expected)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])
def test_reads_torch_files(tmp_path: Path, state: dict[str, Tensor], legacy: bool) -> None:
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    assert_same(read_state_dict(tmp_path / "net.pth"), state)


def test_reads_safetensors(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "net.safetensors")
    assert_same(read_state_dict(str(tmp_path / "net.safetensors")), dict(sorted(state.items())))


def test_takes_off_the_wrappers_of_training_scripts(tmp_path: Path, state: dict[str, Tensor]) -> None:
    wrapped = {"epoch": 50, "arch": "net", "state_dict": {f"module.{name}": value for name, value in state.items()}}
    torch.save(wrapped, tmp_path / "epoch50.pth")
    assert_same(read_state_dict(tmp_path / "epoch50.pth"), state)
    assert_same(state_dict_of(wrapped), state)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        read_state_dict(tmp_path / "absent.pth")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_file_is_refused(tmp_path: Path, state: dict[str, Tensor], suffix: str, share: float) -> None:
    path = tmp_path / f"net{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"net{suffix} cannot be read as weights"):
        read_state_dict(path)


@pytest.mark.parametrize("content", [b"<!doctype html><title>Sign in</title>", bytes(range(256)), b"\x80\x02garbage"])
def test_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_state_dict(tmp_path / "net.pth")


class _Touch:
    """Unpickled, it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("plain_pickle", [False, True])
def test_reading_runs_no_code_of_the_file(tmp_path: Path, plain_pickle: bool) -> None:
    trap, path = tmp_path / "sprung", tmp_path / "net.pth"
    if plain_pickle:
        path.write_bytes(pickle.dumps({"weight": _Touch(trap)}, protocol=2))
    else:
        torch.save({"weight": _Touch(trap)}, path)
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_state_dict(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [[1, 2], {"weight": 3.0}, {"state_dict": {"weight": [1.0]}}])
def test_content_that_is_not_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth should map names to tensors"):
        read_state_dict(tmp_path / "net.pth")


def test_load_exactly_copies_every_tensor(state: dict[str, Tensor]) -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    load_exactly(model, state, "a line")
    assert_same(model.state_dict(), state)


def test_load_exactly_lists_all_differences_and_changes_nothing(state: dict[str, Tensor]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrong = {"0.weight": state["0.weight"], "0.bias": torch.zeros(5), "2.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match="not a line") as refusal:
        load_exactly(model, wrong, "a line")
    message = str(refusal.value)
    assert "4 missing: 1.weight, 1.bias, 1.running_mean, 1.running_var" in message
    assert "1 unexpected: 2.weight" in message
    assert "1 of another shape: 0.bias (5,) instead of (4,)" in message
    assert_same(model.state_dict(), before)


def test_a_long_list_is_cut_and_counted() -> None:
    with pytest.raises(ValueError, match=r"20 missing: (\d+\.(weight|bias), ){8}… and 12 more"):
        load_exactly(nn.Sequential(*[nn.Linear(1, 1) for _ in range(10)]), {}, "ten lines")
