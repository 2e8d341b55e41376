//! Candidates: segments with their frequencies, and the choice of those that may save most.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::mining::search::worth::expected_savings;
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::{check_ids, check_length};
use crate::tokens::segments::Segments;

/// Distinct segments with their frequencies, ascending by token ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    segments: Segments,
    counts: Vec<u64>,
    supports: Vec<u32>,
}

impl Candidates {
    /// The candidates of flat arrays, after checks that they fit together.
    ///
    /// # Errors
    /// If there is not one count and one support for each segment, a segment has less than two tokens, occurs
    /// nowhere or in no task, or the segments do not ascend.
    pub fn from_parts(segments: Segments, counts: Vec<u64>, supports: Vec<u32>) -> Result<Candidates> {
        check_length("counts", counts.len(), segments.len())?;
        check_length("supports", supports.len(), segments.len())?;
        for (candidate, segment) in segments.iter().enumerate() {
            check_candidate(candidate, segment, counts[candidate], supports[candidate])?;
        }
        match (1..segments.len()).find(|&index| segments.get(index - 1) >= segments.get(index)) {
            Some(candidate) => Err(Error::UnorderedCandidates { candidate }),
            None => Ok(Candidates { segments, counts, supports }),
        }
    }

    /// The segments, ascending by token ids.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The segments without their frequencies.
    pub(crate) fn into_segments(self) -> Segments {
        self.segments
    }

    /// Occurrences of each candidate, overlapping ones included.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Distinct tasks in which each occurs. For what [`find_candidates`] finds in more than 16 M distinct
    /// tokens, they are counted up to 128, or up to `min_support` if that is more.
    ///
    /// [`find_candidates`]: crate::mining::search::find_candidates
    pub fn supports(&self) -> &[u32] {
        &self.supports
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are no candidates.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Units that candidate `index` alone is expected to save on unseen tasks.
    pub fn expected_savings(&self, index: usize) -> f64 {
        expected_savings(self.counts[index], self.supports[index], self.segments.get(index).len())
    }

    /// Whether each candidate consists of whole characters; one that cuts a character has no text.
    ///
    /// # Errors
    /// If a candidate holds an id that has no entry in `token_bytes`.
    pub fn are_whole_characters(&self, token_bytes: &TokenBytes) -> Result<Vec<bool>> {
        check_ids(self.segments.tokens(), 0, token_bytes.size())?;
        let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
        let whole: Vec<bool> = (0..token_bytes.size()).map(|id| is_text(token_bytes.get(id))).collect();
        let is_whole = |segment: &[u32]| {
            let bytes = || segment.iter().flat_map(|&id| token_bytes.get(id)).copied().collect::<Vec<u8>>();
            segment.iter().all(|&id| whole[id as usize]) || is_text(&bytes())
        };
        Ok(self.segments.iter().map(is_whole).collect())
    }

    /// The candidates for which `keep` is true.
    ///
    /// # Errors
    /// If `keep` has not one entry for each candidate.
    pub fn filter(&self, keep: &[bool]) -> Result<Candidates> {
        check_length("keep", keep.len(), self.len())?;
        Ok((0..self.len()).filter(|&index| keep[index]).map(|index| self.get(index)).collect())
    }

    /// The candidates of both, ascending; where both have a segment, its frequencies here are taken.
    pub fn union(&self, other: &Candidates) -> Candidates {
        let mut all: Vec<_> = (0..self.len()).map(|index| self.get(index)).collect();
        all.extend((0..other.len()).map(|index| other.get(index)));
        // Stable, so that of two equal segments the one from here comes first.
        all.sort_by_key(|&(segment, ..)| segment);
        all.dedup_by_key(|&mut (segment, ..)| segment);
        all.into_iter().collect()
    }

    /// The `most` candidates of all parts together that are expected to save most, ascending by token ids.
    pub fn best<'a>(parts: impl IntoIterator<Item = &'a Candidates>, most: usize) -> Candidates {
        let mut all: Candidates =
            parts.into_iter().flat_map(|part| (0..part.len()).map(|i| part.get(i))).collect();
        all.keep_best(most);
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.par_sort_unstable_by(|&one, &other| all.segments.get(one).cmp(all.segments.get(other)));
        order.into_iter().map(|index| all.get(index)).collect()
    }

    /// Drops all but the `most` that save most, in any order; returns the least saving of those, if they are as
    /// many.
    pub(crate) fn keep_best(&mut self, most: usize) -> Option<f64> {
        if self.len() < most || most == 0 {
            if most == 0 {
                *self = Candidates::default();
            }
            return None;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.select_nth_unstable_by(most - 1, |&one, &other| self.by_savings(one, other));
        order.truncate(most);
        let least = self.expected_savings(order[most - 1]);
        *self = order.into_iter().map(|index| self.get(index)).collect();
        Some(least)
    }

    /// Larger savings come first, and equal ones by token ids, so that the order is total.
    pub(crate) fn by_savings(&self, one: usize, other: usize) -> Ordering {
        let segments = || self.segments.get(one).cmp(self.segments.get(other));
        self.expected_savings(other).total_cmp(&self.expected_savings(one)).then_with(segments)
    }

    /// A segment, its occurrences and its tasks.
    pub(crate) fn get(&self, index: usize) -> (&[u32], u64, u32) {
        (self.segments.get(index), self.counts[index], self.supports[index])
    }

    /// Appends a candidate. A search finds them in any order, and sorts the best of them at the end.
    pub(crate) fn push(&mut self, segment: &[u32], count: u64, support: u32) {
        self.segments.push(segment);
        self.counts.push(count);
        self.supports.push(support);
    }
}

fn check_candidate(candidate: usize, segment: &[u32], count: u64, support: u32) -> Result<()> {
    if segment.len() < 2 {
        return Err(Error::ShortSegment { segment: candidate, length: segment.len() });
    }
    match (count, support) {
        (0, _) => Err(Error::EmptyCandidate { candidate, what: "occurrences" }),
        (_, 0) => Err(Error::EmptyCandidate { candidate, what: "tasks" }),
        _ => Ok(()),
    }
}

impl<'a> FromIterator<(&'a [u32], u64, u32)> for Candidates {
    fn from_iter<I: IntoIterator<Item = (&'a [u32], u64, u32)>>(items: I) -> Self {
        let mut candidates = Candidates::default();
        for (segment, count, support) in items {
            candidates.push(segment, count, support);
        }
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// "a", the three bytes of a euro sign, and the sign itself.
    fn token_bytes() -> TokenBytes {
        TokenBytes::new(b"a\xE2\x82\xAC\xE2\x82\xAC".to_vec(), vec![0, 1, 2, 3, 4, 7]).unwrap()
    }

    fn of(segments: &[Vec<u32>]) -> Candidates {
        segments.iter().map(|segment| (segment.as_slice(), 1, 1)).collect()
    }

    #[test]
    fn a_candidate_with_an_unknown_id_is_refused() {
        let error = of(&[vec![0, 5]]).are_whole_characters(&token_bytes()).unwrap_err();
        assert_eq!(error, Error::IdOutOfRange { id: 5, position: 1, size: 5 });
    }

    proptest! {
        #[test]
        fn candidates_are_whole_characters_where_their_bytes_are_utf8(
            segments in prop::collection::vec(prop::collection::vec(0u32..5, 2..8), 0..20)
        ) {
            let bytes_of = |segment: &Vec<u32>| {
                segment.iter().flat_map(|&id| token_bytes().get(id).to_vec()).collect::<Vec<u8>>()
            };
            let expected: Vec<bool> =
                segments.iter().map(|segment| String::from_utf8(bytes_of(segment)).is_ok()).collect();
            prop_assert_eq!(of(&segments).are_whole_characters(&token_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn a_union_takes_the_first_frequencies_of_a_segment() {
        let one: Candidates = [(&[1, 2][..], 5, 3), (&[4, 5][..], 1, 1)].into_iter().collect();
        let other: Candidates = [(&[0, 1][..], 2, 2), (&[1, 2][..], 9, 9)].into_iter().collect();
        let expected: Candidates =
            [(&[0, 1][..], 2, 2), (&[1, 2][..], 5, 3), (&[4, 5][..], 1, 1)].into_iter().collect();
        assert_eq!(one.union(&other), expected);
    }

    #[test]
    fn parts_that_are_no_candidates_are_refused() {
        let from = |lists: [&[u32]; 2], count, support| {
            Candidates::from_parts(lists.into_iter().collect(), vec![1, count], vec![1, support])
        };
        assert!(from([&[1, 2], &[1, 3]], 1, 1).is_ok());
        assert_eq!(from([&[1, 2], &[2]], 1, 1), Err(Error::ShortSegment { segment: 1, length: 1 }));
        let missing = |what| Err(Error::EmptyCandidate { candidate: 1, what });
        assert_eq!(from([&[1, 2], &[1, 3]], 0, 1), missing("occurrences"));
        assert_eq!(from([&[1, 2], &[1, 3]], 1, 0), missing("tasks"));
        assert_eq!(from([&[1, 2], &[1, 2]], 1, 1), Err(Error::UnorderedCandidates { candidate: 1 }));
    }
}
