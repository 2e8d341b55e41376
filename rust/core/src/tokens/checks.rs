//! Checks of flat arrays from callers.

use crate::error::{Error, Result};
use crate::tokens::segments::Segments;

/// Checks that `offsets` divides `length` items: it starts at 0, never decreases, and ends at `length`.
pub(crate) fn check_offsets(offsets: &[usize], length: usize) -> Result<()> {
    if offsets.first() != Some(&0) {
        return Err(Error::Offsets { index: 0, length });
    }
    if let Some(fall) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(Error::Offsets { index: fall + 1, length });
    }
    if offsets.last() != Some(&length) {
        return Err(Error::Offsets { index: offsets.len() - 1, length });
    }
    Ok(())
}

/// Checks that an array has the length of its companion arrays.
pub(crate) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Length { what, found, expected }) }
}

/// Number of ids that are checked together.
const CHECKED: usize = 1024;

/// Checks that every id is below `size`; `start` is the position of the first id.
pub(crate) fn check_ids(ids: &[u32], start: usize, size: u32) -> Result<()> {
    // Without a branch inside, the block is compared eight ids at a time.
    for (block, ids) in ids.chunks(CHECKED).enumerate() {
        if ids.iter().fold(false, |outside, &id| outside | (id >= size)) {
            let within = ids.iter().position(|&id| id >= size).unwrap_or(0);
            return Err(Error::IdOutOfRange {
                id: ids[within],
                position: start + block * CHECKED + within,
                size,
            });
        }
    }
    Ok(())
}

/// Checks that the segments together have at most `most` tokens; each counts at least one.
pub(crate) fn check_tokens(segments: &Segments, most: usize) -> Result<()> {
    let tokens = segments.tokens().len().max(segments.len());
    if tokens <= most { Ok(()) } else { Err(Error::TooManySegmentTokens { tokens, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_too_many_tokens_are_refused() {
        let segments: Segments = [[1, 2].as_slice(), &[1, 2, 3]].into_iter().collect();
        assert_eq!(check_tokens(&segments, 5), Ok(()));
        assert_eq!(check_tokens(&segments, 4), Err(Error::TooManySegmentTokens { tokens: 5, most: 4 }));
    }
}
