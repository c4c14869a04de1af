"""Interrupts, progress, forks, threads, and what an import costs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import chanscope as cs

X = np.random.default_rng(0).standard_normal((60, 3, 4, 4)).astype(np.float32)

LONG = """
import signal, sys, time
import numpy as np
import chanscope as cs
# Shells start commands in the background with this signal ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
x = np.random.default_rng(0).standard_normal((3000, 16, 8, 8)).astype(np.float32)
def show(stage, done, total):
    if done == total:
        print("values were read", flush=True)
try:
    cs.redundancy(x, k=50, device="cpu", progress=show, out="out", save_graph=True)
    print("finished")
except KeyboardInterrupt:
    print("interrupted", time.time(), flush=True)
    raise
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_raises_soon_and_leaves_nothing():
    run = subprocess.Popen([sys.executable, "-c", LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "values were read\n"
    time.sleep(0.1)
    sent = time.time()
    run.send_signal(signal.SIGINT)
    rest, errors = run.communicate(timeout=60)
    words = rest.split()[-2:]
    assert words[0] == "interrupted", rest
    assert float(words[1]) - sent < 0.2
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert run.returncode == -signal.SIGINT
    assert os.listdir() == []


def test_no_signal_handler_is_installed():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    cs.redundancy(X, k=3, device="cpu")
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_progress_is_reported_and_its_exceptions_stop_the_work():
    seen = []
    cs.redundancy(X, k=3, device="cpu", progress=lambda *step: seen.append(step))
    assert [stage for stage, _, _ in seen] and all(0 <= done <= total for _, done, total in seen)
    assert any("graphs" in stage and done == total for stage, done, total in seen)

    def refuse(stage, done, total):
        raise LookupError(stage)

    with pytest.raises(LookupError, match="layer"):
        cs.redundancy(X, k=3, device="cpu", progress=refuse, out="out")


def test_other_threads_run_meanwhile():
    counted = 0
    stop = threading.Event()

    def count():
        nonlocal counted
        while not stop.wait(0.001):
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    begun = time.perf_counter()
    cs.redundancy(np.tile(X, (5, 1, 1, 1)), k=20, device="cpu")
    took = time.perf_counter() - begun
    stop.set()
    thread.join()
    # One thousandth of a second each where the lock is free, and hardly any where it is held.
    assert counted > 20 * took


def test_calls_from_several_threads_agree():
    expected = cs.redundancy(X, k=3, device="cpu")
    found = [None] * 4

    def measure(i):
        found[i] = cs.redundancy(X, k=3, device="cpu", threads=1 + i % 2)

    threads = [threading.Thread(target=measure, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(r == expected for r in found)


def measured_in_a_child(queue):
    queue.put(cs.redundancy(X, k=3, device="cpu"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_works_after_a_fork():
    expected = cs.redundancy(X, k=3, device="cpu")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=measured_in_a_child, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    try:
        assert all(queue.get(timeout=60) == expected for _ in children)
    finally:
        for child in children:
            child.join(10)
            child.kill()
    assert cs.redundancy(X, k=3, device="cpu") == expected


IMPORT = """
import time
import numpy
begun = time.process_time()
import chanscope
print(time.process_time() - begun)
import sys
print(sorted({"torch", "scipy", "pandas", "matplotlib", "sklearn", "tqdm"} & set(sys.modules)))
import os
print([os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
      if sys.platform == "linux" else [])
"""


def test_import_is_quick_and_opens_nothing():
    times = []
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True)
        took, modules, files = run.stdout.splitlines()
        times.append(float(took))
        assert modules == "[]"
        assert "/dev/dri" not in files and "nvidia" not in files
    assert min(times) < 0.1


def test_results_pickle_and_compare(activations, labels):
    import pickle

    r = cs.redundancy({"a": activations}, labels, k=5, aggregate=True, save_graph=True, device="cpu")
    again = pickle.loads(pickle.dumps(r))
    assert again == r and again["a"] == r["a"] and type(again) is cs.Redundancy
    np.testing.assert_array_equal(again["a"].jaccard, r["a"].jaccard)
    assert r != cs.redundancy({"a": activations}, labels, k=4, aggregate=True, save_graph=True, device="cpu")
    assert r != 3
    r.save("out")
    loaded = cs.load("out")
    assert loaded == r and pickle.loads(pickle.dumps(loaded)) == r
    with pytest.raises(cs.FileError, match="force=True"):
        r.save("out")
    r.save("out", force=True)
    r.report("page.html")
    assert Path("page.html").read_text() == Path("out/report.html").read_text()
    with pytest.raises(cs.FileError, match="force=True"):
        r.report("page.html", force=False)
    Path("out/report.html").unlink()
    assert cs.report("out") == [] and Path("out/report.html").exists()


def test_what_a_notebook_shows_is_whole_and_escaped(activations):
    r = cs.redundancy({"a": activations}, k=5, device="cpu")
    shown = r._repr_html_()
    assert shown.count("<tr>") == 2 and shown.count("data:image/png;base64,") == 1
    assert "http" not in shown and "script" not in shown
    r.document["redundancy"]["layers"][0]["name"] = "<script>"
    r._arrays = {name.replace("layers/a/", "layers/<script>/"): array for name, array in r.arrays.items()}
    assert "<script>" not in r._repr_html_() and "&lt;script&gt;" in r._repr_html_()
    assert "layer" in repr(r) and "60x4x3x3" in repr(r)
