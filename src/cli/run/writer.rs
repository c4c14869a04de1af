//! A file of a dump, in float32 or float16.

use crate::cli::error;
use chanscope::io::sink::ArrayWriter;
use chanscope::tensor::narrow;
use chanscope::{Error, Result};
use half::f16;

/// Smallest normal number of float16, 2^-14. Below it digits are lost, and below 2^-25 everything.
const SMALLEST: f32 = 6.103_515_6e-5;

/// A file of the dump.
pub enum Writer {
    F32(ArrayWriter<f32>),
    F16(Half),
}

/// Values that are narrowed, and what that does to them.
pub struct Half {
    file: ArrayWriter<f16>,
    /// Values of a map.
    area: usize,
    /// Largest magnitude of each channel.
    largest: Vec<f32>,
}

impl Half {
    /// A file of values of `shape` per sample, whose first axis holds the channels if it is not the only one.
    pub fn new(file: ArrayWriter<f16>, shape: &[usize]) -> Self {
        let (channels, area) = match shape {
            [channels, rest @ ..] if !rest.is_empty() => (*channels, rest.iter().product()),
            shape => (1, shape.iter().product()),
        };
        Self {
            file,
            area,
            largest: vec![0.0; channels],
        }
    }

    fn write(&mut self, at: usize, values: &[f32], name: &str) -> Result<()> {
        let mut halves = vec![f16::ZERO; values.len()];
        // A batch holds whole samples.
        let channels = self.largest.len();
        let maps = values.chunks_exact(self.area);
        for (i, (map, halves)) in maps.zip(halves.chunks_exact_mut(self.area)).enumerate() {
            let mut most = narrow(map, halves);
            if !f16::from_f32(most).is_finite() {
                let too_large = |(v, half): &(&f32, &f16)| v.is_finite() && !half.is_finite();
                if let Some((v, _)) = map.iter().zip(&*halves).find(too_large) {
                    return Err(Error::NonFinite {
                        what: format!("values of layer '{name}' such as {v} in f16"),
                        at: vec![],
                        advice: "use --dtype f32",
                    });
                }
                // What is left are infinities and NaN of the values themselves.
                most = map.iter().fold(0.0, |most, v| v.abs().max(most));
            }
            let largest = &mut self.largest[i % channels];
            *largest = largest.max(most);
        }
        self.file.write(at, &halves)
    }
}

impl Writer {
    /// Writes whole samples, from element `at` of the file on.
    pub fn write(&mut self, at: usize, values: &[f32], name: &str) -> Result<()> {
        match self {
            Self::F32(file) => file.write(at, values),
            Self::F16(half) => half.write(at, values, name),
        }
    }

    /// Ends the file. Says what float16 took from the layer where that is not only rounding.
    ///
    /// # Errors
    /// A layer that float16 cannot hold, because all its values are too small.
    pub fn finish(self, name: &str) -> error::Result<Option<String>> {
        let Half { file, largest, .. } = match self {
            Self::F32(file) => {
                file.finish()?;
                return Ok(None);
            }
            Self::F16(half) => half,
        };
        let is_small = |v: &f32| *v > 0.0 && *v < SMALLEST;
        let most = largest.iter().copied().fold(0.0, f32::max);
        if is_small(&most) {
            return Err(error::Error::Failed(format!(
                "layer '{name}': its largest magnitude is {most:e}, below the smallest normal number of f16, \
                 {SMALLEST:.2e}: f16 would lose its digits, or turn it into zeros; use --dtype f32"
            )));
        }
        file.finish()?;
        let small = largest.iter().filter(|v| is_small(v)).count();
        Ok((small > 0).then(|| {
            format!(
                "f16 loses digits of {small} of {} channels, or turns them into zeros: all their values are below \
                 {SMALLEST:.2e}; use --dtype f32",
                largest.len()
            )
        }))
    }
}
