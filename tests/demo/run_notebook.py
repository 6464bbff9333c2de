"""Stores the outputs in demo/eight_tasks.ipynb, from the network of `make train`: `python tests/demo/run_notebook.py`.

Needs nbclient and ipykernel. Pictures are stored with a palette, as small as they can be.
"""

import base64
import io
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "demo" / "eight_tasks.ipynb"


def main():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of day
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = small(data["image/png"])
                data.pop("image/jpeg", None)
    notebook.metadata["language_info"] = {"name": "python"}
    NOTEBOOK.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def small(picture):
    """A PNG file in base64 -> the same with 255 colours."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.quantize(255, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
