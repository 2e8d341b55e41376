//! Tokens that no segment may contain.

/// A set of token ids that no segment may contain.
#[derive(Debug, Clone, Default)]
pub struct Barriers {
    words: Vec<u64>,
}

impl Barriers {
    /// The set of the given ids.
    pub fn new(ids: &[u32]) -> Self {
        let mut words = vec![0; ids.iter().max().map_or(0, |&id| id as usize / 64 + 1)];
        for &id in ids {
            words[id as usize / 64] |= 1 << (id % 64);
        }
        Barriers { words }
    }

    /// Whether `id` is a barrier.
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }
}
