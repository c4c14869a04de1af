//! The same optimum, whichever solver, instruction set, thread or block a query meets.

use super::*;
use chanscope::tensor::Values;

pub fn large_k() {
    let data = relu_like(301, 40, 15);
    let kernels = [Kernel::Gaussian, Kernel::Cosine];
    // Both sides of every number of candidates from which on another solver takes over.
    for (kernel, k) in kernels
        .into_iter()
        .flat_map(|kernel| [64, 65, 128, 129, 256, 257, 300].map(|k| (kernel, k)))
    {
        let params = params(k, kernel);
        let graph = graph(&cpu(), &data, &params, false);
        assert!(graph.kkt_residual.iter().all(|&r| r <= 1e-13));
        // The oracle's cost grows with the fourth power; a few queries tell.
        let vectors: Vec<&[f32]> = graph.neighbors[..k]
            .iter()
            .filter(|&&j| j >= 0)
            .map(|&j| data.row(j as usize))
            .collect();
        let kind = match kernel {
            Kernel::Gaussian => {
                let last = oracle::sq_distance(vectors[vectors.len() - 1], data.row(0));
                oracle::Kernel::Gaussian(last.sqrt() / 3.0)
            }
            Kernel::Cosine => oracle::Kernel::Cosine,
        };
        let (k, b) = oracle::problem(kind, data.row(0), &vectors);
        let best = oracle::lawson_hanson(&k, &b);
        assert!((graph.objective[0] - best.objective).abs() <= 1e-9 * best.objective.abs());
    }
}

pub fn every_instruction_set_is_exact(set: InstructionSet) {
    let sets = [relu_like(120, 19, 17), relu_like(120, 45, 18)];
    let device = Cpu::with_instruction_set(1, set).unwrap();
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        for (k, data) in [1, 30, 70]
            .into_iter()
            .flat_map(|k| sets.iter().map(move |d| (k, d)))
        {
            let params = params(k, kernel);
            check(data, &params, &graph(&device, data, &params, true), 1e-9);
        }
    }
}

pub fn threads_blocks_and_gathering_give_the_same_bits() {
    let kernels = [Kernel::Gaussian, Kernel::Cosine];
    for (kernel, dim) in kernels
        .into_iter()
        .flat_map(|kernel| [16, 50].map(|dim| (kernel, dim)))
    {
        let data = relu_like(203, dim, 16);
        let params = params(25, kernel);
        let whole = graph(&Cpu::new(1).unwrap(), &data, &params, false);
        assert_eq!(graph(&Cpu::new(3).unwrap(), &data, &params, true), whole);
        let device = cpu();
        let block = PointsBlock {
            data: Values::F32(&data.x),
            groups: 1,
            rows: 203,
            dim,
            first: 0,
        };
        let points = device.points(block, kernel).unwrap();
        // Written over from part to part, the longer ones too.
        let mut part = GraphBlock::default();
        for rows in [7..100, 0..7, 100..203] {
            let mut found = device.candidates(1, rows.len(), 25).unwrap();
            device
                .knn(&points, rows.clone(), &points, &params, &mut found)
                .unwrap();
            let vectors = Vectors::Points(&points);
            device
                .nnk_into(&points, rows.clone(), &found, vectors, &params, &mut part)
                .unwrap();
            assert_eq!(
                part.neighbors,
                whole.neighbors[rows.start * 25..rows.end * 25]
            );
            assert_eq!(part.weights, whole.weights[rows.start * 25..rows.end * 25]);
            assert_eq!(part.objective, whole.objective[rows.clone()]);
            assert_eq!(part.kkt_residual, whole.kkt_residual[rows.clone()]);
            assert_eq!(part.pca_dimension, whole.pca_dimension[rows]);
        }
    }
}
