//! Copying a file with the values of some tensors replaced.

use super::file::SafetensorsFile;
use super::header::quoted;
use crate::io::sink::write_file;
use crate::tensor::DType;
use crate::{Error, Result};
use half::{bf16, f16};
use std::io::Write;
use std::path::Path;

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// New values of one tensor, C order; shape and type stay as they are in the file.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'a> {
    /// Key in the file.
    pub key: &'a str,
    /// As many as the tensor has.
    pub values: &'a [f32],
}

impl SafetensorsFile {
    /// Writes a copy to `to` with some tensors' values replaced; every other byte, the header's among them,
    /// is as in this file. Values are rounded to the tensor's type. The copy appears whole or not at all,
    /// and may take the place of this very file with `force`.
    ///
    /// # Errors
    /// [`Error::File`] for unknown keys, other numbers of values, integer tensors, and values that the
    /// tensor's type cannot hold; [`Error::Output`] for an existing file without `force`; [`Error::Io`].
    pub fn copy_with(
        &self,
        to: impl AsRef<Path>,
        force: bool,
        replacements: &[Replacement<'_>],
    ) -> Result<()> {
        let to = to.as_ref();
        let mut pieces = replacements
            .iter()
            .map(|r| self.piece(r))
            .collect::<Result<Vec<_>>>()?;
        pieces.sort_by_key(|(start, _)| *start);
        if pieces
            .windows(2)
            .any(|w| w[0].0 == w[1].0 && !w[0].1.is_empty())
        {
            return Err(Error::unsuitable(
                self.file.path(),
                "a tensor of this file is replaced twice",
            ));
        }
        write_file(to, force, |out| {
            let mut at = 0;
            for (start, bytes) in &pieces {
                self.copy(at, *start, to, out)?;
                out.write_all(bytes)
                    .map_err(|e| Error::io(to, "write", e))?;
                at = start + bytes.len() as u64;
            }
            self.copy(at, self.file.len(), to, out)
        })
    }

    /// Byte in the file and the bytes that go there.
    fn piece(&self, replacement: &Replacement<'_>) -> Result<(u64, Vec<u8>)> {
        let info = self.info(replacement.key)?;
        let bad = |what: String| Error::unsuitable(self.file.path(), what);
        let dtype = self.element(info)?.dtype;
        if info.len != (replacement.values.len() * dtype.size()) as u64 {
            return Err(bad(format!(
                "tensor {} of shape {:?} cannot take {} values",
                quoted(&info.key),
                info.shape,
                replacement.values.len()
            )));
        }
        let mut bytes = Vec::with_capacity(info.len as usize);
        for (i, &v) in replacement.values.iter().enumerate() {
            let stored = narrow(dtype, v, &mut bytes).ok_or_else(|| {
                bad(format!(
                    "tensor {} is {}; only floats are written back",
                    quoted(&info.key),
                    info.dtype
                ))
            })?;
            if !stored.is_finite() {
                return Err(bad(format!(
                    "tensor {}: new value {v} at element {i} does not fit {}; train with smaller steps or store \
                     F32",
                    quoted(&info.key),
                    info.dtype
                )));
            }
        }
        Ok((self.header.data_offset + info.start, bytes))
    }

    fn copy(&self, mut from: u64, end: u64, to: &Path, out: &mut dyn Write) -> Result<()> {
        let mut buffer = vec![0u8; (end - from).min(CHUNK as u64) as usize];
        while from < end {
            let piece = &mut buffer[..(end - from).min(CHUNK as u64) as usize];
            self.file.read_exact_at(piece, from)?;
            out.write_all(piece)
                .map_err(|e| Error::io(to, "write", e))?;
            from += piece.len() as u64;
        }
        Ok(())
    }
}

/// Appends `value` as the file stores it and gives back what that is; `None` for integer types.
fn narrow(dtype: DType, value: f32, bytes: &mut Vec<u8>) -> Option<f32> {
    match dtype {
        DType::F16 => {
            let v = f16::from_f32(value);
            bytes.extend(v.to_le_bytes());
            Some(v.to_f32())
        }
        DType::BF16 => {
            let v = bf16::from_f32(value);
            bytes.extend(v.to_le_bytes());
            Some(v.to_f32())
        }
        DType::F32 => {
            bytes.extend(value.to_le_bytes());
            Some(value)
        }
        DType::F64 => {
            bytes.extend(f64::from(value).to_le_bytes());
            Some(value)
        }
        DType::U8 | DType::I8 => None,
    }
}
