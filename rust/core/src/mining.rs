//! From the runs of a corpus to the segments that become latents.
//!
//! ```text
//! tokens --runs--> distinct runs --gates--> cut runs --search--> candidates --select--> segments
//! ```
//!
//! Each module uses those to its left only; [`mine`] calls all of them.

pub mod gates;
pub mod mine;
pub mod runs;
pub mod search;
pub mod select;
