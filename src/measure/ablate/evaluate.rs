//! Which samples are classified correctly by the intact network, with one layer's maps replaced, and with all layers'.

use super::options::AblateInput;
use super::replace::{Ready, Replacement};
use crate::Result;
use crate::control::{Control, Step};
use crate::io::layer::Layer;
use crate::measure::shuffle::{beside, right};
use crate::model::forward::Session;
use crate::model::images::{Images, batch_size};
use crate::model::layers::ConvLayer;
use crate::model::node::ValueId;
use crate::ops::net::NetOps;
use crate::stream::run::ranges;

/// Most samples at a time.
const MOST: usize = 256;

/// The samples that accuracy is measured on.
pub(super) struct Evaluation<'a, B: NetOps> {
    pub(super) backend: &'a B,
    pub(super) input: &'a AblateInput<'a>,
    pub(super) data: &'a dyn Layer,
    /// Their labels.
    pub(super) labels: &'a [u32],
    pub(super) scores: ValueId,
    pub(super) memory: u64,
    pub(super) control: &'a Control<'a>,
}

impl<B: NetOps> Evaluation<'_, B> {
    /// `[N]` whether the intact network classifies each sample correctly.
    pub(super) fn intact(&self) -> Result<Vec<bool>> {
        let graph = self.input.graph;
        let session = Session::within(
            self.backend,
            graph,
            &[graph.input()],
            &[self.scores],
            self.memory,
        )?;
        let sizes = (session.fixed_bytes(), session.bytes_per_sample());
        let mut found = self.batches("intact network", 1, sizes, |x, labels, take| {
            let scores = session.run(&[x])?;
            take(0, &self.right(&scores[0], labels)?)
        })?;
        Ok(found.pop().unwrap_or_default())
    }

    /// `[replacement][N]` whether the network classifies each sample correctly while the maps of one layer are replaced.
    /// Computes what leads to the layer once, and what follows from it for every replacement.
    pub(super) fn one(
        &self,
        layer: &ConvLayer,
        replacements: &[Replacement],
    ) -> Result<Vec<Vec<bool>>> {
        let (graph, tap, backend) = (self.input.graph, layer.activation, self.backend);
        let shape = &graph.value(tap).shape;
        let beside = beside(graph, &graph.dependents(tap), &[tap], &[self.scores]);
        let mut wanted = vec![tap];
        wanted.extend(beside.iter().filter(|&&b| b != graph.input()));
        let head = Session::within(backend, graph, &[graph.input()], &wanted, self.memory)?;
        let given = [&[tap], beside.as_slice()].concat();
        let tail = Session::within(backend, graph, &given, &[self.scores], self.memory)?;
        let ready: Vec<Ready<B::Tensor>> = (replacements.iter())
            .map(|r| r.ready(backend, shape))
            .collect::<Result<_>>()?;
        let map: usize = shape.iter().product();
        let sizes = (
            head.fixed_bytes() + tail.fixed_bytes(),
            head.bytes_per_sample() + tail.bytes_per_sample() + 8 * map as u64,
        );
        let stage = format!("ablate {}", layer.name);
        self.batches(&stage, replacements.len(), sizes, |x, labels, take| {
            let before = head.run(&[x])?;
            let place = |id: &ValueId| wanted.iter().position(|w| w == id);
            let others = beside.iter().map(|b| place(b).map_or(x, |i| &before[i]));
            let others: Vec<&B::Tensor> = others.collect();
            for (i, ready) in ready.iter().enumerate() {
                let maps = ready.apply(backend, &before[0])?;
                let given = [&[&maps], others.as_slice()].concat();
                let scores = tail.run(&given)?;
                take(i, &self.right(&scores[0], labels)?)?;
            }
            Ok(())
        })
    }

    /// As [`Evaluation::one`], with the maps of all layers replaced: `replacements` holds one per layer each.
    pub(super) fn all(&self, replacements: &[Vec<&Replacement>]) -> Result<Vec<Vec<bool>>> {
        let (graph, backend) = (self.input.graph, self.backend);
        let taps: Vec<ValueId> = self.input.layers.iter().map(|l| l.activation).collect();
        let session = |wanted: &[ValueId]| {
            Session::within(backend, graph, &[graph.input()], wanted, self.memory)
        };
        let mut network = session(&[self.scores])?;
        if !taps.iter().all(|&tap| network.computes(tap)) {
            // A tap that is fused with what reads it is computed where it is asked for.
            let mut wanted = vec![self.scores];
            wanted.extend(&taps);
            wanted.dedup();
            network = session(&wanted)?;
        }
        let shape = |tap: ValueId| graph.value(tap).shape.as_slice();
        let ready = |replacements: &Vec<&Replacement>| {
            (replacements.iter().zip(&taps))
                .map(|(r, &tap)| {
                    (!r.is_identity())
                        .then(|| r.ready(backend, shape(tap)))
                        .transpose()
                })
                .collect::<Result<Vec<Option<Ready<B::Tensor>>>>>()
        };
        let ready = (replacements.iter())
            .map(ready)
            .collect::<Result<Vec<_>>>()?;
        let largest = taps
            .iter()
            .map(|&t| shape(t).iter().product::<usize>())
            .max();
        let sizes = (
            network.fixed_bytes(),
            network.bytes_per_sample() + 8 * largest.unwrap_or(0) as u64,
        );
        self.batches(
            "ablate all layers",
            replacements.len(),
            sizes,
            |x, labels, take| {
                for (i, ready) in ready.iter().enumerate() {
                    let scores = network.run_changed(&[x], &|id, maps| {
                        let place = taps.iter().position(|&tap| tap == id);
                        match place.and_then(|p| ready[p].as_ref()) {
                            Some(ready) => ready.apply(backend, &maps),
                            None => Ok(maps),
                        }
                    })?;
                    take(i, &self.right(&scores[0], labels)?)?;
                }
                Ok(())
            },
        )
    }

    /// Runs `work` on all samples, a batch at a time, and collects what it hands to its last argument: the place of a variant,
    /// and which samples of the batch are right. `sizes` are bytes on the device, fixed ones and per sample.
    fn batches(
        &self,
        stage: &str,
        variants: usize,
        (fixed, per_sample): (u64, u64),
        work: impl Fn(&B::Tensor, &[u32], &mut dyn FnMut(usize, &[bool]) -> Result<()>) -> Result<()>,
    ) -> Result<Vec<Vec<bool>>> {
        let images = Images::new(self.input.graph, self.data)?;
        let samples = images.samples();
        let batch = batch_size(self.memory, fixed, per_sample, MOST)?;
        let mut found = vec![Vec::with_capacity(samples); variants];
        let mut done = 0;
        for rows in ranges(samples, batch) {
            let x = images.read(self.backend, rows.clone())?;
            work(&x, &self.labels[rows], &mut |variant, right| {
                found[variant].extend_from_slice(right);
                done += right.len() as u64;
                self.control.report(Step {
                    stage,
                    done,
                    total: samples as u64 * variants as u64,
                    unit: "samples",
                });
                self.control.check()
            })?;
        }
        Ok(found)
    }

    /// Which samples are classified correctly.
    fn right(&self, scores: &B::Tensor, labels: &[u32]) -> Result<Vec<bool>> {
        right(&self.backend.download(scores)?, labels, 1)
    }
}
