//! The token parse at memory speed: the matches of
//! [`MatchingTrie`](crate::mining::select::match_trie::MatchingTrie) in a layout for fast reading.
//!
//! A segment has at least two tokens, so the next two tokens decide whether a segment may begin at a
//! position. First, a [`PairFilter`] finds these positions in a block, for all of them at once and without a
//! branch. Only they are looked up in the [`MatchingTable`]; the tokens between them are copied. A
//! mispredicted branch costs more than a look-up, so the layout avoids branches: each node stores the unit of
//! a match that ends there, and finds a child with one comparison.
//!
//! Mining makes tries of up to 300,000 candidates; this table is made once for a vocabulary, and takes longer to
//! make.

use std::ops::Range;

use crate::hash;
use crate::tokens::segments::Segments;

/// Marks the absence of an id; vocabularies have fewer ids.
const NONE: u32 = u32::MAX;

/// Number of positions that are tested together: the bits of one word.
const BLOCK: usize = 64;

/// Number of tokens that are copied together. Most stretches between two segments are shorter. A copy of
/// fixed size is two instructions; any other is a call.
const COPIED: usize = 8;

/// Units that are written beyond those of a parse, at most.
pub(crate) const ROOM: usize = COPIED;

/// Number of tokens that a block may read and write, also beyond its end.
const REACH: usize = BLOCK + COPIED;

/// The segments of a vocabulary as a trie, each with the id of its latent.
#[derive(Debug, Clone)]
pub(crate) struct MatchingTable {
    openings: PairFilter,
    /// The nodes of two tokens, in a hash table with open addressing that is at most a quarter full.
    pairs: Vec<Pair>,
    /// The nodes of more tokens; the children of a node are adjacent.
    nodes: Vec<Node>,
}

/// A node of two tokens.
#[derive(Debug, Clone, Copy)]
struct Pair {
    tokens: u64,
    node: Node,
}

/// A sequence of tokens with which some segment begins.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The last token of the sequence.
    token: u32,
    /// The id of the longest segment that the sequence begins with; if there is none, the first token.
    unit: u32,
    /// Number of base tokens of `unit`.
    length: u32,
    /// Index of the first child's slot.
    children: u32,
    /// Shift that turns a token's hash into its slot among the children.
    shift: u8,
    /// Whether a child of this slot is in a later slot.
    crowded: bool,
}

/// An empty slot. Leaves have it as their only child, at index 0.
const ABSENT: Node = Node { token: NONE, unit: NONE, length: 0, children: 0, shift: 32, crowded: false };
const NO_PAIR: Pair = Pair { tokens: u64::MAX, node: ABSENT };

impl MatchingTable {
    /// The table of distinct segments of two or more tokens; segment `i` becomes id `first_id + i`.
    pub(crate) fn new(first_id: u32, segments: &Segments) -> Self {
        let mut order: Vec<(&[u32], u32)> = segments.iter().zip(first_id..).collect();
        order.sort_unstable();
        TableBuilder { table: MatchingTable::empty(order.len()) }.build(&order)
    }

    fn empty(segments: usize) -> Self {
        let pairs = vec![NO_PAIR; (4 * segments).next_power_of_two()];
        MatchingTable { openings: PairFilter::new(), pairs, nodes: vec![ABSENT] }
    }

    /// Appends the units of the token parse of `tokens[range]` to `output`, which has room for as many
    /// units as `tokens` has from the start of the range, or for [`ROOM`] more than the range has. Tokens after
    /// the range have no effect.
    pub(crate) fn parse<S: Starts>(
        &self,
        tokens: &[u32],
        range: Range<usize>,
        output: &mut UnitWriter<'_, S>,
    ) {
        let Range { start: mut position, end } = range;
        while position < end {
            let Some(block) = tokens[position..].first_chunk() else {
                return self.parse_rest(&tokens[..end], position, output);
            };
            let rest = &tokens[position..end];
            position += match rest.len() {
                // A constant here lets the compiler optimize the loop.
                BLOCK.. => self.parse_block(block, rest, BLOCK, position, output),
                positions => self.parse_block(block, rest, positions, position, output),
            };
        }
    }

    /// Parses the tokens from `position` on, which are too few for reading and writing beyond them.
    fn parse_rest<S: Starts>(&self, tokens: &[u32], mut position: usize, output: &mut UnitWriter<'_, S>) {
        while position < tokens.len() {
            let (unit, length) = self.longest_match(&tokens[position..]);
            output.push(unit, position);
            position += length;
        }
    }

    /// Parses the units that begin at the first `positions` tokens; returns their number of tokens.
    ///
    /// `block` is the beginning of `tokens`, possibly with further readable tokens; both begin at base
    /// position `base`.
    #[inline(always)]
    fn parse_block<S: Starts>(
        &self,
        block: &[u32; REACH],
        tokens: &[u32],
        positions: usize,
        base: usize,
        output: &mut UnitWriter<'_, S>,
    ) -> usize {
        let mut openings = self.openings.of(block, positions);
        let mut position = 0;
        while openings != 0 {
            let start = openings.trailing_zeros() as usize;
            output.copy(block, position..start, base);
            let (unit, length) = self.longest_match(&tokens[start..]);
            output.push(unit, base + start);
            position = start + length;
            if position >= positions {
                return position;
            }
            openings = openings >> position << position;
        }
        output.copy(block, position..positions, base);
        positions
    }

    /// The first unit of `tokens`, and its length.
    #[inline(always)]
    fn longest_match(&self, tokens: &[u32]) -> (u32, usize) {
        let &[first, second, ref rest @ ..] = tokens else { return (tokens[0], 1) };
        let Some(mut node) = self.pair_node(pair(first, second)) else { return (first, 1) };
        for &token in rest {
            match self.child(node, token) {
                Some(child) => node = child,
                None => break,
            }
        }
        (node.unit, node.length as usize)
    }

    #[inline]
    fn pair_node(&self, tokens: u64) -> Option<&Node> {
        let found = self.pairs.get(self.pair_slot(tokens))?;
        (found.tokens == tokens).then_some(&found.node)
    }

    /// The slot of a pair, or the empty slot for it.
    #[inline]
    fn pair_slot(&self, tokens: u64) -> usize {
        let last = self.pairs.len() - 1;
        let mut slot = hash::of_pair(tokens) as usize & last;
        while self.pairs[slot].tokens != tokens && self.pairs[slot].tokens != NO_PAIR.tokens {
            slot = (slot + 1) & last;
        }
        slot
    }

    #[inline]
    fn child(&self, node: &Node, token: u32) -> Option<&Node> {
        let mut place = node.place_of(token);
        loop {
            let child = self.nodes.get(place)?;
            if child.token == token {
                return Some(child);
            }
            if !child.crowded {
                return None;
            }
            place += 1;
        }
    }
}

impl Node {
    #[inline]
    fn place_of(&self, token: u32) -> usize {
        self.children as usize + (u64::from(hash::of_word(token)) >> self.shift) as usize
    }
}

/// Builds a table, with parents before their children.
struct TableBuilder {
    table: MatchingTable,
}

/// Segments in order with their ids, which all begin with the same tokens.
type Passing<'a> = &'a [(&'a [u32], u32)];

impl TableBuilder {
    fn build(mut self, order: Passing<'_>) -> MatchingTable {
        // The nodes of pairs are moved into their hash table last.
        let mut pairs = Vec::new();
        let mut open = Vec::new();
        for passing in order.chunk_by(|(left, _), (right, _)| left[..2] == right[..2]) {
            let segment = passing[0].0;
            let node = Node { token: segment[1], unit: segment[0], length: 1, ..ABSENT };
            pairs.push((pair(segment[0], segment[1]), self.table.nodes.len()));
            open.push((self.table.nodes.len(), passing, 2));
            self.table.nodes.push(node);
        }
        while let Some((node, passing, depth)) = open.pop() {
            let longer = self.end_segment(node, passing, depth);
            self.add_children(node, longer, depth);
            for passing in children_of(longer, depth) {
                open.push((self.child_of(node, passing, depth), passing, depth + 1));
            }
        }
        for (tokens, node) in pairs {
            self.add_pair(tokens, self.table.nodes[node]);
        }
        self.table
    }

    fn add_pair(&mut self, tokens: u64, node: Node) {
        let slot = self.table.pair_slot(tokens);
        self.table.pairs[slot] = Pair { tokens, node };
        self.table.openings.insert(tokens);
    }

    /// Stores the segment that ends at a node of `depth` tokens, if there is one; returns the longer ones.
    fn end_segment<'a>(&mut self, node: usize, passing: Passing<'a>, depth: usize) -> Passing<'a> {
        match passing.split_first() {
            Some((&(segment, id), longer)) if segment.len() == depth => {
                self.table.nodes[node].unit = id;
                self.table.nodes[node].length = depth as u32;
                longer
            }
            _ => passing,
        }
    }

    /// Reserves slots for a node's children and fills them; a leaf needs none.
    fn add_children(&mut self, node: usize, longer: Passing<'_>, depth: usize) {
        if longer.is_empty() {
            return;
        }
        let tokens: Vec<u32> = children_of(longer, depth).map(|passing| passing[0].0[depth]).collect();
        let parent = &mut self.table.nodes[node];
        parent.shift = children_shift(&tokens);
        let Node { unit, length, .. } = *parent;
        let size = 1usize << (32 - parent.shift);
        let children = self.table.nodes.len();
        self.table.nodes[node].children = children as u32;
        self.table.nodes.resize(children + size, ABSENT);
        for token in tokens {
            self.place_child(node, Node { token, unit, length, ..ABSENT });
        }
    }

    /// Puts a child into its slot, or into the next free one, which may be appended.
    fn place_child(&mut self, node: usize, child: Node) {
        let mut place = self.table.nodes[node].place_of(child.token);
        while let Some(taken) = self.table.nodes.get_mut(place).filter(|node| node.token != NONE) {
            taken.crowded = true;
            place += 1;
        }
        if place == self.table.nodes.len() {
            self.table.nodes.push(ABSENT);
        }
        self.table.nodes[place] = child;
    }

    fn child_of(&self, node: usize, passing: Passing<'_>, depth: usize) -> usize {
        let nodes = &self.table.nodes;
        let token = passing[0].0[depth];
        (nodes[node].place_of(token)..).find(|&place| nodes[place].token == token).unwrap_or(0)
    }
}

/// The segments grouped by their token after the first `depth`.
fn children_of(longer: Passing<'_>, depth: usize) -> impl Iterator<Item = Passing<'_>> {
    longer.chunk_by(move |(left, _), (right, _)| left[depth] == right[depth])
}

/// The shift that gives each child its own slot among few; if there is none, one with many slots.
fn children_shift(tokens: &[u32]) -> u8 {
    let enough = 32 - tokens.len().next_power_of_two().trailing_zeros() as u8;
    let roomiest = enough.saturating_sub(4);
    (roomiest..=enough).rev().find(|&shift| are_apart(tokens, shift)).unwrap_or(roomiest)
}

fn are_apart(tokens: &[u32], shift: u8) -> bool {
    let mut places: Vec<u64> = tokens.iter().map(|&token| u64::from(hash::of_word(token)) >> shift).collect();
    places.sort_unstable();
    places.windows(2).all(|pair| pair[0] != pair[1])
}

/// Writes units into an array, one after the other.
pub(crate) struct UnitWriter<'a, S> {
    pub(crate) units: &'a mut [u32],
    /// Number of units.
    pub(crate) written: usize,
    /// The base position of each unit; as long as `units`, or longer.
    pub(crate) starts: S,
}

impl<S: Starts> UnitWriter<'_, S> {
    /// Appends a unit that begins at base position `start`.
    #[inline(always)]
    fn push(&mut self, unit: u32, start: usize) {
        self.units[self.written] = unit;
        self.starts.write::<1>(self.written, start);
        self.written += 1;
    }

    /// Appends the tokens `block[stretch]`, at most a block, as units; the block begins at base position
    /// `base`. May write beyond the appended units; those are overwritten later.
    #[inline(always)]
    fn copy(&mut self, block: &[u32; REACH], stretch: Range<usize>, base: usize) {
        let (mut from, mut to) = (stretch.start, self.written);
        loop {
            self.units[to..to + COPIED].copy_from_slice(&block[from..from + COPIED]);
            self.starts.write::<COPIED>(to, base + from);
            (from, to) = (from + COPIED, to + COPIED);
            if from >= stretch.end {
                break;
            }
        }
        self.written += stretch.len();
    }
}

/// A destination for the base positions of units; `()` discards them.
///
/// Writing them during the parse, while it waits for look-ups, costs less than a second pass. Writing the
/// action mask here too, with a check of each match for a change of speaker, was not faster than a parse for
/// each stretch of one speaker.
pub(crate) trait Starts {
    /// Sets the base positions of the `N` units from `unit` on to `start`, `start + 1`, and so on.
    fn write<const N: usize>(&mut self, unit: usize, start: usize);
}

impl Starts for () {
    #[inline(always)]
    fn write<const N: usize>(&mut self, _: usize, _: usize) {}
}

impl Starts for &mut [i64] {
    #[inline(always)]
    fn write<const N: usize>(&mut self, unit: usize, start: usize) {
        let starts: [i64; N] = std::array::from_fn(|i| (start + i) as i64);
        self[unit..unit + N].copy_from_slice(&starts);
    }
}

/// The pairs of tokens that may begin a segment, as flags by hash.
///
/// A flag is a byte, because a bit would need a shift. The table has 32 KiB, of which a text mostly reads a
/// small part.
#[derive(Debug, Clone)]
struct PairFilter {
    begins: Box<[u8; PairFilter::SIZE]>,
}

impl PairFilter {
    /// A constant, so that the compiler removes bounds checks.
    const SIZE: usize = 1 << 15;

    fn new() -> Self {
        PairFilter { begins: Box::new([0; Self::SIZE]) }
    }

    #[inline(always)]
    fn place(tokens: u64) -> usize {
        (hash::of_pair(tokens) >> 17) as usize
    }

    fn insert(&mut self, tokens: u64) {
        self.begins[Self::place(tokens)] = 1;
    }

    /// A bit for each of the first `positions` whose pair may begin a segment; the lowest bit is the first
    /// position.
    #[inline(always)]
    fn of(&self, block: &[u32; REACH], positions: usize) -> u64 {
        let mut openings = 0;
        for octet in 0..positions.div_ceil(8) {
            let tokens: &[u32; 9] = block[8 * octet..].first_chunk().unwrap_or(&[NONE; 9]);
            let begins = |i: usize| u64::from(self.begins[Self::place(pair(tokens[i], tokens[i + 1]))]) << i;
            let bits = (0..8).fold(0, |bits, i| bits | begins(i));
            openings |= bits << (8 * octet);
        }
        openings & (u64::MAX >> (BLOCK - positions))
    }
}

#[inline(always)]
fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::select::match_trie::tests::token_parse;
    use proptest::prelude::*;

    /// The parse by the trie of mining.
    fn parse_by_trie(segments: &Segments, tokens: &[u32]) -> Vec<u32> {
        let unit =
            |(index, end): (Option<u32>, usize)| index.map_or(tokens[end - 1], |index| 1_000_000 + index);
        token_parse(segments, tokens).into_iter().map(unit).collect()
    }

    fn parse(segments: &Segments, tokens: &[u32], end: usize) -> Vec<u32> {
        let mut units = vec![0; tokens.len()];
        let mut output = UnitWriter { units: &mut units, written: 0, starts: () };
        MatchingTable::new(1_000_000, segments).parse(tokens, 0..end, &mut output);
        let written = output.written;
        units.truncate(written);
        units
    }

    #[test]
    fn a_thousand_children_of_one_node_are_found() {
        // So many children share slots.
        let segments: Segments =
            (0..1000).map(|token| vec![7, 7, token]).collect::<Vec<_>>().iter().map(Vec::as_slice).collect();
        let tokens: Vec<u32> = (0..1100).flat_map(|token| [7, 7, token]).collect();
        assert_eq!(parse(&segments, &tokens, tokens.len()), parse_by_trie(&segments, &tokens));
    }

    #[test]
    fn a_segment_longer_than_a_block_is_found() {
        let long: Vec<u32> = (0..200).collect();
        let segments: Segments = [&long[..], &long[..150], &long[10..90]].into_iter().collect();
        for end in [0, 1, 89, 90, 149, 150, 199, 200] {
            let tokens = [&long[..end], &long, &long[5..end.max(5)], &long].concat();
            assert_eq!(parse(&segments, &tokens, tokens.len()), parse_by_trie(&segments, &tokens));
        }
    }

    proptest! {
        #[test]
        fn the_table_finds_what_the_trie_finds(
            segments in prop::collection::btree_set(prop::collection::vec(0u32..5, 2..9), 0..60),
            tokens in prop::collection::vec(prop_oneof![9 => 0u32..5, 1 => 0u32..1_000_000], 0..400),
            end in 0usize..400,
        ) {
            let segments: Segments = segments.iter().map(Vec::as_slice).collect();
            let end = end.min(tokens.len());
            prop_assert_eq!(parse(&segments, &tokens, end), parse_by_trie(&segments, &tokens[..end]));
        }
    }
}
