// A number as a filter sees it: centred and scaled, or of a unit vector.
fn filtered(x: f32, norm: RowNorm, group: u32, t: u32) -> f32 {
#ifdef COSINE
    return x * norm.power * norm.norm;
#else
    let frame = group * (params.dim + 1u);
    return (x - frames[frame + 1u + t]) * frames[frame];
#endif
}
