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
    let nodes = entries(levels, &places, &bases, array.len() as usize);
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
    /// For each place, a later one before which none is free; for a free place itself.
    ///
    /// The way to the next free place gets shorter when it is followed. Otherwise each search would read all places
    /// that were taken behind a gap that nothing fits: to place the nodes of 131,072 candidates took 2.2 s instead
    /// of 0.3 s (measured once, beside other work).
    next: Vec<u32>,
    /// Where the search for a place of several children begins.
    cursor: u32,
}

/// Places that are tried for the children of a node before new ones are added. With 64, the 220,142 nodes of real
/// candidates took 1,435,261 places instead of 339,506, and the array was not made faster.
const TRIED: usize = 1024;

impl DoubleArray {
    fn len(&self) -> u32 {
        self.next.len() as u32
    }

    fn take(&mut self, place: u32) {
        self.next.extend(self.len()..=place);
        self.next[place as usize] = place + 1;
    }

    fn is_free(&self, place: u32) -> bool {
        self.next.get(place as usize).is_none_or(|&next| next == place)
    }

    /// The first free place from `place` on, which may be behind the last one.
    fn free_from(&mut self, mut place: u32) -> u32 {
        while !self.is_free(place) {
            let next = self.next[place as usize];
            let further = self.next.get(next as usize).copied().unwrap_or(next);
            self.next[place as usize] = further;
            place = further;
        }
        place
    }

    /// A base at which all children with these ascending numbers have free places.
    fn base_for(&mut self, tokens: &[u32]) -> u32 {
        let several = tokens.len() > 1;
        let mut place = self.free_from(if several { self.cursor } else { 0 });
        let mut fits = self.fit(tokens, place);
        for _ in 1..TRIED {
            if fits {
                break;
            }
            place = self.free_from(place + 1);
            fits = self.fit(tokens, place);
        }
        if several && (!fits || place == self.len()) {
            self.cursor = place; // the few free places before it would be sought each time
        }
        let first = if fits { place } else { self.len() };
        first.wrapping_sub(tokens[0])
    }

    /// Whether all children have free places if the first one has this free place.
    fn fit(&self, tokens: &[u32], place: u32) -> bool {
        let base = place.wrapping_sub(tokens[0]);
        tokens[1..].iter().all(|&token| self.is_free(base.wrapping_add(token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::segments::Segments;

    #[test]
    fn children_that_are_far_apart_are_placed_in_time() {
        // Each fork leaves a gap. Reading all that is taken behind the first one for each fork takes minutes.
        let forks = 150_000;
        let mut segments = Segments::default();
        for fork in 1..=forks {
            segments.push(&[fork, 0]);
            segments.push(&[fork, 1 + fork * 7_919 % forks]);
        }
        let levels = Levels::new(&segments);
        let (mut places, _) = place_nodes(&levels);
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), levels.len());
    }
}
