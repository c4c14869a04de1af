//! Ablation: rankings, replaced channels and accuracy against the definition, whatever the memory and threads.

mod command;
mod network;
mod refused;

use crate::oracle::ablate as oracle;
use chanscope::Error;
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::measure::ablate::{
    Ablation, Criterion, Curve, Dropped, GivenRanking, Point, RANDOM_DRAWS, kept,
};
use chanscope::measure::impulse::{ImpulseOptions, impulse};
use chanscope::measure::rank::{RankInput, RankOptions, Similarity, rank};
use chanscope::measure::shuffle::seeded_permutation;
use chanscope::measure::{
    AblateInput, AblateOptions, Context, FilterBank, FiltersOptions, RedundancyInput,
    RedundancyOptions, ablate, filters, redundancy,
};
use chanscope::model::forward::Session;
use chanscope::model::layers::Tap;
use chanscope::ops::Backend;
use chanscope::ops::filters::FilterShape;
use network::{CHANNELS, CLASSES, Network, images, layer};

/// Samples, and those of the calibration part.
const N: usize = 70;
const CALIBRATION: usize = 30;

const SHARES: [f64; 4] = [0.8, 0.5, 0.2, 1.0];

fn options() -> AblateOptions {
    AblateOptions::default()
        .with_keep(SHARES.to_vec())
        .with_calibration(Some(CALIBRATION))
        .with_seed(11)
}

struct Setting {
    network: Network,
    data: Vec<f32>,
    labels: Vec<u32>,
}

impl Setting {
    /// A network that is right on four samples of five.
    fn new(seed: u64) -> Self {
        Self::of(Network::new(seed), seed)
    }

    fn of(network: Network, seed: u64) -> Self {
        let (_, data) = images(N, seed + 1);
        let scores = data
            .chunks(data.len() / N)
            .map(|image| network.scores(image, &|_, _| {}));
        let labels = scores.enumerate().map(|(i, scores)| {
            let best = largest(&scores);
            let wrong = usize::from(i % 5 == 4);
            ((best + wrong) % CLASSES) as u32
        });
        Self {
            labels: labels.collect(),
            network,
            data,
        }
    }

    fn image(&self, sample: usize) -> &[f32] {
        let len = self.data.len() / N;
        &self.data[sample * len..][..len]
    }

    fn run(
        &self,
        options: &AblateOptions,
        memory: u64,
        threads: usize,
    ) -> chanscope::Result<Ablation> {
        let device = Device::Cpu(Cpu::new(threads)?);
        let ctx = Context::new(&device)
            .with_memory(memory)
            .with_threads(threads)?;
        let graph = self.network.graph();
        let (shape, _) = images(N, 0);
        let data = layer(shape, &self.data);
        let (layers, _) = graph.layers_at(Tap::Activation);
        let given = given();
        let input = AblateInput::new(&graph, &data, &self.labels, &layers).with_given(&given);
        ablate(&ctx, &input, options)
    }

    /// Maps of a layer on samples, as the engine computes them.
    fn activations(&self, layer: usize, samples: &[usize]) -> Vec<f32> {
        let cpu = Cpu::new(1).unwrap();
        let graph = self.network.graph();
        let tap = graph.layers()[layer].activation;
        let images: Vec<f32> = samples
            .iter()
            .flat_map(|&s| self.image(s).to_vec())
            .collect();
        let shape = [&[samples.len()], graph.input_shape()].concat();
        let x = cpu.upload(&shape, &images).unwrap();
        let session = Session::new(&cpu, &graph, &[graph.input()], &[tap]).unwrap();
        session.run(&[&x]).unwrap()[0].data().to_vec()
    }

    /// Maps of a layer on samples, `[sample][channel][place]`.
    fn maps(&self, layer: usize, samples: &[usize]) -> Vec<Vec<Vec<f64>>> {
        let of = |&sample: &usize| {
            let found = std::cell::RefCell::new(vec![]);
            self.network.scores(self.image(sample), &|at, maps| {
                if at == layer {
                    *found.borrow_mut() = maps.clone();
                }
            });
            found.into_inner()
        };
        samples.iter().map(of).collect()
    }
}

/// The place of the largest score, which no rounding can move.
fn largest(scores: &[f64]) -> usize {
    let order = oracle::by_score(scores);
    let margin = scores[order[0]] - scores[order[1]];
    assert!(margin > 1e-5, "{scores:?} are too close to test with");
    order[0]
}

/// A ranking of every layer.
fn given() -> Vec<GivenRanking> {
    let ranking = |(i, &c): (usize, &usize)| GivenRanking {
        layer: format!("conv{}", i + 1),
        order: (0..c as i64).rev().collect(),
    };
    CHANNELS.iter().enumerate().map(ranking).collect()
}

fn curve(curves: &[Curve], ranking: Criterion) -> &Curve {
    curves.iter().find(|c| c.ranking == ranking).unwrap()
}

fn rest(calibration: &[usize]) -> Vec<usize> {
    (0..N).filter(|i| !calibration.contains(i)).collect()
}

#[test]
fn published_rankings_are_those_of_their_formulas() {
    for seed in [1, 2, 3] {
        let setting = Setting::new(seed);
        let found = setting
            .run(
                &options().with_rankings(Criterion::ALL.to_vec()),
                1 << 30,
                2,
            )
            .unwrap();
        assert_eq!(found.calibration.len(), CALIBRATION);
        assert_eq!(found.samples, N - CALIBRATION);
        for (at, layer) in found.layers.iter().enumerate() {
            assert_eq!(
                (layer.name.as_str(), layer.channels),
                (&*format!("conv{}", at + 1), CHANNELS[at])
            );
            let order = |criterion| &curve(&layer.curves, criterion).orders;
            let filters = setting.network.filters(at);
            assert_eq!(
                order(Criterion::L1),
                &[oracle::by_score(&oracle::l1(&filters))]
            );
            assert_eq!(
                order(Criterion::Fpgm),
                &[oracle::by_score(&oracle::fpgm(&filters))]
            );
            let maps = setting.maps(at, &found.calibration);
            assert_eq!(
                order(Criterion::Mean),
                &[oracle::by_score(&oracle::means(&maps))]
            );
            let live: Vec<f64> = oracle::apoz(&maps)
                .iter()
                .map(|zeros| 1.0 - zeros)
                .collect();
            assert_eq!(order(Criterion::Apoz), &[oracle::by_score(&live)]);
            // conv2 is tapped before its ReLU, where nothing is zero.
            assert_eq!(at == 1, live.iter().all(|&l| l == 1.0));
            assert_eq!(
                order(Criterion::Given),
                &[(0..CHANNELS[at]).rev().collect::<Vec<_>>()]
            );
            let random: Vec<Vec<usize>> = (0..RANDOM_DRAWS)
                .map(|draw| seeded_permutation(11, (5 * at + draw) as u64, CHANNELS[at]))
                .map(|p| p.into_iter().map(|c| c as usize).collect())
                .collect();
            assert_eq!(order(Criterion::Random), &random);
        }
    }
}

#[test]
fn rankings_by_similarity_are_those_of_the_measures() {
    let setting = Setting::new(4);
    let found = setting.run(&options(), 1 << 30, 2).unwrap();
    let device = Device::Cpu(Cpu::new(2).unwrap());
    let ctx = Context::new(&device);
    let graph = setting.network.graph();
    let responses = impulse(&ctx, &graph, &ImpulseOptions::default()).unwrap();
    for (at, ablated) in found.layers.iter().enumerate() {
        let channels = CHANNELS[at];
        let values = setting.activations(at, &found.calibration);
        let places = values.len() / CALIBRATION / channels;
        let shape = chanscope::tensor::LayerShape::new(CALIBRATION, channels, 1, places).unwrap();
        let activations = layer(shape, &values);
        let layers: [&dyn chanscope::io::layer::Layer; 1] = [&activations];
        let measured = redundancy(
            &ctx,
            &RedundancyInput::new(&layers),
            &RedundancyOptions::default(),
        );
        let measured = measured.unwrap().layers.remove(0);
        let (weights, _) = &setting.network.convs[at];
        let bank = FilterBank {
            name: "conv",
            shape: FilterShape::new(&[channels, weights.len() / channels / 9, 3, 3]).unwrap(),
            weights,
        };
        let pairs = filters(&ctx, &bank, &FiltersOptions::default().with_matrices(true)).unwrap();
        let ncc = responses.within[at].ncc_abs.clone();
        let ncc = ndarray::Array2::from_shape_vec((channels, channels), ncc).unwrap();
        let matrices = [
            (Similarity::Jaccard, measured.jaccard),
            (Similarity::Pearson, measured.similarity.unwrap().pearson),
            (Similarity::Filters, pairs.pairs.unwrap()),
            (Similarity::Impulse, ncc),
        ];
        for (similarity, matrix) in matrices {
            let dead = match similarity {
                Similarity::Impulse => responses.responses[at]
                    .norms
                    .iter()
                    .map(|&n| n == 0.0)
                    .collect(),
                _ => vec![false; channels],
            };
            let input = RankInput {
                matrix: matrix.view(),
                dead: &dead,
            };
            let options = RankOptions::default().with_similarity(similarity);
            let want = rank(&ctx, &input, &options).unwrap().order;
            let got = curve(&ablated.curves, Criterion::Similar(similarity));
            assert_eq!(got.orders, [want], "{similarity} of {}", ablated.name);
        }
    }
}

/// A channel as a line of another one, per layer and channel; `None` where it is kept.
type Lines = Vec<Vec<Option<(usize, f64, f64)>>>;

/// What becomes of channels that an order drops, at a share.
fn lines(
    maps: &[Vec<Vec<f64>>],
    order: &[usize],
    share: f64,
    dropped: Dropped,
) -> Vec<Option<(usize, f64, f64)>> {
    let keep = (share * order.len() as f64 - 1e-9).ceil() as usize;
    let (kept, gone) = order.split_at(keep);
    let mut found = vec![None; order.len()];
    for &c in gone {
        found[c] = Some(match dropped {
            Dropped::Zero => (c, 0.0, 0.0),
            Dropped::Mean => (c, 0.0, oracle::means(maps)[c]),
            Dropped::Merge => {
                let like: Vec<f64> = kept.iter().map(|&k| oracle::pearson(maps, k, c)).collect();
                let stands = kept[oracle::by_score(&like)[0]];
                let (alpha, beta) = oracle::line(maps, stands, c);
                (stands, alpha, beta)
            }
        });
    }
    found
}

/// No channel is dropped.
fn nothing() -> Lines {
    CHANNELS.iter().map(|&c| vec![None; c]).collect()
}

impl Setting {
    /// 1 where the network, run in float64 with these channels changed, is right on a sample.
    fn right(&self, sample: usize, lines: &Lines) -> f64 {
        let scores = self.network.scores(self.image(sample), &|layer, maps| {
            let before = maps.clone();
            for (c, line) in lines[layer].iter().enumerate() {
                if let &Some((source, alpha, beta)) = line {
                    maps[c] = before[source].iter().map(|x| alpha * x + beta).collect();
                }
            }
        });
        f64::from(u8::from(largest(&scores) == self.labels[sample] as usize))
    }
}

/// Checks a point against the network run in float64 with these changes, one set for each order. `intact` tells which of the
/// samples the intact network is right on.
fn agrees(
    setting: &Setting,
    (samples, intact): (&[usize], &[f64]),
    point: &Point,
    changes: &[Lines],
    what: &str,
) {
    let (mut values, mut differences) = (vec![], vec![]);
    for (&sample, intact) in samples.iter().zip(intact) {
        let sum: f64 = changes
            .iter()
            .map(|lines| setting.right(sample, lines))
            .sum();
        let value = sum / changes.len() as f64;
        values.push(value);
        differences.push(value - intact);
    }
    let close = |(got, error): (f64, f64), want: (f64, f64)| {
        assert!((got - want.0).abs() < 1e-12, "{what}: {got} for {}", want.0);
        assert!(
            (error - want.1).abs() < 1e-12,
            "{what}: error {error} for {}",
            want.1
        );
    };
    close(
        (point.accuracy, point.standard_error),
        oracle::mean(&values),
    );
    close(
        (point.change, point.change_error),
        oracle::mean(&differences),
    );
}

#[test]
fn accuracy_without_channels_is_that_of_the_network_run_in_float64() {
    let rankings = vec![Criterion::L1, Criterion::Mean, Criterion::Random];
    for (seed, dropped) in [(5, Dropped::Zero), (6, Dropped::Mean), (7, Dropped::Merge)] {
        let setting = match dropped {
            Dropped::Merge => Setting::of(Network::new(seed).with_dead_channel(), seed),
            _ => Setting::new(seed),
        };
        let options = options()
            .with_rankings(rankings.clone())
            .with_dropped(dropped);
        let found = setting.run(&options, 1 << 30, 2).unwrap();
        assert!((0.7..0.9).contains(&found.accuracy));
        let mut below = 0;
        let maps: Vec<_> = (0..3)
            .map(|at| setting.maps(at, &found.calibration))
            .collect();
        let evaluation = rest(&found.calibration);
        let intact: Vec<f64> = evaluation
            .iter()
            .map(|&s| setting.right(s, &nothing()))
            .collect();
        let together = found.together.as_ref().unwrap();
        for (place, &ranking) in rankings.iter().enumerate() {
            let orders: Vec<&Vec<Vec<usize>>> = (found.layers.iter())
                .map(|l| &l.curves[place].orders)
                .collect();
            for (at_share, &share) in SHARES.iter().enumerate() {
                let change = |layers: &[usize], draw: usize| -> Lines {
                    (CHANNELS.iter().enumerate())
                        .map(|(at, &channels)| match layers.contains(&at) {
                            true => lines(&maps[at], &orders[at][draw], share, dropped),
                            false => vec![None; channels],
                        })
                        .collect()
                };
                let draws = orders[0].len();
                for (at, layer) in found.layers.iter().enumerate() {
                    let point = &layer.curves[place].points[at_share];
                    let changes: Vec<Lines> = (0..draws).map(|draw| change(&[at], draw)).collect();
                    let what = format!("{ranking} {} {share} {}", dropped.name(), layer.name);
                    agrees(&setting, (&evaluation, &intact), point, &changes, &what);
                    below += usize::from(point.accuracy < found.accuracy);
                    assert_eq!(point.kept, kept(share, CHANNELS[at]));
                }
                let point = &together[place].points[at_share];
                let changes: Vec<Lines> = (0..draws).map(|draw| change(&[0, 1, 2], draw)).collect();
                let what = format!("{ranking} {} {share} all layers", dropped.name());
                agrees(&setting, (&evaluation, &intact), point, &changes, &what);
                let random = ranking == Criterion::Random;
                assert_eq!(
                    point.accuracies.len(),
                    if random { RANDOM_DRAWS } else { 0 }
                );
            }
            let all = &together[place].points[3];
            assert_eq!(
                (all.accuracy, all.change, all.change_error),
                (found.accuracy, 0.0, 0.0)
            );
        }
        assert!(below > 10, "dropping channels costs accuracy: {below}");
    }
}

#[test]
fn shares_are_rounded_up_to_whole_channels() {
    for tenths in 1..=10usize {
        for channels in 1..200 {
            let exact = (tenths * channels).div_ceil(10);
            assert_eq!(kept(tenths as f64 / 10.0, channels), exact);
        }
    }
    assert_eq!((kept(1e-300, 7), kept(0.999, 7)), (1, 7));
}

#[test]
fn memory_and_threads_change_no_bit() {
    let setting = Setting::new(8);
    for dropped in [Dropped::Zero, Dropped::Merge] {
        let options = options()
            .with_rankings(Criterion::ALL.to_vec())
            .with_dropped(dropped);
        let whole = setting.run(&options, 1 << 32, 1).unwrap();
        let fits = |memory: &u64| setting.run(&options, *memory, 2).is_ok();
        let tight = (1..200).map(|i| (i * 16) << 10).find(fits).unwrap();
        assert!(tight < 4 << 20);
        for (memory, threads) in [(tight, 1), (2 * tight, 3), (1 << 32, 4)] {
            assert_eq!(setting.run(&options, memory, threads).unwrap(), whole);
        }
        let little = setting.run(&options, 1000, 1);
        assert!(matches!(little, Err(Error::Memory { cap: 1000, .. })));
    }
}

#[test]
fn layers_alone_are_those_of_several() {
    let setting = Setting::new(9);
    let options = options().with_rankings(vec![Criterion::Random, Criterion::L1]);
    let all = setting.run(&options, 1 << 30, 2).unwrap();
    let device = Device::Cpu(Cpu::new(2).unwrap());
    let ctx = Context::new(&device);
    let graph = setting.network.graph();
    let (shape, _) = images(N, 0);
    let data = layer(shape, &setting.data);
    let (layers, _) = graph.layers_at(Tap::Activation);
    let input = AblateInput::new(&graph, &data, &setting.labels, &layers[1..2]);
    let one = ablate(&ctx, &input, &options).unwrap();
    assert_eq!(one.layers, all.layers[1..2]);
    assert_eq!(one.together, None);
    let apart = options.with_together(false);
    assert_eq!(setting.run(&apart, 1 << 30, 2).unwrap().together, None);
}

#[test]
fn names_of_rankings_are_read_back() {
    for criterion in Criterion::ALL {
        assert_eq!(criterion.name().parse::<Criterion>().unwrap(), criterion);
    }
    assert!("l2".parse::<Criterion>().is_err());
    for dropped in [Dropped::Zero, Dropped::Mean, Dropped::Merge] {
        assert_eq!(dropped.name().parse::<Dropped>().unwrap(), dropped);
    }
    assert!("none".parse::<Dropped>().is_err());
    assert_eq!(Criterion::computed().len(), Criterion::ALL.len() - 1);
}
