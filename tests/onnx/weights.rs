//! Weights that are long enough to be left in the file until a device takes them.

use super::support::{load_model, numbers, run};
use crate::support::model::{Attribute, Model, Node, varint};
use chanscope::model::onnx::{self, ImportOptions};

/// Rows and columns of the weight of a linear layer: more than one read of a megabyte, and no whole number of them.
const ROWS: usize = 301;
const COLUMNS: usize = 1003;

fn key(number: u64, wire: u64) -> Vec<u8> {
    varint(number << 3 | wire)
}

fn bytes(number: u64, bytes: &[u8]) -> Vec<u8> {
    [&key(number, 2), &varint(bytes.len() as u64), bytes].concat()
}

/// A matrix of an element type, whose elements are in these fields.
fn matrix(data_type: u64, fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut all = [
        &key(1, 0),
        &varint(ROWS as u64),
        &key(1, 0),
        &varint(COLUMNS as u64),
    ]
    .map(Vec::as_slice)
    .concat();
    all.extend([key(2, 0), varint(data_type), bytes(8, b"w")].concat());
    for (number, values) in fields {
        all.extend(bytes(*number, values));
    }
    all
}

/// `input W^T`, with the matrix `[ROWS, COLUMNS]`.
fn model(weight: Vec<u8>) -> Model {
    let mut m = Model::new(&[COLUMNS as i64]);
    m.constants.push(weight);
    m.node(Node::new("Gemm", "fc", &["input", "w"], "y").with(Attribute::int("transB", 1)));
    m.output("y");
    m
}

fn float32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn weights_are_the_same_however_they_are_written() {
    // Multiples of 1/32 in f16's range, so that every type holds them.
    let weight: Vec<f32> = (numbers(ROWS * COLUMNS, 30.0).iter())
        .map(|v| (v * 32.0).round() / 32.0)
        .collect();
    let wide: Vec<u8> = (weight.iter())
        .flat_map(|&v| f64::from(v).to_le_bytes())
        .collect();
    let narrow: Vec<u8> = (weight.iter())
        .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
        .collect();
    let ways = [
        ("bytes of float32", matrix(1, &[(9, float32(&weight))])),
        ("packed float32", matrix(1, &[(4, float32(&weight))])),
        ("bytes of float16", matrix(10, &[(9, narrow)])),
        ("bytes of float64", matrix(11, &[(9, wide.clone())])),
        ("packed float64", matrix(11, &[(10, wide)])),
    ];
    let x = numbers(2 * COLUMNS, 3.0);
    let want: Vec<f64> = (0..2 * ROWS)
        .map(|i| {
            let (x, w) = (&x[i / ROWS * COLUMNS..], &weight[i % ROWS * COLUMNS..]);
            (0..COLUMNS)
                .map(|c| f64::from(x[c]) * f64::from(w[c]))
                .sum()
        })
        .collect();
    for (name, weight) in ways {
        let graph = load_model(&model(weight), &ImportOptions::default()).expect(name);
        // The file is gone, but open.
        let got = run(&graph, graph.outputs()).remove(0);
        assert_eq!(got.len(), want.len(), "{name}");
        for (got, want) in got.iter().zip(&want) {
            // 1003 products of up to 90, in float32.
            assert!(
                (f64::from(*got) - want).abs() < 0.02,
                "{name}: {got}, {want}"
            );
        }
    }
}

#[test]
fn damaged_long_weights_are_refused() {
    let whole = float32(&numbers(ROWS * COLUMNS, 1.0));
    let (first, rest) = whole.split_at(ROWS * COLUMNS / 2 * 4);
    let refused = |weight: Vec<u8>| {
        let refused = load_model(&model(weight), &ImportOptions::default());
        refused.expect_err("must fail").to_string()
    };
    let cases = [
        (
            matrix(1, &[(9, first.to_vec())]),
            "elements where its shape",
        ),
        (
            matrix(1, &[(9, whole[1..].to_vec())]),
            "no whole number of elements",
        ),
        (
            matrix(1, &[(4, first.to_vec()), (4, rest.to_vec())]),
            "written in pieces",
        ),
        // A place in the file, as it is noted within the program, is nothing that a file may hold.
        (
            matrix(
                1,
                &[(
                    1000,
                    [key(1, 0), varint(9), key(3, 0), varint(1 << 20)].concat(),
                )],
            ),
            "0 elements where its shape",
        ),
    ];
    for (weight, want) in cases {
        let said = refused(weight);
        assert!(said.contains(want), "{said}");
    }
}

#[test]
fn a_file_that_is_written_to_before_its_weights_are_read_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("m.onnx");
    let write = |channels: i64| {
        let mut m = Model::new(&[3, 8, 8]);
        m.constant(
            "c.weight",
            &[channels, 3, 3, 3],
            &numbers(channels as usize * 27, 1.0),
        );
        m.node(Node::new("Conv", "c", &["input", "c.weight"], "y"));
        m.output("y");
        std::fs::write(&path, m.encode()).expect("write");
    };
    write(64);
    let filters = onnx::filters(&path).expect("filters");
    assert_eq!(
        *filters.layers[0].weights.read().expect("weights"),
        *numbers(64 * 27, 1.0)
    );
    write(65);
    assert!(filters.layers[0].weights.read().is_err());
}
