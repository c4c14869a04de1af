// What a product on cooperative matrices needs: `half_product`, imported into the body of a kernel,
// computes BLOCK x BLOCK sums of products of f16 rows. Eight subgroups, two by four of them, each hold
// 4 x 2 matrices of sums.
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
// Vectors of four terms of a row that are staged at once.
const STAGE = 8u;
// Between rows of the stage: 80 bytes, so that eight rows that are read together lie in different banks.
const STAGE_PITCH = 10u;
// Between rows of a subgroup's sums: four more than there are, for the same reason.
const SUMS_PITCH = 2u * SIDE + 4u;

var<workgroup> stage_left: array<vec4<f16>, BLOCK * STAGE_PITCH>;
var<workgroup> stage_right: array<vec4<f16>, BLOCK * STAGE_PITCH>;
// A row of each subgroup's matrices at a time: no thread can look into a matrix.
var<workgroup> sums: array<f32, 8u * SIDE * SUMS_PITCH>;
