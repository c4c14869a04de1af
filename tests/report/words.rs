//! The sentences: each situation has its own, and none claims more than was measured.

use super::layer;
use chanscope::report::results::{
    Aggregate, FilterLayer, ImpulseLayer, Observed, RedundancyLayer, ShuffleTensor, finite,
    finite_all,
};
use chanscope::report::words::{
    Alike, compare, filters, impulse, list, number, percent, percent_with_error, redundancy, share,
    shuffle, with_error,
};
use insta::assert_snapshot;
use ndarray::array;

fn text(layer: &RedundancyLayer) -> String {
    redundancy(layer, None).join("\n")
}

/// Four live channels, everything measured.
fn plain() -> RedundancyLayer {
    RedundancyLayer {
        shape: vec![10_000, 4, 4, 4],
        dead_channels: vec![],
        degenerate_queries: vec![0; 4],
        neighbors_mean: finite_all(&[4.0, 5.0, 6.0, 7.0]),
        pca_dimension_mean: finite_all(&[3.0, 3.0, 3.0, 3.0]),
        loo_error: Some(finite_all(&[0.5, 0.2, 0.4, 0.3])),
        ..layer("pool2")
    }
}

#[test]
fn a_layer_with_everything() {
    let alike = Alike {
        channels: (1, 3),
        jaccard: 0.5,
    };
    assert_snapshot!("everything", redundancy(&plain(), Some(alike)).join("\n"));
}

#[test]
fn a_layer_with_dead_and_degenerate_channels() {
    let mut layer = layer("pool2");
    layer.degenerate_queries = vec![400, 1000, 2];
    layer.samples_skipped = 1;
    layer.kkt_residual_max = finite(0.02);
    assert_snapshot!("dead", text(&layer));
}

#[test]
fn channels_chosen_on_the_command_line_keep_their_numbers() {
    let mut layer = layer("pool2");
    layer.channels = Some(vec![7, 1, 30]);
    let text = text(&layer);
    assert!(
        text.contains("3.50 (channel 30) to 4.25 (channel 7)"),
        "{text}"
    );
    assert!(text.contains("Channel 1 is dead"), "{text}");
}

#[test]
fn nothing_to_compare() {
    let mut single = plain();
    single.neighbors_mean.truncate(1);
    single.pca_dimension_mean.truncate(1);
    single.loo_error = Some(finite_all(&[0.5]));
    single.jaccard_mean = None;
    assert_snapshot!("single", text(&single));

    let mut dead = layer("x");
    dead.dead_channels = vec![0, 1, 2];
    assert_eq!(
        text(&dead),
        "All 3 channels are zero on every sample: there is nothing to measure."
    );
    dead.dead_channels = vec![0, 1];
    assert!(text(&dead).starts_with("Only one channel is live"));
    assert_eq!(
        text(&RedundancyLayer::default()),
        "No channel was analysed."
    );
}

#[test]
fn every_degree_of_sharing_has_its_words() {
    let mut layer = plain();
    for (jaccard, words) in [
        (0.0, "choose almost entirely different"),
        (0.049, "choose almost entirely different"),
        (0.05, "mostly choose different"),
        (0.2, "partly choose the same"),
        (0.5, "mostly choose the same"),
        (0.8, "choose nearly the same"),
        (1.0, "choose nearly the same"),
    ] {
        layer.jaccard_mean = finite(jaccard);
        assert!(text(&layer).contains(words), "{jaccard}: {}", text(&layer));
    }
}

#[test]
fn the_most_alike_pair_is_no_licence_to_prune() {
    let say = |jaccard| {
        let channels = (0, 2);
        redundancy(&plain(), Some(Alike { channels, jaccard })).join("\n")
    };
    assert!(say(0.7).contains("Most alike are channels 0 and 2 (Jaccard 0.700).\n"));
    assert!(say(0.9).contains("does not show that the network could do without"));
}

#[test]
fn errors_are_compared_within_their_sampling_noise() {
    // 10,000 samples: two standard errors of a difference around 0.2 are 0.0113.
    let mut layer = plain();
    let mut with = |whole| {
        layer.aggregate = Some(Aggregate {
            loo_error: finite(whole),
            ..Aggregate::default()
        });
        text(&layer)
    };
    assert!(with(0.1).contains("no single channel separates"));
    assert!(with(0.195).contains("not distinguishable"));
    assert!(with(0.205).contains("not distinguishable"));
    assert!(with(0.3).contains("best channel alone does better"));
    let mut chance = plain();
    assert!(!text(&chance).contains("sampling noise"));
    chance.majority_error = finite(0.205);
    assert!(text(&chance).contains("no channel does better than that beyond sampling noise"));
    let mut unlabelled = plain();
    unlabelled.loo_error = None;
    assert!(!text(&unlabelled).contains("label"));
}

#[test]
fn recall_in_full_and_in_part() {
    let mut layer = plain();
    for (recall, words) in [(1.0, "Every neighbour"), (0.5, "50\u{a0}% of the whole")] {
        layer.aggregate = Some(Aggregate {
            recall: finite(recall),
            ..Aggregate::default()
        });
        assert!(text(&layer).contains(words), "{}", text(&layer));
    }
}

#[test]
fn networks_side_by_side() {
    let (mut a, mut b) = (plain(), plain());
    b.neighbors_mean = finite_all(&[5.0; 40]);
    b.redundancy = finite(4.0);
    let say = |a: &_, b: &_| compare("conv2", ("small", a), ("large", b));
    assert_snapshot!("networks", say(&a, &b).unwrap());
    b.jaccard_mean = finite(0.3);
    assert!(say(&a, &b).unwrap().contains("more alike in large"));
    a.redundancy = None;
    assert_eq!(say(&a, &b), None);
}

#[test]
fn filters_shuffles_and_impulses() {
    let mut layer = FilterLayer {
        shape: vec![8, 3, 5, 5],
        value: finite(100.0),
        value_adjacent: finite(40.0),
        normalized_mean: finite(0.25),
        filter_cosine_mean: finite(0.01),
        zero_filters: vec![2],
        history: Some(finite_all(&[100.0, 50.0, 1.5])),
        ..FilterLayer::default()
    };
    assert_snapshot!("filters", filters(&layer).join("\n"));
    layer.history = Some(finite_all(&[1.0, 2.0]));
    assert!(
        filters(&layer)
            .join("\n")
            .contains("rose from 1.00 to 2.00 in 1 step")
    );
    layer.history = Some(finite_all(&[1.0, f64::NAN]));
    assert!(filters(&layer).join("\n").contains("diverged"));
    layer.shape[0] = 1;
    assert_eq!(filters(&layer).len(), 1);

    let tensor = ShuffleTensor {
        name: "pool1".into(),
        mode: "channel".into(),
        baseline_accuracy: finite(0.98),
        accuracy: Some(finite_all(&[0.95, 0.6, 0.98])),
        observed: vec![Observed {
            name: "conv2".into(),
            cosine_mean: finite_all(&[0.9, 0.5, 1.0]),
        }],
        short_batch: Some(5),
    };
    assert_snapshot!("shuffle", shuffle(&tensor).join("\n"));

    let mut layer = ImpulseLayer {
        channels: 3,
        ncc_mean: finite(0.5),
        zero_channels: vec![1],
        ..ImpulseLayer::default()
    };
    let ncc = array![[1.0, 0.0, 0.97], [0.0, 0.0, 0.0], [0.97, 0.0, 1.0]];
    assert_snapshot!("impulse", impulse(&layer, Some(&ncc)).join("\n"));
    layer.zero_channels = vec![0, 1, 2];
    assert_eq!(
        impulse(&layer, Some(&ncc)),
        ["No channel responds to the impulse."]
    );
}

#[test]
fn numbers_read_well() {
    for (x, want) in [
        (0.0, "0"),
        (1.0, "1.00"),
        (9.999, "10.0"),
        (0.12345, "0.123"),
        (-0.012345, "-0.0123"),
        (1234.5, "1234"),
        (1234567.0, "1\u{202f}234\u{202f}567"),
        (2.5e-15, "2.50e-15"),
        (3e9, "3.00e9"),
    ] {
        assert_eq!(number(Some(x)), want);
    }
    assert_eq!(number(None), "–");
    assert_eq!(number(Some(f64::NAN)), "–");
    for (x, want) in [
        (0.0, "0\u{a0}%"),
        (0.0001, "under 0.1\u{a0}%"),
        (0.0312, "3.1\u{a0}%"),
        (0.5, "50\u{a0}%"),
        (0.978, "97.8\u{a0}%"),
        (1.0, "100\u{a0}%"),
    ] {
        assert_eq!(percent(Some(x)), want);
    }
    assert_eq!(list(&[]), "none");
    assert_eq!(list(&[4]), "4");
    assert_eq!(list(&[4, 5, 9]), "4, 5 and 9");
    let many: Vec<u64> = (0..20).collect();
    assert!(list(&many).ends_with("10, 11 and 8 more"));
}

#[test]
fn a_value_has_the_decimals_of_its_error() {
    let said = |value, error| with_error(finite(value), finite(error));
    assert_eq!(said(14.317_2, 0.021_3), "14.317 ± 0.021");
    assert_eq!(said(0.5, 0.099_6), "0.50 ± 0.10");
    assert_eq!(said(1234.5, 27.4), "1234 ± 27");
    assert_eq!(said(0.113, 0.0), "0.11 ± 0.00");
    assert_eq!(said(0.113, f64::NAN), "0.113");
    assert_eq!(with_error(None, finite(0.1)), "–");
    let said = |value, error| percent_with_error(finite(value), finite(error));
    assert_eq!(said(0.713, 0.026_2), "71.3 ± 2.6\u{a0}%");
    assert_eq!(said(0.7, 0.12), "70.0 ± 12.0\u{a0}%");
    assert_eq!(said(0.998_76, 0.000_34), "99.876 ± 0.034\u{a0}%");
    assert_eq!(said(1.0, 0.0), "100.0 ± 0.0\u{a0}%");
    assert_eq!(said(0.713, f64::NAN), "71\u{a0}%");
    assert_eq!(percent_with_error(None, finite(0.1)), "–");
    let shares = [0.9, 0.125, 0.1, 1.0, 0.333_333].map(share);
    assert_eq!(
        shares,
        ["90", "12.5", "10", "100", "33.33"].map(|s| format!("{s}\u{a0}%"))
    );
}
