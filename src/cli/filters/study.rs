//! `chanscope filters --study`: the paper's 1-D experiment.

use crate::cli::error::Result;
use crate::cli::{Common, output};
use chanscope::measure::Context;
use chanscope::measure::filters::{Study, StudyOptions, study};
use serde_json::json;
use std::fmt::Write as _;

/// Runs the experiment and prints what it found; writes nothing.
pub fn run(common: &Common) -> Result<()> {
    let options = StudyOptions::default().with_seed(common.seed);
    let device = common.open_device()?;
    let found = study(&Context::new(&device), &options)?;
    if common.json {
        return output::json(&document(&options, &found));
    }
    output::print(&text(&options, &found))
}

fn document(options: &StudyOptions, found: &Study) -> serde_json::Value {
    let [cosine, similarity] = found.reductions();
    let relations = found.relations.iter().map(|r| {
        json!({
            "padding": r.padding.name(), "error_mean": r.mean_error, "error_max": r.max_error,
        })
    });
    json!({
        "repetitions": options.repetitions, "kernel": options.kernel, "input": options.input,
        "steps": options.steps, "seed": options.seed,
        "feature_map_cosine": {
            "before": found.similarity,
            "after_minimising_cosine": found.after_cosine,
            "after_minimising_similarity": found.after_similarity,
        },
        "reduction": { "cosine": cosine, "similarity": similarity },
        "kernel_cosine_left": found.cosine_left,
        "relation": relations.collect::<Vec<_>>(),
    })
}

fn text(options: &StudyOptions, found: &Study) -> String {
    let [cosine, similarity] = found.reductions();
    let mut text = format!(
        "{} pairs of random kernels of {} weights on random inputs of {}, {} steps of Adam.\n\
         Absolute cosine of the two feature maps, mean:\n",
        options.repetitions, options.kernel, options.input, options.steps
    );
    let _ = writeln!(
        text,
        "  before                                  {:.4}",
        found.similarity
    );
    let _ = writeln!(
        text,
        "  kernel cosine minimised                 {:.4}  ({:.1} % less; kernel cosine left: {:.1e})",
        found.after_cosine,
        100.0 * cosine,
        found.cosine_left
    );
    let _ = writeln!(
        text,
        "  Convolutional Similarity minimised      {:.4}  ({:.1} % less)",
        found.after_similarity,
        100.0 * similarity
    );
    text.push_str(
        "Inner product of feature maps by correlations of kernels and input, error relative to the norms:\n",
    );
    for r in &found.relations {
        let _ = writeln!(
            text,
            "  {:<5} padding   mean {:.1e}, largest {:.1e}",
            r.padding.name(),
            r.mean_error,
            r.max_error
        );
    }
    text
}
