//! The distinct runs in one flat array, in the form that the trie reads.
//!
//! Three properties keep most reads to one memory access. Tokens are renumbered by their frequency, so that
//! counts by token stay in the nearest cache. The end of a run is a separate token. The few runs that occur
//! more often than others come first, so that every later position has the same weight and its run is not looked up.

use std::ops::Range;

use crate::error::Result;
use crate::mining::runs::Runs;
use crate::mining::runs::frequency::{frequencies, numbered};
use crate::mining::runs::shares::shares;
use crate::mining::search::scale::Scale;

/// The token before the first run and after each run.
pub(crate) const END: u32 = 0;

/// Replaces the task where there are several.
const MANY: u32 = u32::MAX;

pub(crate) struct Text<'a> {
    runs: &'a Runs,
    scale: Scale,
    tokens: Vec<u32>,
    /// The base id of each numbered token.
    ids: Vec<u32>,
    /// The number of occurrences of each numbered token in the distinct runs.
    occurrences: Vec<usize>,
    /// The indices of the runs, in the order of this text.
    order: Vec<u32>,
    /// The position at which each of them begins, and the end of the last.
    starts: Vec<u32>,
    /// The fewest occurrences of a run: one in a corpus, more in a sample.
    fewest: u64,
    /// The number of occurrences of each run that occurs more often.
    counts: Vec<u64>,
    /// The task of each run; `MANY` if it has several.
    tasks: Vec<u32>,
    /// For each block of positions, the run of its first position, as a place in `order`.
    blocks: Vec<u32>,
    /// The task of each block; `MANY` if its runs have several. Most blocks lie within one trajectory.
    block_tasks: Vec<u32>,
    /// The first position from which on all runs occur as often as `fewest`.
    rare: u32,
    /// Whether no run has more tasks than occurrences.
    is_counted: bool,
    /// The number of tasks that each one stands for.
    tasks_weight: u32,
}

impl<'a> Text<'a> {
    /// The text of `runs`.
    ///
    /// # Errors
    /// If the distinct runs have more positions than `scale` has room for.
    pub(crate) fn new(runs: &'a Runs, scale: Scale) -> Result<Self> {
        scale.room.check(runs.len(), runs.strings().tokens().len())?;
        let (ids, occurrences, renumbered) = number_by_frequency(runs.strings().tokens());
        let fewest = runs.counts().iter().copied().min().unwrap_or(1);
        let mut order: Vec<u32> = (0..runs.len() as u32).collect();
        order.sort_by_key(|&run| runs.count(run as usize) == fewest);
        let repeated = order.partition_point(|&run| runs.count(run as usize) > fewest);
        let counts = order[..repeated].iter().map(|&run| runs.count(run as usize)).collect();
        let (tokens, starts) = laid_out(runs, &order, &renumbered);
        let rare = starts[repeated];
        let task = |&run: &u32| if let [task] = runs.tasks(run as usize) { *task } else { MANY };
        let tasks: Vec<u32> = order.iter().map(task).collect();
        let blocks = runs_of_blocks(&starts, scale.block_bits);
        let block_tasks = tasks_of_blocks(&blocks, &tasks);
        Ok(Text {
            runs,
            scale,
            tokens,
            ids,
            occurrences,
            order,
            starts,
            fewest,
            counts,
            tasks,
            blocks,
            block_tasks,
            rare,
            is_counted: (0..runs.len()).all(|run| runs.tasks(run).len() as u64 <= runs.count(run)),
            tasks_weight: 1,
        })
    }

    /// The text of a sample, each of whose tasks stands for so many.
    pub(crate) fn standing_for(self, tasks_weight: u32) -> Self {
        Text { tasks_weight, ..self }
    }

    /// The number of tasks that each task stands for.
    pub(crate) fn tasks_weight(&self) -> u32 {
        self.tasks_weight
    }

    /// The runs of this text.
    pub(crate) fn runs(&self) -> &Runs {
        self.runs
    }

    /// The sizes that control the search in this text.
    pub(crate) fn scale(&self) -> &Scale {
        &self.scale
    }

    /// Number of positions, including the ends of the runs.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The numbered token at `position + depth`.
    pub(crate) fn token(&self, position: u32, depth: usize) -> u32 {
        self.tokens[position as usize + depth]
    }

    /// The numbered tokens from `position + depths.start` on, if they lie in the text.
    pub(crate) fn tokens_at(&self, position: u32, depths: Range<usize>) -> Option<&[u32]> {
        let position = position as usize;
        self.tokens.get(position.saturating_add(depths.start)..position.saturating_add(depths.end))
    }

    /// The numbered token `distance` before `position`; it must lie in the text.
    pub(crate) fn previous(&self, position: u32, distance: usize) -> u32 {
        self.tokens[position as usize - distance]
    }

    /// The base id of a numbered token.
    pub(crate) fn id(&self, token: u32) -> u32 {
        self.ids[token as usize]
    }

    /// The number of distinct numbered tokens, including `END`.
    pub(crate) fn alphabet(&self) -> usize {
        self.ids.len()
    }

    /// One more than the largest task.
    pub(crate) fn number_of_tasks(&self) -> usize {
        let largest = (0..self.runs.len()).filter_map(|run| self.runs.tasks(run).last()).max();
        largest.map_or(0, |&task| task as usize + 1)
    }

    /// How many of the ascending `positions` lie in runs that occur more often than [`Text::fewest`]; these come
    /// first.
    pub(crate) fn repeated(&self, positions: &[u32]) -> usize {
        positions.partition_point(|&position| position < self.rare)
    }

    /// The fewest occurrences of a run.
    pub(crate) fn fewest(&self) -> u64 {
        self.fewest
    }

    /// The number of occurrences of the run at `position`.
    pub(crate) fn weight(&self, position: u32) -> u64 {
        if position >= self.rare { self.fewest } else { self.counts[self.place(position)] }
    }

    /// The most tasks of the whole corpus that a string of so many occurrences can have: in a corpus that is
    /// not sampled, each occurrence is in one task.
    pub(crate) fn most_tasks(&self, count: u64) -> u32 {
        let is_bound = self.is_counted && self.tasks_weight == 1;
        if is_bound { count.min(u64::from(u32::MAX)) as u32 } else { u32::MAX }
    }

    /// The tasks of the run at `position`, ascending.
    pub(crate) fn tasks_at(&self, position: u32) -> &[u32] {
        let task = &self.block_tasks[position as usize >> self.scale.block_bits];
        if *task != MANY {
            return std::slice::from_ref(task);
        }
        let place = self.place(position);
        let task = &self.tasks[place];
        if *task == MANY { self.runs.tasks(self.order[place] as usize) } else { std::slice::from_ref(task) }
    }

    fn place(&self, position: u32) -> usize {
        let mut place = self.blocks[position as usize >> self.scale.block_bits] as usize;
        while self.starts[place + 1] <= position {
            place += 1;
        }
        place
    }

    /// The range of all numbered tokens.
    pub(crate) fn numbered(&self) -> Range<usize> {
        0..self.occurrences.len()
    }

    /// Divides a range of numbered tokens into about `number` ranges with about equally many positions.
    pub(crate) fn shares(&self, tokens: Range<usize>, number: usize) -> Vec<Range<usize>> {
        shares(&self.occurrences, tokens, number)
    }

    /// For each numbered token of a range: its positions that another token of the run follows, and that
    /// token.
    ///
    /// Positions ascend. The following token is free here, because the text is read from end to end, once for
    /// each range; later it would cost a memory access.
    pub(crate) fn pairs_of(&self, tokens: Range<usize>) -> Vec<Vec<Occurrence>> {
        let group = |&number: &usize| Vec::with_capacity(number);
        let mut groups: Vec<Vec<Occurrence>> = self.occurrences[tokens.clone()].iter().map(group).collect();
        for (position, pair) in self.tokens.windows(2).enumerate() {
            let token = pair[0] as usize;
            if pair[0] != END && tokens.contains(&token) && pair[1] != END {
                groups[token - tokens.start].push(Occurrence { position: position as u32, next: pair[1] });
            }
        }
        groups
    }
}

/// A position and the numbered token after it.
#[derive(Clone, Copy)]
pub(crate) struct Occurrence {
    pub(crate) position: u32,
    pub(crate) next: u32,
}

/// `END` and then the ids by descending frequency; the number of occurrences of each; the number of each id.
fn number_by_frequency(tokens: &[u32]) -> (Vec<u32>, Vec<usize>, Vec<u32>) {
    let frequencies = frequencies(tokens);
    let (mut ids, renumbered) = numbered(&frequencies);
    let occurrences = std::iter::once(0).chain(ids.iter().map(|&id| frequencies[id as usize])).collect();
    ids.insert(END as usize, u32::MAX);
    (ids, occurrences, renumbered)
}

/// The numbered tokens of the runs in this order, with an `END` before the first and after each; where each run
/// begins, and the end of the last.
fn laid_out(runs: &Runs, order: &[u32], renumbered: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut tokens = Vec::with_capacity(runs.strings().tokens().len() + runs.len() + 1);
    let mut starts = Vec::with_capacity(runs.len() + 1);
    tokens.push(END);
    for &run in order {
        starts.push(tokens.len() as u32);
        tokens.extend(runs.strings().get(run as usize).iter().map(|&id| renumbered[id as usize]));
        tokens.push(END);
    }
    starts.push(tokens.len() as u32);
    (tokens, starts)
}

fn runs_of_blocks(starts: &[u32], block_bits: u32) -> Vec<u32> {
    let end = starts[starts.len() - 1] as usize;
    let mut place = 0;
    (0..=end >> block_bits)
        .map(|block| {
            while place + 2 < starts.len() && starts[place + 1] as usize <= block << block_bits {
                place += 1;
            }
            place as u32
        })
        .collect()
}

fn tasks_of_blocks(blocks: &[u32], tasks: &[u32]) -> Vec<u32> {
    let task_of = |block: usize| {
        let first = blocks[block] as usize;
        let last = blocks.get(block + 1).map_or(tasks.len().saturating_sub(1), |&next| next as usize);
        let task = tasks.get(first).copied().unwrap_or(MANY);
        if tasks[first..].iter().take(last + 1 - first).all(|&other| other == task) { task } else { MANY }
    };
    (0..blocks.len()).map(task_of).collect()
}
