//! Sequences of token ids in flat arrays, and the bytes of each token.

pub mod barriers;
pub mod bytes;
pub(crate) mod checks;
pub mod segments;
pub(crate) mod sorted;
pub(crate) mod text_matcher;
pub(crate) mod trie_nodes;

/// Ids that runs and barriers may hold, many more than any tokenizer has. Tables are as long as the largest id, so one
/// of a damaged file would ask for more memory than there is. (The largest of 32 bits is no id in any case: the core
/// uses it for the end of a run and for "none".)
pub(crate) const IDS: u32 = 1 << 26;
