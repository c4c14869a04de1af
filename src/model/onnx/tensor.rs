//! Constants of a model while it is read.

use std::sync::Arc;

/// One integer of a constant, which may depend on the batch size: that is free until the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// A known number.
    Known(i64),
    /// The free batch size.
    Batch,
    /// A number that depends on the batch size in a way that is not followed.
    Unknown,
}

impl Dim {
    /// The number, if it is known.
    pub(super) const fn known(self) -> Option<i64> {
        match self {
            Self::Known(n) => Some(n),
            _ => None,
        }
    }
}

/// Elements of a constant.
#[derive(Clone, Debug)]
pub(super) enum Elements {
    /// Floating-point numbers of any width, as `f32`.
    Float(Arc<[f32]>),
    /// Integers of any width, and truth values as 0 and 1.
    Int(Arc<[Dim]>),
}

/// A constant.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// Shape; empty for a scalar.
    pub(super) shape: Vec<usize>,
    /// Elements, C order.
    pub(super) elements: Elements,
}

impl Constant {
    /// A list of integers.
    pub(super) fn ints(values: Vec<Dim>) -> Self {
        Self {
            shape: vec![values.len()],
            elements: Elements::Int(values.into()),
        }
    }

    /// A single integer.
    pub(super) fn int(value: Dim) -> Self {
        Self {
            shape: vec![],
            elements: Elements::Int([value].into()),
        }
    }

    pub(super) fn floats(shape: &[usize], values: Vec<f32>) -> Self {
        Self {
            shape: shape.to_vec(),
            elements: Elements::Float(values.into()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(v) => v.len(),
            Elements::Int(v) => v.len(),
        }
    }

    /// Bytes of an element in memory.
    pub(super) const fn width(&self) -> usize {
        match self.elements {
            Elements::Float(_) => size_of::<f32>(),
            Elements::Int(_) => size_of::<Dim>(),
        }
    }

    /// All integers, if they are known.
    pub(super) fn known(&self) -> Result<Vec<i64>, String> {
        match &self.elements {
            Elements::Int(v) => (v.iter())
                .map(|d| d.known().ok_or_else(|| FREE.into()))
                .collect(),
            Elements::Float(_) => Err("integers are needed, not floating-point numbers".into()),
        }
    }

    /// The one number a constant of one element holds.
    pub(super) fn scalar(&self) -> Result<f32, String> {
        match &self.elements {
            Elements::Float(v) if v.len() == 1 => Ok(v[0]),
            Elements::Int(v) if v.len() == 1 => {
                v[0].known().map(|n| n as f32).ok_or_else(|| FREE.into())
            }
            _ => Err("a single number is needed".into()),
        }
    }

    /// The same elements under another shape of their number.
    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Result<Self, String> {
        let len = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
        if len != Some(self.len()) {
            return Err(format!("{:?} cannot become {shape:?}", self.shape));
        }
        Ok(Self {
            shape,
            elements: self.elements.clone(),
        })
    }

    /// Elements picked by their position.
    pub(super) fn picked(
        &self,
        shape: Vec<usize>,
        at: impl Iterator<Item = usize>,
    ) -> Result<Self, String> {
        fn pick<T: Copy>(from: &[T], mut at: impl Iterator<Item = usize>) -> Option<Arc<[T]>> {
            at.try_fold(vec![], |mut all, i| {
                all.push(*from.get(i)?);
                Some(all)
            })
            .map(Into::into)
        }
        let elements = match &self.elements {
            Elements::Float(v) => pick(v, at).map(Elements::Float),
            Elements::Int(v) => pick(v, at).map(Elements::Int),
        };
        let elements = elements.ok_or("an index is out of range")?;
        Ok(Self { shape, elements })
    }
}

/// Why a number of a constant cannot be had.
pub(super) const FREE: &str = "depends on the batch size, which is free";
