//! An estimate of the units that a parse would gain with one more segment.
//!
//! All candidates are estimated in one parse of the runs; an exact gain would need a parse for each. Selection checks
//! those that it adds by their losses.

use rayon::prelude::*;

use super::{RUNS_A_TASK, add};
use crate::mining::select::matches::{MatchedRuns, Matcher};
use crate::mining::select::parser::{ParsedUnit, Parser};

/// Estimates the units that each candidate would save if only it were added to the vocabulary.
///
/// It is searched where a unit of the present parse begins: the parse does not look elsewhere. Its
/// occurrences in a run do not overlap. The last unit that it cuts is parsed again, and the parse after that is
/// assumed to stay.
pub(crate) struct Gains<'a> {
    matcher: &'a Matcher,
    parser: &'a Parser,
}

/// What a candidate saves, and where its last occurrence ends.
///
/// Ends count on over all runs of a task of the thread pool, so that nothing has to be cleared.
#[derive(Clone, Copy, Default)]
struct Saved {
    units: u64,
    end: usize,
}

impl<'a> Gains<'a> {
    pub(crate) fn new(matcher: &'a Matcher, parser: &'a Parser) -> Self {
        Gains { matcher, parser }
    }

    /// Units saved in all runs.
    pub(crate) fn in_runs(&self, runs: &MatchedRuns) -> Vec<u64> {
        let candidates = self.matcher.none() as usize;
        (0..runs.len())
            .into_par_iter()
            .with_min_len(RUNS_A_TASK)
            .fold(
                || (vec![Saved::default(); candidates], 0, Vec::new()),
                |(mut saved, seen, mut units), run| {
                    let matches = runs.matches(run);
                    self.for_each(matches, &mut units, |candidate, start, end, units| {
                        let saved = &mut saved[candidate];
                        if saved.end <= seen + start {
                            saved.end = seen + end;
                            saved.units += units * runs.weight(run);
                        }
                    });
                    (saved, seen + matches.len(), units)
                },
            )
            .map(|(saved, ..)| saved.into_iter().map(|saved| saved.units).collect())
            .reduce(|| vec![0; candidates], add)
    }

    /// Adds to `saved` the units saved in the texts with these matches, times their weights. Occurrences in one of
    /// these may overlap.
    pub(crate) fn add_in_texts<'t>(&self, texts: impl Iterator<Item = (&'t [u32], f64)>, saved: &mut [f64]) {
        let mut units = Vec::new();
        for (text, weight) in texts {
            self.for_each(text, &mut units, |candidate, _, _, units| {
                saved[candidate] += units as f64 * weight
            });
        }
    }

    /// Calls `visit` with each candidate that shortens the parse, where it begins and ends, and by how much.
    fn for_each(
        &self,
        matches: &[u32],
        units: &mut Vec<ParsedUnit>,
        mut visit: impl FnMut(usize, usize, usize, u64),
    ) {
        units.clear();
        self.parser.parse(matches, |unit| units.push(unit));
        let mut start = 0;
        for (first, unit) in units.iter().enumerate() {
            let mut last = first;
            // The longest match is taken, so a candidate must be longer than the present unit.
            for (candidate, length) in self.matcher.longer_than(matches[start], unit.end - start) {
                let end = start + length;
                last = last_cut(units, last, end);
                let before = last - first + 1;
                let after = 1 + self.parser.units_within(&matches[end..], units[last].end - end);
                if before > after {
                    visit(candidate as usize, start, end, (before - after) as u64);
                }
            }
            start = unit.end;
        }
    }
}

/// The unit in which the token before `end` is; the search begins at unit `near`.
fn last_cut(units: &[ParsedUnit], near: usize, end: usize) -> usize {
    let mut last = near;
    while units[last].end < end {
        last += 1;
    }
    while last > 0 && units[last - 1].end >= end {
        last -= 1;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Setting, candidates, parse, runs, units};
    use super::*;
    use proptest::prelude::*;

    /// From left to right, a candidate is taken where it is longer than the unit that begins there, if that saves
    /// units up to the end of the last one that it cuts.
    fn gain_by_definition(candidate: &[u32], chosen: &[Vec<u32>], run: &[u32]) -> u64 {
        let present = parse(chosen, run);
        let (mut gain, mut start, mut taken) = (0, 0, 0);
        for (first, unit) in present.iter().enumerate() {
            let end = start + candidate.len();
            if candidate.len() > unit.end - start && run[start..].starts_with(candidate) && start >= taken {
                let last = present.iter().position(|unit| unit.end >= end).unwrap();
                let saved = (last + 1 - first) as i64 - 1 - units(chosen, &run[end..present[last].end]);
                if saved > 0 {
                    gain += saved as u64;
                    taken = end;
                }
            }
            start = unit.end;
        }
        gain
    }

    proptest! {
        #[test]
        fn gains_are_their_definition(
            runs in runs(), candidates in candidates(), choice in prop::collection::vec(any::<bool>(), 8),
        ) {
            let setting = Setting::new(candidates, &runs);
            let parser = setting.parser((0..setting.candidates.len()).filter(|&index| choice[index]));
            let chosen: Vec<Vec<u32>> =
                parser.chosen().iter().map(|&index| setting.candidates[index].clone()).collect();
            let gain = |candidate: &Vec<u32>| {
                let of_run = |(run, weight): &(Vec<u32>, u64)| weight * gain_by_definition(candidate, &chosen, run);
                runs.iter().map(of_run).sum::<u64>()
            };
            let expected: Vec<u64> = setting.candidates.iter().map(gain).collect();
            prop_assert_eq!(Gains::new(&setting.matcher, &parser).in_runs(&setting.runs), expected);
        }
    }

    #[test]
    fn a_gain_is_an_estimate_where_what_follows_is_parsed_anew_too() {
        // 1|2|345|6 is 123|456 with "1 2 3": two units fewer, while the gain ends with "3 4 5", and is none.
        let run = vec![1, 2, 3, 4, 5, 6];
        let setting = Setting::new([vec![1, 2, 3], vec![3, 4, 5], vec![4, 5, 6]], &[(run.clone(), 1)]);
        let present = setting.parser([1, 2]);
        assert_eq!(Gains::new(&setting.matcher, &present).in_runs(&setting.runs), [0, 0, 0]);
        assert_eq!(units(&setting.candidates[1..], &run) - units(&setting.candidates, &run), 2);
    }

    #[test]
    fn a_gain_counts_the_parse_after_the_candidate() {
        // 1|2|34|5 with "1 2 3" is 123|4|5: one unit fewer.
        let setting = Setting::new([vec![1, 2, 3], vec![3, 4]], &[(vec![1, 2, 3, 4, 5], 7)]);
        let present = setting.parser([1]);
        assert_eq!(Gains::new(&setting.matcher, &present).in_runs(&setting.runs), [7, 0]);
    }
}
