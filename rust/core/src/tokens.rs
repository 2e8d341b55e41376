//! Sequences of token ids in flat arrays, and the bytes of each token.

pub mod barriers;
pub mod bytes;
pub(crate) mod checks;
pub mod segments;
pub(crate) mod sorted;
pub(crate) mod text_matcher;
