//! The trie of segments, level by level: the suffixes of a node's string come before the node.

use super::NONE;
use crate::mining::runs::frequency::{frequencies, numbered};
use crate::tokens::segments::Segments;
use crate::tokens::trie_nodes::trie_nodes;

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
            tokens: Vec::new(),
            parents: Vec::new(),
            children: Vec::new(),
            segments: Vec::new(),
            links: Vec::new(),
        };
        for node in trie_nodes(segments, [order.as_slice()], 0) {
            let last = node.depth.checked_sub(1).map(|last| segments.get(node.passing[0] as usize)[last]);
            levels.tokens.push(last.map_or(0, |id| levels.numbers[id as usize]));
            levels.parents.push(node.parent);
            levels.children.push(node.children);
            levels.segments.push(node.segment.unwrap_or(NONE));
        }
        levels.children.push(levels.len() as u32);
        levels.link();
        levels
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
