//! The dual format: one conversation as units and as base tokens, with the base position of each unit.

use crate::error::Result;
use crate::tokens::checks::{check_ids, check_length, check_offsets};
use crate::vocabulary::Vocabulary;
use crate::vocabulary::match_table::UnitWriter;

/// A conversation in units. No unit crosses the border between the agent's tokens and another speaker's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aligned {
    /// Ids of the units.
    pub units: Vec<u32>,
    /// Whether the agent wrote the unit; as long as `units`.
    pub action: Vec<bool>,
    /// Base position of each unit's first token, and the number of base tokens; one longer than `units`.
    pub starts: Vec<i64>,
}

/// Buffers for a conversation in units: as long as its base tokens, and one longer for `starts`.
#[derive(Debug)]
pub struct AlignedRoom<'a> {
    /// As in [`Aligned`].
    pub units: &'a mut [u32],
    /// As in [`Aligned`].
    pub action: &'a mut [bool],
    /// As in [`Aligned`].
    pub starts: &'a mut [i64],
}

impl Vocabulary {
    /// The token parse of whole conversations, aligned with their base tokens.
    ///
    /// Conversation `i` is `tokens[offsets[i]..offsets[i + 1]]`; no unit crosses its end.
    ///
    /// # Errors
    /// If an id is not a base id, `action` is not as long as `tokens`, or `offsets` does not divide them.
    pub fn align(&self, tokens: &[u32], action: &[bool], offsets: &[usize]) -> Result<Aligned> {
        let (mut units, mut agent) = (vec![0; tokens.len()], vec![false; tokens.len()]);
        let mut starts = vec![0; tokens.len() + 1];
        let room = AlignedRoom { units: &mut units, action: &mut agent, starts: &mut starts };
        let written = self.align_into(tokens, action, offsets, room)?;
        units.truncate(written);
        agent.truncate(written);
        starts.truncate(written + 1);
        Ok(Aligned { units, action: agent, starts })
    }

    /// Writes the result of [`Vocabulary::align`] to the start of `room`; returns the number of units.
    ///
    /// # Errors
    /// As [`Vocabulary::align`], or if the buffers of `room` do not have the length of the tokens.
    pub fn align_into(
        &self,
        tokens: &[u32],
        action: &[bool],
        offsets: &[usize],
        room: AlignedRoom<'_>,
    ) -> Result<usize> {
        check_length("action", action.len(), tokens.len())?;
        check_length("units", room.units.len(), tokens.len())?;
        check_length("action of units", room.action.len(), tokens.len())?;
        check_length("starts", room.starts.len(), tokens.len() + 1)?;
        check_offsets(offsets, tokens.len())?;
        if self.segments().is_empty() {
            return self.align_base_tokens(tokens, action, room);
        }
        let mut output = UnitWriter { units: room.units, written: 0, starts: room.starts };
        for range in offsets.windows(2) {
            // Directly before the parse, so that the ids of most conversations are read from the cache there.
            check_ids(&tokens[range[0]..range[1]], range[0], self.base_size())?;
            let mut start = range[0];
            while start < range[1] {
                let stretch = start..start + equal_entries(&action[start..range[1]]);
                let first = output.written;
                self.table().parse(tokens, stretch.clone(), &mut output);
                room.action[first..output.written].fill(action[start]);
                start = stretch.end;
            }
        }
        output.starts[output.written] = tokens.len() as i64;
        Ok(output.written)
    }

    /// The alignment of a vocabulary without latents, such as a control's: each token is a unit.
    fn align_base_tokens(&self, tokens: &[u32], action: &[bool], room: AlignedRoom<'_>) -> Result<usize> {
        for (block, (tokens, units)) in tokens.chunks(COPIED).zip(room.units.chunks_mut(COPIED)).enumerate() {
            // Block by block, so that the ids are read from the cache when they are copied.
            check_ids(tokens, block * COPIED, self.base_size())?;
            units.copy_from_slice(tokens);
        }
        room.action.copy_from_slice(action);
        room.starts.iter_mut().zip(0..).for_each(|(start, position)| *start = position);
        Ok(tokens.len())
    }
}

/// Number of ids that are checked and then copied.
const COPIED: usize = 1 << 12;

/// The number of leading entries that are equal.
fn equal_entries(entries: &[bool]) -> usize {
    let Some(&first) = entries.first() else { return 0 };
    let (blocks, rest) = entries.as_chunks::<SCANNED>();
    for (block, entries) in blocks.iter().enumerate() {
        let equal = equal_of_block(entries, first);
        if equal < SCANNED {
            return block * SCANNED + equal;
        }
    }
    entries.len() - rest.len() + rest.iter().take_while(|&&entry| entry == first).count()
}

/// Number of entries that are compared together.
const SCANNED: usize = 64;

/// The number of leading entries that equal `first`. The minimum over places is computed with vectors.
fn equal_of_block(entries: &[bool; SCANNED], first: bool) -> usize {
    let place = |(place, &entry)| if entry == first { SCANNED as u8 } else { place };
    let least = (0..).zip(entries).map(place).fold(SCANNED as u8, u8::min);
    usize::from(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;

    #[test]
    fn a_unit_never_crosses_to_another_speaker() {
        let segments: Segments = [&[1, 2][..], &[2, 3]].into_iter().collect();
        let vocabulary = Vocabulary::new(5, segments).unwrap();
        let aligned = vocabulary.align(&[1, 2, 3], &[false, true, true], &[0, 3]).unwrap();
        assert_eq!(aligned, Aligned { units: vec![1, 6], action: vec![false, true], starts: vec![0, 1, 3] });
    }

    #[test]
    fn a_unit_never_crosses_to_another_conversation() {
        let segments: Segments = [&[1, 2][..]].into_iter().collect();
        let vocabulary = Vocabulary::new(5, segments).unwrap();
        let aligned = vocabulary.align(&[1, 2, 1, 2], &[true; 4], &[0, 1, 4]).unwrap();
        assert_eq!((aligned.units, aligned.starts), (vec![1, 2, 5], vec![0, 1, 2, 4]));
    }

    #[test]
    fn an_id_outside_is_named_by_its_place_among_all() {
        let vocabulary = Vocabulary::new(5, Segments::default()).unwrap();
        let error = vocabulary.align(&[1, 2, 3, 9], &[false, false, true, true], &[0, 1, 4]).unwrap_err();
        assert_eq!(error, Error::IdOutOfRange { id: 9, position: 3, size: 5 });
    }

    proptest! {
        #[test]
        fn without_latents_each_token_is_a_unit(
            conversations in prop::collection::vec(prop::collection::vec((0u32..5, any::<bool>()), 0..6000), 0..3)
        ) {
            let vocabulary = Vocabulary::new(5, Segments::default()).unwrap();
            let (tokens, action): (Vec<u32>, Vec<bool>) = conversations.concat().into_iter().unzip();
            let ends = conversations.iter().scan(0, |end, tokens| { *end += tokens.len(); Some(*end) });
            let offsets: Vec<usize> = std::iter::once(0).chain(ends).collect();
            let aligned = vocabulary.align(&tokens, &action, &offsets).unwrap();
            let starts = (0..=tokens.len() as i64).collect();
            prop_assert_eq!(aligned, Aligned { units: tokens, action, starts });
        }

        #[test]
        fn a_stretch_ends_where_the_entries_change(equal in 1usize..200, more in prop::collection::vec(any::<bool>(), 0..200)) {
            for first in [false, true] {
                let entries = [vec![first; equal], vec![!first; 1], more.clone()].concat();
                prop_assert_eq!(equal_entries(&entries), equal);
                prop_assert_eq!(equal_entries(&entries[..equal]), equal);
            }
        }

        #[test]
        fn every_stretch_is_parsed_as_if_alone(
            segments in prop::collection::btree_set(prop::collection::vec(0u32..3, 2..12), 0..20),
            stretches in prop::collection::vec(prop::collection::vec(0u32..3, 1..200), 0..8),
        ) {
            let vocabulary = Vocabulary::new(3, segments.iter().map(Vec::as_slice).collect()).unwrap();
            let speaker = |(index, tokens): (usize, &Vec<u32>)| vec![index % 2 == 1; tokens.len()];
            let action: Vec<bool> = stretches.iter().enumerate().flat_map(speaker).collect();
            let aligned = vocabulary.align(&stretches.concat(), &action, &[0, action.len()]).unwrap();
            let alone: Vec<Vec<u32>> = stretches.iter().map(|tokens| vocabulary.encode(tokens).unwrap()).collect();
            prop_assert_eq!(aligned.units, alone.concat());
        }

        #[test]
        fn every_unit_stands_where_its_tokens_stand(
            segments in prop::collection::btree_set(prop::collection::vec(0u32..4, 2..5), 0..8),
            conversation in prop::collection::vec((0u32..4, any::<bool>(), 1usize..40), 0..40),
        ) {
            let vocabulary = Vocabulary::new(4, segments.iter().map(Vec::as_slice).collect()).unwrap();
            let turn = |(token, agent, length): (u32, bool, usize)| (0..length).map(move |i| (token * i as u32 % 4, agent));
            let (tokens, action): (Vec<u32>, Vec<bool>) = conversation.into_iter().flat_map(turn).unzip();
            let aligned = vocabulary.align(&tokens, &action, &[0, tokens.len()]).unwrap();
            prop_assert_eq!(aligned.starts.len(), aligned.units.len() + 1);
            prop_assert_eq!(aligned.starts[0], 0);
            prop_assert_eq!(*aligned.starts.last().unwrap(), tokens.len() as i64);
            for (index, range) in aligned.starts.windows(2).enumerate() {
                let range = range[0] as usize..range[1] as usize;
                prop_assert_eq!(&vocabulary.expand(&aligned.units[index..=index]).unwrap(), &tokens[range.clone()]);
                prop_assert!(action[range].iter().all(|&agent| agent == aligned.action[index]));
            }
        }
    }
}
