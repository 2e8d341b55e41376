//! An automaton that finds all occurrences of many segments in one pass over a text (Aho and Corasick,
//! Efficient string matching, 1975).
//!
//! Its states are the nodes of the segments' trie. After each token, the state is the longest string of the
//! trie that the text ends with. If no edge of that state has the next token, the state's *link* is tried: the
//! longest proper suffix of its string that is in the trie too. So a text of n tokens takes at most 2 n steps.
//!
//! The nodes lie in a double array (Aoe, An efficient digital search algorithm by using a double-array
//! structure, 1989): the child of a node by token t is at the place `base` + t, if the entry there names the
//! node as its parent. One read decides whether there is such a child, and has all that is needed of it.

mod double_array;
mod levels;

use crate::error::Result;
use crate::tokens::IDS;
use crate::tokens::checks::{check_ids, check_tokens};
use crate::tokens::segments::Segments;

use double_array::place_nodes;
use levels::Levels;

/// The place of the empty string, and the state before the first token.
pub(crate) const ROOT: u32 = 0;

/// The parent of the root and of free entries.
const NONE: u32 = u32::MAX;

/// Most tokens of all segments: with free entries between them, the places have 32 bits.
const MOST_TOKENS: usize = 1 << 30;

/// Texts that are read in turns, so that the waits for memory of one overlap with those of the others.
const LANES: usize = 8;

/// An entry of the double array.
#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    /// The longest suffix in the trie that has children: the node itself, unless it is a leaf.
    growing: u32,
    /// The base of `growing`.
    base: u32,
    /// The longest proper suffix of `growing` in the trie.
    link: u32,
}

const FREE: Node = Node { parent: NONE, growing: ROOT, base: 0, link: ROOT };

/// What ends at a place.
#[derive(Debug, Clone, Copy)]
struct End {
    /// The segment, or `NONE`.
    segment: u32,
    /// The place of the longest proper suffix that is a segment, or the root.
    shorter: u32,
}

/// The automaton of a list of segments.
pub(crate) struct Automaton {
    /// The number of each id, from 1 by descending frequency in the trie; 0 for ids that are in no segment.
    numbers: Vec<u32>,
    nodes: Vec<Node>,
    ends: Vec<End>,
    /// The places of all nodes but the root, each after those of its suffixes.
    order: Vec<u32>,
    /// Number of segments.
    segments: usize,
}

impl Automaton {
    /// The automaton of `segments`, which may be in any order. Of equal ones only the first is searched, and
    /// none of less than two tokens.
    ///
    /// # Errors
    /// If the segments hold more tokens than there can be places, or an id that no run can have.
    pub(crate) fn new(segments: &Segments) -> Result<Self> {
        check_tokens(segments, MOST_TOKENS)?;
        check_ids(segments.tokens(), 0, IDS)?;
        let levels = Levels::new(segments);
        let (places, nodes) = place_nodes(&levels);
        let mut ends = vec![End { segment: NONE, shorter: ROOT }; nodes.len()];
        for (node, shorter) in levels.shorter().into_iter().enumerate() {
            let segment = levels.segment(node).unwrap_or(NONE);
            ends[places[node] as usize] = End { segment, shorter: places[shorter as usize] };
        }
        let order = places[1..].to_vec();
        Ok(Automaton { numbers: levels.into_numbers(), nodes, ends, order, segments: segments.len() })
    }

    /// One more than the largest place.
    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Number of segments, with those that are not searched.
    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// The segment that ends at a place.
    #[inline]
    pub(crate) fn segment(&self, place: u32) -> Option<usize> {
        let segment = self.ends[place as usize].segment;
        (segment != NONE).then_some(segment as usize)
    }

    /// The place of the longest proper suffix of a node's string that is a segment, or the root.
    #[inline]
    pub(crate) fn shorter(&self, place: u32) -> u32 {
        self.ends[place as usize].shorter
    }

    /// The occurrences of each segment, from the number of times that each state was reached: each is an
    /// occurrence of all suffixes too.
    pub(crate) fn occurrences(&self, mut reached: Vec<u64>) -> Vec<u64> {
        let mut occurrences = vec![0; self.segments];
        for &place in self.order.iter().rev() {
            reached[self.shorter(place) as usize] += reached[place as usize];
            if let Some(segment) = self.segment(place) {
                occurrences[segment] = reached[place as usize];
            }
        }
        occurrences
    }

    /// Stores the states after each token of `texts`, end to end; `states` is as long as all of them.
    pub(crate) fn walk<'t>(&self, texts: impl Iterator<Item = &'t [u32]>, states: &mut [u32]) {
        let mut start = 0;
        let mut begun = texts.filter(|text| !text.is_empty()).map(|text| {
            let lane = Lane { text, at: 0, start, state: ROOT };
            start += text.len();
            lane
        });
        let mut lanes: Vec<Lane<'_>> = begun.by_ref().take(LANES).collect();
        while !lanes.is_empty() {
            let mut place = 0;
            while place < lanes.len() {
                let lane = &mut lanes[place];
                self.step(lane, states);
                if lane.at < lane.text.len() {
                    place += 1;
                } else if let Some(next) = begun.next() {
                    *lane = next;
                    place += 1;
                } else {
                    lanes.swap_remove(place);
                }
            }
        }
    }

    /// Tries one edge: the state gets longer by the next token, or shorter. No branch depends on which, since
    /// it could not be predicted.
    #[inline(always)]
    fn step(&self, lane: &mut Lane<'_>, states: &mut [u32]) {
        let id = lane.text[lane.at] as usize;
        let number = self.numbers.get(id).copied().unwrap_or(0);
        let node = self.nodes[lane.state as usize];
        let place = node.base.wrapping_add(number);
        let parent = self.nodes.get(place as usize).map_or(NONE, |child| child.parent);
        let is_edge = parent == node.growing;
        let is_done = is_edge | (node.growing == ROOT) | (number == 0);
        let shorter = if number == 0 { ROOT } else { node.link };
        lane.state = if is_edge { place } else { shorter };
        states[lane.start + lane.at] = lane.state;
        lane.at += usize::from(is_done);
    }
}

/// A text that is being read.
struct Lane<'t> {
    text: &'t [u32],
    at: usize,
    /// The place of its first state.
    start: usize,
    state: u32,
}
