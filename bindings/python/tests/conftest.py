"""Shared by all tests. They run on the installed package: `./scripts/test` builds the wheel and installs it."""

from __future__ import annotations

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
