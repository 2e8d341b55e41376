//! The dual format: one conversation as units and as base tokens, and which unit faces which base position.

use crate::error::{Result, check_length, check_offsets};
use crate::vocabulary::{Vocabulary, check_ids};

/// A conversation in units. A unit never crosses from the agent's tokens to another speaker's or back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aligned {
    /// Ids of the units.
    pub units: Vec<u32>,
    /// Whether the agent wrote the unit; as long as `units`.
    pub action: Vec<bool>,
    /// Base position of each unit's first token, and the number of base tokens; one longer than `units`.
    ///
    /// The student predicts unit `j` where it has read the units before it, and the teacher predicts base
    /// token `starts[j]` where it has read the tokens before that: those two positions face each other.
    pub starts: Vec<i64>,
}

impl Vocabulary {
    /// The canonical parse of whole conversations, aligned with their base tokens.
    ///
    /// Conversation `i` is `tokens[offsets[i]..offsets[i + 1]]`; a unit never crosses to the next.
    ///
    /// # Errors
    /// If an id is no base id, `action` is not as long as `tokens`, or `offsets` does not divide them.
    pub fn align(&self, tokens: &[u32], action: &[bool], offsets: &[usize]) -> Result<Aligned> {
        check_length("action", action.len(), tokens.len())?;
        check_offsets(offsets, tokens.len())?;
        check_ids(tokens, self.base_size())?;
        let mut aligned = Aligned { starts: vec![0], ..Aligned::default() };
        for range in offsets.windows(2) {
            self.align_one(&tokens[range[0]..range[1]], &action[range[0]..range[1]], &mut aligned);
        }
        Ok(aligned)
    }

    fn align_one(&self, tokens: &[u32], action: &[bool], aligned: &mut Aligned) {
        let first = *aligned.starts.last().unwrap_or(&0);
        let mut position = 0;
        for speaker in action.chunk_by(|left, right| left == right) {
            let stretch = &tokens[position..position + speaker.len()];
            self.trie().parse(stretch, |unit| {
                position += unit.length();
                aligned.units.push(self.id(unit));
                aligned.action.push(speaker[0]);
                aligned.starts.push(first + position as i64);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segments::Segments;
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

    proptest! {
        #[test]
        fn every_unit_stands_where_its_tokens_stand(
            segments in prop::collection::btree_set(prop::collection::vec(0u32..4, 2..5), 0..8),
            conversation in prop::collection::vec((0u32..4, any::<bool>()), 0..40),
        ) {
            let vocabulary = Vocabulary::new(4, segments.iter().map(Vec::as_slice).collect()).unwrap();
            let (tokens, action): (Vec<u32>, Vec<bool>) = conversation.into_iter().unzip();
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
