//! Old operator sets: a network means the same in every form that the standard has had for it.

use super::support::{load, numbers, outputs, refused};
use crate::support::model::{Attribute, Model, Node};

/// A model of an operator set with input `[3, 6, 6]`, which one node turns into its output.
fn single(opset: i64, node: Node) -> Model {
    let mut m = Model::new(&[3, 6, 6]);
    m.opset = opset;
    m.node(node);
    m.output("y");
    m
}

fn node(op: &str, inputs: &[&str]) -> Node {
    Node::new(op, "n", inputs, "y")
}

#[test]
fn attributes_that_became_inputs_mean_the_same() {
    let scalars = |m: &mut Model| {
        m.constants
            .push(crate::support::model::tensor("lo", &[], &[-1.0]));
        m.constants
            .push(crate::support::model::tensor("hi", &[], &[1.5]));
    };
    let mut new = single(17, node("Clip", &["input", "lo", "hi"]));
    scalars(&mut new);
    let old = node("Clip", &["input"])
        .with(Attribute::float("min", -1.0))
        .with(Attribute::float("max", 1.5));
    assert_eq!(outputs(&single(7, old)), outputs(&new));
    // One bound alone.
    let mut new = single(17, node("Clip", &["input", "", "hi"]));
    scalars(&mut new);
    let old = node("Clip", &["input"]).with(Attribute::float("max", 1.5));
    assert_eq!(outputs(&single(10, old)), outputs(&new));

    let mut new = single(17, node("Pad", &["input", "pads", "value"]));
    new.list("pads", &[0, 0, 1, 2, 0, 0, 0, 3]);
    new.constant("value", &[1], &[0.5]);
    let old = node("Pad", &["input"])
        .with(Attribute::ints("pads", &[0, 0, 1, 2, 0, 0, 0, 3]))
        .with(Attribute::float("value", 0.5));
    assert_eq!(outputs(&single(8, old)), outputs(&new));

    let mut new = single(17, node("Slice", &["input", "starts", "ends", "axes"]));
    new.list("starts", &[1, -3]);
    new.list("ends", &[3, i64::MAX]);
    new.list("axes", &[1, 3]);
    let old = node("Slice", &["input"])
        .with(Attribute::ints("starts", &[1, -3]))
        .with(Attribute::ints("ends", &[3, i64::MAX]))
        .with(Attribute::ints("axes", &[1, 3]));
    assert_eq!(outputs(&single(9, old)), outputs(&new));

    let mut new = single(
        17,
        node("Split", &["input", "sizes"]).with(Attribute::int("axis", 1)),
    );
    new.list("sizes", &[1, 2]);
    let mut old = single(
        11,
        node("Split", &["input"])
            .with(Attribute::int("axis", 1))
            .with(Attribute::ints("split", &[1, 2])),
    );
    for m in [&mut new, &mut old] {
        m.nodes[0].outputs = vec!["y".into(), "z".into()];
        m.outputs(&["y", "z"]);
    }
    assert_eq!(outputs(&old), outputs(&new));

    let mut new = single(18, node("ReduceMean", &["input", "axes"]));
    new.list("axes", &[2, 3]);
    let old = node("ReduceMean", &["input"]).with(Attribute::ints("axes", &[-1, 2]));
    assert_eq!(outputs(&single(13, old)), outputs(&new));

    let squeezed = |opset: i64| {
        let axes = |n: Node, m: &mut Model, name: &str, axes: &[i64]| {
            if opset < 13 {
                return n.with(Attribute::ints("axes", axes));
            }
            m.list(name, axes);
            n
        };
        let new = opset >= 13;
        let mut m = Model::new(&[3, 6, 6]);
        m.opset = opset;
        let inputs: &[&str] = if new { &["input", "a"] } else { &["input"] };
        let n = axes(
            Node::new("Unsqueeze", "u", inputs, "t"),
            &mut m,
            "a",
            &[1, 3],
        );
        m.node(n);
        let inputs: &[&str] = if new { &["t", "b"] } else { &["t"] };
        let n = axes(Node::new("Squeeze", "s", inputs, "y"), &mut m, "b", &[3]);
        m.node(n);
        m.output("y");
        m
    };
    let graph = load(&squeezed(11));
    assert_eq!(graph.value(graph.outputs()[0]).shape, [1, 3, 6, 6]);
    assert_eq!(outputs(&squeezed(11)), outputs(&squeezed(13)));
}

#[test]
fn dropout_does_nothing_in_every_form() {
    let behind = |opset: i64, dropout: Node| {
        let mut m = single(opset, dropout);
        m.node(Node::new("Neg", "neg", &["y"], "z"));
        m.output("z");
        m
    };
    let plain = outputs(&single(17, node("Neg", &["input"])));
    let old = node("Dropout", &["input"]).with(Attribute::float("ratio", 0.9));
    assert_eq!(outputs(&behind(7, old)), plain);
    let mut new = behind(13, node("Dropout", &["input", "ratio"]));
    new.constant("ratio", &[1], &[0.9]);
    assert_eq!(outputs(&new), plain);
    // Its mask is not computed; it matters only where something reads it.
    new.nodes[0].outputs.push("mask".into());
    assert_eq!(outputs(&new), plain);
    assert!(load(&new).left_out().is_empty());
    new.node(Node::new("Relu", "r", &["mask"], "w"));
    new.outputs(&["z", "w"]);
    let graph = load(&new);
    assert_eq!(graph.outputs().len(), 1);
    let reason = graph.named_outputs()[1].value.as_ref().unwrap_err();
    assert!(
        reason.contains("of which only the first is computed"),
        "{reason}"
    );
}

#[test]
fn softmax_ran_over_all_axes_from_its_axis_on_before_opset_13() {
    for (opset, axis, over) in [
        (12, None, 108),
        (11, Some(1), 108),
        (8, Some(2), 36),
        (13, None, 6),
    ] {
        let mut n = node("Softmax", &["input"]);
        if let Some(axis) = axis {
            n = n.with(Attribute::int("axis", axis));
        }
        let got = &outputs(&single(opset, n))[0];
        let x = numbers(2 * 108, 3.0);
        for (got, x) in got.chunks(over).zip(x.chunks(over)) {
            let sum: f64 = x.iter().map(|&v| f64::from(v).exp()).sum();
            for (g, x) in got.iter().zip(x) {
                let want = f64::from(*x).exp() / sum;
                assert!(
                    (f64::from(*g) - want).abs() < 1e-6,
                    "opset {opset}: {g} for {want}"
                );
            }
        }
    }
    let over_the_batch = single(
        12,
        node("Softmax", &["input"]).with(Attribute::int("axis", 0)),
    );
    assert!(
        refused(&over_the_batch).contains("batch"),
        "{}",
        refused(&over_the_batch)
    );
}

fn batch_norm(opset: i64, shape: &[i64]) -> Model {
    let mut m = single(
        opset,
        node("BatchNormalization", &["input", "s", "b", "m", "v"]),
    );
    let len = shape.iter().product::<i64>() as usize;
    let positive: Vec<f32> = numbers(len, 1.0).iter().map(|v| v.abs() + 0.5).collect();
    m.constant("s", shape, &numbers(len, 2.0));
    m.constant("b", shape, &numbers(len, 0.7));
    m.constant("m", shape, &numbers(len, 1.3));
    m.constant("v", shape, &positive);
    m
}

#[test]
fn batch_normalisation_by_the_statistics_of_the_batch_is_refused() {
    // Up to opset 13 it is told by the outputs, since then by a parameter.
    let mut m = batch_norm(13, &[3]);
    assert_eq!(outputs(&m), outputs(&batch_norm(17, &[3])));
    m.nodes[0]
        .outputs
        .extend(["om", "ov", "sm", "sv"].map(String::from));
    assert!(refused(&m).contains("training mode"), "{}", refused(&m));
    m.nodes[0].outputs[1..].fill(String::new());
    assert_eq!(outputs(&m), outputs(&batch_norm(17, &[3])));
    let mut m = batch_norm(15, &[3]);
    m.nodes[0]
        .attributes
        .push(Attribute::int("training_mode", 1));
    assert!(refused(&m).contains("training mode"), "{}", refused(&m));
}

#[test]
fn every_element_could_have_its_own_batch_normalisation_up_to_opset_8() {
    let mut m = batch_norm(8, &[3, 6, 6]);
    m.nodes[0].attributes.push(Attribute::int("spatial", 0));
    let x = numbers(2 * 108, 3.0);
    let (s, b, mean) = (numbers(108, 2.0), numbers(108, 0.7), numbers(108, 1.3));
    for (i, got) in outputs(&m)[0].iter().enumerate() {
        let at = i % 108;
        let variance = f64::from(numbers(108, 1.0)[at].abs() + 0.5);
        let normalised = (f64::from(x[i]) - f64::from(mean[at])) / (variance + 1e-5).sqrt();
        let want = normalised * f64::from(s[at]) + f64::from(b[at]);
        assert!((f64::from(*got) - want).abs() < 1e-5 * want.abs().max(1.0));
    }
}

#[test]
fn operator_sets_are_those_of_the_standard_by_either_name() {
    for opset in [7, 12, 22, 23] {
        let mut relu = node("Relu", &["input"]);
        relu.domain = "ai.onnx".into();
        assert_eq!(
            outputs(&single(opset, relu)),
            outputs(&single(17, node("Relu", &["input"])))
        );
    }
    for opset in [6, 24] {
        let message = refused(&single(opset, node("Relu", &["input"])));
        assert!(message.contains("export with opset 7 to 23"), "{message}");
    }
    let mut other = node("Relu", &["input"]);
    other.domain = "org.example".into();
    let message = refused(&single(17, other));
    assert!(
        message.contains("of domain 'org.example' is not supported"),
        "{message}"
    );
}
