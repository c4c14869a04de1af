//! What impulse responses say about a layer, in sentences.

use super::{count, number, percent};
use crate::report::results::ImpulseLayer;
use ndarray::Array2;

/// NCC from which two responses are called nearly the same.
const NEARLY_SAME: f64 = 0.95;

/// Sentences about one tap; `ncc [C, C]` adds how many pairs are nearly the same.
pub fn impulse(layer: &ImpulseLayer, ncc: Option<&Array2<f64>>) -> Vec<String> {
    let zero = layer.zero_channels.len() as u64;
    let live = layer.channels.saturating_sub(zero);
    let mut out = Vec::new();
    if live == 0 {
        return vec!["No channel responds to the impulse.".into()];
    }
    if let Some(mean) = layer.ncc_mean.filter(|_| live > 1) {
        out.push(format!(
            "The responses of two different channels correlate to {} on average when one is shifted to fit the other best (1: the same up to scale and shift).",
            number(Some(mean))
        ));
    }
    if let Some(ncc) = ncc.filter(|_| live > 1) {
        let same = pairs_above(ncc, NEARLY_SAME);
        let all = live * (live - 1) / 2;
        out.push(match same {
            0 => format!("No pair reaches {NEARLY_SAME}."),
            n => format!(
                "{} of {} pairs ({}) reach {NEARLY_SAME}. Their responses are nearly the same, which says nothing about inputs that leave the linear range.",
                count(n),
                count(all),
                percent(Some(n as f64 / all as f64)),
            ),
        });
    }
    if zero > 0 {
        out.push(format!(
            "{} of {} channels do not respond to the impulse.",
            count(zero),
            count(layer.channels),
        ));
    }
    out
}

fn pairs_above(ncc: &Array2<f64>, threshold: f64) -> u64 {
    let above = ncc
        .indexed_iter()
        .filter(|&((i, j), &v)| j > i && v >= threshold);
    above.count() as u64
}
