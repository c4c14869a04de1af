#!/usr/bin/env python3
"""Channel-wise NNK graphs of a dump in float64: an oracle that shares nothing with the engine.

Slow and plain on purpose: distances in plain differences, candidates by (distance, index), exact
non-negative least squares on a factor of the Gram matrix, finished on its support and checked against
the optimality conditions. Writes the files that `chanscope redundancy --save-graph` writes, and two more
beside each graph: unique.npy (is the optimum the only one) and margin.npy (how near its support is
to changing).

Example, on the first 500 images:
    tools/oracle_cwnnk.py dump --images 500 -k 25 --aggregate --subset sub --out expected
    chanscope redundancy sub -k 25 --aggregate --save-graph --out got
    tools/compare_results.py expected got
"""
import argparse
import pathlib
import sys
import time

import numpy as np

from oracle import files, graph, measures


def analyse(layer, labels, params, channels, aggregate, out):
    """One layer: writes its arrays and returns its entry in results.json."""
    chosen = list(range(layer.values.shape[1])) if channels is None else channels
    started = time.time()
    graphs, rows = [], []
    for c in chosen:
        points = layer.channel(c)
        graphs.append(graph.build(points, params))
        rows.append(measures.channel_means(graphs[-1], points, labels))
        print(f"{layer.name} channel {c}: {rows[-1]['neighbors_mean']} neighbours", file=sys.stderr)
    dead = [not layer.channel(c).any() for c in chosen]
    whole = measures.layer_measures(graphs, dead)
    folder = out / "layers" / layer.name
    files.write_graphs(folder, graphs)
    for name in ("overlap", "jaccard"):
        np.save(folder / f"{name}.npy", whole.pop(name))

    def column(key):
        return [None if d else row[key] for row, d in zip(rows, dead)]

    residuals = [row["kkt_residual_max"] for row in rows if row["kkt_residual_max"] is not None]
    entry = {
        "name": layer.name,
        "shape": layer.shape,
        **({} if channels is None else {"channels": channels}),
        "dead_channels": [c for c, d in zip(chosen, dead) if d],
        "degenerate_queries": [row["degenerate_queries"] for row in rows],
        "neighbors_mean": column("neighbors_mean"),
        "pca_dimension_mean": column("pca_dimension_mean"),
        "loo_error": column("loo_error") if labels is not None else None,
        "loo_soft_error": column("loo_soft_error") if labels is not None else None,
        **whole,
        "aggregate": None,
    }
    if aggregate:
        total = graph.build(layer.whole, params)
        entry["aggregate"] = measures.channel_means(total, layer.whole, labels)
        residuals.append(entry["aggregate"].pop("kkt_residual_max") or 0.0)
        entry["aggregate"]["recall"] = measures.aggregate_recall(total, graphs)
        files.write_graphs(folder / "aggregate", [total])
    entry["kkt_residual_max"] = max(residuals, default=None)
    print(f"{layer.name}: {time.time() - started:.1f} s", file=sys.stderr)
    return entry


def channel_list(text):
    """"0,3,8-15" -> [0, 3, 8, ..., 15]"""
    parts = [part.split("-") for part in text.split(",")]
    return [c for part in parts for c in range(int(part[0]), int(part[-1]) + 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", help="a folder of .npy files, or one of them")
    parser.add_argument("--layers", nargs="+", help="names; default: every file")
    parser.add_argument("--labels", type=pathlib.Path, metavar="L.npy", help="default: labels.npy in the folder")
    parser.add_argument("--images", type=int, metavar="M", help="use the first M samples only")
    parser.add_argument("--subset", type=pathlib.Path, metavar="DIR", help="also write those samples as a dump")
    parser.add_argument("-k", type=int, default=25)
    parser.add_argument("--kernel", choices=["gaussian", "cosine"], default="gaussian")
    parser.add_argument("--sigma", default="kth/3", help="kth/3 or a number")
    parser.add_argument("--identical", choices=["keep", "drop", "replace"], default="keep")
    parser.add_argument("--channels", type=channel_list, metavar="0,3,8-15")
    parser.add_argument("--aggregate", action="store_true")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()

    sigma = None if args.sigma == "kth/3" else float(args.sigma)
    params = graph.Params(args.k, args.kernel, sigma, args.identical)
    layers, labels = files.read_dump(args.dump, args.layers, args.images)
    if args.labels is not None:
        labels = np.load(args.labels).astype(np.int64)[: args.images]
    if not layers:
        parser.error(f"{args.dump}: no such layer")
    if args.subset is not None:
        files.write_subset(args.subset, layers, labels)
    args.out.mkdir(parents=True, exist_ok=True)
    entries = [analyse(layer, labels, params, args.channels, args.aggregate, args.out) for layer in layers]
    used = {"k": args.k, "kernel": args.kernel, "sigma": args.sigma, "identical": args.identical, "aggregate": args.aggregate}
    files.write_results(args.out, "redundancy", used, entries)


if __name__ == "__main__":
    main()
