//! Graphs of channels whose points are not on the device at once: points are streamed past queries.

use super::graphs::GraphStage;
use crate::Result;
use crate::io::kept::Kept;
use crate::io::layer::Layer;
use crate::ops::{Backend, GraphBlock, Vectors};
use crate::stream::plan::{GraphJob, GraphPlan, picks};
use crate::stream::run::{Block, Read, ranges, read_blocks, read_values};
use std::ops::Range;

impl<B: Backend> GraphStage<'_, B> {
    /// One channel and block of queries at a time. The points are streamed past the queries to find the candidates. Where
    /// all samples are queries, the candidates are among them; else their vectors are fetched, for some of the queries at a
    /// time.
    pub(super) fn streamed(
        &self,
        job: &GraphJob,
        plan: &GraphPlan,
        finish: &mut impl FnMut(Range<usize>, Range<usize>, &mut GraphBlock) -> Result<()>,
    ) -> Result<()> {
        let (n, k, params) = (job.samples, self.params.k, self.params);
        let mut block = GraphBlock::default();
        for space in 0..job.spaces {
            if plan.has_rows(job) {
                let rows = self.rows(job, space, &(0..n))?;
                let queries = self.queries.clone();
                let found = self.search(plan, space, &rows, queries.clone())?;
                let vectors = Vectors::Points(&rows);
                self.backend.nnk_into(
                    &rows,
                    queries.clone(),
                    &found,
                    vectors,
                    params,
                    &mut block,
                )?;
                finish(space..space + 1, queries, &mut block)?;
                continue;
            }
            for queries in self.blocks(plan.queries) {
                let rows = match self.drawn {
                    Some(drawn) => {
                        let channels = self.channels_of(&(space..space + 1));
                        self.read_queries(job, channels, &drawn[queries.clone()])?
                    }
                    None => self.rows(job, space, &queries)?,
                };
                let found = self.search(plan, space, &rows, 0..queries.len())?;
                for part in ranges(queries.len(), plan.solved) {
                    let found = self.backend.part(&found, part.clone())?;
                    let shape = [1, part.len(), k, job.dim];
                    let mut vectors = self.backend.gathered(shape, job.values)?;
                    self.fetch(plan, space, &found, &mut vectors)?;
                    let vectors = Vectors::Gathered(&vectors);
                    self.backend.nnk_into(
                        &rows,
                        part.clone(),
                        &found,
                        vectors,
                        params,
                        &mut block,
                    )?;
                    let part = queries.start + part.start..queries.start + part.end;
                    finish(space..space + 1, part, &mut block)?;
                }
            }
        }
        Ok(())
    }

    /// The candidates of some of `rows`, among all samples.
    fn search(
        &self,
        plan: &GraphPlan,
        space: usize,
        rows: &B::Points,
        queries: Range<usize>,
    ) -> Result<B::Candidates> {
        let (backend, params) = (self.backend, self.params);
        let mut found = backend.candidates(1, queries.len(), params.k)?;
        self.stream(plan, space, plan.points, |read, block, analysis| {
            let points = self.points(read, block.values(), analysis, queries.len())?;
            drop(block);
            backend.knn(rows, queries.clone(), &points, params, &mut found)
        })?;
        Ok(found)
    }

    /// Copies the vectors of candidates to their places. Where they are few of the samples, no others are read.
    fn fetch(
        &self,
        plan: &GraphPlan,
        space: usize,
        found: &B::Candidates,
        vectors: &mut B::Gathered,
    ) -> Result<()> {
        let (samples, numbered) = self.backend.numbered(found)?;
        let picked = match picks(samples.len(), self.job.samples) && !samples.is_empty() {
            true => Some(Kept::new(self.layer, samples)?),
            false => None,
        };
        let (layer, found): (&dyn Layer, _) = match &picked {
            Some(picked) => (picked, &numbered),
            None => (self.layer, found),
        };
        let channels = self.channels_of(&(space..space + 1));
        let reads = ranges(layer.shape().samples, plan.fetched).map(|rows| Read {
            channels: channels.clone(),
            rows,
        });
        let work = |read: &Read, block: Block, _: Option<()>| {
            let (data, first) = (block.values().to_buffer(), read.rows.start);
            let (dim, kernel) = (self.job.dim, self.params.kernel);
            let points = self.backend.rows(data, 1, dim, first, kernel)?;
            self.backend.gather(&points, found, vectors)
        };
        read_blocks(
            layer,
            self.selection,
            self.layout,
            reads,
            None,
            self.control,
            work,
        )
    }

    /// The rows of some samples of a space, which are not searched among.
    fn rows(&self, job: &GraphJob, space: usize, rows: &Range<usize>) -> Result<B::Points> {
        self.control.check()?;
        let read = Read {
            channels: self.channels_of(&(space..space + 1)),
            rows: rows.clone(),
        };
        let values = read_values(self.layer, self.selection, self.layout, &read)?;
        self.backend
            .rows(values, 1, job.dim, rows.start, self.params.kernel)
    }

    /// Hands all samples of a space to `work`, in blocks of `step`.
    fn stream(
        &self,
        plan: &GraphPlan,
        space: usize,
        step: usize,
        work: impl FnMut(&Read, Block, Option<B::Analysis>) -> Result<()>,
    ) -> Result<()> {
        let channels = self.channels_of(&(space..space + 1));
        let reads = ranges(self.job.samples, step).map(|rows| Read {
            channels: channels.clone(),
            rows,
        });
        self.read_points(plan, reads, work)
    }
}
