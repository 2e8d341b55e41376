//! The sizes at which the search for candidates changes its ways.

use crate::mining::runs::Room;

/// Sizes that decide how a text is searched, and so the time; what is found is the same with any.
///
/// Tests search small texts with small ones, to cross every border.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Positions up to which a node's children are found by sorting rather than by counting.
    pub(crate) sorted: usize,
    /// Most positions for which a look ahead is worth its price: the tokens there are in no cache yet.
    pub(crate) looked_ahead: usize,
    /// The text is gone through so many times, each time for a part of the first tokens: their occurrences are
    /// the largest thing in memory beside the text.
    pub(crate) batches: usize,
    /// Distinct tokens of the sample that the bound is guessed by.
    pub(crate) sampled_tokens: usize,
    /// So many bits of a position say where in its block it lies: a block has one entry of the index from
    /// positions to runs.
    pub(crate) block_bits: u32,
    /// How long a text may be.
    pub(crate) room: Room,
}

impl Default for Scale {
    fn default() -> Self {
        Scale {
            sorted: 96,
            looked_ahead: 32,
            batches: 2,
            sampled_tokens: 1 << 20,
            block_bits: 7,
            room: Room::SEARCHED,
        }
    }
}
