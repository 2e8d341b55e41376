//! The sizes at which the search for candidates changes its method.

use crate::mining::runs::Room;

/// Sizes that control how a text is searched, and so the time. The result does not depend on them.
///
/// Tests use small sizes, so that small texts exceed each of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Positions up to which a node's children are found by sorting rather than by counting.
    pub(crate) sorted: usize,
    /// Most positions for which tokens are read ahead, before they are in a cache.
    pub(crate) looked_ahead: usize,
    /// Passes over the text, each for a part of the first tokens. Their occurrences take the most memory
    /// after the text itself.
    pub(crate) batches: usize,
    /// Distinct tokens of the sample from which the bound is estimated.
    pub(crate) sampled_tokens: usize,
    /// Bits of a position within its block. The index from positions to runs has one entry for each block.
    pub(crate) block_bits: u32,
    /// Most positions of a text.
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
