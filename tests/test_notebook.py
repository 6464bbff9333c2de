"""The notebook runs from its first cell to its last, on the embedded data set."""

import json
import re
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
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    table = outputs[-1]["text"]
    assert "detection" in table and "ODS-F" in table


def test_the_notebook_is_stored_with_its_outputs_and_imports_what_there_is():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "jupyter lab demo/eight_tasks.ipynb" in text and len(text) < 1_000_000
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}  # no warning, no error
    assert {output["output_type"] for output in outputs} == {"execute_result", "stream"}
    assert not re.search(r"/(home|root|tmp|Users)/", text)
    assert re.search(r"image classification +mAP +\d", "".join(outputs[-1]["text"]))
    imports = [line for cell in cells for line in cell["source"] if re.match(r"(from|import) ", line)]
    assert len(imports) > 10
    exec("".join(line.rstrip("\n") + "\n" for line in imports), {})
