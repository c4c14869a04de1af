//! Opening files and folders; layers in memory.

use super::{f32_bytes, folder, npy_bytes, write};
use chanscope::Error;
use chanscope::io::array::ArrayLayer;
use chanscope::io::layer::Layer;
use chanscope::io::open::{Unreadable, open_dump, open_dump_with};
use chanscope::tensor::LayerShape;
use ndarray::Array4;

fn names(layers: &[Box<dyn Layer>]) -> Vec<&str> {
    layers.iter().map(|l| l.name()).collect()
}

#[test]
fn a_folder_is_its_files_sorted_without_labels_and_subfolders() {
    let dir = folder();
    let one = npy_bytes("<f4", "(2, 1)", &f32_bytes(&[1.0, 2.0]));
    for name in [
        "conv2.npy",
        "conv1.npy",
        "conv1.1.npy",
        "labels.npy",
        ".hidden.npy",
        "readme.txt",
        "B.NPY",
    ] {
        write(dir.path(), name, &one);
    }
    std::fs::create_dir(dir.path().join("deeper.npy")).expect("subfolder");
    let dump = open_dump(&[dir.path()]).expect("open");
    assert_eq!(names(&dump.layers), ["B", "conv1", "conv1.1", "conv2"]);
    assert_eq!(dump.labels, Some(dir.path().join("labels.npy")));
    assert_eq!(
        dump.layers[1].path(),
        Some(dir.path().join("conv1.npy").as_path())
    );
}

#[test]
fn several_arguments_keep_their_order_and_get_distinct_names() {
    let (a, b) = (folder(), folder());
    let one = npy_bytes("<f4", "(2, 1)", &f32_bytes(&[1.0, 2.0]));
    let second = write(a.path(), "x y.npy", &one);
    let first = write(b.path(), "x_y.npy", &one);
    let dump = open_dump(&[&first, &second, &first]).expect("open");
    assert_eq!(names(&dump.layers), ["x_y", "x_y_2", "x_y_3"]);
    assert_eq!(dump.labels, None);
}

#[test]
fn what_is_no_dump_is_refused_by_name() {
    let dir = folder();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).expect("subfolder");
    let message = |path: &std::path::Path| open_dump(&[path]).expect_err("refused").to_string();
    assert!(message(&empty).contains("no .npy or .safetensors file"));
    assert!(message(&dir.path().join("missing.npy")).contains("cannot open"));
    assert!(message(&write(dir.path(), "a", b"x")).contains("extension"));
    assert!(matches!(
        open_dump(&[] as &[&str]),
        Err(Error::Argument { .. })
    ));
}

#[test]
fn two_folders_with_labels_are_a_contradiction() {
    let (a, b) = (folder(), folder());
    let one = npy_bytes("<f4", "(2, 1)", &f32_bytes(&[1.0, 2.0]));
    for dir in [&a, &b] {
        write(dir.path(), "x.npy", &one);
        write(dir.path(), "labels.npy", &one);
    }
    let e = open_dump(&[a.path(), b.path()])
        .expect_err("refused")
        .to_string();
    assert!(e.contains("labels"), "{e}");
}

#[test]
fn arrays_are_layers_borrowed_or_copied_when_not_in_c_order() {
    let a = Array4::from_shape_fn((3, 2, 2, 5), |(n, c, y, x)| {
        (((n * 2 + c) * 2 + y) * 5 + x) as f32
    });
    let swapped = a.view().permuted_axes([0, 1, 3, 2]);
    let layer = ArrayLayer::from_array("a", a.view()).expect("layer");
    let turned = ArrayLayer::from_array("b", swapped).expect("layer");
    assert_eq!(layer.shape(), LayerShape::new(3, 2, 2, 5).expect("shape"));
    assert_eq!(turned.shape(), LayerShape::new(3, 2, 5, 2).expect("shape"));
    let mut out = [0f32; 20];
    layer.read_channels(1..3, &[1], &mut out).expect("read");
    assert_eq!(
        out.to_vec(),
        (30..40).chain(50..60).map(|v| v as f32).collect::<Vec<_>>()
    );
    turned.read_rows(0..1, &[1, 0], &mut out).expect("read");
    assert_eq!(out[..4], [10.0, 15.0, 11.0, 16.0]);
    let flat = ndarray::array![[1f32, 2.0], [3.0, 4.0]];
    assert_eq!(
        ArrayLayer::from_array("c", flat.view())
            .expect("layer")
            .shape()
            .channels,
        1
    );
    assert!(ArrayLayer::from_array("d", ndarray::array![1f32].view()).is_err());
    assert!(ArrayLayer::new("e", LayerShape::new(2, 1, 1, 1).expect("shape"), vec![0.0]).is_err());
}

#[test]
fn requests_outside_a_layer_are_refused() {
    let layer = ArrayLayer::new(
        "a",
        LayerShape::new(2, 2, 1, 1).expect("shape"),
        vec![0.0; 4],
    )
    .expect("layer");
    let mut out = [0f32; 2];
    assert!(matches!(
        layer.read_rows(1..3, &[0], &mut out),
        Err(Error::OutOfRange { name: "rows", .. })
    ));
    assert!(matches!(
        layer.read_rows(0..2, &[2], &mut out),
        Err(Error::OutOfRange {
            name: "channels",
            ..
        })
    ));
    assert!(matches!(
        layer.read_rows(0..2, &[0, 1], &mut out),
        Err(Error::WrongLength { name: "out", .. })
    ));
    assert!(layer.read_rows(0..2, &[1], &mut out).is_ok());
}

#[test]
fn unreadable_files_are_left_out_on_demand() {
    let dir = folder();
    let one = npy_bytes("<f4", "(2, 1)", &f32_bytes(&[1.0, 2.0]));
    write(dir.path(), "a.npy", &one[..one.len() - 1]);
    let good = write(dir.path(), "b.npy", &one);
    // The first tensor is sound; of a file that is not, no layer stays.
    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1],\"data_offsets\":[0,4]},\
        \"m\":{\"dtype\":\"I32\",\"shape\":[1,1,1,1],\"data_offsets\":[4,8]}}";
    let bytes = super::safetensors::file_bytes(header, &[0; 8]);
    write(dir.path(), "c.safetensors", &bytes);
    let dump = open_dump_with(&[dir.path()], Unreadable::Skip).expect("open");
    assert_eq!(names(&dump.layers), ["b"]);
    let left_out: Vec<&str> = dump.left_out.iter().map(|l| l.0.as_str()).collect();
    let path = |name: &str| dir.path().join(name).display().to_string();
    assert_eq!(left_out, [path("a.npy"), path("c.safetensors")]);
    assert!(dump.left_out[0].1.starts_with("is truncated"));
    assert!(dump.left_out[1].1.starts_with("tensor 'm' is I32"));
    std::fs::remove_file(good).expect("remove");
    let line = open_dump_with(&[dir.path()], Unreadable::Skip).expect_err("no layer");
    assert!(line.to_string().contains("a.npy: is truncated"), "{line}");
}

#[test]
fn lines_are_maps_of_one_row() {
    let dir = folder();
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let bytes = npy_bytes("<f4", "(2, 3, 4)", &f32_bytes(&values));
    let dump = open_dump(&[write(dir.path(), "a.npy", &bytes)]).expect("open");
    let layer = &dump.layers[0];
    assert_eq!(layer.shape(), LayerShape::new(2, 3, 1, 4).expect("shape"));
    assert_eq!(layer.rank(), 3);
    let mut out = [0f32; 8];
    layer.read_channels(0..2, &[1], &mut out).expect("read");
    assert_eq!(out, [4.0, 5.0, 6.0, 7.0, 16.0, 17.0, 18.0, 19.0]);
    let array = ndarray::Array3::from_shape_vec((2, 3, 4), values).expect("shape");
    let layer = ArrayLayer::from_array("b", array.view()).expect("layer");
    assert_eq!(layer.shape(), LayerShape::new(2, 3, 1, 4).expect("shape"));
}
