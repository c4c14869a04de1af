//! Parameters and inputs of a node, by name and place.

use super::proto::{AttributeProto, NodeProto};

/// A node with its parameters.
pub(super) struct Attributes<'a>(pub &'a NodeProto);

impl<'a> Attributes<'a> {
    pub(super) fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute.iter().find(|a| a.name == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |a| a.i)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.int(name, 0) != 0
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |a| a.f)
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Result<&'a str, String> {
        match self.find(name) {
            None => Ok(default),
            Some(a) => std::str::from_utf8(&a.s).map_err(|_| format!("{name} is no text")),
        }
    }

    /// Integers, `None` where the parameter is absent.
    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.find(name).map(|a| a.ints.as_slice())
    }

    /// `W` sizes from 0 up.
    pub(super) fn sizes<const W: usize>(
        &self,
        name: &str,
        default: usize,
    ) -> Result<[usize; W], String> {
        let Some(values) = self.ints(name).filter(|v| !v.is_empty()) else {
            return Ok([default; W]);
        };
        let sizes: Option<Vec<usize>> = (values.iter())
            .map(|&v| u32::try_from(v).ok().map(|v| v as usize))
            .collect();
        sizes
            .and_then(|s| <[usize; W]>::try_from(s).ok())
            .ok_or_else(|| format!("{name} {values:?}: {W} numbers from 0 to 2^32 are needed"))
    }

    /// Name of input `i`, `None` where it is left out.
    pub(super) fn input(&self, i: usize) -> Option<&'a str> {
        let name = self.0.input.get(i)?;
        (!name.is_empty()).then_some(name.as_str())
    }
}

/// An axis counted from either end, of a value of `rank` axes.
pub(super) fn axis(value: i64, rank: usize) -> Result<usize, String> {
    let from_start = if value < 0 {
        value.checked_add(rank as i64)
    } else {
        Some(value)
    };
    from_start
        .and_then(|a| usize::try_from(a).ok())
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {value} is outside {rank} axes"))
}

/// Name of a node, or of its output where it has none.
pub(super) fn node_name(node: &NodeProto) -> &str {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    }
}

/// An axis that is not the batch.
pub(super) fn inner_axis(value: i64, rank: usize) -> Result<usize, String> {
    match axis(value, rank)? {
        0 => Err("works along the batch axis, which must stay free".into()),
        a => Ok(a),
    }
}

/// First index and number of indices of `start..end` by `step`, numpy's rules for an axis of `size`.
pub(super) fn slice_range(
    start: i64,
    end: i64,
    step: i64,
    size: usize,
) -> Result<(usize, usize), String> {
    let n = size as i64;
    let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let (start, end) = if step > 0 {
        (wrap(start).clamp(0, n), wrap(end).clamp(0, n))
    } else {
        (wrap(start).clamp(-1, n - 1), wrap(end).clamp(-1, n - 1))
    };
    let distance = if step > 0 { end - start } else { start - end };
    if step == 0 {
        return Err("its step is 0".into());
    }
    let count = (distance.max(0) as u64).div_ceil(step.unsigned_abs());
    Ok((start.max(0) as usize, count as usize))
}
