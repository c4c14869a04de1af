"""What is wrong is said in one line, in the words of Python's arguments, by a typed exception."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chanscope as cs

X = np.random.default_rng(0).standard_normal((30, 2, 3, 3)).astype(np.float32)
NAN = np.where(np.arange(X.size).reshape(X.shape) == 25, np.nan, X)
Y = np.arange(30) % 3

WRONG = [
    (dict(X=X[0, 0, 0]), cs.UsageError, ValueError, r"layer has shape \(3,\), expected \(N, C, H, W\)"),
    (dict(X=X[None]), cs.UsageError, ValueError, r"shape \(1, 30, 2, 3, 3\)"),
    (dict(X={"relu": X[:0]}), cs.UsageError, ValueError, r"relu has shape \(0, 2, 3, 3\): a dimension is zero"),
    (dict(X=X.astype(object)), cs.UsageError, ValueError, "Python objects"),
    (dict(X=X.astype(np.int64)), cs.UsageError, ValueError, "int64"),
    (dict(X=X.astype(complex)), cs.UsageError, ValueError, "complex128"),
    (dict(X=np.ma.masked_less(X, 0)), cs.UsageError, ValueError, "has a mask"),
    (dict(X={}), cs.UsageError, ValueError, "X is empty"),
    (dict(X={3: X}), cs.UsageError, ValueError, "X has the key 3"),
    (dict(X=17), cs.UsageError, ValueError, "layer is a int"),
    (dict(X=NAN), cs.DataError, ValueError, r'1 NaN .* sample 1, channel 0, y 2, x 1.*non_finite="skip"'),
    (dict(X=X, y=Y[:7]), cs.DataError, ValueError, "7"),
    (dict(X=X, y=Y * 0.5), cs.UsageError, ValueError, r"y holds float64, expected integers"),
    (dict(X=X, y=Y - 1), cs.UsageError, ValueError, r"y\[0\] is -1"),
    (dict(X=X, y=np.eye(30, 3, dtype=int)), cs.UsageError, ValueError, r"y has shape \(30, 3\)"),
    (dict(X=X, k=0), cs.UsageError, ValueError, "k is 0, expected 1 to 1024"),
    (dict(X=X, k=2.5), cs.UsageError, ValueError, "k is 2.5, expected an integer"),
    (dict(X=X, k=True), cs.UsageError, ValueError, "k is True"),
    (dict(X=X, kernel="rbf"), cs.UsageError, ValueError, "unknown kernel 'rbf': use gaussian or cosine"),
    (dict(X=X, sigma=0), cs.UsageError, ValueError, "sigma is 0.0"),
    (dict(X=X, sigma="third"), cs.UsageError, ValueError, "sigma is 'third'"),
    (dict(X=X, sigma=1.0, kernel="cosine"), cs.UsageError, ValueError, "sigma"),
    (dict(X=X, identical="skip"), cs.UsageError, ValueError, "unknown identical 'skip'"),
    (dict(X=X, non_finite="reject"), cs.UsageError, ValueError, "unknown non_finite 'reject'"),
    (dict(X=X, queries=0), cs.UsageError, ValueError, "queries is 0"),
    (dict(X=X, seed=-1), cs.UsageError, ValueError, "seed is -1"),
    (dict(X=X, channels=[5]), cs.UsageError, ValueError, "channel 5"),
    (dict(X=X, channels="0-x"), cs.UsageError, ValueError, "channels is '0-x'"),
    (dict(X=X, channels=[0.5]), cs.UsageError, ValueError, "channels is"),
    (dict(X=X, aggregate="yes"), cs.UsageError, ValueError, "aggregate is 'yes'"),
    (dict(X=X, memory="1MiB"), cs.OutOfMemoryError, MemoryError, 'memory="1MiB" is too small'),
    (dict(X=X, memory="lots"), cs.UsageError, ValueError, "memory is 'lots'"),
    (dict(X=X, memory=1.5), cs.UsageError, ValueError, "memory is 1.5"),
    (dict(X=X, threads=0), cs.UsageError, ValueError, "threads is 0"),
    (dict(X=X, device="tpu"), cs.UsageError, ValueError, "unknown device 'tpu'"),
    (dict(X=X, device="gpu:no such card"), cs.DeviceError, RuntimeError, 'use device="cpu"'),
    (dict(X=X, progress="bar"), cs.UsageError, ValueError, "progress is 'bar'"),
    (dict(X="missing.npy"), cs.FileError, OSError, "missing.npy"),
    (dict(X="missing.pt"), cs.FileError, OSError, "missing.pt"),
    (dict(X="empty"), cs.DataError, ValueError, "empty"),
    (dict(X="text.npy"), cs.DataError, ValueError, "text.npy"),
    (dict(X=X, out="full"), cs.FileError, OSError, "full exists and is not empty"),
    (dict(X=X, out="full", force=True), cs.FileError, OSError, "no run of chanscope wrote"),
    (dict(X=X, out=3), cs.UsageError, ValueError, "out is 3"),
]


@pytest.mark.parametrize("arguments, kind, builtin, message", WRONG, ids=lambda v: None)
def test_wrong_arguments_and_data(arguments, kind, builtin, message):
    Path("empty").mkdir()
    Path("text.npy").write_text("no array")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("precious")
    before = sorted(str(p) for p in Path().rglob("*"))
    arguments = {"device": "cpu", "k": 3, **arguments}
    with pytest.raises(kind, match=message) as raised:
        cs.redundancy(arguments.pop("X"), arguments.pop("y", None), **arguments)
    assert isinstance(raised.value, builtin) and isinstance(raised.value, cs.Error)
    assert "\n" not in str(raised.value) and "--" not in str(raised.value)
    assert sorted(str(p) for p in Path().rglob("*")) == before


def test_loading_what_is_no_result():
    with pytest.raises(cs.FileError, match="results.json"):
        cs.load("missing")
    Path("other").mkdir()
    Path("other/results.json").write_text("{}")
    with pytest.raises(cs.DataError, match="schema None"):
        cs.load("other")
    Path("other/results.json").write_text("{")
    with pytest.raises(cs.DataError, match="not valid JSON"):
        cs.load("other")
