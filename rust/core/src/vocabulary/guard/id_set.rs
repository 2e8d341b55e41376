//! A set of ids that gives them in order.

/// Ids as bits: an insertion is one write, and the order costs no sort.
#[derive(Debug)]
pub(super) struct IdSet {
    words: Vec<u64>,
}

impl IdSet {
    /// An empty set for ids below `size`.
    pub(super) fn new(size: u32) -> Self {
        IdSet { words: vec![0; size.div_ceil(64) as usize] }
    }

    pub(super) fn extend(&mut self, ids: &[u32]) {
        for &id in ids {
            self.words[id as usize / 64] |= 1 << (id % 64);
        }
    }

    /// The ids in ascending order.
    pub(super) fn to_vec(&self) -> Vec<u32> {
        let mut ids = Vec::with_capacity(self.words.iter().map(|word| word.count_ones() as usize).sum());
        for (index, &word) in self.words.iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                ids.push(index as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        ids
    }
}
