//! The text of each base id as bytes, since a token may end inside a character.

use crate::error::{Error, Result};
use crate::tokens::checks::check_offsets;

/// The text of each base id: `bytes[offsets[id]..offsets[id + 1]]`.
#[derive(Debug, Clone)]
pub struct TokenBytes {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl TokenBytes {
    /// The table of the given bytes and offsets.
    ///
    /// # Errors
    /// If the offsets do not divide the bytes, or there are more ids than fit 32 bits.
    pub fn new(bytes: Vec<u8>, offsets: Vec<usize>) -> Result<Self> {
        check_offsets(&offsets, bytes.len())?;
        check_number(offsets.len() - 1)?;
        Ok(TokenBytes { bytes, offsets })
    }

    /// The bytes and offsets of [`TokenBytes::new`].
    pub(crate) fn into_flat(self) -> (Vec<u8>, Vec<usize>) {
        (self.bytes, self.offsets)
    }

    /// Number of base ids.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of base ids, as an id: less than 2^32.
    pub fn size(&self) -> u32 {
        self.len() as u32
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a valid id.
    #[inline]
    pub fn get(&self, id: u32) -> &[u8] {
        &self.bytes[self.offsets[id as usize]..self.offsets[id as usize + 1]]
    }

    /// For each id, whether its first byte is the first one of a character in UTF-8.
    pub(crate) fn begin_characters(&self) -> Vec<bool> {
        let begins = |id: u32| self.get(id).first().is_some_and(|byte| byte & 0xC0 != 0x80);
        (0..self.size()).map(begins).collect()
    }
}

fn check_number(ids: usize) -> Result<()> {
    let fits = ids <= u32::MAX as usize;
    if fits {
        Ok(())
    } else {
        Err(Error::TooManyIds { base_size: u32::MAX, latents: ids - u32::MAX as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_ids_than_32_bits_are_refused() {
        assert_eq!(check_number(u32::MAX as usize), Ok(()));
        let error = check_number(u32::MAX as usize + 1).unwrap_err();
        assert_eq!(error, Error::TooManyIds { base_size: u32::MAX, latents: 1 });
    }
}
