//! What dropping channels costs, in sentences.

use super::{percent_with_error, plural};
use crate::report::results::{Ablation, AblationCurve, AblationPoint};

/// Sentences about the run; `network` is the name of the network, where the results have several.
pub fn ablation(ablation: &Ablation, network: Option<&str>) -> Vec<String> {
    let place = match ablation.dropped.as_str() {
        "zero" => "Dropped channels are zero.",
        "mean" => "Dropped channels are replaced by their mean over the calibration part.",
        "merge" => {
            "Dropped channels are replaced by a multiple of the kept channel that represents them, plus a constant, fitted on the calibration part."
        }
        _ => "What stands in the place of dropped channels, this version does not know.",
    };
    vec![
        format!(
            "The intact network{} classifies {} of {} correctly.",
            network.map_or(String::new(), |name| format!(" {name}")),
            percent_with_error(ablation.accuracy, ablation.standard_error),
            plural(ablation.samples, "sample", "samples"),
        ),
        place.into(),
        format!(
            "Rankings by activations, and what replaces channels, come from {} that accuracy is not measured on.",
            plural(
                ablation.calibration_samples,
                "other sample",
                "other samples"
            ),
        ),
    ]
}

/// Sentences about a layer, or all of them: which rankings leave most and least at the share nearest to one half.
pub fn ablated(curves: &[AblationCurve]) -> Vec<String> {
    let points = || {
        curves
            .iter()
            .flat_map(|c| c.points.iter().map(move |p| (c, p)))
    };
    let far = |share: f64| (share - 0.5).abs();
    let nearest = points().map(|(_, p)| p.share);
    let Some(share) = nearest.min_by(|a, b| far(*a).total_cmp(&far(*b))) else {
        return vec![];
    };
    let mut there: Vec<(&str, &AblationPoint, f64)> = points()
        .filter(|(_, p)| p.share == share)
        .filter_map(|(c, p)| Some((c.ranking.as_str(), p, p.accuracy?)))
        .collect();
    there.sort_by(|a, b| b.2.total_cmp(&a.2));
    let (Some(most), Some(least)) = (there.first(), there.last()) else {
        return vec![];
    };
    let with = |p: &AblationPoint| percent_with_error(p.accuracy, p.standard_error);
    let kept = super::share(share);
    if there.len() == 1 {
        let (name, point, _) = most;
        return vec![format!(
            "With {kept} of the channels kept, an accuracy of {} is left by the ranking {name}.",
            with(point)
        )];
    }
    vec![format!(
        "With {kept} of the channels kept, the ranking {} leaves the highest accuracy, {}, and {} the lowest, {}.",
        most.0,
        with(most.1),
        least.0,
        with(least.1),
    )]
}
