//! Layers without some of their samples.

use chanscope::io::array::ArrayLayer;
use chanscope::io::kept::Kept;
use chanscope::io::layer::Layer;
use chanscope::tensor::LayerShape;
use proptest::prelude::*;

fn layer(n: usize, c: usize, d: usize) -> ArrayLayer<'static> {
    let shape = LayerShape::new(n, c, 1, d).expect("shape");
    let values: Vec<f32> = (0..shape.len()).map(|i| i as f32).collect();
    ArrayLayer::new("a", shape, values).expect("layer")
}

#[test]
fn what_is_no_selection_is_refused() {
    for kept in [vec![], vec![1, 1], vec![2, 1], vec![0, 3]] {
        assert!(Kept::new(layer(3, 1, 1), kept).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wide maps take the other path through a bounded buffer.
    #[test]
    fn kept_samples_read_as_if_the_others_were_not_there(
        keep in prop::collection::vec(any::<bool>(), 1..40),
        c in 1usize..4,
        d in prop_oneof![Just(1usize), Just(7), Just(100_000), Just(200_000)],
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let keep = if d > 7 { &keep[..keep.len().min(6)] } else { &keep[..] };
        let kept: Vec<usize> = (0..keep.len()).filter(|&i| keep[i]).collect();
        prop_assume!(!kept.is_empty());
        let whole = layer(keep.len(), c, d);
        let some = Kept::new(&whole, kept.clone()).expect("kept");
        prop_assert_eq!(some.shape().samples, kept.len());
        let (a, b) = (cut.0.index(kept.len() + 1), cut.1.index(kept.len() + 1));
        let rows = a.min(b)..a.max(b);
        let channels: Vec<usize> = (0..c).rev().collect();
        let mut major = vec![-1.0; rows.len() * c * d];
        some.read_channels(rows.clone(), &channels, &mut major).expect("read");
        let mut minor = major.clone();
        some.read_rows(rows.clone(), &channels, &mut minor).expect("read");
        for (slot, channel) in channels.iter().enumerate() {
            for (r, row) in rows.clone().enumerate() {
                for p in [0, d / 2, d - 1] {
                    let wanted = ((kept[row] * c + channel) * d + p) as f32;
                    prop_assert_eq!(major[(slot * rows.len() + r) * d + p], wanted);
                    prop_assert_eq!(minor[(r * c + slot) * d + p], wanted);
                }
            }
        }
    }
}
