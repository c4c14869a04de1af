"""What every row needs: the binaries, the arrays, alternating timing."""
import json
import pathlib
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np

PAUSE = 0.05  # seconds between two runs, so that waiting threads of one have gone to sleep


@dataclass
class Context:
    root: pathlib.Path
    work: pathlib.Path
    threads: int
    repeats: int
    dump: pathlib.Path | None

    def __post_init__(self):
        self.work.mkdir(parents=True, exist_ok=True)
        self.binary = self.root / "target" / "release" / "chanscope"
        self.helper = self.root / "target" / "release" / "examples" / "peers"

    def set_threads(self, threads):
        """The same number of threads for every library in this process."""
        import faiss
        import torch

        faiss.omp_set_num_threads(threads)
        torch.set_num_threads(threads)

    def kernels(self):
        return Kernels(self.helper, self.work)

    def alternate(self, peer, ours, repeats=None):
        """Median seconds of two functions that each run once and return their seconds, taking turns."""
        peer_times, our_times = [], []
        for function in (peer, ours):  # once to warm up
            function()
        for _ in range(repeats or self.repeats):
            for function, times in ((peer, peer_times), (ours, our_times)):
                time.sleep(PAUSE)
                times.append(function())
        return statistics.median(peer_times), statistics.median(our_times)

    def activations(self):
        """pool2 of LeNet-5, float32 [N, 16, 4, 4]: --dump, or 10,000 turned and moved digits."""
        if self.dump is not None:
            return np.load(self.dump).astype(np.float32)
        return self.cached("pool2.npy", lambda: self._lenet(10_000))

    def digits(self, count):
        """`count` turned and moved digits at 8x8, float32 [count, 64]."""

        def make():
            import torch

            images = torch.from_numpy(self._jittered(count))
            return torch.nn.functional.interpolate(images, size=8, mode="area").numpy().reshape(count, 64)

        return self.cached(f"digits{count}.npy", make)

    def cached(self, name, make):
        path = self.work / name
        if not path.exists():
            np.save(path, np.ascontiguousarray(make(), dtype=np.float32))
        return np.load(path)

    def _jittered(self, count):
        sys.path.insert(0, str(self.root / "tools"))
        import digits
        import torch
        from train_lenet import jitter

        images, _ = digits.load(self.root / "assets" / "digits")
        generator = torch.Generator().manual_seed(0)
        copies = -(-count // len(images))
        upsampled = torch.from_numpy(digits.upsample(images)).repeat(copies, 1, 1, 1)[:count]
        return jitter(upsampled, generator).numpy()

    def _lenet(self, count):
        images = self._jittered(count)
        import lenet
        import torch

        net = lenet.load_net("lenet5", self.root / "assets" / "lenet5.safetensors")
        with torch.no_grad():
            parts = [net.taps(part)["pool2"] for part in torch.from_numpy(images).split(500)]
        return torch.cat(parts).numpy()


class Kernels:
    """A helper process that runs one kernel at a time on request (kernels.rs)."""

    def __init__(self, helper, work):
        self.work = work
        self.process = subprocess.Popen([helper], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the helper stopped at {request.get('do')}; its message is above")
        return json.loads(line)

    def load(self, threads, kernel, arrays, **parameters):
        """`arrays` by the name of the request's field."""
        job = {"kernel": kernel, **parameters}
        for name, array in arrays.items():
            path = self.work / f"{name}.f32"
            np.ascontiguousarray(array, dtype=np.float32).tofile(path)
            job[name] = {"path": str(path), "shape": list(array.shape)}
        return self.ask(do="load", threads=threads, job=job)

    def run(self):
        return self.ask(do="run")["seconds"]

    def save(self):
        """{file stem: flat array} of what the last run computed."""
        folder = self.work / "computed"
        self.ask(do="save", folder=str(folder))
        kinds = {".f32": np.float32, ".f64": np.float64, ".i32": np.int32}
        return {file.stem: np.fromfile(file, kinds[file.suffix]) for file in folder.iterdir()}


def timed(function, *arguments):
    """Seconds and result."""
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def row(work, peer, seconds, ours, agreement, wanted=None, per=None, unit="queries/s"):
    """One line of the table; with `per`, times are shown as `per` units a second."""

    def show(t):
        if per is None:
            return f"{t:.3g} s" if t >= 1 else f"{1000 * t:.3g} ms"
        rate = per / t
        return f"{rate / 1e3:.1f}k {unit}" if unit == "queries/s" else f"{rate / 1e9:.1f} G{unit}"

    return {
        "work": work, "peer": peer, "peer_seconds": seconds, "our_seconds": ours, "ratio": seconds / ours,
        "peer_text": show(seconds), "ours_text": show(ours), "wanted": wanted, "agreement": agreement,
    }
