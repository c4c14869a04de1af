//! Inner products in float64, which the sums of baselines are made of.

use crate::support::noise;
use chanscope::Error;
use chanscope::cpu::{Cpu, InstructionSet};
use chanscope::ops::{Backend, DotRows};

fn values(len: usize) -> Vec<f64> {
    let mut next = noise(5);
    (0..len).map(|_| f64::from(next()) / 3.0).collect()
}

/// The first numbers of rows `[rows, stride]`, in pieces.
fn operand(data: &[f64], rows: usize, piece: usize) -> DotRows {
    let stride = data.len() / rows;
    let mut x = DotRows::new(rows, piece);
    x.fill(stride.div_ceil(piece), |p, i, out| {
        let numbers = &data[i * stride..][p * piece..stride.min((p + 1) * piece)];
        out[..numbers.len()].copy_from_slice(numbers);
    });
    x
}

fn run(cpu: &Cpu, x: &DotRows) -> Vec<f64> {
    // What was there before is added to.
    let mut out = vec![0.25; x.rows() * x.rows()];
    cpu.add_dots(x, &mut out).unwrap();
    out
}

#[test]
fn products_are_those_of_plain_loops() {
    let cpu = Cpu::new(2).unwrap();
    for (rows, dim, piece) in [
        (1, 1, 1),
        (5, 7, 3),
        (9, 64, 64),
        (2, 131, 50),
        (21, 8, 8),
        (70, 30, 16),
        (131, 9, 512),
    ] {
        let data = values(rows * dim);
        let out = run(&cpu, &operand(&data, rows, piece));
        let row = |i: usize| &data[i * dim..][..dim];
        for i in 0..rows {
            for j in i..rows {
                let sum: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
                let (got, want) = (out[i * rows + j], 0.25 + sum);
                assert!(
                    (got - want).abs() <= 1e-14 * dim as f64,
                    "{rows} {dim} {piece}, {i} {j}: {got} {want}"
                );
            }
        }
    }
}

#[test]
fn calls_threads_and_fused_sets_change_no_bit() {
    let (rows, dim, piece) = (43, 370, 37);
    let data = values(rows * dim);
    let whole = operand(&data, rows, piece);
    let all = run(&Cpu::new(3).unwrap(), &whole);
    let upper = |out: &[f64]| -> Vec<u64> {
        (0..rows * rows)
            .filter(|at| at % rows >= at / rows)
            .map(|at| out[at].to_bits())
            .collect()
    };
    // Two calls with half of the pieces each.
    let one = Cpu::new(1).unwrap();
    let mut out = vec![0.25; rows * rows];
    for half in [0..dim / 2, dim / 2..dim] {
        let part: Vec<f64> = (data.chunks(dim))
            .flat_map(|row| row[half.clone()].to_vec())
            .collect();
        one.add_dots(&operand(&part, rows, piece), &mut out)
            .unwrap();
    }
    assert_eq!(upper(&out), upper(&all));
    // Sets with fused products agree with each other.
    for set in InstructionSet::available().filter(|s| *s != InstructionSet::Portable) {
        let cpu = Cpu::with_instruction_set(2, set).unwrap();
        assert_eq!(upper(&run(&cpu, &whole)), upper(&all));
    }
}

#[test]
fn a_matrix_of_another_size_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let x = operand(&values(12), 3, 4);
    assert!(matches!(
        cpu.add_dots(&x, &mut [0.0; 8]),
        Err(Error::WrongLength {
            name: "out",
            expected: 9,
            got: 8
        })
    ));
    // No piece adds nothing.
    let mut out = [0.5; 9];
    cpu.add_dots(&DotRows::new(3, 4), &mut out).unwrap();
    assert_eq!(out, [0.5; 9]);
}
