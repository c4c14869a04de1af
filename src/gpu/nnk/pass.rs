//! One pass of the solver: the kernels for some queries, and their results.

use super::Source;
use super::kernels::{
    GRAM, MISSING, NEAR, NnkParams, Outcome, PCA, PCA_WORK, POLYTOPE, POLYTOPE_SIDE, PREPARE,
    Problem, SIDE, SOLVE, SWEEPS, TOO_LARGE, UNFINISHED, gram_defines, is_local, is_pca_local,
    pca_defines, polytope_defines, solver_defines, work,
};
use super::results::{Pending, Results};
use crate::Result;
use crate::gpu::context::Context;
use crate::gpu::knn::{self, Candidates, Points};
use crate::gpu::memory::{Buffer, Kind};
use crate::gpu::pipeline::Pipeline;
use crate::gpu::record::Recorder;
use crate::gpu::shader::Define;
use crate::ops::{GraphBlock, GraphParams, Kernel, missing_vectors};
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
    pub(super) graph: &'a GraphParams,
}

/// Dispatches of a solver whose working memory is in a buffer, before the host looks whether all queries are finished.
/// Hardly any query needs the second.
const DISPATCHES: usize = 3;

/// A pass that is submitted.
pub(super) struct Running {
    first: usize,
    lists: usize,
    results: Pending,
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
    /// Submits the work for `lists` queries from list `first` on, with their kernel matrices in `kernels`. If `waits`,
    /// the host waits until the solver has finished all of them; otherwise [`Solve::collect`] finds out.
    pub(super) fn start(
        &self,
        first: usize,
        lists: usize,
        kernels: &Buffer,
        waits: bool,
    ) -> Result<Running> {
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
        // The pool may hand these to another thread, so they are kept until the work is submitted.
        let _working = self.run_solver(&mut recorder, &pass, kernels, waits)?;
        if self.graph.pca_dimension {
            self.components(&mut recorder, &pass, kernels)?;
        }
        let copied = [&pass.outcomes, &self.candidates.entries, &pass.weights];
        let results = Pending::submit(self.context, recorder, copied, first, lists, k)?;
        Ok(Running {
            first,
            lists,
            results,
        })
    }

    /// Waits for a pass and writes its results to `block`. Where queries are left unfinished, solves it once more, as
    /// long as that takes. Queries that the device leaves to the host are solved there.
    pub(super) fn collect(
        &self,
        running: Running,
        kernels: &Buffer,
        block: &mut GraphBlock,
    ) -> Result<()> {
        let Running {
            first,
            lists,
            results,
        } = running;
        let add = |block: &mut GraphBlock, found: &Results<'_>| {
            let finished = found.outcomes.iter().all(|o| o.state != UNFINISHED);
            finished.then(|| self.add(first, found, block)).transpose()
        };
        let found = results.read(self.context, |found| add(block, found))??;
        let near = match found {
            Some(near) => near,
            None => {
                let again = self.start(first, lists, kernels, true)?.results;
                again.read(self.context, |found| self.add(first, found, block))??
            }
        };
        self.solve_near(&near, block)
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

    /// Records the solver. Where its working memory is not workgroup memory it may take several dispatches; if `waits`,
    /// as many as it takes to finish all queries. Returns the working memory.
    fn run_solver(
        &self,
        recorder: &mut Recorder<'_>,
        pass: &Pass,
        kernels: &Buffer,
        waits: bool,
    ) -> Result<[Buffer; 2]> {
        let (context, k) = (self.context, self.candidates.k);
        let local = is_local(k, context.workgroup_bytes);
        let lists = pass.lists as u64;
        let room = |bytes: usize| context.pool.get(Kind::Storage, bytes as u64);
        let working = match local {
            true => [room(16)?, room(16)?],
            false => [
                room(pass.lists * work(k) * 8)?,
                room(pass.lists * (2 * k + 8) * 4)?,
            ],
        };
        let [scratch, paused] = &working;
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
        if local {
            dispatch(recorder, &pipeline, params, &buffers, lists, cost)?;
            return Ok(working);
        }
        if !waits && context.loop_budget() == usize::MAX {
            for _ in 0..DISPATCHES {
                dispatch(recorder, &pipeline, params, &buffers, lists, cost)?;
                params.resumed = 1;
            }
            return Ok(working);
        }
        loop {
            dispatch(recorder, &pipeline, params, &buffers, lists, cost)?;
            recorder.submit()?;
            let outcomes: Vec<Outcome> = context.read(&pass.outcomes, pass.lists)?;
            if outcomes.iter().all(|o| o.state != UNFINISHED) {
                return Ok(working);
            }
            params.resumed = 1;
        }
    }

    /// Records the counting of principal components, which overwrites the kernel matrices.
    fn components(&self, recorder: &mut Recorder<'_>, pass: &Pass, kernels: &Buffer) -> Result<()> {
        let (context, k, dim) = (self.context, self.candidates.k, self.queries.dim);
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
        let pipeline = context.pipeline(&POLYTOPE, &defines)?;
        let blocks = lists * side * (side + 1) / 2;
        dispatch(recorder, &pipeline, pass.params, &polytope, blocks, cost)?;
        let pipeline = context.pipeline(&PCA, &pca_defines(k))?;
        let buffers = [kernels.whole(), pass.outcomes.whole()];
        let sweep = 16 * (k * k * k) as u64;
        let mut params = pass.params;
        // As many sweeps per dispatch as bound its length. The last dispatch accepts matrices as they are.
        let most = match (is_pca_local(k), context.loop_budget()) {
            (true, _) => u64::from(SWEEPS),
            (false, usize::MAX) => (PCA_WORK / sweep).clamp(1, SWEEPS.into()),
            (false, _) => 1,
        };
        let mut left = SWEEPS;
        while left > 0 {
            params.quota = left.min(most as u32);
            left -= params.quota;
            params.resumed = u32::from(left == 0);
            let cost = sweep * u64::from(params.quota);
            dispatch(recorder, &pipeline, params, &buffers, lists, cost)?;
        }
        Ok(())
    }

    /// Definitions of a shader that depends on the similarity.
    fn with_kernel(&self, others: &[Define]) -> Vec<Define> {
        knn::with_kernel(others, self.kernel)
    }

    /// Writes the results of a pass to their places in `block`. Gives back the queries that are left to the host.
    fn add(&self, first: usize, found: &Results<'_>, block: &mut GraphBlock) -> Result<Vec<usize>> {
        let (context, queries) = (self.context, self.candidates.queries);
        let outcomes = found.outcomes;
        if outcomes.iter().any(|o| o.state == TOO_LARGE) {
            context.check_loops("a support of more than 128 neighbours", usize::MAX)?;
        }
        if let Some(at) = outcomes.iter().position(|o| o.state == MISSING) {
            return Err(missing_vectors((first + at) % queries));
        }
        found.write((first, queries), self.queries, context.wide, block);
        if !self.graph.pca_dimension {
            block.pca_dimension[first..first + outcomes.len()].fill(0);
        }
        let near = (first..).zip(outcomes).filter(|(_, o)| o.state == NEAR);
        Ok(near.map(|(list, _)| list).collect())
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
