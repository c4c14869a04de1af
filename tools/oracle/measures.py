"""What docs/definitions.md#channel-graphs takes from the graphs, in float64, by plain set arithmetic."""
import numpy as np


def channel_means(graph, points, labels):
    """The per-channel numbers of one graph; None where there is nothing to average."""
    live = ~graph.degenerate
    sizes = graph.support.sum(1)
    dims = np.array([pca_dimension(points, i, graph) if live[i] else 0 for i in range(len(points))])
    result = {
        "degenerate_queries": int((~live).sum()),
        "neighbors_mean": mean(sizes[live]),
        "pca_dimension_mean": mean(dims[live]),
        "kkt_residual_max": float(graph.kkt[live].max()) if live.any() else None,
        "loo_error": None,
        "loo_soft_error": None,
    }
    if labels is not None:
        result["loo_error"], result["loo_soft_error"] = label_errors(graph, labels)
    return result


def pca_dimension(points, i, graph):
    """Principal components with 95 % of the squared norm of {x_j - x_i : j in S(i)}."""
    polytope = points[graph.neighbors[i][graph.support[i]]] - points[i]
    energy = np.linalg.svd(polytope, compute_uv=False) ** 2 if polytope.size else np.zeros(0)
    total = energy.sum()
    if total == 0:
        return 0
    return int(np.searchsorted(np.cumsum(energy), 0.95 * total * (1 - 1e-12)) + 1)


def label_errors(graph, labels):
    """(hard, soft) leave-one-out error of label interpolation; ties go to the lowest class."""
    classes = int(labels.max()) + 1
    hard, soft = [], []
    for i in np.flatnonzero(~graph.degenerate):
        used = graph.neighbors[i] >= 0
        votes = np.bincount(labels[graph.neighbors[i][used]], graph.weights[i][used], minlength=classes)
        if votes.sum() == 0:
            continue
        share = votes / votes.sum()
        hard.append(np.argmax(share) != labels[i])
        soft.append(1.0 - share[labels[i]])
    return mean(hard), mean(soft)


def layer_measures(graphs, dead):
    """Overlap, Jaccard [C, C] and the layer's redundancy from the channels' graphs."""
    channels, count = len(graphs), len(graphs[0].degenerate)
    sets = [support_sets(graph) for graph in graphs]
    overlap, jaccard = (np.full((channels, channels), np.nan) for _ in range(2))
    for c in range(channels):
        for e in range(c, channels):
            if dead[c] or dead[e]:
                continue
            both = np.flatnonzero(~graphs[c].degenerate & ~graphs[e].degenerate)
            common = np.array([len(sets[c][i] & sets[e][i]) for i in both])
            union = np.array([len(sets[c][i] | sets[e][i]) for i in both])
            overlap[c, e] = overlap[e, c] = mean(common, np.nan)
            shares = common[union > 0] / union[union > 0] if len(union) else common
            jaccard[c, e] = jaccard[e, c] = mean(shares, np.nan)
    ratios = []
    for i in range(count):
        mine = [sets[c][i] for c in range(channels) if not graphs[c].degenerate[i]]
        union = set().union(*mine)
        if union:
            ratios.append(sum(map(len, mine)) / len(union))
    off = ~np.eye(channels, dtype=bool) & ~np.isnan(overlap)
    return {
        "overlap": overlap,
        "jaccard": jaccard,
        "overlap_mean": mean(overlap[off]),
        "jaccard_mean": mean(jaccard[off & ~np.isnan(jaccard)]),
        "redundancy": mean(ratios),
    }


def aggregate_recall(aggregate, graphs):
    """mean_i |S_agg(i) & union_c S_c(i)| / |S_agg(i)|."""
    whole = support_sets(aggregate)
    sets = [support_sets(graph) for graph in graphs]
    shares = []
    for i in np.flatnonzero(~aggregate.degenerate):
        union = set().union(*(s[i] for s, g in zip(sets, graphs) if not g.degenerate[i]))
        if whole[i]:
            shares.append(len(whole[i] & union) / len(whole[i]))
    return mean(shares)


def support_sets(graph):
    return [set(row[used].tolist()) for row, used in zip(graph.neighbors, graph.support)]


def mean(values, empty=None):
    return float(np.mean(values)) if len(values) else empty
