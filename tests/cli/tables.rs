//! Tables on stdout line up whatever the names in them.

use super::*;
use crate::support::cli::succeed;
use crate::support::model::{Model, Node};
use console::measure_text_width;
use std::ops::Range;

/// A name of three characters, one of sixty, and one of five that a terminal shows twice as wide.
const NAMES: [&str; 3] = [
    "c12",
    "encoder.blocks.11.mixer.depthwise_convolution.branch_3.conv2",
    "畳み込み層",
];
/// The layers of these names.
const LAYERS: [&str; 3] = [NAMES[0], NAMES[1], "_____"];

/// The cells of a line, between which there are two spaces at least: their text, and where they are on a terminal.
fn cells(line: &str) -> Vec<(&str, Range<usize>)> {
    let mut end = 0;
    let texts = line.split("  ").map(str::trim).filter(|t| !t.is_empty());
    let placed = texts.map(|text| {
        let start = end + line[end..].find(text).expect("a part of the line");
        end = start + text.len();
        let columns = [start, end].map(|at| measure_text_width(&line[..at]));
        (text, columns[0]..columns[1])
    });
    placed.collect()
}

/// The lines from the one that begins with `first` on, as cells.
fn table<'a>(text: &'a str, first: &str) -> Vec<Vec<(&'a str, Range<usize>)>> {
    let lines = text.lines().skip_while(|line| !line.starts_with(first));
    lines.map(cells).collect()
}

/// Under the titles stands a line for each layer, with as many cells. `figures` columns after the name end where their
/// titles end, and those after them begin where their titles begin.
fn lines_up(text: &str, figures: usize) {
    let table = table(text, "layer");
    let titles = &table[0];
    assert_eq!(
        titles[1].1.end,
        NAMES[1].len() + 2 + titles[1].0.len(),
        "{text}"
    );
    for (row, layer) in table[1..].iter().zip(LAYERS) {
        assert_eq!((row[0].0, row.len()), (layer, titles.len()), "{text}");
        for (i, (cell, title)) in row.iter().zip(titles).enumerate().skip(1) {
            match i <= figures {
                true => assert_eq!(cell.1.end, title.1.end, "{cell:?} {title:?}\n{text}"),
                false => assert_eq!(cell.1.start, title.1.start, "{cell:?} {title:?}\n{text}"),
            }
        }
    }
}

/// Lines of two cells that follow the one that begins with `first`: the second cell begins at `start` in each.
fn begin_at(text: &str, first: &str, rows: usize, start: usize) {
    for row in &table(text, first)[..rows] {
        assert_eq!((row.len(), row[1].1.start), (2, start), "{row:?}\n{text}");
    }
}

#[test]
fn tables_of_dumps_line_up() {
    let dir = TempDir::new().expect("folder");
    let acts = dir.path().join("acts");
    std::fs::create_dir(&acts).expect("folder");
    for (name, channels) in NAMES.iter().zip([3, 12, 4]) {
        dump(&acts, &format!("{name}.npy"), 30, channels);
    }
    write_labels(&acts, 30);
    let text = succeed(&dir, &["redundancy", "acts", "-k", "3", "--out", "a"]);
    lines_up(&text, 7);
    let text = succeed(&dir, &["rank", "a", "--by", "jaccard", "--out", "ranked"]);
    lines_up(&text, 5);
    // The title of the second column stands to the left, and so do its cells.
    let text = succeed(&dir, &["compare", "a", "a", "--out", "compared"]);
    let rows = table(&text, "layer");
    for row in &rows[..4] {
        assert_eq!(
            (row.len(), row[1].1.start),
            (4, NAMES[1].len() + 2),
            "{text}"
        );
        assert_eq!(row[3].1.end, rows[0][3].1.end, "{text}");
    }
    // Of all channels as one there are no dead ones and no pairs.
    let text = succeed(
        &dir,
        &["redundancy", "acts", "-k", "3", "--aggregate", "--out", "b"],
    );
    let rows = table(&text, "layer");
    for aggregate in rows[1..].chunks(2).take(3).map(|pair| &pair[1]) {
        assert_eq!(
            (aggregate[0].0, aggregate.len()),
            ("aggregate", 5),
            "{text}"
        );
        for (cell, title) in [(1, 1), (2, 3), (3, 7)] {
            assert_eq!(aggregate[cell].1.end, rows[0][title].1.end, "{text}");
        }
        assert_eq!(aggregate[4].1.start, rows[0][7].1.end + 2, "{text}");
    }
}

/// A network of three classes, whose convolutions and output have these names.
fn network() -> Model {
    let weights = |n: usize| -> Vec<f32> { (0..n).map(|i| ((i * 37) % 19) as f32 - 9.0).collect() };
    let mut m = Model::new(&[2, 6, 6]);
    let mut input = String::from("input");
    for (i, name) in NAMES.iter().enumerate() {
        let weight = format!("{name}.weight");
        // The last has a channel for each class.
        let channels = if i == 2 { 3 } else { 2 };
        m.constant(
            &weight,
            &[channels, 2, 2, 2],
            &weights(8 * channels as usize),
        );
        let [conv, relu] = ["conv", "relu"].map(|op| format!("{op}{i}"));
        m.node(Node::new("Conv", &conv, &[&input, &weight], &conv));
        m.node(Node::new("Relu", &relu, &[&conv], &relu));
        input = relu;
    }
    m.node(Node::new("GlobalAveragePool", "g", &[&input], "mean"));
    m.node(Node::new("Flatten", "f", &["mean"], NAMES[2]));
    m.outputs(&[NAMES[2]]);
    m
}

#[test]
fn tables_of_networks_line_up() {
    let dir = TempDir::new().expect("folder");
    let model = dir.path().join("m.onnx");
    std::fs::write(&model, network().encode()).expect("write");
    let values: Vec<f32> = (0..20 * 72)
        .map(|i| ((i * 31) % 23) as f32 / 23.0)
        .collect();
    write_dump(dir.path(), "x.npy", "(20, 2, 6, 6)", &values);
    write_labels(dir.path(), 20);
    std::fs::rename(dir.path().join("labels.npy"), dir.path().join("l.npy")).expect("rename");
    let run = |args: &str| succeed(&dir, &args.split(' ').collect::<Vec<_>>());

    // Three layers and an output, which keeps its name.
    let text = run("inspect m.onnx");
    begin_at(&text, "    c12", 4, 4 + NAMES[1].len() + 2);
    assert!(
        text.contains(&format!("    output {} ", NAMES[2])),
        "{text}"
    );
    let text = run("run m.onnx x.npy --dump dump");
    begin_at(&text, "c12", 4, NAMES[1].len() + 2);
    lines_up(&run("filters m.onnx --out f"), 5);
    lines_up(&run("impulse m.onnx --out i"), 3);
    let text = run("shuffle m.onnx x.npy --tensor c12 --out s");
    begin_at(&text, "  enc", 2, 2 + NAMES[1].len() + 2);
    // Blocks of all layers and of each, in which figures stand below each other.
    let text = run("ablate m.onnx x.npy --labels l.npy --rankings l1 --keep 0.5,1 --out a");
    let rows = table(&text, "all layers at once");
    let blocks: Vec<_> = rows.split(Vec::is_empty).take(4).collect();
    for row in blocks.concat() {
        let ends = |r: &[(&str, Range<usize>)]| r[1..].iter().map(|c| c.1.end).collect::<Vec<_>>();
        assert_eq!(ends(&row), ends(&rows[0]), "{text}");
    }
    assert_eq!(blocks.iter().map(|b| b.len()).sum::<usize>(), 8, "{text}");
}
