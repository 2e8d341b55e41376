//! The search for candidates in a corpus of any size.
//!
//! A small corpus is searched as a whole. Of a larger one a sample is searched. What is found is counted in all
//! runs, one part after another, and kept if it is within the limits by these counts. So counts are exact, and it is
//! only a matter of chance which candidates are found. The draw depends on the runs alone, so the same corpus has
//! the same candidates.

mod automaton;
pub mod candidates;
mod counting;
mod flat_text;
pub mod limits;
pub mod occurrences;
mod scale;
pub mod trie;
pub mod worth;

use crate::error::Result;
use crate::mining::runs::parts::RunParts;
use crate::mining::runs::sample::{Draw, sampled};
use crate::mining::search::candidates::Candidates;
use crate::mining::search::counting::Counter;
use crate::mining::search::limits::Limits;
use crate::mining::search::trie::{find_exactly, find_in_sample};
use crate::tokens::segments::Segments;

/// Tokens of the distinct runs up to which a corpus is searched as a whole.
const WHOLE_TOKENS: u64 = 16 << 20;

/// Tokens of the distinct runs that are searched of a larger corpus, on average. With 2 M, 1,024 latents of
/// 100 M resampled tokens saved 0.03 points less on unseen tasks, with 4 M the same.
const SAMPLED_TOKENS: u64 = 3 << 20;

/// Tasks of a segment that are counted in a larger corpus: by more of them, its trust would grow by less than
/// a hundredth.
const MOST_TASKS: u32 = 128;

/// Standard deviations by which a count in a sample may fall short of what is expected.
const DEVIATIONS: f64 = 3.0;

/// The segments of two or more tokens within `limits` that are expected to save most; all of them if the
/// corpus is small, and nearly all else.
///
/// Occurrences are exact. Tasks are exact in a small corpus. In one of more than 16 M distinct tokens they are
/// counted up to 128, or up to `min_support` if that is more. See [`find_exactly`] for what a candidate is.
///
/// What is searched is in memory with all tasks of its runs, 4 bytes for each, whatever bound the runs were folded
/// within. Its tokens are bounded, and its tasks are not: few runs may recur in very many tasks. Sampling by bytes
/// would bound both, but then the candidates would depend on the memory.
///
/// # Errors
/// If a limit is too small, or runs cannot be read.
pub fn find_candidates(runs: &RunParts, limits: &Limits) -> Result<Candidates> {
    let bounds = Bounds { whole: WHOLE_TOKENS, sampled: SAMPLED_TOKENS, most_tasks: MOST_TASKS };
    find_within(runs, limits, bounds)
}

/// What is searched and counted of a corpus.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    whole: u64,
    sampled: u64,
    most_tasks: u32,
}

fn find_within(runs: &RunParts, limits: &Limits, bounds: Bounds) -> Result<Candidates> {
    limits.check()?;
    if runs.tokens() <= bounds.whole {
        return find_exactly(&*runs.whole()?, limits);
    }
    let found = find_by_sample(runs, limits, bounds.sampled)?;
    let mut counter = Counter::new(&found, bounds.most_tasks.max(limits.min_support))?;
    runs.for_each(|part| {
        counter.add(part);
        Ok(())
    })?;
    let (counts, supports) = counter.finish();
    let all =
        found.iter().zip(counts).zip(supports).map(|((segment, count), support)| (segment, count, support));
    let is_frequent = |&(_, count, support): &(&[u32], u64, u32)| {
        count >= limits.min_count && support >= limits.min_support
    };
    Ok(Candidates::best(&[all.filter(is_frequent).collect()], limits.most))
}

/// The segments that may be candidates, by a sample of about `most` tokens.
fn find_by_sample(runs: &RunParts, limits: &Limits, most: u64) -> Result<Segments> {
    let step = runs.sizes().step_for(most);
    let tasks = u32::try_from(step).unwrap_or(u32::MAX);
    let sample = sampled(runs, most, Draw::Search, |_| true)?;
    Ok(find_in_sample(&sample, &limits_of_sample(limits, step), tasks)?.into_segments())
}

/// Limits that segments within `limits` hardly ever miss in a sample, except those that occur there in one task
/// only: too little is known of these, and they are found only if `min_support` is 1.
fn limits_of_sample(limits: &Limits, step: u64) -> Limits {
    let least = |number: u64| {
        let drawn = number as f64 / step as f64;
        (drawn - DEVIATIONS * drawn.sqrt()).max(0.0).floor() as u64
    };
    Limits {
        min_count: least(limits.min_count).max(1) * step,
        min_support: (least(limits.min_support.into()) as u32).max(limits.min_support.min(2)),
        ..*limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::Runs;
    use crate::mining::runs::parts::tests::on_disk;
    use crate::mining::search::occurrences::as_candidates;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Agents of few words: each task has some of the same sentences, and a word of its own.
    fn corpus(tasks: u32, words: u32) -> Runs {
        let mut counted: BTreeMap<Vec<u32>, (u64, Vec<u32>)> = BTreeMap::new();
        let mut seed = 7u32;
        let mut next = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        for task in 0..tasks {
            for _ in 0..8 {
                let sentence = next(20);
                let mut run: Vec<u32> = (0..6 + sentence % 5).map(|at| sentence * 7 + at).collect();
                run.push(200 + next(words));
                let entry = counted.entry(run).or_default();
                entry.0 += 1;
                entry.1.push(task);
                entry.1.dedup();
            }
        }
        let strings = counted.keys().map(Vec::as_slice).collect();
        let tasks = counted.values().map(|run| run.1.as_slice()).collect();
        Runs::from_parts(strings, counted.values().map(|run| run.0).collect(), tasks).unwrap()
    }

    const LIMITS: Limits = Limits { min_count: 2, min_support: 2, max_length: 24, most: 60 };

    const SMALL: Bounds = Bounds { whole: 0, sampled: 2_000, most_tasks: 20 };

    fn total(candidates: &Candidates) -> f64 {
        (0..candidates.len()).map(|index| candidates.expected_savings(index)).sum()
    }

    #[test]
    fn a_sample_finds_nearly_what_the_whole_text_has() {
        let exact = find_exactly(&corpus(400, 4_000), &LIMITS).unwrap();
        let runs = RunParts::from(corpus(400, 4_000));
        let sample = sampled(&runs, SMALL.sampled, Draw::Search, |_| true).unwrap();
        assert!((sample.strings().tokens().len() as u64) < runs.tokens() / 5);
        let bounds = Bounds { most_tasks: u32::MAX, ..SMALL };
        let found = find_within(&runs, &LIMITS, bounds).unwrap();
        assert_eq!(as_candidates(&runs, found.segments()).unwrap(), found);
        assert!(total(&found) > 0.9 * total(&exact), "{} {}", total(&found), total(&exact));
    }

    #[test]
    fn tasks_are_counted_up_to_a_bound_or_as_far_as_the_limits_ask() {
        let runs = corpus(400, 4_000).into();
        let most =
            |limits: &Limits| *find_within(&runs, limits, SMALL).unwrap().supports().iter().max().unwrap();
        assert_eq!(most(&LIMITS), 20);
        assert_eq!(most(&Limits { min_support: 30, ..LIMITS }), 30);
    }

    #[test]
    fn rare_segments_of_a_large_sample_are_left_out_only_after_they_were_counted() {
        let wide = |min_count, min_support| {
            let Limits { min_count, min_support, .. } =
                limits_of_sample(&Limits { min_count, min_support, ..LIMITS }, 10);
            (min_count, min_support)
        };
        assert_eq!(wide(2, 2), (10, 2));
        assert_eq!(wide(1, 1), (10, 1));
        assert_eq!(wide(1_000, 1_000), (700, 70));
    }

    proptest! {
        #[test]
        fn parts_and_threads_change_nothing(
            tasks in 1u32..60, whole in prop_oneof![Just(0u64), Just(1 << 20)], bytes in 0usize..5_000
        ) {
            let (parts, _scratch) = on_disk(&corpus(tasks, 50), bytes);
            let bounds = Bounds { whole, sampled: 300, ..SMALL };
            let expected = find_within(&corpus(tasks, 50).into(), &LIMITS, bounds).unwrap();
            prop_assert_eq!(&find_within(&parts, &LIMITS, bounds).unwrap(), &expected);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            prop_assert_eq!(pool.install(|| find_within(&parts, &LIMITS, bounds).unwrap()), expected);
        }

        #[test]
        fn a_small_corpus_is_searched_exactly(tasks in 0u32..30) {
            let runs = corpus(tasks, 50);
            let exact = find_exactly(&runs, &LIMITS).unwrap();
            prop_assert_eq!(find_candidates(&runs.into(), &LIMITS).unwrap(), exact);
        }
    }

    #[test]
    fn runs_that_recur_often_make_the_sample_no_larger() {
        let runs = corpus(400, 4_000);
        let counts = runs.counts().iter().map(|count| count * 100).collect();
        let often = Runs::from_parts(runs.strings().clone(), counts, runs.task_sets().clone()).unwrap();
        let often = RunParts::from(often);
        let sample = sampled(&often, 2_000, Draw::Search, |_| true).unwrap();
        let tokens = sample.strings().tokens().len();
        assert!((1_400..2_600).contains(&tokens), "{tokens}");
    }

    /// The sentences of a corpus behind each other, in as many runs as tasks.
    fn long_runs(tasks: u32, length: usize) -> Runs {
        let sentences = corpus(400, 40);
        let mut seed = tasks;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % sentences.len()
        };
        let mut run = || {
            let mut run = Vec::new();
            while run.len() < length {
                run.extend_from_slice(sentences.strings().get(next()));
            }
            run
        };
        let strings = (0..tasks).map(|_| run()).collect::<Vec<_>>();
        let tasks = (0..tasks).map(|task| [task]).collect::<Vec<_>>();
        let counts = vec![1; tasks.len()];
        Runs::from_parts(
            strings.iter().map(Vec::as_slice).collect(),
            counts,
            tasks.iter().map(<[u32; 1]>::as_slice).collect(),
        )
        .unwrap()
    }

    #[test]
    fn a_sample_of_a_few_long_runs_finds_nearly_what_they_have() {
        for tasks in 2..6 {
            let runs = long_runs(tasks, 200_000);
            let exact = find_exactly(&runs, &LIMITS).unwrap();
            let bounds = Bounds { whole: 0, sampled: 1 << 16, most_tasks: u32::MAX };
            let found = find_within(&runs.into(), &LIMITS, bounds).unwrap();
            assert!(total(&found) > 0.9 * total(&exact), "{} {}", total(&found), total(&exact));
        }
    }
}
