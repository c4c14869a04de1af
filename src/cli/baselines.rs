//! Other people's measures beside the redundancy of what was read.

use chanscope::Result;
use chanscope::control::Control;
use chanscope::io::kept::Kept;
use chanscope::io::layer::Layer;
use chanscope::measure::baselines::{ChannelSimilarity, channel_similarity, cka};
use chanscope::measure::redundancy::LayerRedundancy;
use chanscope::report::results::{Cka, finite};

/// Correlations between the channels that were measured, on the samples that were.
pub fn channels(
    layer: &dyn Layer,
    found: &LayerRedundancy,
    memory: u64,
    control: &Control<'_>,
) -> Result<ChannelSimilarity> {
    match kept(layer, &found.samples_skipped)? {
        None => channel_similarity(layer, &found.channels, memory, control),
        Some(kept) => channel_similarity(&kept, &found.channels, memory, control),
    }
}

/// CKA between the measured layers on the samples that none left out; `None` unless there are several, of
/// as many samples each.
pub fn layers(
    layers: &[Box<dyn Layer>],
    found: &[LayerRedundancy],
    control: &Control<'_>,
) -> Result<Option<Cka>> {
    let samples = layers.first().map_or(0, |l| l.shape().samples);
    let mut left_out: Vec<usize> = found
        .iter()
        .flat_map(|f| f.samples_skipped.clone())
        .collect();
    left_out.sort_unstable();
    left_out.dedup();
    let differs = layers.iter().any(|l| l.shape().samples != samples);
    if layers.len() < 2 || differs || left_out.len() == samples {
        return Ok(None);
    }
    let kept: Vec<_> = (layers.iter())
        .map(|layer| kept(layer.as_ref(), &left_out))
        .collect::<Result<_>>()?;
    let used: Vec<(&dyn Layer, &[usize])> = (layers.iter().zip(&kept).zip(found))
        .map(|((layer, kept), found)| {
            let layer = kept.as_ref().map_or(layer.as_ref(), |k| k as &dyn Layer);
            (layer, found.channels.as_slice())
        })
        .collect();
    let matrix = cka(&used, control)?;
    Ok(Some(Cka {
        layers: layers.iter().map(|l| l.name().to_string()).collect(),
        values: (matrix.rows().into_iter())
            .map(|row| row.iter().copied().map(finite).collect())
            .collect(),
    }))
}

/// A layer without the samples `left_out`, `None` when there are none.
fn kept<'a>(layer: &'a dyn Layer, left_out: &[usize]) -> Result<Option<Kept<&'a dyn Layer>>> {
    if left_out.is_empty() {
        return Ok(None);
    }
    let all = 0..layer.shape().samples;
    let rest = all.filter(|i| left_out.binary_search(i).is_err());
    Kept::new(layer, rest.collect()).map(Some)
}
