"""Shared by all tests. They run on the installed package: `./scripts/test` builds the wheel and installs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(16)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Tests run in a folder of their own, so that nothing is written into the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def activations(rng) -> np.ndarray:
    """Activations [60, 4, 3, 3] behind a ReLU, of which channel 2 is dead and channel 3 resembles channel 0."""
    x = rng.standard_normal((60, 4, 3, 3)).astype(np.float32)
    x[:, 3] = x[:, 0] + 0.1 * x[:, 1]
    x[:, 2] = 0
    return np.maximum(x, 0)


@pytest.fixture
def labels(rng) -> np.ndarray:
    """A class of every sample of `activations`."""
    return rng.integers(0, 3, 60)


def command(*arguments: str | Path) -> None:
    """Runs the command line, quietly and on the CPU."""
    run = [sys.executable, "-m", "chanscope", *map(str, arguments), "--quiet", "--device", "cpu"]
    subprocess.run(run, check=True, capture_output=True)


def document(folder: str | Path) -> dict:
    """`results.json` of a folder."""
    return json.loads(Path(folder, "results.json").read_text())
