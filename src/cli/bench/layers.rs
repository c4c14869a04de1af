//! What a network does beside convolutions, at shapes of real layers.

use super::job::{Job, Visit, noise};
use super::shapes::{LINEARS, MAPS, POOLS};
use chanscope::Result;
use chanscope::ops::Activation;
use chanscope::ops::ceiling::Ceilings;
use chanscope::ops::net::{
    Binary, NetOps, Pool2dParams, PoolKind, Reduction, Shuffle, StridedCopy,
};
use serde_json::json;

/// Activations that everything but pooling and fully connected layers goes over: not the smallest.
const MAP: usize = 1;

pub fn visit<B: NetOps + Ceilings>(backend: &B, visitor: &mut impl Visit) -> Result<()> {
    if visitor.wants("linear") {
        for (name, [rows, inner, columns]) in LINEARS {
            linear(backend, visitor, name, [*rows, *inner, *columns])?;
        }
    }
    if visitor.wants("pool2d") {
        for (name, shape, window) in POOLS {
            pool2d(backend, visitor, name, *shape, *window)?;
        }
    }
    let (name, shape) = MAPS[MAP];
    let size: usize = shape.iter().product();
    let [n, channels, h, w] = shape;
    let maps = Maps {
        name,
        shape,
        size: size as u64,
    };
    if !["pointwise", "reduce", "strided", "shuffle"]
        .iter()
        .any(|kernel| visitor.wants(kernel))
    {
        return Ok(());
    }
    let x = backend.upload(&shape, &noise(size))?;
    if visitor.wants("pointwise") {
        let y = backend.upload(&shape, &noise(size))?;
        visitor.job(maps.job("pointwise", "x + y, ReLU", 2, 3), &mut || {
            done(
                backend,
                backend.binary(&x, &y, Binary::Add, Activation::Relu),
            )
        })?;
    }
    if visitor.wants("reduce") {
        visitor.job(maps.job("reduce", "mean of maps", 1, 1), &mut || {
            done(
                backend,
                backend.reduce(&x, Reduction::Mean, 2..4, &shape[..2]),
            )
        })?;
        visitor.job(
            maps.job("reduce", "softmax over channels", 4, 2),
            &mut || done(backend, backend.softmax(&x, 1)),
        )?;
    }
    if visitor.wants("strided") {
        let mut last = backend.zeros(&[n, h, w, channels])?;
        let copy = StridedCopy {
            extents: vec![n, h * w, channels],
            src_offset: 0,
            src_strides: vec![(channels * h * w) as isize, 1, (h * w) as isize],
            dst_offset: 0,
            dst_strides: vec![channels * h * w, channels, 1],
        };
        visitor.job(maps.job("strided", "channels last", 0, 2), &mut || {
            NetOps::copy(backend, &x, &mut last, &copy)?;
            backend.finish()
        })?;
    }
    if visitor.wants("shuffle") {
        // A step prime to the number of samples visits each once.
        let others: Vec<u32> = (0..n as u32).map(|i| (i * 5 + 3) % n as u32).collect();
        visitor.job(maps.job("shuffle", "samples", 0, 2), &mut || {
            done(backend, backend.shuffle(&x, Shuffle::Samples(&others)))
        })?;
    }
    Ok(())
}

/// Waits for what was made, and drops it.
fn done<B: Ceilings>(backend: &B, made: Result<B::Tensor>) -> Result<()> {
    let made = made?;
    backend.finish()?;
    drop(made);
    Ok(())
}

/// Activations `[N, C, H, W]`.
struct Maps {
    name: &'static str,
    shape: [usize; 4],
    size: u64,
}

impl Maps {
    /// A job with so many operations, and numbers read or written, per element.
    fn job(&self, kernel: &'static str, what: &str, flops: u64, numbers: u64) -> Job {
        let [n, channels, h, w] = self.shape;
        Job {
            kernel,
            half: false,
            shape: format!("{} {n}x{channels}x{h}x{w} {what}", self.name),
            sizes: json!({ "shape": self.shape }),
            flops: flops * self.size,
            bytes: 4 * numbers * self.size,
            items: self.size,
            unit: "elements",
        }
    }
}

fn linear<B: NetOps + Ceilings>(
    backend: &B,
    visitor: &mut impl Visit,
    name: &str,
    [rows, inner, columns]: [usize; 3],
) -> Result<()> {
    let tensor = |shape: &[usize]| backend.upload(shape, &noise(shape.iter().product()));
    let (x, weight) = (tensor(&[rows, inner])?, tensor(&[inner, columns])?);
    let bias = tensor(&[columns])?;
    let job = Job {
        kernel: "linear",
        half: false,
        shape: format!("{name} {rows}x{inner}x{columns}"),
        sizes: json!({ "rows": rows, "inner": inner, "columns": columns }),
        flops: (2 * rows * inner * columns) as u64,
        bytes: 4 * (rows * inner + inner * columns + columns + rows * columns) as u64,
        items: rows as u64,
        unit: "samples",
    };
    visitor.job(job, &mut || {
        done(
            backend,
            backend.linear(&x, &weight, Some(&bias), Activation::Relu),
        )
    })
}

fn pool2d<B: NetOps + Ceilings>(
    backend: &B,
    visitor: &mut impl Visit,
    name: &str,
    shape: [usize; 4],
    [window, step, padding]: [usize; 3],
) -> Result<()> {
    let [n, channels, h, w] = shape;
    let side = |length: usize| (length + 2 * padding - window) / step + 1;
    let params = Pool2dParams {
        kind: PoolKind::Max,
        kernel: [window; 2],
        stride: [step; 2],
        padding: [padding; 4],
        dilation: [1, 1],
        output: [side(h), side(w)],
    };
    let x = backend.upload(&shape, &noise(shape.iter().product()))?;
    let outputs = n * channels * side(h) * side(w);
    let job = Job {
        kernel: "pool2d",
        half: false,
        shape: format!("{name} {n}x{channels}x{h}x{w}, {window}x{window} by {step}"),
        sizes: json!({ "shape": shape, "window": window, "step": step, "padding": padding }),
        flops: (outputs * window * window) as u64,
        bytes: 4 * (n * channels * h * w + outputs) as u64,
        items: n as u64,
        unit: "samples",
    };
    visitor.job(job, &mut || done(backend, backend.pool2d(&x, &params)))
}
