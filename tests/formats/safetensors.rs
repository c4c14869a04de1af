//! `.safetensors` against bytes written by hand and by the format's own crate.

use super::{f32_bytes, folder, write};
use chanscope::Error;
use chanscope::io::open::open_dump;
use chanscope::io::safetensors::{Replacement, SafetensorsFile, read_weights};
use chanscope::tensor::DType;
use safetensors::tensor::{Dtype, TensorView, serialize};

/// A file with this header text.
pub fn file_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// `conv.weight [1, 2, 1, 2]` F32 and `conv.bias [1]` F16.
pub fn two_tensors() -> Vec<u8> {
    let header = "{\"__metadata__\":{\"format\":\"pt\"},\
        \"conv.weight\":{\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]},\
        \"conv.bias\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[16,18]}}  ";
    let mut data = f32_bytes(&[1.0, -2.0, 3.5, 0.25]);
    data.extend(0x3c00u16.to_le_bytes());
    file_bytes(header, &data)
}

#[test]
fn tensors_are_listed_by_key_and_read() {
    let dir = folder();
    let file =
        SafetensorsFile::open(write(dir.path(), "a.safetensors", &two_tensors())).expect("open");
    let keys: Vec<&str> = file.tensors().iter().map(|t| t.key.as_str()).collect();
    assert_eq!(keys, ["conv.bias", "conv.weight"]);
    let weight = file.read("conv.weight").expect("read");
    assert_eq!((weight.shape, weight.dtype), (vec![1, 2, 1, 2], DType::F32));
    assert_eq!(weight.values, [1.0, -2.0, 3.5, 0.25]);
    assert_eq!(file.read("conv.bias").expect("read").values, [1.0]);
    assert!(
        file.read("nope")
            .expect_err("refused")
            .to_string()
            .contains("no tensor 'nope'")
    );
}

#[test]
fn every_element_type_of_the_formats_own_writer() {
    let le = |v: &[f64]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let tensors = [
        (
            "bf16",
            Dtype::BF16,
            vec![0x80, 0x3f, 0x00, 0xc0, 0x01, 0x00, 0x80, 0x7f],
        ),
        (
            "f16",
            Dtype::F16,
            vec![0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x7c],
        ),
        ("f64", Dtype::F64, le(&[1.0, -2.0, 1e-45, 1e39])),
        ("u8", Dtype::U8, vec![1, 2, 3, 255]),
    ];
    let views = tensors.iter().map(|(key, dtype, data)| {
        (
            *key,
            TensorView::new(*dtype, vec![2, 2, 1, 1], data).expect("view"),
        )
    });
    let dir = folder();
    let path = write(
        dir.path(),
        "a.safetensors",
        &serialize(views, None).expect("serialize"),
    );
    let inf = f32::INFINITY;
    let wanted = [
        (
            "bf16",
            DType::BF16,
            [1.0, -2.0, f32::from_bits(1 << 16), inf],
        ),
        ("f16", DType::F16, [1.0, -2.0, 2f32.powi(-24), inf]),
        ("f64", DType::F64, [1.0, -2.0, f32::from_bits(1), inf]),
        ("u8", DType::U8, [1.0, 2.0, 3.0, 255.0]),
    ];
    let dump = open_dump(&[&path]).expect("open");
    for (layer, (name, dtype, values)) in dump.layers.iter().zip(wanted) {
        assert_eq!((layer.name(), layer.dtype()), (name, dtype));
        let mut out = [0f32; 2];
        layer.read_channels(0..2, &[1], &mut out).expect("read");
        assert_eq!(out, [values[1], values[3]], "{name}");
        layer.read_rows(1..2, &[0, 1], &mut out).expect("read");
        assert_eq!(out, [values[2], values[3]], "{name}");
    }
    // Weights are read whole: one that float32 cannot hold is refused.
    let file = SafetensorsFile::open(&path).expect("open");
    assert_eq!(file.read("f16").expect("weights").values[3], inf);
    let line = read_weights(&path).expect_err("refused").to_string();
    assert!(line.contains("tensor 'f64' holds 1e39, beyond"), "{line}");
}

#[test]
fn weights_are_the_four_dimensional_tensors_of_floats() {
    let dir = folder();
    let data = [0u8; 8];
    let view = |dtype, shape| TensorView::new(dtype, shape, &data).expect("view");
    let views = [
        ("a", view(Dtype::F64, vec![1, 1, 1, 1])),
        ("b", view(Dtype::U8, vec![2, 2, 2, 1])),
        ("c", view(Dtype::BF16, vec![2, 2, 1, 1])),
        ("d", view(Dtype::F32, vec![2, 1])),
        ("e", view(Dtype::F16, vec![1, 1, 2, 2])),
    ];
    let bytes = serialize(views, None).expect("serialize");
    let weights = read_weights(write(dir.path(), "a.safetensors", &bytes)).expect("weights");
    let keys: Vec<&str> = weights.iter().map(|w| w.key.as_str()).collect();
    assert_eq!(keys, ["a", "c", "e"]);
}

#[test]
fn layers_are_the_four_dimensional_tensors_named_by_module() {
    let dir = folder();
    let path = write(dir.path(), "a.safetensors", &two_tensors());
    let dump = open_dump(&[&path]).expect("open");
    assert_eq!(dump.layers.len(), 1);
    assert_eq!(dump.layers[0].name(), "conv");

    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
    let flat = write(dir.path(), "b.safetensors", &file_bytes(header, &[0; 16]));
    let dump = open_dump(&[&flat]).expect("a matrix alone is a layer");
    assert_eq!(dump.layers[0].shape().channels, 1);
    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";
    let list = write(dir.path(), "d.safetensors", &file_bytes(header, &[0; 16]));
    let line = open_dump(&[&list]).expect_err("refused").to_string();
    assert!(
        line.contains("holds no activations among 1 tensors"),
        "{line}"
    );
    assert!(
        read_weights(&flat)
            .expect_err("refused")
            .to_string()
            .contains("no 4-D tensor")
    );

    let header = "{\"m\":{\"dtype\":\"F7_X\",\"shape\":[1,1,1,2],\"data_offsets\":[0,16]}}";
    let unknown = write(dir.path(), "e.safetensors", &file_bytes(header, &[0; 16]));
    let line = open_dump(&[&unknown]).expect_err("refused").to_string();
    assert!(
        line.contains("tensor 'm' has elements of a type that is not known, 'F7_X'"),
        "{line}"
    );

    let header = "{\"t\":{\"dtype\":\"F32\",\"shape\":[2,1,2],\"data_offsets\":[0,16]}}";
    let lines = write(dir.path(), "f.safetensors", &file_bytes(header, &[0; 16]));
    let dump = open_dump(&[&lines]).expect("lines alone are a layer");
    assert_eq!(
        (dump.layers[0].rank(), dump.layers[0].shape().width),
        (3, 2)
    );

    let header = "{\"m\":{\"dtype\":\"I64\",\"shape\":[1,1,1,2],\"data_offsets\":[0,16]}}";
    let integers = write(dir.path(), "c.safetensors", &file_bytes(header, &[0; 16]));
    let line = open_dump(&[&integers]).expect_err("refused").to_string();
    assert!(line.contains("tensor 'm' is I64"), "{line}");
}

/// A copy with replacements, as bytes.
fn copied(bytes: &[u8], replacements: &[Replacement<'_>]) -> chanscope::Result<Vec<u8>> {
    let dir = folder();
    let file = SafetensorsFile::open(write(dir.path(), "a.safetensors", bytes)).expect("open");
    let to = dir.path().join("b.safetensors");
    let done = file.copy_with(&to, false, replacements);
    assert_eq!(to.exists(), done.is_ok());
    done.map(|()| std::fs::read(to).expect("read"))
}

#[test]
fn a_copy_differs_in_the_replaced_values_only() {
    let before = two_tensors();
    let end = before.len();
    assert_eq!(copied(&before, &[]).expect("copy"), before);

    let weight = Replacement {
        key: "conv.weight",
        values: &[9.0, 8.0, 7.0, 6.0],
    };
    let bias = Replacement {
        key: "conv.bias",
        values: &[-2.0],
    };
    let mut wanted = before.clone();
    wanted[end - 18..end - 2].copy_from_slice(&f32_bytes(weight.values));
    assert_eq!(copied(&before, &[weight]).expect("copy"), wanted);
    wanted[end - 2..].copy_from_slice(&0xc000u16.to_le_bytes());
    assert_eq!(copied(&before, &[bias, weight]).expect("copy"), wanted);
}

#[test]
fn values_are_rounded_to_the_tensors_type_or_refused() {
    let bytes = file_bytes(
        "{\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]},\
          \"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[2,10]},\
          \"h\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[10,12]},\
          \"i\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[12,13]}}",
        &[0; 13],
    );
    let one = |key, value: &f32| {
        copied(
            &bytes,
            &[Replacement {
                key,
                values: std::slice::from_ref(value),
            }],
        )
    };
    let data = |key, value: f32| {
        one(key, &value)
            .map(|b| b[bytes.len() - 13..].to_vec())
            .expect("copy")
    };
    // 1 + 2^-8 is halfway between two bfloat16 values: ties go to the even one.
    assert_eq!(data("b", 1.0 + 2f32.powi(-8))[..2], 0x3f80u16.to_le_bytes());
    assert_eq!(data("d", 0.1)[2..10], f64::from(0.1f32).to_le_bytes());
    assert_eq!(
        data("h", 1.0 + 3.0 * 2f32.powi(-11))[10..12],
        0x3c02u16.to_le_bytes()
    );
    for (key, value, words) in [
        ("h", 70_000.0, "does not fit F16"),
        ("b", f32::NAN, "does not fit BF16"),
        ("i", 1.0, "only floats"),
        ("x", 1.0, "no tensor 'x'"),
    ] {
        let line = one(key, &value).expect_err("refused").to_string();
        assert!(line.contains(words), "{line}");
    }
    let two = Replacement {
        key: "h",
        values: &[1.0, 2.0],
    };
    assert!(
        copied(&bytes, &[two])
            .expect_err("refused")
            .to_string()
            .contains("cannot take 2 values")
    );
    let h = Replacement {
        key: "h",
        values: &[1.0],
    };
    assert!(
        copied(&bytes, &[h, h])
            .expect_err("refused")
            .to_string()
            .contains("twice")
    );
}

#[test]
fn a_file_can_be_replaced_by_its_own_copy() {
    let dir = folder();
    let path = write(dir.path(), "a.safetensors", &two_tensors());
    let file = SafetensorsFile::open(&path).expect("open");
    let bias = [Replacement {
        key: "conv.bias",
        values: &[3.0],
    }];
    assert!(matches!(
        file.copy_with(&path, false, &bias),
        Err(Error::Output { .. })
    ));
    file.copy_with(&path, true, &bias).expect("copy");
    let again = SafetensorsFile::open(&path).expect("open");
    assert_eq!(again.read("conv.bias").expect("read").values, [3.0]);
    assert_eq!(
        again.read("conv.weight").expect("read").values,
        [1.0, -2.0, 3.5, 0.25]
    );
}

#[test]
fn matrices_and_labels_of_a_file_are_found_and_the_rest_is_named() {
    let dir = folder();
    let tensor = |key: &str, dtype: &str, shape: &str, from: usize, to: usize| {
        format!(
            "\"{key}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}"
        )
    };
    let header = format!(
        "{{{}}}",
        [
            tensor("conv.relu", "F32", "[3,2,2,1]", 0, 48),
            tensor("fc", "F32", "[3,4]", 48, 96),
            tensor("fc.weight", "F32", "[2,4]", 96, 128),
            tensor("idx", "I64", "[3]", 128, 152),
            tensor("ids", "I64", "[3,1]", 152, 176),
            tensor("labels", "I64", "[3]", 176, 200),
        ]
        .join(",")
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let floats: Vec<f32> = (0..32).map(|i| i as f32).collect();
    bytes.extend(f32_bytes(&floats));
    bytes.extend((0..9i64).flat_map(|i| (i % 3).to_le_bytes()));
    let path = write(dir.path(), "acts.safetensors", &bytes);
    let dump = chanscope::io::open::open_dump(&[&path]).expect("open");
    let layers: Vec<_> = dump.layers.iter().map(|l| (l.name(), l.shape())).collect();
    let shape = |n, c, h, w| chanscope::tensor::LayerShape::new(n, c, h, w).expect("shape");
    assert_eq!(
        layers,
        [("conv.relu", shape(3, 2, 2, 1)), ("fc", shape(3, 1, 1, 4))]
    );
    let mut row = [0.0; 4];
    dump.layers[1]
        .read_rows(1..2, &[0], &mut row)
        .expect("read");
    assert_eq!(row, [16.0, 17.0, 18.0, 19.0]);
    assert_eq!(dump.labels, Some(path.clone()));
    let labels = chanscope::io::labels::read_labels(&path, 3).expect("labels");
    assert_eq!(labels, [0, 1, 2]);
    let names: Vec<&str> = dump.left_out.iter().map(|l| l.0.as_str()).collect();
    assert_eq!(names, ["fc.weight", "ids", "idx"]);
    assert!(
        dump.left_out[0]
            .1
            .contains("2 rows; the maps of the file have 3 samples")
    );
    assert!(dump.left_out[1].1.contains("I64"));
    assert!(dump.left_out[2].1.contains("1 dimensions"));
}
