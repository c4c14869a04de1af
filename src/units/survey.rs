//! The unit of the survey: dead channels, correlations of channels, CKA between layers.

use super::input::Data;
use super::plan::{Plan, PlannedLayer};
use super::scanned;
use crate::error::OutputProblem;
use crate::io::parts::{Done, Part};
use crate::measure::Context;
use crate::measure::baselines::{ChannelSimilarity, Cka};
use crate::measure::redundancy::{RedundancyInput, STRONGEST, Strong, survey};
use crate::{Error, Result};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::path::Path;

const SURVEY: &str = "survey.json";
const CKA: &str = "cka.bin";

/// The strongest samples of each channel of a layer, each with the bits of its mean.
type Listed = Vec<Vec<(usize, u64)>>;

/// What the survey found, without matrices.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Of every layer: which of the selected channels are zero on every sample.
    dead: Vec<Vec<bool>>,
    /// Whether there are correlations of each layer's channels.
    similarity: Vec<bool>,
    /// Layers that CKA compares.
    cka: Option<Vec<String>>,
    /// Of every layer, if asked for.
    strongest: Option<Vec<Listed>>,
}

/// What the survey found.
pub(super) struct Survey {
    pub dead: Vec<Vec<bool>>,
    pub similarity: Vec<Option<ChannelSimilarity>>,
    pub cka: Option<Cka>,
    /// Of every layer and channel, if asked for.
    pub strongest: Option<Vec<Vec<Vec<Strong>>>>,
}

/// Computes the unit.
pub(super) fn compute(
    ctx: &Context<'_>,
    plan: &Plan,
    data: &Data,
    part: &Part,
    folder: &Path,
) -> Result<()> {
    if let Some(dead) = scanned::dead(ctx, plan, data, folder)? {
        return write_head(
            part,
            &Head {
                similarity: vec![false; dead.len()],
                dead,
                cka: None,
                strongest: None,
            },
        );
    }
    let layers = data.layers();
    let input = RedundancyInput::new(&layers).with_labels(data.labels.as_deref());
    let (found, cka) = survey(ctx, &input, &plan.options)?;
    for (found, planned) in found.iter().zip(&plan.layers) {
        if found.skipped != planned.skipped {
            let count = |samples: &[usize]| format!("{} samples left out", samples.len());
            let what = format!("the values of layer {}:", planned.name);
            let (was, is) = (count(&planned.skipped), count(&found.skipped));
            return Err(Error::output(
                folder,
                OutputProblem::OtherRun { what, was, is },
            ));
        }
    }
    for (at, layer) in found.iter().enumerate() {
        if let Some(similarity) = &layer.similarity {
            part.write(&format!("cosine-{at}.bin"), &bytes(&similarity.cosine))?;
            part.write(&format!("pearson-{at}.bin"), &bytes(&similarity.pearson))?;
        }
    }
    if let Some(cka) = &cka {
        part.write(CKA, &bytes(&cka.values))?;
    }
    let bits = |found: &Strong| (found.sample, found.mean.to_bits());
    let channels = |of: &Vec<Vec<Strong>>| -> Listed {
        of.iter()
            .map(|found| found.iter().map(bits).collect())
            .collect()
    };
    let strongest = found
        .iter()
        .map(|layer| layer.strongest.as_ref().map(channels));
    let head = Head {
        strongest: strongest.collect(),
        similarity: found.iter().map(|l| l.similarity.is_some()).collect(),
        dead: found.into_iter().map(|l| l.dead).collect(),
        cka: cka.map(|cka| cka.layers),
    };
    write_head(part, &head)
}

fn write_head(part: &Part, head: &Head) -> Result<()> {
    let text = serde_json::to_vec(head).map_err(|e| Error::io(SURVEY, "write", e.into()))?;
    part.write(SURVEY, &text)
}

/// Reads which channels are dead.
pub(super) fn dead(done: &Done, plan: &Plan) -> Result<Vec<Vec<bool>>> {
    Ok(head(done, plan)?.dead)
}

fn head(done: &Done, plan: &Plan) -> Result<Head> {
    let failed = |what: String| Error::malformed(done.path(SURVEY), None, what);
    // A name with every character escaped, a word for each channel.
    let each = match plan.options.strongest {
        true => 8 + 48 * STRONGEST,
        false => 8,
    };
    let layer = |l: &PlannedLayer| 64 + 6 * l.name.len() + each * l.channels;
    let most = 1024 + plan.layers.iter().map(layer).sum::<usize>();
    let head: Head = serde_json::from_slice(&done.read(SURVEY, most)?)
        .map_err(|e| failed(format!("{e}; compute it again")))?;
    let fits = head.similarity.len() == plan.layers.len()
        && head.dead.len() == plan.layers.len()
        && (head.dead.iter().zip(&plan.layers)).all(|(dead, l)| dead.len() == l.channels)
        && head.strongest.is_some() == plan.options.strongest
        && (head.strongest.iter()).all(|found| are_strongest(found, &plan.layers));
    match fits {
        true => Ok(head),
        false => Err(failed("is of other layers; compute it again".into())),
    }
}

/// Whether these can be the strongest samples of the layers' channels.
fn are_strongest(found: &[Listed], layers: &[PlannedLayer]) -> bool {
    let of_layer = |(channels, layer): (&Listed, &PlannedLayer)| {
        let of_channel = |found: &Vec<(usize, u64)>| {
            let there = |&(sample, _): &(usize, u64)| sample < layer.shape[0];
            found.len() <= STRONGEST && found.iter().all(there)
        };
        channels.len() == layer.channels && channels.iter().all(of_channel)
    };
    found.len() == layers.len() && found.iter().zip(layers).all(of_layer)
}

/// Reads everything.
pub(super) fn read(done: &Done, plan: &Plan) -> Result<Survey> {
    let head = head(done, plan)?;
    let similarity = plan.layers.iter().zip(&head.similarity).enumerate();
    let similarity = similarity.map(|(at, (layer, &there))| {
        if !there {
            return Ok(None);
        }
        Ok(Some(ChannelSimilarity {
            cosine: matrix(done, &format!("cosine-{at}.bin"), layer.channels)?,
            pearson: matrix(done, &format!("pearson-{at}.bin"), layer.channels)?,
        }))
    });
    let cka = match head.cka {
        Some(layers)
            if layers
                .iter()
                .any(|l| plan.layers.iter().all(|p| p.name != *l)) =>
        {
            let what = "compares layers that are not in the plan; compute it again";
            return Err(Error::malformed(done.path(SURVEY), None, what));
        }
        Some(layers) => Some(Cka {
            values: matrix(done, CKA, layers.len())?,
            layers,
        }),
        None => None,
    };
    let strong = |(sample, bits): (usize, u64)| Strong {
        sample,
        mean: f64::from_bits(bits),
    };
    let channels = |of: Listed| -> Vec<Vec<Strong>> {
        let channels = of.into_iter();
        channels
            .map(|found| found.into_iter().map(strong).collect())
            .collect()
    };
    Ok(Survey {
        strongest: (head.strongest).map(|layers| layers.into_iter().map(channels).collect()),
        similarity: similarity.collect::<Result<_>>()?,
        dead: head.dead,
        cka,
    })
}

/// A matrix as little-endian float64, row by row.
fn bytes(matrix: &Array2<f64>) -> Vec<u8> {
    matrix.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn matrix(done: &Done, name: &str, size: usize) -> Result<Array2<f64>> {
    let bytes = done.read(name, 8 * size * size)?;
    let values = bytes.as_chunks::<8>().0.iter();
    let values = values.map(|b| f64::from_le_bytes(*b)).collect();
    Array2::from_shape_vec((size, size), values).map_err(|_| {
        let what = format!("is no matrix of {size} rows; compute it again");
        Error::malformed(done.path(name), None, what)
    })
}
