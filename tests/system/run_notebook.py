"""Runs examples/notebook.ipynb, and stores it with its outputs: python tests/system/run_notebook.py."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def executed(folder: Path) -> Any:
    """The notebook with the outputs of a run in the folder; raises what a cell raises."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources, record_timing=False).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # What TensorFlow says of the machine is of no use to readers, and new on each machine.
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    # The version of the Python at hand would be a change without a meaning.
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(executed(Path(folder)), NOTEBOOK)
