//! The nodes of a trie of segments, level by level, so that the children of a node are neighbours.

use std::collections::VecDeque;

use crate::tokens::segments::Segments;

/// A node of a trie; nodes are numbered in the order in which they are visited.
pub(crate) struct TrieNode<'o> {
    /// Number of tokens of its string.
    pub(crate) depth: usize,
    /// The segments that begin with its string, by their indices.
    pub(crate) passing: &'o [u32],
    /// The first segment that ends here.
    pub(crate) segment: Option<u32>,
    /// The number of its parent; 0 for the nodes of the top.
    pub(crate) parent: u32,
    /// The number of its first child; its children end where those of the next node begin.
    pub(crate) children: u32,
}

/// The nodes from `top` on: groups of segments that begin with the same `depth` tokens. In a group, a segment comes
/// before those that are longer by some tokens, and those with the same next token are neighbours.
pub(crate) fn trie_nodes<'o>(
    segments: &'o Segments,
    top: impl IntoIterator<Item = &'o [u32]>,
    depth: usize,
) -> impl Iterator<Item = TrieNode<'o>> {
    let mut open: VecDeque<(&[u32], usize, u32)> =
        top.into_iter().map(|passing| (passing, depth, 0)).collect();
    let (mut numbered, mut visited) = (open.len() as u32, 0..);
    std::iter::from_fn(move || {
        let (passing, depth, parent) = open.pop_front()?;
        let (node, children) = (visited.next()?, numbered);
        let token_at = |&index: &u32| segments.get(index as usize).get(depth).copied();
        let ending = passing.iter().take_while(|index| token_at(index).is_none()).count();
        for below in passing[ending..].chunk_by(|one, other| token_at(one) == token_at(other)) {
            open.push_back((below, depth + 1, node));
            numbered += 1;
        }
        let segment = passing[..ending].first().copied();
        Some(TrieNode { depth, passing, segment, parent, children })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_nodes_are_the_beginnings_of_the_segments(
            list in prop::collection::vec(prop::collection::vec(0u32..3, 0..6), 0..30),
        ) {
            let segments: Segments = list.iter().map(Vec::as_slice).collect();
            let mut order: Vec<u32> = (0..list.len() as u32).collect();
            order.sort_by_key(|&index| &list[index as usize]);
            let nodes: Vec<TrieNode<'_>> = trie_nodes(&segments, [order.as_slice()], 0).collect();
            let string = |node: &TrieNode<'_>| match node.passing.first() {
                Some(&index) => list[index as usize][..node.depth].to_vec(),
                None => Vec::new(),
            };
            let strings: Vec<Vec<u32>> = nodes.iter().map(string).collect();
            let mut expected: Vec<Vec<u32>> = list
                .iter()
                .flat_map(|segment| (0..=segment.len()).map(|end| segment[..end].to_vec()))
                .chain([Vec::new()])
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            expected.sort_by_key(Vec::len);
            prop_assert_eq!(&strings, &expected);
            for (number, node) in nodes.iter().enumerate() {
                let first = list.iter().position(|segment| *segment == strings[number]);
                prop_assert_eq!(node.segment.map(|index| index as usize), first);
                let end = nodes.get(number + 1).map_or(nodes.len(), |next| next.children as usize);
                for child in node.children as usize..end {
                    prop_assert_eq!(nodes[child].parent as usize, number);
                    prop_assert_eq!(&strings[child][..node.depth], &strings[number][..]);
                    prop_assert_eq!(nodes[child].depth, node.depth + 1);
                }
            }
        }
    }
}
