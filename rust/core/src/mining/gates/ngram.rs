//! Entropies of an n-gram model of the corpus itself, for a corpus without a teacher.
//!
//! The model is interpolated with Witten-Bell smoothing (Witten and Bell 1991; in this form Chen and Goodman
//! 1998), with a weight A as in Collins (1999). After a context that occurs n times and is followed by T
//! different tokens, a token w that follows it c(w) times has the probability
//!
//! ```text
//! p(w | context) = (c(w) + A T p(w | context without its first token)) / (n + A T)
//! ```
//!
//! Without a context, T is the number of different tokens, and they are smoothed with the uniform 1 / T. A
//! context is up to [`LONGEST_CONTEXT`] tokens of the same run. The end of a run counts as a token, since it is
//! predicted too.
//!
//! A context is held as the list of the places where it ends. (A node of the candidates' trie is the list of those
//! where it begins, see [`crate::mining::search::trie`].) One more token in front divides the list, so contexts are
//! visited right after the shorter one that smooths them. A token that does not follow a context keeps
//! its share of the shorter one's distribution. So an entropy takes as many steps as there are different
//! followers, and not as there are tokens. The lists of different last tokens share no place, so they are
//! worked on in parallel. Nothing is hashed.
//!
//! The runs are read as they are. What would cost a memory access at a place (the next token, the run's count,
//! where the run begins) is stored in its list while the runs are read from end to end. Only the lists of one
//! range of last tokens exist at a time; for each range, every thread reads the runs once.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::mining::runs::Runs;
use crate::mining::runs::frequency::frequencies;
use crate::mining::runs::shares::shares;

/// Most tokens of a context. Of several lengths and weights, these agreed well with a teacher's entropies
/// (docs/results/reduction.md).
pub const LONGEST_CONTEXT: usize = 4;

/// The weight A of the distribution after the shorter context.
pub const SHORTER_WEIGHT: f64 = 2.0;

/// The token before the first and after the last of a run: an id that no token has.
const END: u32 = u32::MAX;

/// Ranges of last tokens. More take less memory, and for each range every thread reads all runs once.
const RANGES: usize = 8;

/// Entropy, in nats, of an n-gram model before each token of the distinct runs (as long as their tokens end to
/// end).
///
/// NaN at the first token of a run. Takes 4 bytes a token for the entropies, and up to 32 for each place in the
/// largest of eight ranges of ids: 8 bytes a token, or more if one id has more than an eighth of all places (23
/// if it has 60% of them). The number of positions is not limited.
///
/// # Errors
/// If one token occurs in more than 2^32 places.
pub fn ngram_entropies(runs: &Runs) -> Result<Vec<f32>> {
    by_ranges(runs, RANGES, 1 << 32)
}

fn by_ranges(runs: &Runs, number: usize, most: usize) -> Result<Vec<f32>> {
    let tokens = runs.strings().tokens();
    let places = frequencies(tokens);
    // A place is sorted by its rank of 32 bits among those of its token.
    if let Some(&places) = places.iter().find(|&&places| places > most) {
        return Err(Error::TooManyPlaces { places, most });
    }
    let unigrams = Distribution::of_tokens(runs, places.len());
    let entropies: Vec<AtomicU32> = tokens.iter().map(|_| AtomicU32::new(f32::NAN.to_bits())).collect();
    let threads = rayon::current_num_threads();
    for range in shares(&places, 0..places.len(), number) {
        let parts = shares(&places, range, threads).into_par_iter();
        let lists: Vec<Vec<Place>> = parts.flat_map_iter(|part| places_of(runs, &places, part)).collect();
        let contexts = || Contexts::new(runs, &unigrams, &entropies);
        lists.into_par_iter().for_each_init(contexts, |contexts, mut places| contexts.visit_all(&mut places));
    }
    Ok(entropies.into_iter().map(|entropy| f32::from_bits(entropy.into_inner())).collect())
}

/// For each id of a range that occurs, its places in ascending order.
fn places_of(runs: &Runs, occurrences: &[usize], ids: Range<usize>) -> Vec<Vec<Place>> {
    let mut lists = Vec::new();
    let mut list_of = vec![0; ids.len()];
    for (list, &number) in
        list_of.iter_mut().zip(&occurrences[ids.clone()]).filter(|(_, number)| **number > 0)
    {
        *list = lists.len() as u32;
        lists.push(Vec::with_capacity(number));
    }
    let mut position = 0;
    for (run, &count) in runs.strings().iter().zip(runs.counts()) {
        for (before, &token) in run.iter().enumerate() {
            // One comparison for both bounds, which most tokens fail.
            if let Some(&list) = list_of.get((token as usize).wrapping_sub(ids.start)) {
                let next = run.get(before + 1).copied().unwrap_or(END);
                lists[list as usize].push(Place::new(position, next, count, before));
            }
            position += 1;
        }
    }
    lists
}

/// A place at which a context ends: a position in the tokens of all runs, in 12 bytes with what is known of
/// it.
#[derive(Clone, Copy)]
struct Place {
    low: u32,
    high: u16,
    /// The number of occurrences of the run; 0 if it is larger than fits.
    count: u8,
    /// The number of tokens before it in the run, or the largest number that fits.
    before: u8,
    /// The token after it, or `END`.
    next: u32,
}

impl Place {
    fn new(position: usize, next: u32, count: u64, before: usize) -> Self {
        let (low, high) = (position as u32, (position >> 32) as u16);
        let (count, before) = (u8::try_from(count).unwrap_or(0), before.min(usize::from(u8::MAX)) as u8);
        Place { low, high, count, before, next }
    }

    fn position(&self) -> usize {
        usize::from(self.high) << 32 | self.low as usize
    }

    /// The number of occurrences of the run.
    fn count(&self, runs: &Runs) -> u64 {
        if self.count > 0 {
            return u64::from(self.count);
        }
        let position = self.position();
        runs.count(runs.strings().offsets().partition_point(|&start| start <= position) - 1)
    }
}

/// A token that follows a context.
#[derive(Clone, Copy)]
struct Follower {
    /// The token, or `END`.
    next: u32,
    probability: f64,
    /// Its term of the entropy, in nats.
    term: f64,
}

impl Follower {
    fn new(next: u32, probability: f64) -> Self {
        Follower { next, probability, term: -probability * probability.ln() }
    }
}

/// What follows a context: the tokens that do so in the corpus, by id, and the entropy over all tokens.
#[derive(Clone, Default)]
struct Distribution {
    followers: Vec<Follower>,
    entropy: f64,
}

impl Distribution {
    /// Of the tokens of the runs without a context; their ids are below `ids`.
    fn of_tokens(runs: &Runs, ids: usize) -> Self {
        let (mut counts, mut ends) = (vec![0u64; ids], 0);
        for (run, &count) in runs.strings().iter().zip(runs.counts()) {
            run.iter().for_each(|&id| counts[id as usize] += count);
            ends += count;
        }
        let by_id = (0..).zip(counts).filter(|&(_, count)| count > 0);
        let followers: Vec<(u32, u64)> = by_id.chain([(END, ends)]).collect();
        let total: u64 = followers.iter().map(|&(_, count)| count).sum();
        let all = total as f64 + SHORTER_WEIGHT * followers.len() as f64;
        // T times the uniform probability is 1.
        let probability = |count: u64| (count as f64 + SHORTER_WEIGHT) / all;
        let followers: Vec<Follower> =
            followers.into_iter().map(|(next, count)| Follower::new(next, probability(count))).collect();
        let entropy = followers.iter().map(|follower| follower.term).sum();
        Distribution { followers, entropy }
    }

    /// Becomes the distribution after a longer context, given what follows it (by id) and the shorter one's.
    ///
    /// Sums are in the order of ids, so they do not depend on the order of the runs.
    fn refine(&mut self, shorter: &Distribution, followers: &[(u32, u64)]) {
        let total: u64 = followers.iter().map(|&(_, count)| count).sum();
        let shorter_count = SHORTER_WEIGHT * followers.len() as f64;
        let all = total as f64 + shorter_count;
        let kept = shorter_count / all;
        let (mut rest, mut rest_of_entropy, mut entropy) = (1.0, shorter.entropy, 0.0);
        let mut later = shorter.followers.as_slice();
        self.followers.clear();
        for &(next, count) in followers {
            let (before, behind) = find(later, next);
            later = behind;
            let follower = Follower::new(next, count as f64 / all + kept * before.probability);
            rest -= before.probability;
            rest_of_entropy -= before.term;
            entropy += follower.term;
            self.followers.push(follower);
        }
        // All other tokens have `kept` times the probability that they have after the shorter context.
        let others = kept * (rest_of_entropy.max(0.0) - kept.ln() * rest.max(0.0));
        self.entropy = entropy + others;
    }
}

/// The follower of an id that is among `followers`, and those behind it.
fn find(followers: &[Follower], next: u32) -> (Follower, &[Follower]) {
    // The next one is mostly near, so steps are doubled before the range is halved.
    let mut step = 1;
    while step < followers.len() && followers[step].next <= next {
        step *= 2;
    }
    let (low, high) = (step / 2, followers.len().min(step));
    let at = low + followers[low..high].partition_point(|follower| follower.next < next);
    (followers[at], &followers[at + 1..])
}

/// Visits all contexts that end with one token.
struct Contexts<'a> {
    runs: &'a Runs,
    unigrams: &'a Distribution,
    entropies: &'a [AtomicU32],
    /// After contexts of 1, 2, ... tokens. Each smooths the one behind it.
    distributions: Vec<Distribution>,
    keys: Vec<u64>,
    sorted: Vec<Place>,
    followers: Vec<(u32, u64)>,
}

impl<'a> Contexts<'a> {
    fn new(runs: &'a Runs, unigrams: &'a Distribution, entropies: &'a [AtomicU32]) -> Self {
        let distributions = vec![Distribution::default(); LONGEST_CONTEXT];
        let (keys, sorted, followers) = (Vec::new(), Vec::new(), Vec::new());
        Contexts { runs, unigrams, entropies, distributions, keys, sorted, followers }
    }

    /// Visits the contexts of one last token.
    fn visit_all(&mut self, places: &mut [Place]) {
        // Each part of the list keeps the order of the following tokens, so that equal ones are neighbours.
        self.sort_by_key(places, |place| place.next);
        self.visit(places, 1);
    }

    /// Visits a context of `length` tokens, which ends at `places`, and all that are longer.
    fn visit(&mut self, places: &mut [Place], length: usize) {
        self.measure(places, length);
        if length == LONGEST_CONTEXT {
            return self.store(places, length);
        }
        let tokens = self.runs.strings().tokens();
        let before = |place: &Place| match usize::from(place.before) >= length {
            true => tokens[place.position() - length],
            false => END,
        };
        self.sort_by_key(places, before);
        for longer in places.chunk_by_mut(|one, other| before(one) == before(other)) {
            match before(&longer[0]) {
                END => self.store(longer, length),
                _ => self.visit(longer, length + 1),
            }
        }
    }

    /// Stores the entropy after a context of `length` tokens, which ends at `places`.
    fn store(&self, places: &[Place], length: usize) {
        let entropy = self.distributions[length - 1].entropy as f32;
        for place in places.iter().filter(|place| place.next != END) {
            self.entropies[place.position() + 1].store(entropy.to_bits(), Relaxed);
        }
    }

    /// Measures what follows a context of `length` tokens; that of the shorter context is known.
    fn measure(&mut self, places: &[Place], length: usize) {
        let followers = places
            .chunk_by(|one, other| one.next == other.next)
            .map(|equal| (equal[0].next, equal.iter().map(|place| place.count(self.runs)).sum()));
        self.followers.clear();
        self.followers.extend(followers);
        let (shorter, longer) = self.distributions.split_at_mut(length - 1);
        longer[0].refine(shorter.last().unwrap_or(self.unigrams), &self.followers);
    }

    /// Sorts places by a key. The sort is stable.
    fn sort_by_key(&mut self, places: &mut [Place], key: impl Fn(&Place) -> u32) {
        if places.len() < 2 {
            return;
        }
        self.keys.clear();
        self.keys
            .extend((0..).zip(&*places).map(|(rank, place): (u64, _)| u64::from(key(place)) << 32 | rank));
        self.keys.sort_unstable();
        self.sorted.clear();
        self.sorted.extend(self.keys.iter().map(|&key| places[key as u32 as usize]));
        places.copy_from_slice(&self.sorted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::spill::SpillingFolder;
    use crate::mining::runs::tests::folded;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn runs_of(parts: &[Vec<u32>]) -> Runs {
        folded(parts.iter().map(|tokens| (tokens, 0)), &[])
    }

    type Followers = BTreeMap<Option<u32>, u64>;

    /// How often each token or the end of the run follows each context.
    fn following(runs: &Runs) -> BTreeMap<&[u32], Followers> {
        let mut following: BTreeMap<&[u32], Followers> = BTreeMap::new();
        for (run, count) in runs.strings().iter().zip(runs.counts()) {
            for end in 0..=run.len() {
                for start in end.saturating_sub(LONGEST_CONTEXT)..=end {
                    let followers = following.entry(&run[start..end]).or_default();
                    *followers.entry(run.get(end).copied()).or_default() += count;
                }
            }
        }
        following
    }

    /// The probability of each token after a context, by the definition.
    fn probabilities(following: &BTreeMap<&[u32], Followers>, context: &[u32]) -> BTreeMap<Option<u32>, f64> {
        let tokens = &following[&[][..]];
        let smoothed = match context {
            [] => tokens.keys().map(|&next| (next, 1.0 / tokens.len() as f64)).collect(),
            [_, shorter @ ..] => probabilities(following, shorter),
        };
        let followers = &following[context];
        let (total, weight) =
            (followers.values().sum::<u64>() as f64, SHORTER_WEIGHT * followers.len() as f64);
        let count = |next| followers.get(&next).copied().unwrap_or(0) as f64;
        let of = |(next, shorter)| (next, (count(next) + weight * shorter) / (total + weight));
        smoothed.into_iter().map(of).collect()
    }

    fn by_definition(runs: &Runs) -> Vec<f64> {
        let following = following(runs);
        let before = |run: &[u32], end: usize| -> f64 {
            let context = &run[end.saturating_sub(LONGEST_CONTEXT)..end];
            let terms = probabilities(&following, context).into_values().map(|p| -p * p.ln());
            if end == 0 { f64::NAN } else { terms.sum() }
        };
        let of_run = |run: &'_ [u32]| (0..run.len()).map(|end| before(run, end)).collect::<Vec<_>>();
        runs.strings().iter().flat_map(of_run).collect()
    }

    /// Equal but for the rounding to 32 bits; NaN is equal to itself.
    fn assert_near(entropies: &[f32], expected: &[f64]) {
        assert_eq!(entropies.len(), expected.len());
        for (&entropy, &expected) in entropies.iter().zip(expected) {
            let near = (f64::from(entropy) - expected).abs() <= 1e-9 + 1e-7 * expected;
            assert!(near || entropy.is_nan() && expected.is_nan(), "{entropy} is not {expected}");
        }
    }

    #[test]
    fn the_entropy_is_that_of_the_smoothed_distribution() {
        // 1 three times, 2 twice, 3 once, and three ends. After 1 come 2 twice and 3 once.
        let entropies = ngram_entropies(&runs_of(&[vec![1, 2], vec![1, 2], vec![1, 3]])).unwrap();
        let unigrams = [3.0, 2.0, 1.0, 3.0].map(|count: f64| (count + 2.0) / (9.0 + 2.0 * 4.0));
        let after = [0.0, 2.0, 1.0, 0.0].into_iter().zip(unigrams).map(|(count, p)| (count + 4.0 * p) / 7.0);
        let expected: f64 = after.map(|p| -p * p.ln()).sum();
        assert!(entropies[0].is_nan());
        assert!((f64::from(entropies[1]) - expected).abs() < 1e-6);
    }

    #[test]
    fn a_fork_is_less_certain_than_what_always_follows() {
        let parts: Vec<Vec<u32>> = (0..100).map(|run| vec![1, 2, 3, 4 + run % 2]).collect();
        let entropies = ngram_entropies(&runs_of(&parts)).unwrap();
        assert!(entropies[1..3].iter().all(|&always| always < entropies[3] / 2.0));
    }

    /// An earlier version hashed contexts to 64 bits, and these two had the same hash, as some have
    /// with any hash.
    #[test]
    fn contexts_of_equal_hash_are_kept_apart() {
        let lists: [&[u32]; 2] = [&[7_132, 17, 5, 1], &[5_628_700, 846, 56_748_192, 2]];
        let tasks: Segments = [[0].as_slice(); 2].into_iter().collect();
        let runs = Runs::from_parts(lists.into_iter().collect(), vec![5, 5], tasks).unwrap();
        assert_near(&ngram_entropies(&runs).unwrap(), &by_definition(&runs));
    }

    #[test]
    fn a_token_in_too_many_places_is_refused() {
        let error = by_ranges(&runs_of(&[vec![1, 2], vec![2, 2]]), 1, 2).unwrap_err();
        assert_eq!(error, Error::TooManyPlaces { places: 3, most: 2 });
    }

    proptest! {
        /// Long runs have more tokens before a place, and large factors larger counts, than a place can hold.
        #[test]
        fn the_entropies_are_their_definition(
            parts in prop::collection::vec(
                (prop_oneof![
                    19 => prop::collection::vec(0u32..3, 1..30),
                    1 => prop::collection::vec(0u32..3, 250..270),
                ], 1usize..4),
                0..12,
            ),
            factor in prop_oneof![Just(1u64), Just(100), Just(1 << 30)],
            ranges in 1usize..5,
            threads in 1usize..4,
        ) {
            let parts: Vec<Vec<u32>> =
                parts.into_iter().flat_map(|(run, times)| std::iter::repeat_n(run, times)).collect();
            let mut folder = SpillingFolder::default();
            folder.add_weighted(&runs_of(&parts), factor).unwrap();
            let folded = folder.finish().unwrap();
            let runs = folded.whole().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let entropies = pool.install(|| by_ranges(&runs, ranges, 1 << 32)).unwrap();
            assert_near(&entropies, &by_definition(&runs));
        }
    }

    #[test]
    fn a_place_holds_positions_past_32_bits() {
        let position = (7 << 32) + 5;
        assert_eq!(Place::new(position, END, 1, 0).position(), position);
    }
}
