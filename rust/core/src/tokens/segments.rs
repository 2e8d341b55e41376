//! A list of token sequences as two flat arrays.

use rayon::prelude::*;

use crate::error::Result;
use crate::tokens::checks::check_offsets;

/// Fewest tokens that one task of the thread pool copies.
const TOKENS_A_TASK: usize = 1 << 13;

/// Token sequences laid end to end; segment `i` is `tokens[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    tokens: Vec<u32>,
    offsets: Vec<usize>,
}

impl Default for Segments {
    fn default() -> Self {
        Segments { tokens: Vec::new(), offsets: vec![0] }
    }
}

impl Segments {
    /// The segments of two flat arrays.
    ///
    /// # Errors
    /// If the offsets do not divide the tokens.
    pub fn from_flat(tokens: Vec<u32>, offsets: Vec<usize>) -> Result<Self> {
        check_offsets(&offsets, tokens.len())?;
        Ok(Segments { tokens, offsets })
    }

    /// The two arrays of [`Segments::from_flat`].
    pub(crate) fn into_flat(self) -> (Vec<u32>, Vec<usize>) {
        (self.tokens, self.offsets)
    }

    /// Number of segments.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no segments.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Segment `index`.
    pub fn get(&self, index: usize) -> &[u32] {
        &self.tokens[self.offsets[index]..self.offsets[index + 1]]
    }

    /// Appends a segment.
    pub fn push(&mut self, segment: &[u32]) {
        self.tokens.extend_from_slice(segment);
        self.offsets.push(self.tokens.len());
    }

    /// Appends a segment of these tokens.
    pub(crate) fn push_from(&mut self, tokens: impl Iterator<Item = u32>) {
        self.tokens.extend(tokens);
        self.offsets.push(self.tokens.len());
    }

    /// Appends all segments of another list, on all threads.
    pub(crate) fn append(&mut self, others: &Segments) {
        let before = self.tokens.len();
        self.tokens.par_extend(others.tokens.par_iter().with_min_len(TOKENS_A_TASK));
        self.offsets.extend(others.offsets[1..].iter().map(|offset| before + offset));
    }

    /// Removes all segments, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.offsets.truncate(1);
    }

    /// The segments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.offsets.windows(2).map(|pair| &self.tokens[pair[0]..pair[1]])
    }

    /// The tokens of all segments, end to end.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The start of each segment, and the end of the last.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Bytes of the arrays, with their spare capacity.
    pub fn memory(&self) -> usize {
        self.tokens.capacity() * size_of::<u32>() + self.offsets.capacity() * size_of::<usize>()
    }
}

impl<'a> FromIterator<&'a [u32]> for Segments {
    fn from_iter<I: IntoIterator<Item = &'a [u32]>>(segments: I) -> Self {
        let mut flat = Segments::default();
        for segment in segments {
            flat.push(segment);
        }
        flat
    }
}
