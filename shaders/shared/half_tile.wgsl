// Workgroup memory and types for products on cooperative matrices. `half_product`, which is imported
// into the body of a kernel, computes BLOCK x BLOCK sums of products of f16 rows. The workgroup has
// eight subgroups, two by four of them, and each holds 4 x 2 matrices of sums. The host defines SIDE,
// the side of a matrix, and SUBGROUP, the threads of a subgroup.
enable f16;
enable wgpu_cooperative_matrix;

#ifdef SIDE_16
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;
#else
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;
#endif

const BLOCK = 8u * SIDE;
const THREADS = 8u * SUBGROUP;
// Vectors of four terms per row that are in workgroup memory at a time.
const STAGE = 8u;
// Vectors from one row of the stage to the next: 80 bytes, so that eight rows that are read together lie
// in different banks.
const STAGE_PITCH = 10u;
// Numbers from one row of a subgroup's sums to the next: four more than needed, for the same reason.
const SUMS_PITCH = 2u * SIDE + 4u;

// Threads that a subgroup really has, which a driver may choose. Kernels compare it with SUBGROUP: with others, sums
// would be left out.
var<workgroup> subgroup_threads: u32;

var<workgroup> stage_left: array<vec4<f16>, BLOCK * STAGE_PITCH>;
var<workgroup> stage_right: array<vec4<f16>, BLOCK * STAGE_PITCH>;
// One row of each subgroup's matrices at a time. Threads cannot read a cooperative matrix directly, so
// sums pass through here.
var<workgroup> sums: array<f32, 8u * SIDE * SUMS_PITCH>;
