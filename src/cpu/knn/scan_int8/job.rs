//! What all batches of a search share, and how the int8 filter has fared so far.

use super::ranked::is_ranked;
use super::sample::Sample;
use crate::cpu::gemm::COLS;
use crate::cpu::knn::int8::{EXCLUDED, Int8};
use crate::cpu::knn::lists::Job;
use crate::cpu::knn::tree::Sorted;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Thresholds are no longer estimated once more than 1 in `MAX_FAILURES` of the queries (of at least
/// [`MIN_ESTIMATES`]) had to be scanned again. The other queries of their group of eight are scanned with them.
const MAX_FAILURES: usize = 16;
/// See [`MAX_FAILURES`].
const MIN_ESTIMATES: usize = 256;

/// Search of one group with the int8 filter.
pub(in crate::cpu::knn) struct Int8Job<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) points: &'a Int8,
    /// The offsets of the points, with needless copies excluded.
    pub(super) offsets: Cow<'a, [i32]>,
    /// Batches begun.
    pub(super) begun: AtomicUsize,
    /// Batches given up, because too many points passed.
    pub(super) given_up: AtomicUsize,
    /// Queries whose thresholds were estimated.
    pub(super) estimated: AtomicUsize,
    /// Those of them that had to be scanned again.
    pub(super) failed: AtomicUsize,
    /// What thresholds are estimated from; `None` if they are not.
    pub(super) sample: Option<Sample>,
}

impl<'a> Int8Job<'a> {
    /// `None` where the points are not stored as bytes.
    pub(in crate::cpu::knn) fn new(job: &'a Job<'a>) -> Option<Self> {
        let packed = &job.points.packed[job.group];
        let points = job.points.int8[job.group].as_ref()?;
        let order = points.tree.as_ref().map(|tree| tree.order.as_slice());
        let offsets = packed.without_copies(job.k, &points.offsets, EXCLUDED, order);
        Some(Self {
            job,
            points,
            offsets,
            estimated: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            sample: Sample::new(job.points.rows, job.points.dim, job.k, &points.outliers),
            begun: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
        })
    }

    /// The query rows in the order of the points' tree, if there is one.
    pub(in crate::cpu::knn) fn sorted(&self, rows: Range<usize>) -> Option<Sorted> {
        let &Job {
            queries,
            points,
            group,
            ..
        } = self.job;
        let tree = self.points.tree.as_ref()?;
        Some(tree.sorted(queries, group, &points.packed[group], rows))
    }

    /// Whether all scores are kept, and points are measured in the order of their scores.
    pub(super) fn is_ranked(&self) -> bool {
        is_ranked(self.job.points.dim, self.offsets.len() / COLS)
    }

    /// Whether most batches were given up: the neighbours lie much closer together than the bytes resolve.
    pub(super) fn is_too_coarse(&self) -> bool {
        2 * self.given_up.load(Relaxed) > self.begun.load(Relaxed).max(1)
    }

    /// Whether estimates fail too often, as they do where samples come in no random order.
    pub(super) fn estimates_fail(&self) -> bool {
        MAX_FAILURES * self.failed.load(Relaxed) > self.estimated.load(Relaxed).max(MIN_ESTIMATES)
    }
}
