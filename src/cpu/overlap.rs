//! Intersections and unions of supports for all pairs of channels.

use crate::Result;
use crate::device::{OverlapSums, Supports};

pub(super) fn accumulate(_supports: Supports<'_>, _sums: &mut OverlapSums) -> Result<()> {
    Err(crate::Error::Usage("not built yet".into()))
}
