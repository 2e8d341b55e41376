//! Samples of a large corpus's runs, weighted so that their counts estimate those of the whole.
//!
//! A run that occurs `step` times or more is taken, with its count; a rarer one with the probability count / step
//! and the weight `step`, so that the expected count is right. The draw depends on the run's tokens alone, so it
//! is independent of the order of runs, of shards and of parts.
//!
//! A very long run would be drawn whole or not at all, and a sample of a few such runs could be empty. So it is
//! divided into pieces, each of which is drawn by itself. All that is lost are the occurrences of segments that cross
//! the border of two pieces. They are few, because pieces are much longer than segments.

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

/// Pieces of long runs that a sample has at least, on average. Their number varies by its square root.
const PIECES: u64 = 64;

/// A run of up to so many tokens is never divided: this is as long as segments may be.
const SHORT: u64 = 1 << 10;

/// Runs, and pieces of long ones, that represent all, with their tasks: about `most` tokens.
///
/// A run is divided before tokens for which `may_divide` is true.
pub(crate) fn sampled(
    runs: &RunParts,
    most: u64,
    draw: Draw,
    may_divide: impl Fn(u32) -> bool,
) -> Result<Runs> {
    let (step, longest) = (runs.sizes().step_for(most), (most / PIECES).max(SHORT));
    let mut sampled = Runs::default();
    runs.for_each(|part| {
        let drawn = drawn(part, step, longest as usize, draw);
        let tokens = |piece: &Piece| piece.within(part.strings().get(piece.run), &may_divide);
        let drawn: Vec<Piece> = drawn.into_iter().filter(|piece| tokens(piece).len() >= 2).collect();
        let strings: Segments = drawn.iter().map(tokens).collect();
        let counts = drawn.iter().map(|piece| part.count(piece.run).max(step)).collect();
        let tasks: Segments = drawn.iter().map(|piece| part.tasks(piece.run)).collect();
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

/// One of the pieces of a run, which are about equally long. The only piece of a run is the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    run: usize,
    number: usize,
    pieces: usize,
}

impl Piece {
    /// The piece's tokens. The border of two pieces is moved to the next token before which there may be one.
    fn within(self, run: &[u32], may_divide: impl Fn(u32) -> bool) -> &[u32] {
        let border = |number: usize| {
            let even = number * (run.len() / self.pieces) + number.min(run.len() % self.pieces);
            let moved = |&place: &usize| place == 0 || may_divide(run[place]);
            (even..run.len()).find(moved).unwrap_or(run.len())
        };
        &run[border(self.number)..border(self.number + 1)]
    }

    /// The hash by which it is drawn, given that of its run. Pieces of equal tokens are drawn independently: else
    /// a run that repeats itself would be drawn whole or not at all.
    fn hash(self, run: u64) -> u64 {
        if self.pieces == 1 {
            run
        } else {
            hash::of_run(&[run as u32, (run >> 32) as u32, self.number as u32])
        }
    }
}

/// The runs of two or more tokens, and the pieces of those with more than `longest`, that a sample with this step
/// takes, ascending. A run that is taken for certain stays whole.
fn drawn(runs: &Runs, step: u64, longest: usize, draw: Draw) -> Vec<Piece> {
    let of_run = |run: usize| {
        let (tokens, count) = (runs.strings().get(run), runs.count(run));
        let is_certain = count >= step;
        let pieces = if is_certain { 1 } else { tokens.len().div_ceil(longest) };
        let hash = if is_certain { 0 } else { hash::of_run(tokens) };
        let all = (0..pieces).map(move |number| Piece { run, number, pieces });
        all.filter(move |piece| is_certain || is_taken(half_of_hash(piece.hash(hash), draw), count, step))
    };
    let is_long_enough = |run: &usize| runs.strings().get(*run).len() >= 2;
    let indices = (0..runs.len()).into_par_iter().with_min_len(RUNS_A_TASK);
    indices.filter(is_long_enough).flat_map_iter(of_run).collect()
}

/// Fewest runs for one task of the thread pool.
const RUNS_A_TASK: usize = 1024;

/// A number of 32 bits that is random for each hash. All bits of the hash are mixed, so each half serves one
/// purpose. Residues of the whole hash would not be independent: those of both halves agree modulo 3, 5 and 17.
fn half_of_hash(hash: u64, draw: Draw) -> u32 {
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
    use crate::mining::runs::tests::folded;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Run i is [i, i + 1, i + 2], i % 5 + 1 times.
    fn runs(number: u32) -> Runs {
        folded((0..number).flat_map(|i| (0..i % 5 + 1).map(move |_| ([i, i + 1, i + 2], 0))), &[])
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
            let drawn = |step, draw| drawn(&runs, step, 2, draw).into_iter().map(|piece| piece.run);
            let searched: BTreeSet<usize> = drawn(search, Draw::Search).collect();
            let selected: Vec<usize> = drawn(selection, Draw::Selection).collect();
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

    /// Runs that each occur once, in a task of their own.
    fn single(strings: Segments) -> Runs {
        let tasks = (0..strings.len() as u32).map(|task| vec![task]).collect::<Vec<_>>();
        let tasks = tasks.iter().map(Vec::as_slice).collect();
        let counts = vec![1; strings.len()];
        Runs::from_parts(strings, counts, tasks).unwrap()
    }

    const MOST: u64 = PIECES * SHORT;

    /// Also of runs whose pieces are all equal.
    #[test]
    fn a_sample_of_two_long_runs_has_as_many_tokens_as_of_many_short_ones() {
        for seed in 0..20u32 {
            let period = 1 + 1_000 * (seed / 2);
            let run = |length: u32| (0..length).map(|at| seed + at % period).collect::<Vec<_>>();
            let runs = RunParts::from(single([&run(200_000)[..], &run(300_000)].into_iter().collect()));
            for draw in [Draw::Search, Draw::Selection] {
                let sample = sampled(&runs, MOST, draw, |_| true).unwrap();
                let share = sample.strings().tokens().len() as f64 / MOST as f64;
                assert!((0.4..1.6).contains(&share), "{share} with the seed {seed}");
                let estimate = sample.total_tokens() as f64 / 500_000.0;
                assert!((0.4..1.6).contains(&estimate), "{estimate} with the seed {seed}");
            }
        }
    }

    #[test]
    fn a_run_that_is_taken_for_certain_stays_whole() {
        let run: Vec<u32> = (0..50_000).collect();
        let one = |list: &[u32]| [list].into_iter().collect();
        let often = Runs::from_parts(one(&run), vec![8], one(&[0])).unwrap();
        let whole = Piece { run: 0, number: 0, pieces: 1 };
        assert_eq!(drawn(&often, 8, 1_000, Draw::Search), [whole]);
        assert!(drawn(&often, 9, 1_000, Draw::Search).iter().all(|piece| piece.pieces == 50));
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_run_are_the_run(
            run in prop::collection::vec(0u32..4, 2..60), longest in 1usize..20, dividing in 0u32..4
        ) {
            let pieces = run.len().div_ceil(longest);
            let piece = |number| Piece { run: 0, number, pieces };
            let may_divide = |token: u32| token >= dividing;
            let even: Vec<&[u32]> = (0..pieces).map(|number| piece(number).within(&run, |_| true)).collect();
            prop_assert_eq!(even.concat(), run.clone());
            let least = run.len() / pieces;
            prop_assert!(even.iter().all(|piece| piece.len() <= longest && piece.len() - least <= 1));
            let moved = (0..pieces).map(|number| piece(number).within(&run, may_divide));
            let moved: Vec<&[u32]> = moved.collect();
            prop_assert_eq!(moved.concat(), run.clone());
            prop_assert!(moved[1..].iter().all(|piece| piece.first().is_none_or(|&first| may_divide(first))));
        }

        #[test]
        fn only_long_runs_are_drawn_in_pieces(
            lengths in prop::collection::vec(2usize..30, 1..40), longest in 10usize..30, step in 1u64..6
        ) {
            let strings = lengths.iter().zip(0..).map(|(&length, run)| vec![run; length]).collect::<Vec<_>>();
            let runs = single(strings.iter().map(Vec::as_slice).collect());
            let is_short = |piece: &Piece| lengths[piece.run] <= longest;
            for draw in [Draw::Search, Draw::Selection] {
                let whole = drawn(&runs, step, usize::MAX, draw);
                let pieces = drawn(&runs, step, longest, draw);
                let short = |all: Vec<Piece>| all.into_iter().filter(is_short).collect::<Vec<_>>();
                prop_assert_eq!(short(pieces), short(whole));
            }
        }

        #[test]
        fn pieces_depend_on_their_run_alone(
            lengths in prop::collection::vec(900u32..5_000, 30), bytes in 0usize..99_999
        ) {
            let ids = |(&length, run): (&u32, u32)| (run..run + length).collect::<Vec<_>>();
            let strings: Vec<Vec<u32>> = lengths.iter().zip(0..).map(ids).collect();
            let forwards = || single(strings.iter().map(Vec::as_slice).collect());
            let backwards = single(strings.iter().rev().map(Vec::as_slice).collect());
            let drawn = |runs: &RunParts| {
                let sample = runs.sample(MOST / 2).unwrap();
                let strings = sample.strings().iter().map(<[u32]>::to_vec);
                strings.zip(sample.counts().to_vec()).collect::<BTreeSet<_>>()
            };
            let expected = drawn(&forwards().into());
            prop_assert_eq!(drawn(&backwards.into()), expected.clone());
            prop_assert_eq!(drawn(&on_disk(&forwards(), bytes).0), expected.clone());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            prop_assert_eq!(pool.install(|| drawn(&forwards().into())), expected);
        }
    }
}
