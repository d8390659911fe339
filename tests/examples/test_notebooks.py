"""The notebooks run from their first cell to their last, as a student would run them."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_both_exercises_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["cosegmentation", "triplet_network"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_what_it_printed(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="notebooks want pip install 'siamtrack[dev]'")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the research data, too: the working folder is elsewhere."""
    nbformat = pytest.importorskip("nbformat", reason="notebooks want pip install 'siamtrack[dev]'")
    nbclient = pytest.importorskip("nbclient", reason="notebooks want pip install 'siamtrack[dev]'")
    pytest.importorskip("ipykernel", reason="notebooks want pip install 'siamtrack[dev]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=where).execute()  # raises what a cell raises
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert last.outputs, "the last cell prints the results"
