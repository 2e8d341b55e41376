//! The texts by which an engine finds latents.

use crate::tokens::bytes::TokenBytes;
use crate::tokens::segments::Segments;

/// The distinct texts that an engine finds, each with the index of its latent, in order of their bytes.
///
/// A text that is no UTF-8 or shorter than two bytes is never found; of several latents with the same text,
/// the first is. All ids of the segments have an entry in `token_bytes`.
pub(super) fn found_texts(token_bytes: &TokenBytes, segments: &Segments) -> Vec<(Vec<u8>, u32)> {
    let text = |tokens: &[u32]| tokens.iter().flat_map(|&id| token_bytes.get(id)).copied().collect();
    let mut found: Vec<(Vec<u8>, u32)> = segments.iter().map(text).zip(0..).collect();
    found.retain(|(text, _)| text.len() >= 2 && str::from_utf8(text).is_ok());
    found.sort_unstable();
    found.dedup_by(|(later, _), (first, _)| later == first);
    found
}
