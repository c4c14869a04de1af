//! Unit impulse responses of a network's channels and how alike they are (arXiv 1906.03986; docs/definitions.md#impulse-response).

mod compare;
mod ncc;

pub use compare::{Impulse, compare};
pub use ncc::{Match, Ncc, Similar};

use super::Context;
use super::setters::setters;
use crate::device::on_backend;

use crate::model::forward::Session;
use crate::model::graph::Graph;
use crate::model::images::batch_size;
use crate::model::layers::Tap;
use crate::model::node::ValueId;
use crate::model::parts::Layout;
use crate::ops::net::NetOps;
use crate::{Error, Result};

/// What is done about biases, whose response would be there without any impulse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bias {
    /// Response to the impulse minus response to zeros.
    #[default]
    Subtract,
    /// Biases set to 0.
    Zero,
    /// Left in.
    Keep,
}

impl Bias {
    /// Name as in options and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subtract => "subtract",
            Self::Zero => "zero",
            Self::Keep => "keep",
        }
    }
}

impl std::str::FromStr for Bias {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        [Self::Subtract, Self::Zero, Self::Keep]
            .into_iter()
            .find(|b| b.name() == s)
            .ok_or_else(|| Error::unknown("bias", s, "subtract, zero or keep"))
    }
}

/// Options of [`impulse`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImpulseOptions {
    /// Row and column of the 1; the middle `[H/2, W/2]` where not given.
    pub at: Option<[usize; 2]>,
    /// What is done about biases.
    pub bias: Bias,
    /// Whether nonlinearities are dropped.
    pub linear: bool,
    /// Which value of each layer is the response.
    pub tap: Tap,
    /// Take the mean of each response off before correlating.
    pub centred: bool,
    /// Smallest NCC of channels that count as alike, above 0 and at most 1.
    pub threshold: f64,
}

impl Default for ImpulseOptions {
    fn default() -> Self {
        Self {
            at: None,
            bias: Bias::Subtract,
            linear: false,
            tap: Tap::Activation,
            centred: false,
            threshold: 0.95,
        }
    }
}

setters!(ImpulseOptions {
    with_at(at: Option<[usize; 2]>),
    with_bias(bias: Bias),
    with_linear(linear: bool),
    with_tap(tap: Tap),
    with_centred(centred: bool),
    with_threshold(threshold: f64),
});

/// Runs impulses through a network and compares what its channels answer: [`responses`], then [`compare`].
///
/// # Errors
/// As [`responses`] and [`compare`].
pub fn impulse(ctx: &Context<'_>, graph: &Graph, options: &ImpulseOptions) -> Result<Impulse> {
    let responses = responses(ctx, graph, options)?;
    compare(ctx, responses, options)
}

/// Responses of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Layer.
    pub name: String,
    /// Channels `M`, input channels `I`, height, width.
    pub shape: [usize; 4],
    /// `[M, I, H, W]`: a channel's responses to the impulse in each input channel.
    pub values: Vec<f32>,
    /// `[M]` norms over all input channels and pixels.
    pub norms: Vec<f64>,
}

/// Below this share of the layer's largest response a difference of two responses is rounding.
const NEGLIGIBLE: f64 = 1e-6;

/// Runs impulses through the network and taps every convolutional layer.
///
/// # Errors
/// [`Error::NoLayout`] where the channels of the image are not known, [`Error::Argument`] on an impulse outside the image, [`Error::Network`] where the network has no
/// convolution, [`Error::NonLinear`] where it has no linear form, [`Error::NonFinite`] where it answers with NaN; [`Error::Memory`]; device errors.
pub fn responses(
    ctx: &Context<'_>,
    graph: &Graph,
    options: &ImpulseOptions,
) -> Result<Vec<Response>> {
    let memory = ctx.memory();
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| responses_on(
            backend, graph, options, memory
        ))
    })
}

fn responses_on<B: NetOps>(
    backend: &B,
    graph: &Graph,
    options: &ImpulseOptions,
    memory: u64,
) -> Result<Vec<Response>> {
    let [inputs, h, w] = graph.image_shape()?;
    let [y, x] = options.at.unwrap_or([h / 2, w / 2]);
    if y >= h || x >= w {
        return Err(Error::argument(
            "at",
            format!("{y},{x}"),
            format!("a pixel of the image of {h}x{w}"),
        ));
    }
    let changed;
    let graph = match (options.bias, options.linear) {
        (Bias::Zero, true) => {
            changed = graph.without_biases().linearised()?;
            &changed
        }
        (Bias::Zero, false) => {
            changed = graph.without_biases();
            &changed
        }
        (_, true) => {
            changed = graph.linearised()?;
            &changed
        }
        (_, false) => graph,
    };
    let (layers, _) = graph.layers_at(options.tap);
    let mut wanted: Vec<ValueId> = vec![];
    for layer in &layers {
        let value = layer.tap(options.tap);
        if !wanted.contains(&value) {
            wanted.push(value);
        }
    }
    if wanted.is_empty() {
        return Err(Error::network("the network has no convolution"));
    }
    let session = Session::within(backend, graph, &[graph.input()], &wanted, memory)?;
    let samples = inputs + usize::from(options.bias == Bias::Subtract);
    batch_size(
        memory,
        session.fixed_bytes(),
        session.bytes_per_sample() * samples as u64,
        1,
    )?;
    let image = inputs * h * w;
    let mut images = vec![0.0; samples * image];
    for channel in 0..inputs {
        let at = match graph.layout() {
            Some(Layout::Nhwc) => (y * w + x) * inputs + channel,
            _ => (channel * h + y) * w + x,
        };
        images[channel * image + at] = 1.0;
    }
    let shape = [&[samples], graph.input_shape()].concat();
    let images = backend.upload(&shape, &images)?;
    let taps = session.run(&[&images])?;
    (layers.into_iter())
        .map(|layer| {
            let value = layer.tap(options.tap);
            let place = wanted.iter().position(|&v| v == value).unwrap_or_default();
            let shape = &graph.value(value).shape;
            let values = backend.download(&taps[place])?;
            response(layer.name, shape, inputs, &values, options.bias)
        })
        .collect()
}

/// Arranges what the taps hold, `[samples, M, H, W]`, by channel.
fn response(
    name: String,
    shape: &[usize],
    inputs: usize,
    values: &[f32],
    bias: Bias,
) -> Result<Response> {
    let &[m, h, w] = shape else {
        return Err(Error::network(format!("layer '{name}' has no maps")));
    };
    let map = h * w;
    let zeros = &values[inputs * m * map..];
    let mut out = Vec::with_capacity(m * inputs * map);
    for channel in 0..m {
        for input in 0..inputs {
            let to_impulse = &values[(input * m + channel) * map..][..map];
            if bias == Bias::Subtract {
                let to_zeros = &zeros[channel * map..][..map];
                out.extend(to_impulse.iter().zip(to_zeros).map(|(a, b)| a - b));
            } else {
                out.extend_from_slice(to_impulse);
            }
        }
    }
    if out.iter().any(|v| !v.is_finite()) {
        return Err(Error::NonFinite {
            what: format!("values of the response of layer '{name}'"),
            at: vec![],
            advice: "export the model again, or scale its weights down",
        });
    }
    let row = inputs * map;
    let mut norms: Vec<f64> = out.chunks(row).map(|r| ncc::norm(r, 0.0)).collect();
    if bias == Bias::Subtract {
        let largest = norms.iter().copied().fold(0.0, f64::max);
        for (norm, map) in norms.iter_mut().zip(out.chunks_mut(row)) {
            if *norm < NEGLIGIBLE * largest {
                *norm = 0.0;
                map.fill(0.0);
            }
        }
    }
    Ok(Response {
        name,
        shape: [m, inputs, h, w],
        values: out,
        norms,
    })
}
