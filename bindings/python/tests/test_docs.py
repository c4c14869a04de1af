"""The examples of the documentation, run as they are written there."""

from __future__ import annotations

import pathlib
import re

import pytest

torch = pytest.importorskip("torch")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from recording import ResNet

ROOT = pathlib.Path(__file__).resolve().parents[3]


def blocks(page, language="python"):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


class Spark:
    """Stands in for a session of Spark: runs what it is given, here and now."""

    sparkContext = property(lambda self: self)

    def parallelize(self, items, _partitions):
        self._items = items
        return self

    def foreach(self, function):
        for item in self._items:
            function(item)


def given():
    """What the pages take as given: a model, and a loader of images and labels."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ResNet()
    data = torch.utils.data.TensorDataset(torch.randn(24, 3, 32, 32), torch.arange(24) % 4)
    return {
        "model": model,
        "loader": torch.utils.data.DataLoader(data, batch_size=12),
        "torch": torch,
        "spark": Spark(),
    }


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
@pytest.mark.filterwarnings("default:::ray")
def test_python_blocks(page, monkeypatch):
    for needed in ("scipy", "pandas", "h5py", "dask", "ray"):
        pytest.importorskip(needed)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # no token in the home folder
    names = given()
    found = blocks(page)
    assert found
    try:
        for i, block in enumerate(found):
            exec(compile(block, f"{page}, block {i + 1}", "exec"), names)
    finally:
        matplotlib.pyplot.close("all")
        if "ray" in names:
            names["ray"].shutdown()
