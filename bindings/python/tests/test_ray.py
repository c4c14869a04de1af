"""A run on a local Ray of two workers, of which one is killed, against one process."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("default")  # those of Ray's own machinery

import chanscope as cs
from conftest import command


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # no token in the home folder
    package = str(Path(cs.__file__).resolve().parents[1])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}},
        _temp_dir=str(tmp_path_factory.mktemp("ray")) if len(str(tmp_path_factory.getbasetemp())) < 40 else None,
    )
    yield
    ray.shutdown()


@pytest.fixture
def dump(rng):
    folder = Path("dump")
    folder.mkdir()
    for name, channels in [("conv1", 3), ("conv2", 5)]:
        x = np.maximum(rng.standard_normal((120, channels, 3, 3)), 0).astype(np.float16)
        x[:, -1] = x[:, 0] + 0.1 * x[:, 1]
        np.save(folder / f"{name}.npy", x)
    np.save(folder / "labels.npy", rng.integers(0, 3, 120))
    return folder


def contents(folder):
    """All files but the report, which holds times; `results.json` without what belongs to the run."""
    files = {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob("*") if p.suffix == ".npy"}
    about = json.loads(Path(folder, "results.json").read_text())
    for field in ("timing", "device"):
        about.pop(field, None)
    for parameter in ("memory", "threads", "device"):
        about["parameters"].pop(parameter, None)
    return files, about


def workers():
    """Processes that compute a unit now."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--unit" in words and b"work" in words and os.path.abspath("run").encode() in words:
            found.append((int(process.name), int((process / "stat").read_text().split(")")[1].split()[1])))
    return found


def test_a_killed_worker_changes_nothing(cluster, dump):
    command("redundancy", dump.resolve(), "-k", "8", "--aggregate", "--out", "alone")
    killed = []

    def kill():
        while not killed:
            for child, parent in workers()[:1]:
                killed.append(parent)
                os.kill(parent, signal.SIGKILL)
            time.sleep(0.01)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    steps = []
    found = cs.ray.redundancy(dump, out="run", units=3, k=8, aggregate=True, progress=lambda *s: steps.append(s))
    thread.join(5)
    assert killed, "no worker was killed"
    assert contents("run") == contents("alone")
    assert found == cs.load("alone")
    assert {s[0] for s in steps} == {"graphs", "overlap"} and all(done <= total for _, done, total in steps)
    assert not Path("run/units").exists()


def test_a_run_goes_on_where_it_was(cluster, dump):
    command("redundancy", dump.resolve(), "-k", "8", "--channels", "0,2", "--out", "alone")
    command("plan", dump.resolve(), "-k", "8", "--channels", "0,2", "--units", "2", "--out", "run")
    command("work", "run", "--unit", "0")
    cs.ray.work("run")
    assert contents("run") == contents("alone")
    assert cs.ray.work("run") == cs.load("alone")  # there is nothing left to do


def test_strongest_samples_and_their_pictures(cluster, dump, rng):
    np.save("images.npy", rng.integers(0, 255, (120, 8, 8, 3)).astype(np.uint8))
    found = cs.ray.redundancy(dump, out="run", units=2, k=8, images="images.npy")
    assert found.images.pictures.shape[1:] == (3, 8, 8)
    assert found == cs.redundancy(dump, k=8, images="images.npy", device="cpu")


def test_refusals(cluster, dump):
    with pytest.raises(cs.Error, match="nothing"):
        cs.ray.redundancy("nothing", out="run")
    with pytest.raises(ValueError, match="cluster has 2 CPUs and 0 GPUs"):
        cs.ray.redundancy(dump, out="run", num_gpus=1)
    with pytest.raises(TypeError, match="'kernal'"):
        cs.ray.redundancy(dump, out="run", kernal="cosine")
    with pytest.raises(ValueError, match="-k|k is"):
        cs.ray.redundancy(dump, out="run", k=0)
    assert not Path("run").exists()
