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

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::Result;
use crate::hash;
use crate::mining::runs::Runs;
use crate::mining::search::candidates::Candidates;
use crate::mining::search::flat_text::{END, Occurrence, Text};
use crate::mining::search::limits::Limits;
use crate::mining::search::scale::Scale;
use crate::mining::search::worth::{expected_savings, most_savings, most_trust};

/// Largest length of segments that are candidates although they are not closed. In unseen tasks, long
/// segments often occur only in part. Without unclosed candidates a vocabulary of 4,096 saves half a point
/// less on small corpora. With unclosed ones of up to 8 tokens it saves 0.1 point more, for three times as
/// many candidates.
const UNCLOSED: usize = 4;

/// The guess is multiplied by this. A sample underestimates support and therefore savings, but a guess that is a
/// little too high costs a second search, and one that is too low only a part of that.
const GUESS_FACTOR: f64 = 0.9;

/// A guess that was too high is multiplied by this, so that the next one hardly ever is.
const LOWERED: f64 = 0.5;

/// Most tokens that are compared while looking ahead: more of them are no other cache line, mostly.
const AHEAD: usize = 8;

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

/// A lower bound for the savings of the best candidates, which rises during the search; shared by all
/// threads.
///
/// It holds the bits of a float that is not negative; their order is that of the floats.
struct SavingsBound(AtomicU64);

impl SavingsBound {
    fn at(savings: f64) -> Self {
        SavingsBound(AtomicU64::new(savings.to_bits()))
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn raise(&self, savings: f64) {
        self.0.fetch_max(savings.to_bits(), Relaxed);
    }
}

/// A child of a node on the path: the range of its positions among the first token's, and its occurrences.
#[derive(Clone, Copy)]
struct Child {
    token: u32,
    begin: usize,
    end: usize,
    count: u64,
}

/// A node on the path whose children are being visited.
///
/// Levels are in a list and not on the stack: a run may be as long as a corpus, and a stack may be small.
#[derive(Clone, Copy)]
struct Level {
    /// Number of tokens of the node's string.
    depth: usize,
    /// The indices of its first child and of the child to visit next. Its last child is the last in the list.
    first: usize,
    next: usize,
}

/// The counts of one token that follows a node.
#[derive(Clone, Copy, Default)]
struct Follower {
    positions: u32,
    /// The place of its next position.
    cursor: u32,
    count: u64,
}

/// The cursor of a follower that is too rare; its positions are dropped.
const DROPPED: u32 = u32::MAX;

/// Grows the trie below one first token after another, with the same buffers.
struct Grower<'a> {
    text: &'a Text<'a>,
    limits: &'a Limits,
    bound: &'a SavingsBound,
    path: Vec<u32>,
    found: Candidates,
    /// The children, still to be visited, of all nodes on the path.
    children: Vec<Child>,
    levels: Vec<Level>,
    followers: Vec<Follower>,
    seen: Vec<u32>,
    next: Vec<u32>,
    moved: Vec<u32>,
    keyed: Vec<u64>,
    /// For each task, the last `epoch` in which it was counted.
    stamps: Vec<u32>,
    epoch: u32,
}

impl<'a> Grower<'a> {
    fn new(text: &'a Text<'a>, limits: &'a Limits, bound: &'a SavingsBound) -> Self {
        Grower {
            text,
            limits,
            bound,
            path: Vec::new(),
            found: Candidates::default(),
            children: Vec::new(),
            levels: Vec::new(),
            followers: vec![Follower::default(); text.alphabet()],
            seen: Vec::new(),
            next: Vec::new(),
            moved: Vec::new(),
            keyed: Vec::new(),
            stamps: vec![0; text.number_of_tasks()],
            epoch: 0,
        }
    }

    /// Takes the occurrences of one first token after another until none are left; returns the best
    /// candidates.
    fn grow_groups(mut self, groups: &Mutex<std::vec::IntoIter<Vec<Occurrence>>>) -> Candidates {
        loop {
            // The lock is poisoned if another thread has panicked; rayon passes that panic on.
            let group = groups.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(pairs) = group else { break };
            if let Some(first) = pairs.first() {
                self.path.clear();
                self.path.push(self.text.id(self.text.token(first.position, 0)));
                self.grow_pairs(&pairs);
            }
        }
        self.keep_best();
        self.found
    }

    /// Visits all strings that begin with a first token.
    fn grow_pairs(&mut self, pairs: &[Occurrence]) {
        let mut positions: Vec<u32> = pairs.iter().map(|pair| pair.position).collect();
        self.next.clear();
        self.next.extend(pairs.iter().map(|pair| pair.next));
        self.open_level();
        self.find_children_by_counting(&mut positions, 0);
        while let Some(child) = self.next_child() {
            let Child { token, begin, end, count } = child;
            if self.may_grow(&positions[begin..end], count) {
                self.path.push(self.text.id(token));
                self.grow(&mut positions[begin..end], begin, count);
            }
        }
    }

    /// Opens a level for the node whose string is `path`; its children are found next.
    fn open_level(&mut self) {
        let children = self.children.len();
        self.levels.push(Level { depth: self.path.len(), first: children, next: children });
    }

    /// The next child of the deepest node that has one left; `path` becomes the string of that node.
    fn next_child(&mut self) -> Option<Child> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(&child) = self.children.get(level.next) {
                level.next += 1;
                self.path.truncate(level.depth);
                return Some(child);
            }
            self.children.truncate(level.first);
            self.levels.pop();
        }
        None
    }

    /// Visits the node whose string is `path`, then its only child as long as it has one child; then opens a
    /// level, if the children are of interest.
    ///
    /// The string begins at `positions`, which ascend. `begin` is their place among the first token's
    /// positions.
    fn grow(&mut self, positions: &mut [u32], begin: usize, count: u64) {
        loop {
            let depth = self.path.len();
            // All longer strings at these positions have the same predecessor, so none of them is closed.
            let is_open = depth >= UNCLOSED && self.has_only_predecessor(positions);
            if is_open && depth > UNCLOSED {
                return;
            }
            let may_extend = depth < self.limits.max_length;
            let follower = if may_extend { self.only_follower(positions, depth) } else { None };
            if depth <= UNCLOSED || follower.is_none() {
                self.consider(positions, count);
            }
            if !may_extend || is_open {
                return;
            }
            let Some(token) = follower else {
                self.find_children(positions, begin);
                return;
            };
            if !self.may_grow(positions, count) {
                return;
            }
            self.path.push(self.text.id(token));
        }
    }

    /// Opens a level and stores the node's children.
    fn find_children(&mut self, positions: &mut [u32], begin: usize) {
        let depth = self.path.len();
        self.open_level();
        if positions.len() <= self.text.scale().sorted {
            self.find_children_by_sorting(positions, begin, depth);
            return;
        }
        self.next.clear();
        self.next.extend(positions.iter().map(|&position| self.text.token(position, depth)));
        self.find_children_by_counting(positions, begin);
    }

    /// Stores the node's string as a candidate if it may be among the best.
    fn consider(&mut self, positions: &[u32], count: u64) {
        if self.most_savings(count, self.path.len()) < self.bound.get() {
            return;
        }
        let support = self.support(positions, u32::MAX);
        let support = self.whole_support(support);
        if expected_savings(count, support, self.path.len()) < self.bound.get() {
            return;
        }
        self.found.push(&self.path, count, support);
        if self.found.len() / 2 >= self.limits.most {
            self.keep_best();
        }
    }

    fn keep_best(&mut self) {
        if let Some(least) = self.found.keep_best(self.limits.most) {
            self.bound.raise(least);
        }
    }

    /// Whether the string at `positions` is frequent enough and an extension of it may be among the best.
    fn may_grow(&mut self, positions: &[u32], count: u64) -> bool {
        self.is_worth_growing(count) && self.may_be_long(positions, count) && self.has_support(positions)
    }

    /// Whether an extension at few positions may be long and frequent enough to be among the best.
    ///
    /// For most strings with few occurrences the answer is no, and it takes one look at the tokens up to `ahead`
    /// positions later. Candidates of at most `ahead` tokens are too short to save as much as the bound. Longer
    /// ones contain these tokens, so each occurs only where they are the same.
    fn may_be_long(&mut self, positions: &[u32], count: u64) -> bool {
        let text = self.text;
        let ahead = self.length_at_bound(count);
        if positions.len() > text.scale().looked_ahead || ahead <= self.path.len() {
            return true;
        }
        let end = ahead.saturating_add(1);
        let depths = end.saturating_sub(AHEAD)..end;
        let keyed = |&at: &u32| {
            let tokens = text.tokens_at(at, depths.clone()).filter(|tokens| !tokens.contains(&END))?;
            Some(hash::of_run(tokens) >> 32 << 32 | u64::from(at))
        };
        self.keyed.clear();
        self.keyed.extend(positions.iter().filter_map(keyed));
        self.keyed.sort_unstable();
        // Of two strings with the same hash, more than is true is expected.
        self.keyed.chunk_by(|one, other| one >> 32 == other >> 32).any(|group| self.may_be_within(group))
    }

    /// A length up to which no string of `count` occurrences saves as much as the bound.
    fn length_at_bound(&self, count: u64) -> usize {
        // The rounding of a quotient must not make it larger.
        let least = self.bound.get() / self.most_savings(count, 2) * (1.0 - 1e-9);
        least.ceil() as usize
    }

    /// Whether a string at the positions in the lower halves of `keyed` may be within the limits and among the
    /// best.
    fn may_be_within(&self, keyed: &[u64]) -> bool {
        let positions = || keyed.iter().map(|&keyed| keyed as u32);
        let least = self.limits.min_support as usize;
        self.is_worth_growing(positions().map(|at| self.text.weight(at)).sum())
            && (keyed.len() >= least
                || positions().map(|at| self.text.tasks_at(at).len()).sum::<usize>() >= least)
    }

    /// Units that a string of so many occurrences saves at most: each may be in a task of its own.
    fn most_savings(&self, count: u64, length: usize) -> f64 {
        most_savings(count, length) * most_trust(self.text.most_tasks(count))
    }

    fn has_support(&mut self, positions: &[u32]) -> bool {
        let least = self.limits.min_support;
        // Most runs are in the order of their tasks. So if tasks differ, the first and the last usually do.
        let apart = || self.text.tasks_at(positions[0]) != self.text.tasks_at(positions[positions.len() - 1]);
        least <= 1 || least == 2 && apart() || self.support(positions, least) >= least
    }

    fn is_worth_growing(&self, count: u64) -> bool {
        count >= self.limits.min_count && self.most_savings(count, self.limits.max_length) >= self.bound.get()
    }

    /// The number of distinct tasks at `positions`, counted up to `most`.
    ///
    /// A run may recur in very many tasks, so those of a run are counted once for all positions in it, and not
    /// one by one if all positions are.
    fn support(&mut self, positions: &[u32], most: u32) -> u32 {
        let first = self.text.tasks_at(positions[0]);
        // Positions ascend, so all between two of a run are in it.
        if std::ptr::eq(first, self.text.tasks_at(positions[positions.len() - 1])) {
            return first.len() as u32;
        }
        if self.epoch == u32::MAX {
            self.stamps.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
        let (mut support, mut last): (u32, &[u32]) = (0, &[]);
        for &position in positions {
            let tasks = self.text.tasks_at(position);
            if std::ptr::eq(tasks, last) {
                continue;
            }
            last = tasks;
            for &task in tasks {
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

    /// The number of tasks in the whole corpus. Where a sample shows only one, there may be no other.
    fn whole_support(&self, support: u32) -> u32 {
        if support > 1 { support.saturating_mul(self.text.tasks_weight()) } else { support }
    }

    fn has_only_predecessor(&self, positions: &[u32]) -> bool {
        let first = self.text.previous(positions[0], 1);
        first != END && positions.iter().all(|&position| self.text.previous(position, 1) == first)
    }

    /// The token that follows at all `positions`, if it is the same at each.
    fn only_follower(&self, positions: &[u32], depth: usize) -> Option<u32> {
        let first = self.text.token(positions[0], depth);
        let only =
            first != END && positions.iter().all(|&position| self.text.token(position, depth) == first);
        only.then_some(first)
    }

    /// Sorts few `positions` by the token at `depth`, then by position, and stores the children of the node.
    /// `node` is the place of the node's positions among the first token's.
    fn find_children_by_sorting(&mut self, positions: &mut [u32], node: usize, depth: usize) {
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
                self.children.push(Child { token, begin: node + begin, end: node + end, count });
            }
            begin = end;
        }
    }

    /// Moves the `positions` of each child that is frequent enough together, in their order. `next` holds the
    /// token that follows at each position. `node` is the place of the positions among the first token's.
    fn find_children_by_counting(&mut self, positions: &mut [u32], node: usize) {
        self.count_followers(positions);
        let room = self.make_room(node);
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
            follower.count += if index < repeated { text.weight(positions[index]) } else { text.fewest() };
        }
    }

    /// Stores the children among the followers and the places of their positions; returns how many positions
    /// stay.
    fn make_room(&mut self, node: usize) -> usize {
        let mut end = 0;
        for index in 0..self.seen.len() {
            let token = self.seen[index];
            let Follower { positions, count, .. } = self.followers[token as usize];
            let begin = end;
            let keeps = token != END && self.is_worth_growing(count);
            if keeps {
                end += positions as usize;
                self.children.push(Child { token, begin: node + begin, end: node + end, count });
            }
            self.followers[token as usize].cursor = if keeps { begin as u32 } else { DROPPED };
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::mining::runs::{Room, RunFolder, Trajectories};
    use crate::tokens::barriers::Barriers;
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
        let run: Vec<u32> = (1..=100_000).collect();
        let runs = runs_of(&[(run.clone(), 0), (run.clone(), 1)]);
        let limits = Limits { min_count: 2, min_support: 2, max_length: run.len(), most: 1 };
        let found = on_a_small_stack(|| find_exactly(&runs, &limits).unwrap());
        assert_eq!(as_map(&found), Frequencies::from([(run, (2, 2))]));
    }

    #[test]
    fn a_token_that_repeats_for_long_needs_no_deep_stack() {
        let runs = runs_of(&[(vec![1; 3_000], 0), (vec![1; 3_000], 1)]);
        let limits = Limits { min_count: 2, min_support: 2, max_length: usize::MAX, most: usize::MAX };
        let found = on_a_small_stack(|| find_exactly(&runs, &limits).unwrap());
        assert_eq!(found.len(), 2_999);
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
    fn the_largest_counts_and_lengths_overflow_nothing() {
        let strings = |lists: &[&[u32]]| lists.iter().copied().collect();
        let counts = vec![1 << 51, 1];
        let runs = Runs::from_parts(strings(&[&[1, 2, 3], &[1, 2]]), counts, strings(&[&[0], &[1]])).unwrap();
        let limits = Limits { min_count: 1, min_support: 1, max_length: usize::MAX, most: 1 };
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
