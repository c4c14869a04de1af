"""Calls of many threads at once, with and without the interpreter's lock."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading

import numpy as np
import pytest

import chanscope as cs

THREADS = 6


class OnlyRows:
    """What has rows and nothing else, so that the engine's threads call into Python while they read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.values[rows]


def at_once(work, count=THREADS):
    """What `work(i)` returns in each of many threads that begin together."""
    start = threading.Barrier(count)
    found: list = [None] * count

    def run(i):
        start.wait()
        try:
            found[i] = work(i)
        except BaseException as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in found:
        if isinstance(result, BaseException):
            raise result
    return found


def bits(result) -> dict[str, bytes]:
    """All arrays of a result, as bytes."""
    return {name: array.tobytes() for name, array in result.arrays.items()}


@pytest.fixture
def jobs(activations, labels, rng):
    """Different calls, some of which share an input."""
    weights = {"a": rng.standard_normal((6, 3, 3, 3)).astype(np.float32), "b": np.ones((2, 1, 5, 1), np.float32)}
    options = dict(k=5, save_graph=True, device="cpu")
    return [
        lambda: cs.redundancy({"a": activations}, labels, aggregate=True, **options),
        lambda: cs.redundancy({"a": activations}, labels, aggregate=True, threads=1, **options),
        lambda: cs.redundancy(OnlyRows(activations.astype(np.float16)), strongest=True, **options),
        lambda: cs.filters(weights, gradient=True, device="cpu"),
        lambda: cs.filters(weights, minimize=3, device="cpu"),
        lambda: cs.rank(cs.redundancy(activations, **options)),
    ]


def test_calls_of_many_threads_have_the_bits_of_one(jobs):
    expected = [job() for job in jobs]
    assert all(bits(r) for r in expected)
    for _ in range(3):
        # The thread's number shifts the order, so that different calls run side by side.
        order = [[(i + step) % len(jobs) for step in range(len(jobs))] for i in range(THREADS)]
        for i, results in enumerate(at_once(lambda i: [jobs[at]() for at in order[i]])):
            for at, result in zip(order[i], results):
                assert result == expected[at] and bits(result) == bits(expected[at]), at


def test_one_result_is_read_by_many_threads(activations, labels):
    options = dict(k=5, aggregate=True, save_graph=True, supports=True, device="cpu")
    expected = cs.redundancy({"a": activations}, labels, **options)
    cs.redundancy({"a": activations}, labels, out="out", **options)
    for _ in range(10):
        loaded = cs.load("out")  # its arrays are read when they are asked for
        for jaccard, arrays, page in at_once(lambda i: (loaded["a"].jaccard, bits(loaded), loaded._repr_html_())):
            np.testing.assert_array_equal(jaccard, expected["a"].jaccard)
            assert arrays == bits(expected) and page == expected._repr_html_()


def test_exceptions_and_progress_belong_to_their_call(activations):
    def measure(i):
        seen = []

        def note(stage, done, total):
            seen.append(stage)
            if i % 2:
                raise LookupError(i)

        if i % 2 == 0:
            cs.redundancy(activations, k=3, device="cpu", progress=note)
            return seen
        with pytest.raises(LookupError) as raised:
            cs.redundancy(activations, k=3, device="cpu", progress=note)
        return raised.value.args

    for i, found in enumerate(at_once(measure)):
        assert found == (i,) if i % 2 else found


def test_one_folder_is_written_by_one_call(activations):
    def write(i):
        try:
            cs.redundancy(activations, k=3, device="cpu", out="out")
        except cs.FileError:
            return False
        return True

    assert sum(at_once(write)) >= 1
    assert cs.load("out") == cs.redundancy(activations, k=3, device="cpu")


def test_one_term_of_a_loss_serves_many_threads(rng):
    torch = pytest.importorskip("torch")
    layers = [torch.nn.Conv2d(3, 4 + i, 3) for i in range(THREADS)]

    def step(i):
        layers[i].zero_grad()
        value = cs.torch.conv_similarity(layers[i])
        value.backward()
        return float(value.detach()), layers[i].weight.grad.numpy().tobytes()

    expected = [step(i) for i in range(THREADS)]
    for _ in range(5):
        assert at_once(step) == expected


FIRST_CALLS = """
import sys, threading
import numpy as np
import chanscope as cs
x = np.random.default_rng(0).standard_normal((40, 3, 4, 4)).astype(np.float32)
start = threading.Barrier(6)
found = set()
def measure():
    start.wait()
    r = cs.redundancy(x, k=3, device="cpu")
    f = cs.filters(x, device="cpu")
    found.add(b"".join(a.tobytes() for result in (r, f) for a in result.arrays.values()))
threads = [threading.Thread(target=measure) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), getattr(sys, "_is_gil_enabled", lambda: True)())
"""


def test_first_calls_of_a_process_may_come_at_once():
    run = subprocess.run([sys.executable, "-c", FIRST_CALLS], check=True, capture_output=True, text=True)
    # The import does not turn the lock on where Python comes without it.
    locked = not sysconfig.get_config_var("Py_GIL_DISABLED")
    assert run.stdout.split() == ["1", str(locked)]
