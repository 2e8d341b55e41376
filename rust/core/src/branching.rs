//! Branching entropy: how surprising the corpus itself finds each token, where no teacher says.
//!
//! The entropy of the tokens that follow a context, by their counts. The context is the longest stretch
//! of up to [`LONGEST_CONTEXT`] tokens of the same run that occurs at least [`FEWEST_OCCURRENCES`] times;
//! the end of a run counts as a token, since to stop is a decision too.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::runs::Runs;

/// Tokens that a context reaches back. Longer ones are hardly ever frequent enough to be used.
pub const LONGEST_CONTEXT: usize = 8;

/// A context that occurred less often says little about what may follow it.
pub const FEWEST_OCCURRENCES: u64 = 5;

const END: u32 = u32::MAX;

/// Branching entropy, in nats, before each token of the distinct runs (as long as their tokens end to end).
///
/// NaN at the first token of a run, and where no context is frequent enough.
pub fn branching_entropies(runs: &Runs) -> Vec<f32> {
    let mut entropies = vec![f32::NAN; runs.segments().tokens().len()];
    for order in 1..=LONGEST_CONTEXT {
        let contexts = contexts_of_order(runs, order);
        let mut any = false;
        for (run, segment) in runs.segments().iter().enumerate() {
            let first = runs.segments().offsets()[run];
            for (start, context) in
                segment.windows(order).enumerate().take(segment.len().saturating_sub(order))
            {
                let seen = &contexts[&hash(context)];
                if seen.total >= FEWEST_OCCURRENCES {
                    entropies[first + start + order] = seen.entropy();
                    any = true;
                }
            }
        }
        if !any {
            break;
        }
    }
    entropies
}

/// What follows one context.
#[derive(Default)]
struct Followers {
    total: u64,
    /// Sum of count * ln(count) over the distinct followers.
    weighted_logarithms: f64,
}

impl Followers {
    fn entropy(&self) -> f32 {
        let total = self.total as f64;
        (total.ln() - self.weighted_logarithms / total).max(0.0) as f32
    }
}

fn contexts_of_order(runs: &Runs, order: usize) -> FxHashMap<u64, Followers> {
    let mut pairs: FxHashMap<(u64, u32), u64> = FxHashMap::default();
    for (run, segment) in runs.segments().iter().enumerate() {
        for (start, context) in segment.windows(order).enumerate() {
            let follower = segment.get(start + order).copied().unwrap_or(END);
            *pairs.entry((hash(context), follower)).or_default() += runs.count(run);
        }
    }
    let mut counts: Vec<(u64, u64)> =
        pairs.into_iter().map(|((context, _), count)| (context, count)).collect();
    // A sum of floats depends on its order, and must not depend on the order of the runs.
    counts.par_sort_unstable();
    let mut contexts: FxHashMap<u64, Followers> = FxHashMap::default();
    for (context, count) in counts {
        let followers = contexts.entry(context).or_default();
        followers.total += count;
        followers.weighted_logarithms += count as f64 * (count as f64).ln();
    }
    contexts
}

/// A polynomial hash with a final mix: contexts are many and short, and 64 bits keep them apart.
fn hash(context: &[u32]) -> u64 {
    let sum = context.iter().fold(0x9E37_79B9_7F4A_7C15_u64, |sum, &token| {
        (sum ^ u64::from(token)).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(29)
    });
    (sum ^ sum >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Barriers, RunFolder, Trajectories};

    #[test]
    fn a_fork_has_the_entropy_of_its_branches() {
        // 1 2 is always followed by 3, and 3 as often by 4 as by 5; every run ends after one of them.
        let mut folder = RunFolder::default();
        for last in [4, 5, 4, 5, 4, 5] {
            let part = Trajectories {
                tokens: &[1, 2, 3, last],
                offsets: &[0, 4],
                action: &[true; 4],
                continues: None,
                tasks: &[0],
            };
            folder.add(&part, &Barriers::default()).unwrap();
        }
        let entropies = branching_entropies(&folder.finish());
        assert!(entropies[0].is_nan());
        assert_eq!(entropies[1..3], [0.0, 0.0]);
        assert!((entropies[3] - std::f32::consts::LN_2).abs() < 1e-6);
    }

    #[test]
    fn a_rare_context_falls_back_to_a_shorter_one() {
        let mut folder = RunFolder::default();
        for first in [1, 2, 3, 4, 6, 7] {
            let part = Trajectories {
                tokens: &[first, 5, 8],
                offsets: &[0, 3],
                action: &[true; 3],
                continues: None,
                tasks: &[0],
            };
            folder.add(&part, &Barriers::default()).unwrap();
        }
        let entropies = branching_entropies(&folder.finish());
        // "1 5" occurs once, "5" six times and is always followed by 8; "1" alone is too rare to say.
        assert!(entropies[1].is_nan());
        assert_eq!(entropies[2], 0.0);
    }
}
