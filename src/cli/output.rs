//! What reaches stdout and stderr. A reader that goes away (`| head`) is no error.

use super::error::Result;
use chanscope::Error;
use chanscope::report::results::{Results, Skipped};
use std::io::{ErrorKind, Write};

/// Characters of the longest line that is shown, and of what is kept of its end if it is longer.
const LONGEST: usize = 2000;
const END: usize = 300;

/// Prints text on stdout. Names in it may come from files of other people: what a terminal would obey is escaped, and
/// endless lines are cut.
///
/// # Errors
/// [`Error::Io`](chanscope::Error::Io), except when the reader has closed the pipe.
pub fn print(text: &str) -> Result<()> {
    let shown: String = text.split_inclusive('\n').map(plain).collect();
    write(&shown)
}

fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("stdout", "write", e).into()),
        _ => Ok(()),
    }
}

/// Columns of the terminal that stdout is; elsewhere as many as the longest line may have.
pub fn line_length() -> usize {
    match console::Term::stdout().size_checked() {
        Some((_, columns)) => columns.into(),
        None => LONGEST,
    }
}

/// A line as it may be shown: control characters and marks that change the direction of writing are escaped, as
/// `\u{1b}`, and the middle is left out if it is too long.
pub fn plain(line: &str) -> String {
    let (line, end) = match line.strip_suffix('\n') {
        Some(line) => (line, "\n"),
        None => (line, ""),
    };
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        match is_obeyed(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    let length = shown.chars().count();
    if length > LONGEST {
        let first: String = shown.chars().take(LONGEST - END).collect();
        let last: String = shown.chars().skip(length - END).collect();
        shown = format!("{first} ... {last}");
    }
    shown + end
}

/// Whether a terminal does something else with a character than show it.
fn is_obeyed(c: char) -> bool {
    let direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || direction || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Prints a value as one JSON document on stdout.
///
/// # Errors
/// As [`print`].
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::io("stdout", "write JSON", e.into()))?;
    // Outside of strings JSON has no such character but the ends of lines.
    let mut shown = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match is_obeyed(c) && c != '\n' {
            true => shown += &format!("\\u{:04x}", u32::from(c)),
            false => shown.push(c),
        }
    }
    shown.push('\n');
    write(&shown)
}

/// One line on stderr, whatever the message holds.
pub fn error(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "chanscope: {}", plain(&line));
}

/// One line on stderr about what is being done.
pub fn note(message: &str) {
    let _ = writeln!(std::io::stderr(), "{}", plain(message));
}

/// A line for everything that was skipped.
pub fn skipped(results: &Results) -> String {
    let line = |s: &Skipped| {
        let (name, reason) = (plain(&s.name), plain(&s.reason));
        format!("skipped {name}: {reason}\n")
    };
    results.skipped.iter().map(line).collect()
}
