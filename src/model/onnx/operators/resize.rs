//! Resizing: tables of elements and weights along each axis (`interpolation`), as onnxruntime computes them.

mod interpolation;

use super::rearrange::step;
use crate::model::node::Op;
use crate::model::onnx::attributes::axis;
use crate::model::onnx::context::{Context, Done, Operator};
use crate::model::onnx::tensor::{Dim, Elements};
use crate::ops::net::{Resampling, Unary};
use interpolation::{Axis, Coordinates, Method, Rounding};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Resize", resize),
    Operator::new("Upsample", upsample),
];

/// Most elements along an axis of the result.
const MAX_SIZE: usize = 1 << 20;

/// Scale factors of the axes, the batch included.
fn upsample(c: &mut Context<'_>) -> Done {
    let scales = match c.attributes.find("scales") {
        Some(a) => a.floats.clone(),
        None => c.floats(1)?.1.to_vec(),
    };
    let shape = c.shape(0)?;
    let plan = Plan::of_scales(&shape, &scales, &all(&shape))?;
    apply(c, &plan, legacy(c)?)
}

/// The method before opset 11: coordinates divided by the scale.
fn legacy(c: &Context<'_>) -> Result<Method, String> {
    Ok(Method {
        coordinates: Coordinates::Asymmetric,
        rounding: Rounding::Simple,
        terms: match c.attributes.text("mode", "nearest")? {
            "nearest" => 1,
            "linear" | "bilinear" => 2,
            other => return Err(format!("unknown mode '{other}'")),
        },
        cubic: -0.75,
        exclude_outside: false,
        antialias: false,
    })
}

fn resize(c: &mut Context<'_>) -> Done {
    let shape = c.shape(0)?;
    if c.opset() < 11 {
        let scales = c.floats(1)?.1.to_vec();
        let plan = Plan::of_scales(&shape, &scales, &all(&shape))?;
        return apply(c, &plan, legacy(c)?);
    }
    let method = method(c)?;
    let axes = match c.attributes.ints("axes") {
        Some(axes) => (axes.iter())
            .map(|&a| axis(a, shape.len() + 1))
            .collect::<Result<_, _>>()?,
        None => all(&shape),
    };
    let scales = match c.optional_constant(2)? {
        Some(s) if s.len() > 0 => Some(c.floats(2)?.1.to_vec()),
        _ => None,
    };
    let mut plan = match scales {
        Some(scales) => Plan::of_scales(&shape, &scales, &axes)?,
        None => {
            let Elements::Int(sizes) = &c.constant(3)?.elements else {
                return Err("the sizes are no integers".into());
            };
            let policy = c.attributes.text("keep_aspect_ratio_policy", "stretch")?;
            Plan::of_sizes(&shape, sizes, &axes, policy)?
        }
    };
    if method.coordinates == Coordinates::Crop {
        let roi = c.floats(1)?.1;
        if roi.len() != 2 * axes.len() {
            return Err(format!(
                "a region of {} numbers for {} axes",
                roi.len(),
                axes.len()
            ));
        }
        for (i, &a) in axes.iter().enumerate() {
            let region = [roi[i], roi[i + axes.len()]];
            match a.checked_sub(1) {
                Some(inner) => plan.axes[inner].region = region,
                None if region == [0.0, 1.0] => {}
                None => return Err("crops the batch, which must stay free".into()),
            }
        }
    }
    apply(c, &plan, method)
}

fn all(shape: &[usize]) -> Vec<usize> {
    (0..=shape.len()).collect()
}

fn method(c: &Context<'_>) -> Result<Method, String> {
    let a = &c.attributes;
    Ok(Method {
        coordinates: match a.text("coordinate_transformation_mode", "half_pixel")? {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::TorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_half_pixel_for_nn" => Coordinates::HalfPixelForNearest,
            "tf_crop_and_resize" => Coordinates::Crop,
            other => return Err(format!("unknown coordinate_transformation_mode '{other}'")),
        },
        rounding: match a.text("nearest_mode", "round_prefer_floor")? {
            "round_prefer_floor" => Rounding::PreferFloor,
            "round_prefer_ceil" => Rounding::PreferCeil,
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            other => return Err(format!("unknown nearest_mode '{other}'")),
        },
        terms: match a.text("mode", "nearest")? {
            "nearest" => 1,
            "linear" => 2,
            "cubic" => 4,
            other => return Err(format!("unknown mode '{other}'")),
        },
        cubic: a.float("cubic_coeff_a", -0.75),
        exclude_outside: a.flag("exclude_outside"),
        antialias: a.flag("antialias"),
    })
}

/// What becomes of each axis after the batch.
struct Plan {
    axes: Vec<Axis>,
}

impl Plan {
    fn same(shape: &[usize]) -> Self {
        let axes = shape.iter().map(|&n| Axis {
            from: n,
            to: n,
            scale: 1.0,
            region: [0.0, 1.0],
        });
        Self {
            axes: axes.collect(),
        }
    }

    fn of_scales(shape: &[usize], scales: &[f32], axes: &[usize]) -> Result<Self, String> {
        if scales.len() != axes.len() {
            return Err(format!("{} scales for {} axes", scales.len(), axes.len()));
        }
        let mut plan = Self::same(shape);
        for (&a, &scale) in axes.iter().zip(scales) {
            let Some(inner) = a.checked_sub(1) else {
                if scale != 1.0 {
                    return Err("resizes the batch, which must stay free".into());
                }
                continue;
            };
            let to = (scale * shape[inner] as f32).floor();
            if !(to >= 1.0 && to <= MAX_SIZE as f32) {
                return Err(format!("a scale of {scale} for {} elements", shape[inner]));
            }
            (plan.axes[inner].to, plan.axes[inner].scale) = (to as usize, scale);
        }
        Ok(plan)
    }

    fn of_sizes(
        shape: &[usize],
        sizes: &[Dim],
        axes: &[usize],
        policy: &str,
    ) -> Result<Self, String> {
        if sizes.len() != axes.len() {
            return Err(format!("{} sizes for {} axes", sizes.len(), axes.len()));
        }
        let mut plan = Self::same(shape);
        // The batch is free, whatever size the exporter saw.
        for (&a, &size) in axes.iter().zip(sizes).filter(|(a, _)| **a > 0) {
            let to = match size {
                Dim::Known(n) => usize::try_from(n).ok(),
                _ => None,
            };
            let to = to.filter(|n| (1..=MAX_SIZE).contains(n));
            let axis = &mut plan.axes[a - 1];
            axis.to = to.ok_or("a size is not a known number from 1 on")?;
            axis.scale = axis.to as f32 / axis.from as f32;
        }
        let resized = || axes.iter().filter_map(|a| a.checked_sub(1));
        let scales = resized().map(|i| plan.axes[i].scale);
        let common = match policy {
            "stretch" => return Ok(plan),
            "not_larger" => scales.fold(f32::INFINITY, f32::min),
            "not_smaller" => scales.fold(0.0, f32::max),
            other => return Err(format!("unknown keep_aspect_ratio_policy '{other}'")),
        };
        for i in resized() {
            let axis = &mut plan.axes[i];
            axis.to = ((common * axis.from as f32 + 0.5).floor() as usize).clamp(1, MAX_SIZE);
            axis.scale = common;
        }
        Ok(plan)
    }
}

fn apply(c: &mut Context<'_>, plan: &Plan, method: Method) -> Done {
    let steps: Vec<(usize, Resampling)> = (plan.axes.iter().enumerate())
        .filter(|(_, axis)| method.changes(axis))
        .map(|(i, axis)| (i + 1, method.table(axis)))
        .collect();
    // Outside the cropped region nothing has a weight: what is there is a number of its own.
    let outside = match method.coordinates {
        Coordinates::Crop => c.attributes.float("extrapolation_value", 0.0),
        _ => 0.0,
    };
    if outside == 0.0 {
        return super::rearrange::resampled(c, steps);
    }
    let shifted = |by: f32| Op::Unary(Unary::Affine(1.0, by));
    let mut x = c.data(0)?;
    x = c.inner(shifted(-outside), &[x])?;
    for (axis, by) in steps {
        x = c.inner(step(axis, by), &[x])?;
    }
    c.push(shifted(outside), &[x])
}
