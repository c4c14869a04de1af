//! Progress on stderr: a bar on a terminal, a line a minute elsewhere, nothing with --quiet.
//!
//! There is one bar for the job, which moves by estimated work, with the stage beside it. Commands that do not know their
//! stages beforehand start again with every stage.

use super::output::plain;
use super::signal::cancelled;
use chanscope::control::{Control, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time between lines when stderr is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// Steps of the bar.
const STEPS: u64 = 10_000;
/// No time left is told before this much time and this share of the job: it would be a guess.
const SETTLED: (Duration, f64) = (Duration::from_secs(3), 0.01);
/// The time left follows what the rate so far says with this delay, in seconds, so that it does not jump.
const DELAY: f64 = 15.0;

/// Shows progress of one command.
pub struct Reporter {
    mode: Mode,
}

enum Mode {
    Quiet,
    Bar(Mutex<(ProgressBar, Clock)>),
    Lines(Mutex<(Instant, Clock)>),
}

impl Reporter {
    /// Chooses how to show progress from `--quiet` and what stderr is.
    pub fn new(quiet: bool) -> Self {
        let now = Instant::now();
        let mode = if quiet {
            Mode::Quiet
        } else if std::io::stderr().is_terminal() {
            Mode::Bar(Mutex::new((ProgressBar::hidden(), Clock::new(now))))
        } else {
            Mode::Lines(Mutex::new((now, Clock::new(now))))
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
        let now = Instant::now();
        match &self.mode {
            Mode::Quiet => {}
            Mode::Bar(state) => {
                let Ok(mut state) = state.lock() else { return };
                let (bar, clock) = &mut *state;
                if bar.is_hidden() || bar.is_finished() {
                    *bar = new_bar();
                }
                clock.update(p.share, now);
                bar.set_prefix(clock.left(now));
                bar.set_message(plain(p.stage));
                bar.set_position((p.share * STEPS as f64) as u64);
            }
            Mode::Lines(state) => {
                let Ok(mut state) = state.lock() else { return };
                let (last, clock) = &mut *state;
                clock.update(p.share, now);
                if now - *last >= LINE_EVERY {
                    *last = now;
                    let _ = writeln!(std::io::stderr(), "{}", line(p, &clock.left(now)));
                }
            }
        }
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{percent:>3} % {wide_bar} {prefix}  {msg}");
    ProgressBar::new(STEPS).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// `37 %, 2 min left, conv1: graphs, 26,000 of 70,000 queries`.
fn line(p: &Progress<'_>, left: &str) -> String {
    let (done, total) = match p.unit {
        "bytes" => (
            chanscope::io::size::format_size(p.done),
            chanscope::io::size::format_size(p.total),
        ),
        unit => (grouped(p.done), format!("{} {unit}", grouped(p.total))),
    };
    let separator = if left.is_empty() { "" } else { ", " };
    format!(
        "{:.0} %{separator}{left}, {}, {done} of {total}",
        (100.0 * p.share).floor(),
        plain(p.stage),
    )
}

/// When the job will end, as far as can be told.
struct Clock {
    /// Start of the job, or of a stage that began again at 0.
    start: Instant,
    share: f64,
    updated: Instant,
    /// Expected end, in seconds after `start`.
    end: Option<f64>,
}

impl Clock {
    fn new(now: Instant) -> Self {
        Self {
            start: now,
            share: 0.0,
            updated: now,
            end: None,
        }
    }

    /// Takes in how far the job is.
    fn update(&mut self, share: f64, now: Instant) {
        if share < self.share {
            *self = Self::new(now);
        }
        let elapsed = now - self.start;
        if elapsed >= SETTLED.0 && share >= SETTLED.1 {
            let expected = elapsed.as_secs_f64() / share;
            let since = (now - self.updated).as_secs_f64();
            self.end = Some(match self.end {
                // Near the end the delay shrinks, so that the countdown does not overshoot.
                Some(end) => {
                    let delay = DELAY.min(0.5 * (expected - elapsed.as_secs_f64())).max(1.0);
                    end + (expected - end) * (1.0 - (-since / delay).exp())
                }
                None => expected,
            });
        }
        (self.share, self.updated) = (share, now);
    }

    /// `2 min left`; nothing while it cannot be told.
    fn left(&self, now: Instant) -> String {
        let Some(end) = self.end else {
            return String::new();
        };
        let left = (end - (now - self.start).as_secs_f64()).max(0.0);
        format!("{} left", duration(left))
    }
}

/// `8 s`, `3 min`, `2 h 10 min`, `3 d 4 h`.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (seconds, minutes) {
        (s, _) if s < 60.0 => format!("{:.0} s", s.ceil()),
        (_, m) if m < 60 => format!("{m} min"),
        (_, m) if m < 48 * 60 => format!("{} h {} min", m / 60, m % 60),
        (_, m) => format!("{} d {} h", m / 1440, m % 1440 / 60),
    }
}

/// `70,000`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_sane() {
        assert_eq!(duration(0.2), "1 s");
        assert_eq!(duration(59.0), "59 s");
        assert_eq!(duration(61.0), "1 min");
        assert_eq!(duration(7800.0), "2 h 10 min");
        assert_eq!(duration(270_000.0), "3 d 3 h");
        assert_eq!(
            (grouped(999), grouped(1_234_567)),
            ("999".into(), "1,234,567".into())
        );
    }

    #[test]
    fn the_time_left_does_not_jump() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let at = |s: f64| start + Duration::from_secs_f64(s);
        clock.update(0.005, at(5.0));
        assert_eq!(clock.left(at(5.0)), "");
        clock.update(0.1, at(10.0));
        assert_eq!(clock.left(at(10.0)), "2 min left");
        // Ten seconds without progress make it longer, by less than the rate alone would say.
        let before = clock.end.unwrap();
        clock.update(0.1, at(20.0));
        let after = clock.end.unwrap();
        assert!(before < after && after < 160.0, "{before} {after}");
        // A command that starts again with a stage.
        clock.update(0.0, at(21.0));
        assert_eq!(clock.left(at(21.0)), "");
    }
}
