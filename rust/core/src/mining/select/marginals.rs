//! The units that a parse would lose without one of its segments ([`losses`]), and gain with one more ([`gains`]).

mod gains;
mod losses;

pub(crate) use gains::Gains;
pub(crate) use losses::Usage;

/// Fewest runs for one task of the thread pool, whose sums are as long as the vocabulary.
pub(crate) const RUNS_A_TASK: usize = 1024;

/// The sums of two lists, entry by entry.
pub(crate) fn add<T: std::ops::AddAssign>(mut left: Vec<T>, right: Vec<T>) -> Vec<T> {
    for (sum, value) in left.iter_mut().zip(right) {
        *sum += value;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::sample::WeightedRuns;
    use crate::mining::select::match_trie::tests::token_parse;
    use crate::mining::select::matches::{MatchedRuns, Matcher};
    use crate::mining::select::parser::{ParsedUnit, Parser, TOKEN};
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Candidates, which ascend, and runs.
    pub(super) struct Setting {
        pub(super) candidates: Vec<Vec<u32>>,
        pub(super) matcher: Matcher,
        pub(super) runs: MatchedRuns,
    }

    impl Setting {
        pub(super) fn new(candidates: impl IntoIterator<Item = Vec<u32>>, runs: &[(Vec<u32>, u64)]) -> Self {
            let candidates: Vec<Vec<u32>> = candidates.into_iter().collect();
            let matcher = Matcher::new(&segments(&candidates)).unwrap();
            let mut weighted = WeightedRuns::default();
            runs.iter().for_each(|(run, weight)| weighted.push(run, *weight));
            let runs = matcher.in_runs(&weighted);
            Setting { candidates, matcher, runs }
        }

        pub(super) fn parser(&self, chosen: impl IntoIterator<Item = usize>) -> Parser {
            Parser::new(&self.matcher, chosen.into_iter().collect())
        }

        pub(super) fn all(&self) -> Parser {
            self.parser(0..self.candidates.len())
        }

        pub(super) fn usage(&self, parser: &Parser) -> Usage {
            Usage::default().after(&self.parser([]), parser, &self.runs)
        }
    }

    fn segments(list: &[Vec<u32>]) -> Segments {
        list.iter().map(Vec::as_slice).collect()
    }

    /// Number of units in a parse by these segments.
    pub(super) fn units(list: &[Vec<u32>], run: &[u32]) -> i64 {
        token_parse(&segments(list), run).len() as i64
    }

    /// The index of each unit's segment, or TOKEN, and where it ends.
    pub(super) fn parse(list: &[Vec<u32>], run: &[u32]) -> Vec<ParsedUnit> {
        let units = token_parse(&segments(list), run);
        units.into_iter().map(|(index, end)| ParsedUnit { place: index.unwrap_or(TOKEN), end }).collect()
    }

    pub(super) fn candidates() -> impl Strategy<Value = BTreeSet<Vec<u32>>> {
        prop::collection::btree_set(prop::collection::vec(0u32..4, 2..6), 1..8)
    }

    pub(super) fn runs() -> impl Strategy<Value = Vec<(Vec<u32>, u64)>> {
        prop::collection::vec((prop::collection::vec(0u32..4, 2..30), 1u64..5), 0..8)
    }
}
