//! The trie of segments, level by level: the suffixes of a node's string come before the node.

use super::NONE;
use crate::mining::runs::frequency::{frequencies, numbered};
use crate::tokens::segments::Segments;

/// A trie whose nodes are numbered from the root, which is 0, by their depth. The children of a node are
/// neighbours, in the order of their tokens' numbers.
pub(super) struct Levels {
    numbers: Vec<u32>,
    /// The numbered token on the edge to each node; 0 for the root.
    tokens: Vec<u32>,
    parents: Vec<u32>,
    /// The first child of each node; its children end where those of the next begin.
    children: Vec<u32>,
    /// The first segment that ends at each node, or `NONE`.
    segments: Vec<u32>,
    /// For each node the one of its longest proper suffix.
    links: Vec<u32>,
}

impl Levels {
    pub(super) fn new(segments: &Segments) -> Self {
        let (_, numbers) = numbered(&frequencies(segments.tokens()));
        let order = sorted(segments, &numbers);
        let mut levels = Levels {
            numbers,
            tokens: vec![0],
            parents: vec![0],
            children: Vec::new(),
            segments: Vec::new(),
            links: Vec::new(),
        };
        levels.grow(segments, &order);
        levels.link();
        levels
    }

    /// Adds the nodes of each level below those of the level before.
    fn grow(&mut self, segments: &Segments, order: &[u32]) {
        // A node is the range of the order whose segments begin with its string.
        let mut level = vec![order];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for group in level {
                let node = self.children.len() as u32;
                self.children.push(self.tokens.len() as u32);
                let is_longer = |index: &&u32| segments.get(**index as usize).len() > depth;
                // Equal segments are in the order of their indices.
                let ending = group.iter().take_while(|index| !is_longer(index)).count();
                self.segments.push(if ending > 0 { group[0] } else { NONE });
                let longer = &group[ending..];
                let token_at = |&index: &u32| segments.get(index as usize)[depth];
                for below in longer.chunk_by(|one, other| token_at(one) == token_at(other)) {
                    self.tokens.push(self.numbers[token_at(&below[0]) as usize]);
                    self.parents.push(node);
                    next.push(below);
                }
            }
            level = next;
            depth += 1;
        }
        self.children.push(self.tokens.len() as u32);
    }

    /// Number of nodes, the root included.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The numbered tokens on the edges to the children of a node, and the first child.
    pub(super) fn children(&self, node: u32) -> (u32, &[u32]) {
        let (first, end) = (self.children[node as usize], self.children[node as usize + 1]);
        (first, &self.tokens[first as usize..end as usize])
    }

    /// The first segment that ends at a node.
    pub(super) fn segment(&self, node: usize) -> Option<u32> {
        Some(self.segments[node]).filter(|&segment| segment != NONE)
    }

    /// The number of each id; 0 for ids that are in no segment.
    pub(super) fn into_numbers(self) -> Vec<u32> {
        self.numbers
    }

    fn link(&mut self) {
        self.links = vec![0; self.len()];
        for node in 1..self.len() {
            let token = self.tokens[node];
            let mut suffix = self.parents[node];
            while suffix != 0 && self.links[node] == 0 {
                suffix = self.links[suffix as usize];
                self.links[node] = self.child(suffix, token).unwrap_or(0);
            }
        }
    }

    /// The node of a node's longest proper suffix.
    pub(super) fn suffix(&self, node: u32) -> u32 {
        self.links[node as usize]
    }

    /// For each node the one of its longest proper suffix that is a segment, or 0.
    pub(super) fn shorter(&self) -> Vec<u32> {
        let mut shorter = vec![0; self.len()];
        for node in 1..self.len() {
            let suffix = self.links[node] as usize;
            shorter[node] = if self.segments[suffix] != NONE { suffix as u32 } else { shorter[suffix] };
        }
        shorter
    }

    /// All nodes, each before the nodes below it, and these before the next of its parent's children.
    pub(super) fn downwards(&self) -> Vec<u32> {
        let (mut order, mut open) = (Vec::with_capacity(self.len()), vec![0]);
        while let Some(node) = open.pop() {
            order.push(node);
            let (first, tokens) = self.children(node);
            open.extend((first..first + tokens.len() as u32).rev());
        }
        order
    }

    fn child(&self, node: u32, token: u32) -> Option<u32> {
        let (first, tokens) = self.children(node);
        tokens.binary_search(&token).ok().map(|index| first + index as u32)
    }
}

/// The indices of the segments of two or more tokens, by their numbered tokens; equal ones by index.
fn sorted(segments: &Segments, numbers: &[u32]) -> Vec<u32> {
    let numbered = |index: u32| segments.get(index as usize).iter().map(|&id| numbers[id as usize]);
    let mut order: Vec<u32> =
        (0..segments.len() as u32).filter(|&index| segments.get(index as usize).len() >= 2).collect();
    order.sort_by(|&one, &other| numbered(one).cmp(numbered(other)));
    order
}
