//! A sample of a large corpus's runs, weighted so that its counts estimate those of the whole.

use rayon::prelude::*;

use crate::hash;
use crate::mining::runs::Runs;
use crate::tokens::segments::Segments;

/// Distinct runs, each with the number of occurrences that it represents.
#[derive(Default)]
pub(crate) struct WeightedRuns {
    pub(crate) strings: Segments,
    pub(crate) weights: Vec<u64>,
}

impl WeightedRuns {
    /// All runs if they have at most `most_tokens` tokens, else a sample with that many tokens on average.
    ///
    /// A run that occurs `step` times or more is taken, with its count; a rarer one with the probability
    /// count / step and the weight `step`, so that the expected count is right. The draw depends only on the
    /// run's tokens, so it is independent of the order of runs and of shards.
    pub(crate) fn sample(runs: &Runs, most_tokens: usize) -> Self {
        let step = step_for(runs, most_tokens.max(1));
        let is_drawn = |&index: &usize| {
            let run = runs.strings().get(index);
            run.len() >= 2 && (step == 1 || hash::of_tokens(run) % step < runs.count(index))
        };
        let drawn: Vec<usize> = (0..runs.len()).into_par_iter().filter(is_drawn).collect();
        let mut sample = WeightedRuns::default();
        for index in drawn {
            sample.push(runs.strings().get(index), runs.count(index).max(step));
        }
        sample
    }

    pub(crate) fn push(&mut self, run: &[u32], weight: u64) {
        self.strings.push(run);
        self.weights.push(weight);
    }

    pub(crate) fn len(&self) -> usize {
        self.weights.len()
    }
}

/// The smallest step with which a sample has at most `most_tokens` tokens on average.
fn step_for(runs: &Runs, most_tokens: usize) -> u64 {
    let is_enough = |step: u64| {
        let drawn =
            |index: usize| runs.strings().get(index).len() as u128 * u128::from(runs.count(index).min(step));
        (0..runs.len()).into_par_iter().map(drawn).sum::<u128>() <= most_tokens as u128 * u128::from(step)
    };
    let (mut least, mut most) = (1, runs.total_tokens().div_ceil(most_tokens as u64).max(1));
    while least < most {
        let middle = least + (most - least) / 2;
        if is_enough(middle) { most = middle } else { least = middle + 1 }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::{RunFolder, Trajectories};
    use crate::tokens::barriers::Barriers;

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
    fn a_small_corpus_is_taken_whole() {
        let sample = WeightedRuns::sample(&runs(100), 300);
        assert_eq!((sample.len(), sample.weights.iter().sum::<u64>()), (100, 300));
    }

    #[test]
    fn weights_estimate_the_occurrences_of_the_whole() {
        let runs = runs(30_000);
        let sample = WeightedRuns::sample(&runs, 30_000);
        let tokens = sample.strings.tokens().len();
        assert!((25_000..35_000).contains(&tokens), "{tokens}");
        let estimate = sample.weights.iter().sum::<u64>() as f64;
        assert!((estimate / 90_000.0 - 1.0).abs() < 0.05, "{estimate}");
    }

    #[test]
    fn a_sample_of_runs_that_all_recur_is_no_larger() {
        let runs = runs(30_000);
        let often = Runs::from_parts(
            runs.strings().clone(),
            runs.counts().iter().map(|count| count * 100).collect(),
            runs.task_sets().clone(),
        );
        let sample = WeightedRuns::sample(&often.unwrap(), 30_000);
        let tokens = sample.strings.tokens().len();
        assert!((25_000..35_000).contains(&tokens), "{tokens}");
    }
}
