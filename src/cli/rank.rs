//! `chanscope rank`: the order in which to keep the channels of every layer.

use super::error::{Error, Result};
use super::progress::Reporter;
use super::table::Column::{self, Left, Name, Right};
use super::table::Table;
use super::{Common, output};
use chanscope::io::layer::Layer;
use chanscope::io::open::open_dump;
use chanscope::measure::rank::{RankInput, RankOptions, Similarity, rank};
use chanscope::measure::redundancy::survey;
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy_each};
use chanscope::report::finished::Finished;
use chanscope::report::folder::{RANK_FILE, ResultsFolder};
use chanscope::report::results::{RESULTS_FILE, Results, Skipped};
use ndarray::ArrayView2;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Rank the channels of every layer by how well the first ones represent all of them
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope rank chanscope-out --by jaccard --out ranked")]
pub struct Args {
    /// The folder of a finished run, or activations, which are measured with the default options of redundancy
    #[arg(required = true, value_name = "RUN|DUMP")]
    inputs: Vec<PathBuf>,
    /// What makes two channels alike: jaccard or pearson (of a redundancy run or a dump), filters (of a filters run) or
    /// impulse (of an impulse run)
    #[arg(long, default_value = "jaccard", value_name = "SIMILARITY")]
    by: String,
}

/// Ranks every layer.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let memory = common.memory()?;
    let by: Similarity = args.by.parse()?;
    let finished = finished(&args.inputs, memory)?;
    if finished.is_none() && !matches!(by, Similarity::Jaccard | Similarity::Pearson) {
        return Err(Error::Usage(format!(
            "--by {by} ranks what `chanscope {by}` wrote: give the folder of such a run"
        )));
    }
    let inputs: Vec<Option<&Path>> = args.inputs.iter().map(|p| Some(p.as_path())).collect();
    let output = common.output(&inputs)?;
    let device = common.open_device()?;
    let folder = ResultsFolder::begin(output, "rank");
    let ctx = Context::new(&device)
        .with_memory(memory)
        .with_scratch(folder.scratch());
    let ranking = Ranked {
        by,
        memory,
        folder: &folder,
    };
    folder.rank_parameters(&ctx, by);
    Reporter::new(common.quiet).run(|control| {
        let ctx = ctx.clone().with_control(*control);
        match &finished {
            Some(run) => ranking.run(&ctx, run),
            None => ranking.dump(&ctx, &args.inputs),
        }
    })?;
    folder.rank_file()?;
    let path = folder.path().to_path_buf();
    let results = folder.finish()?;
    if common.json {
        return output::json(&results);
    }
    let mut text = summary(&results);
    text += &output::skipped(&results);
    let _ = writeln!(
        text,
        "\nOrder and representatives: {}\nReport: {}",
        path.join(RANK_FILE).display(),
        path.join("report.html").display()
    );
    output::print(&text)
}

/// The finished run that is given; `None` for activations.
fn finished(inputs: &[PathBuf], memory: u64) -> Result<Option<Finished>> {
    // A dump that `run` wrote has results too.
    let measured = |run: &Finished| run.results.command != "run";
    let mut runs = Vec::new();
    for path in inputs {
        if path.join(RESULTS_FILE).is_file() {
            runs.extend(Some(Finished::open(path, memory)?).filter(measured));
        }
    }
    match (runs.pop(), inputs.len()) {
        (Some(run), 1) => Ok(Some(run)),
        (None, _) => Ok(None),
        (Some(_), _) => Err(Error::Usage(
            "rank takes the folder of one run, or activations: rank runs one after another".into(),
        )),
    }
}

/// Where rankings come from and go to.
struct Ranked<'a> {
    by: Similarity,
    memory: u64,
    folder: &'a ResultsFolder,
}

impl Ranked<'_> {
    /// Ranks the layers of a finished run.
    fn run(&self, ctx: &Context<'_>, run: &Finished) -> chanscope::Result<()> {
        let results = run.path(RESULTS_FILE);
        self.folder.input_file(&results, &[], "results")?;
        let layers = run.layers(self.by)?;
        let mut ranked = 0;
        for (name, layer) in layers {
            let Some(layer) = layer else {
                let reason = missing(self.by).to_string();
                self.folder.skip(Skipped { name, reason });
                continue;
            };
            let n = layer.channels.len();
            self.folder
                .input_file(&layer.file, &[n as u64, n as u64], "f64")?;
            let matrix = layer.matrix(self.memory)?;
            let input = RankInput {
                matrix: matrix.view(),
                dead: &layer.dead,
            };
            let found = rank(ctx, &input, &self.options())
                .map_err(|e| chanscope::Error::unsuitable(&layer.file, e.to_string()))?;
            self.folder.rank(&name, &layer.channels, self.by, &found)?;
            ranked += 1;
        }
        if ranked == 0 {
            let what = format!(
                "is of a run of `chanscope {}` without a matrix for --by {}; {}",
                run.results.command.escape_debug(),
                self.by,
                missing(self.by)
            );
            return Err(chanscope::Error::unsuitable(results, what));
        }
        Ok(())
    }

    /// Measures activations, and ranks their channels.
    fn dump(&self, ctx: &Context<'_>, paths: &[PathBuf]) -> chanscope::Result<()> {
        let dump = open_dump(paths)?;
        for (name, reason) in dump.left_out {
            self.folder.skip(Skipped { name, reason });
        }
        let layers: Vec<&dyn Layer> = dump.layers.iter().map(AsRef::as_ref).collect();
        for layer in &layers {
            self.folder.input_layer(*layer)?;
        }
        let input = RedundancyInput::new(&layers);
        let options = RedundancyOptions::default();
        if self.by == Similarity::Pearson {
            let (surveyed, _) = survey(ctx, &input, &options)?;
            for (layer, found) in layers.iter().zip(&surveyed) {
                if let Some(similarity) = &found.similarity {
                    self.layer(ctx, layer.name(), similarity.pearson.view(), &found.dead)?;
                }
            }
            return Ok(());
        }
        let options = options.with_baselines(false);
        redundancy_each(ctx, &input, &options, |found| {
            self.layer(ctx, &found.name, found.jaccard.view(), &found.dead)
        })?;
        Ok(())
    }

    fn layer(
        &self,
        ctx: &Context<'_>,
        name: &str,
        matrix: ArrayView2<'_, f64>,
        dead: &[bool],
    ) -> chanscope::Result<()> {
        let found = rank(ctx, &RankInput { matrix, dead }, &self.options())?;
        let channels: Vec<usize> = (0..dead.len()).collect();
        self.folder.rank(name, &channels, self.by, &found)
    }

    fn options(&self) -> RankOptions {
        RankOptions::default().with_similarity(self.by)
    }
}

/// What to do where a run has no matrix.
const fn missing(by: Similarity) -> &'static str {
    match by {
        Similarity::Jaccard => "run `chanscope redundancy` and rank its folder",
        Similarity::Pearson => {
            "run `chanscope redundancy` without --no-baselines and rank its folder"
        }
        Similarity::Filters => {
            "run `chanscope filters` with --pair-matrix, which writes the matrix, and rank its folder"
        }
        Similarity::Impulse => "run `chanscope impulse` and rank its folder",
    }
}

/// Name, five figures, and the first channels.
const COLUMNS: [Column; 7] = [Name, Right, Right, Right, Right, Right, Left];

/// A line per layer.
fn summary(results: &Results) -> String {
    let mut table = Table::new(&COLUMNS);
    table.row([
        "layer",
        "channels",
        "dead",
        "75 %",
        "50 %",
        "25 %",
        "first kept",
    ]);
    let layers = results.rank.iter().flat_map(|r| &r.layers);
    for l in layers {
        let coverage = |share| {
            l.coverage_of(share)
                .map_or("-".into(), |v| format!("{v:.4}"))
        };
        let first = l.order.iter().take(l.live.min(6) as usize);
        let first: Vec<String> = first.map(u64::to_string).collect();
        table.row([
            l.name.clone(),
            l.order.len().to_string(),
            (l.order.len() as u64 - l.live).to_string(),
            coverage(0.75),
            coverage(0.5),
            coverage(0.25),
            first.join(" "),
        ]);
    }
    format!(
        "Mean similarity of a live channel to the most similar one kept, if 75, 50 or 25 % of the channels are:\n{table}"
    )
}
