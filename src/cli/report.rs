//! `chanscope report`: the page of a finished run, made again.

use super::error::{Error, Result};
use super::{Common, output};
use chanscope::report::html::{REPORT_FILE, write_report_within};
use std::path::PathBuf;

/// Make DIR/report.html from DIR/results.json and the arrays beside it
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope report chanscope-out")]
pub struct Args {
    /// Folder that a command wrote with --out
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes the page and prints where it is, and what it could not show.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    if common.out.is_some() {
        return Err(Error::Usage(
            "report writes into the folder that it is given; leave out --out".into(),
        ));
    }
    let notes = write_report_within(&args.dir, common.memory()?)?;
    let path = args.dir.join(REPORT_FILE);
    if common.json {
        return output::json(&serde_json::json!({
            "report": path.to_string_lossy(),
            "notes": notes,
        }));
    }
    for note in &notes {
        output::error(note);
    }
    output::print(&format!("{}\n", path.display()))
}
