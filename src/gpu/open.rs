//! Opens an adapter, with the cooperative matrices that pass a trial.

use super::adapter::{BACKENDS, choose, instance, summaries};
use super::ceiling;
use super::context::{Context, Options};
use super::cooperative::{self, Cooperative};
use super::gram;
use super::pace::Pace;
use super::profile::Profiler;
use super::wait;
use crate::error::DeviceProblem;
use crate::{Error, Result};

/// Opens an adapter by its index or a part of its name; without a name, the first real GPU.
pub(super) fn open(name: Option<&str>, options: &Options) -> Result<Context> {
    wait::check()?;
    let instance = instance();
    let mut found = wait::block_on(instance.enumerate_adapters(BACKENDS));
    let list = summaries(&found);
    let adapter = found.swap_remove(choose(name, &list)?);
    let wants_matrices = options.cooperative_matrix != Some(false);
    let choices = match wants_matrices {
        true => Cooperative::choices(&adapter),
        false => Vec::new(),
    };
    let (device, queue) = request(&adapter, !choices.is_empty())?;
    let mut context = Context::new(device, queue, options, choices.first().copied())?;
    context.guard.watch();
    try_cooperative(&mut context, &choices, options)?;
    measure_pace(&mut context)?;
    Ok(context)
}

/// The adapter's device, with its limits and the features that kernels use.
fn request(adapter: &wgpu::Adapter, matrices: bool) -> Result<(wgpu::Device, wgpu::Queue)> {
    let mut wanted = wgpu::Features::SHADER_F64 | wgpu::Features::TIMESTAMP_QUERY;
    let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
    if matrices {
        wanted |= cooperative::FEATURES;
        // SAFETY: the caller has to accept that experimental features may have bugs. This crate's
        // shaders use one such feature: matrices of sizes that the adapter names, at pointers into
        // arrays that hold them completely, in uniform control flow.
        experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    let desc = wgpu::DeviceDescriptor {
        label: Some("chanscope"),
        required_features: adapter.features() & wanted,
        required_limits: adapter.limits(),
        experimental_features,
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
    };
    wait::block_on(adapter.request_device(&desc)).map_err(|e| Error::Device {
        device: adapter.get_info().name,
        problem: DeviceProblem::Refused {
            reason: e.to_string(),
        },
    })
}

/// Measures how fast the device is, and sizes dispatches by it. Software adapters, and devices that a caller opened, keep
/// the pace that suits a weak GPU.
fn measure_pace(context: &mut Context) -> Result<()> {
    if context.loop_budget() == usize::MAX {
        let rate = context.guarded("a measurement of speed", || ceiling::rate(context))?;
        context.pace = Pace::of(rate);
        context.profiler.as_ref().map(Profiler::take);
    }
    Ok(())
}

/// Takes the first of the cooperative matrices that pass a test, and continues without them if none does.
fn try_cooperative(
    context: &mut Context,
    choices: &[Cooperative],
    options: &Options,
) -> Result<()> {
    if choices.is_empty() {
        return Ok(());
    }
    context.cooperative = choices.iter().copied().find(|&matrices| {
        let trial = || gram::products_are_right(context, matrices);
        let passed = context.guarded("a trial of cooperative matrices", trial);
        matches!(passed, Ok(true))
    });
    context.guard.check_lost()?;
    // The test does not belong to the times that the caller asked for.
    context.profiler.as_ref().map(Profiler::take);
    match (context.cooperative, options.cooperative_matrix) {
        (None, Some(true)) => Err(context.fail(DeviceProblem::Lacks {
            feature: "cooperative matrices that pass a trial",
            advice: "leave the choice open",
        })),
        _ => Ok(()),
    }
}
