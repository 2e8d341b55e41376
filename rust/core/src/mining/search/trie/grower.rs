//! Grows the trie below one first token after another, depth first.

use std::sync::{Mutex, PoisonError};

use crate::hash;
use crate::mining::search::candidates::Candidates;
use crate::mining::search::flat_text::{END, Occurrence, Text};
use crate::mining::search::limits::Limits;
use crate::mining::search::trie::children::{Child, Children};
use crate::mining::search::trie::prospects::{Prospects, SavingsBound};
use crate::mining::search::trie::tasks::TaskCounter;
use crate::mining::search::worth::expected_savings;

/// Largest length of segments that are candidates although they are not closed. In unseen tasks, long
/// segments often occur only in part. Without unclosed candidates a vocabulary of 4,096 saves half a point
/// less on small corpora. With unclosed ones of up to 8 tokens it saves 0.1 point more, for three times as
/// many candidates.
pub(super) const UNCLOSED: usize = 4;

/// Most tokens that are compared while looking ahead: more of them are no other cache line, mostly.
const AHEAD: usize = 8;

/// Visits the strings below first tokens, on one thread, with the same buffers.
pub(super) struct Grower<'a> {
    prospects: Prospects<'a>,
    text: &'a Text<'a>,
    limits: &'a Limits,
    /// The string of the node that is visited.
    path: Vec<u32>,
    found: Candidates,
    children: Children<'a>,
    tasks: TaskCounter<'a>,
    /// Positions below the hashes of the tokens ahead of them.
    keyed: Vec<u64>,
}

impl<'a> Grower<'a> {
    pub(super) fn new(text: &'a Text<'a>, limits: &'a Limits, bound: &'a SavingsBound) -> Self {
        let prospects = Prospects { text, limits, bound };
        Grower {
            prospects,
            text,
            limits,
            path: Vec::new(),
            found: Candidates::default(),
            children: Children::new(prospects),
            tasks: TaskCounter::new(text),
            keyed: Vec::new(),
        }
    }

    /// Takes the occurrences of one first token after another until none are left; returns the best
    /// candidates.
    pub(super) fn grow_groups(mut self, groups: &Mutex<std::vec::IntoIter<Vec<Occurrence>>>) -> Candidates {
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
        self.children.find_of_pairs(&mut positions, pairs);
        while let Some((child, depth)) = self.children.next_child() {
            let Child { token, begin, end, count } = child;
            self.path.truncate(depth);
            if self.may_grow(&positions[begin..end], count) {
                self.path.push(self.text.id(token));
                self.grow(&mut positions[begin..end], begin, count);
            }
        }
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
                self.children.find(positions, begin, depth);
                return;
            };
            if !self.may_grow(positions, count) {
                return;
            }
            self.path.push(self.text.id(token));
        }
    }

    /// Stores the node's string as a candidate if it may be among the best.
    fn consider(&mut self, positions: &[u32], count: u64) {
        if !self.prospects.may_be_best(count, self.path.len()) {
            return;
        }
        let support = self.tasks.count_in_corpus(positions);
        if expected_savings(count, support, self.path.len()) < self.prospects.bound.get() {
            return;
        }
        self.found.push(&self.path, count, support);
        if self.found.len() / 2 >= self.limits.most {
            self.keep_best();
        }
    }

    fn keep_best(&mut self) {
        if let Some(least) = self.found.keep_best(self.limits.most) {
            self.prospects.bound.raise(least);
        }
    }

    /// Whether the string at `positions` is frequent enough and an extension of it may be among the best.
    fn may_grow(&mut self, positions: &[u32], count: u64) -> bool {
        self.prospects.is_worth_growing(count)
            && self.may_be_long(positions, count)
            && self.tasks.has(positions, self.limits.min_support)
    }

    /// Whether an extension at few positions may be long and frequent enough to be among the best.
    ///
    /// For most strings with few occurrences the answer is no, and it takes one look at the tokens up to `ahead`
    /// positions later. Candidates of at most `ahead` tokens are too short to save as much as the bound. Longer
    /// ones contain these tokens, so each occurs only where they are the same.
    fn may_be_long(&mut self, positions: &[u32], count: u64) -> bool {
        let text = self.text;
        let ahead = self.prospects.length_at_bound(count);
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

    /// Whether a string at the positions in the lower halves of `keyed` may be within the limits and among the
    /// best.
    fn may_be_within(&self, keyed: &[u64]) -> bool {
        let positions = || keyed.iter().map(|&keyed| keyed as u32);
        let least = self.limits.min_support as usize;
        self.prospects.is_worth_growing(positions().map(|at| self.text.weight(at)).sum())
            && (keyed.len() >= least
                || positions().map(|at| self.text.tasks_at(at).len()).sum::<usize>() >= least)
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
}
