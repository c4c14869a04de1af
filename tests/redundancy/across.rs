//! Channels of different layers, against the definition.

use super::{cpu, oracle, oracle_graph};
use crate::support::noise;
use crate::support::runs::{options, relu_layer};
use chanscope::Result;
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::measure::redundancy::Across;
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
use chanscope::ops::Kernel;
use ndarray::{Array2, Array4, Axis};

fn across(
    ctx: &Context<'_>,
    layers: &[Array4<f32>],
    options: &RedundancyOptions,
) -> Result<Option<Across>> {
    let layers: Vec<ArrayLayer> = (layers.iter().enumerate())
        .map(|(i, a)| ArrayLayer::from_array(format!("layer{i}"), a.view()).unwrap())
        .collect();
    let layers: Vec<&dyn Layer> = layers.iter().map(|l| l as &dyn Layer).collect();
    let found = redundancy(ctx, &RedundancyInput::new(&layers), options)?;
    Ok(found.across)
}

/// Mean and best match of two layers, and every channel's match, from the Jaccard indices of all pairs.
fn summaries(jaccard: &Array2<f64>, layer: &[usize], found: &Across) {
    let count = found.layers.len();
    let of = |l: usize| (0..layer.len()).filter(move |&c| layer[c] == l);
    let best = |c: usize, m: usize| {
        let others = of(m).filter(|&e| e != c && !jaccard[[c, e]].is_nan());
        others.fold(None, |best: Option<(f64, usize)>, e| match best {
            Some((most, _)) if most >= jaccard[[c, e]] => best,
            _ => Some((jaccard[[c, e]], e)),
        })
    };
    for l in 0..count {
        for m in 0..count {
            let pairs = of(l).flat_map(|c| of(m).filter(move |&e| e != c).map(move |e| (c, e)));
            let values: Vec<f64> = pairs
                .map(|pair| jaccard[pair])
                .filter(|v| !v.is_nan())
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 || a.is_nan() && b.is_nan();
            assert!(close(found.mean[[l, m]], mean), "{l} {m}");
            let values: Vec<f64> = of(l).filter_map(|c| best(c, m)).map(|b| b.0).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!(close(found.best_match[[l, m]], mean), "{l} {m}");
        }
    }
    for (c, &own) in layer.iter().enumerate() {
        let others = (0..count).filter(|&m| m != own);
        let expected = others
            .filter_map(|m| best(c, m))
            .fold(None, |most, next| match most {
                Some((value, _)) if value >= next.0 => most,
                _ => Some(next),
            });
        let got = found.matches[c];
        assert_eq!(
            got.map(|m| (m.jaccard, m.place)),
            expected.map(|(value, e)| (value, found.channels[e])),
            "channel {c}"
        );
    }
}

#[test]
fn channels_of_all_layers_are_compared_as_one_list() {
    // Without copies among the samples, of which the solver takes any.
    let layers = [(4, 2), (3, 2), (6, 3)].map(|(channels, side)| {
        let mut next = noise(channels as u64);
        Array4::from_shape_fn((70, channels, side, side), |(_, c, ..)| match c + 1 {
            last if last == channels => 0.0,
            _ => 1.0 + 0.5 * next(),
        })
    });
    for kernel in [Kernel::Gaussian, Kernel::Cosine] {
        let options = options(kernel, 6).with_across(true);
        let device = cpu();
        let found = across(&Context::new(&device), &layers, &options);
        let found = found.unwrap().expect("it was asked for");
        assert_eq!(found.layers, ["layer0", "layer1", "layer2"]);
        // The last channel of each layer is dead.
        let mut graphs = Vec::new();
        let mut layer = Vec::new();
        for (l, a) in layers.iter().enumerate() {
            for c in 0..a.len_of(Axis(1)) - 1 {
                let x: Vec<f32> = a.index_axis(Axis(1), c).iter().copied().collect();
                graphs.push(oracle_graph(&x, x.len() / 70, kernel, 6));
                layer.push(l);
                let place = found.channels[graphs.len() - 1];
                assert_eq!((place.layer, place.channel), (l, c));
            }
        }
        assert_eq!(found.channels.len(), graphs.len());
        let jaccard = found.jaccard.clone().expect("few channels");
        for (c, a) in graphs.iter().enumerate() {
            for (e, b) in graphs.iter().enumerate().filter(|(e, _)| *e != c) {
                let expected = oracle::jaccard(a, b);
                assert!((jaccard[[c, e]] - expected).abs() <= 1e-11, "{c} {e}");
            }
        }
        summaries(&jaccard, &layer, &found);
    }
}

/// Under a cap that the sums of all pairs exceed, layers are compared two at a time, with the same bits.
#[test]
fn two_layers_at_a_time_give_the_same() {
    let layers: Vec<Array4<f32>> = (0..3).map(|i| relu_layer(30, 280, 1, i + 1)).collect();
    let options = options(Kernel::Gaussian, 4)
        .with_aggregate(false)
        .with_baselines(false)
        .with_queries(Some(20))
        .with_across(true);
    let device = cpu();
    let ctx = Context::new(&device);
    let whole = across(&ctx.clone().with_memory(1 << 30), &layers, &options);
    let parts = across(&ctx.with_memory(64 << 20), &layers, &options);
    let (whole, parts) = (whole.unwrap().unwrap(), parts.unwrap().unwrap());
    let jaccard = whole.jaccard.clone().expect("there is room");
    assert_eq!(parts.jaccard, None);
    let layer: Vec<usize> = whole.channels.iter().map(|p| p.layer).collect();
    summaries(&jaccard, &layer, &whole);
    let bits = |m: &Array2<f64>| m.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&parts.mean), bits(&whole.mean));
    assert_eq!(bits(&parts.best_match), bits(&whole.best_match));
    assert_eq!(parts.matches, whole.matches);
    assert_eq!(parts.channels, whole.channels);
}

#[test]
fn layers_that_cannot_be_compared_are_refused() {
    let device = cpu();
    let ctx = Context::new(&device);
    let options = options(Kernel::Gaussian, 4).with_across(true);
    let one = across(&ctx, &[relu_layer(20, 3, 1, 1)], &options).unwrap_err();
    assert!(one.to_string().contains("several layers"), "{one}");
    let layers = [relu_layer(20, 3, 1, 1), relu_layer(21, 3, 1, 2)];
    let unequal = across(&ctx, &layers, &options).unwrap_err().to_string();
    assert!(
        unequal.contains("layer1") && unequal.contains("21") && unequal.contains("20"),
        "{unequal}"
    );
    let same = across(&ctx, &layers, &options.with_across(false)).unwrap();
    assert_eq!(same, None);
}
