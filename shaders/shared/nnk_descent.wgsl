// Projected coordinate descent, which finds most of the support at little cost.
#import nnk_solver

const SWEEPS = 4u;

// Slope and value of this step's coordinate and of the next one, alternating. Their owner publishes them
// in the step before, so that each step needs one barrier.
var<workgroup> published: array<wide, 4>;

// Does SWEEPS sweeps over m coordinates.
fn descend(m: u32) {
    if (lane == 0u) {
        published[0] = load(SLOPE);
        published[1] = load(X);
    }
    sync();
    var i = 0u;
    for (var step = 0u; step < SWEEPS * m; step++) {
        let slope = published[step % 2u * 2u];
        let x = published[step % 2u * 2u + 1u];
        var shift = -slope;
        if (wide_less(shift, -x)) {
            shift = -x;
        }
        if (wide_round(shift) != 0.0) {
            for (var j = lane; j < m; j += WIDTH) {
                store(SLOPE + j, wide_add(load(SLOPE + j), wide_mul(shift, kernel_at(i, j))));
            }
            if (lane == i % WIDTH) {
                store(X + i, wide_add(x, shift));
            }
        }
        i = select(i + 1u, 0u, i + 1u == m);
        if (lane == i % WIDTH) {
            published[(step + 1u) % 2u * 2u] = load(SLOPE + i);
            published[(step + 1u) % 2u * 2u + 1u] = load(X + i);
        }
        sync();
    }
}
