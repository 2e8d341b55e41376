//! Mining, parsing, alignment and expansion of latent actions.
//!
//! An agent's trajectories are strings of *base tokens*. Segments that recur in them become *latents*:
//! new ids that each stand for one segment. The way of the data through this crate:
//!
//! ```text
//! token strings --runs--> distinct runs --trie--> candidates --select--> segments
//!      segments --vocabulary--> ids --parse--> units --align--> which unit faces which base position
//!                                              units --expand--> base tokens and text, streamed
//! ```
//!
//! The crate knows neither Python nor models, and of text only what the bytes of a token are ([`expand`]).
//! Candidates, their counts and supports, parses and expansions are exact; what selection estimates to choose among
//! candidates says so ([`select`]). Everything is deterministic for any number of threads and any order of the runs,
//! so that a corpus can be folded apart, on disk ([`spill`]) or over machines.

pub mod align;
pub mod boundary_audit;
pub mod branching;
pub mod candidates;
pub mod canonical;
pub mod error;
pub mod expand;
mod expansion_table;
mod marginals;
mod matching_table;
pub mod parse;
pub mod runs;
mod sample;
mod scale;
pub mod segments;
pub mod select;
pub mod spill;
pub mod stop_strings;
pub mod stream;
pub mod stream_batch;
mod text;
pub mod text_cuts;
mod text_matcher;
pub mod token_bytes;
pub mod trie;
pub mod vocabulary;
pub mod worth;

pub use error::{Error, Result};
pub use segments::Segments;
pub use vocabulary::Vocabulary;
