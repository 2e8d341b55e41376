//! Finds the leftmost-longest occurrences of many texts, like an engine's added-token matcher.
//!
//! First, [`Openings`] finds the positions at which a text may begin, for 64 positions at once and without a
//! branch. It tests the next four bytes, because at nearly every position the next two bytes begin some
//! latent. At each such position, the texts are searched in alphabetical order for the last one that is not
//! greater than the following bytes. The longest match is that text, or another text that it begins with.
//! Most comparisons are of eight bytes as one number, in an array that fits a near cache. A trie would be
//! descended byte by byte, and each step would wait for the one before.

use crate::hash;

/// Number of positions that are tested together: the bits of one word.
pub(crate) const BLOCK: usize = 64;

/// Number of bytes that may be read from a position on, also beyond the end of the searched text.
pub(crate) const REACH: usize = BLOCK + 8;

const NONE: u32 = u32::MAX;

/// Distinct texts of two bytes or more, in alphabetical order.
#[derive(Debug, Clone)]
pub(crate) struct TextMatcher {
    openings: Openings,
    /// The first eight bytes of each text as a number; shorter texts are padded with zeros.
    keys: Vec<u64>,
    bytes: Vec<u8>,
    /// The start of each text in `bytes`, and the end of the last.
    offsets: Vec<usize>,
    /// The longest other text that each text begins with, or NONE.
    shorter: Vec<u32>,
}

impl TextMatcher {
    /// A matcher of `texts`, which are in ascending order.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut matcher = TextMatcher {
            openings: Openings::new(),
            keys: Vec::new(),
            bytes: Vec::new(),
            offsets: vec![0],
            shorter: Vec::new(),
        };
        for text in texts {
            let previous = matcher.keys.len().checked_sub(1).map_or(NONE, |last| last as u32);
            matcher.shorter.push(matcher.longest_prefix(previous, text));
            matcher.openings.insert(text);
            matcher.keys.push(key(text));
            matcher.bytes.extend_from_slice(text);
            matcher.offsets.push(matcher.bytes.len());
        }
        matcher
    }

    /// Calls `visit` with the start and the index of each leftmost-longest match.
    ///
    /// `text` ends with [`REACH`] bytes that occur in none of the matcher's texts.
    pub(crate) fn for_each_match(&self, text: &[u8], mut visit: impl FnMut(usize, usize)) {
        let mut base = 0;
        while let Some(block) = text[base..].first_chunk() {
            base += self.visit_block(block, &text[base..], |start, found| visit(base + start, found));
        }
    }

    /// Visits the matches that begin in the first block of `text`; returns the number of bytes that are done.
    #[inline(always)]
    fn visit_block(&self, block: &[u8; REACH], text: &[u8], mut visit: impl FnMut(usize, usize)) -> usize {
        let mut openings = self.openings.of(block);
        while openings != 0 {
            let start = openings.trailing_zeros() as usize;
            let mut position = start + 1;
            if let Some(found) = self.longest_match(&text[start..]) {
                visit(start, found);
                position = start + self.get(found).len();
            }
            if position >= BLOCK {
                return position;
            }
            openings = openings >> position << position;
        }
        BLOCK
    }

    /// The longest text that `rest` (at least eight bytes) begins with.
    #[inline]
    fn longest_match(&self, rest: &[u8]) -> Option<usize> {
        let wanted = key(rest);
        let mut end = self.keys.partition_point(|&key| key <= wanted);
        if end > 0 && self.keys[end - 1] == wanted {
            end = self.last_not_greater(wanted, end, rest);
        }
        let last = end.checked_sub(1)?;
        let found = self.longest_prefix(last as u32, rest);
        (found != NONE).then_some(found as usize)
    }

    /// The number of texts before `end` that are not greater than `rest`, whose key is `wanted`.
    fn last_not_greater(&self, wanted: u64, end: usize, rest: &[u8]) -> usize {
        let (mut low, mut high) = (self.keys[..end].partition_point(|&key| key < wanted), end);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) <= rest { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The longest text that `rest` begins with, among `last` and the texts that `last` begins with.
    #[inline]
    fn longest_prefix(&self, last: u32, rest: &[u8]) -> u32 {
        let mut found = last;
        while found != NONE && !rest.starts_with(self.get(found as usize)) {
            found = self.shorter[found as usize];
        }
        found
    }

    #[inline]
    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.offsets[index]..self.offsets[index + 1]]
    }
}

/// The first eight bytes as a number with the same order.
#[inline(always)]
fn key(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(&bytes) => u64::from_be_bytes(bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..text.len()].copy_from_slice(text);
            u64::from_be_bytes(bytes)
        }
    }
}

/// The beginnings of texts: a flag for each hash of four bytes, and for each pair of bytes.
#[derive(Debug, Clone)]
struct Openings {
    /// Flags of texts of four bytes or more.
    fours: Box<[u8; Openings::HASHES]>,
    /// Flags of shorter texts.
    twos: Box<[u8; 1 << 16]>,
}

impl Openings {
    /// A constant, so that the compiler removes bounds checks.
    const HASHES: usize = 1 << 15;

    fn new() -> Self {
        Openings { fours: Box::new([0; Self::HASHES]), twos: Box::new([0; 1 << 16]) }
    }

    fn insert(&mut self, text: &[u8]) {
        match *text {
            [a, b, c, d, ..] => self.fours[Self::place(u32::from_le_bytes([a, b, c, d]))] = 1,
            [a, b, ..] => self.twos[usize::from(u16::from_le_bytes([a, b]))] = 1,
            _ => {}
        }
    }

    #[inline(always)]
    fn place(bytes: u32) -> usize {
        (hash::of_word(bytes) >> 17) as usize
    }

    /// A bit for each position of the block at which a text may begin; the lowest bit is the first position.
    #[inline(always)]
    fn of(&self, block: &[u8; REACH]) -> u64 {
        let mut openings = 0;
        for octet in 0..BLOCK / 8 {
            let bytes: &[u8; 11] = block[8 * octet..].first_chunk().unwrap_or(&[0; 11]);
            let begins = |i: usize| {
                let four = u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
                u64::from(self.fours[Self::place(four)] | self.twos[four as usize & 0xFFFF]) << i
            };
            openings |= (0..8).fold(0, |bits, i| bits | begins(i)) << (8 * octet);
        }
        openings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(texts: &[Vec<u8>], text: &[u8]) -> Vec<(usize, usize)> {
        let padded = [text, &[0xFF; REACH]].concat();
        let mut found = Vec::new();
        let matcher = TextMatcher::new(texts.iter().map(Vec::as_slice));
        matcher.for_each_match(&padded, |start, index| found.push((start, index)));
        found
    }

    fn matches_by_definition(texts: &[Vec<u8>], text: &[u8]) -> Vec<(usize, usize)> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let matching = (0..texts.len()).filter(|&index| text[at..].starts_with(&texts[index]));
            match matching.max_by_key(|&index| texts[index].len()) {
                Some(index) => {
                    found.push((at, index));
                    at += texts[index].len();
                }
                None => at += 1,
            }
        }
        found
    }

    /// Texts with zeros, which also pad short keys, and with long equal stretches.
    fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        let stretch =
            prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![1; 7]), Just(vec![0; 9]), Just(vec![254, 2])];
        prop::collection::vec(stretch, length).prop_map(|stretches| stretches.concat())
    }

    proptest! {
        #[test]
        fn the_longest_of_the_leftmost_is_found(
            texts in prop::collection::btree_set(bytes(1..7), 0..40),
            text in bytes(0..120),
        ) {
            let texts: Vec<Vec<u8>> = texts.into_iter().filter(|text| text.len() >= 2).collect();
            prop_assert_eq!(matches(&texts, &text), matches_by_definition(&texts, &text));
        }
    }
}
