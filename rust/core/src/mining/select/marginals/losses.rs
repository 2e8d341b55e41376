//! The units that a parse would lose without one of its segments.
//!
//! The loss of one use of a segment is exact under the leftmost-longest parse. Without the segment,
//! everything after it may be parsed differently. The loss is even negative if the segment takes the first
//! tokens of a better one. So the run is parsed again from each use, until the new parse and the old one end
//! a unit at the same token. The sum over the uses of a run is an estimate if new parses of close uses
//! overlap.
//!
//! In text that repeats itself, the two parses may never meet: without "a b", the parse "ab ab ab" becomes
//! "a ba ba b". Then the new parses of all uses run on side by side, and would take quadratic time. But they
//! soon coincide, so each looks up what one before it has found. New parses without different segments coincide too,
//! once both have passed the last place at which they could use theirs.
//!
//! One case stays slow: P segments of which each could be used again and again beside the present parse, such as the
//! pairs of a text of odd period P. Each use then takes up to P steps. With the pairs alone as candidates, 200,000
//! tokens of period 1,001 take 3 s of processor time (of period 1,000 0.4 s). With the candidates of a search, which
//! are longer, the periods 3, 5, 101, 1,001 and 4,001 each take less than 0.5 s, so nothing is done about it.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::{RUNS_A_TASK, add};
use crate::mining::select::matches::MatchedRuns;
use crate::mining::select::parser::{ParsedUnit, Parser, TOKEN};

/// The uses and losses of each segment of a vocabulary in the parse of runs, which are given by their matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How often the parse uses the segment.
    pub(crate) uses: Vec<u64>,
    /// Units by which the parse would be longer without it, summed over its uses one at a time.
    ///
    /// Wider than counts: a run of a large count may hold many uses, and each may change the whole rest.
    pub(crate) losses: Vec<i128>,
}

impl Usage {
    /// The usage in `changed` of the runs.
    fn of(parser: &Parser, runs: &MatchedRuns, changed: &[usize]) -> Usage {
        let places = parser.chosen().len();
        let none = || Usage { uses: vec![0; places], losses: vec![0; places] };
        changed
            .par_iter()
            .with_min_len(RUNS_A_TASK)
            .fold(
                || (none(), Parsed::default()),
                |(mut usage, mut parsed), &run| {
                    usage.add_run(parser, runs.matches(run), runs.weight(run), &mut parsed);
                    (usage, parsed)
                },
            )
            .map(|(usage, _)| usage)
            .reduce(none, |left, right| Usage {
                uses: add(left.uses, right.uses),
                losses: add(left.losses, right.losses),
            })
    }

    /// The usage in all runs after a change of the vocabulary, if this is the one before.
    ///
    /// Only the runs that are parsed differently are parsed again. The sums are of integers, so the result is
    /// that of a parse of all runs.
    pub(crate) fn after(&self, before: &Parser, after: &Parser, runs: &MatchedRuns) -> Usage {
        let changed = runs.with(&before.changes(after));
        let (old, mut new) = (Usage::of(before, runs, &changed), Usage::of(after, runs, &changed));
        for (place, candidate) in after.chosen().iter().enumerate() {
            if let Ok(from) = before.chosen().binary_search(candidate) {
                new.uses[place] += self.uses[from] - old.uses[from];
                new.losses[place] += self.losses[from] - old.losses[from];
            }
        }
        new
    }

    fn add_run(&mut self, parser: &Parser, run: &[u32], weight: u64, parsed: &mut Parsed) {
        parsed.parse(parser, run);
        let mut start = 0;
        for first in 0..parsed.units.len() {
            let unit = parsed.units[first];
            if unit.place != TOKEN {
                self.uses[unit.place as usize] += weight;
                let extra = parsed.extra_units(parser, run, start, first);
                self.losses[unit.place as usize] += i128::from(extra) * i128::from(weight);
            }
            start = unit.end;
        }
    }
}

/// Units of a new parse after which it is a long one. Nearly all meet the present parse within a few.
const LONG: usize = 64;

/// Positions of which a long parse stores and looks up one: those that coincide have it in common.
const STRETCH: usize = 64;

/// The present parse of a run.
#[derive(Default)]
struct Parsed {
    units: Vec<ParsedUnit>,
    /// At each position where a unit ends, the number of units up to there; elsewhere 0.
    passed: Vec<u32>,
    /// Of long parses without a segment, by its place and a position: how many more units than the present
    /// parse has up to where they meet they have from the position on. Behind the segment's last place beside the
    /// present parse, the place is TOKEN: from there on, all such parses are the same, and only one is stored.
    long: FxHashMap<(u32, usize), i64>,
    /// For each segment, the last position at which it is the longest one and no unit of the present parse begins;
    /// 0 if there is none. Only a run with a long parse has them.
    last_beside: Vec<usize>,
}

impl Parsed {
    fn parse(&mut self, parser: &Parser, run: &[u32]) {
        let Parsed { units, passed, long, last_beside } = self;
        units.clear();
        long.clear();
        last_beside.clear();
        passed.clear();
        passed.resize(run.len() + 1, 0);
        parser.parse(run, |unit| {
            units.push(unit);
            passed[unit.end] = units.len() as u32;
        });
    }

    /// How many more units the parse of the run has if the segment of unit `first` is absent from there on,
    /// which is position `start`.
    fn extra_units(&mut self, parser: &Parser, run: &[u32], start: usize, first: usize) -> i64 {
        let without = self.units[first].place;
        let mut position = start;
        for units in first + 1..=first + LONG {
            position += parser.length_without(&run[position..], without);
            if self.passed[position] > 0 {
                return units as i64 - i64::from(self.passed[position]);
            }
        }
        (first + LONG) as i64 + self.rest_of_long(parser, run, position, without)
    }

    /// The same, where the new parse has got to `position`; its units up to there do not count.
    #[cold]
    fn rest_of_long(&mut self, parser: &Parser, run: &[u32], mut position: usize, without: u32) -> i64 {
        if self.last_beside.is_empty() {
            self.find_last_beside(parser, run);
        }
        let last_beside = self.last_beside[without as usize];
        let key = |position: usize| (if position > last_beside { TOKEN } else { without }, position);
        let (mut units, mut stored) = (0, Vec::new());
        let extra = loop {
            let stretch = position / STRETCH;
            position += parser.length_without(&run[position..], without);
            units += 1;
            if self.passed[position] > 0 {
                break units - i64::from(self.passed[position]);
            }
            if position / STRETCH > stretch {
                if let Some(rest) = self.long.get(&key(position)) {
                    break units + rest;
                }
                stored.push((position, units));
            }
        };
        self.long.extend(stored.into_iter().map(|(position, units)| (key(position), extra - units)));
        extra
    }

    fn find_last_beside(&mut self, parser: &Parser, run: &[u32]) {
        self.last_beside.resize(parser.chosen().len(), 0);
        for position in (1..run.len()).filter(|&position| self.passed[position] == 0) {
            let place = parser.first(&run[position..]).place;
            if place != TOKEN {
                self.last_beside[place as usize] = position;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Setting, candidates, parse, runs, units};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// For each use, the rest of the run is parsed without the segment up to where both parses end a unit.
    fn losses_by_definition(list: &[Vec<u32>], run: &[u32]) -> Vec<i128> {
        let (mut losses, mut start) = (vec![0; list.len()], 0);
        let present = parse(list, run);
        for (first, unit) in present.iter().enumerate() {
            if unit.place != TOKEN {
                let mut others = list.to_vec();
                others.remove(unit.place as usize);
                let anew = parse(&others, &run[start..]);
                let meets = |end: usize| present.iter().position(|unit| unit.end == start + end);
                let (units, met) =
                    anew.iter().zip(1..).find_map(|(unit, units)| Some((units, meets(unit.end)?))).unwrap();
                losses[unit.place as usize] += units - (met + 1 - first) as i128;
            }
            start = unit.end;
        }
        losses
    }

    #[test]
    fn a_run_that_repeats_itself_for_long_is_parsed_in_time() {
        // Without "1 2" the parse is 1|21|21|... up to the end. Parsed anew from each use, this takes an hour.
        let run: Vec<u32> = [1, 2].into_iter().cycle().take(2_000_000).collect();
        let setting = Setting::new([vec![1, 2], vec![2, 1]], &[(run, 1)]);
        let usage = setting.usage(&setting.all());
        assert_eq!(usage, Usage { uses: vec![1_000_000, 0], losses: vec![1_000_000, 0] });
    }

    #[test]
    fn a_long_period_of_many_segments_is_parsed_in_time() {
        // Without one of the 2,000 segments that are used, the parse is that by the others up to the end.
        let period = 4_000;
        let pairs = (0..period).map(|first| vec![first, (first + 1) % period]);
        let run: Vec<u32> = (0..period).cycle().take(2_000_000).collect();
        let setting = Setting::new(pairs.collect::<BTreeSet<_>>(), &[(run, 1)]);
        let usage = setting.usage(&setting.all());
        let uses: Vec<u64> = (0..period).map(|first| if first % 2 == 0 { 500 } else { 0 }).collect();
        let losses = uses.iter().map(|&uses| i128::from(uses)).collect();
        assert_eq!(usage, Usage { uses, losses });
    }

    proptest! {
        /// With one use in a run, the loss is the difference of two parses.
        #[test]
        fn a_loss_is_the_difference_between_two_parses(
            run in prop::collection::vec(0u32..4, 2..30), candidates in candidates(), weight in 1u64..5,
        ) {
            let setting = Setting::new(candidates, &[(run.clone(), weight)]);
            let usage = setting.usage(&setting.all());
            for index in 0..setting.candidates.len() {
                let mut others = setting.candidates.clone();
                others.remove(index);
                let extra = units(&others, &run) - units(&setting.candidates, &run);
                if usage.uses[index] == weight {
                    prop_assert_eq!(usage.losses[index], i128::from(extra) * i128::from(weight));
                } else if usage.uses[index] == 0 {
                    prop_assert_eq!((usage.losses[index], extra), (0, 0));
                }
            }
        }

        /// In text that repeats itself, new parses run on side by side for long.
        #[test]
        fn losses_are_those_of_each_use_parsed_anew(
            candidates in candidates(), pattern in prop::collection::vec(0u32..4, 1..9),
            length in 2usize..600, rest in prop::collection::vec(0u32..4, 0..9),
        ) {
            let run: Vec<u32> = pattern.into_iter().cycle().take(length).chain(rest).collect();
            let setting = Setting::new(candidates, &[(run.clone(), 3)]);
            let of_one = losses_by_definition(&setting.candidates, &run);
            let losses: Vec<i128> = of_one.iter().map(|loss| 3 * loss).collect();
            prop_assert_eq!(setting.usage(&setting.all()).losses, losses);
        }

        #[test]
        fn the_usage_after_changes_is_that_from_scratch(
            runs in runs(),
            candidates in candidates(),
            choices in prop::collection::vec(prop::collection::vec(any::<bool>(), 8), 1..5),
        ) {
            let setting = Setting::new(candidates, &runs);
            let (mut before, mut usage) = (setting.parser([]), Usage::default());
            for choice in choices {
                let after = setting.parser((0..setting.candidates.len()).filter(|&index| choice[index]));
                usage = usage.after(&before, &after, &setting.runs);
                let all: Vec<usize> = (0..setting.runs.len()).collect();
                prop_assert_eq!(&usage, &Usage::of(&after, &setting.runs, &all));
                before = after;
            }
        }
    }

    #[test]
    fn a_segment_that_steals_from_a_better_one_is_a_loss() {
        // With "1 2" the parse is 12|3|4; without it 1|234.
        let setting = Setting::new([vec![1, 2], vec![2, 3, 4]], &[(vec![1, 2, 3, 4], 5)]);
        assert_eq!(setting.usage(&setting.all()), Usage { uses: vec![5, 0], losses: vec![-5, 0] });
    }

    #[test]
    fn the_losses_of_uses_side_by_side_are_each_exact_and_their_sum_an_estimate() {
        // Without "1 2" the parse 12|12 is 1|21|2: one unit more, not one for each use.
        let run = vec![1, 2, 1, 2];
        let setting = Setting::new([vec![1, 2], vec![2, 1]], &[(run.clone(), 1)]);
        assert_eq!(setting.usage(&setting.all()), Usage { uses: vec![2, 0], losses: vec![2, 0] });
        assert_eq!(units(&setting.candidates[1..], &run) - units(&setting.candidates, &run), 1);
    }
}
