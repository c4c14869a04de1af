//! Codes and messages.

use chanscope::Error;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a call ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did what was asked.
    ChanscopeOk = 0,
    /// An argument is wrong: a null pointer, an option out of its range, a shape that does not fit.
    ChanscopeArgument = 1,
    /// The values cannot be measured: NaN or infinities, or too few samples.
    ChanscopeData = 2,
    /// The operating system refused to read or write.
    ChanscopeIo = 3,
    /// The memory cap is too small.
    ChanscopeMemory = 4,
    /// There is no such device, or it failed.
    ChanscopeDevice = 5,
    /// The progress function asked to stop.
    ChanscopeCancelled = 6,
    /// A fault of this library. Please report it.
    ChanscopeInternal = 7,
}

thread_local! {
    static MESSAGE: RefCell<CString> = RefCell::default();
}

/// Why a call ended as it did.
pub struct Failure {
    status: Status,
    message: String,
}

/// Result of a function body.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A wrong argument.
    pub fn argument(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status: Status::ChanscopeArgument,
            message,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Io { .. } | Error::Spill { .. } | Error::Output { .. } => Status::ChanscopeIo,
            Error::File { .. }
            | Error::Layer { .. }
            | Error::LayerFile { .. }
            | Error::NonFinite { .. }
            | Error::Network { .. } => Status::ChanscopeData,
            Error::Memory { .. } => Status::ChanscopeMemory,
            Error::Device { .. } | Error::NoAdapter { .. } => Status::ChanscopeDevice,
            Error::Cancelled => Status::ChanscopeCancelled,
            _ => Status::ChanscopeArgument,
        };
        let message = error.to_string();
        Self { status, message }
    }
}

/// Runs the body of an exported function. No panic leaves it.
pub fn guard(body: impl FnOnce() -> Outcome) -> Status {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Failure {
            status: Status::ChanscopeInternal,
            message: text.unwrap_or("a fault of the library").to_string(),
        })
    });
    let (status, message) = match outcome {
        Ok(()) => (Status::ChanscopeOk, String::new()),
        Err(failure) => (failure.status, failure.message),
    };
    // A file name or a layer name may hold anything but a zero byte.
    let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
    MESSAGE.set(message);
    status
}

/// Why the last call of this thread failed, as one line of UTF-8; empty after a call that succeeded. The text belongs to
/// the library and lasts until the next call of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn chanscope_last_error() -> *const c_char {
    MESSAGE.with_borrow(|message| message.as_ptr())
}

/// The version of the library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn chanscope_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}
