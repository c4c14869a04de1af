//! `chanscope bench`: every kernel on this device, beside what the device can do at most.

mod layers;
mod shapes;
mod table;
mod work;

use super::{Common, network::on_device, output};
use chanscope::device::{Device, DeviceChoice};
use chanscope::gpu::{Gpu, Options};
use chanscope::ops::ceiling::Ceilings;
use chanscope::{Error, Result};
use serde_json::json;
use std::time::{Duration, Instant};
use work::{Job, Visit, visit};

/// Time every kernel on this device, beside what the device can do at most
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope bench --device gpu --json > bench.json")]
pub struct Args {
    /// Only kernels whose name contains this, such as knn
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Repetitions: as many at least, and until the first time has passed; but once the second has, no more.
const REPEATS: usize = 3;
const ENOUGH: Duration = Duration::from_millis(300);
const TOO_LONG: Duration = Duration::from_secs(2);
/// Numbers of the copy: more than caches hold, less than the least memory cap.
const COPIED: usize = 8 << 20;

/// What one kernel took at one shape.
pub struct Row {
    pub job: Job,
    /// Median of the whole call, seconds.
    pub seconds: f64,
    /// Device time of its kernels, seconds, where there are timestamps.
    pub device_seconds: Option<f64>,
}

/// What the device can do at most, per second.
pub struct Limits {
    pub flops: f64,
    /// On matrices of f16 numbers, where there are such.
    pub half_flops: Option<f64>,
    pub bytes: f64,
}

impl Row {
    /// Seconds to judge by: the device's where they are known.
    pub fn best(&self) -> f64 {
        self.device_seconds.unwrap_or(self.seconds)
    }

    /// The larger of the shares of both ceilings.
    pub fn share(&self, limits: &Limits) -> f64 {
        let ceiling = match self.job.half {
            true => limits.half_flops.unwrap_or(limits.flops),
            false => limits.flops,
        };
        let flops = self.job.flops as f64 / self.best() / ceiling;
        flops.max(self.job.bytes as f64 / self.best() / limits.bytes)
    }
}

/// Measures and prints.
pub fn run(args: &Args, common: &Common) -> Result<()> {
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
        return Err(Error::Usage(format!(
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

/// The job as it is named on a device that has been told not to use its cooperative matrices (`float32`);
/// `None` where that changes nothing.
fn named(mut job: Job, float32: bool) -> Option<Job> {
    if float32 {
        if !job.half {
            return None;
        }
        job.half = false;
        job.shape.push_str(", float32 filter");
    }
    Some(job)
}

/// Best of a few runs: a ceiling is what nothing exceeds.
fn ceilings<B: Ceilings>(backend: &B) -> Result<Limits> {
    let values = vec![1.0; COPIED];
    let from = backend.upload(&[COPIED], &values)?;
    let mut to = backend.zeros(&[COPIED])?;
    let mut limits = Limits {
        flops: 0.0,
        half_flops: None,
        bytes: 0.0,
    };
    for _ in 0..2 * REPEATS {
        let start = Instant::now();
        let flops = backend.arithmetic()?;
        backend.finish()?;
        limits.flops = limits
            .flops
            .max(flops as f64 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        if let Some(flops) = backend.half_products()? {
            backend.finish()?;
            let rate = flops as f64 / start.elapsed().as_secs_f64();
            limits.half_flops = Some(limits.half_flops.unwrap_or(0.0).max(rate));
        }
        let start = Instant::now();
        backend.copy(&from, &mut to)?;
        backend.finish()?;
        let bytes = 8.0 * COPIED as f64;
        limits.bytes = limits.bytes.max(bytes / start.elapsed().as_secs_f64());
    }
    Ok(limits)
}

/// Times whole calls.
struct Clock {
    only: Option<String>,
    quiet: bool,
    rows: Vec<Row>,
    /// Only searches, on a device that has been told not to use its cooperative matrices.
    float32: bool,
}

impl Visit for Clock {
    fn wants(&self, kernel: &str) -> bool {
        let named = |only: &String| kernel.contains(only.as_str());
        self.only.as_ref().is_none_or(named) && (!self.float32 || kernel == "knn")
    }

    fn job(&mut self, job: Job, run: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let Some(job) = named(job, self.float32) else {
            return Ok(());
        };
        if !self.quiet {
            output::note(&format!("{}: {}", job.kernel, job.shape));
        }
        // The first run makes pipelines and grows pools.
        run()?;
        let mut seconds = Vec::new();
        let begun = Instant::now();
        while seconds.len() < REPEATS || begun.elapsed() < ENOUGH {
            let start = Instant::now();
            run()?;
            seconds.push(start.elapsed().as_secs_f64());
            if begun.elapsed() > TOO_LONG {
                break;
            }
        }
        seconds.sort_by(f64::total_cmp);
        self.rows.push(Row {
            job,
            seconds: seconds[seconds.len() / 2],
            device_seconds: None,
        });
        Ok(())
    }
}

/// Adds the device's own times to rows that were measured.
struct Stamps<'a> {
    gpu: &'a Gpu,
    rows: &'a mut [Row],
    /// As in [`Clock`].
    float32: bool,
}

impl Visit for Stamps<'_> {
    fn wants(&self, kernel: &str) -> bool {
        let timed = self.rows.iter().any(|row| row.job.kernel == kernel);
        timed && (!self.float32 || kernel == "knn")
    }

    fn job(&mut self, job: Job, run: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let Some(job) = named(job, self.float32) else {
            return Ok(());
        };
        // Preparation ran kernels too. Compiling is not on the device's clock: one run will do.
        self.gpu.kernel_times();
        run()?;
        let seconds: f64 = self.gpu.kernel_times().values().map(|t| t.seconds).sum();
        let same = |row: &&mut Row| row.job.kernel == job.kernel && row.job.shape == job.shape;
        if let Some(row) = self.rows.iter_mut().find(same) {
            row.device_seconds = (seconds > 0.0).then_some(seconds);
        }
        Ok(())
    }
}
