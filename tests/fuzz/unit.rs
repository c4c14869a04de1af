//! Units that somebody made up: a small run that is complete, one file of which is changed as the bytes choose, with the
//! checksums in its unit's marker made right.

use super::targets::{file, folder};
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::parts::{FileRecord, MARKER, Marker, Piece};
use chanscope::measure::Context;
use chanscope::measure::redundancy::RedundancyOptions;
use chanscope::ops::GraphParams;
use chanscope::units::{Request, Selection, Stage, merge, plan, status, work};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// A run whose units are done: every file below its folder, with its bytes.
struct Run {
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Places among them of files of units, but for markers.
    of_units: Vec<usize>,
    /// The units of overlaps.
    overlaps: Vec<String>,
    device: Device,
}

/// An array of float32 in the form of numpy.
fn npy(shape: [usize; 4], value: impl Fn(usize) -> f32) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape:?}, }}")
        .replace("[", "(")
        .replace("]", ")");
    let text = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(text.bytes());
    (0..shape.iter().product()).for_each(|i| bytes.extend(value(i).to_le_bytes()));
    bytes
}

impl Run {
    /// Plans and computes it.
    fn new() -> Self {
        let dumps = [("a.npy", [10, 3, 1, 2]), ("b.npy", [10, 2, 1, 1])];
        let dumps = dumps.map(|(name, shape)| {
            file(name, &npy(shape, |i| ((i * 37 % 23) as f32 - 4.0).max(0.0)))
        });
        let options = RedundancyOptions::default()
            .with_graph(GraphParams {
                k: 3,
                ..RedundancyOptions::default().graph
            })
            .with_aggregate(true)
            .with_queries(Some(7));
        let mut request = Request::new(dumps.to_vec(), options);
        request.save_graph = true;
        let device = Device::open(&DeviceChoice::Cpu, 1).expect("the CPU");
        let (ctx, at) = (Context::new(&device), folder().join("unit"));
        let planned = plan(&ctx, &request, &at, false, 2).expect("a plan");
        work(&ctx, &at, &Selection::default()).expect("units");
        let mut files = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(inside) = open.pop() {
            for entry in std::fs::read_dir(at.join(&inside)).expect("list") {
                let name = inside.join(entry.expect("entry").file_name());
                match at.join(&name).is_dir() {
                    true => open.push(name),
                    false => {
                        files.push((name.clone(), std::fs::read(at.join(&name)).expect("read")))
                    }
                }
            }
        }
        files.sort();
        let is_data = |name: &Path| name.starts_with("units") && !name.ends_with(MARKER);
        Self {
            of_units: (0..files.len()).filter(|&i| is_data(&files[i].0)).collect(),
            files,
            overlaps: planned.stage(Stage::Overlap).map(|u| u.name()).collect(),
            device,
        }
    }
}

/// What a number in JSON becomes.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "255",
    "18446744073709551615",
    "170141183460469231731687303715884105727",
    "-170141183460469231731687303715884105728",
    "1267650600228229401496703205376",
    "3,3,3,3,3,3,3,3",
    "0.5",
    "null",
];

/// Changes numbers of a file that is JSON, and bytes of another one, as `choices` say.
fn changed(name: &Path, file: &[u8], choices: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    if name.extension().is_some_and(|e| e == "json") {
        for choice in choices.as_chunks::<3>().0 {
            let is_part = |i: &usize| bytes[*i].is_ascii_digit();
            let starts = (0..bytes.len()).filter(|i| is_part(i) && (*i == 0 || !is_part(&(i - 1))));
            let starts: Vec<usize> = starts.collect();
            let [high, low, number] = choice.map(usize::from);
            let Some(&start) = starts.get((256 * high + low) % starts.len().max(1)) else {
                break;
            };
            let end = (start..bytes.len())
                .find(|i| !is_part(i))
                .unwrap_or(bytes.len());
            let new = NUMBERS[number % NUMBERS.len()].bytes();
            bytes.splice(start..end, new);
        }
        return bytes;
    }
    for choice in choices.chunks(4) {
        let &[high, low, length, value] = choice else {
            // What is left over cuts the file, or makes it longer.
            bytes.resize(bytes.len() * usize::from(choice[0]) / 128, 0);
            break;
        };
        let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len().max(1);
        let length = 1 + usize::from(length % 8);
        bytes
            .iter_mut()
            .skip(at)
            .take(length)
            .for_each(|b| *b = value);
    }
    bytes
}

/// A run one of whose units is not what was computed, but says that it is: told as done, and its overlaps and results are
/// computed or refused.
pub fn unit(bytes: &[u8]) {
    thread_local! {
        static RUN: OnceCell<Run> = const { OnceCell::new() };
    }
    RUN.with(|run| with(run.get_or_init(Run::new), bytes));
}

fn with(run: &Run, bytes: &[u8]) {
    let [which, again, choices @ ..] = bytes else {
        return;
    };
    let spoiled = run.of_units[usize::from(*which) % run.of_units.len()];
    let at = folder().join("unit");
    let _ = std::fs::remove_dir_all(&at);
    for (i, (name, bytes)) in run.files.iter().enumerate() {
        if *again % 2 == 1
            && run
                .overlaps
                .iter()
                .any(|u| name.starts_with(format!("units/{u}")))
        {
            continue;
        }
        match i == spoiled {
            true => file(
                &format!("unit/{}", name.display()),
                &changed(name, bytes, choices),
            ),
            false => file(&format!("unit/{}", name.display()), bytes),
        };
    }
    std::fs::create_dir_all(at.join("units")).expect("a folder");
    sign(&at, &run.files[spoiled].0);
    let told = status(&at).expect("a status");
    assert!(told.damaged.is_empty(), "{:?}", told.damaged);
    let ctx = Context::new(&run.device);
    if work(&ctx, &at, &Selection::default()).is_ok() && merge(&at, true).is_ok() {
        chanscope::report::html::write_report(&at).expect("a page");
    }
}

/// Makes the marker of the unit of a file right, if the unit is there. Pieces keep their lengths, but for the last one.
fn sign(run: &Path, name: &Path) {
    let unit = run.join(name.parent().expect("a unit"));
    let Ok(text) = std::fs::read(unit.join(MARKER)) else {
        return;
    };
    let mut marker: Marker = serde_json::from_slice(&text).expect("a marker");
    let record = |file: &FileRecord| {
        let bytes = std::fs::read(unit.join(&file.name)).expect("a file of the unit");
        let (mut rest, mut pieces) = (&bytes[..], Vec::new());
        for (i, piece) in file.pieces.iter().enumerate() {
            let last = i + 1 == file.pieces.len();
            let len = if last {
                rest.len()
            } else {
                rest.len().min(piece.bytes as usize)
            };
            let (own, others) = rest.split_at(len);
            rest = others;
            pieces.push(Piece {
                bytes: len as u64,
                blake3: blake3::hash(own).to_hex().to_string(),
            });
        }
        FileRecord {
            name: file.name.clone(),
            pieces,
        }
    };
    marker.files = marker.files.iter().map(record).collect();
    let text = serde_json::to_vec(&marker).expect("JSON");
    std::fs::write(unit.join(MARKER), text).expect("write");
}
