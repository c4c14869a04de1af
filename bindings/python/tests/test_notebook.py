"""The example notebook runs from its first cell to its last."""

from __future__ import annotations

import pathlib
import sys

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
for needed in ("ipykernel", "torch", "matplotlib", "pandas", "scipy"):
    pytest.importorskip(needed)

NOTEBOOK = pathlib.Path(__file__).resolve().parents[3] / "examples" / "quickstart.ipynb"


@pytest.mark.filterwarnings("default")  # those of the notebook's own machinery
def test_quickstart(tmp_path, monkeypatch):
    # The kernel of this interpreter, wherever others may be installed.
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = f'["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"]'
    (spec / "kernel.json").write_text(f'{{"argv": {command}, "display_name": "Python 3", "language": "python"}}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    client.execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert not [o for o in outputs if o.output_type == "error"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 4
    tables = [o.data["text/html"] for o in outputs if "text/html" in o.get("data", {})]
    assert len(tables) == 2 and "block2.relu.1" in tables[0]
    text = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "plain" in text and "regularised" in text
