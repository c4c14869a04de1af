//! Operators on constants alone, which are computed while the model is read.

use super::support::{load, numbers, outputs, refused, run};
use crate::support::model::{Attribute, Model, Node};

/// A model that adds a constant, computed by nodes, to its input; what it added.
fn added(m: &mut Model, folded: &str) -> Vec<f32> {
    m.node(Node::new("Add", "add", &["input", folded], "y"));
    m.output("y");
    let graph = load(m);
    let sum = run(&graph, graph.outputs()).remove(0);
    let constant = graph.nodes()[0].inputs[1];
    let data = graph.value(constant).data.clone().expect("a constant");
    assert_eq!(graph.nodes().len(), 1, "everything else is folded");
    assert!(sum.iter().all(|v| v.is_finite()));
    data.read().expect("elements").into_owned()
}

fn model(shape: &[i64]) -> Model {
    Model::new(shape)
}

/// `Cast` to float32.
fn to_float(m: &mut Model, input: &str) -> String {
    let output = format!("{input}.f");
    m.node(Node::new("Cast", "", &[input], &output).with(Attribute::int("to", 1)));
    output
}

#[test]
fn the_paddings_of_old_exporters_are_computed() {
    // Pads of the last axes first, as PyTorch has them, turned into those of ONNX: paddings, filled up with
    // zeros, as rows of two, in reverse order, transposed, as one list.
    let mut m = model(&[2, 4, 4]);
    m.list("given", &[1, 2, 3, 0]);
    m.list("four", &[4]);
    m.node(
        Node::new("ConstantOfShape", "z", &["four"], "zeros").with(Attribute::list("value", &[0])),
    );
    m.node(Node::new("Concat", "c", &["given", "zeros"], "all").with(Attribute::int("axis", 0)));
    m.list("rows", &[-1, 2]);
    m.node(Node::new("Reshape", "r", &["all", "rows"], "pairs"));
    for (name, value) in [("minus1", -1), ("end", i64::MIN), ("zero", 0)] {
        m.list(name, &[value]);
    }
    m.node(Node::new(
        "Slice",
        "s",
        &["pairs", "minus1", "end", "zero", "minus1"],
        "turned",
    ));
    m.node(
        Node::new("Transpose", "t", &["turned"], "columns").with(Attribute::ints("perm", &[1, 0])),
    );
    m.node(Node::new("Reshape", "l", &["columns", "minus1"], "list"));
    m.node(Node::new("Cast", "i", &["list"], "pads").with(Attribute::int("to", 7)));
    m.node(Node::new("Pad", "p", &["input", "pads"], "y"));
    m.output("y");
    let graph = load(&m);
    assert_eq!(graph.value(graph.outputs()[0]).shape, [2, 4 + 3, 4 + 1 + 2]);
    let mut plain = model(&[2, 4, 4]);
    plain.list("pads", &[0, 0, 3, 1, 0, 0, 0, 2]);
    plain.node(Node::new("Pad", "p", &["input", "pads"], "y"));
    plain.output("y");
    assert_eq!(outputs(&m), outputs(&plain));
}

#[test]
fn sizes_computed_from_shapes_are_followed() {
    // Half the height and width of the input, in floating point and back, as exporters of Resize write it.
    let mut m = model(&[2, 9, 6]);
    m.node(Node::new("Shape", "s", &["input"], "shape"));
    m.list("from", &[2]);
    m.list("to", &[4]);
    m.node(Node::new("Slice", "p", &["shape", "from", "to"], "size"));
    let size = to_float(&mut m, "size");
    m.constant("half", &[1], &[0.5]);
    m.node(Node::new("Mul", "h", &[&size, "half"], "scaled"));
    m.node(Node::new("Floor", "f", &["scaled"], "whole"));
    m.node(Node::new("Cast", "i", &["whole"], "target").with(Attribute::int("to", 7)));
    m.list("starts", &[0, 0]);
    m.list("axes", &[2, 3]);
    m.node(Node::new(
        "Slice",
        "cut",
        &["input", "starts", "target", "axes"],
        "y",
    ));
    m.output("y");
    let graph = load(&m);
    assert_eq!(graph.value(graph.outputs()[0]).shape, [2, 4, 3]);
}

#[test]
fn the_batch_stays_free_through_the_arithmetic_of_expand() {
    // Where(shape == -1, 1, shape), of a shape that begins with the batch.
    let mut m = model(&[2, 3, 4]);
    m.node(Node::new("Shape", "s", &["input"], "shape"));
    m.list("minus1", &[-1]);
    m.list("one", &[1]);
    m.list("rest", &[24]);
    m.node(Node::new("Equal", "e", &["shape", "minus1"], "open"));
    m.node(Node::new("Where", "w", &["open", "one", "shape"], "kept"));
    m.list("first", &[0]);
    m.node(Node::new("Gather", "g", &["kept", "first"], "batch"));
    m.node(Node::new("Concat", "c", &["batch", "rest"], "target").with(Attribute::int("axis", 0)));
    m.node(Node::new("Reshape", "r", &["input", "target"], "y"));
    m.output("y");
    let graph = load(&m);
    assert_eq!(graph.value(graph.outputs()[0]).shape, [24]);
}

#[test]
fn grids_of_anchors_are_computed() {
    let mut m = model(&[2, 3, 4]);
    for (name, value) in [("zero", 0), ("three", 3), ("four", 4), ("one", 1)] {
        m.constants
            .push(crate::support::model::integers(name, &[], &[value]));
    }
    m.node(Node::new("Range", "x", &["zero", "four", "one"], "columns"));
    m.node(Node::new("Range", "y", &["zero", "three", "one"], "lines"));
    m.list("axis", &[1]);
    m.node(Node::new("Unsqueeze", "u", &["lines", "axis"], "column"));
    m.list("shape", &[3, 4]);
    m.node(Node::new("Expand", "ex", &["columns", "shape"], "xs"));
    m.list("repeats", &[1, 4]);
    m.node(Node::new("Tile", "ti", &["column", "repeats"], "ys"));
    for name in ["xs", "ys"] {
        m.list(&format!("{name}.to"), &[1, 3, 4]);
        m.node(Node::new(
            "Reshape",
            "",
            &[name, &format!("{name}.to")],
            &format!("{name}.1"),
        ));
    }
    m.node(Node::new("Concat", "both", &["xs.1", "ys.1"], "grid").with(Attribute::int("axis", 0)));
    let grid = to_float(&mut m, "grid");
    let want: Vec<f32> = (0..12)
        .map(|i| (i % 4) as f32)
        .chain((0..12).map(|i| (i / 4) as f32))
        .collect();
    assert_eq!(added(&mut m, &grid), want);
}

type Function = fn(f64) -> f64;

#[test]
fn arithmetic_on_numbers_agrees_with_float64() {
    let x = numbers(6, 2.0);
    let cases: [(&str, Function); 9] = [
        ("Abs", f64::abs),
        ("Exp", f64::exp),
        ("Neg", |x| -x),
        ("Tanh", f64::tanh),
        ("Sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
        ("Reciprocal", |x| 1.0 / x),
        ("Ceil", f64::ceil),
        ("Relu", |x| x.max(0.0)),
        ("Round", f64::round_ties_even),
    ];
    for (op, f) in cases {
        let mut m = model(&[1, 2, 3]);
        m.constant("x", &[2, 3], &x);
        m.node(Node::new(op, "f", &["x"], "fx"));
        let want: Vec<f32> = x.iter().map(|&v| f(v.into()) as f32).collect();
        assert_eq!(added(&mut m, "fx"), want, "{op}");
    }
    // Standardised weights: (x - mean) / sqrt(mean of squares + epsilon), over rows.
    let mut m = model(&[1, 2, 3]);
    m.constant("x", &[2, 3], &x);
    let rows = Attribute::ints("axes", &[1]);
    m.node(Node::new("ReduceMean", "m", &["x"], "mean").with(rows.clone()));
    m.node(Node::new("Sub", "s", &["x", "mean"], "d"));
    m.node(Node::new("Mul", "q", &["d", "d"], "dd"));
    m.node(Node::new("ReduceMean", "v", &["dd"], "variance").with(rows));
    m.constant("epsilon", &[1], &[1e-5]);
    m.node(Node::new("Add", "e", &["variance", "epsilon"], "ve"));
    m.node(Node::new("Sqrt", "r", &["ve"], "deviation"));
    m.node(Node::new("Div", "n", &["d", "deviation"], "w"));
    let got = added(&mut m, "w");
    for (got, x) in got.chunks(3).zip(x.chunks(3)) {
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / 3.0;
        let variance = x
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / 3.0;
        for (g, v) in got.iter().zip(x) {
            let want = (f64::from(*v) - mean) / (variance + 1e-5).sqrt();
            assert!((f64::from(*g) - want).abs() < 1e-6, "{g} for {want}");
        }
    }
    // The same in one operator, by the statistics of the constant: before opset 14 told by its outputs.
    for opset in [13, 15] {
        let mut m = model(&[1, 2, 3]);
        m.opset = opset;
        m.constant("x", &[1, 2, 3], &x);
        m.constant("s", &[2], &[2.0, 1.0]);
        for name in ["b", "m", "v"] {
            m.constant(name, &[2], &[0.5, 0.25]);
        }
        let mut norm = Node::new("BatchNormalization", "n", &["x", "s", "b", "m", "v"], "w");
        norm.outputs.extend(["om".into(), "ov".into()]);
        m.node(norm.with(Attribute::int("training_mode", i64::from(opset > 13))));
        let got = added(&mut m, "w");
        for (row, (got, x)) in got.chunks(3).zip(x.chunks(3)).enumerate() {
            let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / 3.0;
            let variance = x
                .iter()
                .map(|&v| (f64::from(v) - mean).powi(2))
                .sum::<f64>()
                / 3.0;
            for (g, v) in got.iter().zip(x) {
                let normal = (f64::from(*v) - mean) / (variance + 1e-5).sqrt();
                let want = [2.0 * normal + 0.5, normal + 0.25][row];
                assert!((f64::from(*g) - want).abs() < 1e-6, "{g} for {want}");
            }
        }
    }
    // A product of matrices.
    let mut m = model(&[1, 2, 2]);
    m.constant("a", &[2, 3], &x);
    m.constant("b", &[3, 2], &[1.0, 2.0, 3.0, -1.0, 0.5, 4.0]);
    m.node(Node::new("MatMul", "ab", &["a", "b"], "p"));
    let got = added(&mut m, "p");
    let row = |r: usize, b: [f32; 3]| (0..3).map(|i| x[3 * r + i] * b[i]).sum::<f32>();
    for (r, got) in got.chunks(2).enumerate() {
        let want = [row(r, [1.0, 3.0, 0.5]), row(r, [2.0, -1.0, 4.0])];
        assert!((got[0] - want[0]).abs() < 1e-5 && (got[1] - want[1]).abs() < 1e-5);
    }
}

#[test]
fn parts_of_constants_are_selected_along_any_axis() {
    let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let at = |want: &[usize]| -> Vec<f32> { want.iter().map(|&i| i as f32).collect() };
    // Slices of two axes, one backwards.
    let mut m = model(&[1, 2, 2]);
    m.constant("x", &[2, 3, 4], &x);
    for (name, v) in [
        ("s", [2, 3]),
        ("e", [0, 1]),
        ("a", [1, -1]),
        ("d", [-1, -1]),
    ] {
        m.list(name, &v);
    }
    m.node(Node::new("Slice", "c", &["x", "s", "e", "a", "d"], "part"));
    assert_eq!(added(&mut m, "part"), at(&[11, 10, 7, 6, 23, 22, 19, 18]));
    // Rows by a matrix of indices, as tables of relative positions are read.
    let mut m = model(&[2, 2, 4]);
    m.constant("x", &[6, 4], &x);
    m.constants.push(crate::support::model::integers(
        "i",
        &[2, 2],
        &[5, 0, -6, 1],
    ));
    m.node(Node::new("Gather", "g", &["x", "i"], "rows"));
    let want: Vec<usize> = [5, 0, 0, 1].iter().flat_map(|r| 4 * r..4 * r + 4).collect();
    assert_eq!(added(&mut m, "rows"), at(&want));
    // Parts of a constant.
    let mut m = model(&[1, 2, 2]);
    m.constant("x", &[6, 4], &x);
    m.list("sizes", &[1, 2, 1]);
    let mut split = Node::new("Split", "p", &["x", "sizes"], "p0").with(Attribute::int("axis", 1));
    split.outputs.extend(["p1".into(), "p2".into()]);
    m.node(split);
    m.list("two", &[2]);
    m.list("zero", &[0]);
    m.node(Node::new("Slice", "c", &["p1", "zero", "two"], "part"));
    assert_eq!(added(&mut m, "part"), at(&[1, 2, 5, 6]));
}

#[test]
fn what_the_bytes_of_the_file_do_not_back_is_refused() {
    let bomb = |nodes: &dyn Fn(&mut Model)| {
        let mut m = model(&[1, 4, 4]);
        m.constant("conv1.weight", &[2, 1, 3, 3], &[0.5; 18]);
        nodes(&mut m);
        m.node(Node::new("Conv", "c", &["input", "conv1.weight"], "y"));
        m.output("y");
        let message = refused(&m);
        assert!(message.contains("in a model of"), "{message}");
    };
    // Joined to itself, thirty times: 2^31 numbers of a list of two.
    bomb(&|m| {
        m.list("a0", &[1, 2]);
        for i in 0..30 {
            let from = format!("a{i}");
            let to = format!("a{}", i + 1);
            m.node(Node::new("Concat", "", &[&from, &from], &to).with(Attribute::int("axis", 0)));
        }
    });
    bomb(&|m| {
        m.list("shape", &[1 << 20, 1 << 20, 1 << 20]);
        m.node(Node::new("ConstantOfShape", "", &["shape"], "filled"));
    });
    bomb(&|m| {
        m.list("shape", &[1 << 15, 1 << 15]);
        m.constant("x", &[1], &[1.0]);
        m.node(Node::new("Expand", "", &["x", "shape"], "wide"));
    });
    bomb(&|m| {
        m.list("repeats", &[1 << 30]);
        m.constant("x", &[4], &[1.0; 4]);
        m.node(Node::new("Tile", "", &["x", "repeats"], "long"));
    });
    // Repeated in two directions, a row and a column make a square.
    bomb(&|m| {
        m.constant("row", &[1, 3000], &[1.0; 3000]);
        m.constant("column", &[3000, 1], &[1.0; 3000]);
        m.node(Node::new("Mul", "", &["row", "column"], "square"));
    });
    bomb(&|m| {
        for (name, value) in [("zero", 0), ("end", 1 << 31), ("one", 1)] {
            m.constants
                .push(crate::support::model::integers(name, &[], &[value]));
        }
        m.node(Node::new("Range", "", &["zero", "end", "one"], "all"));
    });
    bomb(&|m| {
        m.constant("x", &[4], &[1.0; 4]);
        m.list("pads", &[1 << 40, 0]);
        m.node(Node::new("Pad", "", &["x", "pads"], "wide"));
    });
}
