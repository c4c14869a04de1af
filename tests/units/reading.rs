//! What units read of the dump: a copy by channels is made once for all units of a process.

use super::{cpu, left, reference};
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use crate::support::runs::relu_layer;
use chanscope::measure::Context;
use chanscope::measure::redundancy::RedundancyOptions;
use chanscope::units::{Request, Selection, Share, Stage, merge, plan, work};

#[test]
fn the_bytes_of_a_copy_are_read_once_and_those_of_finished_units_never_again() {
    let dir = folder();
    let dir = dir.path();
    let values: Vec<f32> = relu_layer(120, 24, 3, 51).iter().copied().collect();
    let file = 4 * values.len() as u64;
    let bytes = npy_bytes("<f4", "(120, 24, 3, 3)", &f32_bytes(&values));
    write(dir, "a.npy", &bytes);
    let expected = reference(dir, &["a.npy"]);
    let device = cpu(2);
    let ctx = Context::new(&device).with_scratch(dir);
    let request = Request::new(vec![dir.join("a.npy")], RedundancyOptions::default());

    // All at once: the survey, and six units from one copy.
    let out = dir.join("once");
    let planned = plan(&ctx, &request, &out, false, 6).expect("plan");
    let graphs: Vec<usize> = planned.stage(Stage::Graphs).map(|unit| unit.unit).collect();
    assert_eq!(graphs.len(), 7);
    let worked = work(&ctx, &out, &Selection::default()).expect("work");
    assert_eq!(worked.bytes_read, 2 * file);
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);

    // In several processes: the survey; a unit, whose channels are read as they lie; the others.
    let out = dir.join("parts");
    plan(&ctx, &request, &out, false, 6).expect("plan");
    let units = |units: &[usize]| Selection {
        stage: Some(Stage::Graphs),
        share: Share::Units(units.to_vec()),
    };
    for (chosen, read) in [
        (&graphs[..1], file),
        (&graphs[1..2], file),
        (&graphs[..], file),
        (&graphs, 0),
    ] {
        let worked = work(&ctx, &out, &units(chosen)).expect("work");
        assert_eq!(worked.bytes_read, read, "{chosen:?}");
    }
    let worked = work(&ctx, &out, &Selection::default()).expect("work");
    assert_eq!(worked.bytes_read, 0);
    merge(&out, false).expect("merge");
    assert!(left(&out) == expected);
}
