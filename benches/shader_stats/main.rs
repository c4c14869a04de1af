//! Compiles the kernels with a real GPU driver, which needs no GPU where the driver runs on a pretended one, and tells
//! what became of them: registers, memory, and the instructions of the hot loop. `scripts/shader-stats` runs it.
//!
//! ```text
//! shader_stats compile FILE [KERNEL]   on the first Vulkan device; writes a file of statistics
//! shader_stats text FOLDER KERNEL      writes the texts of all of the compiler's stages
//! shader_stats host                    on the first Vulkan device, which does nothing: what the host allows
//! shader_stats fill                    the same: how graphs of long rows are cut into dispatches
//! shader_stats table FILE...           prints these files as one table of Markdown
//! shader_stats wgsl FILE               writes the kernels that need no feature of the device, for another compiler
//! shader_stats hlsl FOLDER             writes the same as HLSL, a file each
//! ```
//!
//! Exit code: 1 of `compile` where a kernel does not compile, or where registers are in memory; of `fill` where dispatches
//! are too small for a large card.

mod code;
mod hlsl;
mod host;
mod report;
mod vulkan;

use chanscope::internals::{Source, sources};
use report::Row;
use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use vulkan::{Compiled, Features, Vulkan, shared_bytes, spirv};

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["compile", file] => compile(file, ""),
        ["compile", file, kernel] => compile(file, kernel),
        ["text", folder, kernel] => texts(Path::new(folder), kernel),
        ["host"] => host::measure(),
        ["fill"] => host::fill(),
        ["table", ref files @ ..] => table(files),
        ["wgsl", file] => wgsl(file),
        ["hlsl", folder] => hlsl::write(Path::new(folder)),
        _ => Err(
            "usage: shader_stats compile FILE [KERNEL] | text FOLDER KERNEL | host | fill | table FILE... | wgsl FILE | \
             hlsl FOLDER"
                .into(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a device with these features runs the kernel. Of both wide arithmetics that is the one that is chosen.
fn runs_on(source: &Source, has: Features) -> bool {
    let matrices = source.matrices.is_none_or(|[side, subgroup]| {
        has.matrices && side == 16 && has.subgroup.contains(&subgroup)
    });
    source.float64.is_none_or(|float64| float64 == has.float64)
        && (has.f16 || !source.f16)
        && matrices
}

/// Compiles the kernels whose names contain `kernel`. Of several that are the same in SPIR-V only the first one.
fn compiled(kernel: &str, mut each: impl FnMut(&Source, Compiled) -> Result<()>) -> Result<usize> {
    let device = Vulkan::open()?;
    let mut seen = HashSet::new();
    let mut failures = Vec::new();
    for source in sources()? {
        let name = format!("{} {}", source.entry, source.variant);
        if !runs_on(&source, device.features)
            || !name.contains(kernel)
            || !seen.insert(spirv(&source)?)
        {
            continue;
        }
        let made = device.compile(&source, device.features.matrices);
        if let Err(e) = made.and_then(|made| each(&source, made)) {
            failures.push(format!("{name}: {e}"));
        }
    }
    let gpu = &device.name;
    match failures.is_empty() {
        true => Ok(seen.len()),
        false => Err(format!("{gpu}:\n  {}", failures.join("\n  "))),
    }
}

fn compile(file: &str, kernel: &str) -> Result<()> {
    let (mut rows, mut defects) = (Vec::new(), Vec::new());
    let count = compiled(kernel, |source, made| {
        let row = Row::new(source, shared_bytes(source)?, &made);
        defects.extend(row.defect());
        rows.push(row);
        Ok(())
    })?;
    if count == 0 {
        return Err(format!("no kernel is named '{kernel}'"));
    }
    std::fs::write(file, report::file(&rows)).map_err(|e| format!("{file}: {e}"))?;
    match defects.is_empty() {
        true => Ok(()),
        false => Err(defects.join("\n")),
    }
}

fn texts(folder: &Path, kernel: &str) -> Result<()> {
    compiled(kernel, |source, made| {
        for (stage, text) in &made.texts {
            let name =
                format!("{} {} {stage}", source.entry, source.variant).replace([' ', '/'], "_");
            std::fs::write(folder.join(name), text).map_err(|e| e.to_string())?;
        }
        Ok(())
    })
    .map(|_| ())
}

/// Whether a kernel needs no feature of the device.
fn is_plain(source: &Source) -> bool {
    source.float64 != Some(true) && !source.f16 && source.matrices.is_none()
}

/// A list of JSON objects, one a kernel; `read_only` is of the storage buffers, from binding 1 on.
fn wgsl(file: &str) -> Result<()> {
    let mut seen = HashSet::new();
    let kernels: Vec<_> = sources()?
        .into_iter()
        .filter(|s| is_plain(s) && seen.insert((s.entry, s.text.clone())))
        .map(|s| {
            serde_json::json!({
                "entry": s.entry,
                "variant": s.variant,
                "text": s.text,
                "read_only": s.read_only,
            })
        })
        .collect();
    let text = serde_json::Value::from(kernels).to_string();
    std::fs::write(file, text).map_err(|e| format!("{file}: {e}"))
}

fn table(files: &[&str]) -> Result<()> {
    let read = |file: &&str| {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
        let name = Path::new(file)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok((name, report::read(&text)?))
    };
    let gpus = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    print!("{}", report::table(&gpus));
    Ok(())
}
