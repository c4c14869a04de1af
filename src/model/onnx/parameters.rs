//! Parameters of operators that the standard has moved from attributes to inputs: one reading for both forms.

use super::attributes::axis;
use super::context::Context;
use super::tensor::{Constant, Dim};

/// Elements to be added at both ends of every axis, the batch included; negative ones are cut.
pub(super) struct Pads {
    pub(super) before: Vec<i64>,
    pub(super) after: Vec<i64>,
}

/// What a slice takes along one axis, as the file has it.
pub(super) struct SliceRange {
    pub(super) axis: i64,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step: i64,
}

impl Context<'_> {
    /// Numbers of a parameter up to some opset, of an input later: one number each. `None` where it is left out.
    pub(super) fn number(&self, attribute: &str, input: usize) -> Result<Option<f32>, String> {
        if let Some(a) = self.attributes.find(attribute) {
            return Ok(Some(a.f));
        }
        self.optional_constant(input)?
            .map(Constant::scalar)
            .transpose()
    }

    /// Bounds of a Clip: parameters before opset 11, inputs since.
    pub(super) fn clip_bounds(&self) -> Result<(f32, f32), String> {
        Ok((
            self.number("min", 1)?.unwrap_or(f32::NEG_INFINITY),
            self.number("max", 2)?.unwrap_or(f32::INFINITY),
        ))
    }

    /// Paddings of a Pad of a value of `rank` axes: parameters before opset 11, inputs since.
    pub(super) fn pads(&self, rank: usize) -> Result<Pads, String> {
        let pads = self.ints("pads", 1)?.ok_or("has no paddings")?;
        let axes = match self.ints("", 3)? {
            Some(axes) => (axes.iter())
                .map(|&a| axis(a, rank))
                .collect::<Result<_, _>>()?,
            None => (0..rank).collect::<Vec<_>>(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(format!("{} paddings for {} axes", pads.len(), axes.len()));
        }
        let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
        for (i, &a) in axes.iter().enumerate() {
            (before[a], after[a]) = (pads[i], pads[axes.len() + i]);
        }
        Ok(Pads { before, after })
    }

    /// The number that a constant padding adds.
    pub(super) fn pad_value(&self) -> Result<f32, String> {
        Ok(self.number("value", 2)?.unwrap_or(0.0))
    }

    /// What a Slice takes: parameters before opset 10, inputs since.
    pub(super) fn slice_ranges(&self) -> Result<Vec<SliceRange>, String> {
        let missing = "its starts or ends are missing";
        let starts = self.ints("starts", 1)?.ok_or(missing)?;
        let ends = self.ints("ends", 2)?.ok_or(missing)?;
        let axes = self.ints("axes", 3)?;
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.ints("steps", 4)?.unwrap_or(vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps differ in length".into());
        }
        Ok((0..starts.len())
            .map(|i| SliceRange {
                axis: axes[i],
                start: starts[i],
                end: ends[i],
                step: steps[i],
            })
            .collect())
    }

    /// Sizes of the parts of a Split along an axis of `size`: a parameter before opset 13, an input since, or
    /// equal parts.
    pub(super) fn split_sizes(&self, size: usize) -> Result<Vec<usize>, String> {
        let outputs = self.attributes.0.output.len();
        let sizes: Vec<usize> = match self.ints("split", 1)? {
            Some(sizes) => (sizes.iter())
                .map(|&s| usize::try_from(s).map_err(|_| format!("size {s} is negative")))
                .collect::<Result<_, _>>()?,
            None => {
                let each = size.div_ceil(outputs.max(1));
                let part = |i: usize| each.min(size.saturating_sub(i * each));
                (0..outputs).map(part).collect()
            }
        };
        if sizes.len() != outputs {
            return Err(format!("{} sizes for {outputs} outputs", sizes.len()));
        }
        let total = sizes.iter().try_fold(0usize, |t, &s| t.checked_add(s));
        if total != Some(size) {
            return Err(format!("the sizes do not add up to {size}"));
        }
        Ok(sizes)
    }

    /// The part of a shape that a Shape node asks for.
    pub(super) fn shape_part(&self, all: &[Dim]) -> Constant {
        let len = all.len() as i64;
        let bound = |v: i64| {
            let from_start = if v < 0 { v.saturating_add(len) } else { v };
            from_start.clamp(0, len) as usize
        };
        let start = bound(self.attributes.int("start", 0));
        let end = bound(self.attributes.int("end", i64::MAX)).max(start);
        Constant::ints(all[start..end].to_vec())
    }
}
