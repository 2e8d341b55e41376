//! What a search for candidates is bounded by.

use crate::error::{Result, check_least, check_most};
use crate::mining::runs::Runs;

/// The largest `max_length`. One token that repeats makes a candidate of each length, and selection takes time
/// that grows with its third power: about a second for these.
pub const MOST_LENGTH: usize = 1024;

/// How frequent a segment must be, and how many to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Fewest occurrences.
    pub min_count: u64,
    /// Fewest distinct tasks.
    pub min_support: u32,
    /// Longest segment in tokens, at most [`MOST_LENGTH`].
    pub max_length: usize,
    /// Most candidates: those that are expected to save most are found.
    pub most: usize,
}

impl Limits {
    /// Checks that something can be found within the limits.
    ///
    /// # Errors
    /// If one is below the least that has a meaning, or segments could be too long.
    pub fn check(&self) -> Result<()> {
        check_least("min_count", self.min_count, 1)?;
        check_least("min_support", self.min_support.into(), 1)?;
        check_least("max_length", self.max_length as u64, 2)?;
        check_most("max_length", self.max_length as u64, MOST_LENGTH as u64)?;
        check_least("most", self.most as u64, 1)
    }

    /// The same limits for a text: none of its segments is longer than its longest run.
    pub(crate) fn of(&self, runs: &Runs) -> Limits {
        let longest = runs.strings().iter().map(<[u32]>::len).max().unwrap_or(0);
        Limits { max_length: self.max_length.min(longest.max(2)), ..*self }
    }
}
