//! Which candidates become latents: by what would be lost without them, not by frequency.
//!
//! Two steps take turns. *Pruning* parses the corpus with all segments left, drops those whose removal costs
//! the fewest units, and parses again, until as many are left as were asked for. *Growing* looks at that
//! parse and adds the candidates that would save the most units in it: segments that pruning lost early,
//! while longer ones stood in their way. What both weigh is what may be expected on a task not yet seen.

use rayon::prelude::*;

use crate::parse::{MatchingTrie, Unit};
use crate::runs::Runs;
use crate::segments::Segments;
use crate::trie::Candidates;

/// Share of the segments left that pruning drops between two parses. Half as much chose no better.
const DROPPED_SHARE: f64 = 0.1;

/// Growing ends after so many rounds: by then a round gains a few units in ten thousand.
const MOST_ROUNDS: usize = 12;

/// Runs parsed by one task of the thread pool.
const RUNS_A_TASK: usize = 256;

/// A segment that was chosen, by its index among the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Index among the candidates.
    pub candidate: usize,
    /// How often the canonical parse of the corpus with all chosen segments uses it.
    pub uses: u64,
}

/// At most `size` of the candidates, those without which the most units would be lost first.
///
/// `runs` are the agent's tokens between barriers, *without* an entropy gate: that is what will be parsed.
/// Fewer are returned where fewer are of use.
pub fn select(runs: &Runs, candidates: &Candidates, size: usize) -> Vec<Chosen> {
    let selector = Selector { runs, candidates, size, all: MatchingTrie::new(&candidates.segments) };
    let mut best = selector.prune((0..candidates.len()).collect());
    let mut added = size;
    for _ in 0..MOST_ROUNDS {
        let next = selector.prune(selector.grow(&best, added));
        if selector.expected_savings(&next) > selector.expected_savings(&best) {
            best = next;
        } else {
            added /= 2;
        }
    }
    best
}

struct Selector<'a> {
    runs: &'a Runs,
    candidates: &'a Candidates,
    size: usize,
    /// The trie of every candidate.
    all: MatchingTrie,
}

impl Selector<'_> {
    /// The share of a candidate's uses that may be expected on an unseen task, by leaving one task out:
    /// of the s tasks that it occurs in, each has met it in s - 1 others.
    fn trust(&self, candidate: usize) -> f64 {
        let support = f64::from(self.candidates.supports[candidate]);
        (support - 1.0).max(0.01) / support
    }

    /// Units that the chosen segments may be expected to save.
    fn expected_savings(&self, chosen: &[Chosen]) -> f64 {
        let saved =
            |chosen: &Chosen| chosen.uses * (self.candidates.segments.get(chosen.candidate).len() as u64 - 1);
        chosen.iter().map(|chosen| saved(chosen) as f64 * self.trust(chosen.candidate)).sum()
    }

    /// Drops what costs least, a share at a time, until at most `size` are left and all of use.
    fn prune(&self, mut left: Vec<usize>) -> Vec<Chosen> {
        loop {
            let segments: Segments =
                left.iter().map(|&candidate| self.candidates.segments.get(candidate)).collect();
            let trie = MatchingTrie::new(&segments);
            let uses = self.count_uses(&trie, segments.len());
            let loss = |index: usize| {
                let units = uses[index] * (units_without(&trie, segments.get(index)) - 1);
                units as f64 * self.trust(left[index])
            };
            let losses: Vec<f64> = (0..left.len()).into_par_iter().map(loss).collect();
            let mut order: Vec<usize> = (0..left.len()).filter(|&index| losses[index] > 0.0).collect();
            order.sort_by(|&one, &other| losses[other].total_cmp(&losses[one]).then(one.cmp(&other)));
            if order.len() == left.len() && order.len() <= self.size {
                return order
                    .iter()
                    .map(|&index| Chosen { candidate: left[index], uses: uses[index] })
                    .collect();
            }
            order.truncate(self.next_number(order.len()));
            order.sort_unstable();
            left = order.into_iter().map(|index| left[index]).collect();
        }
    }

    /// How many of `useful` segments to keep for the next parse.
    fn next_number(&self, useful: usize) -> usize {
        let dropped = ((useful as f64 * DROPPED_SHARE) as usize).max(1);
        useful.saturating_sub(dropped).max(self.size).min(useful)
    }

    /// The chosen candidates and the `added` others that would save the most units in their parse.
    fn grow(&self, chosen: &[Chosen], added: usize) -> Vec<usize> {
        let gains = self.gains(chosen);
        let gain = |candidate: usize| gains[candidate] as f64 * self.trust(candidate);
        let mut order: Vec<usize> = (0..gains.len()).filter(|&candidate| gains[candidate] > 0).collect();
        order.sort_by(|&one, &other| gain(other).total_cmp(&gain(one)).then(one.cmp(&other)));
        order.truncate(added);
        order.extend(chosen.iter().map(|chosen| chosen.candidate));
        order.sort_unstable();
        order.dedup();
        order
    }

    /// Units that each candidate alone would save, put where a unit of the present parse begins.
    fn gains(&self, chosen: &[Chosen]) -> Vec<u64> {
        let segments: Segments =
            chosen.iter().map(|chosen| self.candidates.segments.get(chosen.candidate)).collect();
        let trie = MatchingTrie::new(&segments);
        (0..self.runs.len())
            .into_par_iter()
            .with_min_len(RUNS_A_TASK)
            .fold(
                || Gains::new(self.candidates.len()),
                |mut gains, run| {
                    gains.add_run(&self.all, &trie, self.runs.segments().get(run), self.runs.count(run));
                    gains
                },
            )
            .map(|gains| gains.units)
            .reduce(|| vec![0; self.candidates.len()], add)
    }

    /// How often the canonical parse of all runs uses each of the trie's segments.
    fn count_uses(&self, trie: &MatchingTrie, segments: usize) -> Vec<u64> {
        let count = |mut uses: Vec<u64>, run: usize| {
            trie.parse(self.runs.segments().get(run), |unit| {
                if let Unit::Segment { index, .. } = unit {
                    uses[index as usize] += self.runs.count(run);
                }
            });
            uses
        };
        let runs = (0..self.runs.len()).into_par_iter().with_min_len(RUNS_A_TASK);
        runs.fold(|| vec![0; segments], count).reduce(|| vec![0; segments], add)
    }
}

fn add(mut left: Vec<u64>, right: Vec<u64>) -> Vec<u64> {
    for (sum, value) in left.iter_mut().zip(right) {
        *sum += value;
    }
    left
}

/// Units that spell `segment` with all other segments of the trie.
fn units_without(trie: &MatchingTrie, segment: &[u32]) -> u64 {
    let first = trie.longest_match_within(segment, segment.len() - 1).map_or(1, Unit::length);
    let mut units = 1;
    trie.parse(&segment[first..], |_| units += 1);
    units
}

/// What each candidate would save, gathered run by run.
struct Gains {
    units: Vec<u64>,
    /// Where the last counted occurrence of each candidate ended, over all runs seen: its own
    /// occurrences must not overlap.
    last_end: Vec<u64>,
    /// Tokens of the runs seen so far.
    seen: u64,
    /// Where each unit of the present run ends.
    ends: Vec<usize>,
}

impl Gains {
    fn new(candidates: usize) -> Self {
        Gains { units: vec![0; candidates], last_end: vec![0; candidates], seen: 0, ends: Vec::new() }
    }

    fn add_run(&mut self, all: &MatchingTrie, trie: &MatchingTrie, run: &[u32], count: u64) {
        let Gains { units, last_end, seen, ends } = self;
        let mut position = 0;
        ends.clear();
        trie.parse(run, |unit| {
            position += unit.length();
            ends.push(position);
        });
        let mut start = 0;
        for (first, &end_of_first) in ends.iter().enumerate() {
            let mut last = first;
            all.for_each_match(&run[start..], |candidate, length| {
                let end = start + length;
                // The longest match wins: what is no longer than the present unit would not be taken.
                if end <= end_of_first {
                    return;
                }
                while ends[last] < end {
                    last += 1;
                }
                let before = last - first + 1;
                // The last unit may be cut in two; its rest is spelt anew.
                let mut after = 1;
                trie.parse(&run[end..ends[last]], |_| after += 1);
                if before > after && last_end[candidate as usize] <= *seen + start as u64 {
                    last_end[candidate as usize] = *seen + end as u64;
                    units[candidate as usize] += (before - after) as u64 * count;
                }
            });
            start = end_of_first;
        }
        *seen += run.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Barriers, RunFolder, Trajectories};
    use crate::trie::{Limits, find_candidates};
    use crate::vocabulary::Vocabulary;
    use proptest::prelude::*;

    fn runs_of(parts: &[Vec<u32>]) -> Runs {
        let mut folder = RunFolder::default();
        for (task, tokens) in parts.iter().enumerate() {
            let part = Trajectories {
                tokens,
                offsets: &[0, tokens.len()],
                action: &vec![true; tokens.len()],
                continues: None,
                tasks: &[task as u32],
            };
            folder.add(&part, &Barriers::new(&[0])).unwrap();
        }
        folder.finish()
    }

    fn chosen_segments(parts: &[Vec<u32>], size: usize) -> (Vec<Vec<u32>>, Vec<u64>) {
        let runs = runs_of(parts);
        let limits = Limits { min_count: 2, min_support: 1, max_length: 32 };
        let candidates = find_candidates(&runs, &limits).unwrap();
        let chosen = select(&runs, &candidates, size);
        let segment = |chosen: &Chosen| candidates.segments.get(chosen.candidate).to_vec();
        (chosen.iter().map(segment).collect(), chosen.iter().map(|chosen| chosen.uses).collect())
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
        // With room for one, neither long run but what they share.
        let long = |last: u32| vec![1, 2, 3, 4, last];
        let parts: Vec<Vec<u32>> = (10..14).flat_map(|last| [long(last), long(last)]).collect();
        assert_eq!(chosen_segments(&parts, 1), (vec![vec![1, 2, 3, 4]], vec![8]));
    }

    #[test]
    fn nothing_recurs_nothing_is_chosen() {
        assert_eq!(chosen_segments(&[vec![1, 2, 3], vec![4, 5, 6]], 8).0, Vec::<Vec<u32>>::new());
    }

    proptest! {
        #[test]
        fn uses_are_those_of_the_canonical_parse_and_all_are_of_use(
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
