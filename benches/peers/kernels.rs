//! Lets `benches/peers/run` time one kernel of the CPU backend on its own arrays, a run at a time, so that
//! runs can alternate with those of another library.
//!
//! Reads one JSON request a line from stdin and answers each with one JSON line: `load` an array set and a
//! kernel, `run` it once (answer: `{"seconds": ...}`, copies from and to files not included), `save` what the
//! last run computed as raw little-endian files. Arrays come as raw `f32` files with their shapes.

use chanscope::cpu::{Cpu, FilterScratch};
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::array::ArrayLayer;
use chanscope::measure::baselines::ChannelSimilarity;
use chanscope::measure::{ChannelSimilarityOptions, Context, channel_similarity};
use chanscope::ops::filters::{FilterOps, FilterParams, FilterShape};
use chanscope::ops::net::{Correlation, NetOps};
use chanscope::ops::{
    Activation, Backend, Conv2dParams, GramKind, GraphBlock, GraphParams, Identical, Kernel,
    OverlapSums, PointsBlock, Sigma, Supports, Vectors,
};
use chanscope::tensor::LayerShape;
use chanscope::tensor::Values;
use serde::Deserialize;
use std::cell::RefCell;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A raw `f32` file.
#[derive(Deserialize)]
struct Array {
    path: PathBuf,
    shape: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request {
    Load { threads: usize, job: Job },
    Run,
    Save { folder: PathBuf },
}

/// What to time.
#[derive(Deserialize)]
#[serde(tag = "kernel", rename_all = "snake_case")]
enum Job {
    /// The k nearest of every point, `[N, d]`: preparation of the points included.
    Knn { points: Array, k: usize },
    /// Kernel regression for every point, its candidates given; Gram matrices included.
    Nnk {
        points: Array,
        k: usize,
        cosine: bool,
    },
    /// Linear Gram matrices of `[groups, n, dim]`.
    Gram { x: Array },
    /// A convolution without bias.
    Conv2d {
        x: Array,
        weight: Array,
        stride: [usize; 2],
        padding: [usize; 2],
        groups: usize,
    },
    /// Extremes over all lags of the cross-correlation of all pairs of maps, `[P, 1, h, w]`.
    Correlate { x: Array },
    /// Overlaps of the supports `[C, Q, k]` of all pairs of channels; -1 where a slot is not used.
    Overlap { supports: Array },
    /// Cosine and Pearson correlation of the channels of `[N, C, H, W]`.
    Channels { x: Array },
    /// Convolutional Similarity of all pairs of filters `[M, C, h, w]`, value and gradient.
    Filters { weight: Array },
}

/// A job with its data on the device.
enum Loaded {
    Knn {
        data: Vec<f32>,
        shape: [usize; 2],
        params: GraphParams,
    },
    Nnk {
        points: <Cpu as Backend>::Points,
        candidates: <Cpu as Backend>::Candidates,
        rows: usize,
        params: GraphParams,
        /// Kept from run to run, as a run over many blocks does.
        graph: Rc<RefCell<GraphBlock>>,
    },
    Gram {
        x: <Cpu as Backend>::Tensor,
    },
    Conv2d {
        x: <Cpu as Backend>::Tensor,
        weight: <Cpu as Backend>::Tensor,
        params: Conv2dParams,
    },
    Correlate {
        x: <Cpu as Backend>::Tensor,
    },
    Overlap {
        indices: Vec<i32>,
        degenerate: Vec<bool>,
        shape: [usize; 3],
    },
    Channels {
        device: Device,
        layer: ArrayLayer<'static>,
    },
    Filters {
        weights: Vec<f32>,
        shape: FilterShape,
        /// Kept from run to run, as a trainer does.
        scratch: RefCell<FilterScratch>,
        gradient: Rc<RefCell<Vec<f32>>>,
    },
}

/// What a run computed.
enum Output {
    Tensor(<Cpu as Backend>::Tensor),
    Graph(Rc<RefCell<GraphBlock>>),
    Candidates {
        lists: <Cpu as Backend>::Candidates,
        rows: usize,
        k: usize,
    },
    Correlation(Correlation),
    Overlap(OverlapSums),
    Channels(ChannelSimilarity),
    Similarity {
        value: f64,
        gradient: Rc<RefCell<Vec<f32>>>,
    },
}

fn main() -> Result<()> {
    let mut loaded: Option<(Cpu, Loaded)> = None;
    let mut output = None;
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Request::Load { threads, job } => {
                output = None;
                let cpu = Cpu::new(threads)?;
                let job = load(&cpu, threads, job)?;
                let driver = cpu.info().driver.clone();
                loaded = Some((cpu, job));
                serde_json::json!({ "driver": driver })
            }
            Request::Run => {
                let (cpu, job) = loaded.as_ref().ok_or("load something first")?;
                // What the last run computed goes before the clock starts, as the peers' results do.
                drop(output.take());
                let started = Instant::now();
                output = Some(run(cpu, job)?);
                serde_json::json!({ "seconds": started.elapsed().as_secs_f64() })
            }
            Request::Save { folder } => {
                let (cpu, _) = loaded.as_ref().ok_or("load something first")?;
                save(cpu, output.as_ref().ok_or("run first")?, &folder)?;
                serde_json::json!({})
            }
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn read(array: &Array) -> Result<Vec<f32>> {
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&std::fs::read(&array.path)?);
    if values.len() != array.shape.iter().product::<usize>() {
        return Err(format!("{}: not of shape {:?}", array.path.display(), array.shape).into());
    }
    Ok(values)
}

fn graph_params(k: usize, cosine: bool) -> GraphParams {
    GraphParams {
        k,
        kernel: if cosine {
            Kernel::Cosine
        } else {
            Kernel::Gaussian
        },
        sigma: Sigma::KthThird,
        identical: Identical::Keep,
        pca_dimension: false,
    }
}

fn block(data: &[f32], [rows, dim]: [usize; 2]) -> PointsBlock<'_> {
    PointsBlock {
        data: Values::F32(data),
        groups: 1,
        rows,
        dim,
        first: 0,
    }
}

fn load(cpu: &Cpu, threads: usize, job: Job) -> Result<Loaded> {
    let upload = |array: &Array| -> Result<_> { Ok(cpu.upload(&array.shape, &read(array)?)?) };
    Ok(match job {
        Job::Knn { points, k } => Loaded::Knn {
            data: read(&points)?,
            shape: [points.shape[0], points.shape[1]],
            params: graph_params(k, false),
        },
        Job::Nnk { points, k, cosine } => {
            let (rows, params) = (points.shape[0], graph_params(k, cosine));
            let prepared = cpu.points(
                block(&read(&points)?, [rows, points.shape[1]]),
                params.kernel,
            )?;
            let candidates = search(cpu, &prepared, rows, &params)?;
            Loaded::Nnk {
                points: prepared,
                candidates,
                rows,
                params,
                graph: Rc::default(),
            }
        }
        Job::Gram { x } => Loaded::Gram { x: upload(&x)? },
        Job::Correlate { x } => Loaded::Correlate { x: upload(&x)? },
        Job::Overlap { supports } => {
            let shape = <[usize; 3]>::try_from(&supports.shape[..])?;
            Loaded::Overlap {
                indices: read(&supports)?.iter().map(|&i| i as i32).collect(),
                degenerate: vec![false; shape[0] * shape[1]],
                shape,
            }
        }
        Job::Channels { x } => {
            let [n, c, h, w] = <[usize; 4]>::try_from(&x.shape[..])?;
            let shape = LayerShape::new(n, c, h, w)?;
            Loaded::Channels {
                device: Device::open(&DeviceChoice::Cpu, threads)?,
                layer: ArrayLayer::new("x", shape, read(&x)?)?,
            }
        }
        Job::Filters { weight } => {
            let weights = read(&weight)?;
            Loaded::Filters {
                shape: FilterShape::new(&weight.shape)?,
                scratch: RefCell::default(),
                gradient: Rc::new(RefCell::new(vec![0.0; weights.len()])),
                weights,
            }
        }
        Job::Conv2d {
            x,
            weight,
            stride,
            padding: [py, px],
            groups,
        } => Loaded::Conv2d {
            x: upload(&x)?,
            weight: upload(&weight)?,
            params: Conv2dParams {
                stride,
                padding: [py, px, py, px],
                dilation: [1, 1],
                groups,
                activation: Activation::Identity,
            },
        },
    })
}

fn search(
    cpu: &Cpu,
    points: &<Cpu as Backend>::Points,
    rows: usize,
    params: &GraphParams,
) -> Result<<Cpu as Backend>::Candidates> {
    let mut candidates = cpu.candidates(1, rows, params.k)?;
    cpu.knn(points, 0..rows, points, params, &mut candidates)?;
    Ok(candidates)
}

fn run(cpu: &Cpu, job: &Loaded) -> Result<Output> {
    Ok(match job {
        Loaded::Knn {
            data,
            shape,
            params,
        } => {
            let points = cpu.points(block(data, *shape), params.kernel)?;
            let lists = search(cpu, &points, shape[0], params)?;
            Output::Candidates {
                lists,
                rows: shape[0],
                k: params.k,
            }
        }
        Loaded::Nnk {
            points,
            candidates,
            rows,
            params,
            graph,
        } => {
            let vectors = Vectors::Points(points);
            let block = &mut *graph.borrow_mut();
            cpu.nnk_into(points, 0..*rows, candidates, vectors, params, block)?;
            Output::Graph(Rc::clone(graph))
        }
        Loaded::Gram { x } => Output::Tensor(cpu.gram(x, GramKind::Linear)?),
        Loaded::Conv2d { x, weight, params } => {
            Output::Tensor(cpu.conv2d(x, weight, None, params)?)
        }
        Loaded::Correlate { x } => Output::Correlation(cpu.correlate(x, None)?),
        Loaded::Overlap {
            indices,
            degenerate,
            shape: [channels, queries, k],
        } => {
            let zeros = || vec![0; channels * channels];
            let mut sums = OverlapSums {
                intersection: zeros(),
                jaccard_q40: zeros(),
                queries: zeros(),
                unions: zeros(),
            };
            let supports = Supports {
                indices,
                degenerate,
                channels: *channels,
                queries: *queries,
                k: *k,
            };
            cpu.overlap(supports, &mut sums)?;
            Output::Overlap(sums)
        }
        Loaded::Channels { device, layer } => Output::Channels(channel_similarity(
            &Context::new(device),
            layer,
            &ChannelSimilarityOptions::default(),
        )?),
        Loaded::Filters {
            weights,
            shape,
            scratch,
            gradient,
        } => Output::Similarity {
            value: cpu.similarity(
                weights,
                *shape,
                FilterParams::default(),
                Some(&mut *gradient.borrow_mut()),
                &mut *scratch.borrow_mut(),
            )?,
            gradient: Rc::clone(gradient),
        },
    })
}

fn save(cpu: &Cpu, output: &Output, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes);
    match output {
        Output::Tensor(tensor) => {
            write("output.f32", bytemuck::cast_slice(&cpu.download(tensor)?))?
        }
        Output::Graph(graph) => {
            let graph = graph.borrow();
            write("weights.f32", bytemuck::cast_slice(&graph.weights))?;
            write("objective.f64", bytemuck::cast_slice(&graph.objective))?;
            write("neighbors.i32", bytemuck::cast_slice(&graph.neighbors))?;
        }
        Output::Candidates { lists, rows, k } => {
            let mut neighbors = vec![-1; rows * k];
            for (row, into) in neighbors.chunks_exact_mut(*k).enumerate() {
                for (slot, found) in into.iter_mut().zip(lists.list(0, row)) {
                    *slot = i32::try_from(found.index)?;
                }
            }
            write("neighbors.i32", bytemuck::cast_slice(&neighbors))?;
        }
        Output::Correlation(found) => {
            write("max.f32", bytemuck::cast_slice(&found.max))?;
            write("lag.i32", bytemuck::cast_slice(&found.lag))?;
        }
        Output::Overlap(sums) => {
            let float = |sums: &[u64], unit: f64| -> Vec<f64> {
                sums.iter().map(|&sum| sum as f64 * unit).collect()
            };
            let jaccard = float(&sums.jaccard_q40, 1.0 / (1u64 << 40) as f64);
            write(
                "intersection.f64",
                bytemuck::cast_slice(&float(&sums.intersection, 1.0)),
            )?;
            write("jaccard.f64", bytemuck::cast_slice(&jaccard))?;
        }
        Output::Channels(found) => {
            for (name, matrix) in [
                ("cosine.f64", &found.cosine),
                ("pearson.f64", &found.pearson),
            ] {
                let values: Vec<f64> = matrix.iter().copied().collect();
                write(name, bytemuck::cast_slice(&values))?;
            }
        }
        Output::Similarity { value, gradient } => {
            write("value.f64", bytemuck::bytes_of(value))?;
            write("gradient.f32", bytemuck::cast_slice(&gradient.borrow()))?;
        }
    }
    Ok(())
}
