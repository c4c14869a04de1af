//! The operating system's reason, in a form that can be copied and compared.

use std::fmt::{Display, Formatter};
use std::io::{Error, ErrorKind};
use std::sync::Arc;

/// An [`std::io::Error`]. Two of them are equal when their kind, code and text are.
#[derive(Clone, Debug)]
pub struct SystemError(Arc<Error>);

impl SystemError {
    /// Whether the disk, a quota or a limit on sizes has no room left.
    pub fn is_out_of_space(&self) -> bool {
        use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }

    /// What the user can do, as the end of a message; often nothing.
    pub(super) fn advice(&self) -> &'static str {
        match self.is_out_of_space() {
            true => "; make room, or choose a folder on another disk",
            false => "",
        }
    }
}

impl From<Error> for SystemError {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl std::ops::Deref for SystemError {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.0
    }
}

impl PartialEq for SystemError {
    fn eq(&self, other: &Self) -> bool {
        let parts = |e: &Self| (e.kind(), e.raw_os_error(), e.to_string());
        parts(self) == parts(other)
    }
}

impl Eq for SystemError {}

impl Display for SystemError {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SystemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
