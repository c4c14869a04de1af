//! Times jobs: whole calls, and the device's own times where it has a clock.

use super::job::{Job, Visit};
use super::row::{Limits, Row};
use crate::cli::output;
use chanscope::Result;
use chanscope::gpu::Gpu;
use chanscope::ops::ceiling::Ceilings;
use std::time::{Duration, Instant};

/// Repetitions: as many at least, and until the first time has passed; but once the second has, no more.
const REPEATS: usize = 3;
const ENOUGH: Duration = Duration::from_millis(300);
const TOO_LONG: Duration = Duration::from_secs(2);
/// Numbers of the copy: more than caches hold, less than the least memory cap.
const COPIED: usize = 8 << 20;

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
pub fn ceilings<B: Ceilings>(backend: &B) -> Result<Limits> {
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
pub struct Clock {
    pub only: Option<String>,
    pub quiet: bool,
    pub rows: Vec<Row>,
    /// Only searches, on a device that has been told not to use its cooperative matrices.
    pub float32: bool,
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
pub struct Stamps<'a> {
    pub gpu: &'a Gpu,
    pub rows: &'a mut [Row],
    /// As in [`Clock`].
    pub float32: bool,
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
