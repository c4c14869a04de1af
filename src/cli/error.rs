//! Errors of the command line: its own, and the library's in terms of options, sizes and exit codes.

use chanscope::Error as Library;
use chanscope::error::{DeviceAdvice, DeviceProblem, FileProblem, LayerProblem, OutputProblem};
use chanscope::io::size::{format_size, format_size_up};
use std::fmt::{Display, Formatter};
use std::path::Path;

/// Result with the command line's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a command ends with when it fails.
#[derive(Debug)]
pub enum Error {
    /// Wrong usage: the message names the option.
    Usage(String),
    /// A failure that is not the library's.
    Failed(String),
    /// A failure of the library.
    Library(Library),
}

impl From<Library> for Error {
    fn from(error: Library) -> Self {
        Self::Library(error)
    }
}

impl Error {
    /// 2 for wrong usage, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Library(e) => match e {
                Library::Output { problem, .. } => match problem {
                    OutputProblem::Unfinished
                    | OutputProblem::Incomplete { .. }
                    | OutputProblem::Units { .. }
                    | OutputProblem::NoRoom { .. }
                    | OutputProblem::TooLarge { .. } => 1,
                    _ => 2,
                },
                Library::Argument { .. }
                | Library::Unknown { .. }
                | Library::Item { .. }
                | Library::OutOfRange { .. } => 2,
                Library::Layer { problem, .. } | Library::LayerFile { problem, .. }
                    if matches!(problem, LayerProblem::NoChannel { .. }) =>
                {
                    2
                }
                _ => 1,
            },
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Library(e) => f.write_str(&message(e)),
        }
    }
}

/// The error of a measure as one of the file that its input came from.
pub fn in_file(path: &Path, e: Library) -> Library {
    match e {
        Library::Item {
            index,
            got,
            expected,
            ..
        } => Library::element(path, index, format!("{got}, expected {expected}")),
        Library::WrongLength {
            name,
            expected,
            got,
        } => {
            let (expected, got) = (expected as u64, got as u64);
            let what = name;
            Library::file(
                path,
                FileProblem::Count {
                    what,
                    expected,
                    got,
                },
            )
        }
        Library::WrongShape { .. } | Library::NonFinite { .. } => {
            Library::unsuitable(path, e.to_string())
        }
        Library::Network {
            path: None,
            node,
            what,
        } => Library::Network {
            path: Some(path.to_path_buf()),
            node,
            what,
        },
        e => e,
    }
}

/// The library's error with the names of options and with sizes as people write them.
fn message(e: &Library) -> String {
    match e {
        Library::Argument {
            name,
            got,
            expected,
        } => match flag(name) {
            Some(flag) => format!("{flag} is {got}, expected {expected}"),
            None => e.to_string(),
        },
        Library::Memory { what, needed, cap } => format!(
            "--memory {} is too small for {what}: at least {} is needed",
            format_size(*cap),
            format_size_up(*needed)
        ),
        Library::NoAdapter { wanted, found } => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!(
                "no GPU adapter {}; found: {}; use --device cpu, or install a Vulkan driver",
                match wanted {
                    None => "for --device gpu (software adapters only when named)".into(),
                    Some(name) => format!("'{name}'"),
                },
                match found.is_empty() {
                    true => "none".into(),
                    false => found.join(", "),
                }
            )
        }
        Library::Device { device, problem } => format!("{device}: {}", device_problem(problem)),
        Library::Output { path, problem } => output(path, problem),
        Library::File {
            path,
            problem: FileProblem::SecondLabels { other },
        } => format!(
            "{}: {} holds labels too; say which to use with --labels",
            path.display(),
            other.display()
        ),
        Library::LayerFile {
            problem: LayerProblem::NonFinite(values),
            path,
            layer,
        } => format!(
            "{}: layer {layer} {values}; {}, or leave these samples out with --nan skip",
            path.display(),
            values.remedy()
        ),
        Library::Spill {
            folder,
            action,
            source,
        } => format!(
            "{}: cannot {action}: {source}; make room, or raise --memory so that the neighbours stay in memory",
            folder.display()
        ),
        Library::NonLinear { node } => format!(
            "node '{node}' multiplies computed values, so there is no linear form of the network; run without \
             --linear"
        ),
        Library::OpenSize {
            path,
            input,
            dimension,
        } => format!(
            "{}: input '{input}' leaves dimension {dimension} open: give the size of the images with --size \
             HxW, or export the model with a fixed size",
            path.display()
        ),
        Library::NoLayout { shape } => format!(
            "the network does not tell which axis of its input{} holds the channels: say so with --layout nchw \
             or --layout nhwc",
            if shape.is_empty() {
                String::new()
            } else {
                format!(" {shape:?}")
            }
        ),
        e => e.to_string(),
    }
}

/// Parameters of the library that a command sets, with the option that does.
const FLAGS: &[(&str, &str)] = &[
    ("k", "-k"),
    ("sigma", "--sigma"),
    ("across", "--across"),
    ("images", "--images"),
    ("similarity", "--by"),
    ("channels", "--channels"),
    ("queries", "--queries"),
    ("size", "--memory"),
    ("batch", "--batch"),
    ("mode", "--mode"),
    ("labels", "--labels"),
    ("permutation", "--permutation"),
    ("observe", "--observe"),
    ("at", "--at"),
    ("threshold", "--threshold"),
    ("learning_rate", "--lr"),
    ("momentum", "--momentum"),
    ("nesterov", "--nesterov"),
    ("image_size", "--size"),
    ("output", "--output"),
    ("units", "--units"),
    ("shard", "--shard"),
    ("unit", "--unit"),
    ("keep", "--keep"),
    ("calibration", "--calibration"),
    ("rankings", "--rankings"),
    ("ranking", "--ranking"),
    ("layers", "--layers"),
];

/// The option that sets a parameter of the library.
fn flag(name: &str) -> Option<&'static str> {
    let found = FLAGS.iter().find(|(parameter, _)| *parameter == name);
    found.map(|(_, flag)| *flag)
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
        DeviceAdvice::UpdateDriver => "update its driver or use --device cpu",
        DeviceAdvice::LessMemory => "use a smaller --memory or close other programs",
        DeviceAdvice::UseCpu => "use --device cpu",
        DeviceAdvice::RunAgain => "run again, or use --device cpu",
        DeviceAdvice::FewerThreads => "use a smaller --threads",
        // Whatever needs no option is the library's own advice.
        _ => return problem.to_string(),
    };
    format!("{summary}; {advice}")
}

fn output(path: &Path, problem: &OutputProblem) -> String {
    let path = path.display();
    match problem {
        OutputProblem::Exists => {
            format!("{path} exists already; name another file, or replace it with --force")
        }
        OutputProblem::NotEmpty => format!(
            "{path} exists and is not empty; name another folder with --out, or replace the results in it with \
             --force"
        ),
        OutputProblem::HoldsRun => format!(
            "{path} holds a run that is not finished; go on with it by --resume (or `chanscope work`), or replace it with \
             --force"
        ),
        OutputProblem::NoRun => {
            format!("{path} holds no planned run; make one with `chanscope plan`")
        }
        OutputProblem::OtherRun { what, was, is } => {
            let option = match what.contains(' ') || what.contains('.') {
                true => what.clone(),
                false if what == "k" => "-k".into(),
                false => format!("--{what}"),
            };
            format!(
                "{path} holds a run with {option} {was}, not {is}; give the same, or name another folder with --out"
            )
        }
        OutputProblem::NoRoom { needed, free } => format!(
            "{path} needs about {} for the run, but its disk has {} left; make room, name a folder on another disk with \
             --out, or measure a sample with --queries",
            format_size_up(*needed),
            format_size(*free)
        ),
        OutputProblem::Units { missing, damaged } => {
            let both = [missing.as_str(), damaged.as_str()];
            let list: Vec<&str> = both.into_iter().filter(|l| !l.is_empty()).collect();
            let damaged = match damaged.is_empty() {
                true => String::new(),
                false => format!(" ({damaged} damaged)"),
            };
            format!(
                "{path} lacks units {}{damaged}; compute them with `chanscope work {path}`",
                list.join(",")
            )
        }
        OutputProblem::NotAFolder => format!("{path} is no folder; name another with --out"),
        OutputProblem::Foreign { holds } => format!(
            "{path} holds {}, which no run of chanscope wrote, so --force does not touch the folder; move that away, or \
             name another folder with --out",
            holds.escape_debug()
        ),
        OutputProblem::InUse => format!(
            "{path} is being written by another run; wait for it to end, or name another with --out"
        ),
        OutputProblem::HoldsInput { input } => format!(
            "{path} holds the input {}, which would be replaced; name another folder with --out",
            input.display()
        ),
        OutputProblem::InsideInput { input } => format!(
            "{path} lies in the input folder {}; name a folder outside of it with --out",
            input.display()
        ),
        problem => format!("{path}: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::FLAGS;
    use crate::cli::Cli;
    use clap::CommandFactory;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Arguments of library calls that no option sets: the command line gives them values that are always right.
    const NO_OPTION: &[&str] = &["betas", "maps", "matrix", "runs", "study", "wanted"];

    /// Names in `Error::argument("...", ...)` in the sources below a folder.
    fn refused_arguments(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                refused_arguments(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            for call in text.split("Error::argument(").skip(1) {
                let name = call
                    .trim_start()
                    .strip_prefix('"')
                    .and_then(|c| c.split_once('"'));
                found.extend(name.map(|(name, _)| name.to_string()));
            }
        }
    }

    #[test]
    fn every_option_exists() {
        let mut options = BTreeSet::new();
        let mut command = Cli::command();
        command.build();
        for subcommand in command.get_subcommands() {
            for argument in subcommand.get_arguments() {
                options.extend(argument.get_long().map(|long| format!("--{long}")));
                options.extend(argument.get_short().map(|short| format!("-{short}")));
            }
        }
        for (name, flag) in FLAGS {
            assert!(options.contains(*flag), "{name}: no subcommand has {flag}");
        }
    }

    #[test]
    fn every_argument_that_a_measure_model_or_run_refuses_has_its_option() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut names = BTreeSet::new();
        for folder in ["measure", "model", "units"] {
            refused_arguments(&sources.join(folder), &mut names);
        }
        assert!(names.len() > 10, "{names:?}");
        for name in &names {
            let listed = FLAGS.iter().any(|(parameter, _)| parameter == name);
            let library_only = NO_OPTION.contains(&name.as_str());
            assert!(
                listed != library_only,
                "the argument '{name}' of the library"
            );
        }
    }
}
