//! Convolutional Similarity of filters.

use crate::context::Context;
use crate::status::{Status, guard};
use crate::view::{elements, optional_target, reference, slice, target};
use chanscope::measure::{self, FilterBank};
use chanscope::ops::filters::{FilterParams, FilterShape, InputChannels, Pairs};

/// Which similarity. All bytes zero give the usual one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FiltersOptions {
    /// The gradient is that of the value over adjacent pairs.
    pub adjacent: bool,
    /// Correlations are summed over the input channels before they are squared.
    pub summed: bool,
}

/// Figures of a layer's filters. NaN where there is no value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FiltersSummary {
    /// Convolutional Similarity over all pairs.
    pub value: f64,
    /// Convolutional Similarity over adjacent pairs.
    pub value_adjacent: f64,
    /// Mean similarity of a pair, normalised by that of the filters with themselves.
    pub normalized_mean: f64,
    /// Mean absolute cosine of two filters.
    pub cosine_mean: f64,
    /// Filters that are zero.
    pub zero_filters: usize,
}

/// Measures weights [filters, channels, height, width]; `shape` holds these four numbers. `pairs` [filters, filters] and
/// `gradient`, of the shape of the weights, may be NULL where they are not wanted.
///
/// # Safety
/// `context` came from chanscope_context_new; the other pointers point to what is said above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chanscope_filters(
    context: *const Context,
    weights: *const f32,
    shape: *const usize,
    options: *const FiltersOptions,
    summary: *mut FiltersSummary,
    pairs: *mut f64,
    gradient: *mut f32,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let (context, options) = unsafe {
            (
                reference(context, "context")?,
                reference(options, "options")?,
            )
        };
        // SAFETY: as above.
        let (shape, summary) = unsafe { (slice(shape, 4, "shape")?, target(summary, "summary")?) };
        let (count, square) = (
            elements(shape, "weights")?,
            elements(&[shape[0], shape[0]], "pairs")?,
        );
        // SAFETY: as above.
        let weights = unsafe { slice(weights, count, "weights") }?;
        // SAFETY: as above.
        let (pairs, gradient) = unsafe {
            (
                optional_target(pairs, square),
                optional_target(gradient, count),
            )
        };
        let params = FilterParams {
            pairs: if options.adjacent {
                Pairs::Adjacent
            } else {
                Pairs::All
            },
            input_channels: if options.summed {
                InputChannels::Summed
            } else {
                InputChannels::Separate
            },
        };
        let options = measure::FiltersOptions::default()
            .with_params(params)
            .with_gradient(gradient.is_some())
            .with_matrices(pairs.is_some());
        let bank = FilterBank {
            name: "weights",
            shape: FilterShape::new(shape)?,
            weights,
        };
        let found = context.run(|ctx| measure::filters(ctx, &bank, &options))?;
        if let (Some(to), Some(from)) = (pairs, &found.pairs) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        if let (Some(to), Some(from)) = (gradient, &found.gradient) {
            to.copy_from_slice(from);
        }
        *summary = FiltersSummary {
            value: found.value,
            value_adjacent: found.value_adjacent,
            normalized_mean: found.normalized_mean.unwrap_or(f64::NAN),
            cosine_mean: found.cosine_mean.unwrap_or(f64::NAN),
            zero_filters: found.zero_filters.len(),
        };
        Ok(())
    })
}
