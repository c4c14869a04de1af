"""Matrix products behind the Gram matrices against numpy (OpenBLAS), all threads."""
import numpy as np
from harness import row, timed

SHAPES = [(2048, 512), (1024, 1024), (4096, 64)]


def run(context):
    random = np.random.default_rng(0)
    with context.kernels() as kernels:
        for n, d in SHAPES:
            x = random.standard_normal((n, d), dtype=np.float32)
            other = x.copy()  # numpy turns x @ x.T into the cheaper symmetric product, x @ other.T not
            kernels.load(context.threads, "gram", {"x": x[None]})
            for name, right, wanted in (("general", other, 0.9), ("symmetric", x, None)):
                seconds, ours = context.alternate(lambda: timed(np.matmul, x, right.T)[0], kernels.run)
                exact = x.astype(np.float64) @ x.T.astype(np.float64)
                scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
                error = (np.abs(kernels.save()["output"].reshape(n, n) - exact) / scale).max()
                yield row(
                    f"Gram matrix {n}x{n}, d {d}", f"numpy, {name} product", seconds, ours,
                    f"largest error {error:.1e} of the norms' product", wanted, 2 * n * n * d, "FLOP/s",
                )
