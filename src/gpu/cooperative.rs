//! Cooperative matrices (tensor cores): whether an adapter has those that the kernels use, and what the
//! shaders are told about them.
//!
//! The kernels use square matrices, f16 times f16 summed in f32, of a side of 16 (NVIDIA, AMD) or 8
//! (Mesa's software adapter). Where the size of subgroups is the driver's choice (32 or 64 on AMD), the kernels are made
//! for one size and test it when they run; opening the adapter tries the sizes, the largest one first. An adapter
//! without matrices, or where no trial succeeds, runs the f32 kernels.

use super::shader::{Define, Threads};

/// Subgroups of a workgroup; each sums 4 x 2 matrices (`shaders/shared/half_product.wgsl`).
const SUBGROUPS: u32 = 8;

/// Threads of a workgroup.
pub(super) const THREADS: Threads = Threads::Times(SUBGROUPS, "SUBGROUP");

/// At least so many operations on matrices take the time of one operation of other kernels. The work of
/// a dispatch is counted in the latter.
pub(super) const SPEEDUP: u64 = 8;

/// Features of a device that runs these kernels.
pub(super) const FEATURES: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::SUBGROUP);

/// The matrices that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cooperative {
    /// Rows, columns and terms.
    pub(super) side: u32,
    /// Threads of a subgroup.
    pub(super) subgroup: u32,
}

impl Cooperative {
    /// What the kernels would use on this adapter, if it can run them.
    pub(super) fn of(adapter: &wgpu::Adapter) -> Option<Self> {
        Self::choices(adapter).first().copied()
    }

    /// What the kernels may use on this adapter, the best first. All are of the same side.
    pub(super) fn choices(adapter: &wgpu::Adapter) -> Vec<Self> {
        if !adapter.features().contains(FEATURES) {
            return Vec::new();
        }
        let info = adapter.get_info();
        choices(
            &adapter.cooperative_matrix_properties(),
            [info.subgroup_min_size, info.subgroup_max_size],
            &adapter.limits(),
        )
    }

    /// Rows and columns of a workgroup's block of results.
    pub(super) const fn block(self) -> usize {
        self.side as usize * 8
    }

    /// What is defined for the shaders.
    pub(super) fn defines(self) -> Vec<Define> {
        let mut defines = vec![("SIDE", Some(self.side)), ("SUBGROUP", Some(self.subgroup))];
        if self.side == 16 {
            defines.push(("SIDE_16", None));
        }
        defines
    }

    /// The matrices that may be chosen. All threads of a subgroup must find work in each of them.
    fn all() -> Vec<Self> {
        let of = |side: u32, subgroups: [u32; 4]| subgroups.map(|subgroup| Self { side, subgroup });
        [of(8, [8, 16, 32, 64]), of(16, [16, 32, 64, 128])].concat()
    }

    /// What may be defined for the shaders, over all devices.
    pub(super) fn all_defines() -> Vec<Vec<Define>> {
        Self::all().into_iter().map(Self::defines).collect()
    }

    /// Bytes of workgroup memory of the largest kernel: tiles of both factors, sums that threads read,
    /// what the filter of the neighbour search knows of each row and column, and the size of a subgroup.
    const fn workgroup_bytes(self) -> u32 {
        let block = 8 * self.side;
        let tiles = 2 * block * 10 * 8;
        let sums = SUBGROUPS * self.side * (2 * self.side + 4) * 4;
        tiles + sums + 2 * block * 16 + 16
    }
}

/// The largest usable matrices, by the subgroups that may run them, large ones first.
fn choices(
    found: &[wgpu::CooperativeMatrixProperties],
    [smallest, largest]: [u32; 2],
    limits: &wgpu::Limits,
) -> Vec<Cooperative> {
    let usable = |c: &Cooperative| {
        let threads = SUBGROUPS * c.subgroup;
        (smallest..=largest).contains(&c.subgroup)
            && threads <= limits.max_compute_invocations_per_workgroup
            && threads <= limits.max_compute_workgroup_size_x
            && c.workgroup_bytes() <= limits.max_compute_workgroup_storage_size
            && found.iter().any(|p| {
                p.ab_type == wgpu::CooperativeScalarType::F16
                    && p.cr_type == wgpu::CooperativeScalarType::F32
                    && [p.m_size, p.n_size, p.k_size] == [c.side; 3]
            })
    };
    let mut all = Cooperative::all();
    all.retain(usable);
    all.sort_by_key(|c| std::cmp::Reverse((c.side, c.subgroup)));
    let side = all.first().map(|c| c.side);
    all.retain(|c| Some(c.side) == side);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::SHADERS;
    use crate::gpu::shader::{constant, module, workgroup_bytes};
    use wgpu::CooperativeScalarType::{self, F16, F32};

    fn properties(
        side: u32,
        ab_type: CooperativeScalarType,
        cr_type: CooperativeScalarType,
    ) -> wgpu::CooperativeMatrixProperties {
        wgpu::CooperativeMatrixProperties {
            m_size: side,
            n_size: side,
            k_size: side,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        }
    }

    #[test]
    fn the_largest_exact_matrices_are_chosen() {
        let with = |bytes| wgpu::Limits {
            max_compute_workgroup_storage_size: bytes,
            ..wgpu::Limits::default()
        };
        let limits = with(48 << 10);
        let all = [
            properties(8, F16, F32),
            properties(16, F16, F16),
            properties(16, F16, F32),
            properties(8, F32, F32),
        ];
        let subgroups = |found: &[_], subgroup, limits: &_| -> Vec<u32> {
            let all = choices(found, subgroup, limits);
            all.iter().map(|c| c.subgroup).collect()
        };
        let side = |found: &[_], subgroup, limits: &_| {
            choices(found, subgroup, limits).first().map(|c| c.side)
        };
        assert_eq!(side(&all, [32, 32], &limits), Some(16));
        assert_eq!(side(&all[..2], [32, 32], &limits), Some(8));
        assert_eq!(side(&all, [8, 8], &limits), Some(8));
        assert_eq!(side(&all, [16, 32], &limits), Some(16));
        assert_eq!(subgroups(&all, [16, 32], &limits), [32, 16]);
        let large = wgpu::Limits {
            max_compute_invocations_per_workgroup: 1024,
            max_compute_workgroup_size_x: 1024,
            ..limits.clone()
        };
        assert_eq!(subgroups(&all, [32, 64], &large), [64, 32]);
        assert_eq!(side(&all[1..2], [32, 32], &limits), None);
        assert_eq!(side(&all, [64, 64], &limits), None, "too many threads");
        let mut oblong = properties(16, F16, F32);
        oblong.n_size = 8;
        assert_eq!(side(&[oblong], [32, 32], &limits), None);
        assert_eq!(side(&all, [32, 32], &with(32 << 10)), Some(8));
    }

    #[test]
    fn the_kernels_fit_the_workgroup_memory_that_is_asked_for() {
        let shaders = SHADERS.iter().copied().flatten();
        let shaders = shaders.filter(|s| s.features.contains(FEATURES));
        assert_eq!(shaders.clone().count(), 3);
        for shader in shaders {
            for matrices in Cooperative::all() {
                let parsed = module(shader, &matrices.defines());
                let bytes = workgroup_bytes(&parsed);
                assert!(bytes <= matrices.workgroup_bytes(), "{bytes} bytes");
                assert_eq!(constant(&parsed, "BLOCK") as usize, matrices.block());
            }
        }
    }
}
