"""The notebook runs from its first cell to its last, on the embedded data set."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "demo" / "eight_tasks.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("NOTEBOOK_OUTPUT", str(tmp_path / "run"))
    monkeypatch.setenv("NOTEBOOK_ITERATIONS", "4")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    table = outputs[-1]["text"]
    assert "detection" in table and "ODS-F" in table


def test_the_notebook_is_stored_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
