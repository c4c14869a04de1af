//! Setters of options, one per field.

/// Adds `with_field(value)` to an options struct for each field listed.
macro_rules! setters {
    ($options:ident { $($setter:ident($field:ident: $kind:ty)),* $(,)? }) => {
        impl $options {
            $(
                #[doc = concat!("These options with [`", stringify!($field), "`](Self::", stringify!($field), ") set.")]
                #[must_use]
                pub fn $setter(mut self, $field: $kind) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}
pub(super) use setters;
