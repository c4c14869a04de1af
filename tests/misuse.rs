//! Wrong arguments of every operation: the error names the argument, what it is and what is expected. The
//! tests of the GPU compare its errors with these.

use crate::support::misuse::refusals;
use chanscope::cpu::Cpu;

const EXPECTED: &[(&str, &str)] = &[
    ("upload: length", "data has 5 elements, expected 6"),
    (
        "upload: size",
        "data of shape [18446744073709551615, 8] has more elements than can be addressed",
    ),
    (
        "zeros: size",
        "shape of shape [18446744073709551615, 8] has more elements than can be addressed",
    ),
    ("reshape: length", "shape has 8 elements, expected 6"),
    ("points: dim", "dim is 0, expected at least 1"),
    ("points: length", "data has 10 elements, expected 11"),
    (
        "points: first",
        "first is 2147483647, expected at most 2^31 - 1 less the block's 10 rows",
    ),
    (
        "points: size",
        "block of shape [18446744073709551615, 10, 1] has more elements than can be addressed",
    ),
    ("candidates: no k", "k is 0, expected 1 to 1024"),
    ("candidates: large k", "k is 1025, expected 1 to 1024"),
    (
        "candidates: size",
        "candidates of shape [9223372036854775807, 10, 5] has more elements than can be addressed",
    ),
    ("knn: no k", "k is 0, expected 1 to 1024"),
    ("knn: large k", "k is 1025, expected 1 to 1024"),
    (
        "knn: lists of another k",
        "candidates has shape [1, 10, 1], expected [1, 10, 2]",
    ),
    (
        "knn: kernel",
        "queries is prepared for the Gaussian kernel, expected rows for the Cosine kernel",
    ),
    (
        "knn: kernel of queries",
        "queries is prepared for the Cosine kernel, expected rows for the Gaussian kernel",
    ),
    (
        "knn: kernel of points",
        "points is prepared for the Cosine kernel, expected rows for the Gaussian kernel",
    ),
    (
        "knn: dim",
        "points has shape [1, 5, 2], expected [1, rows, 1]",
    ),
    ("knn: rows", "rows selects 1..11, outside 0..10"),
    (
        "knn: lists of fewer queries",
        "candidates has shape [1, 10, 1], expected [1, 9, 1]",
    ),
    (
        "gather: groups",
        "points has shape [2, 5, 1], expected [1, rows, dim]",
    ),
    (
        "gather: into",
        "into has shape [1, 10, 1, 2], expected [1, 10, 1, 1]",
    ),
    ("nnk: large k", "k is 1025, expected 1 to 1024"),
    (
        "nnk: lists of another k",
        "candidates has shape [1, 10, 1], expected [1, 10, 2]",
    ),
    ("nnk: no sigma", "sigma is 0, expected a positive number"),
    ("nnk: sigma", "sigma is NaN, expected a positive number"),
    (
        "nnk: kernel",
        "queries is prepared for the Cosine kernel, expected rows for the Gaussian kernel",
    ),
    ("nnk: rows", "rows selects 1..11, outside 0..10"),
    (
        "nnk: lists",
        "candidates has shape [1, 10, 1], expected [1, 9, 1]",
    ),
    (
        "nnk: dim",
        "vectors has shape [1, 5, 2], expected [1, rows, 1]",
    ),
    (
        "nnk: kernel of vectors",
        "vectors is prepared for the Cosine kernel, expected rows for the Gaussian kernel",
    ),
    (
        "nnk: gathered",
        "vectors has shape [1, 10, 1, 2], expected [1, 10, 1, 1]",
    ),
    (
        "nnk: missing",
        "vectors is a block without a candidate of query 8, expected a block that holds every candidate",
    ),
    (
        "overlap: degenerate",
        "degenerate has 5 elements, expected 6",
    ),
    ("overlap: indices", "indices has 11 elements, expected 12"),
    ("overlap: k", "k is 1025, expected 1 to 1024"),
    ("overlap: sums", "intersection has 9 elements, expected 4"),
    (
        "overlap: size",
        "supports of shape [2, 18446744073709551615, 2] has more elements than can be addressed",
    ),
    (
        "gram: shape",
        "x has shape [4, 3], expected [groups, n, dim]",
    ),
    ("gram: sigma", "sigma is -1, expected a positive number"),
    ("linear: x", "x has shape [2, 3, 1], expected [R, K]"),
    ("linear: weight", "weight has shape [4, 3], expected [3, M]"),
    ("linear: bias", "bias has shape [3], expected [4]"),
    ("conv2d: x", "x has shape [4, 5, 5], expected [N, C, H, W]"),
    (
        "conv2d: weight",
        "weight has shape [4, 3, 3], expected [M, C / groups, kh, kw]",
    ),
    ("conv2d: bias", "bias has shape [4], expected [3]"),
    (
        "conv2d: groups",
        "conv2d: the shapes [1, 4, 5, 5] and [3, 4, 3, 3] do not fit: input channels must be the weights' second dimension times the groups, and filters a multiple of the groups (groups 2, stride [1, 1], padding [0, 0, 0, 0], dilation [1, 1])",
    ),
    ("conv2d: stride", "stride is [1, 0], expected at least 1"),
    (
        "conv2d: kernel",
        "conv2d: the shapes [1, 4, 5, 5] and [3, 4, 6, 3] do not fit: the kernel does not fit into the padded input (groups 1, stride [1, 1], padding [0, 0, 0, 0], dilation [1, 1])",
    ),
    ("pool2d: x", "x has shape [4, 4], expected [N, C, H, W]"),
    ("pool2d: stride", "stride is [0, 2], expected at least 1"),
    (
        "binary: shapes",
        "binary: the shapes [2, 3] and [4] do not fit: axes must be equal, or 1 to be broadcast",
    ),
    (
        "binary: axes",
        "binary: the shapes [1, 1, 1, 1, 1, 1, 1, 1, 1] and [1, 1, 1, 1, 1, 1, 1, 1, 1] do not fit: there may be at most 8 axes",
    ),
    ("reduce: axes", "axes selects 2..4, outside 0..3"),
    ("reduce: shape", "shape has 6 elements, expected 8"),
    (
        "reduce: no elements",
        "axes is 1..2, expected axes with at least one element",
    ),
    ("softmax: axis", "axis selects 3, outside 0..3"),
    (
        "normalise: len",
        "len is 5, expected a divisor of the number of elements of [2, 3, 4]",
    ),
    (
        "normalise: nothing",
        "len is 0, expected a divisor of the number of elements of [2, 3, 4]",
    ),
    ("resample: axis", "axis selects 3, outside 0..3"),
    ("resample: index", "index selects 3, outside 0..3"),
    (
        "resample: terms",
        "terms is 2, expected a divisor of the number of indices",
    ),
    (
        "resample: no terms",
        "terms is 0, expected a divisor of the number of indices",
    ),
    ("resample: weight", "weight has 1 elements, expected 2"),
    (
        "copy: source",
        "copy is StridedCopy { extents: [2, 3], src_offset: 1, src_strides: [3, 1], dst_offset: 0, dst_strides: [3, 1] }, expected a box inside tensors of 6 and 6 elements",
    ),
    (
        "copy: target",
        "copy is StridedCopy { extents: [2, 3], src_offset: 0, src_strides: [3, 1], dst_offset: 1, dst_strides: [3, 1] }, expected a box inside tensors of 6 and 6 elements",
    ),
    (
        "copy: backwards",
        "copy is StridedCopy { extents: [2, 3], src_offset: 0, src_strides: [3, -1], dst_offset: 0, dst_strides: [3, 1] }, expected a box inside tensors of 6 and 6 elements",
    ),
    ("copy: strides", "dst_strides has 1 elements, expected 2"),
    (
        "copy: axes",
        "extents is [1, 1, 1, 1, 1, 1, 1, 1, 1], expected at most 8 axes",
    ),
    ("shuffle: x", "x has shape [6], expected [N, C, ...]"),
    ("shuffle: samples", "index has 1 elements, expected 2"),
    ("shuffle: a sample", "index selects 2, outside 0..2"),
    ("shuffle: pixels", "index has 4 elements, expected 8"),
    ("shuffle: a pixel", "index selects 4, outside 0..4"),
    (
        "substitute: other",
        "other has shape [2, 3, 4], expected [2, 3, 2, 2]",
    ),
    (
        "substitute: channels",
        "channels selects 2..4, outside 0..3",
    ),
    ("substitute: none", "channels selects 1..1, outside 0..3"),
    (
        "channel_dots: rows",
        "channel_dots: the shapes [2, 3, 2, 2] and [3, 3, 2, 2] do not fit: the second holds as many variants of every sample of the first",
    ),
    ("channel_dots: y", "y has shape [6], expected [N, C, ...]"),
    (
        "correlate: x",
        "x has shape [2, 3, 4], expected [P, I, h, w]",
    ),
    ("correlate: y", "y has shape [6], expected [P, I, h, w]"),
    (
        "correlate: inputs",
        "y has shape [2, 4, 2, 2], expected [Q, 3, h, w]",
    ),
    (
        "similarity: weights",
        "weights has 17 elements, expected 18",
    ),
    (
        "similarity: gradient",
        "gradient has 19 elements, expected 18",
    ),
    (
        "similarity_pairs: weights",
        "weights has 17 elements, expected 18",
    ),
];

#[test]
fn wrong_arguments_are_named() {
    let found = refusals(&Cpu::new(2).unwrap());
    let found: Vec<(&str, String)> = found
        .iter()
        .map(|(what, e)| (*what, e.to_string()))
        .collect();
    let found: Vec<(&str, &str)> = found.iter().map(|(what, e)| (*what, e.as_str())).collect();
    for (found, expected) in found.iter().zip(EXPECTED) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), EXPECTED.len(), "{found:#?}");
}
