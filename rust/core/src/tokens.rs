//! Strings of token ids in flat arrays, and the bytes that a token stands for.

pub mod barriers;
pub mod bytes;
pub(crate) mod checks;
pub mod segments;
pub(crate) mod text_matcher;
