//! The text of each base id, as bytes: a token need not be whole characters.

use crate::error::{Result, check_offsets};

/// The text of each base id: `bytes[offsets[id]..offsets[id + 1]]`.
#[derive(Debug, Clone)]
pub struct TokenBytes {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl TokenBytes {
    /// # Errors
    /// If the offsets do not divide the bytes.
    pub fn new(bytes: Vec<u8>, offsets: Vec<usize>) -> Result<Self> {
        check_offsets(&offsets, bytes.len())?;
        Ok(TokenBytes { bytes, offsets })
    }

    /// Number of base ids.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no id at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a valid id.
    #[inline]
    pub fn get(&self, id: u32) -> &[u8] {
        &self.bytes[self.offsets[id as usize]..self.offsets[id as usize + 1]]
    }
}
