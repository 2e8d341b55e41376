//! A vocabulary with the bytes of its ids: units in, text out.
//!
//! All requests share one immutable [`Expander`]; each request has a [`Stream`](crate::stream::Stream).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::check_length;
use crate::vocabulary::Vocabulary;

/// A vocabulary together with the bytes of each of its ids.
#[derive(Debug, Clone)]
pub struct Expander {
    vocabulary: Arc<Vocabulary>,
    bytes: Vec<u8>,
    /// The start of the bytes of each id, base ids first, then latents; and the end of the last.
    offsets: Vec<usize>,
    /// Whether the bytes of each id are whole characters.
    whole: Vec<bool>,
}

impl Expander {
    /// An expander over the bytes of each base id.
    ///
    /// An id without bytes, as special tokens usually are, adds no text.
    ///
    /// # Errors
    /// If there are not as many base ids with bytes as in the vocabulary.
    pub fn new(vocabulary: Arc<Vocabulary>, token_bytes: TokenBytes) -> Result<Self> {
        check_length("token bytes", token_bytes.len(), vocabulary.base_size() as usize)?;
        let (mut bytes, mut offsets) = token_bytes.into_flat();
        for segment in vocabulary.segments().iter() {
            for &token in segment {
                let range = offsets[token as usize]..offsets[token as usize + 1];
                bytes.extend_from_within(range);
            }
            offsets.push(bytes.len());
        }
        let whole = offsets.windows(2).map(|pair| std::str::from_utf8(&bytes[pair[0]..pair[1]]).is_ok());
        let whole = whole.collect();
        Ok(Expander { vocabulary, bytes, offsets, whole })
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The text of units; bytes that are invalid in UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// If an id is neither a base id nor a latent.
    pub fn text(&self, units: &[u32]) -> Result<String> {
        let mut bytes = Vec::new();
        for (position, &unit) in units.iter().enumerate() {
            bytes.extend_from_slice(self.bytes_of(unit).ok_or_else(|| self.out_of_range(unit, position))?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The text of one unit; None for an invalid id, or if the bytes are not whole characters.
    pub fn own_text(&self, unit: u32) -> Option<&str> {
        std::str::from_utf8(self.bytes_of(unit)?).ok()
    }

    /// Whether the bytes of a valid unit are whole characters.
    #[inline]
    pub(crate) fn is_whole(&self, unit: u32) -> bool {
        self.whole[unit as usize]
    }

    #[inline]
    pub(crate) fn bytes_of(&self, unit: u32) -> Option<&[u8]> {
        let end = *self.offsets.get(unit as usize + 1)?;
        Some(&self.bytes[self.offsets[unit as usize]..end])
    }

    #[cold]
    pub(crate) fn out_of_range(&self, id: u32, position: usize) -> Error {
        Error::IdOutOfRange { id, position, size: self.vocabulary.size() }
    }
}
