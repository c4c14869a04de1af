//! One pass of the solver: the kernels for some queries, and their results.

use super::Source;
use super::kernels::{
    GRAM, MISSING, NOT_UNIQUE, NnkParams, Outcome, PCA, POLYTOPE, POLYTOPE_SIDE, PREPARE, Problem,
    SIDE, SOLVE, SOLVED, SWEEPS, TOO_LARGE, UNFINISHED, UNRESOLVED, gram_defines, is_local,
    is_pca_local, pca_defines, polytope_defines, solver_defines, work,
};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::knn::{self, Candidates, Entry, Points};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::pipeline::Pipeline;
use crate::gpu::record::Recorder;
use crate::gpu::shader::Define;
use crate::ops::{GraphBlock, Kernel, missing_vectors};
use std::sync::Arc;

/// One call of the solver: what all its passes have in common.
pub(super) struct Solve<'a> {
    pub(super) context: &'a Context,
    pub(super) candidates: &'a Candidates,
    pub(super) queries: &'a Points,
    pub(super) source: Source<'a>,
    pub(super) kernel: Kernel,
    pub(super) params: NnkParams,
    pub(super) units: Buffer,
    pub(super) norms: Buffer,
    /// Whether principal components are wanted.
    pub(super) pca_dimension: bool,
}

/// Buffers of a pass.
struct Pass {
    params: NnkParams,
    lists: usize,
    problems: Buffer,
    weights: Buffer,
    outcomes: Buffer,
    supports: Buffer,
}

impl Solve<'_> {
    /// Solves `lists` queries from list `first` on, with their kernel matrices in `kernels`.
    pub(super) fn pass(
        &self,
        first: usize,
        lists: usize,
        kernels: &Buffer,
        block: &mut GraphBlock,
    ) -> Result<()> {
        let (pool, k) = (&self.context.pool, self.candidates.k);
        let count = lists as u64;
        let mut params = self.params;
        params.list_first = first as u32;
        params.lists = lists as u32;
        let pass = Pass {
            params,
            lists,
            problems: pool.get(Kind::Storage, count * size_of::<Problem>() as u64)?,
            weights: pool.get(Kind::Storage, count * k as u64 * 4)?,
            outcomes: pool.get(Kind::Storage, count * size_of::<Outcome>() as u64)?,
            supports: pool.get(Kind::Storage, count * k as u64 * 4)?,
        };
        let mut recorder = Recorder::new(self.context);
        self.build(&mut recorder, &pass, kernels)?;
        self.run_solver(&mut recorder, &pass, kernels)?;
        if self.pca_dimension {
            self.components(&mut recorder, &pass, kernels)?;
        }
        recorder.submit()?;
        self.collect(first, &pass, block)
    }

    fn vectors(&self) -> wgpu::BufferBinding<'_> {
        match &self.source {
            Source::Points(p) => p.raw.whole(),
            Source::Gathered(t) => t.buffer.whole(),
        }
    }

    /// Records the problems and their kernel matrices.
    fn build(&self, recorder: &mut Recorder<'_>, pass: &Pass, kernels: &Buffer) -> Result<()> {
        let (k, dim) = (self.candidates.k, self.queries.dim);
        let buffers = [
            self.candidates.entries.whole(),
            self.units.whole(),
            pass.problems.whole(),
        ];
        let prepare = self.context.pipeline(&PREPARE, &self.with_kernel(&[]))?;
        let threads = PREPARE.workgroups(pass.lists);
        dispatch(
            recorder,
            &prepare,
            pass.params,
            &buffers,
            threads,
            64 * k as u64,
        )?;
        let buffers = [
            self.candidates.entries.whole(),
            self.vectors(),
            self.norms.whole(),
            self.units.whole(),
            pass.problems.whole(),
            kernels.whole(),
        ];
        // Per 16 terms: 8 loads of a tile and 16 steps.
        let what = format!("a kernel matrix of vectors of {dim} numbers");
        self.context
            .check_loops(&what, dim.div_ceil(16) * 26 + 64)?;
        let side = k.div_ceil(SIDE) as u64;
        let cost = (SIDE * SIDE * 8 * dim) as u64 + 100_000;
        let defines = self.with_kernel(&gram_defines());
        let pipeline = self.context.pipeline(&GRAM, &defines)?;
        let blocks = pass.lists as u64 * side * (side + 1) / 2;
        dispatch(recorder, &pipeline, pass.params, &buffers, blocks, cost)
    }

    /// Records the solver. Where its working memory is not workgroup memory, submits it as often as it
    /// takes to finish all queries.
    fn run_solver(&self, recorder: &mut Recorder<'_>, pass: &Pass, kernels: &Buffer) -> Result<()> {
        let (context, k) = (self.context, self.candidates.k);
        let local = is_local(k, context.workgroup_bytes);
        let lists = pass.lists as u64;
        let room = |bytes: usize| context.pool.get(Kind::Storage, bytes as u64);
        let (scratch, paused) = match local {
            true => (room(16)?, room(16)?),
            false => (
                room(pass.lists * work(k) * 8)?,
                room(pass.lists * (2 * k + 8) * 4)?,
            ),
        };
        let buffers = [
            self.candidates.entries.whole(),
            pass.problems.whole(),
            kernels.whole(),
            scratch.whole(),
            pass.weights.whole(),
            pass.outcomes.whole(),
            pass.supports.whole(),
            paused.whole(),
        ];
        let defines = self.with_kernel(&solver_defines(k, local));
        let pipeline = context.pipeline(&SOLVE, &defines)?;
        let mut params = pass.params;
        params.quota = match (local, context.loop_budget()) {
            (true, _) => 1 << 30,
            (false, usize::MAX) => 64,
            (false, _) => 5,
        };
        let cost = 500 * (k * k) as u64 + 20_000 * k as u64;
        loop {
            dispatch(recorder, &pipeline, params, &buffers, lists, cost)?;
            if local {
                return Ok(());
            }
            recorder.submit()?;
            let outcomes: Vec<Outcome> = context.read(&pass.outcomes, pass.lists)?;
            if outcomes.iter().all(|o| o.state != UNFINISHED) {
                return Ok(());
            }
            params.resumed = 1;
        }
    }

    /// Records the counting of principal components, which overwrites the kernel matrices.
    fn components(&self, recorder: &mut Recorder<'_>, pass: &Pass, kernels: &Buffer) -> Result<()> {
        let (k, dim) = (self.candidates.k, self.queries.dim);
        let lists = pass.lists as u64;
        let polytope = [
            self.candidates.entries.whole(),
            self.queries.raw.whole(),
            self.vectors(),
            self.units.whole(),
            pass.outcomes.whole(),
            pass.supports.whole(),
            kernels.whole(),
            self.norms.whole(),
        ];
        let side = k.div_ceil(POLYTOPE_SIDE) as u64;
        let cost = (POLYTOPE_SIDE * POLYTOPE_SIDE * 8 * dim) as u64 + 10_000;
        let defines = self.with_kernel(&polytope_defines());
        let pipeline = self.context.pipeline(&POLYTOPE, &defines)?;
        let blocks = lists * side * (side + 1) / 2;
        dispatch(recorder, &pipeline, pass.params, &polytope, blocks, cost)?;
        let pipeline = self.context.pipeline(&PCA, &pca_defines(k))?;
        let buffers = [kernels.whole(), pass.outcomes.whole()];
        let cost = 100 * (k * k * k) as u64;
        let mut params = pass.params;
        // All sweeps in one dispatch in workgroup memory; otherwise one sweep per dispatch, to bound its
        // length. A last dispatch with a quota of 0 counts the components of matrices that have not
        // converged.
        let rounds = match is_pca_local(k) {
            true => vec![SWEEPS],
            false => vec![1; SWEEPS as usize],
        };
        for quota in rounds.into_iter().chain([0]) {
            params.quota = quota;
            dispatch(recorder, &pipeline, params, &buffers, lists, cost)?;
        }
        Ok(())
    }

    /// Definitions of a shader that depends on the similarity.
    fn with_kernel(&self, others: &[Define]) -> Vec<Define> {
        knn::with_kernel(others, self.kernel)
    }

    /// Copies the results of a pass to the host.
    fn collect(&self, first: usize, pass: &Pass, block: &mut GraphBlock) -> Result<()> {
        let (context, k, lists) = (self.context, self.candidates.k, pass.lists);
        let outcomes: Vec<Outcome> = context.read(&pass.outcomes, lists)?;
        if outcomes.iter().any(|o| o.state == TOO_LARGE) {
            context.check_loops("a support of more than 128 neighbours", usize::MAX)?;
        }
        if let Some(at) = outcomes.iter().position(|o| o.state == MISSING) {
            return Err(missing_vectors((first + at) % self.candidates.queries));
        }
        let entries: Vec<Entry> =
            context.read_from(&self.candidates.entries, first * k, lists * k)?;
        for (i, entry) in entries.iter().enumerate() {
            let group = (first + i / k) / self.candidates.queries;
            let scale = self.queries.scale(group);
            block.neighbors.push(entry.index());
            block
                .sq_distances
                .push(entry.sq_distance(context.wide, scale));
        }
        block
            .weights
            .extend(context.read::<f32>(&pass.weights, lists * k)?);
        for outcome in &outcomes {
            block.objective.push(context.wide.decode(outcome.objective));
            block.kkt_residual.push(outcome.residual);
            block.pca_dimension.push(match self.pca_dimension {
                true => outcome.dimension as u16,
                false => 0,
            });
            block.degenerate.push(outcome.state != SOLVED);
            block.not_unique.push(outcome.flags & NOT_UNIQUE != 0);
            block.unresolved.push(outcome.flags & UNRESOLVED != 0);
        }
        Ok(())
    }
}

/// Records `workgroups` workgroups of `cost` operations each.
fn dispatch(
    recorder: &mut Recorder<'_>,
    pipeline: &Arc<Pipeline>,
    mut params: NnkParams,
    buffers: &[wgpu::BufferBinding<'_>],
    workgroups: u64,
    cost: u64,
) -> Result<()> {
    params.workgroups = u32::try_from(workgroups).unwrap_or(u32::MAX);
    recorder.dispatch(pipeline, params, buffers, workgroups, cost)
}
