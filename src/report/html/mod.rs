//! `report.html`: one file that explains a run to a colleague, offline.
//!
//! The drawing is our own few hundred lines of canvas and SVG (`templates/*.js`) and not a plotting
//! library: a library would add 4.5 MB of somebody's minified script to every report and keep matrices
//! as JSON text, where this page is about 60 KB plus the data in binary; it can follow the reader's light
//! or dark theme, be driven from the keyboard, reorder and zoom 1000 channels without a pause, and its
//! content security policy forbids any network request. Template partials, one a section, lie in
//! `templates/`; each has its view model in the file of the same name here.

mod ablate;
mod across;
mod cards;
mod compare;
mod comparison;
mod figures;
mod filters;
mod header;
mod impulse;
mod rank;
mod redundancy;
mod shuffle;

use super::arrays::{Arrays, Folder};
use super::results::{RESULTS_FILE, Results};
use crate::io::sink::{Claim, write_file};
use crate::io::whole::read_json;
use crate::{Error, Result};
use askama::Template;
use figures::Figures;
use std::path::Path;

/// Name of the file inside an output folder.
pub const REPORT_FILE: &str = "report.html";

const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = concat!(
    include_str!("../templates/core.js"),
    include_str!("../templates/vector.js"),
    include_str!("../templates/matrix.js"),
    include_str!("../templates/clusters.js"),
    include_str!("../templates/heatmap.js"),
    include_str!("../templates/chart.js"),
    include_str!("../templates/tiles.js"),
    include_str!("../templates/cards.js"),
    include_str!("../templates/export.js"),
    include_str!("../templates/page.js"),
);

/// A rendered report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The whole page.
    pub html: String,
    /// What could not be shown, one line each; the page says so too.
    pub notes: Vec<String>,
}

/// Reads `DIR/results.json` and the arrays beside it and writes `DIR/report.html`, under a temporary name
/// first. Returns what could not be shown, one line each.
///
/// # Errors
/// [`Error::Io`] and [`Error::File`] when `results.json` or an array cannot be read, or the page not written;
/// [`Error::Output`] while a run writes into the folder.
pub fn write_report(dir: &Path) -> Result<Vec<String>> {
    write_report_within(dir, u64::MAX)
}

/// As [`write_report`], in about `memory` bytes: figures that take more are left out.
///
/// # Errors
/// As [`write_report`]; [`Error::Memory`] where `results.json` itself is too large.
pub fn write_report_within(dir: &Path, memory: u64) -> Result<Vec<String>> {
    let claimed = Claim::new(dir)?;
    let path = dir.join(RESULTS_FILE);
    let bytes = read_json(&path, memory).map_err(|e| match e {
        Error::Io { source, .. } => {
            let action = "read it; give the folder that a chanscope command wrote";
            Error::Io {
                path: path.clone(),
                action: action.into(),
                source,
            }
        }
        e => e,
    })?;
    let results = Results::from_json(&path, &bytes)?;
    drop(bytes);
    let report = render(&results, &Folder::within(dir, memory))?;
    let path = dir.join(REPORT_FILE);
    write_file(&path, true, |out| {
        let failed = |e| Error::io(&path, "write the report", e);
        out.write_all(report.html.as_bytes()).map_err(failed)
    })?;
    drop(claimed);
    Ok(report.notes)
}

/// The page for `results`. The same results and arrays give the same bytes.
///
/// # Errors
/// Those of [`Arrays::array`]; [`Error::File`] when the page cannot be rendered.
pub fn render(results: &Results, arrays: &dyn Arrays) -> Result<Report> {
    let mut figures = Figures::new(results);
    let (matches, unmatched) = match across::Matches::read(results, arrays)? {
        Some(Ok(matches)) => (Some(matches), Vec::new()),
        Some(Err(why)) => (None, vec![figures.missing(why)]),
        None => (None, Vec::new()),
    };
    let across = across::tables(results, unmatched, &mut figures);
    let nearest = cards::Others::read(results, arrays)?;
    let pictures = cards::pictures(results, arrays, &mut figures)?;
    let beside = cards::Beside {
        matches: matches.as_ref(),
        nearest: nearest.as_ref(),
        pictures: pictures.as_ref(),
    };
    let layers = redundancy::layers(results, arrays, &beside, &mut figures)?;
    let filters = filters::layers(results, arrays, &mut figures)?;
    let shuffles = shuffle::tensors(results, arrays, &mut figures)?;
    let impulses = impulse::layers(results, arrays, &mut figures)?;
    let carded: Vec<Option<usize>> = layers.iter().map(|layer| layer.cards).collect();
    cards::respond(&carded, results, impulses.as_ref(), &mut figures);
    let ranks = rank::section(results, &mut figures);
    let ablation = ablate::section(results, &mut figures);
    let compare = compare::section(results, &mut figures);
    let mut identity = blake3::Hasher::new();
    results.write_json(Path::new(RESULTS_FILE), &mut identity)?;
    let page = Page {
        // Only scripts and styles that carry it run: text that escaped its element could not know it.
        nonce: identity.finalize().to_hex()[..24].to_string(),
        style: STYLE,
        script: SCRIPT,
        header: header::header(results),
        comparison: comparison::comparison(results),
        glance: redundancy::glance(results),
        cka: redundancy::cka(results),
        across,
        has_cards: carded.iter().any(Option::is_some),
        layers,
        filters,
        shuffles,
        impulses,
        ranks,
        ablation,
        compare,
        results,
        configs: figures.configs(),
        blobs: &figures.blobs,
    };
    let html = page
        .render()
        .map_err(|e| Error::unsuitable(REPORT_FILE, format!("cannot be rendered: {e}")))?;
    Ok(Report {
        html,
        notes: figures.notes,
    })
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    nonce: String,
    style: &'static str,
    script: &'static str,
    header: header::Header,
    comparison: Option<comparison::Comparison>,
    glance: Vec<redundancy::Glance>,
    cka: Vec<(String, Vec<String>)>,
    across: Option<across::Tables>,
    layers: Vec<redundancy::Layer>,
    has_cards: bool,
    filters: Vec<filters::Layer>,
    shuffles: Vec<shuffle::Tensor>,
    impulses: Option<impulse::Section>,
    ranks: Option<rank::Section>,
    ablation: Option<ablate::Section>,
    compare: Option<compare::Section>,
    results: &'a Results,
    configs: String,
    blobs: &'a [String],
}

/// A figure with its caption.
struct Captioned {
    /// Index of the figure.
    figure: usize,
    /// Heading.
    title: String,
    /// What is drawn, in a sentence; may be empty.
    caption: String,
}

/// A key figure of a layer.
struct Fact {
    label: &'static str,
    value: String,
    note: String,
}

fn fact(label: &'static str, value: String, note: impl Into<String>) -> Fact {
    Fact {
        label,
        value,
        note: note.into(),
    }
}
