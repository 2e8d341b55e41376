//! Where the candidates match in a text. It is found once, and all rounds of selection parse by it.
//!
//! Candidates that match at the same position are prefixes of each other. So the longest one is enough, one
//! number for each position: the others are its prefixes, and so is the longest one of any vocabulary that is
//! chosen from the candidates.
//!
//! ```text
//! candidates   ab  abc  abcd  bc          shorter    abcd -> abc -> ab
//! text         a    b  c   x              chosen     ab, bc
//! longest      abc  bc -   -              parse      ab|c|x
//! ```

use std::collections::HashMap;

use rayon::prelude::*;
use rustc_hash::FxBuildHasher;

use crate::error::Result;
use crate::mining::runs::sample::WeightedRuns;
use crate::mining::select::match_trie::MatchingTrie;
use crate::tokens::segments::Segments;

/// Fewest runs for one task of the thread pool.
const RUNS_A_TASK: usize = 256;

/// The matches of candidates, which ascend, so that a prefix comes before the longer ones.
///
/// A text is given by its *matches*: at each position the longest candidate that matches there, or
/// [`Matcher::none`].
#[derive(Debug)]
pub(crate) struct Matcher {
    trie: MatchingTrie,
    /// The last entry is no candidate: a single token, and its own prefix.
    candidates: Vec<Link>,
}

/// A candidate as a part of the chain of those that match at one position.
#[derive(Debug)]
struct Link {
    /// Number of its tokens.
    length: u32,
    /// The longest other candidate that it begins with.
    shorter: u32,
}

impl Matcher {
    /// # Errors
    /// If the candidates hold more tokens than a trie of them can have nodes.
    pub(crate) fn new(candidates: &Segments) -> Result<Self> {
        let trie = MatchingTrie::new(candidates)?;
        let none = candidates.len() as u32;
        let link = |segment: &[u32]| {
            let prefix = &segment[..segment.len().saturating_sub(1)];
            Link { length: segment.len() as u32, shorter: longest(&trie, prefix, none) }
        };
        let candidates = candidates.iter().map(link).chain([Link { length: 1, shorter: none }]).collect();
        Ok(Matcher { trie, candidates })
    }

    /// Stands where no candidate matches.
    pub(crate) fn none(&self) -> u32 {
        self.candidates.len() as u32 - 1
    }

    /// Number of tokens.
    pub(crate) fn length(&self, candidate: u32) -> usize {
        self.candidates[candidate as usize].length as usize
    }

    /// The longest other candidate that this one begins with.
    pub(crate) fn shorter(&self, candidate: u32) -> u32 {
        self.candidates[candidate as usize].shorter
    }

    /// The candidates of more than `length` tokens that match where this one is the longest, with their
    /// lengths, the longest first.
    #[inline]
    pub(crate) fn longer_than(&self, longest: u32, length: usize) -> impl Iterator<Item = (u32, usize)> {
        let mut candidate = longest;
        std::iter::from_fn(move || {
            let link = &self.candidates[candidate as usize];
            let found = (candidate, link.length as usize);
            candidate = link.shorter;
            (found.1 > length).then_some(found)
        })
    }

    /// The matches in the text of each candidate without itself, as if it were absent from the vocabulary.
    pub(crate) fn in_candidates(&self, candidates: &Segments) -> Segments {
        let mut texts = Segments::default();
        for (segment, candidate) in candidates.iter().zip(0..) {
            let mut matches = self.in_text(segment);
            if let Some(first) = matches.first_mut() {
                *first = self.shorter(candidate);
            }
            texts.push(&matches);
        }
        texts
    }

    /// The matches in the runs, which are cut wherever no candidate reaches across, and folded.
    ///
    /// Parses stay as they were, but for single tokens, which are left out. An agent repeats the text between
    /// its arguments, so the result is small. Pieces of equal matches are equal: each token is part of a match.
    pub(crate) fn in_runs(&self, runs: &WeightedRuns) -> MatchedRuns {
        let cut = |mut pieces: WeightedRuns, run: usize| {
            let matches = self.in_text(runs.strings.get(run));
            self.for_each_piece(&matches, |piece| pieces.push(piece, runs.weights[run]));
            pieces
        };
        let indices = (0..runs.len()).into_par_iter().with_min_len(RUNS_A_TASK);
        let parts: Vec<WeightedRuns> = indices.fold(WeightedRuns::default, cut).collect();
        MatchedRuns::new(folded(&parts), self.none())
    }

    /// Calls `visit` with the longest parts that no match reaches out of, but for single tokens.
    fn for_each_piece(&self, matches: &[u32], mut visit: impl FnMut(&[u32])) {
        let (mut start, mut reached) = (0, 0);
        for position in 0..=matches.len() {
            if position >= reached {
                if position - start >= 2 {
                    visit(&matches[start..position]);
                }
                start = position;
            }
            if let Some(&candidate) = matches.get(position) {
                reached = reached.max(position + self.length(candidate));
            }
        }
    }

    /// The matches in a text.
    pub(crate) fn in_text(&self, tokens: &[u32]) -> Vec<u32> {
        let at = |start: usize| longest(&self.trie, &tokens[start..], self.none());
        (0..tokens.len()).map(at).collect()
    }
}

/// Runs by their matches. A sample has fewer than 2^32 of them.
#[derive(Debug)]
pub(crate) struct MatchedRuns {
    runs: WeightedRuns,
    /// The run of each position, in the order of the longest matches there.
    places: Vec<u32>,
    /// Where those of each candidate, and of none, start in `places`; and the end.
    starts: Vec<usize>,
}

impl MatchedRuns {
    fn new(runs: WeightedRuns, none: u32) -> Self {
        let mut starts = vec![0; none as usize + 2];
        for &longest in runs.strings.tokens() {
            starts[longest as usize + 1] += 1;
        }
        for candidate in 1..starts.len() {
            starts[candidate] += starts[candidate - 1];
        }
        let mut next = starts.clone();
        let mut places = vec![0; runs.strings.tokens().len()];
        for (matches, run) in runs.strings.iter().zip(0..) {
            for &longest in matches {
                places[next[longest as usize]] = run;
                next[longest as usize] += 1;
            }
        }
        MatchedRuns { runs, places, starts }
    }

    /// Number of runs.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The matches in a run.
    pub(crate) fn matches(&self, run: usize) -> &[u32] {
        self.runs.strings.get(run)
    }

    /// How many occurrences a run stands for.
    pub(crate) fn weight(&self, run: usize) -> u64 {
        self.runs.weights[run]
    }

    /// The runs where a candidate for which `changes` is true is the longest match at some position.
    pub(crate) fn with(&self, changes: &[bool]) -> Vec<usize> {
        let mut found = vec![false; self.len()];
        for candidate in (0..changes.len()).filter(|&candidate| changes[candidate]) {
            for &run in &self.places[self.starts[candidate]..self.starts[candidate + 1]] {
                found[run as usize] = true;
            }
        }
        (0..self.len()).filter(|&run| found[run]).collect()
    }
}

/// The longest segment of the trie that `tokens` begins with, or `none`.
fn longest(trie: &MatchingTrie, tokens: &[u32], none: u32) -> u32 {
    let mut found = none;
    trie.for_each_match(tokens, |index, _| found = index);
    found
}

/// Equal runs of all parts as one, with the sum of their weights.
fn folded(parts: &[WeightedRuns]) -> WeightedRuns {
    let mut weights: HashMap<&[u32], u64, FxBuildHasher> = HashMap::default();
    for part in parts {
        for (run, weight) in part.strings.iter().zip(&part.weights) {
            *weights.entry(run).or_default() += weight;
        }
    }
    let (strings, weights) = weights.into_iter().unzip::<_, _, Vec<_>, _>();
    WeightedRuns { strings: strings.into_iter().collect(), weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::select::marginals::Usage;
    use crate::mining::select::parser::Parser;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cutting_where_no_candidate_reaches_across_changes_no_use(
            candidates in prop::collection::btree_set(prop::collection::vec(0u32..5, 2..6), 1..8),
            runs in prop::collection::vec((prop::collection::vec(0u32..5, 2..30), 1u64..5), 0..8),
        ) {
            let candidates: Segments = candidates.iter().map(Vec::as_slice).collect();
            let matcher = Matcher::new(&candidates).unwrap();
            let (mut weighted, mut whole) = (WeightedRuns::default(), WeightedRuns::default());
            for (run, weight) in &runs {
                weighted.push(run, *weight);
                whole.push(&matcher.in_text(run), *weight);
            }
            let none = Parser::new(&matcher, Vec::new());
            let all = Parser::new(&matcher, (0..candidates.len()).collect());
            let usage = |runs: &MatchedRuns| Usage::default().after(&none, &all, runs);
            let whole = MatchedRuns::new(whole, matcher.none());
            prop_assert_eq!(usage(&matcher.in_runs(&weighted)), usage(&whole));
        }

        #[test]
        fn runs_with_changes_are_those_of_a_search(
            runs in prop::collection::vec(prop::collection::vec(0u32..4, 2..9), 0..8),
            changes in prop::collection::vec(any::<bool>(), 4),
        ) {
            let mut weighted = WeightedRuns::default();
            runs.iter().for_each(|run| weighted.push(run, 1));
            let is_changed = |run: &usize| runs[*run].iter().any(|&longest| changes[longest as usize]);
            let expected: Vec<usize> = (0..runs.len()).filter(is_changed).collect();
            prop_assert_eq!(MatchedRuns::new(weighted, 3).with(&changes), expected);
        }
    }
}
