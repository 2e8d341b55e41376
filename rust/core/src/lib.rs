//! Mining, parsing, alignment and expansion of latent actions.
//!
//! An agent's trajectories are sequences of *base tokens*. Segments that recur in them become *latents*:
//! new ids that each stand for one segment. The data flow of this crate:
//!
//! ```text
//! token strings --runs--> distinct runs --trie--> candidates --select--> segments
//!      segments --vocabulary--> ids --parse--> units --align--> the base position of each unit
//!                                              units --expand--> base tokens and text, streamed
//! ```
//!
//! Before all that, [`chat_lines`] makes columns of the plain lines of large logs.
//!
//! The crate is independent of Python and of models, and needs of text only the bytes of each token
//! ([`tokens::bytes`]). Candidates, their counts and supports, parses and expansions are exact. Selection
//! among candidates uses estimates ([`mining::select`]). All results are independent of the number of threads
//! and of the order of the runs, so parts of a corpus can be folded separately, on disk ([`mining::spill`])
//! or on machines.

pub mod chat_lines;
pub mod error;
mod hash;
pub mod mining;
pub mod stream;
pub mod tokens;
pub mod vocabulary;

pub use error::{Error, Result};
pub use tokens::segments::Segments;
pub use vocabulary::Vocabulary;
