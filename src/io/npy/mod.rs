//! NumPy's `.npy`: layers stored in such files, and small arrays read whole.
//!
//! Accepted as activations: `f2`, `f4`, `f8`, `u1`, `i1`, either byte order, C order, `[N, C, H, W]` `[N, C, L]`
//! or `[N, D]`. Everything else is refused by name. Nothing larger than the file itself is ever allocated.
//!
//! `literal` parses the Python dictionary of the header, `header` checks it against the file's length,
//! [`open`] makes a layer of it, and `whole` reads the arrays beside `results.json`.

use super::convert::Element;
use super::file::DataFile;
use super::layer::{Layer, layer_shape};
use super::stored::Stored;
use crate::tensor::DType;
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

mod header;
mod literal;
mod whole;

pub(super) use header::{Descr, Header, read_header};
pub use whole::{read_array, read_shape};

/// Opens activations.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for anything but a sound array of a type and shape listed above.
pub fn open(path: impl AsRef<Path>, name: &str) -> Result<Box<dyn Layer>> {
    layer(DataFile::open(path.as_ref())?, name)
}

/// Activations in the bytes of a file, which errors call `file`; `name` is that of the layer.
///
/// ```
/// use chanscope::io::{layer::Layer, npy};
/// use std::sync::Arc;
///
/// let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
/// let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}";
/// bytes.extend(format!("{header:117}\n").into_bytes());
/// bytes.extend([1.0f32; 6].iter().flat_map(|x| x.to_le_bytes()));
/// let layer = npy::from_bytes(Arc::new(bytes), "ones.npy", "ones")?;
/// assert_eq!(layer.shape().samples, 2);
/// # Ok::<(), chanscope::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`], as [`open`].
pub fn from_bytes(bytes: Arc<Vec<u8>>, file: &str, name: &str) -> Result<Box<dyn Layer>> {
    layer(DataFile::in_memory(Path::new(file), bytes), name)
}

fn layer(file: DataFile, name: &str) -> Result<Box<dyn Layer>> {
    let header = read_header(&file)?;
    let element = element(&file, header.descr)?;
    let shape = layer_shape(file.path(), "the array", &header.shape)?;
    file.hint_sequential();
    Ok(Box::new(Stored::new(
        Arc::new(file),
        name.to_string(),
        shape,
        element,
        header.data_offset,
        header.shape.len(),
    )))
}

/// The element type, when it is one that activations may have.
fn element(file: &DataFile, descr: Descr) -> Result<Element> {
    let dtype = match (descr.kind, descr.size) {
        (b'f', 2) => DType::F16,
        (b'f', 4) => DType::F32,
        (b'f', 8) => DType::F64,
        (b'u', 1) => DType::U8,
        (b'i', 1) => DType::I8,
        (kind, size) => {
            let name = match kind {
                b'b' => "bool".into(),
                b'i' => format!("int{}", 8 * size),
                _ => format!("uint{}", 8 * size),
            };
            return Err(Error::unsuitable(
                file.path(),
                format!(
                    "header: activations cannot be {name}; f16, f32, f64, u8 or i8 is needed: save it with \
                     astype('float32')"
                ),
            ));
        }
    };
    Ok(Element {
        dtype,
        big_endian: descr.big_endian,
    })
}
