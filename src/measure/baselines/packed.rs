//! [`Totals`] as bytes, to be kept in a file: little-endian, of matrices their upper triangles, row by row.

use super::totals::{Spread, Totals};

/// Bytes of a channel in the first piece.
const SPREAD: usize = 32;

impl Totals {
    /// Bytes of all pieces at the most, for so many channels.
    pub(crate) fn most_bytes(channels: usize) -> u64 {
        let channels = channels as u64;
        let pairs = channels.saturating_mul(channels + 1) / 2;
        pairs
            .saturating_mul(24)
            .saturating_add(SPREAD as u64 * channels)
    }

    /// Hands out four pieces, one after another: means and ranges of channels, sums of cosines, sums of products about the means,
    /// and samples where a map is zero, which is empty where there is none.
    pub(crate) fn pieces<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let spreads: Vec<u8> = self.spreads.iter().flat_map(spread_bytes).collect();
        put(&spreads)?;
        put(&self.upper(&self.cosine, |v| v.to_le_bytes()))?;
        put(&self.upper(&self.covariance, |v| v.to_le_bytes()))?;
        put(&self.upper(&self.zero, |v| v.to_le_bytes()))
    }

    /// The upper triangle of a matrix, or of none.
    fn upper<T: Copy>(&self, matrix: &[T], bytes: impl Fn(T) -> [u8; 8]) -> Vec<u8> {
        let c = self.spreads.len().max(1);
        let rows = matrix.chunks(c).enumerate();
        rows.flat_map(|(i, row)| &row[i..])
            .flat_map(|&v| bytes(v))
            .collect()
    }

    /// What was handed out, of `channels` channels and `samples` maps of `dim` numbers; `piece` has the number of a piece, and the
    /// bytes that it may have at the most. `None` where the pieces cannot be of these.
    pub(crate) fn of_pieces<E>(
        [samples, channels, dim]: [usize; 3],
        mut piece: impl FnMut(usize, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Option<Self>, E> {
        let pairs = channels * (channels + 1) / 2;
        let mut all = Self::new(channels);
        all.samples = samples as u64;
        let spreads = piece(0, SPREAD * channels)?;
        let (chunks, rest) = spreads.as_chunks::<SPREAD>();
        all.spreads = chunks.iter().map(spread_of).collect();
        let numbers = samples as u64 * dim as u64;
        let mut sound = all.spreads.len() == channels
            && rest.is_empty()
            && all.spreads.iter().all(|spread| spread.count == numbers);
        for (number, matrix) in [(1, &mut all.cosine), (2, &mut all.covariance)] {
            let bytes = piece(number, 8 * pairs)?;
            sound &= fill_upper(matrix, channels, &bytes, f64::from_le_bytes);
        }
        let bytes = piece(3, 8 * pairs)?;
        if !bytes.is_empty() {
            all.zero.resize(channels * channels, 0);
            sound &= fill_upper(&mut all.zero, channels, &bytes, u64::from_le_bytes)
                && all.zero.iter().all(|&zero| zero <= all.samples);
        }
        Ok(sound.then_some(all))
    }
}

/// Fills the upper triangle of a matrix; `false` where the bytes are not as many.
fn fill_upper<T>(
    matrix: &mut [T],
    channels: usize,
    bytes: &[u8],
    value: impl Fn([u8; 8]) -> T,
) -> bool {
    let (values, rest) = bytes.as_chunks::<8>();
    let mut values = values.iter();
    for (i, row) in matrix.chunks_mut(channels.max(1)).enumerate() {
        for (to, from) in row[i..].iter_mut().zip(&mut values) {
            *to = value(*from);
        }
    }
    let pairs = channels * (channels + 1) / 2;
    rest.is_empty() && bytes.len() == 8 * pairs
}

fn spread_bytes(spread: &Spread) -> [u8; SPREAD] {
    let mut bytes = [0; SPREAD];
    bytes[..8].copy_from_slice(&spread.count.to_le_bytes());
    bytes[8..16].copy_from_slice(&spread.first.to_le_bytes());
    bytes[16..24].copy_from_slice(&spread.sum.to_le_bytes());
    bytes[24..28].copy_from_slice(&spread.least.to_le_bytes());
    bytes[28..].copy_from_slice(&spread.largest.to_le_bytes());
    bytes
}

fn spread_of(bytes: &[u8; SPREAD]) -> Spread {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        word
    };
    let [a, b, c, d, e, f, g, h] = word(24);
    Spread {
        count: u64::from_le_bytes(word(0)),
        first: f64::from_le_bytes(word(8)),
        sum: f64::from_le_bytes(word(16)),
        least: f32::from_le_bytes([a, b, c, d]),
        largest: f32::from_le_bytes([e, f, g, h]),
    }
}
