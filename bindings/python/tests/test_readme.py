"""The examples of the package's README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README.read_text(), re.S))
def test_example(block):
    exec(compile(block, str(README), "exec"), {"__name__": "__main__"})
    assert Path("out/report.html").exists()
