//! What the host knows about the shaders, in one place: [`SHADERS`] describes every entry point that may
//! become a pipeline. Pipelines are created from these descriptions and from nothing else, and
//! `tests.rs` compares them with the WGSL by reflection, without an adapter:
//!
//! * `layout`: structs that are shared with the shaders, declared once in Rust;
//! * `preprocess`: resolves `#import` and `#ifdef`;
//! * `listing`: the kernels of usual sizes, for tools that compile them elsewhere;
//! * this file: an entry point with its bindings, its definitions and the size of its workgroups.
//!
//! A kernel's own module (`gpu/knn/kernels.rs`, ...) declares its [`Shader`]s beside its parameter
//! structs, and lists them in its `SHADERS`.

#[cfg(test)]
mod hlsl;
mod layout;
#[cfg(feature = "internals")]
pub(crate) mod listing;
mod preprocess;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod translations;

pub(super) use layout::{
    Field, Layout, ShaderParams, ShaderStruct, ShaderType, WideBits, shader_params, shader_struct,
};
pub(super) use preprocess::expand;
#[cfg(test)]
pub(super) use tests::{constant, module, workgroup_bytes};

use super::SHADERS;

/// One entry point of one shader file, with everything that the host has to know to run it.
pub(super) struct Shader {
    /// Entry point; also its name in profiles.
    pub(super) entry: &'static str,
    /// The file that has it; see [`file`].
    pub(super) file: File,
    /// What the host may define, as independent choices. A pipeline makes each of them.
    pub(super) definitions: &'static [Definition],
    /// Binding 0, a uniform buffer.
    pub(super) params: Layout,
    /// Storage buffers, from binding 1 on.
    pub(super) storage: &'static [Storage],
    /// Threads of a workgroup.
    pub(super) threads: Threads,
    /// Constants of the shader that the host repeats: their names and values.
    pub(super) constants: &'static [(&'static str, u32)],
    /// Features that the device needs, besides float64 for `WIDE_F64`.
    pub(super) features: wgpu::Features,
}

/// A file of `shaders/`.
#[derive(Clone, Copy)]
pub(super) struct File {
    /// Without `.wgsl`.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// A file of `shaders/`, included in the program.
macro_rules! file {
    ($name:literal) => {
        $crate::gpu::shader::File {
            name: $name,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/",
                $name,
                ".wgsl"
            )),
        }
    };
}

pub(super) use file;

/// A name that the host defines: with a value it becomes `const NAME = VALUEu;`, without one it selects
/// branches of `#ifdef`.
pub(super) type Define = (&'static str, Option<u32>);

/// What the host may define for a shader, as one choice.
pub(super) enum Definition {
    /// A name without a value, defined or not.
    Flag(&'static str),
    /// Exactly one of these sets.
    OneOf(fn() -> Vec<Vec<Define>>),
}

/// Wide numbers are float64 rather than pairs of float32. [`Context::pipeline`](super::Context) decides
/// it.
pub(super) const WIDE: Definition = Definition::Flag("WIDE_F64");

/// How a shader uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
}

/// A storage buffer of a shader: a runtime-sized array.
pub(super) struct Storage {
    /// Name of the variable in the shader.
    pub(super) name: &'static str,
    pub(super) access: Access,
    pub(super) element: Element,
}

/// Elements of a storage buffer.
pub(super) enum Element {
    /// A type of WGSL, written as for [`ShaderType::WGSL`].
    Plain(&'static str),
    Struct(Layout),
}

/// An array of numbers or vectors that a shader reads.
pub(super) const fn reads(name: &'static str, wgsl: &'static str) -> Storage {
    Storage {
        name,
        access: Access::Read,
        element: Element::Plain(wgsl),
    }
}

/// An array of numbers or vectors that a shader writes, and may read.
pub(super) const fn writes(name: &'static str, wgsl: &'static str) -> Storage {
    Storage {
        name,
        access: Access::ReadWrite,
        element: Element::Plain(wgsl),
    }
}

/// An array of structs that a shader reads.
pub(super) const fn reads_structs<S: ShaderStruct>(name: &'static str) -> Storage {
    Storage {
        name,
        access: Access::Read,
        element: Element::Struct(S::LAYOUT),
    }
}

/// An array of structs that a shader writes, and may read.
pub(super) const fn writes_structs<S: ShaderStruct>(name: &'static str) -> Storage {
    Storage {
        name,
        access: Access::ReadWrite,
        element: Element::Struct(S::LAYOUT),
    }
}

/// Threads of a workgroup, which extends along x only.
#[derive(Clone, Copy)]
pub(super) enum Threads {
    Fixed(u32),
    /// A multiple of the value of a definition.
    Times(u32, &'static str),
}

impl Shader {
    /// A shader with defaults for what most do not need.
    pub(super) const fn new<P: ShaderParams>(
        entry: &'static str,
        file: File,
        threads: Threads,
        storage: &'static [Storage],
    ) -> Self {
        Self {
            entry,
            file,
            definitions: &[],
            params: P::LAYOUT,
            storage,
            threads,
            constants: &[],
            features: wgpu::Features::empty(),
        }
    }

    /// The same with these definitions.
    pub(super) const fn define(self, definitions: &'static [Definition]) -> Self {
        Self {
            definitions,
            ..self
        }
    }

    /// The same with these constants, which the host repeats.
    pub(super) const fn constants(self, constants: &'static [(&'static str, u32)]) -> Self {
        Self { constants, ..self }
    }

    /// The same for devices with these features only.
    pub(super) const fn requires(self, features: wgpu::Features) -> Self {
        Self { features, ..self }
    }

    /// Whether the shader uses wide numbers.
    pub(super) fn is_wide(&self) -> bool {
        self.definitions
            .iter()
            .any(|d| matches!(d, Definition::Flag("WIDE_F64")))
    }

    /// Workgroups that have a thread for each of `items`, for shaders whose workgroups have a fixed
    /// size.
    pub(super) const fn workgroups(&self, items: usize) -> u64 {
        match self.threads {
            Threads::Fixed(threads) => (items as u64).div_ceil(threads as u64),
            Threads::Times(..) => items as u64,
        }
    }

    /// All sets of definitions that a pipeline of this shader may have.
    pub(super) fn combinations(&self) -> Vec<Vec<Define>> {
        self.combinations_of(|sets| sets)
    }

    /// The same, with some of the sets of each [`Definition::OneOf`] only.
    fn combinations_of(
        &self,
        some: impl Fn(Vec<Vec<Define>>) -> Vec<Vec<Define>>,
    ) -> Vec<Vec<Define>> {
        let mut all = vec![Vec::new()];
        for definition in self.definitions {
            let choices = match definition {
                Definition::Flag(name) => vec![Vec::new(), vec![(*name, None)]],
                Definition::OneOf(sets) => some(sets()),
            };
            all = all
                .iter()
                .flat_map(|made| choices.iter().map(move |c| [&made[..], c].concat()))
                .collect();
        }
        all
    }

    /// Whether this shader is in [`SHADERS`], and the definitions are among its combinations.
    pub(super) fn is_listed_with(&self, defines: &[Define]) -> bool {
        let sorted = |set: &[Define]| {
            let mut set = set.to_vec();
            set.sort_unstable();
            set
        };
        let wanted = sorted(defines);
        SHADERS
            .iter()
            .any(|shaders| shaders.iter().any(|s| std::ptr::eq(*s, self)))
            && self.combinations().iter().any(|c| sorted(c) == wanted)
    }
}
