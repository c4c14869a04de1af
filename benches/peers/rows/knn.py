"""Exact k nearest neighbours of every point against faiss IndexFlatL2, all threads."""
import faiss
import numpy as np
from harness import row, timed

K = 50
COUNT = 50_000


def run(context):
    context.set_threads(context.threads)
    random = np.random.default_rng(0)
    sets = {
        (64, "normal"): (random.standard_normal((COUNT, 64), dtype=np.float32), 4),
        (64, "digits"): (context.digits(COUNT), 4),
        (16, "normal"): (random.standard_normal((COUNT, 16), dtype=np.float32), 3),
    }
    with context.kernels() as kernels:
        for (dim, name), (points, wanted) in sets.items():
            kernels.load(context.threads, "knn", {"points": points}, k=K)
            found = {}

            def peer():
                seconds, found["indices"] = timed(search, points)
                return seconds

            times = context.alternate(peer, kernels.run, min(context.repeats, 5))
            agreement = compare(points, found["indices"], kernels.save()["neighbors"].reshape(COUNT, K))
            yield row(f"exact kNN, N 50k, d {dim} ({name}), k {K}", "faiss IndexFlatL2", *times, agreement, wanted, COUNT)


def search(points):
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    return index.search(points, K + 1)[1]


def compare(points, faiss_indices, ours, sample=2000):
    """How often the sets agree, and by how much the distance at rank k of faiss's answer is too large."""
    rows = np.random.default_rng(1).choice(len(points), sample, replace=False)
    same, excess = 0, 0.0
    for i in rows:
        theirs = faiss_indices[i][faiss_indices[i] != i][:K]
        same += set(theirs) == set(ours[i])
        worst = [np.square(points[list(s)].astype(np.float64) - points[i]).sum(1).max() for s in (theirs, ours[i])]
        excess = max(excess, worst[0] / max(worst[1], 1e-300) - 1)
        if worst[1] > worst[0] * (1 + 1e-12):
            return f"WRONG: row {i} has a nearer neighbour than ours at rank {K}"
    return f"same sets for {100 * same / sample:.1f} %; faiss's rank {K} too far by up to {excess:.1e}, ours never farther"
