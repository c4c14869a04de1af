//! `.safetensors` against bytes written by hand and by the format's own crate.

use super::{f32_bytes, folder, write};
use chanscope::io::safetensors::{SafetensorsFile, read_weights};
use chanscope::io::source::open;
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
    let dump = open(&[&path]).expect("open");
    for (layer, (name, dtype, values)) in dump.layers.iter().zip(wanted) {
        assert_eq!((layer.name(), layer.dtype()), (name, dtype));
        let mut out = [0f32; 2];
        layer.read_channels(0..2, &[1], &mut out).expect("read");
        assert_eq!(out, [values[1], values[3]], "{name}");
        layer.read_rows(1..2, &[0, 1], &mut out).expect("read");
        assert_eq!(out, [values[2], values[3]], "{name}");
    }
    let weights = read_weights(&path).expect("weights");
    assert_eq!(
        weights.iter().map(|w| w.key.as_str()).collect::<Vec<_>>(),
        ["bf16", "f16", "f64"]
    );
}

#[test]
fn layers_are_the_four_dimensional_tensors_named_by_module() {
    let dir = folder();
    let path = write(dir.path(), "a.safetensors", &two_tensors());
    let dump = open(&[&path]).expect("open");
    assert_eq!(dump.layers.len(), 1);
    assert_eq!(dump.layers[0].name(), "conv");

    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
    let flat = write(dir.path(), "b.safetensors", &file_bytes(header, &[0; 16]));
    assert!(
        open(&[&flat])
            .expect_err("refused")
            .to_string()
            .contains("no 4-D tensor")
    );
    assert!(
        read_weights(&flat)
            .expect_err("refused")
            .to_string()
            .contains("no 4-D tensor")
    );

    let header = "{\"m\":{\"dtype\":\"I64\",\"shape\":[1,1,1,2],\"data_offsets\":[0,16]}}";
    let integers = write(dir.path(), "c.safetensors", &file_bytes(header, &[0; 16]));
    let line = open(&[&integers]).expect_err("refused").to_string();
    assert!(line.contains("tensor 'm' is I64"), "{line}");
}
