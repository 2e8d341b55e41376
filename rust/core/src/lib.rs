//! Mining, parsing, alignment and expansion of latent actions.
//!
//! An agent's trajectories are strings of *base tokens*. Segments that recur in them become *latents*:
//! new ids that each stand for one segment. The flow of data through this crate:
//!
//! ```text
//! token strings --runs--> distinct runs --trie--> candidates --select--> segments
//!      segments --vocabulary--> ids --parse--> units --align--> which unit faces which base position
//!                                              units --expand--> base tokens and text, streamed
//! ```
//!
//! The crate knows neither Python nor models, and of text only what the bytes of a token are ([`tokens::bytes`]).
//! Candidates, their counts and supports, parses and expansions are exact; what selection estimates to choose among
//! candidates says so ([`mining::select`]). Everything is deterministic for any number of threads and any order of the runs,
//! so that a corpus can be folded apart, on disk ([`mining::spill`]) or over machines.

pub mod error;
mod hash;
pub mod mining;
pub mod stream;
pub mod tokens;
pub mod vocabulary;

pub use error::{Error, Result};
pub use tokens::segments::Segments;
pub use vocabulary::Vocabulary;
