//! What a search for candidates is bounded by.

use crate::error::{Result, check_least};
use crate::mining::runs::Runs;

/// How frequent a segment must be, and how many to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Fewest occurrences.
    pub min_count: u64,
    /// Fewest distinct tasks.
    pub min_support: u32,
    /// Longest segment in tokens.
    pub max_length: usize,
    /// Most candidates: those that are expected to save most are found.
    pub most: usize,
}

impl Limits {
    /// Checks that something can be found within the limits.
    ///
    /// # Errors
    /// If one is below the least that has a meaning.
    pub fn check(&self) -> Result<()> {
        check_least("min_count", self.min_count, 1)?;
        check_least("min_support", self.min_support.into(), 1)?;
        check_least("max_length", self.max_length as u64, 2)?;
        check_least("most", self.most as u64, 1)
    }

    /// The same limits for a text: none of its segments is longer than its longest run.
    pub(crate) fn of(&self, runs: &Runs) -> Limits {
        let longest = runs.strings().iter().map(<[u32]>::len).max().unwrap_or(0);
        Limits { max_length: self.max_length.min(longest.max(2)), ..*self }
    }
}
