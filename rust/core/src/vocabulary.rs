//! The latent vocabulary: immutable segments and their ids.

pub mod align;
mod expansion_table;
mod found_texts;
pub mod guard;
mod match_table;
pub mod served;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::tokens::checks::{check_ids, check_length, check_tokens};
use crate::tokens::segments::Segments;
use crate::vocabulary::expansion_table::ExpansionTable;
use crate::vocabulary::match_table::{MatchingTable, ROOM, UnitWriter};

/// Maximum number of tokens of all segments. Tables have 32-bit node numbers, and reserve up to 32 places for
/// each child of a node.
const MOST_TOKENS: usize = 1 << 26;

/// Latents over `base_size` base ids; latent `i` has the id `base_size + i` and stands for segment `i`.
///
/// ```
/// use lar_core::{Segments, Vocabulary};
///
/// # fn main() -> lar_core::Result<()> {
/// let segments: Segments = [[7, 8, 9].as_slice(), &[7, 8]].into_iter().collect();
/// let vocabulary = Vocabulary::new(100, segments)?;
/// assert_eq!(vocabulary.size(), 102);
/// assert_eq!(vocabulary.segment(100), Some([7, 8, 9].as_slice()));
/// assert_eq!(vocabulary.segment(7), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Vocabulary {
    base_size: u32,
    segments: Segments,
    table: MatchingTable,
    expansion: ExpansionTable,
}

impl Vocabulary {
    /// A vocabulary of the given segments.
    ///
    /// # Errors
    /// If a segment is shorter than two tokens, contains an id that is not a base id, or equals another; if
    /// the ids do not fit 32 bits; or if the segments have too many tokens for the tables.
    pub fn new(base_size: u32, segments: Segments) -> Result<Self> {
        let latents = segments.len();
        // The largest id is reserved: it ends runs, and is "none" in tries.
        if u64::from(base_size) + latents as u64 >= u64::from(u32::MAX) {
            return Err(Error::TooManyIds { base_size, latents });
        }
        check_tokens(&segments, MOST_TOKENS)?;
        for (index, segment) in segments.iter().enumerate() {
            check_segment(base_size, index, segment)?;
        }
        check_distinct(&segments)?;
        let table = MatchingTable::new(base_size, &segments);
        let expansion = ExpansionTable::new(base_size, &segments);
        Ok(Vocabulary { base_size, segments, table, expansion })
    }

    /// Number of base ids.
    pub fn base_size(&self) -> u32 {
        self.base_size
    }

    /// Number of base ids and latents.
    pub fn size(&self) -> u32 {
        self.base_size + self.segments.len() as u32
    }

    /// The segments, by latent.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The base tokens of a latent; None for an id that is not a latent.
    pub fn segment(&self, id: u32) -> Option<&[u32]> {
        let index = id.checked_sub(self.base_size)? as usize;
        (index < self.segments.len()).then(|| self.segments.get(index))
    }

    /// The units of the token parse: from the left, at each position the longest segment that matches.
    ///
    /// The units of a *text*, as an engine reads it, are those of the canonical parse in [`served`].
    ///
    /// ```
    /// # use lar_core::{Error, Vocabulary};
    /// # fn main() -> lar_core::Result<()> {
    /// let vocabulary = Vocabulary::new(100, [[7, 8].as_slice(), &[7, 8, 9]].into_iter().collect())?;
    /// assert_eq!(vocabulary.encode(&[7, 8, 9, 7, 8])?, [101, 100]);
    /// let error = Error::IdOutOfRange { id: 100, position: 1, size: 100 };
    /// assert_eq!(vocabulary.encode(&[7, 100]), Err(error));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If an id is not a base id.
    pub fn encode(&self, tokens: &[u32]) -> Result<Vec<u32>> {
        let mut units = vec![0; tokens.len()];
        let written = self.encode_into(tokens, &mut units)?;
        units.truncate(written);
        Ok(units)
    }

    /// Writes the units of the token parse to the start of `units`; returns their number.
    ///
    /// # Errors
    /// If an id is not a base id, or `units` is not as long as `tokens`.
    pub fn encode_into(&self, tokens: &[u32], units: &mut [u32]) -> Result<usize> {
        check_length("units", units.len(), tokens.len())?;
        check_ids(tokens, 0, self.base_size)?;
        let mut output = UnitWriter { units, written: 0, starts: () };
        self.table.parse(tokens, 0..tokens.len(), &mut output);
        Ok(output.written)
    }

    /// The units of the token parse of `tokens[range]`, whose ids must be base ids. They are written to
    /// `units`, which grows to the length that this takes.
    ///
    /// The tokens after the range have no effect, but let the parse read whole blocks.
    pub(crate) fn encode_part<'u>(
        &self,
        tokens: &[u32],
        range: Range<usize>,
        units: &'u mut Vec<u32>,
    ) -> &'u [u32] {
        units.resize(units.len().max(range.len() + ROOM), 0);
        let mut output = UnitWriter { units, written: 0, starts: () };
        self.table.parse(tokens, range, &mut output);
        let written = output.written;
        &units[..written]
    }

    /// The base tokens of units, those of a parse or any others. After [`Vocabulary::encode`] these are the
    /// tokens that were encoded.
    ///
    /// ```
    /// # use lar_core::Vocabulary;
    /// # fn main() -> lar_core::Result<()> {
    /// let vocabulary = Vocabulary::new(100, [[7, 8].as_slice()].into_iter().collect())?;
    /// assert_eq!(vocabulary.expand(&[1, 100, 100])?, [1, 7, 8, 7, 8]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If an id is neither a base id nor a latent.
    pub fn expand(&self, units: &[u32]) -> Result<Vec<u32>> {
        let mut tokens = vec![0; self.expanded_length(units)?];
        self.expand_into(units, &mut tokens)?;
        Ok(tokens)
    }

    /// Writes the base tokens of units to `tokens`.
    ///
    /// # Errors
    /// If an id is neither a base id nor a latent, or `tokens` is not as long as the expansion.
    pub fn expand_into(&self, units: &[u32], tokens: &mut [u32]) -> Result<()> {
        match self.expansion.expand(units, &self.segments, tokens) == Some(tokens.len()) {
            true => Ok(()),
            false => check_length("tokens", tokens.len(), self.expanded_length(units)?),
        }
    }

    /// Number of base tokens of units.
    ///
    /// # Errors
    /// If an id is neither a base id nor a latent.
    pub fn expanded_length(&self, units: &[u32]) -> Result<usize> {
        let outside = || check_ids(units, 0, self.size()).map(|()| 0);
        self.expansion.length(units).map_or_else(outside, Ok)
    }

    /// Number of base tokens of a valid unit.
    #[inline]
    pub(crate) fn length(&self, unit: u32) -> u32 {
        self.expansion.length_of(unit)
    }

    pub(crate) fn table(&self) -> &MatchingTable {
        &self.table
    }
}

fn check_segment(base_size: u32, segment: usize, tokens: &[u32]) -> Result<()> {
    if tokens.len() < 2 {
        return Err(Error::ShortSegment { segment, length: tokens.len() });
    }
    match tokens.iter().find(|&&id| id >= base_size) {
        Some(&id) => Err(Error::SegmentToken { segment, id, base_size }),
        None => Ok(()),
    }
}

fn check_distinct(segments: &Segments) -> Result<()> {
    let mut order: Vec<usize> = (0..segments.len()).collect();
    order.sort_by_key(|&index| segments.get(index));
    match order.windows(2).find(|pair| segments.get(pair[0]) == segments.get(pair[1])) {
        Some(pair) => Err(Error::EqualSegments { first: pair[0], second: pair[1] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vocabulary(segments: &[Vec<u32>]) -> Result<Vocabulary> {
        Vocabulary::new(6, segments.iter().map(Vec::as_slice).collect())
    }

    /// The parse by its definition: at each position the longest matching segment.
    fn parse_by_definition(segments: &[Vec<u32>], tokens: &[u32]) -> Vec<u32> {
        let mut units = Vec::new();
        let mut rest = tokens;
        while let Some(&first) = rest.first() {
            let matching = segments.iter().enumerate().filter(|(_, segment)| rest.starts_with(segment));
            let (id, length) = matching
                .max_by_key(|(_, segment)| segment.len())
                .map_or((first, 1), |(index, segment)| (6 + index as u32, segment.len()));
            units.push(id);
            rest = &rest[length..];
        }
        units
    }

    #[test]
    fn wrong_segments_are_named() {
        assert_eq!(vocabulary(&[vec![1]]).unwrap_err(), Error::ShortSegment { segment: 0, length: 1 });
        let error = vocabulary(&[vec![1, 2], vec![1, 6]]).unwrap_err();
        assert_eq!(error, Error::SegmentToken { segment: 1, id: 6, base_size: 6 });
        let error = vocabulary(&[vec![1, 2], vec![3, 4], vec![1, 2]]).unwrap_err();
        assert_eq!(error, Error::EqualSegments { first: 0, second: 2 });
        let error = Vocabulary::new(u32::MAX, Segments::default()).unwrap_err();
        assert_eq!(error, Error::TooManyIds { base_size: u32::MAX, latents: 0 });
    }

    #[test]
    fn ids_outside_are_named() {
        let vocabulary = vocabulary(&[vec![1, 2]]).unwrap();
        assert_eq!(vocabulary.encode(&[1, 6]), Err(Error::IdOutOfRange { id: 6, position: 1, size: 6 }));
        assert_eq!(vocabulary.expand(&[6, 7]), Err(Error::IdOutOfRange { id: 7, position: 1, size: 7 }));
    }

    #[test]
    fn an_expansion_needs_room_of_its_length() {
        let vocabulary = vocabulary(&[vec![1, 2]]).unwrap();
        for found in [2, 4, 100] {
            let error = vocabulary.expand_into(&[6, 3], &mut vec![0; found]).unwrap_err();
            assert_eq!(error, Error::Length { what: "tokens", found, expected: 3 });
        }
        assert_eq!(
            vocabulary.expand_into(&[7, 3], &mut [0; 2]).unwrap_err().to_string(),
            "id 7 at position 0 is outside the 7 valid ids"
        );
    }

    prop_compose! {
        fn distinct_segments()(
            segments in prop::collection::btree_set(prop::collection::vec(0u32..6, 2..6), 0..40)
        ) -> Vec<Vec<u32>> {
            segments.into_iter().collect()
        }
    }

    proptest! {
        #[test]
        fn expansion_undoes_the_parse(segments in distinct_segments(), tokens in prop::collection::vec(0u32..6, 0..400)) {
            let vocabulary = vocabulary(&segments).unwrap();
            let units = vocabulary.encode(&tokens).unwrap();
            prop_assert_eq!(&units, &parse_by_definition(&segments, &tokens));
            prop_assert_eq!(vocabulary.expand(&units).unwrap(), tokens);
        }

        #[test]
        fn a_longer_text_changes_nothing_before_the_last_open_match(
            segments in distinct_segments(),
            tokens in prop::collection::vec(0u32..6, 0..300),
            more in prop::collection::vec(0u32..6, 0..10),
        ) {
            let vocabulary = vocabulary(&segments).unwrap();
            let short = vocabulary.encode(&tokens).unwrap();
            let long = vocabulary.encode(&[tokens.clone(), more].concat()).unwrap();
            // A unit can change while a longer segment could still match: it begins at most 4 tokens before
            // the end.
            let mut closed = 0;
            let stable = short.iter().take_while(|&&unit| {
                let open = (closed..tokens.len()).len() < 5;
                closed += vocabulary.segment(unit).map_or(1, <[u32]>::len);
                !open
            }).count();
            prop_assert_eq!(&short[..stable], &long[..stable]);
        }
    }
}
