//! What changes the runs before the search: places where a segment may not continue.
//!
//! An engine gate cuts runs after texts that an engine splits at ([`text_cuts`]), or finds texts that would be read
//! across two speakers ([`turn_borders`]). An entropy gate cuts where a model is uncertain: a teacher, whose
//! entropies come with the tokens, or an n-gram model of the corpus itself ([`ngram_gate`]).

pub mod ngram;
pub mod ngram_gate;
mod quantile;
pub mod text_cuts;
pub mod turn_borders;
