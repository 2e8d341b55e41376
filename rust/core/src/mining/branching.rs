//! Branching entropy: how surprising each token is by the corpus's own counts, for a corpus without a
//! teacher.
//!
//! The entropy of the tokens that follow a context, by their counts. The context is the longest sequence
//! of up to [`LONGEST_CONTEXT`] tokens of the same run that occurs at least [`FEWEST_OCCURRENCES`] times;
//! the end of a run counts as a token, since it is predicted too.
//!
//! A context is held as the list of the positions where it ends. (A node of the trie of candidates is the
//! list of those where it begins, see [`crate::mining::trie`].) One more token in front divides the list. The
//! lists of different last tokens share no position, so they are worked on in parallel. Nothing is hashed,
//! and rare contexts are skipped early.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::Result;
use crate::mining::flat_text::{END, Occurrence, Text};
use crate::mining::runs::Runs;
use crate::mining::scale::Scale;

/// Most tokens of a context. Longer ones are rarely frequent enough to be used.
pub const LONGEST_CONTEXT: usize = 8;

/// Fewest occurrences of a context. The followers of a rarer one are too few to estimate an entropy from.
pub const FEWEST_OCCURRENCES: u64 = 5;

/// Branching entropy, in nats, before each token of the distinct runs (as long as their tokens end to end).
///
/// NaN at the first token of a run, and where no context is frequent enough.
///
/// # Errors
/// If the distinct runs have more positions than can be searched.
pub fn branching_entropies(runs: &Runs) -> Result<Vec<f32>> {
    by_scale(runs, Scale::default())
}

fn by_scale(runs: &Runs, scale: Scale) -> Result<Vec<f32>> {
    let text = Text::new(runs, scale)?;
    let entropies: Vec<AtomicU32> = (0..text.len()).map(|_| AtomicU32::new(f32::NAN.to_bits())).collect();
    let threads = rayon::current_num_threads();
    for batch in text.shares(text.numbered(), scale.batches) {
        let shares = text.shares(batch, threads);
        let groups: Vec<_> = shares.into_par_iter().map(|share| text.followers_with_ends(share)).collect();
        let groups = Mutex::new(groups.into_iter().flatten().collect::<Vec<_>>().into_iter());
        (0..threads).into_par_iter().for_each(|_| Contexts::new(&text, &entropies).visit_groups(&groups));
    }
    let mut of_runs = vec![f32::NAN; runs.strings().tokens().len()];
    for (run, start) in text.places() {
        let offsets = &runs.strings().offsets()[run..run + 2];
        let found = &entropies[start..start + offsets[1] - offsets[0]];
        for (entropy, found) in of_runs[offsets[0]..offsets[1]].iter_mut().zip(found) {
            *entropy = f32::from_bits(found.load(Relaxed));
        }
    }
    Ok(of_runs)
}

/// Visits all contexts that end with one token after another.
struct Contexts<'a> {
    text: &'a Text<'a>,
    /// The entropy of the longest frequent context so far, by position.
    entropies: &'a [AtomicU32],
    keyed: Vec<(u64, Occurrence)>,
    counts: Vec<u64>,
}

impl<'a> Contexts<'a> {
    fn new(text: &'a Text<'a>, entropies: &'a [AtomicU32]) -> Self {
        Contexts { text, entropies, keyed: Vec::new(), counts: Vec::new() }
    }

    /// Visits the contexts of one last token after another until none is left.
    fn visit_groups(mut self, groups: &Mutex<std::vec::IntoIter<Vec<Occurrence>>>) {
        loop {
            // A lock is poisoned if another thread has panicked; rayon passes the panic on.
            let group = groups.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(mut places) = group else { break };
            // Each part of the list keeps the order of the following tokens, so that equal ones are
            // neighbours.
            places.sort_unstable_by_key(|place| (place.next, place.position));
            self.visit(&mut places, 1);
        }
    }

    /// Visits a context of `length` tokens, which ends at `places`, and all that are longer.
    fn visit(&mut self, places: &mut [Occurrence], length: usize) {
        let Some(entropy) = self.entropy(places) else { return };
        for place in places.iter().filter(|place| place.next != END) {
            self.entropies[place.position as usize + 1].store(entropy.to_bits(), Relaxed);
        }
        if length == LONGEST_CONTEXT {
            return;
        }
        self.sort_by_token_before(places, length);
        let text = self.text;
        let before = |place: &Occurrence| text.previous(place.position, length);
        for longer in places.chunk_by_mut(|one, other| before(one) == before(other)) {
            if longer.first().is_some_and(|place| before(place) != END) {
                self.visit(longer, length + 1);
            }
        }
    }

    /// The entropy of the following tokens; None if the context is too rare.
    fn entropy(&mut self, places: &[Occurrence]) -> Option<f32> {
        let text = self.text;
        let count = |group: &[Occurrence]| group.iter().map(|place| text.weight(place.position)).sum::<u64>();
        self.counts.clear();
        self.counts.extend(places.chunk_by(|one, other| one.next == other.next).map(count));
        let total: u64 = self.counts.iter().sum();
        if total < FEWEST_OCCURRENCES {
            return None;
        }
        // A sum of floats depends on its order, and must not depend on the order of the runs.
        self.counts.sort_unstable();
        let weighted: f64 = self.counts.iter().map(|&count| count as f64 * (count as f64).ln()).sum();
        Some(((total as f64).ln() - weighted / total as f64).max(0.0) as f32)
    }

    /// Sorts places by the token `distance` before them. The sort is stable.
    fn sort_by_token_before(&mut self, places: &mut [Occurrence], distance: usize) {
        let text = self.text;
        let token = |place: &Occurrence| u64::from(text.previous(place.position, distance));
        let keyed = (0..).zip(&*places).map(|(rank, place): (u64, _)| (token(place) << 32 | rank, *place));
        self.keyed.clear();
        self.keyed.extend(keyed);
        self.keyed.sort_unstable_by_key(|&(key, _)| key);
        places.iter_mut().zip(&self.keyed).for_each(|(place, &(_, sorted))| *place = sorted);
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
    fn a_text_that_is_too_long_is_refused() {
        let room = crate::mining::runs::Room { positions: 5, ..crate::mining::runs::Room::SEARCHED };
        let runs = runs_of(&[vec![1, 2], vec![3, 4]]);
        let error = by_scale(&runs, Scale { room, ..Scale::default() }).unwrap_err();
        assert_eq!(error, crate::Error::TooManyPositions { positions: 6, most: 5 });
    }

    proptest! {
        #[test]
        fn the_entropies_are_their_definition(
            parts in prop::collection::vec((prop::collection::vec(0u32..3, 1..30), 1usize..4), 0..12),
            batches in 1usize..4,
            threads in 1usize..4,
        ) {
            let parts: Vec<Vec<u32>> =
                parts.into_iter().flat_map(|(run, times)| std::iter::repeat_n(run, times)).collect();
            let runs = runs_of(&parts);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let scale = Scale { batches, block_bits: 1, ..Scale::default() };
            let entropies = pool.install(|| by_scale(&runs, scale)).unwrap();
            prop_assert_eq!(bits(&entropies), bits(&by_definition(&runs)));
        }
    }
}
