//! The report: the schema of `results.json`, the sentences, the page.

mod ablate;
mod across;
mod cards;
mod compare;
mod folder;
mod html;
mod order;
mod results;
mod saved;
mod sections;
mod words;

use chanscope::report::results::{Aggregate, RedundancyLayer, finite, finite_all};

/// A layer of three channels, the middle one dead, with labels.
pub fn layer(name: &str) -> RedundancyLayer {
    RedundancyLayer {
        name: name.into(),
        shape: vec![1000, 3, 4, 4],
        dead_channels: vec![1],
        degenerate_queries: vec![0, 1000, 2],
        neighbors_mean: finite_all(&[4.25, f64::NAN, 3.5]),
        pca_dimension_mean: finite_all(&[3.0, f64::NAN, 2.75]),
        loo_error: Some(finite_all(&[0.5, f64::NAN, 0.25])),
        loo_soft_error: Some(finite_all(&[0.55, f64::NAN, 0.3])),
        majority_error: finite(0.9),
        overlap_mean: finite(1.0 / 3.0),
        jaccard_mean: finite(0.125),
        redundancy: finite(1.25),
        aggregate: Some(Aggregate {
            neighbors_mean: finite(6.5),
            loo_error: finite(0.05),
            recall: finite(0.75),
            ..Aggregate::default()
        }),
        kkt_residual_max: finite(2e-15),
        ..RedundancyLayer::default()
    }
}
