//! `chanscope bench`: every kernel on this device, beside what the device can do at most.
//!
//! `shapes` lists shapes of real layers, `work` and `layers` make jobs of them, `clock` times each job, and
//! `table` prints the rows.

mod clock;
mod job;
mod layers;
mod row;
mod shapes;
mod table;
mod work;

use super::{Common, error, network::on_device, output};
use chanscope::device::{Device, DeviceChoice};
use chanscope::gpu::{Gpu, Options};
use chanscope::{Error, Result};
use clock::{Clock, Stamps, ceilings};
use serde_json::json;
use work::visit;

/// Time every kernel on this device, beside what the device can do at most
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope bench --device gpu --json > bench.json")]
pub struct Args {
    /// Time only kernels whose name contains this, such as knn
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Measures and prints.
pub fn run(args: &Args, common: &Common) -> error::Result<()> {
    let device = common.open_device()?;
    let mut clock = Clock {
        only: args.only.clone(),
        quiet: common.quiet,
        rows: Vec::new(),
        float32: false,
    };
    let limits = on_device!(&device, |backend| {
        let limits = ceilings(backend)?;
        visit(backend, &mut clock)?;
        Ok::<_, Error>(limits)
    })?;
    let gpu = match &device {
        Device::Gpu(gpu) => Some(gpu),
        Device::Cpu(_) => None,
    };
    let matrices = gpu.filter(|gpu| gpu.cooperative_matrix().is_some());
    if let Some(gpu) = matrices {
        clock.float32 = true;
        visit(&again(&common.choice()?, gpu, true, false)?, &mut clock)?;
    }
    let mut rows = clock.rows;
    if rows.is_empty() {
        return Err(error::Error::Usage(format!(
            "--only '{}': no kernel has this in its name; there are conv2d, gram, knn, nnk, overlap, correlate and filters",
            args.only.as_deref().unwrap_or_default()
        )));
    }
    for float32 in [false, true] {
        let Some(gpu) = (if float32 { matrices } else { gpu }) else {
            continue;
        };
        let profiled = again(&common.choice()?, gpu, float32, true)?;
        let mut stamps = Stamps {
            gpu: &profiled,
            rows: &mut rows,
            float32,
        };
        visit(&profiled, &mut stamps)?;
    }
    if common.json {
        let rows: Vec<_> = rows.iter().map(|row| table::json(row, &limits)).collect();
        let info = device.info();
        return output::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": { "name": info.name, "backend": info.backend, "driver": info.driver },
            "threads": common.threads(),
            "ceilings": {
                "gflops": limits.flops / 1e9,
                "half_gflops": limits.half_flops.map(|f| f / 1e9),
                "gbytes_per_second": limits.bytes / 1e9,
            },
            "rows": rows,
        }));
    }
    output::print(&table::text(device.info(), &rows, &limits))
}

/// The same adapter again: without cooperative matrices, or timing its kernels. Those times cost waiting, so
/// they are taken apart.
fn again(choice: &DeviceChoice, gpu: &Gpu, float32: bool, profile: bool) -> Result<Gpu> {
    let name = match choice {
        DeviceChoice::GpuNamed(name) => Some(name.as_str()),
        _ => None,
    };
    let options = Options {
        wide: Some(gpu.wide()),
        profile,
        cooperative_matrix: float32.then_some(false),
        ..Options::default()
    };
    Gpu::open_with(name, &options)
}
