//! Outputs in memory hold what a folder would.

use chanscope::Error;
use chanscope::error::OutputProblem;
use chanscope::io::npy::read_array;
use chanscope::io::sink::Output;

#[test]
fn arrays_are_those_of_a_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = Output::create(parent.path().join("out"), false).unwrap();
    let memory = Output::in_memory();
    for output in [&folder, &memory] {
        output
            .array("a/first.npy", &[2, 3], &[1f32, 2., 3., 4., 5., 6.])
            .unwrap();
        let writer = output.array_writer::<f64>("a/second.npy", &[4]).unwrap();
        writer.write(2, &[3.5, 4.5]).unwrap();
        writer.write(0, &[1.5, 2.5]).unwrap();
        writer.finish().unwrap();
        let out_of_range = output.array("a/third.npy", &[1], &[1i64, 2]).unwrap_err();
        assert!(matches!(out_of_range, Error::OutOfRange { .. }));
    }
    assert_eq!(memory.folder().as_os_str(), "");
    // The third one was begun and never finished, in both.
    assert!(folder.finish(&()).is_err());
    let unfinished = memory.into_arrays().unwrap_err();
    let problem = OutputProblem::Unfinished;
    assert!(matches!(unfinished, Error::Output { problem: p, .. } if p == problem));
}

#[test]
fn arrays_are_handed_over_in_their_order() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("out");
    let folder = Output::create(&path, false).unwrap();
    let memory = Output::in_memory();
    for output in [&folder, &memory] {
        output
            .array("b.npy", &[2, 2], &[1f64, -2., 0.25, 1e300])
            .unwrap();
        output.array("a/a.npy", &[3], &[true, false, true]).unwrap();
    }
    folder.finish(&serde_json::json!({})).unwrap();
    let arrays = memory.into_arrays().unwrap();
    let names: Vec<&str> = arrays.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["b.npy", "a/a.npy"]);
    assert_eq!((arrays[0].kind, arrays[1].kind), ("f8", "b1"));
    let values: Vec<f64> = (arrays[0].bytes.as_chunks::<8>().0.iter())
        .map(|&b| f64::from_ne_bytes(b))
        .collect();
    let written = read_array(path.join("b.npy")).unwrap();
    assert_eq!(written.shape(), arrays[0].shape);
    assert_eq!(written.iter().copied().collect::<Vec<_>>(), values);
    assert_eq!(arrays[1].bytes, [1, 0, 1]);
}

#[test]
fn names_are_checked_as_for_a_folder() {
    let memory = Output::in_memory();
    memory.array("a.npy", &[1], &[1f32]).unwrap();
    for (name, twice) in [("../a.npy", false), ("/a.npy", false), ("a.npy", true)] {
        match memory.array(name, &[1], &[1f32]).unwrap_err() {
            Error::Output { problem, .. } => {
                assert_eq!(
                    matches!(problem, OutputProblem::Twice { .. }),
                    twice,
                    "{name}"
                );
            }
            other => panic!("{other}"),
        }
    }
}
