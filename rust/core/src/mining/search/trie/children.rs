//! The children of the nodes on the path, and the depth-first order in which they are visited.

use crate::mining::search::flat_text::{END, Occurrence, Text};
use crate::mining::search::trie::prospects::Prospects;

/// A child of a node on the path: the range of its positions among the first token's, and its occurrences.
#[derive(Clone, Copy)]
pub(super) struct Child {
    pub(super) token: u32,
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) count: u64,
}

/// A node on the path whose children are being visited.
///
/// Levels are in a list and not on the stack: a run may be as long as a corpus, and a stack may be small.
#[derive(Clone, Copy)]
struct Level {
    /// Number of tokens of the node's string.
    depth: usize,
    /// The indices of its first child and of the child to visit next. Its last child is the last in the list.
    first: usize,
    next: usize,
}

/// The counts of one token that follows a node.
#[derive(Clone, Copy, Default)]
struct Follower {
    positions: u32,
    /// The place of its next position.
    cursor: u32,
    count: u64,
}

/// The cursor of a follower that is too rare; its positions are dropped.
const DROPPED: u32 = u32::MAX;

/// Finds the children of one node after another, with the same buffers, and visits them depth first.
pub(super) struct Children<'a> {
    prospects: Prospects<'a>,
    text: &'a Text<'a>,
    /// The children, still to be visited, of all nodes on the path.
    children: Vec<Child>,
    levels: Vec<Level>,
    followers: Vec<Follower>,
    /// The tokens that follow the node, in the order in which they were seen.
    seen: Vec<u32>,
    /// The token that follows at each position of the node.
    next: Vec<u32>,
    moved: Vec<u32>,
    keyed: Vec<u64>,
}

impl<'a> Children<'a> {
    pub(super) fn new(prospects: Prospects<'a>) -> Self {
        let text = prospects.text;
        Children {
            prospects,
            text,
            children: Vec::new(),
            levels: Vec::new(),
            followers: vec![Follower::default(); text.alphabet()],
            seen: Vec::new(),
            next: Vec::new(),
            moved: Vec::new(),
            keyed: Vec::new(),
        }
    }

    /// The next child of the deepest node that has one left, and that node's depth.
    pub(super) fn next_child(&mut self) -> Option<(Child, usize)> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(&child) = self.children.get(level.next) {
                level.next += 1;
                return Some((child, level.depth));
            }
            self.children.truncate(level.first);
            self.levels.pop();
        }
        None
    }

    /// Opens a level with the children of a node, to be visited next, and sorts the node's `positions` by them.
    ///
    /// The node's string has `depth` tokens and begins at `positions`, which ascend. `begin` is their place among
    /// the first token's positions.
    pub(super) fn find(&mut self, positions: &mut [u32], begin: usize, depth: usize) {
        let text = self.text;
        self.open_level(depth);
        if positions.len() <= text.scale().sorted {
            self.find_by_sorting(positions, begin, depth);
        } else {
            let next = |&position: &u32| text.token(position, depth);
            self.next.clear();
            self.next.extend(positions.iter().map(next));
            self.find_by_counting(positions, begin);
        }
    }

    /// The same for a first token, whose followers are known.
    pub(super) fn find_of_pairs(&mut self, positions: &mut [u32], pairs: &[Occurrence]) {
        self.open_level(1);
        self.next.clear();
        self.next.extend(pairs.iter().map(|pair| pair.next));
        self.find_by_counting(positions, 0);
    }

    fn open_level(&mut self, depth: usize) {
        let children = self.children.len();
        self.levels.push(Level { depth, first: children, next: children });
    }

    /// Sorts few `positions` by the token at `depth`, then by position, and stores the children of the node.
    /// `node` is the place of the node's positions among the first token's.
    fn find_by_sorting(&mut self, positions: &mut [u32], node: usize, depth: usize) {
        let text = self.text;
        let keyed = positions.iter().map(|&at| u64::from(text.token(at, depth)) << 32 | u64::from(at));
        self.keyed.clear();
        self.keyed.extend(keyed);
        self.keyed.sort_unstable();
        let mut begin = 0;
        for group in self.keyed.chunk_by(|one, other| one >> 32 == other >> 32) {
            let end = begin + group.len();
            for (position, &keyed) in positions[begin..end].iter_mut().zip(group) {
                *position = keyed as u32;
            }
            let token = (group[0] >> 32) as u32;
            if token != END {
                let count = positions[begin..end].iter().map(|&position| text.weight(position)).sum();
                self.children.push(Child { token, begin: node + begin, end: node + end, count });
            }
            begin = end;
        }
    }

    /// Moves the `positions` of each child that is frequent enough together, in their order. `next` holds the
    /// token that follows at each position. `node` is the place of the positions among the first token's.
    fn find_by_counting(&mut self, positions: &mut [u32], node: usize) {
        self.count_followers(positions);
        let room = self.make_room(node);
        self.moved.clear();
        self.moved.resize(room, 0);
        for (&token, &position) in self.next.iter().zip(&*positions) {
            let cursor = &mut self.followers[token as usize].cursor;
            if *cursor != DROPPED {
                self.moved[*cursor as usize] = position;
                *cursor += 1;
            }
        }
        positions[..room].copy_from_slice(&self.moved);
        for &token in &self.seen {
            self.followers[token as usize] = Follower::default();
        }
    }

    fn count_followers(&mut self, positions: &[u32]) {
        let text = self.text;
        self.seen.clear();
        let repeated = text.repeated(positions);
        for (index, &token) in self.next.iter().enumerate() {
            let follower = &mut self.followers[token as usize];
            if follower.positions == 0 {
                self.seen.push(token);
            }
            follower.positions += 1;
            follower.count += if index < repeated { text.weight(positions[index]) } else { text.fewest() };
        }
    }

    /// Stores the children among the followers and the places of their positions; returns how many positions
    /// stay.
    fn make_room(&mut self, node: usize) -> usize {
        let mut end = 0;
        for index in 0..self.seen.len() {
            let token = self.seen[index];
            let Follower { positions, count, .. } = self.followers[token as usize];
            let begin = end;
            let keeps = token != END && self.prospects.is_worth_growing(count);
            if keeps {
                end += positions as usize;
                self.children.push(Child { token, begin: node + begin, end: node + end, count });
            }
            self.followers[token as usize].cursor = if keeps { begin as u32 } else { DROPPED };
        }
        end
    }
}
