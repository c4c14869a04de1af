//! Layer names: safe as file names, distinct.

use chanscope::io::names::{Namer, module_path, sanitize};
use proptest::prelude::*;

#[test]
fn the_rules_one_by_one() {
    for (raw, name) in [
        ("conv1", "conv1"),
        ("/features/features.0/Conv", "features.features.0.Conv"),
        ("../../etc/passwd", "etc.passwd"),
        ("..", "layer"),
        ("", "layer"),
        ("a b\u{e9}:c\\d\0", "a_b__c_d_"),
        ("block.", "block_"),
        ("-rf", "-rf"),
        ("nul", "nul_"),
        ("COM1.weight", "COM1_.weight"),
        ("comfort", "comfort"),
    ] {
        assert_eq!(sanitize(raw), name, "{raw:?}");
    }
    assert_eq!(module_path("layer1.0.conv1.weight"), "layer1.0.conv1");
    assert_eq!(module_path("weight"), "weight");
    assert_eq!(module_path(".weight"), ".weight");
}

#[test]
fn clashes_get_a_number_and_reserved_names_are_left_alone() {
    let mut namer = Namer::new();
    namer.reserve("labels");
    let names: Vec<String> = ["conv", "Conv", "conv", "conv_2", "labels", "a/b", "a.b"]
        .map(|n| namer.name(n))
        .into();
    assert_eq!(
        names,
        [
            "conv", "Conv_2", "conv_3", "conv_2_2", "labels_2", "a.b", "a.b_2"
        ]
    );
    assert_eq!(Namer::new().module("conv.weight"), "conv");
}

proptest! {
    /// Whatever a file calls its layers, no name leaves its folder and no two are the same file.
    #[test]
    fn any_names(raw in prop::collection::vec(any::<String>(), 1..20)) {
        let mut namer = Namer::new();
        let names: Vec<String> = raw.iter().map(|r| namer.name(r)).collect();
        for name in &names {
            prop_assert!(!name.is_empty() && name.len() < 200 && !name.starts_with('.') && !name.ends_with('.'));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
        }
        let mut folded: Vec<String> = names.iter().map(|n| n.to_lowercase()).collect();
        folded.sort();
        folded.dedup();
        prop_assert_eq!(folded.len(), names.len());
    }
}
