//! Progress on stderr: a bar on a terminal, a line now and then elsewhere, nothing with --quiet.

use super::output::plain;
use super::signal::cancelled;
use chanscope::control::{Control, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Seconds between lines when stderr is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows progress of one command.
pub struct Reporter {
    mode: Mode,
}

enum Mode {
    Quiet,
    Bar(Mutex<(ProgressBar, String)>),
    Lines(Mutex<(String, Instant, Instant)>),
}

impl Reporter {
    /// Chooses how to show progress from `--quiet` and what stderr is.
    pub fn new(quiet: bool) -> Self {
        let mode = if quiet {
            Mode::Quiet
        } else if std::io::stderr().is_terminal() {
            Mode::Bar(Mutex::new((ProgressBar::hidden(), String::new())))
        } else {
            let now = Instant::now();
            Mode::Lines(Mutex::new((String::new(), now, now)))
        };
        Self { mode }
    }

    /// Runs `work` with progress shown and signals turned into a clean stop.
    pub fn run<T>(&self, work: impl FnOnce(&Control<'_>) -> T) -> T {
        let show = |p: Progress<'_>| self.show(&p);
        let control = Control::default()
            .with_progress(&show)
            .with_cancel(cancelled());
        let out = work(&control);
        if let Mode::Bar(state) = &self.mode
            && let Ok(state) = state.lock()
        {
            state.0.finish_and_clear();
        }
        out
    }

    fn show(&self, p: &Progress<'_>) {
        match &self.mode {
            Mode::Quiet => {}
            Mode::Bar(state) => {
                let Ok(mut state) = state.lock() else { return };
                if state.1 != p.stage {
                    state.0.finish_and_clear();
                    *state = (bar(p), p.stage.to_string());
                }
                state.0.set_length(p.total);
                state.0.set_position(p.done);
            }
            Mode::Lines(state) => {
                let Ok(mut state) = state.lock() else { return };
                let now = Instant::now();
                if state.0 != p.stage {
                    *state = (p.stage.to_string(), now, now);
                } else if now - state.2 >= LINE_EVERY && p.done > 0 {
                    state.2 = now;
                    line(p, now - state.1);
                }
            }
        }
    }
}

fn bar(p: &Progress<'_>) -> ProgressBar {
    let template = if p.unit == "bytes" {
        "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
    } else {
        "{msg} {wide_bar} {human_pos}/{human_len} {unit} {per_sec} {eta} left"
    };
    let style = ProgressStyle::with_template(&template.replace("{unit}", p.unit))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(p.total)
        .with_style(style)
        .with_message(plain(p.stage))
}

fn line(p: &Progress<'_>, elapsed: Duration) {
    let rate = p.done as f64 / elapsed.as_secs_f64();
    let left = p.total.saturating_sub(p.done) as f64 / rate;
    let _ = writeln!(
        std::io::stderr(),
        "{}: {}/{} {} ({:.0} %), {rate:.0} {}/s, {left:.0} s left",
        plain(p.stage),
        p.done,
        p.total,
        p.unit,
        100.0 * p.done as f64 / p.total.max(1) as f64,
        p.unit,
    );
}
