//! Places of elements in a strided view.

/// Offsets of the elements of a view, in C order.
pub(super) struct Walk<'a> {
    extents: &'a [usize],
    strides: Vec<isize>,
    index: Vec<usize>,
    at: isize,
    left: usize,
}

impl<'a> Walk<'a> {
    /// A view of `extents` whose first element is at `start`. The steps of the axes may be 0 or negative.
    pub(super) fn new(
        extents: &'a [usize],
        start: usize,
        strides: impl IntoIterator<Item = isize>,
    ) -> Self {
        Self {
            extents,
            strides: strides.into_iter().collect(),
            index: vec![0; extents.len()],
            at: start as isize,
            left: extents.iter().product(),
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        for axis in (0..self.extents.len()).rev() {
            self.index[axis] += 1;
            self.at += self.strides[axis];
            if self.index[axis] < self.extents[axis] {
                break;
            }
            self.at -= self.strides[axis] * self.index[axis] as isize;
            self.index[axis] = 0;
        }
        Some(at as usize)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
