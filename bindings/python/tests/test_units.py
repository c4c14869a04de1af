"""A run in units gives the results of one process, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chanscope as cs

OPTIONS = dict(k=5, aggregate=True, save_graph=True, device="cpu")


@pytest.fixture
def dump(activations, labels):
    Path("dump").mkdir()
    np.save("dump/a.npy", activations)
    np.save("dump/b.npy", activations[:, :2])
    np.save("dump/labels.npy", labels)
    return "dump"


def test_units_of_several_workers(dump):
    expected = cs.redundancy(dump, out="whole", **OPTIONS)
    plan = cs.plan(dump, units=3, out="run", **OPTIONS)
    assert plan.folder == "run" and 0 < plan.graphs < plan.units and plan.seconds > 0
    before = cs.status("run")
    assert before.missing == list(range(plan.units)) and before.array == f"0-{plan.units - 1}" and not before.finished
    first = cs.work("run", stage="graphs", shard=(0, 2), device="cpu")
    assert first.computed and cs.work("run", unit=first.computed[0], device="cpu").skipped == first.computed[:1]
    with pytest.raises(cs.FileError, match="run"):
        cs.merge("run")
    assert cs.work("run", shard="0/2", device="cpu").waiting_for
    cs.work("run", device="cpu")
    done = cs.status("run")
    assert done.done == list(range(plan.units)) and not done.missing and not done.damaged
    merged = cs.merge("run")
    assert merged == expected and type(merged) is cs.Redundancy
    assert {p.relative_to("run"): p.read_bytes() for p in Path("run").rglob("*.npy")} == {
        p.relative_to("whole"): p.read_bytes() for p in Path("whole").rglob("*.npy")
    }
    assert cs.status("run").finished


def test_damaged_units_are_told_and_computed_again(dump):
    cs.plan(dump, units=2, out="run", **OPTIONS)
    cs.work("run", device="cpu")
    damaged = max(Path("run/units").rglob("*.npy"), key=lambda p: p.stat().st_size, default=None)
    damaged = damaged or max((p for p in Path("run/units").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    (unit,) = cs.status("run").damaged
    assert cs.work("run", device="cpu").computed == [unit]
    assert cs.merge("run") == cs.redundancy(dump, **OPTIONS)


def test_resumed_runs(dump):
    expected = cs.redundancy(dump, **OPTIONS)
    assert cs.redundancy(dump, out="run", resume=True, **OPTIONS) == expected
    again = cs.redundancy(dump, out="run", resume=True, **OPTIONS)
    assert again == expected and again.timing == cs.load("run").timing
    with pytest.raises(cs.FileError, match="k"):
        cs.redundancy(dump, out="run", resume=True, **{**OPTIONS, "k": 6})

    def stop(stage, done, total):
        raise LookupError(stage)

    with pytest.raises(LookupError):
        cs.redundancy(dump, out="stopped", resume=True, progress=stop, **OPTIONS)
    assert cs.redundancy(dump, out="stopped", resume=True, **OPTIONS) == expected


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: cs.redundancy(x, out="run", resume=True), "X is no file or folder"),
        (lambda x: cs.redundancy("dump", resume=True), "needs out="),
        (lambda x: cs.plan(x, units=2, out="run"), "X is no file or folder"),
        (lambda x: cs.plan("a.pt", units=2, out="run"), "X is a .pt file"),
        (lambda x: cs.plan("dump", units=0, out="run"), "units is 0"),
        (lambda x: cs.work("run", shard="8/8"), "shard is '8/8'"),
        (lambda x: cs.work("run", shard=(0, 2), unit=1), "exclude each other"),
        (lambda x: cs.work("run", unit="1-x"), "unit is '1-x'"),
        (lambda x: cs.work("run", stage="all"), "unknown stage 'all'"),
    ],
)
def test_wrong_arguments(activations, call, message):
    with pytest.raises(cs.UsageError, match=message):
        call(activations)


def test_folders_without_a_run():
    for call in (cs.status, cs.work, cs.merge):
        with pytest.raises(cs.Error, match="nothing"):
            call("nothing")
