//! The tap `activation`: activations that are spelled in elementary operations, and where they end.

use super::support::{load, numbers, run};
use crate::support::model::{Model, Node};
use chanscope::model::layers::Tap;

/// Nodes as text: `output = Operator(input, ...)`, a line each; the convolution's output is `c`, and what the
/// next convolution reads `a`.
fn network(text: &str, scalars: &[(&str, f32)]) -> Model {
    let mut m = Model::new(&[2, 5, 5]);
    m.constant("conv1.weight", &[4, 2, 3, 3], &numbers(72, 0.7));
    m.constant("conv2.weight", &[3, 4, 1, 1], &numbers(12, 0.9));
    for (name, value) in scalars {
        m.constants
            .push(crate::support::model::tensor(name, &[], &[*value]));
    }
    m.constant("sq.w", &[4, 4, 1, 1], &numbers(16, 0.5));
    m.constant("scale", &[4, 1, 1], &[1.5, -0.5, 0.25, 2.0]);
    m.constant("shift", &[4, 1, 1], &[0.5, -0.25, 0.125, 1.0]);
    for name in ["bn.s", "bn.b", "bn.m", "bn.v"] {
        m.constant(name, &[4], &[0.5, 1.0, 2.0, 1.5]);
    }
    m.node(Node::new("Conv", "conv1", &["input", "conv1.weight"], "c"));
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (output, call) = line.split_once(" = ").unwrap();
        let (op, inputs) = call.trim_end_matches(')').split_once('(').unwrap();
        let inputs: Vec<&str> = inputs.split(", ").collect();
        m.node(Node::new(op, output, &inputs, output));
    }
    m.node(Node::new("Conv", "conv2", &["a", "conv2.weight"], "y"));
    m.output("y");
    m
}

/// The tap holds `f` of the convolution's output and its channel.
fn assert_tap(text: &str, scalars: &[(&str, f32)], f: impl Fn(f64, usize) -> f64) {
    let graph = load(&network(text, scalars));
    let layer = &graph.layers()[0];
    let got = run(&graph, &[layer.conv]).remove(0);
    let want: Vec<f64> = (got.iter().enumerate())
        .map(|(i, &v)| f(v.into(), i / 9 % 4))
        .collect();
    let tapped = if layer.activation == layer.conv {
        got
    } else {
        run(&graph, &[layer.tap(Tap::Activation)]).remove(0)
    };
    for (g, w) in tapped.iter().zip(&want) {
        assert!(
            (f64::from(*g) - w).abs() < 2e-5 * w.abs().max(1.0),
            "{text}: {g} for {w}"
        );
    }
}

#[test]
fn activations_in_elementary_operations_are_followed_to_their_end() {
    let root = std::f64::consts::FRAC_1_SQRT_2;
    let gelu = |x: f64, _: usize| 0.5 * x * (1.0 + libm_erf(x * root));
    let numbers = &[
        ("r2", std::f32::consts::SQRT_2),
        ("one", 1.0),
        ("half", 0.5),
    ];
    assert_tap(
        "t = Div(c, r2)
         u = Erf(t)
         v = Add(u, one)
         q = Mul(c, v)
         a = Mul(q, half)",
        numbers,
        gelu,
    );
    // The half first, and the nodes in another order.
    assert_tap(
        "h = Mul(half, c)
         t = Div(c, r2)
         u = Erf(t)
         v = Add(one, u)
         a = Mul(v, h)",
        numbers,
        gelu,
    );
    assert_tap(
        "c2 = Mul(c, c)
         c3 = Mul(c2, c)
         k3 = Mul(c3, k)
         s = Add(c, k3)
         z = Mul(s, r)
         t = Tanh(z)
         v = Add(t, one)
         q = Mul(c, v)
         a = Mul(q, half)",
        &[
            ("k", 0.044_715),
            ("r", 0.797_884_6),
            ("one", 1.0),
            ("half", 0.5),
        ],
        |x, _| 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x.powi(3))).tanh()),
    );
    assert_tap(
        "z = Mul(c, k)
         s = Sigmoid(z)
         a = Mul(c, s)",
        &[("k", 1.702)],
        |x, _| x / (1.0 + (-1.702 * x).exp()),
    );
    assert_tap(
        "t = Add(c, k3)
         u = Clip(t, zero, k6)
         v = Div(u, k6)
         a = Mul(c, v)",
        &[("k3", 3.0), ("zero", 0.0), ("k6", 6.0)],
        |x, _| x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    );
    // The division last.
    assert_tap(
        "t = Add(c, k3)
         u = Clip(t, zero, k6)
         v = Mul(c, u)
         a = Div(v, k6)",
        &[("k3", 3.0), ("zero", 0.0), ("k6", 6.0)],
        |x, _| x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    );
    assert_tap(
        "t = Tanh(c)
         a = Sub(c, t)",
        &[],
        |x, _| x - x.tanh(),
    );
}

/// `erf` by its series: exact enough for arguments up to 6.
fn libm_erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn constants_per_channel_belong_to_the_tap() {
    let (scale, shift) = ([1.5, -0.5, 0.25, 2.0], [0.5, -0.25, 0.125, 1.0]);
    assert_tap(
        "t = Mul(c, scale)
         u = Add(t, shift)
         a = Relu(u)",
        &[],
        |x, c| (x * scale[c] + shift[c]).max(0.0),
    );
    // Without an activation too: a batch normalisation that is spelled out.
    assert_tap(
        "t = Mul(c, scale)
         a = Add(t, shift)",
        &[],
        |x, c| x * scale[c] + shift[c],
    );
}

#[test]
fn the_tap_ends_where_another_value_or_another_reader_comes_in() {
    // A residual addition.
    assert_tap(
        "b = Relu(c)\nz = Conv(b, sq.w)\na = Add(z, b)",
        &[],
        |x, _| x.max(0.0),
    );
    // The convolution's output is read beside its activation: nothing behind it alone is the layer's.
    assert_tap(
        "b = Relu(c)\nz = GlobalAveragePool(c)\na = Mul(b, z)",
        &[],
        |x, _| x,
    );
    // A batch normalisation behind an activation is a layer of its own.
    assert_tap(
        "b = Relu(c)\na = BatchNormalization(b, bn.s, bn.b, bn.m, bn.v)",
        &[],
        |x, _| x.max(0.0),
    );
    // A pooling.
    assert_tap("b = Tanh(c)\na = GlobalAveragePool(b)", &[], |x, _| {
        x.tanh()
    });
}

#[test]
fn a_layer_whose_activation_may_be_unknown_is_told_apart() {
    let graph = load(&network("b = Snake(c)\na = Relu(b)", &[]));
    let layer = &graph.layers()[0];
    assert_eq!(layer.name, "conv1");
    let reason = layer.unsure.as_ref().unwrap();
    assert!(reason.contains("node 'b' (Snake)"), "{reason}");
    let (layers, left_out) = graph.layers_at(Tap::Conv);
    assert_eq!((layers.len(), left_out.len()), (1, 1));
    let (layers, left_out) = graph.layers_at(Tap::Activation);
    let names: Vec<&str> = left_out.iter().map(|l| l.name.as_str()).collect();
    assert_eq!((layers.len(), names), (0, vec!["conv1", "conv2"]));
    // What cannot be an activation leaves no doubt.
    let graph = load(&network("b = Einsum(c)\na = Relu(b)", &[]));
    assert_eq!(graph.layers()[0].unsure, None);
    // Behind an activation that is known, nothing is missing.
    let graph = load(&network("b = Relu(c)\na = Snake(b)", &[]));
    assert_eq!(graph.layers()[0].unsure, None);
}

#[test]
fn without_nonlinearities_a_spelled_activation_does_nothing() {
    let texts: [(&str, &[(&str, f32)]); 4] = [
        (
            "t = Div(c, r2)\nu = Erf(t)\nv = Add(u, one)\nq = Mul(c, v)\na = Mul(q, half)",
            &[
                ("r2", std::f32::consts::SQRT_2),
                ("one", 1.0),
                ("half", 0.5),
            ],
        ),
        (
            "t = Add(c, k3)\nu = Clip(t, zero, k6)\nv = Mul(c, u)\na = Div(v, k6)",
            &[("k3", 3.0), ("zero", 0.0), ("k6", 6.0)],
        ),
        ("t = Tanh(c)\na = Sub(c, t)", &[]),
        ("s = Sigmoid(c)\na = Mul(c, s)", &[]),
    ];
    let plain = load(&network("a = Identity(c)", &[]));
    let plain = run(&plain, plain.outputs());
    for (text, scalars) in texts {
        let linear = load(&network(text, scalars)).linearised().unwrap();
        assert_eq!(run(&linear, linear.outputs()), plain, "{text}");
    }
    // Constants per channel stay, and so does a sum of a value with itself.
    let linear = load(&network("t = Relu(c)\na = Mul(t, scale)", &[]))
        .linearised()
        .unwrap();
    let affine = load(&network("a = Mul(c, scale)", &[]));
    assert_eq!(
        run(&linear, linear.outputs()),
        run(&affine, affine.outputs())
    );
    let linear = load(&network("t = Relu(c)\na = Add(t, t)", &[]))
        .linearised()
        .unwrap();
    let double = load(&network("a = Add(c, c)", &[]));
    assert_eq!(
        run(&linear, linear.outputs()),
        run(&double, double.outputs())
    );
}
