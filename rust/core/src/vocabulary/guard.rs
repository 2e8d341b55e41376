//! Excludes the next units that would leave the canonical parse, while units are written one by one.
//!
//! Units are *canonical* if they are the parse of their own text: `encode(expand(units)) == units`. The parse
//! is leftmost-longest, so this holds exactly if each unit is the longest that matches at its start. Later
//! units can change that. A unit is *open* while the text from its start on is the beginning of a longer
//! segment, and *overtaken* once such a segment is complete. A sampling model may overtake its own units by
//! writing a part of a latent's text as base tokens; then it reads a history unlike its training data. The
//! guard excludes the units that would overtake an open unit:
//!
//! ```text
//! segments    ab = A   abcd = B   cde = C
//! written     x A          A is open: "ab", of "abcd"        excluded   C, whose "cd" would complete it
//! then        x A c        A is open, c too: "c", of "cde"   excluded   d, and each latent that begins with
//! d then        x A c a      only a is open                    excluded   b, and each latent that begins
//! with b ```
//!
//! Segments that begin with the same tokens are adjacent in alphabetical order. So an open text is a range of
//! that order, which the next token narrows; no trie is needed. A barrier, a token that no segment contains,
//! closes all open units.
//!
//! A unit stays canonical until it is overtaken, so it is enough to look one step ahead: without excluded
//! units, the units are canonical after every step. All units are excluded only if each of them continues
//! some segment, and barriers never do.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::vocabulary::Vocabulary;

/// A vocabulary's segments in alphabetical order, which all guards share.
#[derive(Debug)]
pub struct GuardTable {
    vocabulary: Arc<Vocabulary>,
    /// Indices of the segments, in the order of their tokens.
    order: Vec<u32>,
    /// For each token of each segment, laid end to end: the segments that begin like this segment continues
    /// there.
    continued: Vec<SegmentRange>,
}

/// A range in the order of the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SegmentRange {
    begin: u32,
    end: u32,
}

/// A unit whose text, together with the text after it, begins a longer segment.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The segments that begin with that text; at least one is longer.
    segments: SegmentRange,
    /// Length of the text in base tokens.
    length: u32,
}

/// The state of an open unit after further tokens.
enum Fate {
    Open(Open),
    Closed,
    Overtaken,
}

impl GuardTable {
    /// The table of a vocabulary: 8 bytes for each token of its segments and 4 for each segment.
    pub fn new(vocabulary: Arc<Vocabulary>) -> Self {
        let segments = vocabulary.segments();
        let mut order: Vec<u32> = (0..segments.len() as u32).collect();
        order.sort_unstable_by_key(|&index| segments.get(index as usize));
        let mut table = GuardTable { vocabulary: Arc::clone(&vocabulary), order, continued: Vec::new() };
        table.continued = segments
            .iter()
            .flat_map(|segment| (0..segment.len()).map(move |start| &segment[start..]))
            .map(|rest| table.beginning_with(rest))
            .collect();
        table
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn segment(&self, index: u32) -> &[u32] {
        self.vocabulary.segments().get(index as usize)
    }

    fn indices(&self, stretch: SegmentRange) -> &[u32] {
        &self.order[stretch.begin as usize..stretch.end as usize]
    }

    /// The segments that begin with `text`.
    fn beginning_with(&self, text: &[u32]) -> SegmentRange {
        let mut stretch = SegmentRange { begin: 0, end: self.order.len() as u32 };
        for (length, &token) in text.iter().enumerate() {
            if stretch.begin == stretch.end {
                break;
            }
            stretch = self.narrow(stretch, length, token);
        }
        stretch
    }

    /// Of segments with the same first `length` tokens, those with `token` after them.
    fn narrow(&self, stretch: SegmentRange, length: usize, token: u32) -> SegmentRange {
        let indices = self.indices(stretch);
        // A segment that ends there has None, which is less than any token.
        let next = |&index: &u32| self.segment(index).get(length).copied();
        let before = indices.partition_point(|index| next(index) < Some(token));
        let count = indices[before..].partition_point(|index| next(index) == Some(token));
        let begin = stretch.begin + before as u32;
        SegmentRange { begin, end: begin + count as u32 }
    }

    /// The state of an open unit after `tokens`.
    fn follow(&self, mut open: Open, tokens: &[u32]) -> Fate {
        for &token in tokens {
            open.segments = self.narrow(open.segments, open.length as usize, token);
            open.length += 1;
            match self.indices(open.segments).first() {
                None => return Fate::Closed,
                // A segment that ends here is longer than the unit.
                Some(&shortest) if self.segment(shortest).len() == open.length as usize => {
                    return Fate::Overtaken;
                }
                Some(_) => {}
            }
        }
        Fate::Open(open)
    }

    /// The last unit, if a longer segment begins with it.
    fn open(&self, unit: u32, tokens: &[u32]) -> Option<Open> {
        let segments = match unit.checked_sub(self.vocabulary.base_size()) {
            None => self.beginning_with(tokens),
            Some(latent) => self.continued[self.vocabulary.segments().offsets()[latent as usize]],
        };
        let longest = *self.indices(segments).last()?;
        let length = tokens.len();
        (self.segment(longest).len() > length).then_some(Open { segments, length: length as u32 })
    }

    /// Appends the ids of the units that would overtake `open`.
    fn exclude(&self, open: Open, ids: &mut Vec<u32>) {
        let segments = self.vocabulary.segments();
        for &index in self.indices(open.segments) {
            let start = segments.offsets()[index as usize] + open.length as usize;
            let rest = &segments.tokens()[start..segments.offsets()[index as usize + 1]];
            match *rest {
                [] => continue,
                [token] => ids.push(token),
                _ => {}
            }
            let base_size = self.vocabulary.base_size();
            ids.extend(self.indices(self.continued[start]).iter().map(|&latent| base_size + latent));
        }
    }
}

/// The open units of one request.
///
/// The guard accepts excluded units too. An overtaken unit is not canonical any more and is dropped; the
/// others are tracked independently, and [`excluded`] then contains the units that would overtake one more.
///
/// [`excluded`]: CanonicalGuard::excluded
#[derive(Debug, Clone)]
pub struct CanonicalGuard {
    table: Arc<GuardTable>,
    /// The open units, the earliest first; fewer than the tokens of the longest segment.
    open: Vec<Open>,
    units: usize,
    overtaken: usize,
}

impl CanonicalGuard {
    /// A guard of a text that begins now, as the parse begins with each speaker's turn.
    pub fn new(table: Arc<GuardTable>) -> Self {
        CanonicalGuard { table, open: Vec::new(), units: 0, overtaken: 0 }
    }

    /// Takes the next unit, excluded or not.
    ///
    /// # Errors
    /// If the id is neither a base id nor a latent; then the guard is unchanged.
    pub fn push(&mut self, unit: u32) -> Result<()> {
        let CanonicalGuard { table, open, units, overtaken } = self;
        let token = [unit];
        let tokens = match table.vocabulary.segment(unit) {
            Some(segment) => segment,
            None if unit < table.vocabulary.base_size() => &token,
            None => {
                let size = table.vocabulary.size();
                return Err(Error::IdOutOfRange { id: unit, position: *units, size });
            }
        };
        open.retain_mut(|open| match table.follow(*open, tokens) {
            Fate::Open(further) => {
                *open = further;
                true
            }
            Fate::Closed => false,
            Fate::Overtaken => {
                *overtaken += 1;
                false
            }
        });
        open.extend(table.open(unit, tokens));
        *units += 1;
        Ok(())
    }

    /// The excluded next units, base tokens and latents, in ascending order.
    ///
    /// While the units are canonical, these are exactly the units after which they would not be.
    pub fn excluded(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        for &open in &self.open {
            self.table.exclude(open, &mut ids);
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Number of units pushed so far.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of units that were overtaken.
    pub fn overtaken(&self) -> usize {
        self.overtaken
    }

    /// Whether the units so far are the canonical parse of their text.
    pub fn is_canonical(&self) -> bool {
        self.overtaken == 0
    }

    /// Resets the guard for a new text.
    pub fn reset(&mut self) {
        self.open.clear();
        self.units = 0;
        self.overtaken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;

    /// Tokens 0 to 4 may be in segments; token 5 is a barrier.
    const BASE_SIZE: u32 = 6;
    const BARRIER: u32 = 5;

    fn vocabulary(segments: &[Vec<u32>]) -> Arc<Vocabulary> {
        Arc::new(
            Vocabulary::new(BASE_SIZE, segments.iter().map(Vec::as_slice).collect::<Segments>()).unwrap(),
        )
    }

    fn guard(vocabulary: &Arc<Vocabulary>) -> CanonicalGuard {
        CanonicalGuard::new(Arc::new(GuardTable::new(Arc::clone(vocabulary))))
    }

    fn is_canonical(vocabulary: &Vocabulary, units: &[u32]) -> bool {
        vocabulary.encode(&vocabulary.expand(units).unwrap()).unwrap() == units
    }

    /// The places of units that are not the longest match at their start.
    fn overtaken_by_definition(vocabulary: &Vocabulary, units: &[u32]) -> Vec<usize> {
        let longest = |rest: &[u32]| {
            let text = vocabulary.expand(rest).unwrap();
            let lengths =
                vocabulary.segments().iter().filter(|&segment| text.starts_with(segment)).map(<[u32]>::len);
            lengths.max().unwrap_or(1)
        };
        let length = |unit| vocabulary.segment(unit).map_or(1, <[u32]>::len);
        (0..units.len()).filter(|&place| longest(&units[place..]) > length(units[place])).collect()
    }

    fn excluded_by_definition(vocabulary: &Vocabulary, units: &[u32]) -> Vec<u32> {
        let now = overtaken_by_definition(vocabulary, units).len();
        let then = |unit| overtaken_by_definition(vocabulary, &[units, &[unit]].concat()).len();
        (0..vocabulary.size()).filter(|&unit| then(unit) > now).collect()
    }

    #[test]
    fn a_partly_written_latent_is_excluded() {
        // ab, abcd, cde, and dd, which begins with an excluded token.
        let vocabulary = vocabulary(&[vec![0, 1], vec![0, 1, 2, 3], vec![2, 3, 4], vec![3, 3]]);
        let mut guard = guard(&vocabulary);
        let steps = [(6, vec![8]), (2, vec![3, 9]), (4, vec![]), (0, vec![1]), (BARRIER, vec![])];
        for (unit, excluded) in steps {
            guard.push(unit).unwrap();
            assert_eq!(guard.excluded(), excluded, "after {unit}");
        }
        assert!(guard.is_canonical());
    }

    #[test]
    fn overtaken_units_are_dropped_and_the_others_tracked() {
        let vocabulary = vocabulary(&[vec![0, 1], vec![1, 2]]);
        let mut guard = guard(&vocabulary);
        for unit in [0, 1] {
            guard.push(unit).unwrap();
        }
        assert_eq!((guard.is_canonical(), guard.overtaken(), guard.excluded()), (false, 1, vec![2]));
        guard.push(3).unwrap();
        assert_eq!((guard.excluded(), guard.units()), (vec![], 3));
        guard.reset();
        assert_eq!((guard.is_canonical(), guard.units()), (true, 0));
    }

    #[test]
    fn a_wrong_unit_is_named_and_changes_nothing() {
        let mut guard = guard(&vocabulary(&[vec![0, 1]]));
        guard.push(0).unwrap();
        for id in [7, u32::MAX] {
            assert_eq!(guard.push(id), Err(Error::IdOutOfRange { id, position: 1, size: 7 }));
        }
        assert_eq!((guard.excluded(), guard.units()), (vec![1], 1));
    }

    #[test]
    fn a_vocabulary_without_latents_excludes_nothing() {
        let mut guard = guard(&vocabulary(&[]));
        guard.push(3).unwrap();
        assert_eq!((guard.excluded(), guard.is_canonical()), (vec![], true));
    }

    prop_compose! {
        fn distinct_segments()(
            segments in prop::collection::hash_set(prop::collection::vec(0..BARRIER, 2..6), 0..30)
        ) -> Vec<Vec<u32>> {
            segments.into_iter().collect()
        }
    }

    proptest! {
        #[test]
        fn units_that_were_not_excluded_are_canonical(
            segments in distinct_segments(),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let vocabulary = vocabulary(&segments);
            let mut guard = guard(&vocabulary);
            let mut units = Vec::new();
            for choice in choices {
                let excluded = guard.excluded();
                let allowed: Vec<u32> = (0..vocabulary.size()).filter(|unit| !excluded.contains(unit)).collect();
                prop_assert!(allowed.contains(&BARRIER));
                let unit = *choice.get(&allowed);
                guard.push(unit).unwrap();
                units.push(unit);
                prop_assert!(is_canonical(&vocabulary, &units));
                prop_assert!(unit != BARRIER || guard.excluded().is_empty());
            }
        }

        #[test]
        fn what_is_excluded_is_what_would_overtake(
            segments in distinct_segments(),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let vocabulary = vocabulary(&segments);
            let ids: Vec<u32> = (0..vocabulary.size()).collect();
            let mut guard = guard(&vocabulary);
            let mut units = Vec::new();
            for choice in choices {
                let unit = *choice.get(&ids);
                guard.push(unit).unwrap();
                units.push(unit);
                prop_assert_eq!(guard.overtaken(), overtaken_by_definition(&vocabulary, &units).len());
                prop_assert_eq!(guard.is_canonical(), is_canonical(&vocabulary, &units));
                prop_assert_eq!(guard.excluded(), excluded_by_definition(&vocabulary, &units));
                prop_assert!(guard.open.len() < segments.iter().map(Vec::len).max().unwrap_or(1));
            }
        }

        #[test]
        fn canonical_units_exclude_exactly_what_is_not(
            segments in distinct_segments(),
            tokens in prop::collection::vec(0..BASE_SIZE, 0..30),
        ) {
            let vocabulary = vocabulary(&segments);
            let mut guard = guard(&vocabulary);
            let units = vocabulary.encode(&tokens).unwrap();
            for &unit in &units {
                guard.push(unit).unwrap();
            }
            let off = |&unit: &u32| !is_canonical(&vocabulary, &[&units[..], &[unit]].concat());
            let expected: Vec<u32> = (0..vocabulary.size()).filter(off).collect();
            prop_assert_eq!(guard.excluded(), expected);
        }
    }
}
