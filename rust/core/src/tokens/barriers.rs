//! Tokens that no segment may contain.

use crate::error::Result;
use crate::tokens::IDS;
use crate::tokens::checks::check_ids;

/// A set of token ids that no segment may contain.
#[derive(Debug, Clone)]
pub struct Barriers {
    words: Vec<u64>,
    /// The least and the greatest id.
    bounds: (u32, u32),
}

impl Default for Barriers {
    fn default() -> Self {
        Barriers::of_small(&[])
    }
}

impl Barriers {
    /// The set of the given ids.
    ///
    /// # Errors
    /// If one is 2^26 or more: no run may hold it.
    pub fn new(ids: &[u32]) -> Result<Self> {
        check_ids(ids, 0, IDS)?;
        Ok(Barriers::of_small(ids))
    }

    /// The same for ids that are small enough.
    fn of_small(ids: &[u32]) -> Self {
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
    pub(crate) fn may_contain<const N: usize>(&self, ids: &[u32; N]) -> bool {
        let (least, greatest) = self.bounds;
        ids.iter().fold(false, |may, &id| may | (id >= least) & (id <= greatest))
    }

    /// Whether `id` is a barrier.
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn an_id_that_no_run_may_hold_is_refused() {
        assert!(Barriers::new(&[IDS - 1]).unwrap().contains(IDS - 1));
        let error = Barriers::new(&[1, u32::MAX]).unwrap_err();
        assert_eq!(error, Error::IdOutOfRange { id: u32::MAX, position: 1, size: IDS });
    }
}
