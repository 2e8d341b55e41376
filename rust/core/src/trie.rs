//! Finding the candidates: the segments that are worth a second look.
//!
//! A suffix trie over the distinct runs, grown depth first and only below nodes that are frequent enough.
//! Occurrences and support are anti-monotone (an extension occurs in no more places and tasks than what it
//! extends), so nothing is missed. A node is held as the list of positions where its string begins, never
//! as an object: the memory is the positions of a part of the first tokens and the path being grown.
//!
//! Only the candidates that may save most are of use to selection, so the trie keeps so many and no more.
//! Once it has as many, the least of them is a bound: a node whose longest extension could not reach it is
//! not grown. That is exact, and it is what makes the work of a large corpus grow with its tokens instead of
//! with its rare strings.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::candidates::Candidates;
use crate::error::Result;
use crate::runs::Runs;
use crate::text::{END, Placed, Text};
use crate::worth::expected_savings;

/// Longest segments that are candidates without being closed. Unseen tasks cut long segments short, and
/// what is left are their pieces: with none a vocabulary of 4,096 does half a point worse on small corpora;
/// up to 8 tokens gives 0.1 point more for three times as many.
const UNCLOSED: usize = 4;

/// Positions up to which a node's children are found by sorting rather than by counting.
const SORTED: usize = 96;

/// The text is gone through so many times, each time for a part of the first tokens: their occurrences are the
/// largest thing in memory beside the text.
const BATCHES: usize = 2;

/// Distinct tokens of the sample that the bound is guessed by.
const SAMPLED_TOKENS: usize = 1 << 20;

/// Share of the bound that the sample shows. It shows less than there is, since support is small in a sample.
const GUESSED_SHARE: f64 = 1.1;

/// Most positions for which a look ahead is worth its price: the tokens there are in no cache yet.
const LOOKED_AHEAD: usize = 32;

/// Weights are counted up to this while looking ahead.
const RARE: u64 = u32::MAX as u64;

/// Every id that a token may have.
const ALL: Range<u32> = 0..u32::MAX;

/// How frequent a segment must be, and how many to find.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Fewest occurrences.
    pub min_count: u64,
    /// Fewest distinct tasks.
    pub min_support: u32,
    /// Longest segment in tokens.
    pub max_length: usize,
    /// Most candidates: those that are expected to save most are found.
    pub most: usize,
}

/// The segments of two or more tokens within `limits` that are expected to save most.
///
/// Of the long ones only the *closed*: those that no further token to the left or to the right would extend
/// without losing an occurrence.
///
/// # Errors
/// If the distinct runs hold more tokens than 32-bit positions reach.
pub fn find_candidates(runs: &Runs, limits: &Limits) -> Result<Candidates> {
    find_candidates_from(runs, limits, ALL)
}

/// Those of the candidates whose first token lies in `first_tokens`.
///
/// [`Candidates::best`] of the parts of any division of the ids is what [`find_candidates`] finds.
///
/// # Errors
/// If the distinct runs hold more tokens than 32-bit positions reach.
pub fn find_candidates_from(runs: &Runs, limits: &Limits, first_tokens: Range<u32>) -> Result<Candidates> {
    let text = Text::new(runs)?;
    // A part of the tokens rarely has as many candidates as the whole, which is what a guess is checked by.
    let guess = if first_tokens == ALL { guessed_bound(runs, limits)? } else { 0.0 };
    Ok(find_with_guess(&text, limits, &first_tokens, guess))
}

/// The best candidates, for any guess of what the least of them saves: a wrong one costs time only.
fn find_with_guess(text: &Text<'_>, limits: &Limits, first_tokens: &Range<u32>, guess: f64) -> Candidates {
    let found = grow_all(text, limits, first_tokens, guess);
    let is_too_high = guess > 0.0 && found.len() < limits.most;
    if is_too_high { grow_all(text, limits, first_tokens, 0.0) } else { found }
}

/// What the least of the best candidates may save at least, judged by a sample; zero for a small corpus.
///
/// A bound from the beginning spares the rare strings below the first tokens, before as many candidates are
/// known as are wanted. If it is too high, fewer are found, which is seen, and all is done again without it.
fn guessed_bound(runs: &Runs, limits: &Limits) -> Result<f64> {
    let step = runs.segments().tokens().len() / SAMPLED_TOKENS;
    if step < 2 {
        return Ok(0.0);
    }
    let sample = runs.every(step);
    let found = grow_all(&Text::new(&sample)?, limits, &ALL, 0.0);
    let least = (0..found.len()).map(|index| found.expected_savings(index)).fold(f64::INFINITY, f64::min);
    Ok(if found.len() < limits.most { 0.0 } else { least * step as f64 * GUESSED_SHARE })
}

/// The best candidates; where they are at least as many as wanted, all that save less than `bound` are left out.
fn grow_all(text: &Text<'_>, limits: &Limits, first_tokens: &Range<u32>, bound: f64) -> Candidates {
    let bound = Bound::at(bound);
    let mut parts = Vec::new();
    let threads = rayon::current_num_threads();
    for batch in text.shares(text.numbered(), BATCHES) {
        let shares = text.shares(batch, threads);
        let groups: Vec<_> = shares.into_par_iter().map(|share| text.pairs_of(share, first_tokens)).collect();
        let groups = Mutex::new(groups.into_iter().flatten().collect::<Vec<_>>().into_iter());
        let grow = |_| Grower::new(text, limits, &bound).grow_groups(&groups);
        parts.par_extend((0..threads).into_par_iter().map(grow));
    }
    Candidates::best(&parts, limits.most)
}

/// What as many candidates as are wanted are known to save at least, shared by all threads.
///
/// Holds the bits of a float that is not negative, which are ordered as the floats are.
struct Bound(AtomicU64);

impl Bound {
    fn at(savings: f64) -> Self {
        Bound(AtomicU64::new(savings.to_bits()))
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn raise(&self, savings: f64) {
        self.0.fetch_max(savings.to_bits(), Relaxed);
    }
}

/// A child of the node that is being grown: where its positions lie among the node's, and its occurrences.
#[derive(Clone, Copy)]
struct Child {
    token: u32,
    begin: usize,
    end: usize,
    count: u64,
}

/// What is counted of one token that follows a node.
#[derive(Clone, Copy, Default)]
struct Follower {
    positions: u32,
    /// Where the next of its positions goes.
    cursor: u32,
    count: u64,
}

/// No room for the positions of a follower that is too rare.
const DROPPED: u32 = u32::MAX;

/// Grows the trie below one first token after another; its buffers live from one to the next.
struct Grower<'a> {
    text: &'a Text<'a>,
    limits: &'a Limits,
    bound: &'a Bound,
    path: Vec<u32>,
    found: Candidates,
    /// The children of all nodes on the path that are yet to be visited.
    children: Vec<Child>,
    followers: Vec<Follower>,
    seen: Vec<u32>,
    next: Vec<u32>,
    moved: Vec<u32>,
    keyed: Vec<u64>,
    /// The last `epoch` in which each task was counted.
    stamps: Vec<u32>,
    epoch: u32,
}

impl<'a> Grower<'a> {
    fn new(text: &'a Text<'a>, limits: &'a Limits, bound: &'a Bound) -> Self {
        Grower {
            text,
            limits,
            bound,
            path: Vec::new(),
            found: Candidates::default(),
            children: Vec::new(),
            followers: vec![Follower::default(); text.alphabet()],
            seen: Vec::new(),
            next: Vec::new(),
            moved: Vec::new(),
            keyed: Vec::new(),
            stamps: vec![0; text.number_of_tasks()],
            epoch: 0,
        }
    }

    /// Takes one first token's occurrences after another until none is left; the best candidates found.
    fn grow_groups(mut self, groups: &Mutex<std::vec::IntoIter<Vec<Placed>>>) -> Candidates {
        loop {
            // A lock is poisoned where another thread has panicked; rayon passes that on.
            let group = groups.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(pairs) = group else { break };
            if let Some(first) = pairs.first() {
                self.path.push(self.text.id(self.text.token(first.position, 0)));
                self.grow_pairs(&pairs);
                self.path.pop();
            }
        }
        self.keep_best();
        self.found
    }

    /// Visits the children of a first token.
    fn grow_pairs(&mut self, pairs: &[Placed]) {
        let mut positions: Vec<u32> = pairs.iter().map(|pair| pair.position).collect();
        self.next.clear();
        self.next.extend(pairs.iter().map(|pair| pair.next));
        self.find_children_by_counting(&mut positions);
        self.grow_children(0, &mut positions);
    }

    /// Visits the node whose string is `path`, which begins at `positions`, in ascending order.
    fn grow(&mut self, positions: &mut [u32], count: u64) {
        let depth = self.path.len();
        let may_extend = depth < self.limits.max_length;
        let follower = if may_extend { self.only_follower(positions, depth) } else { None };
        if depth >= 2 && (depth <= UNCLOSED || follower.is_none() && !self.has_only_predecessor(positions)) {
            self.consider(positions, count);
        }
        let first_child = self.children.len();
        match follower {
            Some(token) => self.children.push(Child { token, begin: 0, end: positions.len(), count }),
            None if !may_extend => return,
            None if positions.len() <= SORTED => self.find_children_by_sorting(positions, depth),
            None => {
                self.next.clear();
                self.next.extend(positions.iter().map(|&position| self.text.token(position, depth)));
                self.find_children_by_counting(positions);
            }
        }
        self.grow_children(first_child, positions);
    }

    /// Visits the children from `first_child` on, which lie in `positions`, and forgets them.
    fn grow_children(&mut self, first_child: usize, positions: &mut [u32]) {
        for index in first_child..self.children.len() {
            let Child { token, begin, end, count } = self.children[index];
            let positions = &mut positions[begin..end];
            if self.may_grow(positions, count) {
                self.path.push(self.text.id(token));
                self.grow(positions, count);
                self.path.pop();
            }
        }
        self.children.truncate(first_child);
    }

    /// Keeps the node as a candidate if it may be among the best.
    fn consider(&mut self, positions: &[u32], count: u64) {
        let savings = (count * (self.path.len() as u64 - 1)) as f64;
        if savings < self.bound.get() {
            return;
        }
        let support = self.support(positions, u32::MAX);
        if expected_savings(count, support, self.path.len()) < self.bound.get() {
            return;
        }
        self.found.push(&self.path, count, support);
        if self.found.len() >= 2 * self.limits.most {
            self.keep_best();
        }
    }

    fn keep_best(&mut self) {
        if let Some(least) = self.found.keep_best(self.limits.most) {
            self.bound.raise(least);
        }
    }

    /// Whether the string at `positions` is frequent enough, and an extension may be among the best.
    fn may_grow(&mut self, positions: &[u32], count: u64) -> bool {
        self.is_worth_growing(count) && self.may_be_long(positions, count) && self.has_support(positions)
    }

    /// Whether few positions may have a string in common that is long enough to be among the best.
    ///
    /// Most strings of few occurrences have not, and are told by one look ahead: candidates of at most `ahead`
    /// tokens are too short to save as much as the bound, and longer ones occur no more often than the most
    /// frequent token at that distance.
    fn may_be_long(&mut self, positions: &[u32], count: u64) -> bool {
        let bound = self.bound.get();
        let ahead = (bound / count as f64).ceil() as usize;
        if positions.len() > LOOKED_AHEAD || ahead <= self.path.len() {
            return true;
        }
        let text = self.text;
        let keyed = |&at: &u32| u64::from(text.token_or_end(at, ahead)) << 32 | text.weight(at).min(RARE);
        self.keyed.clear();
        self.keyed.extend(positions.iter().map(keyed));
        self.keyed.sort_unstable();
        let groups = self.keyed.chunk_by(|one, other| one >> 32 == other >> 32);
        let most = groups.map(|group| group.iter().map(|keyed| keyed & RARE).sum::<u64>()).max().unwrap_or(0);
        (most * (self.limits.max_length as u64 - 1)) as f64 >= bound.min(RARE as f64)
    }

    fn has_support(&mut self, positions: &[u32]) -> bool {
        let least = self.limits.min_support;
        // Runs stand in the order of their tasks, so the first and the last differ where any do, mostly.
        let apart = || self.text.tasks_at(positions[0]) != self.text.tasks_at(positions[positions.len() - 1]);
        least <= 1 || least == 2 && apart() || self.support(positions, least) >= least
    }

    fn is_worth_growing(&self, count: u64) -> bool {
        count >= self.limits.min_count
            && (count * (self.limits.max_length as u64 - 1)) as f64 >= self.bound.get()
    }

    /// The number of distinct tasks at `positions`, counted up to `most`.
    fn support(&mut self, positions: &[u32], most: u32) -> u32 {
        if self.epoch == u32::MAX {
            self.stamps.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
        let mut support = 0;
        for &position in positions {
            for &task in self.text.tasks_at(position) {
                let stamp = &mut self.stamps[task as usize];
                support += u32::from(*stamp != self.epoch);
                *stamp = self.epoch;
            }
            if support >= most {
                break;
            }
        }
        support
    }

    fn has_only_predecessor(&self, positions: &[u32]) -> bool {
        let first = self.text.previous(positions[0]);
        first != END && positions.iter().all(|&position| self.text.previous(position) == first)
    }

    /// The token that follows at all `positions`, where it is one and the same.
    fn only_follower(&self, positions: &[u32], depth: usize) -> Option<u32> {
        let first = self.text.token(positions[0], depth);
        let only =
            first != END && positions.iter().all(|&position| self.text.token(position, depth) == first);
        only.then_some(first)
    }

    /// Orders few `positions` by the token at `depth`, then by position, and notes the children.
    fn find_children_by_sorting(&mut self, positions: &mut [u32], depth: usize) {
        let text = self.text;
        let keyed = positions.iter().map(|&at| u64::from(text.token(at, depth)) << 32 | u64::from(at));
        self.keyed.clear();
        self.keyed.extend(keyed);
        self.keyed.sort_unstable();
        let mut begin = 0;
        for group in self.keyed.chunk_by(|one, other| one >> 32 == other >> 32) {
            let end = begin + group.len();
            for (position, &keyed) in positions[begin..end].iter_mut().zip(group) {
                *position = keyed as u32;
            }
            let token = (group[0] >> 32) as u32;
            if token != END {
                let count = positions[begin..end].iter().map(|&position| text.weight(position)).sum();
                self.children.push(Child { token, begin, end, count });
            }
            begin = end;
        }
    }

    /// Moves the `positions` of each frequent enough child together, in the order that they have; `next` holds
    /// the token that follows at each.
    fn find_children_by_counting(&mut self, positions: &mut [u32]) {
        self.count_followers(positions);
        let room = self.make_room();
        self.moved.clear();
        self.moved.resize(room, 0);
        for (&token, &position) in self.next.iter().zip(&*positions) {
            let cursor = &mut self.followers[token as usize].cursor;
            if *cursor != DROPPED {
                self.moved[*cursor as usize] = position;
                *cursor += 1;
            }
        }
        positions[..room].copy_from_slice(&self.moved);
        for &token in &self.seen {
            self.followers[token as usize] = Follower::default();
        }
    }

    fn count_followers(&mut self, positions: &[u32]) {
        let text = self.text;
        self.seen.clear();
        let repeated = text.repeated(positions);
        for (index, &token) in self.next.iter().enumerate() {
            let follower = &mut self.followers[token as usize];
            if follower.positions == 0 {
                self.seen.push(token);
            }
            follower.positions += 1;
            follower.count += if index < repeated { text.weight(positions[index]) } else { 1 };
        }
    }

    /// Notes the children among the followers seen, and where their positions go; how many positions stay.
    fn make_room(&mut self) -> usize {
        let mut end = 0;
        for index in 0..self.seen.len() {
            let token = self.seen[index];
            let Follower { positions, count, .. } = self.followers[token as usize];
            let begin = end;
            let keeps = token != END && self.is_worth_growing(count);
            if keeps {
                end += positions as usize;
                self.children.push(Child { token, begin, end, count });
            }
            self.followers[token as usize].cursor = if keeps { begin as u32 } else { DROPPED };
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Barriers, RunFolder, Trajectories};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Frequencies = BTreeMap<Vec<u32>, (u64, u32)>;

    fn runs_of(parts: &[(Vec<u32>, u32)]) -> Runs {
        let mut folder = RunFolder::default();
        for (tokens, task) in parts {
            let part = Trajectories {
                tokens,
                offsets: &[0, tokens.len()],
                action: &vec![true; tokens.len()],
                continues: None,
                tasks: &[*task],
            };
            folder.add(&part, &Barriers::new(&[0])).unwrap();
        }
        folder.finish()
    }

    /// Every substring of every run, counted one by one.
    fn brute_force(parts: &[(Vec<u32>, u32)], limits: &Limits) -> Frequencies {
        let mut seen: BTreeMap<Vec<u32>, (u64, BTreeSet<u32>)> = BTreeMap::new();
        for (tokens, task) in parts {
            for run in tokens.split(|&token| token == 0) {
                for start in 0..run.len() {
                    for end in start + 1..=run.len().min(start + limits.max_length) {
                        let entry = seen.entry(run[start..end].to_vec()).or_default();
                        entry.0 += 1;
                        entry.1.insert(*task);
                    }
                }
            }
        }
        let all: Frequencies = seen
            .into_iter()
            .map(|(segment, (count, tasks))| (segment, (count, tasks.len() as u32)))
            .collect();
        let extended = |segment: &[u32], count: u64| {
            all.iter().any(|(other, &(other_count, _))| {
                other_count == count
                    && other.len() == segment.len() + 1
                    && (other[1..] == *segment || other[..segment.len()] == *segment)
            })
        };
        let frequent = |segment: &Vec<u32>, &(count, support): &(u64, u32)| {
            segment.len() >= 2
                && count >= limits.min_count
                && support >= limits.min_support
                && (segment.len() <= UNCLOSED || !extended(segment, count))
        };
        all.iter()
            .filter(|(segment, frequency)| frequent(segment, frequency))
            .map(|(s, f)| (s.clone(), *f))
            .collect()
    }

    fn as_map(candidates: &Candidates) -> Frequencies {
        let entry = |(index, segment): (usize, &[u32])| {
            (segment.to_vec(), (candidates.counts[index], candidates.supports[index]))
        };
        candidates.segments.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn one_tasks_retries_are_no_support() {
        let parts = [(vec![1, 2, 3], 0), (vec![1, 2, 3], 0), (vec![1, 2, 4], 1)];
        let limits = Limits { min_count: 2, min_support: 2, max_length: 8, most: 100 };
        let candidates = find_candidates(&runs_of(&parts), &limits).unwrap();
        assert_eq!(as_map(&candidates), Frequencies::from([(vec![1, 2], (3, 2))]));
    }

    proptest! {
        #[test]
        fn counts_supports_and_closedness_equal_a_brute_force_count(
            parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..24), 0u32..3), 0..6),
            min_count in 1u64..4,
            min_support in 1u32..3,
        ) {
            // Longer than any run: at the longest length closedness to the right is not looked for.
            let limits = Limits { min_count, min_support, max_length: 24, most: usize::MAX / 2 };
            let candidates = find_candidates(&runs_of(&parts), &limits).unwrap();
            prop_assert_eq!(as_map(&candidates), brute_force(&parts, &limits));
            prop_assert_eq!(candidates.len(), as_map(&candidates).len());
        }

        #[test]
        fn the_best_are_those_that_a_brute_force_count_finds_best(
            parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..24), 0u32..3), 0..6),
            most in 1usize..20,
        ) {
            let limits = Limits { min_count: 1, min_support: 1, max_length: 24, most: usize::MAX / 2 };
            let runs = runs_of(&parts);
            let all = find_candidates(&runs, &limits).unwrap();
            let best = find_candidates(&runs, &Limits { most, ..limits }).unwrap();
            let mut order: Vec<usize> = (0..all.len()).collect();
            order.sort_by(|&one, &other| all.by_savings(one, other));
            order.truncate(most);
            let expected: Candidates = order.iter().map(|&index| all.get(index)).collect();
            prop_assert_eq!(as_map(&best), as_map(&expected));
            prop_assert!(best.segments.iter().is_sorted());
        }

        #[test]
        fn any_guess_of_the_bound_finds_the_same(
            parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..40), 0u32..3), 0..12),
            most in 1usize..20,
            guess in 0f64..40.0,
        ) {
            let limits = Limits { min_count: 1, min_support: 2, max_length: 24, most };
            let runs = runs_of(&parts);
            let text = Text::new(&runs).unwrap();
            let guessed = find_with_guess(&text, &limits, &ALL, guess);
            prop_assert_eq!(guessed, grow_all(&text, &limits, &ALL, 0.0));
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
                pool.install(|| find_candidates(&runs, &limits).unwrap())
            };
            prop_assert_eq!(with(1), with(3));
        }

        #[test]
        fn the_best_of_ranges_of_first_tokens_are_the_best_of_the_whole(
            parts in prop::collection::vec((prop::collection::vec(0u32..6, 0..24), 0u32..3), 0..6),
            mut cuts in prop::collection::vec(0u32..8, 0..4),
            most in 1usize..30,
        ) {
            let runs = runs_of(&parts);
            let limits = Limits { min_count: 2, min_support: 1, max_length: 24, most };
            cuts.extend([0, u32::MAX]);
            cuts.sort_unstable();
            let find = |cut: &[u32]| find_candidates_from(&runs, &limits, cut[0]..cut[1]).unwrap();
            let ranges: Vec<Candidates> = cuts.windows(2).map(find).collect();
            let together = Candidates::best(&ranges, most);
            prop_assert_eq!(&together, &find_candidates(&runs, &limits).unwrap());
            let Candidates { segments, counts, supports } = together.clone();
            prop_assert_eq!(Candidates::from_parts(segments, counts, supports), Ok(together));
        }
    }
}
