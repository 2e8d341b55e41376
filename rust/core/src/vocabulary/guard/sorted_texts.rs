//! Texts in the order of their bytes, where those that begin with the same bytes are adjacent.

use std::ops::Range;

use crate::tokens::sorted::{beginning_with, first_place};

/// Texts in the order of their bytes, laid end to end.
#[derive(Debug)]
pub(super) struct SortedTexts {
    bytes: Vec<u8>,
    /// The start of each text in `bytes`, and the end of the last.
    offsets: Vec<usize>,
}

/// Adjacent texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextRange {
    pub(super) begin: u32,
    pub(super) end: u32,
}

impl TextRange {
    pub(super) fn is_empty(self) -> bool {
        self.begin == self.end
    }

    pub(super) fn indices(self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }
}

impl From<Range<usize>> for TextRange {
    fn from(indices: Range<usize>) -> Self {
        TextRange { begin: indices.start as u32, end: indices.end as u32 }
    }
}

impl SortedTexts {
    /// The texts, which are in ascending order.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut sorted = SortedTexts { bytes: Vec::new(), offsets: vec![0] };
        for text in texts {
            sorted.bytes.extend_from_slice(text);
            sorted.offsets.push(sorted.bytes.len());
        }
        sorted
    }

    pub(super) fn len(&self) -> u32 {
        (self.offsets.len() - 1) as u32
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &[u8] {
        &self.bytes[self.start(index)..self.offsets[index as usize + 1]]
    }

    /// Where a text begins in all texts, laid end to end.
    #[inline]
    pub(super) fn start(&self, index: u32) -> usize {
        self.offsets[index as usize]
    }

    /// The texts that begin with `text`.
    pub(super) fn beginning_with(&self, text: &[u8]) -> TextRange {
        beginning_with(self.offsets.len() - 1, text, |index| self.get(index as u32)).into()
    }

    /// Of texts with the same first `length` bytes, those with `byte` after them.
    #[inline]
    pub(super) fn narrow(&self, range: TextRange, length: u32, byte: u8) -> TextRange {
        // A text that ends there has None, which is less than any byte.
        let next = |index| self.get(index as u32).get(length as usize).copied();
        let Range { start, end } = range.indices();
        let begin = first_place(start..end, |index| next(index) >= Some(byte));
        (begin..first_place(begin..end, |index| next(index) > Some(byte))).into()
    }
}
