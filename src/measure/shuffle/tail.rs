//! The part of a network that depends on a tensor, run for many variants of that tensor at once.
//!
//! The results of ungrouped convolutions that read the tensor are corrected instead of computed anew: a
//! convolution is linear, so what changes when channel `k` changes by `D` is the convolution of `D` with
//! the weights of that one input channel. That saves a factor of the number of channels. What else reads
//! the tensor, such as a residual addition, gets copies of it with one channel exchanged.
//!
//! Operations that compute each channel from the same channel, such as pooling, come first: they are applied to the
//! tensor and to the shuffled one, once for all variants ([`after_channelwise`]).

use crate::model::data::Data;
use crate::model::forward::{Session, repeat};
use crate::model::graph::Graph;
use crate::model::node::{Node, Op, ValueId};
use crate::ops::net::{Binary, NetOps, StridedCopy, Unary};
use crate::ops::{Activation, Conv2dParams};
use crate::{Error, Result};
use std::ops::Range;

/// A convolution that reads the tensor, with what follows it directly.
struct Reader<T> {
    /// Its result after batch normalisation: linear in the tensor.
    linear: ValueId,
    /// The same after the activation, where one follows: what the rest of the network starts from.
    start: ValueId,
    params: Conv2dParams,
    /// `[C M, 1, kh, kw]`: for each channel of the tensor its weights to all outputs.
    weight: T,
    shape: [usize; 3],
}

/// Shape and elements of a weight on the host.
type HostWeight = (Vec<usize>, Vec<f32>);

/// The dependent part of a network.
pub(super) struct Tail<'a, B: NetOps> {
    backend: &'a B,
    tensor: ValueId,
    /// Elements of the tensor, per sample.
    tensor_len: usize,
    /// Convolutions whose results are corrected.
    readers: Vec<Reader<B::Tensor>>,
    /// Whether something else reads the tensor, and gets copies of it.
    copies: bool,
    session: Session<'a, B>,
    /// Values beside the tensor that the part reads.
    beside: Vec<ValueId>,
    /// For each wanted value, which start it is, if it is one.
    from_start: Vec<Option<usize>>,
}

impl<'a, B: NetOps> Tail<'a, B> {
    /// The part of `graph` between `tensor` and `wanted`, all of which depend on it.
    pub(super) fn new(
        backend: &'a B,
        graph: &Graph,
        tensor: ValueId,
        wanted: &[ValueId],
        memory: u64,
    ) -> Result<Self> {
        let reached = graph.dependents(tensor);
        let (readers, copies) = readers(graph, tensor, wanted)?;
        let mut starts: Vec<ValueId> = readers.iter().map(|r| r.start).collect();
        if copies {
            starts.push(tensor);
        }
        let beside = beside(graph, &reached, &starts, wanted);
        let given = [starts.as_slice(), &beside].concat();
        let rest: Vec<ValueId> = (wanted.iter().copied())
            .filter(|w| !starts.contains(w))
            .collect();
        let session = Session::within(backend, graph, &given, &rest, memory)?;
        let session = session.with_relaxed_convolutions();
        let from_start = (wanted.iter())
            .map(|w| starts.iter().position(|s| s == w))
            .collect();
        let readers = (readers.into_iter())
            .map(|r| r.upload(backend))
            .collect::<Result<_>>()?;
        Ok(Self {
            backend,
            tensor,
            tensor_len: graph.value(tensor).shape.iter().product(),
            readers,
            copies,
            session,
            beside,
            from_start,
        })
    }

    /// Values of the unshuffled network that [`Tail::run`] needs.
    pub(super) fn needs(&self) -> Vec<ValueId> {
        let mut needs = vec![self.tensor];
        needs.extend(self.readers.iter().map(|r| r.linear));
        needs.extend(&self.beside);
        needs
    }

    /// Bytes on the device of one variant of one sample.
    pub(super) fn bytes_per_variant(&self) -> u64 {
        let sizes = (self.readers.iter()).map(|r| r.shape.iter().product::<usize>());
        let corrections = sizes.sum::<usize>() + self.tensor_len;
        self.session.bytes_per_sample() + 4 * corrections as u64
    }

    /// The wanted values, `[N K, ...]`, where channels `channels` come from `shuffled` one at a time.
    /// `base` holds what [`Tail::needs`] lists.
    pub(super) fn run(
        &self,
        base: &[&B::Tensor],
        shuffled: &B::Tensor,
        channels: Range<usize>,
    ) -> Result<Vec<B::Tensor>> {
        let (tensor, rest) = (base[0], &base[1..]);
        let (variants, backend) = (channels.len(), self.backend);
        let (linear, beside) = rest.split_at(self.readers.len());
        let mut given = vec![];
        if !self.readers.is_empty() {
            let (from, to) = (
                self.channels(tensor, &channels)?,
                self.channels(shuffled, &channels)?,
            );
            let change = backend.binary(&to, &from, Binary::Sub, Activation::Identity)?;
            for (reader, base) in self.readers.iter().zip(linear) {
                given.push(self.correct(reader, base, &change, &channels)?);
            }
        }
        if self.copies {
            given.push(backend.substitute(tensor, shuffled, channels)?);
        }
        for value in beside {
            given.push(repeat(self.backend, value, variants)?);
        }
        let rest = self.session.run(&given.iter().collect::<Vec<_>>())?;
        let (mut rest, mut given) = (
            rest.into_iter(),
            given.into_iter().map(Some).collect::<Vec<_>>(),
        );
        (self.from_start.iter())
            .map(|start| match start {
                Some(i) => given[*i].take(),
                None => rest.next(),
            })
            .collect::<Option<_>>()
            .ok_or_else(|| Error::network("shuffling: a tap is asked for twice"))
    }

    /// Some channels of `x [N, C, h, w]`.
    fn channels(&self, x: &B::Tensor, channels: &Range<usize>) -> Result<B::Tensor> {
        let from = self.backend.shape(x).to_vec();
        let map: usize = from[2..].iter().product();
        let mut to = from.clone();
        to[1] = channels.len();
        let mut out = self.backend.zeros(&to)?;
        let part = StridedCopy {
            extents: vec![from[0], channels.len() * map],
            src_offset: channels.start * map,
            src_strides: vec![(from[1] * map) as isize, 1],
            dst_offset: 0,
            dst_strides: vec![channels.len() * map, 1],
        };
        self.backend.copy(x, &mut out, &part)?;
        Ok(out)
    }

    /// What the rest starts from: the base result plus the convolution of the change, activated.
    fn correct(
        &self,
        reader: &Reader<B::Tensor>,
        base: &B::Tensor,
        change: &B::Tensor,
        channels: &Range<usize>,
    ) -> Result<B::Tensor> {
        let backend = self.backend;
        let [m, h, w] = reader.shape;
        let samples = backend.shape(base)[0];
        let weight = self.rows(&reader.weight, channels.start * m..channels.end * m)?;
        let params = Conv2dParams {
            groups: channels.len(),
            activation: Activation::Identity,
            ..reader.params
        };
        let delta = backend.conv2d(change, &weight, None, &params)?;
        let delta = backend.reshape(delta, &[samples, channels.len(), m * h * w])?;
        let base = backend.reshape(repeat(backend, base, 1)?, &[samples, 1, m * h * w])?;
        let sum = backend.binary(&delta, &base, Binary::Add, reader.params.activation)?;
        backend.reshape(sum, &[samples * channels.len(), m, h, w])
    }

    /// Some rows of the first axis.
    fn rows(&self, x: &B::Tensor, rows: Range<usize>) -> Result<B::Tensor> {
        slice_rows(self.backend, x, rows)
    }
}

/// Some rows of the first axis of a tensor.
pub(super) fn slice_rows<B: NetOps>(
    backend: &B,
    x: &B::Tensor,
    rows: Range<usize>,
) -> Result<B::Tensor> {
    let mut shape = backend.shape(x).to_vec();
    let row: usize = shape[1..].iter().product();
    shape[0] = rows.len();
    let mut out = backend.zeros(&shape)?;
    let part = StridedCopy {
        extents: vec![rows.len() * row],
        src_offset: rows.start * row,
        src_strides: vec![1],
        dst_offset: 0,
        dst_strides: vec![1],
    };
    backend.copy(x, &mut out, &part)?;
    Ok(out)
}

impl Reader<HostWeight> {
    fn upload<B: NetOps>(self, backend: &B) -> Result<Reader<B::Tensor>> {
        Ok(Reader {
            linear: self.linear,
            start: self.start,
            params: self.params,
            weight: backend.take(&self.weight.0, self.weight.1)?,
            shape: self.shape,
        })
    }
}

/// What is left of `tensor` after all operations that compute each channel from the same channel, as far as nothing
/// else reads what they start from, nothing in between is wanted, and no result is larger than the tensor.
pub(super) fn after_channelwise(graph: &Graph, tensor: ValueId, wanted: &[ValueId]) -> ValueId {
    let size = |id: ValueId| graph.value(id).shape.iter().product::<usize>();
    let mut last = tensor;
    loop {
        let mut readers = graph.readers(last);
        let (Some(node), None) = (readers.next(), readers.next()) else {
            return last;
        };
        let channelwise = matches!(node.op, Op::Pool(_) | Op::Unary(_) | Op::BatchNorm(_));
        let output = node.output;
        let follows = node.inputs[0] == last && !wanted.contains(&output);
        if !channelwise || !follows || size(output) > size(tensor) {
            return last;
        }
        last = output;
    }
}

/// The convolutions that read `tensor` and can be corrected, and whether there are other readers.
fn readers(
    graph: &Graph,
    tensor: ValueId,
    wanted: &[ValueId],
) -> Result<(Vec<Reader<HostWeight>>, bool)> {
    let (mut found, mut others) = (vec![], false);
    for node in graph.readers(tensor) {
        let corrected = match node.op {
            Op::Conv(params) if params.groups == 1 && node.inputs[0] == tensor => {
                reader(graph, node, params, wanted)?
            }
            _ => None,
        };
        match corrected {
            Some(reader) => found.push(reader),
            None => others = true,
        }
    }
    Ok((found, others))
}

fn reader(
    graph: &Graph,
    node: &Node,
    mut params: Conv2dParams,
    wanted: &[ValueId],
) -> Result<Option<Reader<HostWeight>>> {
    let only = |id: ValueId| {
        let mut readers = graph.readers(id);
        match (readers.next(), readers.next()) {
            (Some(next), None) if !wanted.contains(&id) => Some(next),
            _ => None,
        }
    };
    let mut linear = node.output;
    let mut scale = None;
    if let Some(next) = only(linear)
        && matches!(next.op, Op::BatchNorm(_))
    {
        let data = graph.value(next.inputs[1]).data.as_ref();
        scale = data.map(Data::read).transpose()?;
        linear = next.output;
    }
    let mut start = linear;
    if let Some(next) = only(linear)
        && let Op::Unary(Unary::Activation(a)) = next.op
    {
        params.activation = a;
        start = next.output;
    }
    let weight = graph.value(node.inputs[1]);
    let &[m, c, kh, kw] = weight.shape.as_slice() else {
        return Ok(None);
    };
    let Some(data) = &weight.data else {
        return Ok(None);
    };
    let data = data.read()?;
    let map = kh * kw;
    let mut by_channel = Vec::with_capacity(data.len());
    for channel in 0..c {
        for output in 0..m {
            let factor = scale.as_ref().map_or(1.0, |s| s[output]);
            let taps = &data[(output * c + channel) * map..][..map];
            by_channel.extend(taps.iter().map(|w| w * factor));
        }
    }
    let &[rows, height, width] = graph.value(linear).shape.as_slice() else {
        return Ok(None);
    };
    Ok(Some(Reader {
        linear,
        start,
        params,
        weight: (vec![c * m, 1, kh, kw], by_channel),
        shape: [rows, height, width],
    }))
}

/// Values that do not depend on the tensor but are read on the way from `starts` to `wanted`.
pub(in crate::measure) fn beside(
    graph: &Graph,
    reached: &[bool],
    starts: &[ValueId],
    wanted: &[ValueId],
) -> Vec<ValueId> {
    let mut needed = vec![false; graph.value_count()];
    for id in wanted {
        needed[id.index()] = true;
    }
    let mut beside = vec![];
    for node in graph.nodes().iter().rev() {
        let output = node.output;
        if !needed[output.index()] || !reached[output.index()] || starts.contains(&output) {
            continue;
        }
        for &input in &node.inputs {
            let constant = graph.value(input).data.is_some();
            let first = !std::mem::replace(&mut needed[input.index()], true);
            if first && !constant && !reached[input.index()] {
                beside.push(input);
            }
        }
    }
    beside
}
