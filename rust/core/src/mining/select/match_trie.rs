//! The matching trie: which segments begin at a position, by their tokens.
//!
//! Mining counts by the token parse: from left to right, the longest of them (`parser`). What a model is trained on
//! and an engine reads is the canonical parse, which finds the same segments in text, see
//! [`served`](crate::vocabulary::served).

use crate::error::Result;
use crate::hash;
use crate::tokens::checks::check_tokens;
use crate::tokens::segments::Segments;
use crate::tokens::trie_nodes::trie_nodes;

/// Most tokens of all segments of a trie, which has at most as many nodes, numbered by 32 bits.
const MOST_TOKENS: usize = u32::MAX as usize - 1;

const NONE: u32 = u32::MAX;

/// A trie over segments of two or more tokens that finds those at a position.
///
/// The first two tokens are looked up in one step: most of the fan-out is there, and at most positions no
/// segment begins. Below them, the edges of a node are a sorted range of flat arrays. Nodes are numbered
/// so that an edge's number is its target's: edge `i` leads to node `i`.
#[derive(Debug, Clone, Default)]
pub struct MatchingTrie {
    /// Node of each two first tokens.
    pairs: PairIndex,
    /// Token on the edge that leads to each node.
    tokens: Vec<u32>,
    /// The segment that ends at each node, or NONE.
    segments: Vec<u32>,
    /// First child of each node; its children end where the next node's begin.
    children: Vec<u32>,
}

impl MatchingTrie {
    /// The trie of `segments`. Of equal segments the first is found; those of less than two tokens never are.
    ///
    /// # Errors
    /// If the segments hold more tokens than there can be nodes.
    pub fn new(segments: &Segments) -> Result<Self> {
        check_tokens(segments, MOST_TOKENS)?;
        Ok(MatchingTrie::of_few(segments))
    }

    /// The same for segments that are known to be few enough.
    pub(crate) fn of_few(segments: &Segments) -> Self {
        let mut order: Vec<u32> =
            (0..segments.len() as u32).filter(|&index| segments.get(index as usize).len() >= 2).collect();
        order.sort_by_key(|&index| segments.get(index as usize));
        let start = |&index: &u32| &segments.get(index as usize)[..2];
        let top: Vec<&[u32]> = order.chunk_by(|left, right| start(left) == start(right)).collect();
        let pairs =
            top.iter().zip(0..top.len() as u32).map(|(passing, node)| (pair(start(&passing[0])), node));
        let mut trie = MatchingTrie { pairs: PairIndex::new(pairs), ..MatchingTrie::default() };
        for node in trie_nodes(segments, top, 2) {
            trie.tokens.push(segments.get(node.passing[0] as usize)[node.depth - 1]);
            trie.segments.push(node.segment.unwrap_or(NONE));
            trie.children.push(node.children);
        }
        trie.children.push(trie.tokens.len() as u32);
        trie
    }

    /// Calls `visit` with the index and length of each segment that `tokens` begins with, the shortest first.
    #[inline]
    pub fn for_each_match(&self, tokens: &[u32], mut visit: impl FnMut(u32, usize)) {
        let &[first, second, ..] = tokens else { return };
        let mut node = self.pairs.get(pair(&[first, second]));
        let mut depth = 2;
        while node != NONE {
            let index = self.segments[node as usize];
            if index != NONE {
                visit(index, depth);
            }
            let Some(&token) = tokens.get(depth) else { break };
            node = self.child(node, token);
            depth += 1;
        }
    }

    #[inline]
    fn child(&self, node: u32, token: u32) -> u32 {
        let start = self.children[node as usize] as usize;
        let end = self.children[node as usize + 1] as usize;
        let edges = &self.tokens[start..end];
        let found = if edges.len() <= SCANNED {
            edges.iter().position(|&edge| edge == token)
        } else {
            edges.binary_search(&token).ok()
        };
        found.map_or(NONE, |index| (start + index) as u32)
    }
}

/// Edges up to which a scan is faster than a binary search.
const SCANNED: usize = 8;

/// A hash table from two tokens to a node: open addressing, at most half full.
#[derive(Debug, Clone, Default)]
struct PairIndex {
    entries: Vec<(u64, u32)>,
}

impl PairIndex {
    fn new(pairs: impl ExactSizeIterator<Item = (u64, u32)>) -> Self {
        let mut index = PairIndex { entries: vec![(0, NONE); (2 * pairs.len()).next_power_of_two()] };
        for (pair, node) in pairs {
            let slot = index.slot(pair);
            index.entries[slot] = (pair, node);
        }
        index
    }

    #[inline]
    fn get(&self, pair: u64) -> u32 {
        if self.entries.is_empty() { NONE } else { self.entries[self.slot(pair)].1 }
    }

    /// Where the pair is, or the free entry where it would be.
    #[inline]
    fn slot(&self, pair: u64) -> usize {
        let last = self.entries.len() - 1;
        let mut slot = hash::of_pair(pair) as usize & last;
        while self.entries[slot].0 != pair && self.entries[slot].1 != NONE {
            slot = (slot + 1) & last;
        }
        slot
    }
}

#[inline]
fn pair(tokens: &[u32]) -> u64 {
    u64::from(tokens[0]) << 32 | u64::from(tokens[1])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The units of the token parse, leftmost-longest: the index of each one's segment, or None for a token, and
    /// where it ends.
    pub(crate) fn token_parse(segments: &Segments, tokens: &[u32]) -> Vec<(Option<u32>, usize)> {
        let trie = MatchingTrie::of_few(segments);
        let (mut units, mut start) = (Vec::new(), 0);
        while start < tokens.len() {
            let mut unit = (None, start + 1);
            trie.for_each_match(&tokens[start..], |index, length| unit = (Some(index), start + length));
            units.push(unit);
            start = unit.1;
        }
        units
    }

    proptest! {
        #[test]
        fn each_segment_that_a_text_begins_with_is_found(
            segments in prop::collection::vec(prop::collection::vec(0u32..4, 0..6), 0..40),
            tokens in prop::collection::vec(0u32..4, 0..8),
        ) {
            let mut found = Vec::new();
            let list: Segments = segments.iter().map(Vec::as_slice).collect();
            MatchingTrie::of_few(&list).for_each_match(&tokens, |index, length| found.push((length, index)));
            let mut expected: Vec<(usize, u32)> = segments
                .iter()
                .zip(0..)
                .filter(|(segment, _)| segment.len() >= 2 && tokens.starts_with(segment))
                .map(|(segment, index)| (segment.len(), index))
                .collect();
            expected.sort_unstable();
            expected.dedup_by_key(|&mut (length, _)| length);
            prop_assert_eq!(found, expected);
        }
    }
}
