//! The units that a parse would lose without one of its segments, and gain with one more.
//!
//! The loss of one use of a segment is exact under the leftmost-longest parse. Without the segment,
//! everything after it may be parsed differently. The loss is even negative if the segment takes the first
//! tokens of a better one. So the run is parsed again from each use, until the new parse and the old one end
//! a unit at the same token. The sum over the uses of a run is an estimate if new parses of close uses
//! overlap.
//!
//! Gains are estimates. A candidate is searched only where a unit of the present parse begins, and the parse
//! after the last unit that it cuts is assumed to stay. Selection then checks the added segments by their
//! losses.

use rayon::prelude::*;

use crate::mining::match_trie::{MatchingTrie, Unit};
use crate::mining::sample::WeightedRuns;
use crate::tokens::segments::Segments;

/// Fewest runs for one task of the thread pool, whose sums are as long as the vocabulary.
pub(crate) const RUNS_A_TASK: usize = 1024;

/// The uses and losses of each segment of a trie in the parse of all runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How often the parse uses the segment.
    pub(crate) uses: Vec<u64>,
    /// Units by which the parse would be longer without it, summed over its uses one at a time.
    ///
    /// Wider than counts: a run of a large count may hold many uses, and each may change the whole rest.
    pub(crate) losses: Vec<i128>,
}

impl Usage {
    pub(crate) fn of(trie: &MatchingTrie, segments: usize, runs: &WeightedRuns) -> Usage {
        let none = || Usage { uses: vec![0; segments], losses: vec![0; segments] };
        (0..runs.len())
            .into_par_iter()
            .with_min_len(RUNS_A_TASK)
            .fold(
                || (none(), Vec::new()),
                |(mut usage, mut units), run| {
                    usage.add_run(trie, runs.strings.get(run), runs.weights[run], &mut units);
                    (usage, units)
                },
            )
            .map(|(usage, _)| usage)
            .reduce(none, |left, right| Usage {
                uses: add(left.uses, right.uses),
                losses: add(left.losses, right.losses),
            })
    }

    fn add_run(&mut self, trie: &MatchingTrie, run: &[u32], weight: u64, units: &mut Vec<ParsedUnit>) {
        parse_from(trie, run, run.len(), units);
        for (place, unit) in units.iter().enumerate() {
            if let Unit::Segment { index, .. } = unit.unit {
                self.uses[index as usize] += weight;
                let extra = extra_units(trie, run, &units[place..], index);
                self.losses[index as usize] += i128::from(extra) * i128::from(weight);
            }
        }
    }
}

/// A unit and the position where it ends.
#[derive(Clone, Copy)]
struct ParsedUnit {
    unit: Unit,
    end: usize,
}

/// The parse of `run` whose first unit has at most `longest` tokens.
fn parse_from(trie: &MatchingTrie, run: &[u32], longest: usize, units: &mut Vec<ParsedUnit>) {
    units.clear();
    let mut end = 0;
    while end < run.len() {
        let longest = if end == 0 { longest } else { run.len() };
        let unit = trie.longest_match_within(&run[end..], longest).unwrap_or(Unit::Token(run[end]));
        end += unit.length();
        units.push(ParsedUnit { unit, end });
    }
}

/// How many more units the parse of `run` has if the segment `without` is absent from the first of `units`
/// on. `units` are a part of the present parse.
fn extra_units(trie: &MatchingTrie, run: &[u32], units: &[ParsedUnit], without: u32) -> i64 {
    let mut position = units[0].end - units[0].unit.length();
    let mut extra = 0;
    let mut passed = 0;
    loop {
        position += length_without(trie, &run[position..], without);
        extra += 1;
        while passed < units.len() && units[passed].end <= position {
            passed += 1;
            extra -= 1;
        }
        if passed > 0 && units[passed - 1].end == position {
            return extra;
        }
    }
}

/// Length of the first unit of `tokens` in a parse without one segment.
fn length_without(trie: &MatchingTrie, tokens: &[u32], without: u32) -> usize {
    match trie.longest_match(tokens) {
        Some(Unit::Segment { index, length }) if index == without => {
            trie.longest_match_within(tokens, length - 1).map_or(1, Unit::length)
        }
        unit => unit.map_or(1, Unit::length),
    }
}

/// The number of units of `segment` in a parse by all the others; calls `visit` with each segment that it
/// uses.
pub(crate) fn encode_without(trie: &MatchingTrie, segment: &[u32], mut visit: impl FnMut(u32)) -> u64 {
    let mut units = Vec::new();
    parse_from(trie, segment, segment.len() - 1, &mut units);
    for placed in &units {
        if let Unit::Segment { index, .. } = placed.unit {
            visit(index);
        }
    }
    units.len() as u64
}

/// Estimates the units that each of the `all` segments would save if only it were added to the vocabulary.
///
/// It is searched where a unit of the present parse begins: the parse does not look elsewhere. Its
/// occurrences do not overlap. The last unit that it cuts is parsed again, and the parse after that is
/// assumed to stay.
pub(crate) struct Gains<'a> {
    all: &'a MatchingTrie,
    present: &'a MatchingTrie,
    candidates: usize,
}

impl<'a> Gains<'a> {
    pub(crate) fn new(all: &'a MatchingTrie, present: &'a MatchingTrie, candidates: usize) -> Self {
        Gains { all, present, candidates }
    }

    /// Units saved in all runs.
    pub(crate) fn in_runs(&self, runs: &WeightedRuns) -> Vec<u64> {
        (0..runs.len())
            .into_par_iter()
            .with_min_len(RUNS_A_TASK)
            .fold(
                || (vec![0; self.candidates], vec![0; self.candidates], 0, Vec::new()),
                |(mut saved, mut ends, seen, mut units), index| {
                    let run = runs.strings.get(index);
                    parse_from(self.present, run, run.len(), &mut units);
                    self.for_each(run, &units, |candidate, start, end, units| {
                        // Ends count on over all runs of the task, so that nothing has to be cleared.
                        if ends[candidate] <= seen + start {
                            ends[candidate] = seen + end;
                            saved[candidate] += units * runs.weights[index];
                        }
                    });
                    (saved, ends, seen + run.len(), units)
                },
            )
            .map(|(saved, ..)| saved)
            .reduce(|| vec![0; self.candidates], add)
    }

    /// Adds to `saved` the units saved where each present segment is encoded by the others, times its weight.
    pub(crate) fn add_in_segments(&self, segments: &Segments, weights: &[f64], saved: &mut [f64]) {
        let mut units = Vec::new();
        for (segment, &weight) in segments.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
            parse_from(self.present, segment, segment.len() - 1, &mut units);
            self.for_each(segment, &units, |candidate, start, end, units| {
                if end - start < segment.len() {
                    saved[candidate] += units as f64 * weight;
                }
            });
        }
    }

    /// Calls `visit` with each candidate that shortens the parse, where it begins and ends, and by how much.
    fn for_each(&self, run: &[u32], units: &[ParsedUnit], mut visit: impl FnMut(usize, usize, usize, u64)) {
        let mut start = 0;
        for (first, unit) in units.iter().enumerate() {
            let mut last = first;
            self.all.for_each_match(&run[start..], |candidate, length| {
                let end = start + length;
                // The longest match is taken, so a candidate must be longer than the present unit.
                if end <= unit.end {
                    return;
                }
                while units[last].end < end {
                    last += 1;
                }
                let before = last - first + 1;
                let mut after = 1;
                self.present.parse(&run[end..units[last].end], |_| after += 1);
                if before > after {
                    visit(candidate as usize, start, end, (before - after) as u64);
                }
            });
            start = unit.end;
        }
    }
}

pub(crate) fn add<T: std::ops::AddAssign>(mut left: Vec<T>, right: Vec<T>) -> Vec<T> {
    for (sum, value) in left.iter_mut().zip(right) {
        *sum += value;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(trie: &MatchingTrie, run: &[u32]) -> i64 {
        let mut units = 0;
        trie.parse(run, |_| units += 1);
        units
    }

    fn trie_of(segments: &[Vec<u32>]) -> MatchingTrie {
        MatchingTrie::of_few(&segments.iter().map(Vec::as_slice).collect())
    }

    proptest! {
        /// With one use in a run, the loss is the difference of two parses.
        #[test]
        fn a_loss_is_the_difference_between_two_parses(
            run in prop::collection::vec(0u32..4, 2..30),
            segments in prop::collection::btree_set(prop::collection::vec(0u32..4, 2..6), 1..8),
            weight in 1u64..5,
        ) {
            let segments: Vec<Vec<u32>> = segments.into_iter().collect();
            let trie = trie_of(&segments);
            let runs = WeightedRuns { strings: [run.as_slice()].into_iter().collect(), weights: vec![weight] };
            let usage = Usage::of(&trie, segments.len(), &runs);
            for index in 0..segments.len() {
                let mut others = segments.clone();
                others.remove(index);
                let extra = units(&trie_of(&others), &run) - units(&trie, &run);
                if usage.uses[index] == weight {
                    prop_assert_eq!(usage.losses[index], i128::from(extra) * i128::from(weight));
                } else if usage.uses[index] == 0 {
                    prop_assert_eq!((usage.losses[index], extra), (0, 0));
                }
            }
        }

        #[test]
        fn encoding_without_a_segment_is_the_parse_by_the_others(
            segments in prop::collection::btree_set(prop::collection::vec(0u32..3, 2..7), 1..8),
        ) {
            let segments: Vec<Vec<u32>> = segments.into_iter().collect();
            let trie = trie_of(&segments);
            for index in 0..segments.len() {
                let mut others = segments.clone();
                let segment = others.remove(index);
                let expected = units(&trie_of(&others), &segment) as u64;
                prop_assert_eq!(encode_without(&trie, &segment, |_| ()), expected);
            }
        }
    }

    #[test]
    fn a_segment_that_steals_from_a_better_one_is_a_loss() {
        // With "1 2" the parse is 12|3|4; without it 1|234.
        let trie = trie_of(&[vec![1, 2], vec![2, 3, 4]]);
        let runs =
            WeightedRuns { strings: [[1, 2, 3, 4].as_slice()].into_iter().collect(), weights: vec![5] };
        assert_eq!(Usage::of(&trie, 2, &runs), Usage { uses: vec![5, 0], losses: vec![-5, 0] });
    }

    #[test]
    fn the_losses_of_uses_side_by_side_are_each_exact_and_their_sum_an_estimate() {
        // Without "1 2" the parse 12|12 is 1|21|2: one unit more, not one for each use.
        let segments = [vec![1, 2], vec![2, 1]];
        let run = [1, 2, 1, 2];
        let runs = WeightedRuns { strings: [run.as_slice()].into_iter().collect(), weights: vec![1] };
        assert_eq!(Usage::of(&trie_of(&segments), 2, &runs), Usage { uses: vec![2, 0], losses: vec![2, 0] });
        assert_eq!(units(&trie_of(&segments[1..]), &run) - units(&trie_of(&segments), &run), 1);
    }

    #[test]
    fn a_gain_is_an_estimate_where_what_follows_is_parsed_anew_too() {
        // 1|2|345|6 is 123|456 with "1 2 3": two units fewer, while the gain ends with "3 4 5", and is none.
        let (present, candidate) = ([vec![3, 4, 5], vec![4, 5, 6]], vec![1, 2, 3]);
        let run = [1, 2, 3, 4, 5, 6];
        let runs = WeightedRuns { strings: [run.as_slice()].into_iter().collect(), weights: vec![1] };
        let (all, trie) = (trie_of(std::slice::from_ref(&candidate)), trie_of(&present));
        assert_eq!(Gains::new(&all, &trie, 1).in_runs(&runs), [0]);
        let with = trie_of(&[present[0].clone(), present[1].clone(), candidate]);
        assert_eq!(units(&trie, &run) - units(&with, &run), 2);
    }

    #[test]
    fn a_gain_counts_the_parse_after_the_candidate() {
        // 1|2|34|5 with "1 2 3" is 123|4|5: one unit fewer.
        let (all, present) = (trie_of(&[vec![1, 2, 3]]), trie_of(&[vec![3, 4]]));
        let runs =
            WeightedRuns { strings: [[1, 2, 3, 4, 5].as_slice()].into_iter().collect(), weights: vec![7] };
        assert_eq!(Gains::new(&all, &present, 1).in_runs(&runs), [7]);
    }
}
