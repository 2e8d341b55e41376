//! The places of a trie's nodes in a double array.

use super::levels::Levels;
use super::{FREE, Node, ROOT};

/// The place of each node, and the entries.
pub(super) fn place_nodes(levels: &Levels) -> (Vec<u32>, Vec<Node>) {
    let mut array = DoubleArray::default();
    let mut places = vec![ROOT; levels.len()];
    let mut bases = vec![0; levels.len()];
    array.take(ROOT);
    for node in parents(levels) {
        let (first, tokens) = levels.children(node);
        let base = if node == 0 { 0 } else { array.base_for(tokens) };
        bases[node as usize] = base;
        for (child, token) in (first..).zip(tokens) {
            places[child as usize] = base.wrapping_add(*token);
            array.take(places[child as usize]);
        }
    }
    let nodes = entries(levels, &places, &bases, array.len());
    (places, nodes)
}

/// The nodes with children, in the order in which these get their places.
///
/// Those with many children choose first, while there is room; those with one child then fill the gaps. The
/// latter come in the order of a walk down the trie, so that the nodes of a long segment are neighbours in
/// memory.
fn parents(levels: &Levels) -> Vec<u32> {
    let number = |node: &u32| levels.children(*node).1.len();
    let (several, single): (Vec<u32>, Vec<u32>) =
        levels.downwards().into_iter().skip(1).partition(|node| number(node) > 1);
    let mut order = several;
    order.sort_by_key(|node| std::cmp::Reverse(number(node)));
    order.extend(single.into_iter().filter(|node| number(node) == 1));
    // The root comes first, so that the place of each of its children is its token's number.
    order.insert(0, 0);
    order
}

fn entries(levels: &Levels, places: &[u32], bases: &[u32], size: usize) -> Vec<Node> {
    let mut nodes = vec![FREE; size];
    for (node, &place) in (0..).zip(places) {
        let (first, tokens) = levels.children(node);
        for &child in &places[first as usize..][..tokens.len()] {
            nodes[child as usize].parent = place;
        }
        // A suffix comes before the node, so its own entry is complete.
        let suffix = places[levels.suffix(node) as usize];
        let entry = if tokens.is_empty() {
            nodes[suffix as usize]
        } else {
            Node { growing: place, base: bases[node as usize], link: suffix, ..FREE }
        };
        nodes[place as usize] = Node { parent: nodes[place as usize].parent, ..entry };
    }
    nodes
}

/// Which places are taken.
#[derive(Default)]
struct DoubleArray {
    taken: Vec<bool>,
    /// All places before this one are taken.
    full: usize,
    /// Where the search for a place of several children begins.
    cursor: usize,
}

/// Places that are tried for the children of a node before new ones are added.
const TRIED: usize = 64;

impl DoubleArray {
    fn len(&self) -> usize {
        self.taken.len()
    }

    fn take(&mut self, place: u32) {
        let place = place as usize;
        if place >= self.taken.len() {
            self.taken.resize(place + 1, false);
        }
        self.taken[place] = true;
        while self.taken.get(self.full) == Some(&true) {
            self.full += 1;
        }
    }

    fn is_free(&self, place: u32) -> bool {
        self.taken.get(place as usize) != Some(&true)
    }

    /// A base at which all children with these ascending numbers have free places.
    fn base_for(&mut self, tokens: &[u32]) -> u32 {
        let several = tokens.len() > 1;
        let first_place = if several { self.cursor.max(self.full) } else { self.full };
        let mut tried = 0;
        for place in (first_place..self.taken.len()).filter(|&place| !self.taken[place]) {
            let base = (place as u32).wrapping_sub(tokens[0]);
            if tokens[1..].iter().all(|&token| self.is_free(base.wrapping_add(token))) {
                return base;
            }
            tried += 1;
            if tried == TRIED {
                self.cursor = place;
                break;
            }
        }
        if several && tried < TRIED {
            self.cursor = self.taken.len(); // the few free places before it would be sought each time
        }
        (self.taken.len() as u32).wrapping_sub(tokens[0])
    }
}
