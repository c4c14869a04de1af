//! `chanscope plan`, `work`, `status` and `merge`: a redundancy run in units, over processes or machines.

use super::error::{Error, Result};
use super::progress::Reporter;
use super::{Common, output, redundancy, signal};
use chanscope::measure::Context;
use chanscope::units::{
    Plan, Selection, Share, Stage, Status, merge_within, number_list, plan, status_within, work,
};
use clap::ValueEnum;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Cut a redundancy run into units, which any number of processes and machines then compute
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope plan activations/ --aggregate --units 64 --out run\n\nThen compute the units with \
                  `chanscope work run`, as often and on as many machines as you like, and put the results together with \
                  `chanscope merge run`."
)]
pub struct PlanArgs {
    #[command(flatten)]
    options: redundancy::Options,
    /// Number of units of each stage, about: at least the number of processes that will share the work
    #[arg(long, value_name = "N")]
    units: usize,
}

/// Compute units of a planned run that are missing or damaged
#[derive(clap::Args)]
#[command(
    after_help = "Example:  chanscope work run --stage graphs --shard 3/8\n\nWithout --stage: units of graphs, then units of \
                  overlaps if all units of graphs are done."
)]
pub struct WorkArgs {
    /// Folder of a planned run
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Compute units of this stage only
    #[arg(long, value_enum)]
    stage: Option<StageArg>,
    /// Compute every N-th unit of a stage from the I-th on, counted from 0
    #[arg(long, value_name = "I/N", conflicts_with = "unit")]
    shard: Option<String>,
    /// Compute these units, such as 3,17-19
    #[arg(long, value_name = "LIST")]
    unit: Option<String>,
}

/// Say which units of a planned run are done, missing or damaged
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope status run --json")]
pub struct StatusArgs {
    /// Folder of a planned run
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Put the results of a planned run together, once all units are done
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope merge run")]
pub struct MergeArgs {
    /// Folder of a planned run
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Keep the units beside the results
    #[arg(long)]
    keep_units: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StageArg {
    Graphs,
    Overlap,
}

/// Plans a run.
pub fn run_plan(args: &PlanArgs, common: &Common) -> Result<()> {
    if args.units == 0 {
        return Err(Error::Usage("--units must be at least 1".into()));
    }
    let (memory, request) = (common.memory()?, args.options.request(common)?);
    let device = common.open_device()?;
    let folder = common.out();
    let plan = Reporter::new(common.quiet).run(|control| {
        let ctx = Context::new(&device)
            .with_memory(memory)
            .with_control(*control);
        plan(&ctx, &request, folder, common.force, args.units)
    })?;
    if common.json {
        return output::json(&serde_json::json!({
            "folder": folder.display().to_string(),
            "hash": plan.hash,
            "units": plan.units.len(),
            "graphs": plan.stage(Stage::Graphs).count(),
            "seconds": seconds(&plan),
        }));
    }
    output::print(&planned(&plan, folder))
}

/// Estimated seconds of all units.
fn seconds(plan: &Plan) -> f64 {
    plan.units.iter().filter_map(|u| u.seconds).sum()
}

fn planned(plan: &Plan, folder: &Path) -> String {
    let graphs = plan.stage(Stage::Graphs).count();
    let all = plan.units.len();
    let seconds = seconds(plan);
    let dir = folder.display();
    let last = number_list(&(graphs..all).collect::<Vec<_>>());
    format!(
        "{all} units: {graphs} of graphs (0-{}), {} of overlaps ({last}); about {seconds:.0} s of work on this device\n\n\
         Compute them with `chanscope work {dir}`, here or anywhere else that sees the folder and the dump, then \
         `chanscope merge {dir}`.\n",
        graphs - 1,
        all - graphs,
    )
}

/// Computes units.
pub fn run_work(args: &WorkArgs, common: &Common) -> Result<()> {
    no_out("work", common)?;
    let selection = Selection {
        stage: args.stage.map(|stage| match stage {
            StageArg::Graphs => Stage::Graphs,
            StageArg::Overlap => Stage::Overlap,
        }),
        share: match (&args.shard, &args.unit) {
            (Some(shard), _) => parse_shard(shard)?,
            (None, Some(list)) => Share::Units(redundancy::parse_list("--unit", "units", list)?),
            (None, None) => Share::All,
        },
    };
    let memory = common.memory()?;
    let device = common.open_device()?;
    signal::advise(format!(
        "finished units are kept; go on with: chanscope work {}",
        args.dir.display()
    ));
    let worked = Reporter::new(common.quiet).run(|control| {
        let ctx = Context::new(&device)
            .with_memory(memory)
            .with_control(*control);
        work(&ctx, &args.dir, &selection)
    })?;
    if common.json {
        return output::json(&serde_json::json!({
            "computed": worked.computed,
            "skipped": worked.skipped,
            "waiting_for": worked.waiting_for,
        }));
    }
    let mut text = match worked.computed.is_empty() {
        true => "no unit computed".to_string(),
        false => format!("computed units {}", number_list(&worked.computed)),
    };
    if !worked.skipped.is_empty() {
        let _ = write!(text, "; {} were done before", worked.skipped.len());
    }
    text.push('\n');
    if !worked.waiting_for.is_empty() {
        let _ = writeln!(
            text,
            "overlaps wait for {} units of graphs: {}",
            worked.waiting_for.len(),
            number_list(&worked.waiting_for)
        );
    }
    output::print(&text)
}

/// Says how far a run is.
pub fn run_status(args: &StatusArgs, common: &Common) -> Result<()> {
    no_out("status", common)?;
    let found = status_within(&args.dir, common.memory()?)?;
    if common.json {
        return output::json(&found);
    }
    output::print(&told(&found, &args.dir))
}

fn told(found: &Status, folder: &Path) -> String {
    let dir = folder.display();
    if found.finished && found.units == 0 {
        return format!("{dir} is finished; its results are in results.json\n");
    }
    let mut text = format!(
        "{} of {} units done (graphs 0-{}, overlaps {}-{})\n",
        found.done.len(),
        found.units,
        found.graphs.saturating_sub(1),
        found.graphs,
        found.units.saturating_sub(1),
    );
    for damage in &found.damaged {
        let _ = writeln!(text, "unit {} is damaged: {}", damage.unit, damage.reason);
    }
    let _ = match found.array.is_empty() {
        true => writeln!(text, "all are done: chanscope merge {dir}"),
        false => writeln!(text, "to compute: {}", found.array),
    };
    text
}

/// Merges a run.
pub fn run_merge(args: &MergeArgs, common: &Common) -> Result<()> {
    no_out("merge", common)?;
    let results = merge_within(&args.dir, args.keep_units, common.memory()?)?;
    redundancy::finished(&results, &args.dir, common, &[])
}

fn no_out(command: &str, common: &Common) -> Result<()> {
    match common.out.is_some() {
        true => Err(Error::Usage(format!(
            "{command} works in the folder that it is given; leave out --out"
        ))),
        false => Ok(()),
    }
}

/// `3/8`.
fn parse_shard(text: &str) -> Result<Share> {
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(index, count)| {
        let (index, count) = (index.trim().parse().ok()?, count.trim().parse().ok()?);
        (index < count).then_some(Share::Shard { index, count })
    });
    parsed.ok_or_else(|| {
        Error::Usage(format!(
            "--shard '{text}' is not I/N with I from 0 to N - 1, such as 3/8"
        ))
    })
}
