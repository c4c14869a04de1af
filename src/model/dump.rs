//! Activations of a network on all samples of a file, batch by batch.

use super::forward::Session;
use super::graph::Graph;
use super::images::{Images, batch_size};
use super::node::ValueId;
use crate::Result;
use crate::control::Control;
use crate::io::layer::Layer;
use crate::ops::net::NetOps;

/// Most samples at a time: enough to keep a device busy.
const MOST: usize = 256;

/// Runs `graph` on every sample of `data` and hands each of `values` to `take`: its place in the list, the
/// first sample of the batch, and `[rows, ...]` elements. A value may be listed more than once.
///
/// # Errors
/// What reading, running and `take` return; [`crate::Error::Memory`] where one sample does not fit.
pub fn activations<B: NetOps>(
    backend: &B,
    graph: &Graph,
    data: &dyn Layer,
    values: &[ValueId],
    memory: u64,
    control: &Control<'_>,
    mut take: impl FnMut(usize, usize, &[f32]) -> Result<()>,
) -> Result<()> {
    let images = Images::new(graph, data)?;
    let mut wanted = values.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let session = Session::within(backend, graph, &[graph.input()], &wanted, memory)?;
    let batch = batch_size(
        memory,
        session.fixed_bytes(),
        session.bytes_per_sample(),
        MOST,
    )?;
    for start in (0..images.samples()).step_by(batch) {
        let rows = start..images.samples().min(start + batch);
        control.check()?;
        let x = images.read(backend, rows.clone())?;
        let tensors = session.run(&[&x])?;
        drop(x);
        for (id, tensor) in wanted.iter().zip(tensors) {
            let mut elements = backend.download(&tensor)?;
            // Of which bits a NaN consists may depend on where in a batch it was computed.
            for value in elements.iter_mut().filter(|v| v.is_nan()) {
                *value = f32::NAN;
            }
            for (place, _) in values.iter().enumerate().filter(|(_, v)| *v == id) {
                take(place, rows.start, &elements)?;
            }
        }
        control.report_samples("forward pass", rows.end, images.samples());
    }
    Ok(())
}
