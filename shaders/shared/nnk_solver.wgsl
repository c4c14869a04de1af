// Working memory of the solver, and what its parts share.
#import nnk_memory

// Places in the working memory for K candidates: b; x; the slope K x - b; the minimum on the support
// (`GOAL`); the columns of the factor, each from its diagonal down, with the right-hand side as the last
// row.
const B = 0u;
const X = K;
const SLOPE = 2u * K;
const GOAL = 3u * K;
const FACTOR = 4u * K;
const WORK = 4u * K + K * (K + 3u) / 2u;

// Stands for no candidate.
const NONE = 0xffffffffu;

// Bounds of relative rounding errors: of a slope, and of a pivot per step of the factorisation.
#ifdef WIDE_F64
const SLOPE_ERROR = 1e-14;
const PIVOT_ERROR = 2e-15;
#else
const SLOPE_ERROR = 1e-12;
const PIVOT_ERROR = 1e-13;
#endif

// Offset of this query's matrix in `kernels`.
var<private> kernel_base: u32;

// The support, in the order in which members entered it.
var<workgroup> members: array<u32, K>;
var<workgroup> member_count: u32;
// Per candidate, bits: IN_SUPPORT; REFUSED while it has been refused since the objective last fell.
var<workgroup> marks: array<u32, K>;
const IN_SUPPORT = 1u;
const REFUSED = 2u;
// Each thread's smallest value and its index, reduced to element 0.
var<workgroup> least: array<wide, WIDTH>;
var<workgroup> least_at: array<u32, WIDTH>;

// K_ij.
fn kernel_at(i: u32, j: u32) -> wide {
    return kernels[kernel_base + i * params.k + j];
}

// Leaves the smallest of all threads' values and its index in least[0] and least_at[0].
fn reduce(value: wide, at: u32) {
    sync();
    least[lane] = value;
    least_at[lane] = at;
    sync();
    for (var part = WIDTH / 2u; part > 0u; part /= 2u) {
        if (lane < part && wide_less(least[lane + part], least[lane])) {
            least[lane] = least[lane + part];
            least_at[lane] = least_at[lane + part];
        }
        sync();
    }
}
