//! From the runs of a corpus to the segments that become latents.
//!
//! ```text
//! tokens --runs--> distinct runs --trie--> candidates --select--> segments
//! ```

mod automaton;
pub mod candidates;
mod counting;
mod flat_text;
mod frequency;
pub mod limits;
mod marginals;
pub mod match_trie;
mod matches;
pub mod mine;
pub mod ngram;
pub mod ngram_gate;
pub mod occurrences;
mod parser;
pub mod parts;
mod quantile;
pub mod runs;
mod sample;
mod scale;
pub mod search;
pub mod select;
mod shares;
pub mod spill;
pub mod text_cuts;
pub mod trie;
pub mod turn_borders;
pub mod worth;
