//! What the host allows, on a driver whose device takes no time: how fast rows get ready and results come back, in how
//! many submissions and dispatches, and whether dispatches are large enough for a large card.

use crate::Result;
use chanscope::gpu::{Call, Gpu};
use chanscope::ops::{
    Backend, GraphBlock, GraphParams, Identical, Kernel, PointsBlock, Sigma, Vectors,
};
use chanscope::tensor::Values;
use std::time::Instant;

/// Multiprocessors of the card that dispatches should fill, workgroups for each of them, and operations a second.
const UNITS: u64 = 132;
const PER_UNIT: u64 = 4;
const RATE: f64 = 60e12;
/// Operations that such a card does in a microsecond or so, whatever share of it works.
const NEGLIGIBLE: u64 = 50_000_000;

/// Rows whose graphs are computed.
const ROWS: usize = 1 << 17;
/// Numbers per row where the rows do not matter.
const SHORT: usize = 16;
/// The best of so many runs counts.
const REPEATS: usize = 7;

/// Prints how fast the host is, and in how many calls.
pub fn measure() -> Result<()> {
    let gpu = Gpu::open(Some("0")).map_err(words)?;
    println!("{}\n", gpu.info().name);
    println!("| step | a second | submissions | waits | dispatches |\n|---|---|---|---|---|");
    for dim in [64, 784] {
        let rows = (1 << 23) / dim;
        let data = noise(rows * dim);
        let bytes = (4 * rows * dim) as f64;
        let per_second = timed(&gpu, || points(&gpu, &data, rows, dim).map(drop))?;
        let Timed { rate, calls } = per_second;
        println!(
            "| `Points`, d {dim} | {:.1} GB, {:.2} million rows {}",
            bytes * rate / 1e9,
            rows as f64 * rate / 1e6,
            calls.columns()
        );
        // An analysis for every run, and one for the run before the first.
        let block = block(&data, rows, dim);
        let analyse = |_| gpu.analyse(block, Kernel::Gaussian);
        let mut ready: Vec<_> = (0..=REPEATS).filter_map(analyse).collect();
        let copy = || {
            let analysis = ready.pop().ok_or("no analysis is left")?;
            let points = gpu.analysed_points(block, Kernel::Gaussian, analysis);
            points.map(drop).map_err(words)
        };
        let Timed { rate, calls } = timed(&gpu, copy)?;
        println!(
            "| the same, analysed ahead | {:.1} GB, {:.2} million rows {}",
            bytes * rate / 1e9,
            rows as f64 * rate / 1e6,
            calls.columns()
        );
    }
    let data = noise(ROWS * SHORT);
    let points = points(&gpu, &data, ROWS, SHORT)?;
    for k in [25, 50] {
        let params = params(k);
        let search = || {
            let mut found = gpu.candidates(1, ROWS, k)?;
            gpu.knn(&points, 0..ROWS, &points, &params, &mut found)?;
            gpu.wait()?;
            Ok(found)
        };
        let Timed { rate, calls } = timed(&gpu, || search().map(drop).map_err(words))?;
        let queries = |rate: f64| ROWS as f64 * rate / 1e6;
        let columns = calls.columns();
        println!(
            "| search, k {k} | {:.1} million queries {columns}",
            queries(rate)
        );
        let found = search().map_err(words)?;
        let mut block = GraphBlock::default();
        let mut solve = || {
            let vectors = Vectors::Points(&points);
            gpu.nnk_into(&points, 0..ROWS, &found, vectors, &params, &mut block)
        };
        let Timed { rate, calls } = timed(&gpu, || solve().map_err(words))?;
        let columns = calls.columns();
        println!(
            "| solve, k {k} | {:.1} million queries {columns}",
            queries(rate)
        );
    }
    Ok(())
}

/// Prints how graphs of long rows are cut into dispatches, for a card that does [`RATE`] operations a second.
pub fn fill() -> Result<()> {
    let mut gpu = Gpu::open(Some("0")).map_err(words)?;
    gpu.pretend(RATE);
    println!("{}\n", gpu.info().name);
    println!(
        "| numbers per row | kernel | dispatches | workgroups of the smallest |\n|---|---|---|---|"
    );
    let mut starved = Vec::new();
    for dim in [20_000, 100_352] {
        for (kernel, dispatches, smallest) in long_rows(&gpu, dim)? {
            println!("| {dim} | `{kernel}` | {dispatches} | {smallest} |");
            if dispatches > 1 && smallest < UNITS * PER_UNIT {
                starved.push(format!("{kernel} at {dim}: {smallest} workgroups"));
            }
        }
    }
    match starved.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "too few workgroups for {UNITS} units: {}",
            starved.join("; ")
        )),
    }
}

/// Dispatches of each kernel, and workgroups of the smallest, in a search and a solve of long rows.
fn long_rows(gpu: &Gpu, dim: usize) -> Result<Vec<(&'static str, u64, u64)>> {
    // A block of 1 GB.
    let rows = (1 << 30) / 4 / dim;
    let data = vec![1.0; rows * dim];
    let points = points(gpu, &data, rows, dim)?;
    gpu.launches();
    let params = params(50);
    let mut found = gpu.candidates(1, rows, params.k).map_err(words)?;
    gpu.knn(&points, 0..rows, &points, &params, &mut found)
        .map_err(words)?;
    let vectors = Vectors::Points(&points);
    gpu.nnk(&points, 0..rows, &found, vectors, &params)
        .map_err(words)?;
    let mut kernels: Vec<(&'static str, u64, u64)> = Vec::new();
    for launch in gpu.launches() {
        if launch.work * launch.workgroups < NEGLIGIBLE {
            continue;
        }
        match kernels.iter_mut().find(|k| k.0 == launch.kernel) {
            Some((_, dispatches, smallest)) => {
                *dispatches += launch.dispatches;
                *smallest = launch.smallest.min(*smallest);
            }
            None => kernels.push((launch.kernel, launch.dispatches, launch.smallest)),
        }
    }
    Ok(kernels)
}

/// Calls of a run.
struct Calls {
    submissions: u64,
    waits: u64,
    dispatches: u64,
}

impl Calls {
    fn columns(&self) -> String {
        let Self {
            submissions,
            waits,
            dispatches,
        } = self;
        format!("| {submissions} | {waits} | {dispatches} |")
    }
}

struct Timed {
    /// Runs a second, of the fastest.
    rate: f64,
    calls: Calls,
}

fn timed(gpu: &Gpu, mut run: impl FnMut() -> Result<()>) -> Result<Timed> {
    run()?;
    let mut rate = 0f64;
    let mut calls = None;
    for _ in 0..REPEATS {
        gpu.calls();
        gpu.launches();
        let start = Instant::now();
        run()?;
        rate = rate.max(1.0 / start.elapsed().as_secs_f64());
        let made = gpu.calls();
        calls = Some(Calls {
            submissions: made[Call::Submit as usize],
            waits: made[Call::Wait as usize],
            dispatches: gpu.launches().iter().map(|l| l.dispatches).sum(),
        });
    }
    let calls = calls.ok_or("no runs")?;
    Ok(Timed { rate, calls })
}

fn points(gpu: &Gpu, data: &[f32], rows: usize, dim: usize) -> Result<<Gpu as Backend>::Points> {
    let made = gpu.points(block(data, rows, dim), Kernel::Gaussian);
    made.map_err(words)
}

const fn block(data: &[f32], rows: usize, dim: usize) -> PointsBlock<'_> {
    PointsBlock {
        data: Values::F32(data),
        groups: 1,
        rows,
        dim,
        first: 0,
    }
}

const fn params(k: usize) -> GraphParams {
    GraphParams {
        k,
        kernel: Kernel::Gaussian,
        sigma: Sigma::KthThird,
        identical: Identical::Keep,
        pca_dimension: true,
    }
}

/// Numbers in [0, 1), the same in every run.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    (0..len).map(next).collect()
}

fn words(e: chanscope::Error) -> String {
    e.to_string()
}
