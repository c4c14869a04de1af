//! Calls by hand: hardly any samples, vectors gathered for a solver, arguments that are refused.

use super::*;
use chanscope::tensor::{ValueType, Values};

pub fn one_and_two_samples() {
    let one = search(
        &Cpu::new(1).unwrap(),
        &random(2, 1, 5, 1),
        &params(25, Kernel::Gaussian, Identical::Keep),
        &[],
        &[],
        false,
    );
    assert!(one.iter().all(Vec::is_empty));
    let two = search(
        &Cpu::new(1).unwrap(),
        &random(1, 2, 5, 1),
        &params(25, Kernel::Cosine, Identical::Keep),
        &[],
        &[],
        false,
    );
    assert_eq!(
        two.iter()
            .map(|l| l.iter().map(|c| c.index).collect())
            .collect::<Vec<Vec<u32>>>(),
        [[1], [0]]
    );
}

pub fn vectors_are_gathered_from_every_block() {
    let data = random(2, 50, 6, 31);
    let cpu = Cpu::new(2).unwrap();
    let params = params(60, Kernel::Gaussian, Identical::Keep);
    let block = |range: std::ops::Range<usize>| {
        let x = data.block(range.clone());
        cpu.points(
            PointsBlock {
                data: Values::F32(&x),
                groups: 2,
                rows: range.len(),
                dim: 6,
                first: range.start,
            },
            params.kernel,
        )
        .unwrap()
    };
    let blocks = [block(0..17), block(17..18), block(18..50)];
    let mut state = cpu.candidates(2, 17, 60).unwrap();
    for points in &blocks {
        cpu.knn(&blocks[0], 0..17, points, &params, &mut state)
            .unwrap();
    }
    let mut into = cpu.gathered([2, 17, 60, 6], ValueType::F32).unwrap();
    for points in &blocks {
        cpu.gather(points, &state, &mut into).unwrap();
    }
    let got = into.values().wide();
    for g in 0..2 {
        for q in 0..17 {
            let list = state.list(g, q);
            assert_eq!(list.len(), 49);
            for slot in 0..60 {
                let got = &got[((g * 17 + q) * 60 + slot) * 6..][..6];
                match list.get(slot) {
                    Some(c) => assert_eq!(got, &data.group(g)[c.index as usize * 6..][..6]),
                    None => assert_eq!(got, [0.0; 6]),
                }
            }
        }
    }
}

pub fn misuse_is_refused() {
    let cpu = Cpu::new(1).unwrap();
    let x = vec![0.5; 40];
    let block = PointsBlock {
        data: Values::F32(&x),
        groups: 1,
        rows: 10,
        dim: 4,
        first: 0,
    };
    assert!(
        cpu.points(PointsBlock { rows: 11, ..block }, Kernel::Gaussian)
            .is_err()
    );
    assert!(
        cpu.points(
            PointsBlock {
                first: i32::MAX as usize - 3,
                ..block
            },
            Kernel::Gaussian
        )
        .is_err()
    );
    let points = cpu.points(block, Kernel::Gaussian).unwrap();
    assert!(
        cpu.queries(block, &[1; 9], Kernel::Gaussian).is_err(),
        "a sample index too few"
    );
    assert!(
        cpu.queries(block, &[1 << 31; 10], Kernel::Gaussian)
            .is_err()
    );
    let listed = cpu.queries(block, &[3; 10], Kernel::Gaussian).unwrap();
    let mut state = cpu.candidates(1, 10, 5).unwrap();
    let given = params(5, Kernel::Gaussian, Identical::Keep);
    assert!(
        cpu.knn(&points, 0..10, &listed, &given, &mut state)
            .is_err(),
        "samples of a list as points"
    );
    let mut run = |rows, k, kernel| {
        cpu.knn(
            &points,
            rows,
            &points,
            &params(k, kernel, Identical::Keep),
            &mut state,
        )
    };
    assert!(run(0..11, 5, Kernel::Gaussian).is_err());
    assert!(run(0..9, 5, Kernel::Gaussian).is_err());
    assert!(run(0..10, 0, Kernel::Gaussian).is_err());
    assert!(run(0..10, 1025, Kernel::Gaussian).is_err());
    assert!(run(0..10, 5, Kernel::Cosine).is_err());
    assert!(run(0..10, 5, Kernel::Gaussian).is_ok());
}
