//! Tokens that no segment may contain.

/// A set of token ids that no segment may contain.
#[derive(Debug, Clone)]
pub struct Barriers {
    words: Vec<u64>,
    /// The least and the greatest id.
    bounds: (u32, u32),
}

impl Default for Barriers {
    fn default() -> Self {
        Barriers::new(&[])
    }
}

impl Barriers {
    /// The set of the given ids.
    pub fn new(ids: &[u32]) -> Self {
        let mut words = vec![0; ids.iter().max().map_or(0, |&id| id as usize / 64 + 1)];
        for &id in ids {
            words[id as usize / 64] |= 1 << (id % 64);
        }
        let least = ids.iter().min().map_or(u32::MAX, |&id| id);
        Barriers { words, bounds: (least, ids.iter().max().map_or(0, |&id| id)) }
    }

    /// Whether some of the ids may be barriers; only `contains` gives a sure answer. All ids are compared at
    /// once: barriers are often adjacent ids, and other ids are outside.
    #[inline(always)]
    pub(crate) fn may_contain<const IDS: usize>(&self, ids: &[u32; IDS]) -> bool {
        let (least, greatest) = self.bounds;
        ids.iter().fold(false, |may, &id| may | (id >= least) & (id <= greatest))
    }

    /// Whether `id` is a barrier.
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }
}
