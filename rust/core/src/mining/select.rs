//! Which candidates become latents: those without which the most units would be lost.
//!
//! The vocabulary grows in steps. Each step adds the candidates that are estimated to save the most units,
//! twice as many as there is room for. Then those whose removal costs least are dropped, a share at a time,
//! with a new parse each time. Once the vocabulary is full, candidates are added and as many dropped again,
//! as long as that helps.
//!
//! Selection estimates what a segment will save on unseen tasks. A segment's uses are multiplied by its
//! [`trust`], the share that we expect to recur. The rest of its uses are credited to the shorter segments
//! that would encode the same text. So a short segment is worth more than its own uses. What has none is not
//! chosen.

pub(crate) mod marginals;
pub mod match_trie;
pub(crate) mod matches;
mod parser;
pub mod uses;

use std::sync::Arc;

use crate::error::Result;
use crate::mining::runs::parts::RunParts;
use crate::mining::runs::sample::WeightedRuns;
use crate::mining::search::candidates::Candidates;
use crate::mining::search::worth::trust;
use crate::mining::select::marginals::{Gains, Usage};
use crate::mining::select::matches::{MatchedRuns, Matcher};
use crate::mining::select::parser::{Parser, TOKEN};
use crate::tokens::checks::check_length;
use crate::tokens::segments::Segments;

/// Steps in which the vocabulary grows to its size. A single step would fill it with variants of the same
/// segments.
const STEPS: usize = 12;

/// Rounds of adding and dropping after that. Twelve save 0.1 points more in twice the time.
const ROUNDS: usize = 4;

/// More than any pool holds, and few enough that no product of a size overflows.
const MOST_CHOSEN: usize = 1 << 40;

/// Share of the remaining segments that is dropped between two parses. Twice as much saves 0.1 points less.
const DROPPED_SHARE: f64 = 0.1;

/// Tokens of the distinct runs that selection parses, as a sample of a larger corpus. The candidates' counts
/// and supports are those of the whole corpus (supports up to 128 in one that was searched by a sample). A
/// quarter of this saves 0.1 to 0.2 points less.
const SAMPLED_TOKENS: usize = 4 << 20;

/// How many times as much a new segment must save to replace one that a model has learned.
const HELD_WORTH: f64 = 2.0;

/// What vocabularies of one pool of candidates are chosen by: a sample of the runs, and where candidates match in it.
#[derive(Debug)]
pub(crate) struct Selector {
    candidates: Arc<Candidates>,
    matcher: Matcher,
    /// The sample.
    runs: MatchedRuns,
    /// The matches in the text of each candidate without itself.
    texts: Segments,
    trusts: Vec<f64>,
    /// What a unit that each candidate saves is worth: its trust, and more for those that are held.
    worths: Vec<f64>,
}

impl Selector {
    /// Candidates for which `held` is true are preferred.
    ///
    /// # Errors
    /// If the candidates hold more tokens than a trie of them can have nodes, `held` has not one entry for each
    /// candidate, or runs cannot be read from disk.
    pub(crate) fn new(runs: &RunParts, candidates: Arc<Candidates>, held: &[bool]) -> Result<Self> {
        check_length("held", held.len(), candidates.len())?;
        let sample = WeightedRuns::sample(runs, SAMPLED_TOKENS)?;
        let trust_of = |index| trust(candidates.supports()[index], candidates.segments().get(index).len());
        let trusts: Vec<f64> = (0..candidates.len()).map(trust_of).collect();
        let worth = |(trust, &held): (&f64, &bool)| if held { trust * HELD_WORTH } else { *trust };
        let worths = trusts.iter().zip(held).map(worth).collect();
        let matcher = Matcher::new(candidates.segments())?;
        let (runs, texts) = (matcher.in_runs(&sample), matcher.in_candidates(candidates.segments()));
        Ok(Selector { candidates, matcher, runs, texts, trusts, worths })
    }

    /// At most `size` of the candidates of `pool`, those without which the most units would be lost first.
    ///
    /// All are used in the parse of the sample: a model has nothing to learn the others from.
    ///
    /// It is the choice of a selector of that pool alone: no parse depends on candidates that are not chosen.
    pub(crate) fn choose(&self, pool: &[usize], size: usize) -> Vec<usize> {
        let size = size.min(MOST_CHOSEN);
        let mut open = vec![false; self.candidates.len()];
        pool.iter().for_each(|&candidate| open[candidate] = true);
        let mut best = Present::empty(self, &open);
        for step in 1..=STEPS {
            let room = (size * step / STEPS).saturating_sub(best.chosen().len());
            best = best.replaced(best.grown(2 * room), best.chosen().len() + room);
        }
        let mut added = size;
        for _ in 0..ROUNDS {
            let next = best.replaced(best.grown(added), size);
            if next.savings() > best.savings() {
                best = next;
            } else {
                added /= 2;
            }
        }
        // Until here, uses that longer segments are not expected to have again were enough to stay.
        let is_used = |&place: &usize| best.usage.uses[place] > 0;
        best.by_loss().into_iter().filter(is_used).map(|place| best.chosen()[place]).collect()
    }
}

/// A vocabulary with its uses and losses in the parse of the sample.
struct Present<'a> {
    selector: &'a Selector,
    /// Which candidates may be added.
    open: &'a [bool],
    parser: Parser,
    usage: Usage,
    /// Uses of longer segments that are not expected to recur, credited to the segments that would encode
    /// their text.
    inherited: Vec<f64>,
}

impl<'a> Present<'a> {
    fn empty(selector: &'a Selector, open: &'a [bool]) -> Self {
        let parser = Parser::new(&selector.matcher, Vec::new());
        Present { selector, open, parser, usage: Usage::default(), inherited: Vec::new() }
    }

    /// The vocabulary of other candidates, which ascend.
    fn with(&self, chosen: Vec<usize>) -> Self {
        let Selector { matcher, runs, .. } = self.selector;
        let parser = Parser::new(matcher, chosen);
        let usage = self.usage.after(&self.parser, &parser, runs);
        let mut present =
            Present { selector: self.selector, open: self.open, parser, usage, inherited: Vec::new() };
        present.inherited = present.inherit();
        present
    }

    /// The vocabulary of other candidates without the segments that cost least. They are dropped a share at a
    /// time, until at most `size` are left and something is expected to be lost without each.
    fn replaced(&self, chosen: Vec<usize>, size: usize) -> Self {
        let mut present = self.with(chosen);
        loop {
            let mut order = present.by_loss();
            if order.len() == present.chosen().len() && order.len() <= size {
                return present;
            }
            let dropped = ((order.len() as f64 * DROPPED_SHARE) as usize).max(1);
            order.truncate(order.len().saturating_sub(dropped).max(size));
            order.sort_unstable();
            present = present.with(order.into_iter().map(|place| present.chosen()[place]).collect());
        }
    }

    /// The candidates in it, ascending.
    fn chosen(&self) -> &[usize] {
        self.parser.chosen()
    }

    /// The text of a segment without a latent is encoded by shorter segments, so one pass from the longest to
    /// the shortest credits all of them.
    fn inherit(&self) -> Vec<f64> {
        let mut inherited = vec![0.0; self.chosen().len()];
        let mut order: Vec<usize> = (0..self.chosen().len()).collect();
        order.sort_by_key(|&place| std::cmp::Reverse(self.text(place).len()));
        for place in order {
            let unexpected = self.unexpected(place, inherited[place]);
            if unexpected > 0.0 {
                self.parser.parse(self.text(place), |heir| {
                    if heir.place != TOKEN {
                        inherited[heir.place as usize] += unexpected;
                    }
                });
            }
        }
        inherited
    }

    /// The matches in the text of the segment at `place` without itself.
    fn text(&self, place: usize) -> &[u32] {
        self.selector.texts.get(self.chosen()[place])
    }

    fn trust(&self, place: usize) -> f64 {
        self.selector.trusts[self.chosen()[place]]
    }

    fn worth(&self, place: usize) -> f64 {
        self.selector.worths[self.chosen()[place]]
    }

    /// The uses of a segment that are not expected on unseen tasks.
    fn unexpected(&self, place: usize, inherited: f64) -> f64 {
        (self.usage.uses[place] as f64 + inherited) * (1.0 - self.trust(place))
    }

    /// Units that are expected to be lost without each segment.
    fn losses(&self) -> Vec<f64> {
        let loss = |place: usize| {
            let text = self.text(place);
            let units = self.parser.units_within(text, text.len());
            let inherited = self.inherited[place] * (units as f64 - 1.0);
            (self.usage.losses[place] as f64 + inherited) * self.worth(place)
        };
        (0..self.chosen().len()).map(loss).collect()
    }

    /// Units that all segments together are expected to save.
    fn savings(&self) -> f64 {
        let saved = |place: usize| {
            let uses = self.usage.uses[place] as f64 + self.inherited[place];
            uses * (self.text(place).len() as f64 - 1.0) * self.worth(place)
        };
        (0..self.chosen().len()).map(saved).sum()
    }

    /// The places of the segments without which units are expected to be lost, the largest loss first.
    fn by_loss(&self) -> Vec<usize> {
        let losses = self.losses();
        let mut order: Vec<usize> = (0..losses.len()).filter(|&place| losses[place] > 0.0).collect();
        order.sort_by(|&one, &other| losses[other].total_cmp(&losses[one]).then(one.cmp(&other)));
        order
    }

    /// The chosen candidates and the `added` others that are estimated to save the most units in their parse.
    fn grown(&self, added: usize) -> Vec<usize> {
        let gains = self.gains();
        let gains_some = |&candidate: &usize| self.open[candidate] && gains[candidate] > 0.0;
        let mut order: Vec<usize> = (0..gains.len()).filter(gains_some).collect();
        order.sort_by(|&one, &other| gains[other].total_cmp(&gains[one]).then(one.cmp(&other)));
        order.truncate(added);
        order.extend(self.chosen());
        order.sort_unstable();
        order.dedup();
        order
    }

    /// An estimate of the units that each candidate alone would save.
    fn gains(&self) -> Vec<f64> {
        let Selector { matcher, runs, worths, .. } = self.selector;
        let gains = Gains::new(matcher, &self.parser);
        let mut saved: Vec<f64> = gains.in_runs(runs).into_iter().map(|units| units as f64).collect();
        let unexpected = |place: usize| self.unexpected(place, self.inherited[place]);
        let texts = (0..self.chosen().len()).map(|place| (self.text(place), unexpected(place)));
        gains.add_in_texts(texts.filter(|&(_, uses)| uses > 0.0), &mut saved);
        saved.iter().zip(worths).map(|(units, worth)| units * worth).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::tests::folded;
    use crate::mining::search::find_candidates;
    use crate::mining::search::limits::Limits;
    use crate::mining::select::uses::count_uses;
    use crate::vocabulary::Vocabulary;
    use proptest::prelude::*;

    fn runs_of(parts: &[Vec<u32>]) -> RunParts {
        folded(parts.iter().zip(0..), &[0]).into()
    }

    fn candidates_in(runs: &RunParts) -> Candidates {
        find_candidates(runs, &Limits { min_count: 2, min_support: 1, max_length: 32, most: 1000 }).unwrap()
    }

    fn chosen_segments(parts: &[Vec<u32>], size: usize) -> (Vec<Vec<u32>>, Vec<u64>) {
        let runs = runs_of(parts);
        let candidates = candidates_in(&runs);
        let chosen = chosen_holding(&runs, &candidates, |_| false, size).unwrap();
        let uses = count_uses(&runs, &chosen.iter().map(Vec::as_slice).collect()).unwrap();
        (chosen, uses)
    }

    fn chosen_holding(
        runs: &RunParts,
        candidates: &Candidates,
        is_held: fn(&[u32]) -> bool,
        size: usize,
    ) -> Result<Vec<Vec<u32>>> {
        let held: Vec<bool> = candidates.segments().iter().map(is_held).collect();
        let selector = Selector::new(runs, Arc::new(candidates.clone()), &held)?;
        let segment = |candidate| candidates.segments().get(candidate).to_vec();
        let pool: Vec<usize> = (0..candidates.len()).collect();
        Ok(selector.choose(&pool, size).into_iter().map(segment).collect())
    }

    #[test]
    fn what_saves_most_wins_over_what_is_frequent() {
        // "1 2" occurs eight times and saves 8; "3 4 5 6 7" five times and saves 20.
        let mut parts = vec![vec![1, 2]; 8];
        parts.extend(vec![vec![3, 4, 5, 6, 7]; 5]);
        assert_eq!(chosen_segments(&parts, 1), (vec![vec![3, 4, 5, 6, 7]], vec![5]));
    }

    #[test]
    fn a_segment_that_longer_ones_hid_comes_back() {
        // With room for one, the part that both long runs share.
        let long = |last: u32| vec![1, 2, 3, 4, last];
        let parts: Vec<Vec<u32>> = (10..14).flat_map(|last| [long(last), long(last)]).collect();
        assert_eq!(chosen_segments(&parts, 1), (vec![vec![1, 2, 3, 4]], vec![8]));
    }

    #[test]
    fn a_held_segment_stays_unless_another_saves_twice_as_much() {
        let chosen_beside = |rivals: usize| {
            // "1 2" saves a unit at each of six occurrences, and so does "3 4".
            let parts: Vec<Vec<u32>> =
                (0..6).map(|_| vec![1, 2]).chain((0..rivals).map(|_| vec![3, 4])).collect();
            let runs = runs_of(&parts);
            let candidates = candidates_in(&runs);
            let chosen = chosen_holding(&runs, &candidates, |segment| segment == [1, 2], 1).unwrap();
            chosen[0].clone()
        };
        assert_eq!(chosen_beside(11), [1, 2]);
        assert_eq!(chosen_beside(13), [3, 4]);
        let runs = runs_of(&[vec![1, 2], vec![1, 2]]);
        let error = Selector::new(&runs, Arc::new(candidates_in(&runs)), &[]).unwrap_err();
        assert_eq!(error, crate::Error::Length { what: "held", found: 0, expected: 1 });
    }

    #[test]
    fn any_size_beyond_the_pool_chooses_the_same() {
        let parts = [vec![1, 2, 3, 4, 1, 2], vec![1, 2, 3, 4], vec![3, 4, 1, 2]];
        assert_eq!(chosen_segments(&parts, usize::MAX), chosen_segments(&parts, 10_000));
        assert_eq!(chosen_segments(&parts, usize::MAX / 4), chosen_segments(&parts, 10_000));
    }

    #[test]
    fn nothing_recurs_nothing_is_chosen() {
        assert_eq!(chosen_segments(&[vec![1, 2, 3], vec![4, 5, 6]], 8).0, Vec::<Vec<u32>>::new());
    }

    proptest! {
        #[test]
        fn uses_are_those_of_the_token_parse(
            parts in prop::collection::vec(prop::collection::vec(0u32..4, 0..30), 0..10), size in 1usize..6
        ) {
            let (segments, uses) = chosen_segments(&parts, size);
            prop_assert!(segments.len() <= size);
            prop_assert!(uses.iter().all(|&uses| uses > 0));
            let vocabulary = Vocabulary::new(4, segments.iter().map(Vec::as_slice).collect()).unwrap();
            let mut expected = vec![0; segments.len()];
            for part in &parts {
                for unit in vocabulary.encode(part).unwrap() {
                    if unit >= 4 {
                        expected[unit as usize - 4] += 1;
                    }
                }
            }
            prop_assert_eq!(uses, expected);
        }
    }
}
