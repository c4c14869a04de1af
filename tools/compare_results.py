#!/usr/bin/env python3
"""Compare two output folders of `chanscope redundancy --save-graph`: A is right (the oracle, or another
backend), B is judged. Prints a table, exits 1 on a mismatch.

What must agree: candidates (apart from distances equal within rounding), squared distances, degenerate
queries, the objective, the support wherever the optimum is unique, and every mean and matrix. Where
supports differ and may (an optimum that is not unique, a tie at rank k), means may differ by what those
queries can account for at most, and not by more. Tolerances: --gpu for a GPU, else those of the CPU.
"""
import argparse
import pathlib
import sys

import numpy as np

from oracle import files
from oracle.graph import SUPPORT

TOLERANCES = {
    # relative error of a squared distance, relative objective gap, share of supports that may differ
    "cpu": {"distance": 1e-6, "objective": 2e-7, "support": 0.0},
    "gpu": {"distance": 1e-5, "objective": 1e-6, "support": 1e-3},
}
MEAN = 1e-6  # absolute, for means over the same supports


class Table:
    """Rows of (what, found, allowed); remembers whether any row failed."""

    def __init__(self):
        self.failed = 0
        print(f"{'':6} {'layer':24} {'quantity':34} {'found':>12} {'allowed':>12}")

    def row(self, layer, what, found, allowed):
        good = found <= allowed
        self.failed += not good
        print(f"{'ok' if good else 'WRONG':6} {layer:24} {what:34} {found:12.3g} {allowed:12.3g}")


def compare_graphs(table, name, a, b, tolerance):
    """Returns the number of queries per channel whose supports differ, [C]."""
    table.row(name, "degenerate queries that differ", int((a["degenerate"] != b["degenerate"]).sum()), 0)
    live = ~a["degenerate"] & ~b["degenerate"]
    there = (a["neighbors"] >= 0) & (b["neighbors"] >= 0)
    table.row(name, "candidate counts that differ", int(((a["neighbors"] >= 0) != (b["neighbors"] >= 0)).sum()), 0)
    gap = np.abs(a["sq_distances"].astype(np.float64) - b["sq_distances"])
    scale = np.maximum(np.abs(a["sq_distances"]), 1e-30)
    slack = np.where(scale < 1e-6, tolerance["distance"] * 1e-6, tolerance["distance"] * scale)
    table.row(name, "squared distances beyond tolerance", int((there & (gap > slack)).sum()), 0)
    reordered = (np.where(there, a["neighbors"] != b["neighbors"], False)).any(-1)
    table.row(name, "reordered candidates (ties only)", int(reordered.sum()), np.inf)

    same = live & ~reordered
    relative = (b["objective"].astype(np.float64) - a["objective"]) / np.maximum(np.abs(a["objective"]), 1e-12)
    table.row(name, "relative objective gap", float(np.abs(relative[same]).max(initial=0)), tolerance["objective"])
    differs = ((a["weights"] > SUPPORT) != (b["weights"] > SUPPORT)).any(-1)
    unique = a.get("unique", np.ones_like(live)) & same
    wrong = differs & unique
    share = wrong.sum() / max(unique.sum(), 1)
    table.row(name, f"supports that differ, of {unique.sum()}", float(share), tolerance["support"])
    if wrong.any() and "margin" in a:
        print(f"{'':31} their margins in float64: up to {a['margin'][wrong].max():.2g}")
    steady = unique & ~differs
    weights = np.abs(a["weights"].astype(np.float64) - b["weights"]).max(-1)
    if steady.any():
        print(f"{'':31} weights there: largest difference {weights[steady].max():.2g}")
    changed = (support_rows(a) != support_rows(b)).any(-1) & live
    return changed.sum(1)


def support_rows(graph):
    """Sorted sample indices of every support, [C, N, k], -1 for the rest."""
    return np.sort(np.where(graph["weights"] > SUPPORT, graph["neighbors"], -1), axis=-1)


def compare_layer(table, folder_a, folder_b, a, b, tolerance):
    name = a["name"]
    graph_a, graph_b = (files.read_graphs(folder / "layers" / name) for folder in (folder_a, folder_b))
    changed = compare_graphs(table, name, graph_a, graph_b, tolerance)
    channels, count, k = graph_a["neighbors"].shape
    share = changed / count
    compare_lists(table, name, a, b, share, k)
    both = share[:, None] + share[None, :]
    for matrix, most in (("overlap", k), ("jaccard", 1)):
        x, y = (np.load(folder / "layers" / name / f"{matrix}.npy") for folder in (folder_a, folder_b))
        table.row(name, f"{matrix}: NaN that differ", int((np.isnan(x) != np.isnan(y)).sum()), 0)
        table.row(name, f"{matrix}: beyond what supports explain", excess(x, y, both * most), MEAN)
        scalar(table, name, f"{matrix}_mean", a, b, share.max() * 2 * most)
    scalar(table, name, "redundancy", a, b, share.sum() * channels)
    if a["aggregate"] is None or b["aggregate"] is None:
        table.row(name, "aggregate missing in one", int((a["aggregate"] is None) != (b["aggregate"] is None)), 0)
        return
    whole_a, whole_b = (files.read_graphs(folder / "layers" / name / "aggregate") for folder in (folder_a, folder_b))
    total = compare_graphs(table, f"{name} aggregate", whole_a, whole_b, tolerance) / count
    wrapped = [{key: [value] for key, value in x["aggregate"].items()} for x in (a, b)]
    compare_lists(table, f"{name} aggregate", *wrapped, total, k)
    scalar(table, f"{name} aggregate", "recall", a["aggregate"], b["aggregate"], total.sum() + share.sum())


def compare_lists(table, name, a, b, share, k):
    """The per-channel numbers; `share` [C] of the queries have another support."""
    most = {"neighbors_mean": k, "pca_dimension_mean": k, "loo_error": 1, "loo_soft_error": 1}
    for key, worst in most.items():
        x, y = a.get(key), b.get(key)
        if x is None or y is None:
            table.row(name, f"{key} missing in one", int((x is None) != (y is None)), 0)
            continue
        x, y = (np.array([np.nan if v is None else v for v in values], float) for values in (x, y))
        table.row(name, f"{key}: null that differ", int((np.isnan(x) != np.isnan(y)).sum()), 0)
        table.row(name, f"{key}: beyond what supports explain", excess(x, y, share * worst), MEAN)


def scalar(table, name, key, a, b, allowance):
    if (a[key] is None) != (b[key] is None):
        table.row(name, f"{key} missing in one", 1, 0)
    elif a[key] is not None:
        table.row(name, key, abs(a[key] - b[key]), MEAN + allowance)


def excess(x, y, allowance):
    """Largest |x - y| - allowance over the entries that exist in both."""
    both = ~np.isnan(x) & ~np.isnan(y)
    return float(np.maximum(np.abs(x - y) - allowance, 0)[both].max(initial=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=pathlib.Path, metavar="A", help="folder with the right results")
    parser.add_argument("b", type=pathlib.Path, metavar="B", help="folder to judge")
    parser.add_argument("--gpu", action="store_true", help="the tolerances for a GPU")
    args = parser.parse_args()

    tolerance = TOLERANCES["gpu" if args.gpu else "cpu"]
    layers_a, layers_b = (files.read_results(folder)["redundancy"]["layers"] for folder in (args.a, args.b))
    by_name = {layer["name"]: layer for layer in layers_b}
    table = Table()
    for layer in layers_a:
        if layer["name"] not in by_name:
            table.row(layer["name"], "layer missing in B", 1, 0)
            continue
        other = by_name[layer["name"]]
        table.row(layer["name"], "dead channels that differ", len(set(layer["dead_channels"]) ^ set(other["dead_channels"])), 0)
        compare_layer(table, args.a, args.b, layer, other, tolerance)
    print("no mismatch" if not table.failed else f"{table.failed} mismatches")
    sys.exit(table.failed > 0)


if __name__ == "__main__":
    main()
