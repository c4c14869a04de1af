//! Inputs stay what they are: results never go onto them, and an input that changes while it is read is refused.

use super::{content, inputs, names, refused, succeed};
use crate::formats::{f32_bytes, folder, npy_bytes, write};
use chanscope::Error;
use chanscope::device::{Device, DeviceChoice};
use chanscope::error::FileProblem;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::io::sink::Output;
use chanscope::measure::redundancy::{GraphRows, GraphShape, GraphSink, Space};
use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
use chanscope::report::folder::ResultsFolder;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn results_that_would_replace_the_input_are_refused_before_anything() {
    let dir = folder();
    let dir = dir.path();
    inputs(dir);
    // A dump that is itself the result of a run, so that nothing else protects it.
    let [model, data] = super::network().map(|p| p.to_str().expect("path").to_string());
    succeed(dir, &["run", &model, &data, "--dump", "dump"]);
    let before = content(&dir.join("dump"));
    let layer = names(&dir.join("dump"))
        .into_iter()
        .find(|n| n.ends_with(".npy"))
        .expect("a layer");
    for (input, out) in [
        ("dump", "dump"),
        ("dump", "./dump/../dump/"),
        ("dump", "dump/results"),
        (&*format!("dump/{layer}"), "dump"),
        ("dump", "."),
    ] {
        for force in [None, Some("--force")] {
            let args: Vec<&str> = ["redundancy", input, "--out", out]
                .into_iter()
                .chain(force)
                .collect();
            refused(dir, &args, &["input", "--out"]);
        }
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("dump", dir.join("link")).expect("link");
        refused(
            dir,
            &["redundancy", "dump", "--out", "link", "--force"],
            &["input"],
        );
        refused(
            dir,
            &["redundancy", "link", "--out", "dump", "--force"],
            &["input"],
        );
        std::fs::remove_file(dir.join("link")).expect("remove");
    }
    let labels = [
        "redundancy",
        "a.npy",
        "--labels",
        "dump/output.npy",
        "--out",
        "dump",
        "--force",
    ];
    refused(dir, &labels, &["input"]);
    let again = [
        "run",
        &model,
        "dump/output.npy",
        "--dump",
        "dump",
        "--force",
    ];
    let out = super::chanscope(dir).args(again).output().expect("run");
    assert!(!out.status.success());
    assert!(content(&dir.join("dump")) == before);
    assert_eq!(names(dir), ["a.npy", "dump", "w.safetensors"]);
    // A file is read, and not the folder it lies in: results may go beside it.
    succeed(dir, &["redundancy", "a.npy", "--out", "results"]);
}

/// Overwrites bytes of a file at its end, as another program would; its size stays.
fn change(path: &Path) {
    // A change within one tick of the file system's clock could not be seen.
    std::thread::sleep(Duration::from_millis(20));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("open");
    file.seek(SeekFrom::End(-4)).expect("seek");
    file.write_all(&f32::NAN.to_le_bytes()).expect("write");
    file.sync_all().expect("sync");
}

/// A sink that changes the input while graphs are computed.
struct Changing(PathBuf);

impl GraphSink for Changing {
    fn begin(&self, _: &str, _: GraphShape) -> chanscope::Result<()> {
        change(&self.0);
        Ok(())
    }

    fn put(&self, _: Space, _: GraphRows<'_>) -> chanscope::Result<()> {
        Ok(())
    }

    fn end(&self) -> chanscope::Result<()> {
        Ok(())
    }
}

fn is_changed(error: &Error, file: &Path) -> bool {
    matches!(error, Error::File { path, problem: FileProblem::Changed } if path == file)
}

#[test]
fn an_input_that_changes_while_it_is_read_is_refused() {
    let dir = folder();
    let values: Vec<f32> = (0..480).map(|i| (i as f32 * 0.37).sin()).collect();
    let path = write(
        dir.path(),
        "a.npy",
        &npy_bytes("<f4", "(60, 2, 2, 2)", &f32_bytes(&values)),
    );
    let layer = npy::open(&path, "a").expect("open");
    let layers = [&layer as &dyn Layer];
    let device = Device::open(&DeviceChoice::Cpu, 1).expect("CPU");
    let options = RedundancyOptions::default();
    let measure = |sink: Option<&dyn GraphSink>| {
        let input = RedundancyInput::new(&layers).with_graphs(sink);
        redundancy(&Context::new(&device), &input, &options)
    };
    measure(None).expect("sound");
    let error = measure(Some(&Changing(path.clone()))).expect_err("changed");
    assert!(is_changed(&error, &path), "{error}");
    // Another file of the same name, size and content is another file.
    let layer = npy::open(&path, "a").expect("open");
    let copy = write(dir.path(), "copy.npy", &std::fs::read(&path).expect("read"));
    std::fs::rename(copy, &path).expect("rename");
    let error = layer.check_unchanged().expect_err("replaced");
    assert!(cfg!(not(unix)) || is_changed(&error, &path), "{error}");
}

#[test]
fn a_file_that_changes_after_its_fingerprint_was_taken_leaves_no_results() {
    let dir = folder();
    inputs(dir.path());
    let (out, file) = (dir.path().join("out"), dir.path().join("w.safetensors"));
    let folder = ResultsFolder::begin(Output::create(&out, false).expect("out"), "filters");
    folder
        .input_file(&file, &[], "safetensors")
        .expect("fingerprint");
    change(&file);
    let error = folder.finish().expect_err("changed");
    assert!(is_changed(&error, &file), "{error}");
    assert!(!out.exists());
}
