//! The library's errors as Python's exceptions, in the words of Python's arguments.

use crate::cli::error::Error as CommandError;
use chanscope::Error;
use chanscope::error::{DeviceAdvice, DeviceProblem, FileProblem, LayerProblem, OutputProblem};
use chanscope::io::size::{format_size, format_size_up};
use pyo3::prelude::*;
use std::path::Path;

/// The class of `chanscope._errors` that an error is raised as.
fn class(error: &Error) -> &'static str {
    match error {
        Error::Layer { problem, .. } | Error::LayerFile { problem, .. }
            if matches!(problem, LayerProblem::NoChannel { .. }) =>
        {
            "UsageError"
        }
        Error::Io { .. } | Error::Spill { .. } | Error::Output { .. } => "FileError",
        Error::File { .. }
        | Error::LayerFile { .. }
        | Error::Layer { .. }
        | Error::Network { .. }
        | Error::NonFinite { .. } => "DataError",
        Error::Memory { .. }
        | Error::Device {
            problem: DeviceProblem::OutOfMemory { .. },
            ..
        } => "OutOfMemoryError",
        Error::NoAdapter { .. } | Error::Device { .. } => "DeviceError",
        _ => "UsageError",
    }
}

/// The exception for an error of the library.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    if *error == Error::Cancelled {
        return pyo3::exceptions::PyKeyboardInterrupt::new_err(());
    }
    exception(py, class(error), words(&message(error)))
}

/// The exception for an error of what the command line shares with this package.
pub fn failed(py: Python<'_>, error: &CommandError) -> PyErr {
    match error {
        CommandError::Library(error) => raised(py, error),
        CommandError::Usage(text) => usage(py, words(text)),
        CommandError::Failed(text) => exception(py, "DataError", words(text)),
    }
}

/// A message with arguments in place of options.
fn words(text: &str) -> String {
    let options = [
        ("--dtype f32", "dtype=\"f32\""),
        ("--keep-norm", "keep_norm=True"),
        ("--lr", "lr"),
    ];
    let replace = |text: String, (option, argument): &(&str, &str)| text.replace(option, argument);
    options.iter().fold(text.to_string(), replace)
}

/// Wrong arguments that the library was not asked about.
pub fn usage(py: Python<'_>, message: impl Into<String>) -> PyErr {
    exception(py, "UsageError", message.into())
}

/// An exception of `chanscope._errors`.
pub fn exception(py: Python<'_>, class: &str, message: String) -> PyErr {
    let made = PyModule::import(py, "chanscope._errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((message,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Parameters of the library whose arguments in Python have other names.
const ARGUMENTS: &[(&str, &str)] = &[
    ("size", "memory"),
    ("learning_rate", "lr"),
    ("steps", "minimize"),
    ("image_size", "size"),
    ("labels", "y"),
    ("similarity", "by"),
    ("ranking", "given"),
];

/// The argument in Python that sets a parameter of the library.
fn argument(name: &str) -> &str {
    let found = ARGUMENTS.iter().find(|(parameter, _)| *parameter == name);
    found.map_or(name, |(_, argument)| argument)
}

/// The error in one line, with Python's arguments and with sizes as people write them.
pub fn message(error: &Error) -> String {
    match error {
        Error::Argument {
            name,
            got,
            expected,
        } => format!("{} is {got}, expected {expected}", argument(name)),
        Error::Memory { what, needed, cap } => format!(
            "memory=\"{}\" is too small for {what}: at least {} is needed",
            format_size(*cap),
            format_size_up(*needed)
        ),
        Error::NoAdapter { wanted, found } => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!(
                "no GPU adapter {}; found: {}; use device=\"cpu\", or install a Vulkan driver",
                match wanted {
                    None => "for device=\"gpu\" (software adapters only when named)".into(),
                    Some(name) => format!("'{name}'"),
                },
                match found.is_empty() {
                    true => "none".into(),
                    false => found.join(", "),
                }
            )
        }
        Error::Device { device, problem } => format!("{device}: {}", device_problem(problem)),
        Error::Output { path, problem } => output(path, problem),
        Error::File {
            path,
            problem: FileProblem::SecondLabels { other },
        } => format!(
            "{}: {} holds labels too; say which to use with y=",
            path.display(),
            other.display()
        ),
        Error::LayerFile {
            problem: LayerProblem::NonFinite(values),
            path,
            layer,
        } => format!(
            "{}: layer {layer} {values}; {}, or leave these samples out with non_finite=\"skip\"",
            path.display(),
            values.remedy()
        ),
        Error::Layer {
            problem: LayerProblem::NonFinite(values),
            layer,
        } => format!(
            "layer {layer} {values}; {}, or leave these samples out with non_finite=\"skip\"",
            values.remedy()
        ),
        Error::Spill {
            folder,
            action,
            source,
        } => format!(
            "{}: cannot {action}: {source}; make room, or raise memory= so that the neighbours stay in memory",
            folder.display()
        ),
        Error::NonLinear { node } => format!(
            "node '{node}' multiplies computed values, so there is no linear form of the network; call it without \
             linear=True"
        ),
        Error::OpenSize {
            path,
            input,
            dimension,
        } => format!(
            "{}: input '{input}' leaves dimension {dimension} open: give the size of the images with size=(H, W), or \
             export the model with a fixed size",
            path.display()
        ),
        Error::NoLayout { .. } => format!(
            "{}: layout=\"nchw\" or layout=\"nhwc\"",
            error.to_string().trim_end_matches(": name the layout")
        ),
        error => error.to_string(),
    }
}

fn device_problem(problem: &DeviceProblem) -> String {
    let summary = match problem {
        DeviceProblem::OutOfMemory {
            bytes: Some(bytes), ..
        } => format!("out of memory: no room for {}", format_size_up(*bytes)),
        DeviceProblem::TooLarge {
            what,
            limit: Some(limit),
        } => format!(
            "{what} is larger than a buffer may be here ({})",
            format_size(*limit)
        ),
        problem => problem.summary(),
    };
    let advice = match problem.advice() {
        DeviceAdvice::UpdateDriver => "update its driver or use device=\"cpu\"",
        DeviceAdvice::LessMemory => "use a smaller memory= or close other programs",
        DeviceAdvice::UseCpu => "use device=\"cpu\"",
        DeviceAdvice::RunAgain => "call again, or use device=\"cpu\"",
        DeviceAdvice::FewerThreads => "use a smaller threads=",
        // Whatever needs no argument is the library's own advice.
        _ => return problem.to_string(),
    };
    format!("{summary}; {advice}")
}

fn output(path: &Path, problem: &OutputProblem) -> String {
    let path = path.display();
    match problem {
        OutputProblem::Exists => {
            format!("{path} exists already; name another file, or replace it with force=True")
        }
        OutputProblem::NotEmpty => format!(
            "{path} exists and is not empty; name another folder, or replace the results in it with force=True"
        ),
        OutputProblem::NotAFolder => format!("{path} is no folder; name another"),
        OutputProblem::Foreign { holds } => format!(
            "{path} holds {}, which no run of chanscope wrote, so force=True does not touch the folder; move that \
             away, or name another folder",
            holds.escape_debug()
        ),
        OutputProblem::InUse => {
            format!(
                "{path} is being written by another run; wait for it to end, or name another folder"
            )
        }
        OutputProblem::HoldsInput { input } => format!(
            "{path} holds the input {}, which would be replaced; name another folder",
            input.display()
        ),
        OutputProblem::InsideInput { input } => format!(
            "{path} lies in the input folder {}; name a folder outside of it",
            input.display()
        ),
        problem => format!("{path}: {problem}"),
    }
}
