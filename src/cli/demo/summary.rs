//! What the demo prints at its end.

use super::super::{filters, impulse, redundancy, shuffle};
use chanscope::report::results::{Ablation, Across, AcrossMatch, Results};
use std::fmt::Write as _;

/// Some lines per measure.
pub fn summary(results: &Results) -> String {
    let mut text = redundancy::summary(results);
    let section = results.redundancy.as_ref();
    if let Some(found) = section.and_then(|r| r.across.as_ref()) {
        text += &across(found);
    }
    let _ = write!(
        text,
        "\n{}\n{}\n{}",
        filters::summary(results),
        shuffle::summary(results),
        impulse::summary(results)
    );
    if let Some(found) = &results.ablation {
        text += &ablation(found);
    }
    text
}

/// The most similar channels of different layers.
fn across(found: &Across) -> String {
    match found.matches.first() {
        None => "No two channels of different layers can be compared.\n".into(),
        Some(AcrossMatch { a, b, jaccard }) => format!(
            "Most alike across layers: {} channel {} and {} channel {}, Jaccard {jaccard:.3}.\n",
            a.layer, a.channel, b.layer, b.channel
        ),
    }
}

/// A line per ranking: accuracy per share of the channels of all layers kept.
fn ablation(found: &Ablation) -> String {
    let percent = |x: Option<f64>| x.map_or("-".into(), |x| format!("{:.1}", 100.0 * x));
    let curves = found.together.as_deref().unwrap_or_default();
    let mut text = String::new();
    for curve in curves {
        let points = (curve.points.iter())
            .map(|p| format!("{} at {:.0} %", percent(p.accuracy), 100.0 * p.share));
        let points: Vec<String> = points.collect();
        let _ = writeln!(text, "  by {:<8} {}", curve.ranking, points.join(", "));
    }
    let layers: Vec<&str> = found.layers.iter().map(|l| l.name.as_str()).collect();
    format!(
        "\nAccuracy in % on {} digits with shares of the channels of {} kept; {} ± {} with all:\n{text}",
        found.samples,
        layers.join(" and "),
        percent(found.accuracy),
        percent(found.standard_error),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chanscope::report::results::{
        AblatedLayer, AblationCurve, AblationPoint, ChannelRef, Redundancy,
    };

    #[test]
    fn matches_and_accuracies_are_a_line_each() {
        let place = |layer: &str, channel| ChannelRef {
            layer: layer.into(),
            channel,
        };
        let mut results = Results::new("demo");
        results.redundancy = Some(Redundancy {
            across: Some(Across {
                matches: vec![AcrossMatch {
                    a: place("wide.conv1", 3),
                    b: place("wide.conv2", 17),
                    jaccard: 0.41234,
                }],
                ..Across::default()
            }),
            ..Redundancy::default()
        });
        let point = |share, accuracy| AblationPoint {
            share,
            accuracy,
            ..AblationPoint::default()
        };
        let curve = |ranking: &str, points| AblationCurve {
            ranking: ranking.into(),
            points,
        };
        let layer = |name: &str| AblatedLayer {
            name: name.into(),
            ..AblatedLayer::default()
        };
        results.ablation = Some(Ablation {
            samples: 240,
            accuracy: Some(0.981),
            standard_error: Some(0.009),
            layers: vec![layer("wide.conv1"), layer("wide.conv2")],
            together: Some(vec![
                curve("jaccard", vec![point(0.6, Some(0.9625)), point(0.2, None)]),
                curve("l1", vec![point(0.6, Some(0.5)), point(0.2, Some(0.1))]),
            ]),
            ..Ablation::default()
        });
        let text = summary(&results);
        let expected = [
            "Most alike across layers: wide.conv1 channel 3 and wide.conv2 channel 17, Jaccard 0.412.\n",
            "Accuracy in % on 240 digits with shares of the channels of wide.conv1 and wide.conv2 kept; 98.1 ± 0.9 with all:\n",
            "  by jaccard  96.2 at 60 %, - at 20 %\n",
            "  by l1       50.0 at 60 %, 10.0 at 20 %\n",
        ];
        for line in expected {
            assert!(text.contains(line), "{line} in {text}");
        }
        results.redundancy = Some(Redundancy {
            across: Some(Across::default()),
            ..Redundancy::default()
        });
        results.ablation = None;
        let text = summary(&results);
        assert!(text.contains("No two channels of different layers can be compared."));
        assert!(!text.contains("Accuracy"));
    }
}
