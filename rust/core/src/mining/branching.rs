//! Branching entropy: how surprising each token is by the corpus's own counts, for a corpus without a
//! teacher.
//!
//! The entropy of the tokens that follow a context, by their counts. The context is the longest sequence
//! of up to [`LONGEST_CONTEXT`] tokens of the same run that occurs at least [`FEWEST_OCCURRENCES`] times;
//! the end of a run counts as a token, since it is predicted too.
//!
//! A context is held as the list of the places where it ends. (A node of the trie of candidates is the list of
//! those where it begins, see [`crate::mining::trie`].) One more token in front divides the list. The lists of
//! different last tokens share no place, so they are worked on in parallel. Nothing is hashed, and rare
//! contexts are skipped early.
//!
//! The runs are read as they are. What would cost a memory access at a place (the next token, the run's count,
//! where the run begins) is stored in its list while the runs are read from end to end. Only the lists of one
//! range of last tokens exist at a time.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::mining::runs::Runs;

/// Most tokens of a context. Longer ones are rarely frequent enough to be used.
pub const LONGEST_CONTEXT: usize = 8;

/// Fewest occurrences of a context. The followers of a rarer one are too few to estimate an entropy from.
pub const FEWEST_OCCURRENCES: u64 = 5;

/// The token before the first and after the last of a run: an id that no token has.
const END: u32 = u32::MAX;

/// Ranges of last tokens. More take less memory, and each range costs two passes over the runs.
const RANGES: usize = 8;

/// Branching entropy, in nats, before each token of the distinct runs (as long as their tokens end to end).
///
/// NaN at the first token of a run, and where no context is frequent enough. Takes about 7 bytes a token, the
/// entropies included. The number of positions is not limited.
///
/// # Errors
/// If one token occurs in more than 2^32 places.
pub fn branching_entropies(runs: &Runs) -> Result<Vec<f32>> {
    by_ranges(runs, RANGES, 1 << 32)
}

fn by_ranges(runs: &Runs, number: usize, most: usize) -> Result<Vec<f32>> {
    let tokens = runs.strings().tokens();
    let occurrences = occurrences_of(tokens);
    // A place is sorted by its rank of 32 bits among those of its token.
    if let Some(&positions) = occurrences.iter().find(|&&positions| positions > most) {
        return Err(Error::TooManyPositions { positions, most });
    }
    let entropies: Vec<AtomicU32> = tokens.iter().map(|_| AtomicU32::new(f32::NAN.to_bits())).collect();
    let threads = rayon::current_num_threads();
    for range in shares(&occurrences, 0..occurrences.len(), number) {
        let parts = shares(&occurrences, range, threads).into_par_iter();
        let lists: Vec<Vec<Place>> =
            parts.flat_map_iter(|part| places_of(runs, &occurrences, part)).collect();
        let contexts = || Contexts::new(runs, &entropies);
        lists.into_par_iter().for_each_init(contexts, |contexts, mut places| contexts.visit_all(&mut places));
    }
    Ok(entropies.into_iter().map(|entropy| f32::from_bits(entropy.into_inner())).collect())
}

/// The number of places of each id.
fn occurrences_of(tokens: &[u32]) -> Vec<usize> {
    let most = tokens.par_iter().max().map_or(0, |&id| id as usize + 1);
    let mut occurrences = vec![0; most];
    for &id in tokens {
        occurrences[id as usize] += 1;
    }
    occurrences
}

/// Divides a range of ids into at most `number` ranges with about equally many places.
fn shares(occurrences: &[usize], ids: Range<usize>, number: usize) -> Vec<Range<usize>> {
    let total: usize = occurrences[ids.clone()].iter().sum();
    let (mut shares, mut start, mut seen) = (Vec::new(), ids.start, 0);
    for id in ids.clone() {
        seen += occurrences[id];
        if seen * number > total * (shares.len() + 1) {
            shares.push(start..id + 1);
            start = id + 1;
        }
    }
    shares.push(start..ids.end);
    shares
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

/// Visits all contexts that end with one token.
struct Contexts<'a> {
    runs: &'a Runs,
    entropies: &'a [AtomicU32],
    keys: Vec<u64>,
    sorted: Vec<Place>,
    counts: Vec<u64>,
}

impl<'a> Contexts<'a> {
    fn new(runs: &'a Runs, entropies: &'a [AtomicU32]) -> Self {
        Contexts { runs, entropies, keys: Vec::new(), sorted: Vec::new(), counts: Vec::new() }
    }

    /// Visits the contexts of one last token.
    fn visit_all(&mut self, places: &mut [Place]) {
        // Each part of the list keeps the order of the following tokens, so that equal ones are neighbours.
        self.sort_by_key(places, |place| place.next);
        self.visit(places, 1);
    }

    /// Visits a context of `length` tokens, which ends at `places`, and all that are longer; false if it is
    /// too rare.
    fn visit(&mut self, places: &mut [Place], length: usize) -> bool {
        let Some(entropy) = self.entropy(places) else { return false };
        if length == LONGEST_CONTEXT {
            self.store(places, entropy);
            return true;
        }
        let tokens = self.runs.strings().tokens();
        let before = |place: &Place| match usize::from(place.before) >= length {
            true => tokens[place.position() - length],
            false => END,
        };
        self.sort_by_key(places, before);
        for longer in places.chunk_by_mut(|one, other| before(one) == before(other)) {
            if before(&longer[0]) == END || !self.visit(longer, length + 1) {
                self.store(longer, entropy);
            }
        }
        true
    }

    /// Stores the entropy of the tokens after `places`.
    fn store(&self, places: &[Place], entropy: f32) {
        for place in places.iter().filter(|place| place.next != END) {
            self.entropies[place.position() + 1].store(entropy.to_bits(), Relaxed);
        }
    }

    /// The entropy of the following tokens; None if the context is too rare.
    fn entropy(&mut self, places: &[Place]) -> Option<f32> {
        let runs = self.runs;
        let occurrences = |places: &[Place]| places.iter().map(|place| place.count(runs)).sum::<u64>();
        let total = occurrences(places);
        if total < FEWEST_OCCURRENCES {
            return None;
        }
        self.counts.clear();
        self.counts.extend(places.chunk_by(|one, other| one.next == other.next).map(occurrences));
        // A sum of floats depends on its order, and must not depend on the order of the runs.
        self.counts.sort_unstable();
        let weighted: f64 = self.counts.iter().map(|&count| count as f64 * (count as f64).ln()).sum();
        Some(((total as f64).ln() - weighted / total as f64).max(0.0) as f32)
    }

    /// Sorts places by a key. The sort is stable.
    fn sort_by_key(&mut self, places: &mut [Place], key: impl Fn(&Place) -> u32) {
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
    use crate::mining::runs::{RunFolder, Trajectories};
    use crate::tokens::barriers::Barriers;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn runs_of(parts: &[Vec<u32>]) -> Runs {
        let mut folder = RunFolder::default();
        for tokens in parts {
            let part = Trajectories {
                tokens,
                offsets: &[0, tokens.len()],
                action: &vec![true; tokens.len()],
                continues: None,
                tasks: &[0],
            };
            folder.add(&part, &Barriers::default()).unwrap();
        }
        folder.finish()
    }

    /// By the definition: for each context, how often each token or the end of the run follows.
    fn by_definition(runs: &Runs) -> Vec<f32> {
        let mut following: BTreeMap<&[u32], BTreeMap<Option<u32>, u64>> = BTreeMap::new();
        let longest = |end: usize| end.saturating_sub(LONGEST_CONTEXT)..end;
        for (run, count) in runs.strings().iter().zip(runs.counts()) {
            for end in 1..=run.len() {
                for start in longest(end) {
                    let followers = following.entry(&run[start..end]).or_default();
                    *followers.entry(run.get(end).copied()).or_default() += count;
                }
            }
        }
        let entropy = |followers: &BTreeMap<Option<u32>, u64>| -> Option<f32> {
            let total: u64 = followers.values().sum();
            let mut counts: Vec<u64> = followers.values().copied().collect();
            counts.sort_unstable();
            let weighted: f64 = counts.iter().map(|&count| count as f64 * (count as f64).ln()).sum();
            let entropy = (total as f64).ln() - weighted / total as f64;
            (total >= FEWEST_OCCURRENCES).then_some(entropy.max(0.0) as f32)
        };
        let entropies: BTreeMap<&[u32], Option<f32>> =
            following.iter().map(|(&context, followers)| (context, entropy(followers))).collect();
        let before = |run: &[u32], end: usize| {
            longest(end).find_map(|start| entropies[&run[start..end]]).unwrap_or(f32::NAN)
        };
        let of_run = |run: &'_ [u32]| (0..run.len()).map(|end| before(run, end)).collect::<Vec<_>>();
        runs.strings().iter().flat_map(of_run).collect()
    }

    /// NaN is equal to itself.
    fn bits(entropies: &[f32]) -> Vec<u32> {
        entropies.iter().map(|entropy| entropy.to_bits()).collect()
    }

    #[test]
    fn a_fork_has_the_entropy_of_its_branches() {
        // 1 2 is always followed by 3, and 3 as often by 4 as by 5; every run ends after one of them.
        let parts: Vec<Vec<u32>> = [4, 5, 4, 5, 4, 5].map(|last| vec![1, 2, 3, last]).into();
        let entropies = branching_entropies(&runs_of(&parts)).unwrap();
        assert!(entropies[0].is_nan());
        assert_eq!(entropies[1..3], [0.0, 0.0]);
        assert!((entropies[3] - std::f32::consts::LN_2).abs() < 1e-6);
    }

    #[test]
    fn a_rare_context_falls_back_to_a_shorter_one() {
        let parts: Vec<Vec<u32>> = [1, 2, 3, 4, 6, 7].map(|first| vec![first, 5, 8]).into();
        let entropies = branching_entropies(&runs_of(&parts)).unwrap();
        // "1 5" occurs once, "5" six times and is always followed by 8; "1" alone is too rare.
        assert!(entropies[1].is_nan());
        assert_eq!(entropies[2], 0.0);
    }

    /// An earlier version hashed contexts to 64 bits, and these two had the same hash, as some have
    /// with any hash.
    #[test]
    fn contexts_of_equal_hash_are_kept_apart() {
        let lists: [&[u32]; 2] = [&[7_132, 17, 5, 1], &[5_628_700, 846, 56_748_192, 2]];
        let tasks: Segments = [[0].as_slice(); 2].into_iter().collect();
        let runs = Runs::from_parts(lists.into_iter().collect(), vec![5, 5], tasks).unwrap();
        let entropies = branching_entropies(&runs).unwrap();
        assert_eq!([entropies[3], entropies[7]], [0.0, 0.0]);
    }

    #[test]
    fn a_token_in_too_many_places_is_refused() {
        let error = by_ranges(&runs_of(&[vec![1, 2], vec![2, 2]]), 1, 2).unwrap_err();
        assert_eq!(error, Error::TooManyPositions { positions: 3, most: 2 });
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
            let runs = Runs::weighted(&[(&runs_of(&parts), factor)]).unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let entropies = pool.install(|| by_ranges(&runs, ranges, 1 << 32)).unwrap();
            prop_assert_eq!(bits(&entropies), bits(&by_definition(&runs)));
        }
    }

    #[test]
    fn a_place_holds_positions_past_32_bits() {
        let position = (7 << 32) + 5;
        assert_eq!(Place::new(position, END, 1, 0).position(), position);
    }
}
