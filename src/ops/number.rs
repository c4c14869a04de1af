//! Samples by their places among those that are listed.

/// Puts each sample's place among all of `samples` in its stead. Returns what they are, ascending, each once.
pub(crate) fn number(samples: &mut [&mut u32]) -> Vec<usize> {
    let mut all: Vec<u32> = samples.iter().map(|sample| **sample).collect();
    all.sort_unstable();
    all.dedup();
    for sample in samples {
        **sample = all.partition_point(|other| *other < **sample) as u32;
    }
    all.into_iter().map(|sample| sample as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_their_places() {
        let mut listed = [9, 4, 9, 0, 7, 4];
        let mut samples: Vec<&mut u32> = listed.iter_mut().collect();
        assert_eq!(number(&mut samples), [0, 4, 7, 9]);
        assert_eq!(listed, [3, 1, 3, 0, 2, 1]);
        assert_eq!(number(&mut []), [0usize; 0]);
    }
}
