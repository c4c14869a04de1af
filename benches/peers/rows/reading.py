"""Reading a dump: `chanscope inspect FILE --no-estimate` against `cat FILE`, both from the page cache."""
import subprocess

import numpy as np
from harness import row, timed

SHAPE = (20_000, 256, 7, 7)  # 1 GB


def run(context):
    path = context.work / "dump.npy"
    values = np.random.default_rng(0).standard_normal((1000, *SHAPE[1:]), dtype=np.float32)
    dump = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=SHAPE)
    for start in range(0, len(dump), len(values)):
        dump[start : start + len(values)] = np.maximum(values, 0)
    dump.flush()
    size = path.stat().st_size
    command = [str(context.binary), "inspect", str(path), "--no-estimate", "--threads", str(context.threads), "--quiet"]

    def once(words):
        return timed(lambda: subprocess.run(words, check=True, stdout=subprocess.DEVNULL))[0]

    times = context.alternate(lambda: once(["cat", str(path)]), lambda: once(command))
    yield row(f"reading {size / 1e9:.1f} GB, cached", "cat", *times, "inspect also counts NaN, Inf and dead channels", 0.8, size, "B/s")
    path.unlink()
