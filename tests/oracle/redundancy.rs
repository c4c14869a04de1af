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

/// Mean support size over the queries that are not degenerate.
pub fn neighbors_mean(graph: &Graph) -> f64 {
    let sizes = graph.iter().filter(|r| !r.degenerate);
    mean(&sizes.map(|r| r.support().len() as f64).collect::<Vec<_>>())
}

/// Mean `|S_c ∩ S_e|`.
pub fn overlap(c: &Graph, e: &Graph) -> f64 {
    let mut terms = Vec::new();
    for (a, b) in c.iter().zip(e) {
        if !a.degenerate && !b.degenerate {
            terms.push(a.support().intersection(&b.support()).count() as f64);
        }
    }
    mean(&terms)
}

/// Mean `|S_c ∩ S_e| / |S_c ∪ S_e|`, empty unions left out.
pub fn jaccard(c: &Graph, e: &Graph) -> f64 {
    let mut terms = Vec::new();
    for (a, b) in c.iter().zip(e) {
        let (x, y) = (a.support(), b.support());
        let union = x.union(&y).count();
        if !a.degenerate && !b.degenerate && union > 0 {
            terms.push(x.intersection(&y).count() as f64 / union as f64);
        }
    }
    mean(&terms)
}

fn union_at(graphs: &[Graph], query: usize) -> BTreeSet<usize> {
    graphs.iter().flat_map(|g| g[query].support()).collect()
}

/// Mean of `sum_c |S_c(i)| / |union_c S_c(i)|`.
pub fn redundancy(graphs: &[Graph]) -> f64 {
    let mut terms = Vec::new();
    for query in 0..graphs[0].len() {
        let union = union_at(graphs, query).len();
        if union > 0 {
            let sum: usize = graphs.iter().map(|g| g[query].support().len()).sum();
            terms.push(sum as f64 / union as f64);
        }
    }
    mean(&terms)
}

/// Mean of `|S_agg(i) ∩ union_c S_c(i)| / |S_agg(i)|`.
pub fn recall(aggregate: &Graph, graphs: &[Graph]) -> f64 {
    let mut terms = Vec::new();
    for (query, row) in aggregate.iter().enumerate() {
        let own = row.support();
        if !own.is_empty() {
            let found = own.intersection(&union_at(graphs, query)).count();
            terms.push(found as f64 / own.len() as f64);
        }
    }
    mean(&terms)
}

/// Hard and soft leave-one-out errors of label interpolation.
pub fn label_errors(graph: &Graph, labels: &[u32]) -> (f64, f64) {
    let classes = 1 + *labels.iter().max().expect("labels") as usize;
    let (mut hard, mut soft) = (Vec::new(), Vec::new());
    for (row, &own) in graph.iter().zip(labels) {
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
    (mean(&hard), mean(&soft))
}
