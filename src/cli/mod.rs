//! The command line: a subcommand a file. Glue only; what is computed lives in the library.
//!
//! The Python package compiles this folder too. What is `pub` here beyond a subcommand's own needs, its functions share.

pub mod ablate;
pub mod allocator;
mod bench;
mod compare;
mod demo;
pub mod devices;
pub mod error;
pub mod filters;
mod impulse;
pub mod inspect;
pub mod network;
mod output;
mod progress;
mod rank;
mod redundancy;
mod report;
pub mod run;
pub mod samples;
mod shuffle;
mod signal;
mod table;
mod units;

use chanscope::device::{Device, DeviceChoice};
use chanscope::io::sink::Output;
use chanscope::io::size::memory_cap;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Measures how redundant the channels of a convolutional network are.
#[derive(Parser)]
#[command(
    name = "chanscope",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = "Start with:  chanscope demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Redundancy(redundancy::Args),
    Filters(filters::Args),
    Impulse(impulse::Args),
    Shuffle(shuffle::Args),
    Rank(rank::Args),
    Ablate(ablate::Args),
    Compare(compare::Args),
    Run(run::Args),
    Inspect(inspect::Args),
    Devices(devices::Args),
    Bench(bench::Args),
    Report(report::Args),
    Plan(units::PlanArgs),
    Work(units::WorkArgs),
    Status(units::StatusArgs),
    Merge(units::MergeArgs),
}

/// Options every command understands.
#[derive(Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Device to compute on: auto (a real GPU if there is one, else the CPU), cpu, gpu, or gpu:NAME_OR_INDEX
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// Cap of the working sets on host and device, such as 512MiB or 8G [default: half of the free memory]
    #[arg(long, global = true, value_name = "SIZE")]
    memory: Option<String>,
    /// Number of threads for the CPU backend and the host's work [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Folder for the results; one that is not empty is refused [default: chanscope-out]
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace the results of an earlier run in --out; a folder that holds anything else is refused
    #[arg(long, global = true)]
    pub force: bool,
    /// Seed of the random generator
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Show no progress on stderr
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Print one JSON document on stdout in place of the summary
    #[arg(long, global = true)]
    pub json: bool,
}

impl Common {
    /// Opens the device asked for.
    pub fn open_device(&self) -> chanscope::Result<Device> {
        Device::open(&self.choice()?, self.threads.unwrap_or(0))
    }

    /// The device asked for.
    pub fn choice(&self) -> chanscope::Result<DeviceChoice> {
        self.device.parse()
    }

    /// The memory cap in bytes.
    pub fn memory(&self) -> chanscope::Result<u64> {
        memory_cap(self.memory.as_deref())
    }

    /// Takes the folder `--out` for a run that reads `inputs`, before anything is computed.
    pub fn output(&self, inputs: &[Option<&Path>]) -> chanscope::Result<Output> {
        self.output_in(self.out(), inputs)
    }

    /// The folder `--out`.
    pub fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new("chanscope-out"))
    }

    /// As [`Common::output`], for another folder than `--out`.
    pub fn output_in(&self, folder: &Path, inputs: &[Option<&Path>]) -> chanscope::Result<Output> {
        let inputs: Vec<&Path> = inputs.iter().copied().flatten().collect();
        Output::create_apart(folder, self.force, &inputs)
    }

    /// Threads of the CPU backend and of host work.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(rayon::current_num_threads)
    }
}

/// Parses `arguments`, of which the first is the program, runs, prints an error as one line. Returns the exit code.
///
/// The Python package calls it too: its command is this one.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    allocator::keep_reserve();
    if cli.common.memory.is_some() {
        allocator::return_large_blocks();
    }
    signal::listen();
    // A lost device is told once, as an error, and not also by the panic that the library catches.
    chanscope::gpu::hush_losses();
    match dispatch(cli) {
        Ok(()) => 0,
        Err(e) => {
            signal::end(&e.to_string());
            output::error(&e.to_string());
            e.exit_code()
        }
    }
}

fn dispatch(cli: Cli) -> error::Result<()> {
    let common = cli.common;
    if common.threads == Some(0) {
        return Err(Error::Usage("--threads must be at least 1".into()));
    }
    if matches!(
        cli.command,
        Command::Run(_) | Command::Shuffle(_) | Command::Impulse(_) | Command::Ablate(_)
    ) {
        network::share_one_heap();
    }
    // Host-side work (statistics, reading) keeps to the same number of threads as the CPU backend.
    if let Some(threads) = common.threads {
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global();
    }
    match cli.command {
        Command::Demo(args) => demo::run(&args, &common),
        Command::Redundancy(args) => redundancy::run(&args, &common),
        Command::Filters(args) => filters::run(&args, &common),
        Command::Impulse(args) => impulse::run(&args, &common),
        Command::Rank(args) => rank::run(&args, &common),
        Command::Ablate(args) => ablate::run(&args, &common),
        Command::Compare(args) => compare::run(&args, &common),
        Command::Shuffle(args) => shuffle::run(&args, &common),
        Command::Run(args) => run::run(&args, &common),
        Command::Inspect(args) => inspect::run(&args, &common),
        Command::Devices(args) => devices::run(&args, &common),
        Command::Bench(args) => bench::run(&args, &common),
        Command::Report(args) => report::run(&args, &common),
        Command::Plan(args) => units::run_plan(&args, &common),
        Command::Work(args) => units::run_work(&args, &common),
        Command::Status(args) => units::run_status(&args, &common),
        Command::Merge(args) => units::run_merge(&args, &common),
    }
}

/// Help and version go to stdout; a usage error is one line.
fn usage(e: &clap::Error) -> u8 {
    match e.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let failed = e.use_stderr();
            let _ = e.print();
            if failed { 2 } else { 0 }
        }
        _ => {
            let text = e.to_string();
            let line: Vec<&str> = text
                .lines()
                .take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more"))
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .collect();
            let line = line.join(" ");
            output::error(&format!(
                "{}; see --help",
                line.trim_start_matches("error: ")
            ));
            2
        }
    }
}
