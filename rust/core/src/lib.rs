//! Mining, parsing, alignment and expansion of latent actions.
//!
//! An agent's trajectories are sequences of *base tokens*. Segments that recur in them become *latents*:
//! new ids that each stand for one segment. The data flow of this crate:
//!
//! ```text
//! token strings --runs--> distinct runs --trie--> candidates --select--> segments
//!      text, segments --served--> units, and the base position of each (the canonical parse)
//!      token strings, segments --encode, align--> the same by token ids (the token parse)
//!      units --expand--> base tokens and text, streamed
//! ```
//!
//! - [`mining::runs`] folds trajectories into distinct runs of the agent's tokens, and [`mining::mine`] chooses
//!   the segments that save most.
//! - [`Vocabulary`] turns base tokens into *units*, which are base ids and latents, and back.
//! - [`stream`] turns units into text while a model writes them, up to a stop string or a budget.
//! - [`vocabulary::served`] computes the units that an engine finds in *text*, and [`vocabulary::guard`] keeps a
//!   model that samples to units that such an engine would find.
//! - [`chat_lines`] reads the plain lines of large chat logs into columns, before there are any tokens.
//!
//! From trajectories to streamed text, with a toy tokenizer whose 256 base ids are the bytes:
//!
//! ```
//! use std::sync::Arc;
//!
//! use lar_core::mining::search::limits::Limits;
//! use lar_core::mining::mine::{MiningOptions, Selection, mine};
//! use lar_core::mining::runs::parts::RunParts;
//! use lar_core::mining::runs::{RunFolder, Trajectories};
//! use lar_core::stream::expander::Expander;
//! use lar_core::stream::stop_strings::StopStrings;
//! use lar_core::stream::{Budget, Piece, Stream};
//! use lar_core::tokens::barriers::Barriers;
//! use lar_core::tokens::bytes::TokenBytes;
//! use lar_core::{Error, Vocabulary};
//!
//! # fn main() -> Result<(), Error> {
//! let ids = |text: &str| -> Vec<u32> { text.bytes().map(u32::from).collect() };
//!
//! // Two trajectories of two tasks, in which the agent wrote everything. No segment contains a newline.
//! let first = ids("get_user(17)\nget_order(4)\n");
//! let tokens = [first.clone(), ids("get_user(23)\nget_order(5)\n")].concat();
//! let part = Trajectories {
//!     tokens: &tokens,
//!     offsets: &[0, first.len(), tokens.len()],
//!     action: &vec![true; tokens.len()],
//!     continues: None,
//!     tasks: &[0, 1],
//! };
//! let mut folder = RunFolder::default();
//! folder.add(&part, &Barriers::new(&ids("\n"))?)?;
//! let runs = Arc::new(RunParts::from(folder.finish()));
//!
//! // Segments that both tasks contain.
//! let limits = Limits { min_count: 2, min_support: 2, max_length: 32, most: 100 };
//! let options = MiningOptions { size: 2, limits };
//! let token_bytes = TokenBytes::new((0..=255).collect(), (0..=256).collect())?;
//! let no_audit = |selection: &Selection| Ok::<_, Error>(vec![false; selection.len()]);
//! let selection = mine(&runs, Arc::clone(&runs), &token_bytes, &options, no_audit)?;
//!
//! // Fewer units for a text that was not mined, and exactly its tokens again.
//! let vocabulary = Arc::new(Vocabulary::new(256, selection.segments())?);
//! let text = "get_user(99)\nget_order(8)\n";
//! let units = vocabulary.encode(&ids(text))?;
//! assert!(units.len() < text.len() / 2);
//! assert_eq!(vocabulary.expand(&units)?, ids(text));
//!
//! // The same text as a stream.
//! let expander = Arc::new(Expander::new(vocabulary, token_bytes)?);
//! let mut stream = Stream::new(Arc::clone(&expander), Arc::new(StopStrings::default()), Budget::Unlimited);
//! let mut streamed = String::new();
//! for unit in units {
//!     match stream.push(unit)? {
//!         Piece::Own(unit) => streamed.push_str(expander.own_text(unit).unwrap_or_default()),
//!         Piece::Other(text) => streamed.push_str(&text),
//!     }
//! }
//! streamed.push_str(&stream.flush());
//! assert_eq!(streamed, text);
//! # Ok(())
//! # }
//! ```
//!
//! The crate is independent of Python and of models. Of the text it needs only the bytes of each token
//! ([`tokens::bytes`]). Counts of candidates, parses and expansions are exact. So are the supports of
//! candidates and which candidates are found, but for corpora of more than 16 M distinct tokens: these are
//! searched by a sample, and supports are counted up to 128 ([`mining::search`]). Selection
//! among candidates uses estimates ([`mining::select`]). All results are independent of the number of threads
//! and of the order of the runs, so parts of a corpus can be folded separately: on other machines, or in
//! memory that spills to disk ([`mining::runs::spill`]).
#![deny(rustdoc::broken_intra_doc_links)]

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

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
