//! `.npy`: element types, byte orders, versions, partial reads.

use super::{f32_bytes, folder, npy_bytes, npy_raw, write};
use chanscope::Error;
use chanscope::io::labels::read_labels;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::tensor::{DType, ValueType};
use proptest::prelude::*;

fn is_argument<T>(result: &chanscope::Result<T>) -> bool {
    matches!(result, Err(Error::Argument { .. }))
}

/// All values of a layer, sample-major.
fn all(layer: &dyn Layer) -> Vec<f32> {
    let s = layer.shape();
    let channels: Vec<usize> = (0..s.channels).collect();
    let mut out = vec![f32::NAN; s.len()];
    layer
        .read_rows(0..s.samples, &channels, &mut out)
        .expect("read");
    out
}

/// Reads `[1, 2, 1, n / 2]` stored as `descr`.
fn read(descr: &str, data: &[u8], n: usize) -> (DType, Vec<f32>) {
    let dir = folder();
    let path = write(
        dir.path(),
        "a.npy",
        &npy_bytes(descr, &format!("(1, 2, 1, {})", n / 2), data),
    );
    let layer = npy::open(path, "a").expect("open");
    (layer.dtype(), all(layer.as_ref()))
}

#[test]
fn every_element_type_and_byte_order() {
    let halves: [u16; 6] = [0x3c00, 0x0001, 0x83ff, 0x7c00, 0xfbff, 0x8000];
    let wanted = [
        1.0,
        2f32.powi(-24),
        -1023.0 * 2f32.powi(-24),
        f32::INFINITY,
        -65504.0,
        -0.0,
    ];
    let le: Vec<u8> = halves.iter().flat_map(|h| h.to_le_bytes()).collect();
    let be: Vec<u8> = halves.iter().flat_map(|h| h.to_be_bytes()).collect();
    for (descr, bytes) in [("<f2", &le), (">f2", &be)] {
        let (dtype, got) = read(descr, bytes, 6);
        assert_eq!(dtype, DType::F16);
        assert_eq!(
            got.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            wanted.map(f32::to_bits)
        );
    }

    let singles = [1.5f32, -2.0, f32::MIN_POSITIVE / 4.0, f32::MAX];
    let be: Vec<u8> = singles.iter().flat_map(|v| v.to_be_bytes()).collect();
    assert_eq!(
        read("<f4", &f32_bytes(&singles), 4),
        (DType::F32, singles.to_vec())
    );
    assert_eq!(read(">f4", &be, 4), (DType::F32, singles.to_vec()));

    // The last two are finite, but not in f32.
    let doubles = [0.1f64, -1e30, 1e39, -1e300];
    let wanted = vec![0.1f32, -1e30, f32::INFINITY, f32::NEG_INFINITY];
    let le: Vec<u8> = doubles.iter().flat_map(|v| v.to_le_bytes()).collect();
    let be: Vec<u8> = doubles.iter().flat_map(|v| v.to_be_bytes()).collect();
    assert_eq!(read("<f8", &le, 4), (DType::F64, wanted.clone()));
    assert_eq!(read(">f8", &be, 4), (DType::F64, wanted));

    assert_eq!(
        read("|u1", &[0, 1, 128, 255], 4),
        (DType::U8, vec![0.0, 1.0, 128.0, 255.0])
    );
    assert_eq!(
        read("|i1", &[0, 1, 128, 255], 4),
        (DType::I8, vec![0.0, 1.0, -128.0, -1.0])
    );
}

#[test]
fn every_half_precision_value_is_converted_exactly() {
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    let bytes: Vec<u8> = bits.iter().flat_map(|h| h.to_le_bytes()).collect();
    let (_, got) = read("<f2", &bytes, bits.len());
    for (h, v) in bits.iter().zip(got) {
        let (sign, exponent, fraction) = (h >> 15, i32::from(h >> 10 & 31), f64::from(h & 1023));
        let magnitude = match exponent {
            0 => fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            e => (1024.0 + fraction) * 2f64.powi(e - 25),
        };
        let wanted = if sign == 1 { -magnitude } else { magnitude } as f32;
        assert!(
            v.to_bits() == wanted.to_bits() || v.is_nan() && wanted.is_nan(),
            "{h:#06x}: {v}"
        );
    }
}

#[test]
fn format_versions_and_header_styles() {
    let data = f32_bytes(&[1.0, 2.0, 3.0, 4.0]);
    for (version, dict) in [
        (
            1,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }",
        ),
        (
            2,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }",
        ),
        (
            3,
            "{'shape': (2,2), \"fortran_order\": False, 'descr': \"<f4\"}",
        ),
        (
            1,
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 2L), }",
        ),
        (
            1,
            "  { 'shape' :( 2 , 2 , ) , 'descr':'<f4','fortran_order' : False }\n\n",
        ),
    ] {
        let dir = folder();
        let path = write(dir.path(), "a.npy", &npy_raw(version, dict, &data));
        let layer = npy::open(path, "a").expect(dict);
        let s = layer.shape();
        assert_eq!([s.samples, s.channels, s.height, s.width], [2, 1, 1, 2]);
        assert_eq!(all(layer.as_ref()), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn labels_of_every_integer_type() {
    let dir = folder();
    let check = |descr: &str, shape: &str, bytes: &[u8]| {
        let path = write(dir.path(), "labels.npy", &npy_bytes(descr, shape, bytes));
        read_labels(path, 3)
    };
    let wanted = vec![0u32, 7, 100];
    let le = |f: &dyn Fn(u32) -> Vec<u8>| wanted.iter().flat_map(|&v| f(v)).collect::<Vec<u8>>();
    for (descr, bytes) in [
        ("|u1", le(&|v| vec![v as u8])),
        ("|i1", le(&|v| vec![v as u8])),
        ("<i2", le(&|v| (v as i16).to_le_bytes().into())),
        ("<i4", le(&|v| (v as i32).to_le_bytes().into())),
        (">i4", le(&|v| (v as i32).to_be_bytes().into())),
        ("<i8", le(&|v| i64::from(v).to_le_bytes().into())),
        (">u8", le(&|v| u64::from(v).to_be_bytes().into())),
        ("<f4", le(&|v| (v as f32).to_le_bytes().into())),
        ("<f8", le(&|v| f64::from(v).to_le_bytes().into())),
    ] {
        assert_eq!(check(descr, "(3,)", &bytes).expect(descr), wanted);
        assert_eq!(check(descr, "(3, 1)", &bytes).expect(descr), wanted);
    }
}

/// `[4, 5, 6, 7]` and friends as `f32` or `f16`, and the value at each place.
fn value(shape: [usize; 4], i: usize) -> f32 {
    (i * 37 % (2 * shape[3] + 1000)) as f32 - 500.0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any rows of any channels, in any order, repeated: both layouts, all widths, gaps small and large.
    #[test]
    fn partial_reads_agree_with_indexing(
        (n, c, h, w) in (1usize..7, 1usize..9, 1usize..5, prop_oneof![1usize..9, Just(5000), Just(20_000)]),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        kind in 0usize..5,
    ) {
        let shape = [n, c, h, w];
        let dim = h * w;
        let values: Vec<f32> = (0..n * c * dim).map(|i| value(shape, i)).collect();
        let (descr, bytes): (_, Vec<u8>) = match kind {
            0 => ("<f4", f32_bytes(&values)),
            1 => (">f4", values.iter().flat_map(|v| v.to_be_bytes()).collect()),
            2 => ("<f2", values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect()),
            3 => (">f2", values.iter().flat_map(|v| half::f16::from_f32(*v).to_be_bytes()).collect()),
            _ => ("<f8", values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect()),
        };
        let dir = folder();
        let path = write(dir.path(), "a.npy", &npy_bytes(descr, &format!("({n}, {c}, {h}, {w})"), &bytes));
        let layer = npy::open(path, "a").expect("open");
        let channels: Vec<usize> = picks.iter().map(|i| i.index(c)).collect();
        let (a, b) = (cut.0.index(n + 1), cut.1.index(n + 1));
        let rows = a.min(b)..a.max(b);
        let m = rows.len();
        let stored = |v: f32| if matches!(kind, 2 | 3) { half::f16::from_f32(v).to_f32() } else { v };

        // The bytes that are read are told beforehand.
        let each = m as u64 * layer.row_bytes(&channels);
        let mut major = vec![f32::NAN; m * channels.len() * dim];
        layer.read_channels(rows.clone(), &channels, &mut major).expect("read");
        prop_assert_eq!(layer.bytes_read(), each);
        let mut minor = major.clone();
        layer.read_rows(rows.clone(), &channels, &mut minor).expect("read");
        prop_assert_eq!(layer.bytes_read(), 2 * each);
        // Halves as they are, of the same bytes.
        let mut halves = vec![half::f16::NAN; major.len()];
        let asked = layer.read_channels_f16(rows.clone(), &channels, &mut halves);
        if matches!(kind, 2 | 3) {
            prop_assert_eq!(layer.value_type(), ValueType::F16);
            asked.expect("read");
            prop_assert!(halves.iter().zip(&major).all(|(a, b)| a.to_f32() == *b));
            layer.read_rows_f16(rows.clone(), &channels, &mut halves).expect("read");
            prop_assert!(halves.iter().zip(&minor).all(|(a, b)| a.to_f32() == *b));
            prop_assert_eq!(layer.bytes_read(), 4 * each);
        } else {
            prop_assert_eq!(layer.value_type(), ValueType::F32);
            prop_assert!(is_argument(&asked));
            let asked = layer.read_rows_f16(rows.clone(), &channels, &mut halves);
            prop_assert!(is_argument(&asked));
            prop_assert_eq!(layer.bytes_read(), 2 * each);
        }
        let size = bytes.len() / values.len();
        prop_assert!(each <= (m * c * dim * size) as u64);
        let mut raw = vec![0; m * c * dim * size];
        prop_assert!(layer.read_stored(rows.clone(), &mut raw).expect("read"));
        prop_assert_eq!(&raw[..], &bytes[rows.start * c * dim * size..][..raw.len()]);
        for (slot, &ch) in channels.iter().enumerate() {
            for (r, row) in rows.clone().enumerate() {
                for p in 0..dim {
                    let wanted = stored(values[(row * c + ch) * dim + p]);
                    prop_assert_eq!(major[(slot * m + r) * dim + p], wanted);
                    prop_assert_eq!(minor[(r * channels.len() + slot) * dim + p], wanted);
                }
            }
        }
    }
}

/// Runs of this length are shared by several threads where there are any.
#[test]
fn long_runs_have_the_bytes_of_the_file() {
    let dir = folder();
    let values: Vec<u16> = (0..(11 << 20) / 2 + 1001)
        .map(|i| (i * 7 % 15_000) as u16)
        .collect();
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let samples = values.len() / 11;
    let shape = format!("({samples}, 11, 1, 1)");
    let used = 2 * 11 * samples;
    let path = write(
        dir.path(),
        "a.npy",
        &npy_bytes("<f2", &shape, &bytes[..used]),
    );
    let layer = npy::open(path, "a").expect("open");
    let mut raw = vec![0; used];
    assert!(layer.read_stored(0..samples, &mut raw).expect("read"));
    assert!(raw == bytes[..used]);
    let channels: Vec<usize> = (0..11).collect();
    let mut rows = vec![0.0; 11 * samples];
    layer
        .read_rows(0..samples, &channels, &mut rows)
        .expect("read");
    let wanted = values.iter().map(|&v| half::f16::from_bits(v).to_f32());
    assert!(rows.iter().zip(wanted).all(|(&got, wanted)| got == wanted));
    assert_eq!(layer.bytes_read(), 2 * used as u64);
}

#[test]
fn several_threads_read_one_layer() {
    let dir = folder();
    let values: Vec<f32> = (0..64 * 3 * 50).map(|i| i as f32).collect();
    let path = write(
        dir.path(),
        "a.npy",
        &npy_bytes("<f4", "(64, 3, 5, 10)", &f32_bytes(&values)),
    );
    let layer = npy::open(path, "a").expect("open");
    std::thread::scope(|scope| {
        for t in 0..8 {
            let layer = &layer;
            scope.spawn(move || {
                for row in (t..64).chain(0..64) {
                    let mut out = [0f32; 50];
                    layer
                        .read_channels(row..row + 1, &[2], &mut out)
                        .expect("read");
                    assert!(
                        out.iter()
                            .enumerate()
                            .all(|(p, &v)| v == ((row * 3 + 2) * 50 + p) as f32)
                    );
                }
            });
        }
    });
}
