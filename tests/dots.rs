//! Inner products in float64, which the sums of baselines are made of.

use crate::support::noise;
use chanscope::Error;
use chanscope::cpu::{Cpu, InstructionSet};
use chanscope::ops::{Backend, DotRows};

fn values(len: usize) -> Vec<f32> {
    let mut next = noise(5);
    (0..len).map(|_| next()).collect()
}

fn run(cpu: &Cpu, x: DotRows<'_>) -> Vec<f64> {
    // What was there before is added to.
    let mut out = vec![0.25; x.groups * x.rows * x.rows];
    cpu.add_dots(x, &mut out).unwrap();
    out
}

#[test]
fn products_are_those_of_plain_loops() {
    let cpu = Cpu::new(2).unwrap();
    for (groups, rows, dim) in [(1, 1, 1), (3, 5, 7), (2, 9, 64), (4, 2, 131), (1, 21, 8)] {
        for gap in [0, 3] {
            let stride = dim + gap;
            let data = values(groups * rows * stride);
            let x = DotRows {
                data: &data[..data.len() - gap],
                groups,
                rows,
                dim,
                stride,
            };
            let out = run(&cpu, x);
            for (g, out) in out.chunks(rows * rows).enumerate() {
                let row = |i: usize| &data[(g * rows + i) * stride..][..dim];
                for i in 0..rows {
                    for j in i..rows {
                        let products = row(i).iter().zip(row(j));
                        let sum: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                        let want = 0.25 + sum;
                        let got = out[i * rows + j];
                        assert!(
                            (got - want).abs() <= 1e-13 * dim as f64,
                            "{i} {j}: {got} {want}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn other_groups_and_threads_change_no_bit() {
    let (groups, rows, dim) = (6, 11, 37);
    let data = values(groups * rows * dim);
    let all = run(
        &Cpu::new(3).unwrap(),
        DotRows::dense(&data, groups, rows, dim),
    );
    let one = Cpu::new(1).unwrap();
    for (data, all) in data.chunks(rows * dim).zip(all.chunks(rows * rows)) {
        assert_eq!(run(&one, DotRows::dense(data, 1, rows, dim)), all);
    }
    // Sets with fused products agree with each other.
    for set in InstructionSet::available().filter(|s| *s != InstructionSet::Portable) {
        let cpu = Cpu::with_instruction_set(2, set).unwrap();
        assert_eq!(run(&cpu, DotRows::dense(&data, groups, rows, dim)), all);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let cpu = Cpu::new(1).unwrap();
    let data = values(12);
    let fail = |x: DotRows<'_>, out: usize| cpu.add_dots(x, &mut vec![0.0; out]).unwrap_err();
    let wrong = |e: Error, name: &str| matches!(e, Error::WrongLength { name: n, .. } if n == name);
    assert!(wrong(fail(DotRows::dense(&data, 1, 3, 5), 9), "data"));
    assert!(wrong(fail(DotRows::dense(&data, 1, 3, 4), 8), "out"));
    let overlapping = DotRows {
        stride: 3,
        ..DotRows::dense(&data, 1, 3, 4)
    };
    assert!(matches!(
        fail(overlapping, 9),
        Error::Argument { name: "stride", .. }
    ));
    assert!(cpu.add_dots(DotRows::dense(&[], 0, 3, 4), &mut []).is_ok());
}
