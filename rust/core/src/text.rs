//! The distinct runs laid end to end, in the form that the trie reads.
//!
//! Three things keep a read to one memory access. Tokens are numbered anew by their frequency, so that what
//! is counted by token stays in the nearest cache. A run's end is a token of its own. And the few runs that
//! occur more than once stand first, so that a position beyond them weighs one without looking its run up.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::runs::Runs;

/// Stands before the first run and after each.
pub(crate) const END: u32 = 0;

/// Positions that share one entry of the index from positions to runs.
const BLOCK: usize = 64;

pub(crate) struct Text<'a> {
    runs: &'a Runs,
    tokens: Vec<u32>,
    /// The base id of each numbered token.
    ids: Vec<u32>,
    /// Occurrences of each numbered token in the distinct runs.
    numbers: Vec<usize>,
    /// The runs in the order in which they stand here.
    order: Vec<u32>,
    /// Where each of them begins, and the end of the last.
    starts: Vec<u32>,
    /// The run of the first position of each block, as its place in `order`.
    blocks: Vec<u32>,
    /// From this position on all runs occur once.
    once: u32,
}

impl<'a> Text<'a> {
    /// # Errors
    /// If the distinct runs hold more tokens than 32-bit positions reach.
    pub(crate) fn new(runs: &'a Runs) -> Result<Self> {
        let length = runs.segments().tokens().len() + runs.len() + 1;
        if length > u32::MAX as usize {
            return Err(Error::TooManyTokens { length });
        }
        let (ids, numbers, renumbered) = number_by_frequency(runs.segments().tokens());
        let mut order: Vec<u32> = (0..runs.len() as u32).collect();
        order.sort_by_key(|&run| runs.count(run as usize) == 1);
        let repeated = order.partition_point(|&run| runs.count(run as usize) > 1);
        let mut tokens = Vec::with_capacity(length);
        let mut starts = Vec::with_capacity(runs.len() + 1);
        tokens.push(END);
        for &run in &order {
            starts.push(tokens.len() as u32);
            tokens.extend(runs.segments().get(run as usize).iter().map(|&id| renumbered[id as usize]));
            tokens.push(END);
        }
        starts.push(tokens.len() as u32);
        let once = starts[repeated];
        let blocks = runs_of_blocks(&starts);
        Ok(Text { runs, tokens, ids, numbers, order, starts, blocks, once })
    }

    /// The numbered token at `position + depth`.
    pub(crate) fn token(&self, position: u32, depth: usize) -> u32 {
        self.tokens[position as usize + depth]
    }

    /// The numbered token before `position`.
    pub(crate) fn previous(&self, position: u32) -> u32 {
        self.tokens[position as usize - 1]
    }

    /// The base id of a numbered token.
    pub(crate) fn id(&self, token: u32) -> u32 {
        self.ids[token as usize]
    }

    /// How many numbered tokens there are, `END` among them.
    pub(crate) fn alphabet(&self) -> usize {
        self.ids.len()
    }

    /// One more than the largest task.
    pub(crate) fn tasks(&self) -> usize {
        let largest = (0..self.runs.len()).filter_map(|run| self.runs.tasks(run).last()).max();
        largest.map_or(0, |&task| task as usize + 1)
    }

    /// How many of `positions`, which ascend, lie in runs that occur more than once: the first ones.
    pub(crate) fn repeated(&self, positions: &[u32]) -> usize {
        positions.partition_point(|&position| position < self.once)
    }

    /// How often the run at `position` occurs.
    pub(crate) fn weight(&self, position: u32) -> u64 {
        if position >= self.once { 1 } else { self.runs.count(self.run(position)) }
    }

    /// The tasks of the run at `position`, ascending.
    pub(crate) fn tasks_at(&self, position: u32) -> &[u32] {
        self.runs.tasks(self.run(position))
    }

    fn run(&self, position: u32) -> usize {
        let mut place = self.blocks[position as usize / BLOCK] as usize;
        while self.starts[place + 1] <= position {
            place += 1;
        }
        self.order[place] as usize
    }

    /// Every position where two tokens or more follow, grouped by its token, ascending within a group.
    /// The groups are in the order of the tokens' numbers; `wanted` says which to have by their base ids.
    pub(crate) fn positions_by_token(&self, wanted: impl Fn(u32) -> bool + Sync) -> Vec<Vec<u32>> {
        let wanted: Vec<bool> =
            self.ids.iter().enumerate().map(|(token, &id)| token as u32 != END && wanted(id)).collect();
        let bounds = self.shares(rayon::current_num_threads(), &wanted);
        let collect = |share: &[usize]| self.positions_of(share[0]..share[1], &wanted);
        let groups: Vec<Vec<Vec<u32>>> = bounds.par_windows(2).map(collect).collect();
        groups.into_iter().flatten().collect()
    }

    fn positions_of(&self, tokens: std::ops::Range<usize>, wanted: &[bool]) -> Vec<Vec<u32>> {
        let room = |token: usize| if wanted[token] { self.numbers[token] } else { 0 };
        let mut groups: Vec<Vec<u32>> = tokens.clone().map(|token| Vec::with_capacity(room(token))).collect();
        for (position, pair) in self.tokens.windows(2).enumerate() {
            let token = pair[0] as usize;
            if tokens.contains(&token) && wanted[token] && pair[1] != END {
                groups[token - tokens.start].push(position as u32);
            }
        }
        groups
    }

    /// Bounds of at most `number` ranges of tokens with about as many wanted positions each.
    fn shares(&self, number: usize, wanted: &[bool]) -> Vec<usize> {
        let weight = |token: usize| if wanted[token] { self.numbers[token] } else { 0 };
        let total: usize = (0..self.ids.len()).map(weight).sum();
        let mut bounds = vec![0];
        let mut seen = 0;
        for token in 0..self.ids.len() {
            seen += weight(token);
            if seen * number > total * bounds.len() {
                bounds.push(token + 1);
            }
        }
        if bounds.last() != Some(&self.ids.len()) {
            bounds.push(self.ids.len());
        }
        bounds
    }
}

/// The ids in descending order of their frequency after `END`, how often each occurs, and each id's number.
fn number_by_frequency(tokens: &[u32]) -> (Vec<u32>, Vec<usize>, Vec<u32>) {
    let most = tokens.par_iter().max().map_or(0, |&id| id as usize + 1);
    let mut frequencies = vec![0usize; most];
    for &id in tokens {
        frequencies[id as usize] += 1;
    }
    let mut ids: Vec<u32> = (0..most as u32).filter(|&id| frequencies[id as usize] > 0).collect();
    ids.sort_by_key(|&id| std::cmp::Reverse(frequencies[id as usize]));
    let mut renumbered = vec![END; most];
    for (place, &id) in ids.iter().enumerate() {
        renumbered[id as usize] = place as u32 + 1;
    }
    let numbers = std::iter::once(0).chain(ids.iter().map(|&id| frequencies[id as usize])).collect();
    ids.insert(END as usize, u32::MAX);
    (ids, numbers, renumbered)
}

fn runs_of_blocks(starts: &[u32]) -> Vec<u32> {
    let end = starts[starts.len() - 1] as usize;
    let mut place = 0;
    (0..=end / BLOCK)
        .map(|block| {
            while place + 2 < starts.len() && starts[place + 1] as usize <= block * BLOCK {
                place += 1;
            }
            place as u32
        })
        .collect()
}
