//! Finds the candidates: the segments from which selection chooses.
//!
//! The search grows a suffix trie over the distinct runs, depth first, and only below nodes that are frequent
//! enough. An extension of a string has at most as many occurrences and tasks as the string, so no candidate
//! is missed. A node is a list of the positions at which its string begins. Memory holds the positions of
//! some first tokens and the path that is being grown.
//!
//! Selection needs only the candidates that may save most, so the search keeps a fixed number of them. Once
//! it has so many, the smallest saving among them is a bound: a node is not grown if even its longest
//! extension would save less. The result stays exact. The work grows with the tokens of a corpus, and not
//! with its rare strings.

mod children;
mod grower;
mod prospects;
mod tasks;

use std::sync::Mutex;

use rayon::prelude::*;

use crate::error::Result;
use crate::mining::runs::Runs;
use crate::mining::search::candidates::Candidates;
use crate::mining::search::flat_text::Text;
use crate::mining::search::limits::Limits;
use crate::mining::search::scale::Scale;
use crate::mining::search::trie::grower::Grower;
use crate::mining::search::trie::prospects::SavingsBound;

/// The guess is multiplied by this. A sample underestimates support and therefore savings, but a guess that is a
/// little too high costs a second search, and one that is too low only a part of that.
const GUESS_FACTOR: f64 = 0.9;

/// A guess that was too high is multiplied by this, so that the next one hardly ever is.
const LOWERED: f64 = 0.5;

/// The segments of two or more tokens within `limits` that are expected to save most, all of them.
///
/// Long segments are candidates only if they are *closed*: every further token to the left or to the right
/// would lose an occurrence. Those of `max_length` need not be closed to the right: none longer is kept instead.
/// The time grows with the distinct runs; [`find_candidates`] finds them in a sample
/// of a large corpus.
///
/// # Errors
/// If a limit is too small, or the distinct runs have more positions than can be searched.
///
/// [`find_candidates`]: crate::mining::search::find_candidates
pub fn find_exactly(runs: &Runs, limits: &Limits) -> Result<Candidates> {
    find_by_scale(runs, limits, 1, Scale::default())
}

/// The same in a sample in which each task stands for `tasks` tasks of the whole.
pub(crate) fn find_in_sample(runs: &Runs, limits: &Limits, tasks: u32) -> Result<Candidates> {
    find_by_scale(runs, limits, tasks, Scale::default())
}

fn find_by_scale(runs: &Runs, limits: &Limits, tasks: u32, scale: Scale) -> Result<Candidates> {
    limits.check()?;
    let limits = limits.of(runs);
    let runs = runs.with_dense_tasks();
    let text = Text::new(&runs, scale)?.standing_for(tasks);
    Ok(find_with_guess(&text, &limits, guessed_bound(&text, &limits)?))
}

/// The best candidates, for any guess of the smallest saving among them: a wrong guess costs time only.
fn find_with_guess(text: &Text<'_>, limits: &Limits, guess: f64) -> Candidates {
    for guess in [guess, guess * LOWERED].into_iter().filter(|&guess| guess > 0.0) {
        let found = grow_all(text, limits, guess);
        if found.len() >= limits.most {
            return found;
        }
    }
    grow_all(text, limits, 0.0)
}

/// A guess, from a sample, of the smallest saving among the best candidates; zero for a small corpus.
///
/// With a bound from the start, rare strings are skipped before the wanted number of candidates is found. If
/// the bound is too high, too few candidates are found, and the search is repeated with half of it, then without.
fn guessed_bound(text: &Text<'_>, limits: &Limits) -> Result<f64> {
    let scale = *text.scale();
    let step = text.runs().strings().tokens().len() / scale.sampled_tokens;
    if step < 2 {
        return Ok(0.0);
    }
    let sample = text.runs().every(step);
    let found = grow_all(&Text::new(&sample, scale)?.standing_for(text.tasks_weight()), limits, 0.0);
    let least = (0..found.len()).map(|index| found.expected_savings(index)).fold(f64::INFINITY, f64::min);
    Ok(if found.len() < limits.most { 0.0 } else { least * step as f64 * GUESS_FACTOR })
}

/// The best candidates. If enough of them save at least `bound`, those that save less are left out.
fn grow_all(text: &Text<'_>, limits: &Limits, bound: f64) -> Candidates {
    let bound = SavingsBound::at(bound);
    let mut parts = Vec::new();
    let threads = rayon::current_num_threads();
    for batch in text.shares(text.numbered(), text.scale().batches) {
        let shares = text.shares(batch, threads);
        let groups: Vec<_> = shares.into_par_iter().map(|share| text.pairs_of(share)).collect();
        let groups = Mutex::new(groups.into_iter().flatten().collect::<Vec<_>>().into_iter());
        let grow = |_| Grower::new(text, limits, &bound).grow_groups(&groups);
        parts.par_extend((0..threads).into_par_iter().map(grow));
    }
    Candidates::best(&parts, limits.most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::mining::runs::Room;
    use crate::mining::runs::tests::folded;
    use crate::mining::search::limits::MOST_LENGTH;
    use crate::mining::search::trie::grower::UNCLOSED;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Frequencies = BTreeMap<Vec<u32>, (u64, u32)>;

    fn runs_of(parts: &[(Vec<u32>, u32)]) -> Runs {
        folded(parts.iter().map(|(tokens, task)| (tokens, *task)), &[0])
    }

    /// The candidates by definition: all substrings of all runs, counted one by one.
    fn brute_force(parts: &[(Vec<u32>, u32)], limits: &Limits) -> Frequencies {
        let mut seen: BTreeMap<&[u32], (u64, BTreeSet<u32>)> = BTreeMap::new();
        for (tokens, task) in parts {
            for run in tokens.split(|&token| token == 0) {
                for start in 0..run.len() {
                    // One token more than the longest: these show which of the longest are closed to the
                    // left.
                    for end in start + 1..=run.len().min(start + limits.max_length + 1) {
                        let entry = seen.entry(&run[start..end]).or_default();
                        entry.0 += 1;
                        entry.1.insert(*task);
                    }
                }
            }
        }
        let mut extended: BTreeSet<&[u32]> = BTreeSet::new();
        for (&longer, (count, _)) in seen.iter().filter(|(longer, _)| longer.len() >= 2) {
            let (without_last, without_first) = (&longer[..longer.len() - 1], &longer[1..]);
            let is_in_reach = longer.len() <= limits.max_length;
            extended.extend([without_first].iter().filter(|shorter| seen[**shorter].0 == *count));
            extended
                .extend([without_last].iter().filter(|shorter| is_in_reach && seen[**shorter].0 == *count));
        }
        let is_wanted = |segment: &[u32], count: u64, support: usize| {
            (2..=limits.max_length).contains(&segment.len())
                && count >= limits.min_count
                && support >= limits.min_support as usize
                && (segment.len() <= UNCLOSED || !extended.contains(segment))
        };
        seen.iter()
            .filter(|(segment, (count, tasks))| is_wanted(segment, *count, tasks.len()))
            .map(|(segment, (count, tasks))| (segment.to_vec(), (*count, tasks.len() as u32)))
            .collect()
    }

    /// The `most` candidates that save most.
    fn best(all: Frequencies, most: usize) -> Frequencies {
        let all: Candidates =
            all.iter().map(|(segment, &(count, support))| (segment.as_slice(), count, support)).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&one, &other| all.by_savings(one, other));
        order.truncate(most);
        as_map(&order.into_iter().map(|index| all.get(index)).collect())
    }

    fn as_map(candidates: &Candidates) -> Frequencies {
        let entry = |(index, segment): (usize, &[u32])| {
            (segment.to_vec(), (candidates.counts()[index], candidates.supports()[index]))
        };
        candidates.segments().iter().enumerate().map(entry).collect()
    }

    #[test]
    fn one_tasks_retries_are_no_support() {
        let parts = [(vec![1, 2, 3], 0), (vec![1, 2, 3], 0), (vec![1, 2, 4], 1)];
        let limits = Limits { min_count: 2, min_support: 2, max_length: 8, most: 100 };
        let candidates = find_exactly(&runs_of(&parts), &limits).unwrap();
        assert_eq!(as_map(&candidates), Frequencies::from([(vec![1, 2], (3, 2))]));
    }

    const ANY: Limits = Limits { min_count: 1, min_support: 1, max_length: 24, most: usize::MAX };

    fn find(parts: &[(Vec<u32>, u32)], limits: &Limits, scale: Scale) -> Candidates {
        find_by_scale(&runs_of(parts), limits, 1, scale).unwrap()
    }

    /// Random tokens like a language of few words: some often follow others.
    fn drawn(runs: u32, length: u32, mut seed: u32) -> Vec<(Vec<u32>, u32)> {
        let mut next = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        let mut run = |_| {
            let mut token = 1;
            (0..length)
                .map(|_| {
                    token = if next(4) == 0 { next(5) } else { token % 4 + 1 };
                    token
                })
                .collect()
        };
        (0..runs).map(|task| (run(task), task % 7)).collect()
    }

    #[test]
    fn a_text_of_many_blocks_and_long_lists_equals_a_brute_force_count() {
        let parts = drawn(30, 300, 1);
        let (runs, scale) = (runs_of(&parts), Scale::default());
        assert!(runs.strings().tokens().len() > 20 << scale.block_bits);
        let limits = Limits { min_count: 2, min_support: 2, max_length: 12, most: usize::MAX };
        let expected = brute_force(&parts, &limits);
        let most = expected.values().map(|&(count, _)| count as usize).max().unwrap();
        let least = expected.values().map(|&(count, _)| count as usize).min().unwrap();
        assert!(least < scale.sorted && scale.sorted < most && least < scale.looked_ahead);
        assert_eq!(as_map(&find(&parts, &limits, scale)), expected);
        let few = Limits { most: 50, ..limits };
        assert_eq!(as_map(&find(&parts, &few, scale)), best(expected, 50));
    }

    /// A scale that small texts cross.
    fn small_scales() -> impl Strategy<Value = Scale> {
        (0usize..6, 0usize..6, 1usize..4, 1usize..30, 0u32..4).prop_map(
            |(sorted, looked_ahead, batches, sampled_tokens, block_bits)| Scale {
                sorted,
                looked_ahead,
                batches,
                sampled_tokens,
                block_bits,
                ..Scale::default()
            },
        )
    }

    /// How often the cases of a property crossed each border of a scale.
    #[derive(Debug, Default)]
    struct Crossed {
        many_blocks: u32,
        counted: u32,
        sorted: u32,
        guessed: u32,
        guessed_too_high: u32,
    }

    impl Crossed {
        fn note(&mut self, runs: &Runs, limits: &Limits, scale: Scale) {
            let text = Text::new(runs, scale).unwrap();
            let guess = guessed_bound(&text, limits).unwrap();
            let is_enough = grow_all(&text, limits, guess).len() >= limits.most;
            let mut pairs: BTreeMap<&[u32], usize> = BTreeMap::new();
            runs.strings()
                .iter()
                .flat_map(|run| run.windows(2))
                .for_each(|pair| *pairs.entry(pair).or_default() += 1);
            self.many_blocks += u32::from(text.len() > 2 << scale.block_bits);
            self.counted += u32::from(pairs.values().any(|&positions| positions > scale.sorted));
            self.sorted +=
                u32::from(pairs.values().any(|&positions| (2..=scale.sorted).contains(&positions)));
            self.guessed += u32::from(guess > 0.0 && is_enough);
            self.guessed_too_high += u32::from(guess > 0.0 && !is_enough);
        }
    }

    #[test]
    fn on_any_scale_the_best_are_those_that_a_brute_force_count_finds_best() {
        let parts = prop::collection::vec((prop::collection::vec(0u32..4, 0..40), 0u32..3), 0..10);
        let limits = (1u64..4, 1u32..3, 2usize..30, 1usize..40).prop_map(
            |(min_count, min_support, max_length, most)| Limits { min_count, min_support, max_length, most },
        );
        let crossed = std::cell::RefCell::new(Crossed::default());
        let property = |(parts, limits, scale): (Vec<(Vec<u32>, u32)>, Limits, Scale)| {
            let expected = brute_force(&parts, &limits);
            let all = find(&parts, &Limits { most: usize::MAX, ..limits }, scale);
            prop_assert_eq!(as_map(&all), expected.clone());
            prop_assert_eq!(all.len(), expected.len());
            let found = find(&parts, &limits, scale);
            prop_assert_eq!(as_map(&found), best(expected, limits.most));
            prop_assert!(found.segments().iter().is_sorted());
            crossed.borrow_mut().note(&runs_of(&parts), &limits, scale);
            Ok(())
        };
        let mut runner = proptest::test_runner::TestRunner::default();
        runner.run(&(parts, limits, small_scales()), property).unwrap();
        let Crossed { many_blocks, counted, sorted, guessed, guessed_too_high } = crossed.into_inner();
        let least = [many_blocks, counted, sorted, guessed, guessed_too_high].into_iter().min();
        assert!(least > Some(0), "{many_blocks} {counted} {sorted} {guessed} {guessed_too_high}");
    }

    #[test]
    fn limits_without_a_meaning_are_refused() {
        let limit = |what, least| Err(Error::Limit { what, found: least - 1, least });
        assert_eq!(Limits { min_count: 0, ..ANY }.check(), limit("min_count", 1));
        assert_eq!(Limits { min_support: 0, ..ANY }.check(), limit("min_support", 1));
        assert_eq!(Limits { max_length: 1, ..ANY }.check(), limit("max_length", 2));
        assert_eq!(Limits { most: 0, ..ANY }.check(), limit("most", 1));
        let none = Limits { max_length: 0, ..ANY };
        let error = find_exactly(&runs_of(&[]), &none).unwrap_err();
        assert_eq!(error, Error::Limit { what: "max_length", found: 0, least: 2 });
    }

    #[test]
    fn segments_of_any_length_are_refused() {
        let limits = |max_length| Limits { max_length, ..ANY };
        assert_eq!(limits(MOST_LENGTH).check(), Ok(()));
        let error = Error::LargeLimit { what: "max_length", found: 1025, most: 1024 };
        assert_eq!(find_exactly(&runs_of(&[]), &limits(MOST_LENGTH + 1)).unwrap_err(), error);
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        let room = Room { positions: 5, ..Room::SEARCHED };
        let runs = runs_of(&[(vec![1, 2], 0), (vec![3, 4], 0)]);
        let error = find_by_scale(&runs, &ANY, 1, Scale { room, ..Scale::default() }).unwrap_err();
        assert_eq!(error, Error::TooManyPositions { positions: 6, most: 5 });
    }

    /// On one thread with a stack that a few hundred calls within one another would fill.
    fn on_a_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(64 << 10).build().unwrap();
        pool.install(work)
    }

    #[test]
    fn a_long_run_that_recurs_needs_no_deep_stack() {
        let run: Vec<u32> = (1..=MOST_LENGTH as u32).collect();
        let runs = runs_of(&[(run.clone(), 0), (run.clone(), 1)]);
        let limits = Limits { min_count: 2, min_support: 2, max_length: run.len(), most: 1 };
        let found = on_a_small_stack(|| find_exactly(&runs, &limits).unwrap());
        assert_eq!(as_map(&found), Frequencies::from([(run, (2, 2))]));
    }

    #[test]
    fn a_token_that_repeats_for_long_needs_no_deep_stack() {
        let runs = runs_of(&[(vec![1; 3_000], 0), (vec![1; 3_000], 1)]);
        let limits = Limits { min_count: 2, min_support: 2, max_length: MOST_LENGTH, most: usize::MAX };
        let found = on_a_small_stack(|| find_exactly(&runs, &limits).unwrap());
        assert_eq!(found.len(), MOST_LENGTH - 1);
    }

    #[test]
    fn tasks_of_any_number_are_counted() {
        let of_tasks = |tasks: [u32; 3]| {
            let parts = tasks.map(|task| (vec![1, 2, 3, task % 2 + 4], task));
            as_map(&find_exactly(&runs_of(&parts), &Limits { min_support: 2, ..ANY }).unwrap())
        };
        // A table with an entry for each number up to these would take 16 GiB for each thread.
        assert_eq!(of_tasks([u32::MAX - 1, 5, u32::MAX]), of_tasks([2, 1, 3]));
    }

    #[test]
    fn the_largest_counts_overflow_nothing() {
        let strings = |lists: &[&[u32]]| lists.iter().copied().collect();
        let counts = vec![1 << 51, 1];
        let runs = Runs::from_parts(strings(&[&[1, 2, 3], &[1, 2]]), counts, strings(&[&[0], &[1]])).unwrap();
        let limits = Limits { min_count: 1, min_support: 1, max_length: MOST_LENGTH, most: 1 };
        let found = find_exactly(&runs, &limits).unwrap();
        assert_eq!(as_map(&found), Frequencies::from([(vec![1, 2], ((1 << 51) + 1, 2))]));
    }

    proptest! {
        #[test]
        fn equal_runs_that_were_not_folded_change_no_candidate(
            parts in prop::collection::vec((prop::collection::vec(1u32..4, 1..24), 0u32..3), 0..6),
            most in 1usize..20,
        ) {
            let (tokens, tasks): (Vec<Vec<u32>>, Vec<[u32; 1]>) =
                parts.iter().map(|(tokens, task)| (tokens.clone(), [*task])).unzip();
            let apart = Runs::from_parts(
                tokens.iter().map(Vec::as_slice).collect(),
                vec![1; parts.len()],
                tasks.iter().map(|task| task.as_slice()).collect(),
            );
            let limits = Limits { min_support: 2, most, ..ANY };
            let folded = find_exactly(&runs_of(&parts), &limits).unwrap();
            prop_assert_eq!(find_exactly(&apart.unwrap(), &limits).unwrap(), folded);
        }

        #[test]
        fn any_guess_of_the_bound_finds_the_same(
            parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..40), 0u32..3), 0..12),
            most in 1usize..20,
            guess in 0f64..40.0,
        ) {
            let limits = Limits { min_count: 1, min_support: 2, max_length: 24, most };
            let runs = runs_of(&parts);
            let text = Text::new(&runs, Scale::default()).unwrap();
            let guessed = find_with_guess(&text, &limits, guess);
            prop_assert_eq!(guessed, grow_all(&text, &limits, 0.0));
        }

        #[test]
        fn nothing_that_is_pruned_is_among_the_best(
            parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..40), 0u32..3), 0..12),
            (most, min_support, tasks) in (1usize..20, 1u32..4, 1u32..4),
            (guess, is_counted) in (0f64..40.0, any::<bool>()),
        ) {
            let mut runs = runs_of(&parts);
            if !is_counted {
                let tasks = runs.task_sets().clone();
                runs = Runs::from_parts(runs.strings().clone(), vec![1; runs.len()], tasks).unwrap();
            }
            let text = Text::new(&runs, Scale::default()).unwrap().standing_for(tasks);
            let limits = Limits { min_count: 1, min_support, max_length: 24, most };
            let all = grow_all(&text, &Limits { most: usize::MAX, ..limits }, 0.0);
            let best = Candidates::best(&[all], most);
            prop_assert_eq!(find_with_guess(&text, &limits, guess), best);
        }

        #[test]
        fn any_number_of_threads_finds_the_same(
            parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..24), 0u32..3), 0..6),
            most in 1usize..20,
        ) {
            let limits = Limits { min_count: 1, min_support: 1, max_length: 24, most };
            let runs = runs_of(&parts);
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| find_exactly(&runs, &limits).unwrap())
            };
            prop_assert_eq!(with(1), with(3));
        }
    }
}
