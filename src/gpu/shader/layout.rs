//! Structs that the host and the shaders share. [`shader_struct!`](super::shader_struct) declares them
//! in Rust and records their layout, which `tests.rs` compares with the layout of the WGSL struct of the
//! same name.

/// Layout of a struct as the host writes or reads it.
#[derive(Debug)]
pub(in crate::gpu) struct Layout {
    /// Name of the struct, in Rust and in WGSL.
    pub(in crate::gpu) name: &'static str,
    /// Bytes from one element of an array to the next.
    pub(in crate::gpu) size: usize,
    /// Fields in order.
    pub(in crate::gpu) fields: &'static [Field],
}

/// One field of a [`Layout`].
#[derive(Debug)]
pub(in crate::gpu) struct Field {
    /// Name of the field, in Rust and in WGSL.
    pub(in crate::gpu) name: &'static str,
    /// Bytes from the start of the struct.
    pub(in crate::gpu) offset: usize,
    /// Type in WGSL; see [`ShaderType::WGSL`].
    pub(in crate::gpu) wgsl: &'static str,
}

/// A Rust type that has the memory layout of a WGSL type.
pub(in crate::gpu) trait ShaderType {
    /// That type as WGSL writes it. `wide` is a number of `shaders/shared/wide.wgsl`; atomic types are
    /// written as the type that they hold.
    const WGSL: &'static str;
}

impl ShaderType for u32 {
    const WGSL: &'static str = "u32";
}

impl ShaderType for f32 {
    const WGSL: &'static str = "f32";
}

impl ShaderType for [[u32; 4]; 2] {
    const WGSL: &'static str = "array<vec4<u32>, 2>";
}

impl ShaderType for [[i32; 4]; 2] {
    const WGSL: &'static str = "array<vec4<i32>, 2>";
}

/// A wide number as it lies in a buffer: a float64 or a pair of float32, which
/// [`Wide`](crate::gpu::Wide) tells apart.
#[repr(transparent)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(in crate::gpu) struct WideBits(pub(in crate::gpu) [u32; 2]);

impl ShaderType for WideBits {
    const WGSL: &'static str = "wide";
}

/// A struct declared with [`shader_struct!`](super::shader_struct).
pub(in crate::gpu) trait ShaderStruct: bytemuck::Pod + Default {
    /// Its layout.
    const LAYOUT: Layout;
}

/// Parameters of a shader, declared with [`shader_params!`](super::shader_params).
pub(in crate::gpu) trait ShaderParams: ShaderStruct {
    /// Sets `first`, the first workgroup of a dispatch among all.
    fn start_at(&mut self, first: u32);
}

/// Declares a struct that the host shares with the shaders. Its fields have the names, types and order
/// of the WGSL struct of the same name.
macro_rules! shader_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        impl $crate::gpu::shader::ShaderStruct for $name {
            const LAYOUT: $crate::gpu::shader::Layout = $crate::gpu::shader::Layout {
                name: stringify!($name),
                size: size_of::<$name>(),
                fields: &[$($crate::gpu::shader::Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    wgsl: <$type as $crate::gpu::shader::ShaderType>::WGSL,
                },)*],
            };
        }
    };
}

/// Declares the parameters of a shader: a struct as by `shader_struct!`, with a field `first`.
macro_rules! shader_params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $crate::gpu::shader::shader_struct! {
            $(#[$meta])*
            $vis struct $name { $($fields)* }
        }

        impl $crate::gpu::shader::ShaderParams for $name {
            fn start_at(&mut self, first: u32) {
                self.first = first;
            }
        }
    };
}

pub(in crate::gpu) use {shader_params, shader_struct};
