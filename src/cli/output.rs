//! What reaches stdout and stderr. A reader that goes away (`| head`) is no error.

use super::error::Result;
use chanscope::Error;
use std::io::{ErrorKind, Write};

/// Prints text on stdout.
///
/// # Errors
/// [`Error::Io`](chanscope::Error::Io), except when the reader has closed the pipe.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io("stdout", "write", e).into()),
        _ => Ok(()),
    }
}

/// Prints a value as one JSON document on stdout.
///
/// # Errors
/// As [`print`].
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::io("stdout", "write JSON", e.into()))?;
    print(&(text + "\n"))
}

/// One line on stderr, whatever the message holds.
pub fn error(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "chanscope: {line}");
}

/// One line on stderr about what is being done.
pub fn note(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}
