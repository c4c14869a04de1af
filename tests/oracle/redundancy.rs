//! What docs/definitions.md#channel-graphs takes from the graphs, given as plain lists.

use std::collections::BTreeSet;

/// One query's graph row: candidates with their raw weights.
#[derive(Clone, Debug)]
pub struct Row {
    pub neighbors: Vec<usize>,
    pub theta: Vec<f64>,
    pub degenerate: bool,
}

impl Row {
    /// `S(i)`.
    pub fn support(&self) -> BTreeSet<usize> {
        if self.degenerate {
            return BTreeSet::new();
        }
        let pairs = self.neighbors.iter().zip(&self.theta);
        pairs.filter(|(_, t)| **t > 1e-6).map(|(&j, _)| j).collect()
    }
}

/// A graph: one row per query.
pub type Graph = Vec<Row>;

fn mean(xs: &[f64]) -> f64 {
    xs.iter().sum::<f64>() / xs.len() as f64 // NaN over nothing
}

/// Standard error of the mean of `terms`, of `queries` drawn out of `samples`; NaN below two terms.
pub fn standard_error(terms: &[f64], queries: usize, samples: usize) -> f64 {
    let n = terms.len() as f64;
    let centre = mean(terms);
    let squares: f64 = terms.iter().map(|x| (x - centre).powi(2)).sum();
    let deviation = (squares / (n - 1.0)).sqrt();
    deviation / n.sqrt() * (1.0 - queries as f64 / samples as f64).sqrt()
}

/// Support sizes of the queries that are not degenerate.
pub fn sizes(graph: &Graph) -> Vec<f64> {
    let sizes = graph.iter().filter(|r| !r.degenerate);
    sizes.map(|r| r.support().len() as f64).collect()
}

/// Mean support size over the queries that are not degenerate.
pub fn neighbors_mean(graph: &Graph) -> f64 {
    mean(&sizes(graph))
}

/// Mean `|S_c ∩ S_e|`.
pub fn overlap(c: &Graph, e: &Graph) -> f64 {
    mean(&overlaps(c, e))
}

/// `|S_c ∩ S_e|` of every query that is degenerate in neither.
pub fn overlaps(c: &Graph, e: &Graph) -> Vec<f64> {
    let mut terms = Vec::new();
    for (a, b) in c.iter().zip(e) {
        if !a.degenerate && !b.degenerate {
            terms.push(a.support().intersection(&b.support()).count() as f64);
        }
    }
    terms
}

/// Mean `|S_c ∩ S_e| / |S_c ∪ S_e|`, empty unions left out.
pub fn jaccard(c: &Graph, e: &Graph) -> f64 {
    mean(&jaccards(c, e))
}

/// The Jaccard index of every query that counts.
pub fn jaccards(c: &Graph, e: &Graph) -> Vec<f64> {
    let mut terms = Vec::new();
    for (a, b) in c.iter().zip(e) {
        let (x, y) = (a.support(), b.support());
        let union = x.union(&y).count();
        if !a.degenerate && !b.degenerate && union > 0 {
            terms.push(x.intersection(&y).count() as f64 / union as f64);
        }
    }
    terms
}

/// For every query with a pair of different channels in which it counts: the mean over these pairs of `terms`, which is
/// [`overlaps`] or [`jaccards`].
pub fn over_pairs(graphs: &[Graph], terms: fn(&Graph, &Graph) -> Vec<f64>) -> Vec<f64> {
    let mut means = Vec::new();
    for query in 0..graphs[0].len() {
        let alone: Vec<Graph> = graphs.iter().map(|g| vec![g[query].clone()]).collect();
        let mut found = Vec::new();
        for c in 0..alone.len() {
            for e in 0..c {
                found.extend(terms(&alone[c], &alone[e]));
            }
        }
        if !found.is_empty() {
            means.push(mean(&found));
        }
    }
    means
}

fn union_at(graphs: &[Graph], query: usize) -> BTreeSet<usize> {
    graphs.iter().flat_map(|g| g[query].support()).collect()
}

/// Mean of `sum_c |S_c(i)| / |union_c S_c(i)|`.
pub fn redundancy(graphs: &[Graph]) -> f64 {
    mean(&redundancies(graphs))
}

/// `sum_c |S_c(i)| / |union_c S_c(i)|` of every query that has one.
pub fn redundancies(graphs: &[Graph]) -> Vec<f64> {
    let mut terms = Vec::new();
    for query in 0..graphs[0].len() {
        let union = union_at(graphs, query).len();
        if union > 0 {
            let sum: usize = graphs.iter().map(|g| g[query].support().len()).sum();
            terms.push(sum as f64 / union as f64);
        }
    }
    terms
}

/// Mean of `|S_agg(i) ∩ union_c S_c(i)| / |S_agg(i)|`.
pub fn recall(aggregate: &Graph, graphs: &[Graph]) -> f64 {
    mean(&recalls(aggregate, graphs))
}

/// `|S_agg(i) ∩ union_c S_c(i)| / |S_agg(i)|` of every query that has one.
pub fn recalls(aggregate: &Graph, graphs: &[Graph]) -> Vec<f64> {
    let mut terms = Vec::new();
    for (query, row) in aggregate.iter().enumerate() {
        let own = row.support();
        if !own.is_empty() {
            let found = own.intersection(&union_at(graphs, query)).count();
            terms.push(found as f64 / own.len() as f64);
        }
    }
    terms
}

/// Hard and soft leave-one-out errors of label interpolation.
pub fn label_errors(graph: &Graph, labels: &[u32]) -> (f64, f64) {
    let (hard, soft) = label_terms(graph, labels, labels);
    (mean(&hard), mean(&soft))
}

/// The same of every query with a prediction; `queries` are the queries' own labels.
pub fn label_terms(graph: &Graph, queries: &[u32], labels: &[u32]) -> (Vec<f64>, Vec<f64>) {
    let classes = 1 + *labels.iter().max().expect("labels") as usize;
    let (mut hard, mut soft) = (Vec::new(), Vec::new());
    for (row, &own) in graph.iter().zip(queries) {
        let total: f64 = row.theta.iter().sum();
        if row.degenerate || total == 0.0 {
            continue;
        }
        let mut p = vec![0.0; classes];
        for (&j, &t) in row.neighbors.iter().zip(&row.theta) {
            p[labels[j] as usize] += t / total;
        }
        let mut best = 0;
        for class in 1..classes {
            if p[class] > p[best] {
                best = class;
            }
        }
        hard.push(f64::from(u8::from(best != own as usize)));
        soft.push(1.0 - p[own as usize]);
    }
    (hard, soft)
}
