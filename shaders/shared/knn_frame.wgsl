// A row as the filters see it: centred and scaled for the Gaussian kernel, a unit vector for cosine.

// Component t of that row, from component x of the row as it was read.
fn in_frame(x: f32, norm: RowNorm, group: u32, t: u32) -> f32 {
#ifdef COSINE
    return x * norm.power * norm.norm;
#else
    let frame = group * (params.dim + 1u);
    return centred(x, frames[frame + 1u + t], frames[frame]);
#endif
}
