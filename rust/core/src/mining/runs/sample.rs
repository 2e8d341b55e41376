//! Samples of a large corpus's runs, weighted so that their counts estimate those of the whole.
//!
//! A run that occurs `step` times or more is taken, with its count; a rarer one with the probability count / step
//! and the weight `step`, so that the expected count is right. The draw depends on the run's tokens alone, so it
//! is independent of the order of runs, of shards and of parts.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::Result;
use crate::hash;
use crate::mining::runs::parts::RunParts;
use crate::mining::runs::{Room, Runs};
use crate::tokens::segments::Segments;

/// Distinct runs, each with the number of occurrences that it represents.
#[derive(Debug, Default)]
pub(crate) struct WeightedRuns {
    pub(crate) strings: Segments,
    pub(crate) weights: Vec<u64>,
}

impl WeightedRuns {
    /// All runs of two or more tokens if they have at most `most_tokens` tokens, else a sample with that many
    /// tokens on average.
    ///
    /// # Errors
    /// If runs cannot be read from disk.
    pub(crate) fn sample(runs: &RunParts, most_tokens: usize) -> Result<Self> {
        let (strings, weights, _) = runs.sample(most_tokens as u64)?.into_parts();
        Ok(WeightedRuns { strings, weights })
    }

    pub(crate) fn push(&mut self, run: &[u32], weight: u64) {
        self.strings.push(run);
        self.weights.push(weight);
    }

    pub(crate) fn len(&self) -> usize {
        self.weights.len()
    }
}

/// The tokens of distinct runs, by how often their run occurs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes(BTreeMap<u64, u128>);

impl Sizes {
    /// Adds those of a part of a corpus.
    pub(crate) fn add(&mut self, runs: &Runs) {
        for (run, &count) in runs.strings().iter().zip(runs.counts()) {
            *self.0.entry(count).or_default() += run.len() as u128;
        }
    }

    /// The smallest step with which a sample has at most `most` tokens on average; one at least.
    pub(crate) fn step_for(&self, most: u64) -> u64 {
        let most = u128::from(most.max(1));
        let drawn = |step: u64| {
            let of_count = |(&count, tokens): (&u64, &u128)| tokens * u128::from(count.min(step));
            self.0.iter().map(of_count).sum::<u128>()
        };
        let (mut least, mut enough) = (1, drawn(u64::MAX).div_ceil(most).max(1) as u64);
        while least < enough {
            let middle = least + (enough - least) / 2;
            let is_enough = drawn(middle) <= most * u128::from(middle);
            if is_enough { enough = middle } else { least = middle + 1 }
        }
        enough
    }
}

/// Runs that represent all, with their tasks.
pub(crate) fn sampled(runs: &RunParts, step: u64, draw: Draw) -> Result<Runs> {
    let mut sampled = Runs::default();
    runs.for_each(|part| {
        let drawn = drawn(part, step, draw);
        let strings: Segments = drawn.iter().map(|&run| part.strings().get(run)).collect();
        let counts = drawn.iter().map(|&run| part.count(run).max(step)).collect();
        let tasks: Segments = drawn.iter().map(|&run| part.tasks(run)).collect();
        sampled.append(&Runs::from_parts(strings, counts, tasks)?, Room::SEARCHED)
    })?;
    Ok(sampled)
}

/// What a sample is for. Those for different purposes are drawn independently: a segment that one sample shows
/// too often by chance is not favoured by the other too.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    /// The search for candidates.
    Search,
    /// The choice among them.
    Selection,
}

/// The runs of two or more tokens that a sample with this step takes, ascending.
fn drawn(runs: &Runs, step: u64, draw: Draw) -> Vec<usize> {
    let is_drawn = |&index: &usize| {
        let run = runs.strings().get(index);
        run.len() >= 2 && (step == 1 || is_taken(half_of_hash(run, draw), runs.count(index), step))
    };
    (0..runs.len()).into_par_iter().with_min_len(RUNS_A_TASK).filter(is_drawn).collect()
}

/// Fewest runs for one task of the thread pool.
const RUNS_A_TASK: usize = 1024;

/// A number of 32 bits that is random for each run. All bits of the hash are mixed, so each half serves one
/// purpose. Residues of the whole hash would not be independent: those of both halves agree modulo 3, 5 and 17.
fn half_of_hash(run: &[u32], draw: Draw) -> u32 {
    let hash = hash::of_run(run);
    match draw {
        Draw::Search => (hash >> 32) as u32,
        Draw::Selection => hash as u32,
    }
}

/// Whether a random number of 32 bits is below count / step, as a share of 2^32.
fn is_taken(random: u32, count: u64, step: u64) -> bool {
    u128::from(random) * u128::from(step) < u128::from(count) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::parts::tests::on_disk;
    use crate::mining::runs::{RunFolder, Trajectories};
    use crate::tokens::barriers::Barriers;
    use std::collections::BTreeSet;

    fn runs(number: u32) -> Runs {
        // Run i is [i, i + 1, i + 2], i % 5 + 1 times.
        let tokens: Vec<u32> =
            (0..number).flat_map(|i| (0..i % 5 + 1).flat_map(move |_| [i, i + 1, i + 2])).collect();
        let offsets: Vec<usize> = (0..=tokens.len() / 3).map(|run| 3 * run).collect();
        let part = Trajectories {
            tokens: &tokens,
            offsets: &offsets,
            action: &vec![true; tokens.len()],
            continues: None,
            tasks: &vec![0; offsets.len() - 1],
        };
        let mut folder = RunFolder::default();
        folder.add(&part, &Barriers::default()).unwrap();
        folder.finish()
    }

    #[test]
    fn a_sample_of_parts_is_that_of_the_whole() {
        let as_set = |sample: WeightedRuns| -> BTreeSet<(Vec<u32>, u64)> {
            sample.strings.iter().map(<[u32]>::to_vec).zip(sample.weights).collect()
        };
        let (parts, _scratch) = on_disk(&runs(3_000), 5_000);
        assert!(parts.number() > 3);
        let whole = as_set(WeightedRuns::sample(&runs(3_000).into(), 3_000).unwrap());
        assert_eq!(as_set(WeightedRuns::sample(&parts, 3_000).unwrap()), whole);
    }

    #[test]
    fn a_small_corpus_is_taken_whole() {
        let sample = WeightedRuns::sample(&runs(100).into(), 300).unwrap();
        assert_eq!((sample.len(), sample.weights.iter().sum::<u64>()), (100, 300));
    }

    #[test]
    fn weights_estimate_the_occurrences_of_the_whole() {
        let sample = WeightedRuns::sample(&runs(30_000).into(), 30_000).unwrap();
        let tokens = sample.strings.tokens().len();
        assert!((25_000..35_000).contains(&tokens), "{tokens}");
        let estimate = sample.weights.iter().sum::<u64>() as f64;
        assert!((estimate / 90_000.0 - 1.0).abs() < 0.05, "{estimate}");
    }

    /// Also with steps that share a prime factor of 2^32 - 1.
    #[test]
    fn the_draws_for_different_purposes_are_independent() {
        let number = 300_000;
        let strings = (0..number).map(|i| [i, i + 1]).collect::<Vec<_>>();
        let task: Segments = strings.iter().map(|_| [0].as_slice()).collect();
        let strings = strings.iter().map(|run| run.as_slice()).collect();
        let runs = Runs::from_parts(strings, vec![1; number as usize], task).unwrap();
        for (search, selection) in [(12, 9), (60, 45)] {
            let searched: BTreeSet<usize> = drawn(&runs, search, Draw::Search).into_iter().collect();
            let selected = drawn(&runs, selection, Draw::Selection);
            let both = selected.iter().filter(|run| searched.contains(run)).count() as f64;
            let is_near = |found: f64, step: u64| {
                let expected = f64::from(number) / step as f64;
                (found - expected).abs() < 5.0 * expected.sqrt()
            };
            assert!(is_near(searched.len() as f64, search), "{} of step {search}", searched.len());
            assert!(is_near(selected.len() as f64, selection), "{} of step {selection}", selected.len());
            assert!(is_near(both, search * selection), "{both} of steps {search} and {selection}");
        }
    }

    #[test]
    fn a_sample_of_runs_that_all_recur_is_no_larger() {
        let runs = runs(30_000);
        let often = Runs::from_parts(
            runs.strings().clone(),
            runs.counts().iter().map(|count| count * 100).collect(),
            runs.task_sets().clone(),
        );
        let sample = WeightedRuns::sample(&often.unwrap().into(), 30_000).unwrap();
        let tokens = sample.strings.tokens().len();
        assert!((25_000..35_000).contains(&tokens), "{tokens}");
    }
}
