"""The stubs of the extension module are what it is, and the package's types agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import chanscope

pytest.importorskip("mypy")


def run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


#: Large packages that are not looked into.
CONFIGURATION = """
[mypy]
ignore_missing_imports = True
[mypy-torch.*,torchvision.*,matplotlib.*,sklearn.*,scipy.*,pandas.*,ray.*]
follow_imports = skip
"""


def test_stubs_are_the_module():
    Path("stubs.ini").write_text(CONFIGURATION)
    run("mypy.stubtest", "--mypy-config-file", "stubs.ini", "chanscope._chanscope")


USE = """
import chanscope as cs
import numpy as np
r: cs.Redundancy = cs.redundancy(np.ones((3, 2)), k=1)
layer: cs.LayerRedundancy = r["layer"]
matrix: np.ndarray = layer.jaccard
indices, distances = cs.knn(matrix, 1)
weights: np.ndarray = cs.nnk(matrix).weights
reveal_type(layer.overlap_mean)
"""


def test_types_are_seen_by_users():
    assert Path(chanscope.__file__).with_name("py.typed").exists()
    Path("use.py").write_text(USE)
    Path("mypy.ini").write_text(CONFIGURATION)
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "use.py"], capture_output=True, text=True)
    assert done.returncode == 0 and '"float | None"' in done.stdout, done.stdout
